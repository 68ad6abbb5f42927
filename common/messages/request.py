"""What a silo is asked in one message, held against its plan: never more than the plan allows.

In shared trust it carries every participant's keys, and its word on the set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from silosynth.common.digest import Digest, canonical_json, digest_of
from silosynth.common.document import describe_validation
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    MOST_CANDIDATES,
    MOST_SCORE,
    Candidate,
    CentralStep,
    central_cells,
    feature_cells,
    projection_cells,
    vote_cells,
)
from silosynth.common.measurement import MarginalQuery
from silosynth.common.messages.proof import SumProof, proof_json
from silosynth.common.messages.tables import TablesQuestions, count_table_cells
from silosynth.common.plan import (
    ABOUT_CENTRES,
    MOST_MARGINALS,
    OF_ALL_ATTRIBUTES,
    OF_PICTURES,
    OF_VALUES,
    OF_VOTES,
    TABLES_PHASES,
    Name,
    Phase,
    PhaseName,
    Plan,
    PlanModel,
    TrainingStep,
    Weights,
    frame_weights,
    read_json,
    unframe_weights,
)
from silosynth.common.tables import TablesSchema

FINE = "fine"
_MOST_SPELLED = 10**18


Point = Annotated[int, Field(ge=0, le=2**48)]
Score = Annotated[int, Field(ge=-MOST_SCORE, le=MOST_SCORE)]


class Request(PlanModel):
    """The marginals that one phase asks of one silo, or one round of training.

    The weights that a round starts from travel behind the request's JSON, which has their digest.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset(
        {"training", "edges", "leaves", "scores", "central", "candidates", "tables"}
    )
    _weights: bytes | None = PrivateAttr(default=None)

    version: Literal[1] = 1
    plan_digest: Digest
    phase: PhaseName
    silo: Name
    levels: Mapping[str, Mapping[str, tuple[int, ...]]] = Field(default_factory=dict, max_length=8)
    queries: tuple[tuple[Clique, str], ...] = Field(default=(), max_length=MOST_MARGINALS)
    edges: Mapping[str, tuple[Point, ...]] | None = Field(
        default=None,
        max_length=4096,
        description="per number, the points at which its second and later bins begin; as the "
        "schema has them without it",
    )
    leaves: Mapping[str, tuple[Point, ...]] | None = Field(
        default=None, max_length=4096, description="in the phase closer: which are looked into"
    )
    scores: Mapping[str, tuple[Score, ...]] | None = Field(
        default=None,
        max_length=4096,
        description="in the phase projection: per attribute the number that each code stands for",
    )
    central: CentralStep | None = Field(
        default=None, description="in the phase around: around what rows are looked at"
    )
    candidates: tuple[Candidate, ...] | None = Field(
        default=None,
        max_length=MOST_CANDIDATES,
        description="in the phases of votes: the public texts that rows vote for",
    )
    training: TrainingStep | None = None
    tables: TablesQuestions | None = Field(
        default=None, description="in the phases of the method families, and only there"
    )
    sum: SumProof | None = Field(default=None, description="in shared trust, and only there")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        trains, several = self.phase is PhaseName.TRAINING, TABLES_PHASES.get(self.phase)
        counts = not trains and several is None
        if (self.training is not None, bool(self.queries)) != (trains, counts):
            raise ValueError("a request asks for marginals, or in the phase training for a round")
        if not counts and self.levels:
            raise ValueError("levels: a round of training has none, nor has what tables are asked")
        stated = None if self.tables is None else self.tables.length is not None
        if stated != (None if several is None else several.weighs):
            raise ValueError("tables, length: belong to phases of several tables; later has length")
        if several is not None and self.edges is not None:
            raise ValueError("edges: several tables are counted as their schema has them")
        if (self.leaves is not None) != (self.phase is PhaseName.CLOSER):
            raise ValueError("leaves: the phase closer names them, and no other")
        if (self.scores is not None) != (self.phase is PhaseName.PROJECTION):
            raise ValueError("scores: the phase projection has them, and no other")
        if (self.central is not None) != (self.phase is ABOUT_CENTRES):
            raise ValueError("central: the phase around has it, and no other")
        if self.phase in OF_PICTURES and self.levels:
            raise ValueError("levels: central images are of codes as the schema has them")
        if (self.candidates is not None) != (self.phase in OF_VOTES):
            raise ValueError("candidates: the phases of votes have them, and no other")
        if self.phase in OF_VALUES and (self.edges is not None or self.levels):
            raise ValueError("edges, levels: values are counted as the plan's trees have them")
        return self

    @property
    def weights(self) -> bytes | None:
        """Return the weights of a round, (parameters,) little-endian float32."""
        return self._weights

    def with_weights(self, weights: Weights) -> Request:
        """Return the request with the weights that its round starts from.

        Raises InvalidPlan when they are not those whose digest it states.
        """
        if self.training is None or weights.digest != self.training.weights:
            raise InvalidPlan("the weights are not those that the request names")
        carrying = self.model_copy()
        carrying._weights = weights.data
        return carrying

    @property
    def id(self) -> str:
        """Return the name of this request: one for each plan, phase, silo, and session of sums."""
        session = self.sum.session if self.sum else None
        number = self.training.round if self.training else None
        return request_id(
            self.plan_digest, phase=self.phase, silo=self.silo, session=session, number=number
        )

    @property
    def key_id(self) -> str:
        """Return the name of the key that masks this request: rounds of training share one."""
        session = self.sum.session if self.sum else None
        return request_id(self.plan_digest, phase=self.phase, silo=self.silo, session=session)

    @property
    def asked_of_all(self) -> str:
        """Return ``sha256:`` and the hash of what the request has in common with other silos'."""
        return digest_of(_canonical(self, without=frozenset({"silo", "sum"})))

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical bytes."""
        return digest_of(_canonical(self))

    def groupings(self) -> dict[str, Grouping]:
        """Return the levels as groupings; ``fine`` merges nothing."""
        return {FINE: Grouping()} | {n: Grouping(groups=dict(g)) for n, g in self.levels.items()}

    def marginals(self) -> tuple[MarginalQuery, ...]:
        """Return the queries as values."""
        return tuple(MarginalQuery(clique=c, level=level) for c, level in self.queries)


def request_id(
    plan_digest: str,
    *,
    phase: PhaseName,
    silo: str,
    session: int | None,
    number: int | None = None,
) -> str:
    """Return the name of a request; ``number`` is its round of training, from 0."""
    step = phase.value if number is None else f"{phase.value}-{number}"
    step = step if session is None else f"{step}.{session}"
    return f"{request_prefix(plan_digest)}{step}/{silo}"


def request_prefix(plan_digest: str) -> str:
    """Return what the names of all requests of one plan begin with."""
    return plan_digest.removeprefix("sha256:")[:32] + "/"


def count_cells(request: Request, *, plan: Plan, counted: Domain | TablesSchema) -> tuple[int, ...]:
    """Check a request against its plan and return the cells of each marginal.

    Args: counted: the domain of the one table, or the schema of several.

    Cells are Python integers computed before anything is allocated. Raises InvalidPlan when the
    request is not the plan's, CapExceeded when it asks for more than the plan's phase holds.
    """
    if request.plan_digest != plan.digest:
        raise InvalidPlan("the request belongs to another plan")
    if request.silo not in plan.silo_names:
        raise InvalidPlan(f"silo {request.silo!r} is not in plan {plan.id}")
    if (request.sum is not None) != plan.masked:
        raise InvalidPlan(f"plan {plan.id} has {plan.trust.value} noise; the request has not")
    if request.sum is not None and request.sum.session > plan.attempts:
        raise CapExceeded(
            f"session {request.sum.session} was asked for; the plan allows {plan.attempts}"
        )
    phase = plan.phase(request.phase)
    if isinstance(counted, TablesSchema):
        if request.tables is None:
            raise InvalidPlan(f"plan {plan.id} is not for several tables")
        return count_table_cells(request.tables, plan=plan, phase=phase, schema=counted)
    if request.tables is not None:
        raise InvalidPlan(f"plan {plan.id} is for several tables")
    return _one_table_cells(request, plan=plan, phase=phase, domain=counted)


def _one_table_cells(
    request: Request, *, plan: Plan, phase: Phase, domain: Domain
) -> tuple[int, ...]:
    """Return the cells of each marginal of one table, or of a round."""
    if request.training is not None:
        return _training_cells(request.training, plan=plan, phase=phase)
    if FINE in request.levels:
        raise InvalidPlan("the level 'fine' is reserved for codes as the schema has them")
    if len(request.queries) > phase.marginals:
        raise CapExceeded(
            f"phase {phase.name.value} asks for {len(request.queries)} marginals; "
            f"the plan allows {phase.marginals}"
        )
    if (paid := plan.paid([c for c, _ in request.queries], silo=request.silo)) > phase.paid:
        raise CapExceeded(
            f"phase {phase.name.value} asks for {paid} marginals of what silo {request.silo} "
            f"holds; the plan allows {phase.paid}"
        )
    if len({(frozenset(c), level) for c, level in request.queries}) != len(request.queries):
        raise InvalidPlan(f"phase {phase.name.value} asks for a marginal twice")
    # A plan that renews keeps the bins of the last sampler's numbers, and looks at no values.
    renews = plan.renews is not None and not plan.values
    if request.edges is not None and not (renews or set(request.edges) <= set(plan.values or {})):
        raise InvalidPlan(f"plan {plan.id} has no tree over a number whose bins were sent")
    cells: tuple[int, ...]
    if plan.chosen.evaluates:
        if request.levels or request.edges is not None or request.queries[0][1] != FINE:
            raise InvalidPlan("an evaluation asks for one vector, by what its sampler says")
        cells = (phase.cells,)
    elif phase.name in OF_VALUES:
        cells = tuple(_value_cells(request, plan, c, level) for c, level in request.queries)
    else:
        domains = {name: g.domain(domain) for name, g in request.groupings().items()}
        if not all(clique for clique, _ in request.queries):
            raise InvalidPlan("a marginal needs at least one attribute")
        count = _counter(request, plan)
        cells = tuple([count(_level(domains, name), clique) for clique, name in request.queries])
    if sum(cells) > phase.cells:
        raise CapExceeded(
            f"phase {phase.name.value} asks for {_number(sum(cells))} cells; "
            f"the plan allows {phase.cells}"
        )
    _check_cliques(request, phase=phase.name, plan=plan, domain=domain)
    return cells


def _value_cells(request: Request, plan: Plan, clique: Clique, level: str) -> int:
    """Return the cells of one histogram of a number's points."""
    tree = (plan.values or {}).get(clique[0]) if len(clique) == 1 else None
    if tree is None:
        raise InvalidPlan(f"plan {plan.id} has no tree over {', '.join(clique)}")
    if request.leaves is not None:
        return tree.closer(request.leaves.get(clique[0], ()), level=level).cells
    cells = tree.asked().get(level)
    if cells is None:
        raise InvalidPlan(f"unknown level {level!r}")
    return cells


def _training_cells(step: TrainingStep, *, plan: Plan, phase: Phase) -> tuple[int, ...]:
    """Return the cells of a round: one for each weight; raise CapExceeded beyond the last round."""
    if plan.training is None or step.round >= plan.training.rounds:
        raise CapExceeded(f"round {step.round} was asked for; the plan of {plan.id} ends before")
    if (step.batch is None) != plan.masked:
        raise InvalidPlan("a round has a batch with own noise, and none with shared noise")
    return (phase.cells,)


def _check_cliques(request: Request, *, phase: PhaseName, plan: Plan, domain: Domain) -> None:
    """Raise InvalidPlan for a clique that its phase does not ask: who approves goes by the name."""
    whole = phase in OF_ALL_ATTRIBUTES or plan.chosen.evaluates
    listed = {domain.attributes} if whole else set(plan.workload)
    if plan.votes is not None and phase in OF_VOTES:
        listed = {(plan.votes.label,)}
    by_name = whole or phase is PhaseName.WORKLOAD
    arity = 1 if phase in (*OF_VALUES, PhaseName.ONE_WAY) else 2
    for clique, _ in request.queries:
        if clique not in listed if by_name else len(clique) != arity:
            raise InvalidPlan(
                f"phase {phase.value} asks for a marginal of {len(clique)} attributes that the "
                "plan does not hold"
            )


def _number(cells: int) -> str:
    """Spell a number of cells, which may have thousands of digits."""
    return str(cells) if cells <= _MOST_SPELLED else "more than 10^18"


def _level(domains: Mapping[str, Domain], name: str) -> Domain:
    """Return the domain of a level; raise InvalidPlan for a level that was not sent."""
    if name not in domains:
        raise InvalidPlan(f"unknown level {name!r}")
    return domains[name]


def _counter(request: Request, plan: Plan) -> Callable[[Domain, Clique], int]:
    """Return what says the cells of one marginal, or of one sum of features, projections, votes."""
    if request.phase is PhaseName.EMBEDDING and plan.features is not None:
        features = plan.features
        return lambda domain, clique: feature_cells(features, clique=clique, domain=domain)
    if request.phase is PhaseName.PROJECTION and plan.projection is not None:
        projection, scores = plan.projection, request.scores or {}
        return lambda domain, clique: projection_cells(
            projection, clique=clique, domain=domain, scores=scores
        )
    if request.phase in OF_PICTURES and plan.central is not None:
        central, step = plan.central, request.central
        return lambda domain, clique: central_cells(
            central, clique=clique, domain=domain, step=step
        )
    if request.phase in OF_VOTES and plan.votes is not None:
        if request.levels or request.edges is not None:
            raise InvalidPlan("votes are by the classes of the label as the schema has them")
        votes, candidates = plan.votes, request.candidates
        return lambda domain, clique: vote_cells(
            votes, clique=clique, domain=domain, candidates=candidates
        )
    return Domain.size


def encode_request(request: Request) -> bytes:
    """Return the canonical JSON of a request, which its hash covers, and its weights if any."""
    header = _canonical(request)
    return header if request.weights is None else frame_weights(header, request.weights)


def _canonical(request: Request, *, without: Set[str] = frozenset()) -> bytes:
    """Return the canonical JSON of a request; what all silos are asked alike, and its proof, once.

    A proof grows with the silos, and queries with the square of the attributes.
    """
    rest = request.model_dump(mode="json", exclude={"queries", "sum", *without})
    texts = {name: canonical_json(value) for name, value in rest.items()}
    texts["queries"] = _queries_json(request.queries)
    if "sum" not in without:
        texts["sum"] = b"null" if request.sum is None else proof_json(request.sum)
    return b"{%s}" % b",".join(b'"%s":%s' % (n.encode(), t) for n, t in sorted(texts.items()))


@lru_cache(1)
def _queries_json(queries: tuple[tuple[Clique, str], ...]) -> bytes:
    """Return the canonical JSON of what is asked: of the last one alone, as of a proof."""
    return canonical_json(queries)


def decode_request(data: bytes) -> Request:
    """Parse the bytes of a request; raise InvalidPlan on anything unknown, or other weights."""
    header, weights = unframe_weights(data)
    value = read_json(header, origin="request")
    try:
        request = Request.model_validate(value)
    except ValidationError as err:
        raise InvalidPlan(f"request: {describe_validation(err, value)}") from err
    return request if weights is None else request.with_weights(Weights(weights))
