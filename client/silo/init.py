"""Make a silo's files: a commented policy, a key, a secret, an empty ledger."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from silosynth.client.ledger import Ledger
from silosynth.client.policy import NewSilo, PolicyFile, parse_policy, policy_text
from silosynth.client.silo.assemble import ledger_path
from silosynth.client.source import make_secret
from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.files import write_text
from silosynth.common.tables import AnySchema, TablesSchema, load_any_schema
from silosynth.common.trust import PublicKey, SigningKey

POLICY = "silo.toml"
_VOLUMES = ("lost+found",)
"""What a file system of its own holds by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSilo:
    """What was made."""

    policy: Path
    public_key: PublicKey


def new_ledger(policy: PolicyFile) -> Path:
    """Make the first ledger of a silo in the policy's ``directory``; return its path.

    Guarantees: it refuses where anything shows that a gateway was at work there. A ledger that was
    lost is no new silo: what it had spent stays spent, and the other silos' receipts prove it.

    Raises OutputExists then, and InvalidArgument where the directory is missing.
    """
    path = ledger_path(policy)
    directory = path.parent
    if not directory.is_dir():
        raise InvalidArgument(f"{directory} is no directory", hint="make it for the gateway's user")
    found = sorted(p.name for p in directory.iterdir() if p.name not in _VOLUMES)
    if found:
        raise OutputExists(
            f"{directory} is not empty: {found[0]}",
            hint="a first ledger needs an empty directory; one that was lost is put back from a "
            "backup, since an empty one would spend its budget twice",
        )
    Ledger.create(path)
    return path


def init_silo(directory: Path, new: NewSilo) -> MadeSilo:
    """Make a silo in ``directory``; a key, secret or ledger that is there already is kept.

    Guarantees: key, secret and ledger are readable by their owner alone; the policy is valid.

    Raises OutputExists when there is a policy, InvalidPolicy when a value cannot stand in one.
    """
    policy = directory / POLICY
    if policy.exists():
        raise OutputExists(f"{policy} exists", hint="a policy is never written over; edit it")
    schema = load_any_schema(new.schema)
    new = with_tables(new, schema)
    keys = directory / "keys"
    for folder in (directory, keys, directory / "state"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_path = new.key or keys / "silo.pem"
    if not key_path.exists():
        SigningKey.generate().save(key_path)
    public_key = SigningKey.load(key_path).public
    text = policy_text(new, schema_digest=schema.digest, public_key=public_key)
    parsed = parse_policy(tomllib.loads(text), home=directory.absolute(), origin=str(policy))
    if not Path(parsed.silo.persons_secret).exists():
        make_secret(Path(parsed.silo.persons_secret))
    if not ledger_path(parsed).exists():
        Ledger.create(ledger_path(parsed))
    write_text(policy, text, force=False)
    return MadeSilo(policy=policy, public_key=public_key)


def with_tables(new: NewSilo, schema: AnySchema) -> NewSilo:
    """Return what is said of a silo with the file of each table, where the schema has several.

    Raises InvalidArgument where what is said of the tables does not go with the schema.
    """
    if not isinstance(schema, TablesSchema):
        return new
    if new.person_column is not None or new.rows_per_person != 1:
        raise InvalidArgument(
            "the schema has several tables, and says itself which row is whose",
            hint="leave --person-column and --rows-per-person out",
        )
    # It joins by DuckDB, which a silo of one table does without.
    from silosynth.client.families import find_tables

    return replace(new, tables=find_tables(new.table, schema=schema))
