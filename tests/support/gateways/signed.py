"""A silo that signs, and the coordinator that it trusts, for tests of the real gateway."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from silosynth.client.noise import BitSource
from silosynth.client.policy import NewSilo, PolicyFile, load_policy
from silosynth.client.silo import Silo, init_silo, open_silo
from silosynth.common.audit import Verdict as Decided
from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Grouping
from silosynth.common.messages import (
    Acknowledgement,
    Bundle,
    Refusal,
    Release,
    Request,
    Result,
    Verdict,
    decode_release,
    decode_statement,
    digest_sampler,
    encode_receipt,
    encode_request,
    encode_statement,
)
from silosynth.common.plan import PhaseName, Plan, encode_plan, parse_plan
from silosynth.common.sampler import CliqueMarginal, build_sampler
from silosynth.common.sampler.stored.file import dump_sampler
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.planning import new_plan
from tests.support.tables.canary import CANARY

ATTRIBUTES: list[dict[str, Any]] = [
    {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"},
    {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "public"},
]


def people() -> Schema:
    """Return the schema of the table."""
    return parse_schema({"name": "people", "attributes": ATTRIBUTES})


def people_table(persons: int = 50, rows_each: int = 3) -> pa.Table:
    """Return a table with names that must never leave."""
    rows = persons * rows_each
    return pa.table(
        {
            "age": [i % 10 for i in range(rows)],
            "sex": ["f", "m", CANARY, "f", "m"] * (rows // 5),
            "who": [f"{CANARY}-{i % persons}" for i in range(rows)],
        }
    )


@dataclass(kw_only=True)
class Federation:
    """One real silo in a directory, the coordinator ``hub``, and a peer ``south``."""

    directory: Path
    hub: SigningKey = field(default_factory=SigningKey.generate)
    rogue: SigningKey = field(default_factory=SigningKey.generate)
    south: SigningKey = field(default_factory=SigningKey.generate)
    told: list[str] = field(default_factory=list)
    policy: PolicyFile = field(init=False)
    north: SigningKey = field(init=False)

    def __post_init__(self) -> None:
        self.make_silo(people(), people_table())
        self.approve_all()

    def make_silo(self, described: Schema, rows: pa.Table) -> None:
        """Make the silo and its policy, for a table whose column ``who`` names persons."""
        schema, table = self.directory / "schema.yaml", self.directory / "people.parquet"
        schema.write_text(dump_schema(described))
        pq.write_table(rows, table)
        new = NewSilo(
            name="north",
            schema=schema,
            table=table,
            person_column="who",
            rows_per_person=2,
            coordinators={"hub": self.hub.public},
            peers={"south": self.south.public},
        )
        self.policy = load_policy(init_silo(self.directory / "north", new).policy)
        self.north = SigningKey.load(Path(self.policy.silo.key))

    def change(self, **sections: Mapping[str, Any]) -> None:
        """Change fields of sections of the policy."""
        data = self.policy.model_dump(mode="json", by_alias=True)
        for name, fields in sections.items():
            data[name] = data[name] | dict(fields)
        self.policy = PolicyFile.model_validate(data)

    def trust(self, name: str, key: SigningKey, *, epsilon: float = 3.0) -> None:
        """Let the policy name another coordinator, with a budget of its own."""
        data = self.policy.model_dump(mode="json", by_alias=True)
        data["coordinators"].append(
            {"name": name, "key": key.public, "budget": {"epsilon": epsilon, "delta": 1e-6}}
        )
        self.policy = PolicyFile.model_validate(data)

    def name_approvers(self, *keys: SigningKey, needed: int) -> None:
        """Let plans that are not automatic wait for signed decisions."""
        data = self.policy.model_dump(mode="json", by_alias=True)
        data["approvers"] = [
            {"name": name, "key": key.public}
            for name, key in zip(("anna", "ben", "carla"), keys, strict=False)
        ]
        data["approval"]["needed"] = needed
        self.policy = PolicyFile.model_validate(data)

    def publish_budget(self) -> None:
        """Let the policy make public what is left of its projects' budgets."""
        data = self.policy.model_dump(mode="json", by_alias=True)
        data["projects"] = [{**project, "public_budget": True} for project in data["projects"]]
        self.policy = PolicyFile.model_validate(data)

    def fix_persons(self) -> None:
        """Let the secret that chooses among a person's rows be the same in every federation."""
        secret = Path(self.policy.silo.persons_secret)
        secret.chmod(0o600)
        secret.write_bytes(b"s" * 32)

    def push_down(self) -> None:
        """Let the silo's rows be behind a server that counts, which nobody connects to."""
        data = self.policy.model_dump(mode="json", by_alias=True)
        server = {"format": "postgresql", "uri": "postgresql://nobody@127.0.0.1:1/none"}
        data["datasets"][0] |= server | {"path": None, "query": "SELECT 1", "push_down": True}
        self.policy = PolicyFile.model_validate(data)

    def approve_all(self) -> None:
        """Let every plan within epsilon 2 be automatic."""
        automatic = {"automatic": True, "max_epsilon": 2.0, "max_delta": 1e-5}
        self.change(approval=automatic | {"methods": ["independent", "mst", "aim", "fixed"]})

    def approve_none(self) -> None:
        """Let every plan wait for a person."""
        self.change(approval={"automatic": False})

    @contextmanager
    def open(
        self,
        *,
        bits: BitSource | None = None,
        reached: Callable[[str], None] = lambda _: None,
    ) -> Iterator[Silo]:
        """Open the silo."""
        with open_silo(
            self.policy, bits=bits, tell_operator=self.told.append, reached=reached
        ) as silo:
            yield silo

    def plan(self, **changes: Any) -> Plan:
        """Return a plan for both silos, within the policy."""
        method = changes.pop("method", "independent")
        plan = new_plan(
            people(),
            epsilon=changes.pop("epsilon", 1.0),
            delta=1e-6,
            silos=("north", "south"),
            method=method,
            rows_per_person=changes.pop("rows_per_person", 2),
            plan_id=changes.pop("id", "p"),
        )
        roster = {"north": self.north.public, "south": self.south.public}
        return parse_plan(plan.model_dump(mode="json") | {"roster": roster} | changes)

    def sealed(self, plan: Plan, *, key: SigningKey | None = None) -> bytes:
        """Return a plan in the coordinator's envelope."""
        return seal(encode_plan(plan), purpose=Purpose.PLAN, key=key or self.hub)

    def request(self, plan: Plan, *, key: SigningKey | None = None, **changes: Any) -> bytes:
        """Return a request under a plan in the coordinator's envelope."""
        values = {
            "plan_digest": plan.digest,
            "phase": PhaseName.ONE_WAY,
            "silo": "north",
            "queries": ((("age",), "fine"), (("sex",), "fine")),
        }
        body = encode_request(Request.model_validate(values | changes))
        return seal(body, purpose=Purpose.REQUEST, key=key or self.hub)

    def verdict(self, data: bytes) -> Verdict:
        """Read a verdict that this silo signed."""
        return decode_statement(data, Verdict, trusted={self.north.public})

    def read(self, data: bytes) -> Release | Refusal:
        """Read a release or refusal that this silo signed."""
        return decode_release(data, trusted={self.north.public})

    def acknowledged(self, data: bytes) -> Acknowledgement:
        """Read an acknowledgement that this silo signed."""
        return decode_statement(data, Acknowledgement, trusted={self.north.public})

    def ask(
        self, silo: Silo, plan: Plan, *, key: SigningKey | None = None, **changes: Any
    ) -> Release | Refusal:
        """Ask a plan's first phase, and return what comes of it."""
        request = self.request(plan, key=key, **changes)
        return self.read(silo.gateway.answer(plan=self.sealed(plan, key=key), request=request))

    def release(self, silo: Silo, plan: Plan) -> Release:
        """Propose a plan, ask its first phase, and return the release."""
        silo.gateway.propose(plan=self.sealed(plan))
        release = self.ask(silo, plan)
        assert isinstance(release, Release), release
        return release

    def decide(
        self,
        silo: Silo,
        plan: Plan,
        verdict: Decided,
        *,
        why: str = "agreed",
        key: SigningKey | None = None,
    ) -> None:
        """Record what a person at the silo decided about a plan of the coordinator."""
        signer = (key or self.hub).public
        silo.ledger.decide(plan.decided, verdict, signer=signer, why=why, by="anna")

    def result(self, plan: Plan, *releases: Release) -> Result:
        """Return the statement of a run's result."""
        receipts = tuple(base64.b64encode(encode_receipt(r)).decode() for r in releases)
        return Result(
            plan_digest=plan.digest,
            sampler_digest=digest_sampler(make_sampler(plan)),
            certificate=certify_plan(plan),
            silos=plan.silos,
            receipts={"north": receipts},
        )

    def bundle(self, result: Result, sampler: bytes, *, key: SigningKey | None = None) -> bytes:
        """Return a result and its sampler as they are delivered."""
        return Bundle(
            statement=encode_statement(result, key=key or self.hub), sampler=sampler
        ).encode()


def make_sampler(plan: Plan, *, certificate: Mapping[str, Any] | None = None) -> bytes:
    """Return a sampler file of a plan, of independent uniform columns."""
    stated = certify_plan(plan).model_dump(mode="json") if certificate is None else certificate
    nodes = tuple(
        CliqueMarginal(clique=(name,), separator=(), values=np.full(size, 1.0 / size))
        for name, size in zip(people().domain.attributes, people().domain.shape, strict=True)
    )
    sampler = build_sampler(
        schema=people(),
        grouping=Grouping(),
        within={},
        nodes=nodes,
        total=150.0,
        certificate=stated,
        plan_digest=plan.digest,
    )
    return dump_sampler(sampler)
