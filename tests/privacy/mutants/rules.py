"""What rules and made-up columns promise: each change reads what is not to be read, or lies."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_UNREAD = "tests/client/source/test_unread_columns.py"
_GENERATED = "tests/common/generated/test_generated.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="rules: a made-up column is loaded by the gateway",
        path="common/schema/schema.py",
        old="        return frozenset((*ignored, *(a.name for a in self.generated)))\n",
        new="        return frozenset(ignored)\n",
        killed_by=(f"{_UNREAD}::test_it_may_be_absent_and_no_reader_asks_for_it",),
    ),
    Mutant(
        name="rules: a database computes columns that nobody counts",
        path="client/source/from_duckdb.py",
        old="rows.select(*columns).to_arrow_reader(_BATCH_ROWS)",
        new="rows.select(*columns, duckdb.StarExpression()).to_arrow_reader(_BATCH_ROWS)",
        killed_by=(f"{_UNREAD}::test_a_database_is_asked_for_no_more_columns",),
    ),
    Mutant(
        name="rules: two rows get one key",
        path="common/generated/words.py",
        old="    if place == last:\n",
        new="    if place > last:\n",
        killed_by=(f"{_GENERATED}::test_a_pattern_writes_each_of_its_words_once",),
    ),
    Mutant(
        name="rules: a pattern that writes one word in two ways passes",
        path="common/rules/pattern.py",
        old="    if words_of(part) != _distinct(part, text=text):\n",
        new="    if words_of(part) < _distinct(part, text=text):\n",
        killed_by=(f"{_GENERATED}::test_a_pattern_that_cannot_be_made_is_refused_in_a_line",),
    ),
    Mutant(
        name="rules: a merged cell is impossible where one code of it is",
        path="common/schema/zeros.py",
        old="np.logical_and.at(whole, lookup, np.moveaxis(mask, axis, 0))",
        new="whole[lookup] |= np.moveaxis(mask, axis, 0)",
        killed_by=(
            "tests/server/model/test_zeros.py::"
            "test_zeros_of_an_order_are_merged_and_a_merged_cell_is_one_only_where_all_of_it_is",
        ),
    ),
    Mutant(
        name="rules: finished rows are not looked at",
        path="common/sampler/keeping.py",
        old="        mask = np.logical_and.reduce(list(checks.values()))\n",
        new="        mask = np.ones(table.num_rows, dtype=bool)\n",
        killed_by=(
            "tests/common/sampler/test_keeping.py::test_rows_that_break_a_rule_are_drawn_again",
        ),
    ),
    Mutant(
        name="rules: how far drawing again moved the rows is not said",
        path="common/sampler/keeping.py",
        old="        return 1 - self.kept / self.drawn if self.drawn else 0.0\n",
        new="        return 0.0\n",
        killed_by=(
            "tests/common/sampler/test_keeping.py::test_the_bias_is_what_was_drawn_in_vain",
        ),
    ),
    Mutant(
        name="rules: a row that breaks a rule is told of outside",
        path="common/codec/ruled.py",
        old="    gap = np.clip(np.round(gap) if recipe.whole else gap, *bounds_of(counted))\n",
        new="    gap = np.round(gap) if recipe.whole else gap\n"
        "    assert (gap >= 0).all(), gap.min()\n",
        killed_by=(
            "tests/common/sampler/test_keeping.py::test_rows_that_break_a_rule_are_coded_as_any",
        ),
    ),
)
