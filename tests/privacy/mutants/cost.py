"""What a plan allows, what that costs, and what of it a silo charges."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

REQUEST, COST = (
    "common/messages/request.py",
    "common/accounting/noise.py",
)
LIMITS, PLANS = "tests/privacy/test_plan_limits.py::", "tests/common/plan/test_plan.py::"
ROUNDS = (
    "tests/faults/test_hostile_rounds.py::test_no_phase_about_pairs_asks_more_than_was_approved"
)
SUMS = "tests/privacy/test_sum_attacks.py::"
BEYOND = LIMITS + "test_a_signed_request_beyond_its_plan_is_refused_and_not_charged"
STATED = LIMITS + "test_all_sessions_of_a_sum_are_within_what_the_certificate_states"
TOGETHER = LIMITS + "test_what_is_stated_is_the_epsilon_of_all_attempts_together"
BURNED = (
    "tests/simulations/test_shared_noise.py::"
    "test_a_silo_that_leaves_after_the_set_is_signed_burns_the_request_and_that_is_said_first"
)

_TOO_MANY = """if len(request.queries) > phase.marginals:
        raise CapExceeded(
            f"phase {phase.name.value} asks for {len(request.queries)} marginals; "
            f"the plan allows {phase.marginals}"
        )
    if (paid := plan.paid([c for c, _ in request.queries], silo=request.silo)) > phase.paid:"""
"""What a phase may ask stands twice: of all that is asked, and of what one silo holds."""
_TWICE = "if len({(frozenset(c), level) for c, level in request.queries}) != len(request.queries):"
MUTANTS = (
    Mutant(
        name="one marginal too many",
        path=REQUEST,
        old=_TOO_MANY,
        new=_TOO_MANY.replace("phase.marginals:", "phase.marginals + 1:").replace(
            "phase.paid:", "phase.paid + 1:"
        ),
        killed_by=(
            BEYOND + "[one marginal too many]",
            PLANS + "test_a_request_that_is_not_the_plans_is_refused",
        ),
    ),
    Mutant(
        name="a marginal twice",
        path=REQUEST,
        old=_TWICE,
        new="if not request.queries:",
        killed_by=(
            BEYOND + "[a marginal twice]",
            ROUNDS + "[mixture-a pair and its reverse]",
            PLANS + "test_a_request_that_is_not_the_plans_is_refused",
        ),
    ),
    Mutant(
        name="cliques that the plan does not hold",
        path=REQUEST,
        old="_check_cliques(request, phase=phase.name, plan=plan, domain=domain)",
        new="pass",
        killed_by=(
            BEYOND + "[another clique]",
            BEYOND + "[a one-way for a pair]",
            PLANS + "test_a_phase_gives_only_the_marginals_that_were_approved",
        ),
    ),
    Mutant(
        name="cells beyond the plan",
        path=REQUEST,
        old="if sum(cells) > phase.cells:",
        new="if sum(cells) < 0:",
        killed_by=(PLANS + "test_a_request_that_is_not_the_plans_is_refused",),
    ),
    Mutant(
        name="attempts left out of the cost",
        path="common/plan/phases.py",
        old="count=phase.paid * attempts,",
        new="count=phase.paid,",
        killed_by=(STATED + "[2]", STATED + "[3]", TOGETHER, BURNED),
    ),
    Mutant(
        name="attempts left out of the certificate",
        path="common/certificate/certify.py",
        old="count=p.paid * plan.attempts,",
        new="count=p.paid,",
        killed_by=(STATED + "[2]", TOGETHER, BURNED),
    ),
    Mutant(
        name="shares of all silos, colluders among them",
        path="common/plan/trust.py",
        old="return silos - self.colluders - self.absent",
        new="return silos - self.absent",
        killed_by=(
            SUMS + "test_what_colluders_leave_of_the_noise_has_the_stated_variance",
            SUMS + "test_the_sum_is_charged_and_the_silo_alone_is_recorded",
        ),
    ),
    Mutant(
        name="a person of many rows costs as one of one row",
        path="common/accounting/noise.py",
        old="sensitivity=rows_per_person * self.bound,",
        new="sensitivity=self.bound,",
        killed_by=(
            "tests/privacy/test_one_shot.py::test_silos_charge_the_norm_that_a_person_can_add[3]",
        ),
    ),
    Mutant(
        name="rho rounded down",
        path=COST,
        old="return -((-rho * RHO_UNIT) // 1)",
        new="return (rho * RHO_UNIT) // 1",
        killed_by=("tests/privacy/test_accounting.py::test_units_round_up_by_less_than_one",),
    ),
)
