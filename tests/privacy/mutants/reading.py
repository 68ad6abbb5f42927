"""What one row holds may not show in others: each change makes readers go by a row."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_READING = "tests/privacy/test_reading.py::"
_PARSING = "common/codec/written/parsing.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="reading: one text with nanoseconds has all others read one by one",
        path=_PARSING,
        old="lost = np.flatnonzero(np.isnan(numbers) & texts",
        new="lost = np.flatnonzero(texts",
        killed_by=(f"{_READING}test_one_text_with_nanoseconds_makes_no_others_read_one_by_one",),
    ),
    Mutant(
        name="reading: one text with nanoseconds loses the years far off",
        path=_PARSING,
        old='if len(texts) > 1 and instants.type.unit == "ns":',
        new='if not len(texts) and instants.type.unit == "ns":',
        killed_by=(f"{_READING}test_one_text_with_nanoseconds_changes_no_far_rows_code",),
    ),
    Mutant(
        name="reading: a span of many digits warns on standard error",
        path="common/codec/written/spans.py",
        old='with np.errstate(over="ignore"):',
        new='with np.errstate(over="warn"):',
        killed_by=(f"{_READING}test_a_span_of_many_digits_is_the_longest_and_warns_nobody",),
    ),
    Mutant(
        name="reading: a span with odd units warns on standard error",
        path="common/codec/written/frames.py",
        old='warnings.simplefilter("ignore")',
        new='warnings.simplefilter("default")',
        killed_by=(f"{_READING}test_a_span_with_odd_units_warns_nobody",),
    ),
)
