"""What a method is to those who plan and run it: a recipe, and the values that go through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from silosynth.common.certificate import Certificate
from silosynth.common.domain import Clique, Grouping
from silosynth.common.generator import CentralStep
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.messages import FINE, Release, Request, SumProof, TablesQuestions
from silosynth.common.plan import Method, Phase, PhaseName, Plan, PlannedTree, Trust
from silosynth.common.sampler import AnySampler, NeuralSampler
from silosynth.common.schema import Schema
from silosynth.server.generator import Learning, ask_round
from silosynth.server.measuring import Carried, Measured, working_grouping

WORKING = "working"
"""The level that the model is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a plan is made within: one person's budget, and how many silos' noise adds up.

    ``trees`` are over numbers' values, which every method's phases come after, of ``columns`` in
    all; ``rows_at_most`` is a public bound on all silos' rows, where one is known; ``holdings`` is
    what each silo holds of the columns, where not all hold all.
    """

    epsilon: float
    delta: float
    rows_per_person: int
    silos: int
    trust: Trust
    trees: Mapping[str, PlannedTree] = field(default_factory=dict)
    columns: int = 0
    rows_at_most: int | None = None
    holdings: tuple[frozenset[str], ...] = ()

    def paid(self, cliques: Sequence[Clique]) -> int:
        """Return for how many of these marginals a silo pays at most: those of what it holds."""
        held = [[h.issuperset(c) for c in cliques] for h in self.holdings]
        return max(map(sum, held)) if held else len(cliques)

    def asked(self, cliques: Sequence[Clique]) -> int:
        """Return how many of these marginals a silo is asked at most.

        In shared trust all silos are asked for all that somebody holds.
        """
        if not (self.holdings and self.trust.masked):
            return self.paid(cliques)
        return sum(any(h.issuperset(c) for h in self.holdings) for c in cliques)

    def holders(self, cliques: Sequence[Clique]) -> float:
        """Return how many silos' noise adds up in a sum that somebody has a part in, on average."""
        if self.trust.masked:
            return 1.0
        if not self.holdings:
            return float(self.silos)
        held = [sum(h.issuperset(c) for h in self.holdings) for c in cliques]
        return sum(held) / max(sum(map(bool, held)), 1)

    @property
    def shares(self) -> int:
        """Return how many silos' noise makes up a phase's; below 1 where the silos are too few."""
        return self.trust.shares(self.silos)

    @property
    def noises(self) -> int:
        """Return how many times a phase's noise is in a sum over all silos."""
        return self.silos if self.trust.shares(self.silos) == 1 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a method puts into a plan: phases, and ``says``, the fields that belong to it.

    ``counts`` tells whether a public bound on all rows bounds its sums.
    """

    phases: tuple[Phase, ...]
    says: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = True


class Options(Protocol):
    """What a person may choose of a method, as a frozen value."""

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Return phases that cost at most the budget; raise InvalidPlan where there are none."""


class Flags(Protocol):
    """What the command line says of a method: a frozen dataclass, its fields with their help."""

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return the choices that were made; raise InvalidArgument for what cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the coordinator knows of a run: the sums of the phases before, and who answered.

    ``merging`` are the 1-ways that codes are merged by, the same in every phase of a run; without
    them, those that were measured. ``counted`` is each silo's release of its 1-ways, ``learning``
    where training stands, ``generator`` one that was trained on this run before, ``candidates``
    those of each round of votes. ``carried`` is what the last sampler says, of a plan that renews
    it; it is in ``merging`` already.
    """

    plan: Plan
    schema: Schema
    measured: Measured
    merging: Sequence[Measurement] = ()
    counted: Mapping[str, Release] = field(default_factory=dict)
    silos: tuple[str, ...] = ()
    learning: Learning | None = None
    generator: NeuralSampler | None = None
    carried: Carried = field(default_factory=Carried)
    candidates: Mapping[PhaseName, tuple[str, ...]] = field(default_factory=dict)

    @property
    def one_way(self) -> Sequence[Measurement]:
        """Return the 1-way marginals; none where no phase asked for them."""
        return self.measured.get(PhaseName.ONE_WAY, ())

    @property
    def rare_merged(self) -> Grouping:
        """Return the merge of rare codes, which the models of most methods are over."""
        return working_grouping(self.schema, self.merged_by)

    @property
    def merged_by(self) -> Sequence[Measurement]:
        """Return the 1-way marginals that codes are merged by."""
        return self.merging or self.one_way


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The same marginals for every silo, or the next round of training.

    Without queries or a round, the phase is skipped. ``edges`` are where the bins of numbers begin
    by what was counted of their values, ``leaves`` those that are looked into once more. ``tables``
    is what is asked where there are several, ``scores`` the numbers that codes stand for,
    ``central`` around what pictures rows are looked at, ``candidates`` the texts that rows vote
    for.
    """

    queries: tuple[MarginalQuery, ...] = ()
    levels: Mapping[str, Grouping] = field(default_factory=dict)
    learning: Learning | None = None
    edges: Mapping[str, tuple[int, ...]] | None = None
    leaves: Mapping[str, tuple[int, ...]] | None = None
    tables: TablesQuestions | None = None
    scores: Mapping[str, tuple[int, ...]] | None = None
    central: CentralStep | None = None
    candidates: tuple[str, ...] | None = None

    @property
    def empty(self) -> bool:
        """Say whether nothing is asked."""
        return not self.queries and self.learning is None and self.tables is None

    @property
    def of_all(self) -> bool:
        """Say whether every silo is asked, whatever it holds."""
        return self.learning is not None or self.tables is not None

    @property
    def groupings(self) -> dict[str, Grouping]:
        """Return how codes are merged at each level that is asked at; a plain one merges none."""
        return {q.level: Grouping() for q in self.queries} | dict(self.levels)

    def asked_of(self, silo: str, *, plan: Plan) -> tuple[MarginalQuery, ...]:
        """Return what one silo is asked: what it holds; in shared trust all are asked the same."""
        if plan.masked or not (plan.lacks or {}).get(silo):
            return self.queries
        return tuple(q for q in self.queries if plan.holds(silo, q.clique))

    def asks(self, silo: str, *, plan: Plan) -> bool:
        """Say whether a silo is asked anything."""
        return bool(self.asked_of(silo, plan=plan))

    def held(self, *, plan: Plan, silos: Sequence[str]) -> Question:
        """Return what somebody holds all columns of; nobody can be asked the rest."""
        queries = tuple(q for q in self.queries if plan.holders(q.clique, silos=silos))
        return self if len(queries) == len(self.queries) else replace(self, queries=queries)

    def request(
        self, *, plan: Plan, phase: PhaseName, silo: str, proof: SumProof | None = None
    ) -> Request:
        """Return the request of one silo; in shared trust it carries the ``proof`` of its set."""
        if self.learning is not None:
            return Request(
                plan_digest=plan.digest,
                phase=phase,
                silo=silo,
                training=ask_round(self.learning, plan=plan, silo=silo),
                edges=self.edges,
                sum=proof,
            ).with_weights(self.learning.encoded)
        return Request(
            plan_digest=plan.digest,
            phase=phase,
            silo=silo,
            levels={name: dict(g.groups) for name, g in self.levels.items()},
            queries=tuple((q.clique, q.level) for q in self.asked_of(silo, plan=plan)),
            edges=self.edges,
            leaves=self.leaves,
            scores=self.scores,
            central=self.central,
            candidates=self.candidates,
            tables=self.tables,
            sum=proof,
        )


class Model(Protocol):
    """What a run came to, as expected counts: of any small clique, and of many pairs."""

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the expected counts over a clique, row-major as it is named."""

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a finished run hands out.

    ``measurements`` are over the working domain that ``grouping`` makes of the schema's.
    """

    sampler: AnySampler
    certificate: Certificate
    model: Model
    measurements: tuple[Measurement, ...]
    grouping: Grouping


def _nothing(plan: Plan) -> Iterator[str]:
    """Say nothing of a plan beyond its phases."""
    yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The candidates that a round of votes needs and has not yet: ``kept``, and one for each line.

    An empty line asks for a new text, any other for a variation of it.
    """

    phase: PhaseName
    lines: tuple[str, ...]
    kept: tuple[str, ...] = ()


def _nothing_wanted(phase: PhaseName, known: Known) -> Wanted | None:
    """Want no candidates."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One method: its options, what each phase after the first asks, and what is made of it all.

    ``describe`` says in lines what a plan's table of phases does not; ``draws`` tells that the
    result is a trained generator, ``replicates`` that runs as they might have gone can be made of
    its counts, and say how far off its result is, ``wants`` which candidates have to be made
    before a phase, ``components`` how many a mixture that is handed out has at most; nought where
    none is.
    """

    name: Method
    options: type[Options]
    ask: Callable[[PhaseName, Known], Question]
    finish: Callable[[Known], Outcome]
    flags: type[Flags] | None = None
    describe: Callable[[Plan], Iterator[str]] = _nothing
    draws: bool = False
    replicates: bool = True
    wants: Callable[[PhaseName, Known], Wanted | None] = _nothing_wanted
    components: Callable[[Plan], int] = lambda _: 0


def ask_cliques(cliques: Sequence[Clique], *, name: str, grouping: Grouping) -> Question:
    """Ask ``cliques`` at a level; the level is called fine when it merges nothing."""
    if not grouping.groups:
        return Question(queries=tuple(MarginalQuery(clique=c, level=FINE) for c in cliques))
    return Question(
        queries=tuple(MarginalQuery(clique=c, level=name) for c in cliques),
        levels={name: grouping},
    )
