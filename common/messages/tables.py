"""What a request asks of several tables, held against its plan and the schema of the tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from silosynth.common.domain import Clique
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.families import (
    MOST_LENGTH,
    MOST_SCALE,
    NORM_BINS,
    Phase,
    Question,
    Weighing,
    single_views,
    view_domains,
    view_links,
)
from silosynth.common.plan import TABLES_PHASES, PhaseName, Plan, PlanModel, Views
from silosynth.common.plan import Phase as PlannedPhase
from silosynth.common.tables import TablesSchema

MOST_ATTRIBUTES = 2
"""Of one marginal, so that who approves a plan need not read its requests."""

ViewName = Annotated[str, Field(min_length=1, max_length=200)]
Scale = Annotated[int, Field(ge=1, le=MOST_SCALE)]


class TablesQuestions(PlanModel):
    """Marginals of views of whole families: which view, over what, how many times.

    In the phase ``lengths`` they are not answered: it is counted how long persons' counts over them
    are. ``length`` is T, the length that a person is weighed down to, in the phase ``later`` alone.
    """

    questions: tuple[tuple[ViewName, Clique, Scale], ...] = Field(
        min_length=1, max_length=100_000, description="view, attributes, scale"
    )
    length: int | None = Field(default=None, ge=1, le=MOST_LENGTH)

    def asked(self, phase: PlannedPhase) -> Phase:
        """Return what is counted in a phase of the plan."""
        questions = tuple(Question(view=v, clique=c, scale=s) for v, c, s in self.questions)
        if TABLES_PHASES[phase.name].lengths:
            return Phase(weighed=questions)
        if self.length is None or phase.fineness is None:
            return Phase(plain=questions)
        weighing = Weighing(fineness=phase.fineness, length=self.length)
        return Phase(weighed=questions, weighing=weighing)


def count_table_cells(
    asked: TablesQuestions, *, plan: Plan, phase: PlannedPhase, schema: TablesSchema
) -> tuple[int, ...]:
    """Check what is asked of families against the plan; return the cells of what is answered.

    Raises InvalidPlan for what the phase does not ask, CapExceeded for more than it allows.
    """
    found = asked.asked(phase)
    found.check(schema)
    questions = found.plain or found.weighed
    _check_names(questions, phase=phase.name, schema=schema)
    _check_links(questions, plan=plan, schema=schema)
    # How long counts are is measured by what the last phase may ask, and by no more.
    lengths = TABLES_PHASES[phase.name].lengths
    limit = plan.weighing if lengths else phase
    domains = view_domains(schema)
    cells = tuple(domains[q.view].size(q.clique) for q in questions)
    for what, number, most in (
        ("marginals", len(cells), limit.marginals),
        ("cells", sum(cells), limit.cells),
    ):
        if number > most:
            asked_for = f"phase {phase.name.value} asks for {number} {what}"
            raise CapExceeded(f"{asked_for}; the plan allows {most}")
    return (NORM_BINS,) if lengths else cells


def _check_names(
    questions: tuple[Question, ...], *, phase: PhaseName, schema: TablesSchema
) -> None:
    """Raise InvalidPlan for a view or marginal of another phase, or one that stands twice."""
    single = single_views(schema)
    views = {
        Views.PERSONS: {schema.person},
        Views.FIRST: single - {schema.person},
        Views.OTHERS: view_domains(schema).keys() - single,
    }[TABLES_PHASES[phase].views]
    for question in questions:
        if question.view not in views:
            raise InvalidPlan(f"phase {phase.value} does not ask about {question.view!r}")
        if not 1 <= len(question.clique) <= MOST_ATTRIBUTES:
            raise InvalidPlan(
                f"a marginal of {len(question.clique)} attributes is asked of {question.view!r}; "
                f"of families 1 to {MOST_ATTRIBUTES} are"
            )
    if len({(q.view, q.clique) for q in questions}) < len(questions):
        raise InvalidPlan(f"phase {phase.value} asks for a marginal twice")


def _check_links(questions: tuple[Question, ...], *, plan: Plan, schema: TablesSchema) -> None:
    """Raise InvalidPlan for a marginal of a link that the plan says is left out."""
    unlinked = frozenset(plan.unlinked or ())
    views = {question.view for question in questions} if unlinked else ()
    links = {view: view_links(schema, view) for view in views}
    for question in questions if unlinked else ():
        asked = {links[question.view].get(attribute) for attribute in question.clique}
        if told := sorted(link for link in unlinked if link in asked):
            raise InvalidPlan(f"plan {plan.id} leaves out {told[0]!r}, and it is asked about")
