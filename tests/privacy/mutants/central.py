"""What bounds a picture: each change lets it move a sum further than is paid for."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_PATH = "common/generator/central.py"
_TESTS = "tests/common/generator/test_central.py"
_PRIVACY = "tests/privacy/test_central.py"
_BOUND = f"{_TESTS}::test_no_centres_radius_or_side_let_a_row_move_a_sum_beyond_the_bound"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="central images: pictures are summed without clipping",
        path=_PATH,
        old="rows = bounded_rows(central.pictures(part), radius2=central.radius2)",
        new="rows = np.rint(central.pictures(part) * central.scale).astype(np.int64)",
        killed_by=(_BOUND,),
    ),
    Mutant(
        name="central images: differences are summed without clipping",
        path=_PATH,
        old="add_moments(bounded_rows(apart, radius2=step.radius**2), classes, total=total)",
        new="add_moments(np.rint(apart).astype(np.int64), classes, total=total)",
        killed_by=(_BOUND,),
    ),
    Mutant(
        name="central images: a plan may state another norm",
        path="common/plan/methods.py",
        old="return self.central.bounds.get(phase.name.value, 1)",
        new="return phase.bound",
        killed_by=(f"{_PRIVACY}::test_a_plan_that_states_another_norm_is_refused",),
    ),
    Mutant(
        name="central images: a request's pictures are not looked at",
        path=_PATH,
        old="        if len(self.centres) != classes:\n",
        new="        if not self.centres:\n",
        killed_by=(
            f"{_PRIVACY}::test_a_request_that_is_not_the_plans_is_refused_before_anything_is_read",
        ),
    ),
)
