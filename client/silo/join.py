"""Join a federation: keys and a request first, and with the kit that answers it the policy.

DIRECTORY/keys/silo.pem          the silo's identity, for its gateway
DIRECTORY/relay/supernode.pem    the SuperNode's key, for its relay, and supernode.pub
DIRECTORY/NAME.join              the request: public keys alone
DIRECTORY/relay/ca.pem, relay.env, DIRECTORY/schema.yaml, silo.toml    once the kit is there
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from silosynth.client.policy import NewSilo, PolicyFile
from silosynth.client.silo.init import MadeSilo, init_silo
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import create_file, make_directory, replace_file
from silosynth.common.roster import (
    Asked,
    JoinRequest,
    Kit,
    RosterChange,
    decode_request,
    encode_request,
    make_request,
)
from silosynth.common.tables import any_schema_of_text, dump_any_schema
from silosynth.common.trust import PublicKey, SigningKey

KEY, NODE_KEY = Path("keys/silo.pem"), Path("relay/supernode.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """A request that was written, and where; ``key`` is the private key that it asks for."""

    path: Path
    key: Path
    request: JoinRequest


def ask_to_join(directory: Path, *, name: str, project: str) -> Joining:
    """Make a silo's two keys and its request; asked again, the same keys ask the same.

    Guarantees: private keys are readable by their owner alone, are never written over, and stand in
    nothing that is sent.
    """
    _private(directory)
    path = directory / f"{name}.join"
    if path.exists():
        known = decode_request(path.read_bytes(), origin=str(path))
        return Joining(path=path, key=directory / KEY, request=known)
    key = _identity(directory / KEY)
    node = _node_key(directory / NODE_KEY)
    asked = Asked(project=project, silo=name, key=key.public, supernode=node)
    request = make_request(asked, key=key)
    replace_file(path, encode_request(request), mode=0o644)
    return Joining(path=path, key=directory / KEY, request=request)


def ask_for_new_key(
    policy: PolicyFile, *, project: str, supernode: Path, out: Path, lost: PublicKey | None
) -> Joining:
    """Make a new identity for a silo that is in the roster, and the request to put it there.

    Each time it is another one: a key that was lost may be in somebody's hands. The key of now
    signs it too. Where that is ``lost``, its public one is said, and the other silos' persons are
    told.

    Raises InvalidArgument when the policy has no such project.
    """
    if project not in {p.name for p in policy.projects}:
        raise InvalidArgument(f"project {project!r} is not in the policy", hint="see --project")
    silo = policy.silo
    current = Path(silo.key)
    previous = SigningKey.load(current) if lost is None else None
    names = (current.with_name(f"{silo.name}-{number}.pem") for number in count(2))
    path = next(p for p in names if not p.exists())
    key = _identity(path)
    asked = Asked(
        project=project,
        silo=silo.name,
        key=key.public,
        supernode=_read_line(supernode),
        replaces=lost if previous is None else previous.public,
    )
    request = make_request(asked, key=key, previous=previous)
    replace_file(out, encode_request(request), mode=0o644)
    return Joining(path=out, key=path, request=request)


def check_kit(directory: Path, change: RosterChange) -> tuple[str, PublicKey]:
    """Return this silo's name and key in a kit's roster; raise InvalidArgument for another's."""
    key = SigningKey.load(directory / KEY).public
    for name, known in change.silos.items():
        if known == key:
            return name, key
    raise InvalidArgument(
        f"the kit's roster does not have the key in {directory / KEY}",
        hint="send the request that 'silosynth silo join' wrote there, and have a kit made for it",
    )


def take_kit(
    directory: Path, kit: Kit, change: RosterChange, *, signer: PublicKey, new: NewSilo
) -> MadeSilo:
    """Write policy, secret, ledger, CA and the relay's settings; what is there is kept.

    Guarantees: the kit's schema is read as data alone, and written out of what was read: neither
    now nor later does it name a file of this machine to be read.

    Raises OutputExists when there is a policy, InvalidArgument where a schema is needed and the kit
    has none, InvalidSchema where it has one that cannot be used.
    """
    name, _ = check_kit(directory, change)
    if not new.schema.exists():
        if kit.schema_text is None:
            raise InvalidArgument("the kit has no schema", hint="give one with --schema")
        sent = any_schema_of_text(kit.schema_text, origin="the kit's schema")
        replace_file(new.schema, dump_any_schema(sent).encode(), mode=0o644)
    _private(directory / NODE_KEY.parent)
    replace_file(directory / NODE_KEY.parent / "ca.pem", kit.ca.encode(), mode=0o644)
    settings = f"SUPERLINK={kit.superlink}\nSILO={name}\n"
    replace_file(directory / NODE_KEY.parent / "relay.env", settings.encode(), mode=0o644)
    whole = replace(
        new,
        name=name,
        key=directory / KEY,
        project=change.project,
        coordinators={kit.coordinator: signer},
        peers={s: k for s, k in change.silos.items() if s != name},
        roster_version=change.roster,
    )
    return init_silo(directory, whole)


def _private(directory: Path) -> None:
    """Make a folder that its owner alone may enter; one that is there stays as it is."""
    make_directory(directory, mode=0o700)


def _identity(path: Path) -> SigningKey:
    """Return the Ed25519 key at a path, made where there is none."""
    _private(path.parent)
    if not path.exists():
        SigningKey.generate().save(path)
    return SigningKey.load(path)


def _node_key(path: Path) -> str:
    """Make a SuperNode's key where there is none; return the line of its public one."""
    _private(path.parent)
    public = path.with_suffix(".pub")
    if not path.exists():
        key = ec.generate_private_key(ec.SECP384R1())
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        replace_file(public, line + b"\n", mode=0o644)
        create_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return _read_line(public)


def _read_line(path: Path) -> str:
    """Return the line of a public key's file."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidArgument(
            f"{path} is no public key of a SuperNode", hint="give the file supernode.pub"
        ) from None
