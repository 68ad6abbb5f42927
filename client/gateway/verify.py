"""From bytes that anybody may have sent to a plan and a request that may be answered.

The order is fixed: size before the envelope, signature before parsing, fields as data, cells in
Python integers, then the policy. Nothing here touches the table or the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from silosynth.client.gateway.datasets import (
    AnyDataset,
    Dataset,
    Datasets,
    TablesDataset,
    require_rows,
)
from silosynth.client.gateway.judged import Judged, check_bins, judge, part_of
from silosynth.client.gateway.kept import FindSampler
from silosynth.client.gateway.series import permit_series, series_facts
from silosynth.client.learning import Checkpoints
from silosynth.client.noise import NoiseShare, check_noise, noise_share
from silosynth.client.policy import (
    MAX_PLAN_BYTES,
    Rules,
    SiloIdentity,
    check_company,
    check_embedding,
    check_plan_size,
    check_request,
    check_roster,
    check_rows,
    check_size,
    request_limit,
)
from silosynth.client.roster import RosterBook
from silosynth.client.sums import Once, each_time
from silosynth.common.audit import Parted
from silosynth.common.errors import InvalidPlan, PlanRefused, Refused, SchemaMismatch, Untrusted
from silosynth.common.messages import (
    AgreedSet,
    Request,
    SumStep,
    count_cells,
    decode_request,
    decode_sum_statement,
    most_step_bytes,
)
from silosynth.common.plan import (
    Phase,
    Plan,
    check_clip,
    check_plan,
    check_questions,
    decode_plan,
    read_weights,
)
from silosynth.common.trust import Opened, PublicKey, Purpose, unseal
from silosynth.common.values import check_edges


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorkeeper:
    """What a silo checks everything against. Without an identity nothing is signed.

    ``once`` is a seam for simulations, where one process is a thousand silos and reads the same
    bytes for each of them.
    """

    silo: str
    datasets: Datasets
    identity: SiloIdentity | None
    rules: Rules
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    book: RosterBook | None = None
    once: Once = each_time
    find_sampler: FindSampler = lambda _: None

    def rosters(self, project: str) -> tuple[Mapping[str, PublicKey], ...]:
        """Return the rosters of a project that were gone by, the present one last."""
        if self.book is not None:
            return tuple(roster.silos for roster in self.book.ever(project))
        pinned = self.rules.rosters.get(project)
        return () if pinned is None else (pinned,)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPlan:
    """A plan that the policy allows, the key that signed it, and the name of who holds it."""

    plan: Plan
    digest: str
    sealed: bytes
    dataset: AnyDataset
    key: PublicKey | None
    consumer: str | None

    @property
    def part(self) -> Parted | None:
        """Return which part of which split pays; None where everybody does."""
        return part_of(self.dataset, self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """A request that the policy allows, and what it costs."""

    proposed: VerifiedPlan
    request: Request
    id: str
    digest: str
    phase: Phase
    cells: tuple[int, ...]
    share: NoiseShare
    judged: Judged | None = None


def verify_plan(door: Doorkeeper, data: bytes, *, ended: bool = False) -> VerifiedPlan:
    """Return the plan in ``data``; raise a SilosynthError when it is not one to answer.

    Args: ended: nothing will be answered under it: a roster that was gone by before is enough.
    """
    check_size(len(data), MAX_PLAN_BYTES)
    trusted = None if door.identity is None else tuple(sorted(door.identity.coordinators))
    key = "plan opened", data, trusted  # ten thousand silos open a plan that names them all
    opened = door.once(key, lambda: _open(door, data, purpose=Purpose.PLAN))
    body = opened.body if opened else data
    plan, digest = door.once(("plan", body), lambda: _read_plan(body))
    dataset = permit_plan(door, plan, ended=ended)
    return VerifiedPlan(
        plan=plan,
        digest=digest,
        sealed=data,
        dataset=dataset,
        key=opened.key if opened else None,
        consumer=None if opened is None else _name(door, opened.key),
    )


def _read_plan(body: bytes) -> tuple[Plan, str]:
    """Return a plan with its digest."""
    plan = decode_plan(body)
    return plan, plan.digest


def permit_plan(door: Doorkeeper, plan: Plan, *, ended: bool = False) -> AnyDataset:
    """Return the data set of a plan; raise a SilosynthError when the policy does not permit it."""
    dataset = door.datasets.get(plan.dataset)
    if dataset is None:
        raise PlanRefused(
            f"dataset {plan.dataset!r} is not in this silo's policy",
            hint="ask the silo's operator for the name that it has here",
        )
    if plan.schema_digest != dataset.schema_digest:
        raise SchemaMismatch(
            f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
            hint="give every silo the schema that the plan was made from",
        )
    _check_tables(dataset, plan)
    _check_columns(dataset, plan)
    if door.silo not in plan.silo_names:
        raise InvalidPlan(f"silo {door.silo!r} is not in plan {plan.id}")
    if door.identity is not None:
        _check_rosters(door, plan, ended=ended)
        check_plan_size(dataset.policy, plan=plan, attributes=len(dataset.domain.attributes))
        check_company(dataset.policy, plan=plan)
    if not dataset.bounded:
        check_rows(dataset.policy, plan=plan)
    part_of(dataset, plan)
    permit_series(plan)
    for phase in plan.phases:
        check_noise(plan.noise(phase))
    if isinstance(dataset, TablesDataset):
        return dataset
    require_rows(dataset, plan)
    check_embedding(dataset.policy, plan=plan)
    check_questions(plan, dataset.schema)
    _check_lacks(door.silo, dataset, plan)
    if plan.training is not None:
        check_clip(plan.training.clip)
        _permit_training(dataset, plan)
    return dataset


def _check_rosters(door: Doorkeeper, plan: Plan, *, ended: bool) -> None:
    """Raise PlanRefused unless every key of a plan is in the roster of now, or was in one."""
    rosters = door.rosters(plan.project)
    if ended and any(plan.roster and _holds(r, plan.roster) for r in rosters):
        return
    check_roster(rosters[-1] if rosters else None, plan, silo=door.silo)
    if door.identity is not None and plan.roster.get(door.silo) != door.identity.key.public:
        raise PlanRefused(
            f"plan {plan.id} names another key of silo {door.silo!r} than the one it runs with",
            hint="have the roster changed with 'silosynth roster replace', and plan anew",
        )


def _holds(roster: Mapping[str, PublicKey], named: Mapping[str, PublicKey]) -> bool:
    """Say whether a roster has every key that is named; most often it is the same."""
    return roster == named or named.items() <= roster.items()


def _permit_training(dataset: Dataset, plan: Plan) -> None:
    """Raise a SilosynthError unless this silo can train what a plan says, at the cost it says."""
    check_plan(plan, dataset.schema)
    if plan.privacy.rows_per_person > 1 and not dataset.bounded:
        raise Refused(
            f"plan {plan.id} samples persons of up to {plan.privacy.rows_per_person} rows, and "
            "this silo's policy names no person column to tell them by",
            hint="name it under 'person_column', or plan with one row a person",
        )


def verify_request(door: Doorkeeper, proposed: VerifiedPlan, data: bytes) -> VerifiedRequest:
    """Return the request in ``data`` under its plan; raise a SilosynthError otherwise."""
    plan, dataset = proposed.plan, proposed.dataset
    domain = dataset.domain
    check_size(len(data), request_limit(dataset.policy, plan=plan, domain=domain))
    opened = _open(door, data, purpose=Purpose.REQUEST)
    if opened is not None and opened.key != proposed.key:
        raise Untrusted("the request is signed by another key than its plan")
    request = decode_request(opened.body if opened else data)
    if request.silo != door.silo:
        raise Refused(f"the request is for silo {request.silo!r}")
    counted = dataset.schema if isinstance(dataset, TablesDataset) else domain
    cells = count_cells(request, plan=plan, counted=counted)
    check_request(dataset.policy, cells=cells, attributes=len(domain.attributes))
    phase = plan.phase(request.phase)
    if isinstance(dataset, Dataset):
        if fault := check_edges(dataset.schema, edges=request.edges or {}):
            raise InvalidPlan(f"the request cannot be answered: {fault}")
        _check_held(dataset, request)
        door.checkpoints.require(plan, dataset.schema)
    if request.training is not None:
        read_weights(request.weights, parameters=phase.cells)
    return VerifiedRequest(
        proposed=proposed,
        request=request,
        id=request.id,
        digest=request.digest,
        phase=phase,
        cells=cells,
        share=noise_share(
            plan,
            phase,
            marginals=_sums(request, plan=plan, phase=phase, cells=cells),
            length=(request.tables.length if request.tables else None) or 1,
        ),
    )


def with_inputs(door: Doorkeeper, verified: VerifiedRequest) -> VerifiedRequest:
    """Return a request with what the people held out are held against, worked out anew.

    It takes time and memory, so it comes after approval; and it may refuse, so before the charge.
    """
    plan = verified.proposed.plan
    settings = plan.evaluation
    if settings is None:
        return verified
    key = ("judged", plan.digest)
    judged = door.once(key, lambda: judge(plan, settings, find=door.find_sampler))
    check_bins(verified.proposed.dataset, judged)
    return replace(verified, judged=judged)


def _check_tables(dataset: AnyDataset, plan: Plan) -> None:
    """Raise PlanRefused for a plan of one table on several, and the reverse."""
    several = isinstance(dataset, TablesDataset)
    if several != plan.chosen.several_tables:
        raise PlanRefused(
            f"dataset {plan.dataset!r} has {'several tables' if several else 'one table'}, and "
            f"method {plan.method.value} is not for that",
            hint="make a plan for its schema with 'silosynth plan new'",
        )


def _check_columns(dataset: AnyDataset, plan: Plan) -> None:
    """Raise InvalidPlan where a plan says of any silo that it lacks what is no column.

    So there are no more of them than the schema has, whatever is worked out of them later.
    """
    columns = frozenset(dataset.domain.attributes)
    for silo, lacked in (plan.lacks or {}).items():
        if strange := next((c for c in lacked if c not in columns), None):
            raise InvalidPlan(
                f"plan {plan.id} says that silo {silo!r} lacks {strange!r}, which is no column "
                "that counts",
                hint="leave it out of --lacks",
            )


def _check_lacks(silo: str, dataset: Dataset, plan: Plan) -> None:
    """Raise PlanRefused unless a plan says of this silo's columns what its map does.

    Which columns a silo lacks is its operator's word, and public; no row is looked at.
    """
    stated = set((plan.lacks or {}).get(silo, ()))
    lacked = dataset.lacks.intersection(dataset.domain.attributes)
    if stated - lacked:
        raise PlanRefused(
            f"plan {plan.id} says that this silo lacks {min(stated - lacked)!r}, which it holds",
            hint="leave it out of --lacks, or have the silo's operator declare it absent",
        )
    if lacked - stated:
        raise PlanRefused(
            f"this silo holds no column {min(lacked - stated)!r}, and plan {plan.id} counts on it",
            hint=f"make the plan with --lacks '{silo}={','.join(sorted(lacked))}'",
        )


def _check_held(dataset: Dataset, request: Request) -> None:
    """Raise PlanRefused for a marginal over a column that the silo declares not to hold.

    In a sum all silos answer the same: there it adds its share of the noise, and no count.
    """
    if request.sum is not None:
        return
    for clique, _ in request.queries:
        if lacked := dataset.lacks.intersection(clique):
            raise PlanRefused(
                f"this silo holds no column {min(lacked)!r}", hint="make a plan that says so"
            )


def _sums(request: Request, *, plan: Plan, phase: Phase, cells: tuple[int, ...]) -> int:
    """Return how many noised vectors a request costs: one for each step of a round.

    Of marginals those that this silo's rows can move. In a secret sum it answers others too, with
    noise and no count, and its rows show in none of them. Of several tables every marginal, or one
    where persons are weighed.
    """
    if request.tables is not None:
        return len(cells) if phase.fineness is None else 1
    if request.training is None or plan.training is None:
        return plan.paid([clique for clique, _ in request.queries], silo=request.silo)
    return plan.training.local_steps


def charge_facts(verified: VerifiedRequest, *, agreed: AgreedSet | None) -> dict[str, str | int]:
    """Return the public facts that the ledger records beside a charge.

    In shared trust, the cost of the silo's share of the noise standing alone is one of them.
    """
    sums: dict[str, str | int] = {}
    if agreed is not None:
        sums = {"session": agreed.session, "set": agreed.digest}
        sums |= {"alone_units": verified.share.alone_units}
    return sums | {
        "plan": verified.proposed.digest,
        "plan_id": verified.proposed.plan.id,
        "phase": verified.phase.name.value,
        "marginals": len(verified.cells),
        **verified.proposed.plan.noise(verified.phase).stated,
        **_tables_facts(verified),
        **series_facts(verified.proposed.plan),
        **({"bound": verified.phase.bound} if verified.phase.bound > 1 else {}),
        **_training_facts(verified),
    }


def _tables_facts(verified: VerifiedRequest) -> dict[str, str | int]:
    """Return T where persons were weighed; the noise beside it is that at T = 1."""
    asked = verified.request.tables
    return {} if asked is None or asked.length is None else {"length": asked.length}


def _training_facts(verified: VerifiedRequest) -> dict[str, str | int]:
    """Return what the ledger records of a round of training."""
    step, training = verified.request.training, verified.proposed.plan.training
    if step is None or training is None:
        return {}
    return {
        "round": step.round,
        "steps": training.local_steps,
        "rate": str(verified.phase.rate),
        "weights": step.weights,
    }


def verify_step(door: Doorkeeper, proposed: VerifiedPlan, data: bytes) -> SumStep:
    """Return the step towards a sum in ``data``; raise a SilosynthError otherwise."""
    check_size(len(data), most_step_bytes(proposed.plan))
    trusted = None if proposed.key is None else (proposed.key,)
    return decode_sum_statement(data, SumStep, trusted=trusted)


def _name(door: Doorkeeper, key: PublicKey) -> str | None:
    """Return what the policy calls the holder of a key."""
    return None if door.identity is None else door.identity.coordinators[key]


def _open(door: Doorkeeper, data: bytes, *, purpose: Purpose) -> Opened | None:
    """Open an envelope of a trusted coordinator; None where nothing is signed."""
    if door.identity is None:
        return None
    return unseal(data, purpose=purpose, trusted=door.identity.coordinators.keys())
