"""The words of a pattern by their numbers, and one for each row by what chance gives it.

By the row's number alone: no list is held, and any row can be made first. For made-up values only,
never for noise: the words can be told from one another's neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from silosynth.common.errors import InvalidSampler
from silosynth.common.rules import Choice, Part, Series, Signs, longest, parse_pattern, words_of
from silosynth.common.seeded import check_whole

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 6
_EVEN_BITS = 6
_NUMBERS_BITS = np.uint64(40)
MOST_PERMUTED = 2**62
"""The largest space of a permutation."""


def word_of(seed: int, purpose: str) -> int:
    """Return 64 bits for a seed and a purpose."""
    check_whole(seed, name="the seed")
    digest = hashlib.sha256(f"silosynth/generated/{purpose}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def row_words(*, seed: int, purpose: str, rows: np.ndarray) -> np.ndarray:
    """Return (rows,) uint64, a function of seed, purpose and each row's number.

    Guarantees: different rows have different words.

    Args: rows: (rows,) uint64 numbers of rows.
    """
    return _mixed(np.uint64(word_of(seed, purpose)) + (rows + np.uint64(1)) * _GOLDEN)


def even_words(*, seed: int, purpose: str, rows: np.ndarray) -> np.ndarray:
    """Return (rows,) uint64 as :func:`row_words`, spread evenly over all words.

    Few rows then have codes as often as their law says, and not as chance has it.

    Guarantees: of each 64 rows from a multiple of 64 on, one has its word in each 64th of the
    range, in an order that seed and purpose decide. Rows from number 2^40 on have words of their
    own.
    """
    words = row_words(seed=seed, purpose=purpose, rows=rows)
    bits, low = np.uint64(_EVEN_BITS), np.uint64((1 << _EVEN_BITS) - 1)
    keys = row_words(seed=seed, purpose=f"{purpose}/even", rows=rows >> bits)
    place = rows & low
    for round_ in range(3):
        # Each step is a permutation of the 64 places: by what is odd, by an offset, by a shift.
        key = keys >> np.uint64(16 * round_)
        place = (place * (key | np.uint64(1)) + (key >> bits)) & low
        place ^= place >> np.uint64(_EVEN_BITS // 2)
    even = (place << (np.uint64(64) - bits)) | (words >> bits)
    return np.where(rows >> _NUMBERS_BITS, words, even)


def permuted(rows: np.ndarray, *, space: int, seed: int, purpose: str) -> np.ndarray:
    """Return (rows,) uint64 below ``space``: a keyed permutation of the numbers below it.

    A balanced Feistel network over the next even number of bits, walked until it is inside (Black
    and Rogaway 2002).

    Args: rows: (rows,) uint64, each below ``space``, which is at most 2^62.
    """
    half = np.uint64(max((space - 1).bit_length() + 1, 2) // 2)
    low = np.uint64((1 << int(half)) - 1)
    keys = [np.uint64(word_of(seed, f"{purpose}/{i}")) for i in range(_ROUNDS)]
    found = rows.copy()
    left = np.arange(len(rows))
    while left.size:
        values = found[left]
        a, b = values >> half, values & low
        for key in keys:
            a, b = b, a ^ (_mixed(b + key) & low)
        found[left] = (a << half) | b
        left = left[found[left] >= np.uint64(space)]
    return found


def _mixed(words: np.ndarray) -> np.ndarray:
    """Return words of which each bit depends on each (splitmix64; Steele et al. 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def chosen(words: np.ndarray, *, of: int) -> np.ndarray:
    """Return (rows,) int64 in [0, of), ``of`` at most 2^31, from the upper half of each word."""
    return ((words >> np.uint64(32)) * np.uint64(of) >> np.uint64(32)).astype(np.int64)


def as_uniform(words: np.ndarray) -> np.ndarray:
    """Return (rows,) float64 in [0, 1), multiples of 2^-53."""
    uniform: np.ndarray = (words >> np.uint64(11)) * 2.0**-53
    return uniform


def words_by_row(pattern: str, *, seed: int, column: str, first_row: int, rows: int) -> pa.Array:
    """Return a word of the pattern for each row: no two rows of one draw have the same.

    Raises InvalidSampler where there are fewer words than rows.
    """
    part = parse_pattern(pattern)
    if words_of(part) < first_row + rows:
        raise InvalidSampler(
            f"column {column!r}: pattern {pattern!r} has {words_of(part):,} words, fewer than rows",
            hint=f"allow more signs, or draw at most {words_of(part):,} rows",
        )
    numbers = np.arange(first_row, first_row + rows, dtype=np.uint64)
    return words_at(pattern, seed=seed, column=column, numbers=numbers)


def words_at(pattern: str, *, seed: int, column: str, numbers: np.ndarray) -> pa.Array:
    """Return the words of the rows with these numbers, each below the words that there are.

    Guarantees: rows of different numbers have different words, whatever rows are asked for.
    """
    numbers = numbers.astype(np.uint64)
    pieces = _split(parse_pattern(pattern))
    texts = [
        _spelled(piece, _number(i, piece, numbers, seed=seed, column=column, last=len(pieces) - 1))
        for i, piece in enumerate(pieces)
    ]
    return pa.array(_joined(texts), pa.large_string())


def _number(
    place: int, piece: Part, rows: np.ndarray, *, seed: int, column: str, last: int
) -> np.ndarray:
    """Return the number of the word that a piece has in each row; the last one's differ."""
    space, purpose = words_of(piece), f"pattern/{column}/{place}"
    if place == last:
        return permuted(rows, space=space, seed=seed, purpose=purpose)
    return row_words(seed=seed, purpose=purpose, rows=rows) % np.uint64(space)


def _split(part: Part) -> list[Part]:
    """Return pieces of at most 2^62 words each; the last one has enough for any table."""
    if words_of(part) <= MOST_PERMUTED:
        return [part]
    if isinstance(part, Choice):
        return _split(max(part.parts, key=words_of))
    assert isinstance(part, Series)
    pieces: list[Part] = []
    open_: list[Part] = []
    for inner in reversed(part.parts):
        if words_of(inner) > MOST_PERMUTED:
            pieces += [Series(tuple(reversed(open_)))] if open_ else []
            pieces += reversed(_split(inner))
            open_ = []
        elif words_of(Series((inner, *open_))) > MOST_PERMUTED:
            pieces.append(Series(tuple(reversed(open_))))
            open_ = [inner]
        else:
            open_.append(inner)
    pieces += [Series(tuple(reversed(open_)))] if open_ else []
    return list(reversed(pieces))


def _spelled(part: Part, numbers: np.ndarray) -> np.ndarray:
    """Return (rows,) text: the words of a part with these numbers, counted from its last place."""
    if isinstance(part, Signs):
        return np.array(list(part.signs))[numbers.astype(np.int64)]
    if isinstance(part, Choice):
        return _one_of(part, numbers)
    texts: list[np.ndarray] = []
    for inner in reversed(part.parts):
        size = np.uint64(words_of(inner))
        texts.append(_spelled(inner, numbers % size))
        numbers = numbers // size
    return _joined(list(reversed(texts))) if texts else np.full(len(numbers), "")


def _one_of(part: Choice, numbers: np.ndarray) -> np.ndarray:
    """Return words of a choice: its parts' words are numbered one part after the other."""
    ends = np.cumsum([words_of(p) for p in part.parts], dtype=np.uint64)
    which = np.searchsorted(ends, numbers, side="right")
    texts = np.full(len(numbers), "", dtype=f"<U{max(longest(part), 1)}")
    for i, inner in enumerate(part.parts):
        rows = which == i
        begin = ends[i] - np.uint64(words_of(inner))
        texts[rows] = _spelled(inner, numbers[rows] - begin)
    return texts


def _joined(texts: Sequence[np.ndarray]) -> np.ndarray:
    """Return texts one after the other; parts of one sign in every row take no time."""
    if len(texts) == 1:
        return texts[0]
    widths = [t.dtype.itemsize // 4 for t in texts]
    whole = np.zeros((len(texts[0]), max(sum(widths), 1)), dtype=np.uint32)
    at = np.zeros(len(whole), dtype=np.int64)
    fixed = 0
    for text, width in zip(texts, widths, strict=True):
        signs = np.ascontiguousarray(text).view(np.uint32).reshape(len(text), width)
        if at.any() or (signs[:, -1:] == 0).any():
            lengths = np.char.str_len(text)
            for i in range(width):
                there = lengths > i
                whole[there, fixed + at[there] + i] = signs[there, i]
            at += lengths
        else:
            whole[:, fixed : fixed + width] = signs
            fixed += width
    return whole.view(f"<U{whole.shape[1]}").reshape(len(whole))
