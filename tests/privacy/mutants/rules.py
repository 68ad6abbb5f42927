"""What rules and made-up columns promise: each change reads what is not to be read, or lies."""

from __future__ import annotations

from privacy.mutants.mutant import Mutant

_UNREAD = "tests/client/test_unread_columns.py"
_GENERATED = "tests/common/test_generated.py"

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
)
