"""Silos that sum, without tables or ledgers: everything of the conversation is real, and signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silosynth.client.noise import NoiseShare, noise_share
from silosynth.client.sums import Once, SumMember, SumStore, each_time
from silosynth.common.messages import Request, SumProof, SumStep, pack
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.trust import SigningKey
from silosynth.server.planning import new_plan
from tests.support.fakes import small_schema

CELLS = 25


def names(count: int) -> tuple[str, ...]:
    """Return the names of so many silos, in order."""
    return tuple(f"silo-{i:03d}" for i in range(count))


def shared_plan(silos: Sequence[str], **changes: object) -> Plan:
    """Return a plan with shared noise over the small schema, without roster."""
    arguments = {"epsilon": 1.0, "delta": 1e-6, "silos": silos, "plan_id": "p", "trust": "shared"}
    arguments |= {"method": "mst"} | changes
    return new_plan(small_schema(), **arguments)  # type: ignore[arg-type]  # test arguments


@dataclass(frozen=True, kw_only=True)
class Circle:
    """All silos of one plan."""

    plan: Plan
    members: Mapping[str, SumMember]
    keys: Mapping[str, SigningKey]

    def adverts(self, *, session: int = 1, silos: Sequence[str] | None = None) -> tuple[bytes, ...]:
        """Return the signed keys of all silos, or of some."""
        step = SumStep(plan_digest=self.plan.digest, session=session)
        return tuple(self.members[s].agree(self.plan, step) for s in silos or self.plan.silos)

    def vote(self, silo: str, adverts: Sequence[bytes], *, session: int = 1) -> bytes:
        """Return one silo's vote."""
        packed = tuple(pack(a) for a in adverts)
        step = SumStep(plan_digest=self.plan.digest, session=session, adverts=packed)
        return self.members[silo].agree(self.plan, step)

    def proof(self, *, session: int = 1, silos: Sequence[str] | None = None) -> SumProof:
        """Return what an honest coordinator collects."""
        chosen = silos or self.plan.silos
        adverts = self.adverts(session=session, silos=chosen)
        votes = tuple(self.vote(s, adverts, session=session) for s in chosen)
        return proof_of(adverts, votes, session=session)

    def request(
        self, silo: str, proof: SumProof, *, phase: PhaseName = PhaseName.ONE_WAY
    ) -> Request:
        """Return the request for one silo's masked vector."""
        return Request(
            plan_digest=self.plan.digest,
            phase=phase,
            silo=silo,
            queries=((("age",), "fine"), (("region",), "fine")),
            sum=proof,
        )

    def masked(self, request: Request, values: np.ndarray) -> np.ndarray:
        """Return one silo's masked vector of (CELLS,) values, as the gateway makes it."""
        member = self.members[request.silo]
        agreed = member.begin(self.plan, request)
        cells, _ = member.mask(
            [values[:20], values[20:]],
            plan=self.plan,
            request=request,
            agreed=agreed,
            share=self.share(request),
        )
        return np.concatenate(cells)

    def share(self, request: Request) -> NoiseShare:
        """Return what a silo adds to the sum."""
        return noise_share(self.plan, self.plan.phase(request.phase), marginals=2)


def proof_of(adverts: Sequence[bytes], votes: Sequence[bytes], *, session: int = 1) -> SumProof:
    """Return statements as a request carries them."""
    return SumProof(
        session=session,
        adverts=tuple(pack(a) for a in adverts),
        votes=tuple(pack(v) for v in votes),
    )


def circle(directory: Path, count: int = 4, *, once: Once = each_time, **changes: object) -> Circle:
    """Set up ``count`` silos with identities of their own, in empty directories.

    Args: once: what more than a hundred of them read alike is read once.
    """
    silos = names(count)
    keys = {silo: SigningKey.generate() for silo in silos}
    bare = shared_plan(silos, **changes).model_dump(mode="json")
    plan = parse_plan(bare | {"roster": {s: k.public for s, k in keys.items()}})
    members = {
        silo: SumMember(silo=silo, store=SumStore(directory / silo), key=keys[silo], once=once)
        for silo in silos
    }
    return Circle(plan=plan, members=members, keys=keys)
