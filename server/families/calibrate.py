"""Later rows held against what was noised of them, once more when all laws are fitted.

A law that is hardly off from row to row is further off after hundreds of rows. So whole histories
are drawn, and the law is tilted by how often their codes come, and stay, beside how often they
should. Nothing but drawn rows and what was noised is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from silosynth.common.families import PREVIOUS, SAME, later_of
from silosynth.common.forest import MOST_SCORE, NEVER, Chain, Step, Term, to_scores
from silosynth.common.tables import TablesSchema, number_name
from silosynth.server.families.evidence import Evidence
from silosynth.server.families.population import draw_histories

ROUNDS = 3
POWER, NUMBER_POWER = 0.5, 0.5
"""Of the ratio of shares, of an attribute and of it by how many rows a parent has: a tilt adds up
over a history, as an error does. Those by other columns above as well would add up together.
"""
LEAST = 1e-4
"""The least share that a ratio is taken of."""
FEWEST_ROWS = 20.0
"""Rows of each code above that are drawn as they should be, for all that was drawn."""


def calibrate(
    schema: TablesSchema,
    chains: Mapping[str, Chain],
    *,
    inside: Mapping[str, np.ndarray],
    gaps: Mapping[str, np.ndarray],
    table: str,
    evidence: Evidence,
) -> Chain:
    """Return the law of a table's later rows, tilted where parents have many; else as it is.

    Args:
        chains: those of the tables above, of first rows, and of later ones.
        evidence: what was noised of later rows.
    """
    view = later_of(table)
    for round_ in range(ROUNDS):
        rows = draw_histories(schema, chains, inside=inside, gaps=gaps, table=table, number=round_)
        if rows is None:
            break
        number = f"{schema.tables[table].parent}: {number_name(table)}"
        law = chains[view]
        steps = tuple(_tilted(step, rows, evidence=evidence, number=number) for step in law.steps)
        chains = {**chains, view: Chain(domain=law.domain, own=law.own, steps=steps)}
    return chains[view]


def _tilted(step: Step, rows: Mapping[str, np.ndarray], *, evidence: Evidence, number: str) -> Step:
    """Return a step whose code comes as often as was noised, given how many rows a parent has.

    The number of rows comes first: what was noised is of weighed rows, the weights hang on it.
    """
    name = step.attribute
    if name not in evidence.shares:
        return step
    have, want = _tables(name, number, rows, evidence=evidence)
    tilt = _ratio(want.sum(axis=0), have.sum(axis=0))
    by_number = _by_code(have * np.exp(tilt), want)
    terms = []
    for term in step.terms:
        if term.given == ():
            terms.append(_moved(term, POWER * tilt[None, :]))
        elif term.given == (number,):
            terms.append(_moved(term, NUMBER_POWER * by_number))
        elif term.given == (f"{PREVIOUS}{name}", number):
            stays = _by_code(*_tables(f"{SAME}{name}", number, rows, evidence=evidence))
            odds = NUMBER_POWER * (stays[:, 1] - stays[:, 0])
            each = np.eye(len(tilt))[:, None, :] * odds[None, :, None]
            terms.append(_moved(term, each.reshape(term.scores.shape)))
        else:
            terms.append(term)
    return replace(step, terms=tuple(terms))


def _tables(
    attribute: str, column: str, rows: Mapping[str, np.ndarray], *, evidence: Evidence
) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes of the column, codes) float64: rows as drawn, and as they should be."""
    sizes = evidence.domain.sizes((column, attribute))
    cells = rows[column].astype(np.int64) * sizes[1] + rows[attribute]
    have = np.bincount(cells, minlength=sizes[0] * sizes[1]).reshape(sizes).astype(float)
    shares = np.tile(evidence.shares[attribute], (sizes[0], 1))
    pair = evidence.given(attribute, [column]).get(column)
    if pair is not None:
        shares *= np.exp(pair.logarithms)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    return have, have.sum(axis=1, keepdims=True) * shares


def _ratio(want: np.ndarray, have: np.ndarray) -> np.ndarray:
    shares = (want / max(want.sum(), 1e-12) + LEAST) / (have / max(have.sum(), 1e-12) + LEAST)
    found: np.ndarray = np.log(shares)
    return found


def _by_code(have: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Return the logarithms by which each code's rows differ, of few rows next to nothing."""
    codes = have.shape[1]
    least = 0.02 * want.sum(axis=1, keepdims=True) / codes + FEWEST_ROWS / codes
    ends = [t + least for t in (want, have)]
    ends = [t / t.sum(axis=1, keepdims=True) for t in ends]
    found: np.ndarray = np.log(ends[0] / ends[1])
    return found


def _moved(term: Term, logarithms: np.ndarray) -> Term:
    moved = np.clip(term.scores + to_scores(logarithms), -MOST_SCORE, MOST_SCORE)
    scores = np.where(term.scores == NEVER, NEVER, moved).astype(np.int32)
    return Term(given=term.given, scores=scores)
