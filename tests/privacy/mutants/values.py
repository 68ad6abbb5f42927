"""What a person's values are protected by: each change lets more out than is paid for."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_NEIGHBOURS = "tests/privacy/test_values_neighbours.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="values: one row more of each person is counted",
        path="client/source/people.py",
        old="kept = bounding.rank(persons, codes) < rows_per_person",
        new="kept = bounding.rank(persons, codes) <= rows_per_person",
        killed_by=(
            f"{_NEIGHBOURS}::test_a_person_more_moves_each_histogram_by_no_more_than_its_rows",
        ),
    ),
    Mutant(
        name="values: the order of the table says which rows count",
        path="client/source/people.py",
        old="kept = bounding.rank(persons, codes) < rows_per_person",
        new="kept = bounding.rank(persons, codes[:0]) < rows_per_person",
        killed_by=(
            f"{_NEIGHBOURS}::test_which_rows_of_a_person_count_does_not_hang_on_the_tables_order",
        ),
    ),
    Mutant(
        name="values: histograms leave without noise",
        path="client/gateway/gateway.py",
        old="        return noised(counts)\n",
        new="        return noised(counts) if verified.request.edges else tuple(counts)\n",
        killed_by=(f"{_NEIGHBOURS}::test_what_leaves_has_the_exact_law_of_counts_and_noise",),
    ),
    Mutant(
        name="values: all levels of a number are paid as one",
        path="server/methods/budget.py",
        old="for n, tree in trees.items() for _ in tree.asked()]",
        new="for n in trees]",
        killed_by=(f"{_NEIGHBOURS}::test_a_plan_pays_for_every_histogram_that_it_asks",),
    ),
    Mutant(
        name="values: hours and weekdays are asked for nothing",
        path="server/methods/budget.py",
        old="for n, tree in trees.items() for _ in tree.asked()]",
        new="for n, tree in trees.items() for _ in tree.asked().keys() - tree.shown.keys()]",
        killed_by=(f"{_NEIGHBOURS}::test_a_plan_pays_for_every_histogram_that_it_asks",),
    ),
    Mutant(
        name="values: a moment counts in an hour for each turn of its clocks",
        path="client/source/spec.py",
        old="        cells = self.partition.find(points[points >= 0])\n",
        new="        clocks = getattr(self.partition, 'clocks', None)\n"
        "        turns = 0 if clocks is None else len(clocks.turns)\n"
        "        cells = self.partition.find(np.tile(points[points >= 0], 1 + turns))\n",
        killed_by=(f"{_NEIGHBOURS}::test_one_row_more_moves_one_cell_of_each_histogram_by_one",),
    ),
    Mutant(
        name="values: clocks are counted of what is no moment",
        path="common/plan/values.py",
        old="if tree.clocks is not None and not has_clocks(attributes[name], tree.grid):",
        new="if tree.clocks is not None and name not in attributes:",
        killed_by=(f"{_NEIGHBOURS}::test_a_plan_over_clocks_of_what_is_no_moment_is_refused",),
    ),
    Mutant(
        name="values: a row counts in the leaf beside its own too",
        path="client/source/spec.py",
        old="counts: np.ndarray = np.bincount(cells[cells >= 0], minlength=self.partition.cells)",
        new="counts: np.ndarray = np.bincount(\n"
        "            np.concatenate((cells[cells >= 0], np.maximum(cells[cells > 0] - 1, 0))),\n"
        "            minlength=self.partition.cells,\n"
        "        )",
        killed_by=(f"{_NEIGHBOURS}::test_one_row_more_moves_one_cell_of_each_histogram_by_one",),
    ),
    Mutant(
        name="values: bins that are not the schema's are taken as they come",
        path="client/gateway/verify.py",
        old="    if fault := check_edges(dataset.schema, edges=request.edges or {}):\n",
        new="    if fault := check_edges(dataset.schema, edges={}):\n",
        killed_by=(f"{_NEIGHBOURS}::test_what_is_not_the_plans_is_refused_before_it_costs",),
    ),
    Mutant(
        name="values: a tree over other points than the schema's is taken",
        path="client/gateway/verify.py",
        old="    check_questions(plan, dataset.schema)\n",
        new="",
        killed_by=(f"{_NEIGHBOURS}::test_a_plan_over_other_points_than_the_schemas_is_refused",),
    ),
    Mutant(
        name="values: a missing value makes a person's rows come in any order in SQL",
        path="client/source/sql.py",
        old='absent = "-1" if attribute.missing else "0"',
        new='absent = "NULL" if attribute.missing else "0"',
        killed_by=(
            "tests/client/source/test_source_values.py"
            "::test_what_orders_a_persons_rows_in_sql_is_never_null",
        ),
    ),
)
