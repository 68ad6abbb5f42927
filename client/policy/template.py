"""The commented policy that a new silo starts with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from silosynth.client.source import SourceFormat
from silosynth.common.files import TEXT_ENDINGS
from silosynth.common.trust import PublicKey

_FORMATS = {
    **dict.fromkeys((*TEXT_ENDINGS, ".gz"), SourceFormat.CSV),
    ".arrow": SourceFormat.ARROW,
    ".feather": SourceFormat.ARROW,
    ".ipc": SourceFormat.ARROW,
}


def _listed(formats: Iterable[SourceFormat], word: str) -> str:
    """Write the names of formats, the last two with a word between."""
    *first, last = (kind.value for kind in formats)
    return f"{', '.join(first)} {word} {last}" if first else last


_SERVED = _listed((kind for kind in SourceFormat if kind.served), "and")
_QUERIED = _listed((kind for kind in SourceFormat if kind.queried), "and")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSilo:
    """What a person says about a silo that is to be made.

    ``tables`` are the files of a schema of several tables, by table, in the place of ``table``.
    """

    name: str
    schema: Path
    table: Path
    dataset: str = "default"
    epsilon: float = 3.0
    delta: float = 1e-6
    person_column: str | None = None
    rows_per_person: int = 1
    tables: Mapping[str, Path] = field(default_factory=dict)
    key: Path | None = None
    project: str = "default"
    coordinators: Mapping[str, str] = field(default_factory=dict)
    peers: Mapping[str, str] = field(default_factory=dict)
    roster_version: int = 0


def policy_text(new: NewSilo, *, schema_digest: str, public_key: PublicKey) -> str:
    """Return the policy as TOML with comments."""
    budget = f"{{ epsilon = {new.epsilon!r}, delta = {new.delta!r} }}"
    return "\n".join(
        (
            _silo(new),
            _dataset(new, schema_digest=schema_digest, budget=budget),
            _coordinators(new, budget=budget),
            _project(new, public_key=public_key, budget=budget),
            _REST,
        )
    )


def _silo(new: NewSilo) -> str:
    key = "keys/silo.pem" if new.key is None else str(new.key.absolute())
    return f"""\
# The policy of a silo: what may be asked of its data, by whom, and how much it may ever cost.
# 'silosynth silo check' says in plain words what it permits. Unknown fields are refused.
# Paths are relative to this file. The gateway reads it when it starts.
version = 1

[silo]
name = {_text(new.name)}
key = {_text(key)}  # signs all that leaves; mode 0600
persons_secret = "keys/persons.secret"  # chooses which rows of a person are kept; mode 0600
directory = "state"  # ledger, approved plans, results, sockets
# run_as = "silosynth"  # the user to become when started as root
"""


def _dataset(new: NewSilo, *, schema_digest: str, budget: str) -> str:
    if new.tables:
        return _several(new, schema_digest=schema_digest, budget=budget)
    kind = _FORMATS.get(new.table.suffix.lower(), SourceFormat.PARQUET)
    person = (
        '# person_column = "patient_id"  # then at most rows_per_person rows of each are counted'
        if new.person_column is None
        else f"person_column = {_text(new.person_column)}  # rows that name nobody are not counted"
    )
    return f"""\
[[datasets]]
name = {_text(new.dataset)}  # as plans call it
format = "{kind.value}"  # {_listed(SourceFormat, "or")}
path = {_text(str(new.table.absolute()))}
# uri = "postgresql://localhost/clinic"  # for {_SERVED}, in place of path
# query = "SELECT age, sex FROM patients"  # for {_QUERIED}
# push_down = true  # count inside the database
# cluster = "10.0.0.5:6379"  # count Parquet files on a Ray cluster of your own, closed to others
schema = {_text(str(new.schema.absolute()))}
schema_digest = "{schema_digest}"
# map = "map.yaml"  # how the table names and spells what the schema lists: 'silosynth silo map'
rows_per_person = {new.rows_per_person}  # most rows of one person
{person}
# All that this table may ever cost one person, over all plans and for ever. The ledger adds costs
# up as zCDP, so a plan of epsilon 1 uses up about 1.1 of an epsilon here.
budget = {budget}
"""


def _several(new: NewSilo, *, schema_digest: str, budget: str) -> str:
    parts = "\n".join(_table(name, path) for name, path in new.tables.items())
    return f"""\
[[datasets]]
name = {_text(new.dataset)}  # as plans call it
schema = {_text(str(new.schema.absolute()))}
schema_digest = "{schema_digest}"
# push_down = true  # join inside the database, where all tables are queries of one PostgreSQL
# All that these tables may ever cost one person with all rows below it, over all plans and for
# ever. The ledger adds costs up as zCDP, so a plan of epsilon 1 uses up about 1.1 of one here.
budget = {budget}
{parts}"""


def _table(name: str, path: Path) -> str:
    kind = _FORMATS.get(path.suffix.lower(), SourceFormat.PARQUET)
    return f"""\
[datasets.tables.{_text(name)}]  # a file, a folder of them, or one query
format = "{kind.value}"  # {_listed(SourceFormat, "or")}
path = {_text(str(path.absolute()))}
# uri = "postgresql://localhost/clinic"  # for {_SERVED}, in place of path
# query = "SELECT * FROM {name}"  # for {_QUERIED}
"""


def _coordinators(new: NewSilo, *, budget: str) -> str:
    if not new.coordinators:
        return f"""\
# Whose plans are read at all. Without one, every plan is refused.
# [[coordinators]]
# name = "hub"
# key = "ed25519:..."  # compare it by telephone
# budget = {budget}
"""
    sections = "\n".join(
        f"[[coordinators]]\nname = {_text(name)}\nkey = {_text(key)}\nbudget = {budget}\n"
        for name, key in sorted(new.coordinators.items())
    )
    return f"# Whose plans are read at all.\n{sections}"


def _project(new: NewSilo, *, public_key: PublicKey, budget: str) -> str:
    keys = {new.name: public_key} | dict(new.peers)
    roster = "\n".join(f"{_text(name)} = {_text(key)}" for name, key in sorted(keys.items()))
    return f"""\
[[projects]]
name = {_text(new.project)}
budget = {budget}
roster_version = {new.roster_version}  # of the roster below; changes of it follow from that
# The silos that take part, this one included. A plan that names another key is refused. What was
# approved since ('silosynth silo roster') is in the ledger, not here.
[projects.roster]
{roster}
"""


_REST = """\
# A pretrained language model that plans may start from: public files, opened without code of their
# own. 'silosynth checkpoint FOLDER' shows its digest.
# [[checkpoints]]
# path = "models/gpt2"
# digest = "sha256:..."

[caps]  # for every plan, whoever asks
cells_per_marginal = 5_000_000
cells_per_plan = 50_000_000
marginals = 150_000
attributes = 600
message_mb = 64
# embedding = "sha256:..."  # by which alone votes may be counted: silosynth's own, or a checkpoint
# silos_in_sum = 3  # whatever leaves is a sum over the rows of so many silos; needs shared noise

[approval]  # which plans are answered without asking a person; no other is
automatic = false
# max_epsilon = 1.1  # of the zCDP conversion, as the ledger counts
# max_alone_epsilon = 4.0  # of this silo's share of shared noise, if the masks failed; without it
#                          # that is held against max_epsilon, which few shared plans meet
# max_delta = 1e-6
# methods = ["independent", "mst", "aim", "fixed"]
# projects = ["default"]  # any project above, if left out
# coordinators = ["hub"]  # any coordinator above, if left out
# needed = 2  # approvers below who must sign for any other plan; all of them, if left out
# roster_vouchers = 2  # changes of the roster that persons of 2 other silos approved; none, if out

# Whose signed decisions count, made on their own machines with 'silosynth approver approve'. With
# any of them here, 'silosynth silo approve' approves nothing.
# [[approvers]]
# name = "officer"
# key = "ed25519:..."  # of 'silosynth approver key'; compare it by telephone

[relay]  # who may speak to the gateway besides its own user and root
users = []  # such as ["silosynth-relay"]
# group = "silosynth-socket"  # a group of both users: then no root is needed to start
# socket = "/run/silosynth/gateway.sock"  # default: gateway.sock in the silo's directory
# operator_socket = "/run/silosynth/operator.sock"

[ledger]  # a second copy, on another disk, written before each charge and answer is heard of
# mirror = "/second-disk/silosynth/north.mirror"

[metrics]  # on loopback, or on a socket that 'silosynth relay --gateway-metrics' passes on
# port = 9465
# socket = "/run/silosynth/metrics.sock"

[notify]  # who is told that a plan waits, and again daily; nothing private is in it
# command = ["/usr/local/bin/tell-us"]  # gets JSON on its input
# webhook = "https://chat.example/hook"
# mail = { to = ["officer@clinic.example"], sender = "silo@clinic.example", host = "localhost" }
# directory = "/run/silosynth/notices"  # for a gateway without a network

[logs]  # no data value is ever in them
format = "text"  # or json
level = "info"
"""


def _text(value: str) -> str:
    """Return a string as TOML spells it."""
    return json.dumps(value)
