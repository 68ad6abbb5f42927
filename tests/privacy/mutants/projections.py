"""What bounds a projected row: each change lets it move a sum further than is paid for."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_PATH = "common/generator/projection.py"
_TESTS = "tests/common/generator/test_projection.py"
_PRIVACY = "tests/privacy/test_projection.py"
_BOUND = f"{_TESTS}::test_no_scores_dimensions_or_seed_let_a_row_move_a_sum_beyond_the_bound"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="projections: long rows are not scaled down, nor looked at",
        path=_PATH,
        old="    within: np.ndarray = np.where(inside, whole, 0.0).astype(np.int64)\n",
        new="    within = np.rint(rows * (most / math.sqrt(radius2))).astype(np.int64)\n",
        killed_by=(_BOUND,),
    ),
    Mutant(
        name="projections: a row counts unless it is shown to be outside",
        path=_PATH,
        old="<= LENGTH**2\n    within: np.ndarray = np.where(inside, whole, 0.0)",
        new="> LENGTH**2\n    within: np.ndarray = np.where(inside, 0.0, whole)",
        killed_by=(f"{_TESTS}::test_a_row_that_is_not_shown_to_be_within_counts_as_zeros",),
    ),
    Mutant(
        name="projections: products weigh more than twice a square together",
        path=_PATH,
        old="SUM_WEIGHT, SQUARE_WEIGHT, CROSS_WEIGHT = 5 * LENGTH, 5, 7",
        new="SUM_WEIGHT, SQUARE_WEIGHT, CROSS_WEIGHT = 5 * LENGTH, 5, 8",
        killed_by=(_BOUND,),
    ),
    Mutant(
        name="projections: sums are left out of the norm",
        path=_PATH,
        old="    squared = (SUM_WEIGHT * LENGTH) ** 2 + SQUARE_WEIGHT**2 * LENGTH**4\n",
        new="    squared = SQUARE_WEIGHT**2 * LENGTH**4\n",
        killed_by=(_BOUND,),
    ),
    Mutant(
        name="projections: a plan may state another norm",
        path="common/plan/methods.py",
        old="return 1 if phase.name is PhaseName.ONE_WAY else int(getattr(self, self.asked).bound)",
        new="return phase.bound",
        killed_by=(f"{_PRIVACY}::test_a_plan_that_states_another_norm_is_refused",),
    ),
    Mutant(
        name="projections: scores are not looked at",
        path="common/generator/projection.py",
        old="    if set(scores) != set(inputs):\n",
        new="    if not scores:\n",
        killed_by=(
            f"{_PRIVACY}::"
            "test_a_gateway_refuses_what_is_no_projection_of_its_table_and_charges_nothing",
        ),
    ),
)
