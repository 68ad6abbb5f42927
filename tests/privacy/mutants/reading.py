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
    Mutant(
        name="reading: one text with an offset moves the days of all others",
        path="common/codec/written/moments.py",
        old="chosen: np.ndarray = marked[positions]",
        new="chosen: np.ndarray = np.full(len(column), marked.any())",
        killed_by=(
            "tests/common/codec/test_by_itself.py::"
            "test_one_text_with_an_offset_moves_no_other_texts_day",
        ),
    ),
    Mutant(
        name="reading: an instant that is far off warns on standard error",
        path="common/codec/written/moments.py",
        old="inside = np.abs(instants) < _FARTHEST_LOCAL",
        new="inside = ~np.isnan(instants)",
        killed_by=("tests/common/codec/test_by_itself.py::test_no_instant_is_too_far_for_a_zone",),
    ),
    Mutant(
        name="reading: one word in letters of another alphabet fails a column",
        path="common/codec/written/moment_words.py",
        old="word = known.get(_fold(found[group]))",
        new="word = known[found[group].casefold()]",
        killed_by=(
            "tests/common/codec/test_by_itself.py::"
            "test_no_letter_of_another_alphabet_fails_a_column",
        ),
    ),
)
