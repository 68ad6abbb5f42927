"""Maps: their content leaves, what fits leaves, or a column that nobody holds is counted."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_MAPS = "tests/client/gateway/test_gateway_maps.py::"
_HELD = "tests/privacy/test_held.py::"
_FIT = "tests/client/silo/test_fit.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="a map is named by a hash that whoever guesses its content can find out",
        path="client/maps/silo_map.py",
        old='key = hashlib.blake2b(b"map", key=secret[:64], digest_size=32).digest()',
        new='key = b""',
        killed_by=(
            _MAPS + "test_nothing_of_a_map_leaves_but_its_name_under_the_silos_own_key",
            "tests/client/maps/test_maps.py::"
            "test_a_digest_names_the_content_to_those_alone_who_have_the_secret",
        ),
    ),
    Mutant(
        name="a silo answers for a column that it does not hold",
        path="client/gateway/verify.py",
        old="if lacked := dataset.lacks.intersection(clique):",
        new="if lacked := frozenset[str]():",
        killed_by=(_MAPS + "test_a_column_that_a_silo_lacks_is_never_counted",),
    ),
    Mutant(
        name="in a sum a silo counts its rows for a column that it does not hold",
        path="client/gateway/asked.py",
        old="held = [not asked.lacks.intersection(clique) for clique, _ in asked.request.queries]",
        new="held = [True for clique, _ in asked.request.queries]",
        killed_by=(_MAPS + "test_in_a_sum_a_silo_counts_nothing_of_what_it_lacks",),
    ),
    Mutant(
        name="a sum may ask for more of what a silo holds than the plan pays for",
        path="common/messages/request.py",
        old="silo=request.silo)) > phase.paid:",
        new="silo=request.silo)) > phase.marginals:",
        killed_by=(
            _HELD + "test_a_plan_that_states_fewer_marginals_than_a_silo_holds_is_not_answered",
        ),
    ),
    Mutant(
        name="a silo pays in a sum for fewer marginals than its rows move",
        path="common/plan/plan.py",
        old="return max(sum(lacking.isdisjoint(clique) for clique in cliques), 1)",
        new="return max(sum(lacking.isdisjoint(clique) for clique in cliques) // 2, 1)",
        killed_by=(
            _HELD + "test_no_row_moves_more_marginals_of_a_sum_than_its_silo_pays_for",
            _HELD + "test_a_silo_is_charged_for_what_its_rows_can_move_in_a_sum",
        ),
    ),
    Mutant(
        name="a plan over a sum says that one silo holds less than it does",
        path="server/methods/method.py",
        old="return max(map(sum, held)) if held else len(cliques)",
        new="return min(map(sum, held)) if held else len(cliques)",
        killed_by=(_HELD + "test_a_secret_sum_of_unequal_parts_pays_for_the_largest",),
    ),
    Mutant(
        name="a plan may count on a column that a silo declares absent",
        path="client/gateway/verify.py",
        old="    if lacked - stated:\n",
        new="    if lacked < stated:\n",
        killed_by=(
            _MAPS + "test_a_plan_that_says_otherwise_of_the_columns_is_refused_by_what_is_public",
        ),
    ),
    Mutant(
        name="a map that nobody reviewed is served",
        path="client/maps/check.py",
        old="if drafted := silo_map.drafted():",
        new="if drafted := ():",
        killed_by=(_MAPS + "test_an_unreviewed_map_is_not_served",),
    ),
    Mutant(
        name="an audit can find out by trying what a person was told of the rows",
        path="client/silo/fit.py",
        old='key = hashlib.blake2b(b"fit", key=self._secret()[:64], digest_size=32).digest()',
        new='key = b"fit"',
        killed_by=(_FIT + "test_the_name_of_what_was_told_needs_the_silos_secret",),
    ),
    Mutant(
        name="a person approves what hardly fits without a word",
        path="client/desk/fit.py",
        old="if unfit and not although:",
        new="if False and unfit and not although:",
        killed_by=(_FIT + "test_a_person_does_not_approve_what_hardly_fits_without_a_word",),
    ),
)
