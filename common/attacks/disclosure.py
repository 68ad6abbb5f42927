"""The three risks that regulators name, by nearest rows: inference, linkability, singling out.

After Giomi et al. 2023 (Anonymeter) and Article 29 Working Party, opinion 05/2014. Each attack is
tried on members and on as many other people; what counts is the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.attacks.membership import Scores, excess, membership
from silosynth.common.attacks.people import Arena, cell_digests
from silosynth.common.report import Measure
from silosynth.common.scores import MOST_COMPARED, Column, Values
from silosynth.common.scores.value_bins import value_bins
from silosynth.common.seeded import SeededWords

TRIES = 1_000
NEIGHBOURS = 5
SECRETS = 3
_MOST_LABELS = 64
_PREDICATE = 5
_SETS = 50
_FINE = 32
_CHUNK = 64
_JITTER = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """What the nearest synthetic rows of some people tell, (people,) each.

    ``guessed`` is by secret which people's secret they gave away, ``linked`` whose two halves met,
    ``distance`` how far away the nearest is, from 0 to the number of columns.
    """

    guessed: tuple[np.ndarray, ...]
    linked: np.ndarray
    distance: np.ndarray


def disclosures(
    arena: Arena, *, secrets: Sequence[str], seed: int
) -> tuple[list[Measure], list[Measure]]:
    """Return the three risks, and what distances say, which is no evidence.

    Args: secrets: what is inferred; the lists of most labels where none is named.
    """
    table = _some(arena.synthetic, most=MOST_COMPARED, seed=seed, purpose="neighbours")
    people = [_some(v, most=TRIES, seed=seed, purpose="victims") for v in arena.equal()]
    hidden = _secrets(arena.reference, secrets)
    found = [_nearest(v, table, secrets=hidden, seed=seed) for v in people]
    inferred = [
        excess(
            "secrets inferred, beyond those of other people",
            *(side.guessed[i] for side in found),
            target=table.names[place],
        )
        for i, place in enumerate(hidden)
    ]
    linked = [
        excess(
            "halves of a record linked, beyond those of other people", *(s.linked for s in found)
        )
    ]
    return (
        [*inferred, *(linked if len(table.columns) > 1 else ()), singled_out(arena, seed=seed)],
        _distances(found),
    )


def _some(values: Values, *, most: int, seed: int, purpose: str) -> Values:
    """Return at most so many rows, chosen at random."""
    if values.rows <= most:
        return values
    return values.take(SeededWords(seed=seed, purpose=purpose).permutation(values.rows)[:most])


def _secrets(known: Values, named: Sequence[str]) -> list[int]:
    """Return the columns whose value is guessed: lists of few labels."""
    lists = [
        i
        for i, c in enumerate(known.columns)
        if c.listed and 2 <= len(np.unique(c.codes)) <= _MOST_LABELS
    ]
    if len(known.columns) < 2:
        return []
    wanted = [i for i in lists if known.names[i] in named]
    if wanted:
        return wanted[:SECRETS]
    lists.sort(key=lambda i: -len(np.unique(known.columns[i].codes)))
    return lists[:SECRETS]


def _nearest(people: Values, table: Values, *, secrets: Sequence[int], seed: int) -> Nearest:
    """Find the nearest rows, a few people at a time."""
    guessed = [np.zeros(people.rows, dtype=bool) for _ in secrets]
    linked, distance = np.zeros(people.rows, dtype=bool), np.zeros(people.rows)
    ties = [_ties(table.rows, seed=seed, half=half) for half in ("left", "right")]
    for rows, columns in _chunks(people, table):
        middle = (len(columns) + 1) // 2
        nothing = np.zeros_like(columns[0])
        halves = [sum(part, nothing) for part in (columns[:middle], columns[middle:])]
        whole = halves[0] + halves[1]
        distance[rows] = whole.min(axis=1)
        linked[rows] = _meet(*(h + t for h, t in zip(halves, ties, strict=True)))
        for hit, place in zip(guessed, secrets, strict=True):
            best = (whole - columns[place] + ties[0]).argmin(axis=1)
            codes = people.columns[place].codes[rows]
            hit[rows] = table.columns[place].codes[best] == codes
    return Nearest(guessed=tuple(guessed), linked=linked, distance=distance)


def _ties(rows: int, *, seed: int, half: str) -> np.ndarray:
    """Return (rows,) float32 near 0 that part rows of one distance, each half by its own."""
    drawn = SeededWords(seed=seed, purpose=f"ties-{half}").uniform(rows)
    found: np.ndarray = (drawn * _JITTER).astype(np.float32)
    return found


def _meet(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return (people,) bool, whether a row is among the five nearest by both halves."""
    nearest = [np.argpartition(h, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS] for h in (left, right)]
    met: np.ndarray = (nearest[0][:, :, None] == nearest[1][:, None, :]).any(axis=(1, 2))
    return met


def _chunks(people: Values, table: Values) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Yield (people, rows) float32 distances by column, of a few people at a time (Gower 1971)."""
    pairs = [_comparable(*p) for p in zip(people.columns, table.columns, strict=True)]
    for start in range(0, people.rows, _CHUNK):
        rows = slice(start, min(start + _CHUNK, people.rows))
        yield rows, [_apart(own[rows], others) for own, others in pairs]


def _comparable(own: Column, others: Column) -> tuple[np.ndarray, np.ndarray]:
    """Return both columns as codes, or as float32 ranks in the table with -2 for missing."""
    if own.listed:
        return own.codes.astype(np.int32), others.codes.astype(np.int32)
    present = np.sort(others.numbers[~others.missing])
    most = max(len(present), 1)
    ranked = []
    for column in (own, others):
        sides = [np.searchsorted(present, column.numbers, side=s) for s in ("left", "right")]
        rank = (sides[0] + sides[1]) / (2 * most)
        ranked.append(np.where(column.missing, -2, rank).astype(np.float32))
    return ranked[0], ranked[1]


def _apart(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (people, rows) float32: 0 for equal values, at most 1."""
    if own.dtype == np.int32:
        found: np.ndarray = (own[:, None] != others).astype(np.float32)
        return found
    gap: np.ndarray = own[:, None] - others
    np.abs(gap, out=gap)
    np.minimum(gap, 1, out=gap)
    return gap


def singled_out(arena: Arena, *, seed: int) -> Measure:
    """Return how much oftener what is unique in the table is unique among members than others.

    A predicate names the cells of five columns; the table's own quantiles are its cells.
    """
    table = arena.synthetic
    bins = [value_bins(c, count=_FINE) for c in table.columns]
    cells = [
        [b.cells(c) for b, c in zip(bins, v.columns, strict=True)] for v in (table, *arena.equal())
    ]
    words = SeededWords(seed=seed, purpose="predicates")
    width = min(_PREDICATE, len(bins))
    hits = [np.zeros((2, 0), dtype=bool)]
    for _ in range(_SETS):
        chosen = words.permutation(len(bins))[:width]
        digests = [cell_digests([t[i] for i in chosen]) for t in cells]
        values, counts = np.unique(digests[0], return_counts=True)
        alone = values[counts == 1]
        tried = alone[words.permutation(len(alone))[: TRIES // _SETS]]
        hits.append(np.stack([_occur(tried, side) == 1 for side in digests[1:]]))
    found = np.concatenate(hits, axis=1)
    if not found.size:
        found = np.zeros((2, 1), dtype=bool)  # nothing is unique, so nobody is singled out
    return excess("people singled out by what is unique in the table, beyond other people", *found)


def _occur(wanted: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Return (wanted,) int64, how often each occurs."""
    ordered = np.sort(digests)
    found: np.ndarray = np.searchsorted(ordered, wanted, side="right") - np.searchsorted(
        ordered, wanted, side="left"
    )
    return found


def _distances(found: Sequence[Nearest]) -> list[Measure]:
    """Return what distances to the closest record say: an exhibit, and no evidence."""
    near = Scores(how="the closest record", members=-found[0].distance, others=-found[1].distance)
    middle = [float(np.median(side.distance)) for side in found]
    exhibit = membership(near)[0]
    return [
        exhibit,
        exhibit.model_copy(
            update={
                "name": "median distance to the closest record, in columns",
                "value": middle[0],
                "ceiling": middle[1],
                "floor": 0.0,
                "low": None,
                "high": None,
            }
        ),
    ]
