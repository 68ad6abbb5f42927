"""Private Evolution: candidates that a generator writes, and the votes of rows for the nearest.

The generator is the coordinator's alone and has seen no row. Votes say which of its texts, or of
its pictures, are like those of each class; a further round varies those that stand out. What is
drawn is the candidates of the last round, by its votes, so a text is as good as the generator
writes (Lin et al. 2023; for texts Xie et al. 2024; any program as a generator, Lin et al. 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ValidationError

from silosynth.common.codec import modelled_texts
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.generator import (
    DIGITS,
    GREYS,
    NGRAMS,
    Alphabet,
    VoteSettings,
    alike_pictures,
    alike_to,
    check_votes,
    digest_checkpoint,
    pictures_of,
)
from silosynth.common.measurement import MarginalQuery
from silosynth.common.plan import OF_VOTES, Method, PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.measuring import estimate_rows
from silosynth.server.methods.budget import (
    MAX_CELLS_PER_MARGINAL,
    Size,
    calibrated,
    check_components,
    check_total,
)
from silosynth.server.methods.marginals import check_zeros, hand_out
from silosynth.server.methods.method import (
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
    Wanted,
)

CANDIDATES, PICTURES, ROUNDS = 100, 400, 1
"""Candidates in a round, texts or pictures, and rounds: see docs/decisions/134 and 142."""

ONE_WAY_SHARE = Fraction(1, 20)
"""The part of rho that says how many rows each class has."""

_KEPT = Fraction(1, 2)
"""The most of a further round's candidates that are the last one's winners; the rest vary them."""

_OUT_OF_NOISE = 2
"""Of the noise's standard deviation, what votes have to be above, and what is taken off them."""

_NEAR, _NEAR_PICTURES = 4, 32
"""The power of the likeness by which a candidate takes votes of others as its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """How many candidates in a round, how many rounds, and which characters they are made of."""

    candidates: int | None = None
    vote_rounds: int = ROUNDS
    alphabet: str = Alphabet.LATIN.value
    embedding: str | None = None

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Split the budget: a twentieth for the classes, the rest evenly over the rounds."""
        pictures = bool(schema.images)
        settings = _settings(
            schema,
            candidates=self.candidates or (PICTURES if pictures else CANDIDATES),
            alphabet=Alphabet.GREYS.value if pictures else self.alphabet,
            embedding=self.embedding or (GREYS if pictures else NGRAMS),
        )
        if not 1 <= self.vote_rounds <= len(OF_VOTES):
            raise InvalidPlan(
                f"{self.vote_rounds} rounds of votes are out of range",
                hint=f"use 1 to {len(OF_VOTES)}",
            )
        classes = schema.domain.size((settings.label,))
        cells = settings.candidates * classes
        if cells > MAX_CELLS_PER_MARGINAL:
            raise InvalidPlan(
                f"the votes make {cells} cells; at most {MAX_CELLS_PER_MARGINAL} are allowed",
                hint="give fewer --candidates, or merge classes of the label",
            )
        if pictures:
            check_components(schema, settings.candidates)
        rounds = OF_VOTES[: self.vote_rounds]
        sizes = {PhaseName.ONE_WAY: Size(marginals=1, cells=classes)}
        sizes |= {n: Size(marginals=1, cells=cells) for n in rounds}
        each = (1 - ONE_WAY_SHARE) / self.vote_rounds
        parts = {PhaseName.ONE_WAY: ONE_WAY_SHARE} | dict.fromkeys(rounds, each)
        return Design(
            phases=calibrated(check_total(sizes), shares=parts, terms=terms),
            says={"votes": settings},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VotesFlags:
    """What the command line says of candidates."""

    candidates: Annotated[
        int | None, "For votes: most candidates in a round. Default: 100 texts or 400 pictures."
    ] = None
    vote_rounds: Annotated[int, "For votes: rounds, 1 to 3; each has a part of the budget."] = (
        ROUNDS
    )
    alphabet: Annotated[
        Alphabet, "For votes: the characters of candidates; pictures have greys."
    ] = Alphabet.LATIN
    embedding: Annotated[
        Path | None, "For votes: a folder of token vectors by which texts are near."
    ] = None

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return the choices that were made."""
        return {
            "candidates": self.candidates,
            "vote_rounds": self.vote_rounds,
            "alphabet": self.alphabet.value,
            "embedding": None if self.embedding is None else digest_checkpoint(self.embedding),
        }


def _settings(schema: Schema, *, candidates: int, alphabet: str, embedding: str) -> VoteSettings:
    """Return what a plan says of candidates; raise InvalidPlan where rows cannot vote."""
    check_zeros(schema, method=Method.VOTES)
    pixels = {name for image in schema.images for name in image.attributes}
    longest = max(modelled_texts(schema).values(), default=1)
    try:
        settings = VoteSettings(
            candidates=candidates,
            max_bytes=DIGITS * len(pixels) if pixels else longest,
            alphabet=Alphabet(alphabet),
            embedding=embedding,
            label=next((a for a in schema.domain.attributes if a not in pixels), "?"),
        )
    except (ValidationError, ValueError) as err:
        raise InvalidPlan(
            f"{candidates} candidates in the alphabet {alphabet!r} are out of range",
            hint="use 2 to 2048 candidates, and ascii, latin or any; pictures of up to 2048 pixels "
            "are in greys",
        ) from err
    check_votes(settings, schema)
    return settings


def _wants(phase: PhaseName, known: Known) -> Wanted | None:
    """Want the first candidates before anything is asked, and those of a later round before it."""
    about = OF_VOTES[0] if phase is PhaseName.ONE_WAY else phase
    if about not in OF_VOTES or about in known.candidates:
        return None
    most = _settings_of(known.plan).candidates
    if about is OF_VOTES[0]:
        return Wanted(phase=about, lines=("",) * most)
    before = OF_VOTES[OF_VOTES.index(about) - 1]
    parents = _winners(known, before, most=int(most * _KEPT))
    return Wanted(phase=about, kept=tuple(parents), lines=_spread(parents, most - len(parents)))


def _winners(known: Known, phase: PhaseName, *, most: int) -> dict[str, float]:
    """Return the candidates of a round that stand out of the noise most, and by how many votes."""
    standing = _standing(known, phase).sum(axis=1)
    order = np.argsort(-standing, kind="stable")[: max(most, 1)]
    candidates = known.candidates[phase]
    found = {candidates[i]: float(standing[i]) for i in order.tolist() if standing[i] > 0}
    return found or {candidates[int(order[0])]: 1.0}


def _spread(parents: Mapping[str, float], count: int) -> tuple[str, ...]:
    """Return so many lines to vary: each parent as often as its votes are a part of all."""
    ends = np.cumsum(list(parents.values()))
    places = (np.arange(count) + 0.5) / count * ends[-1]
    names = tuple(parents)
    return tuple(names[i] for i in np.searchsorted(ends, places).tolist())


def _standing(known: Known, phase: PhaseName) -> np.ndarray:
    """Return (candidates, classes) votes that stand out of their noise, beside those near by.

    A candidate takes part in the votes of those that are like it: few would stand out alone.
    """
    candidates, released = known.candidates[phase], known.measured[phase][0]
    votes = released.values.reshape(len(candidates), -1)
    if _settings_of(known.plan).pictures:
        alike = alike_pictures(candidates, width=known.schema.images[0].width) ** _NEAR_PICTURES
    else:
        alike = alike_to(candidates) ** _NEAR
    alike /= alike.sum(axis=1, keepdims=True)
    deviation = np.sqrt(float(released.variance.max()) * (alike**2).sum(axis=1, keepdims=True))
    standing: np.ndarray = np.maximum(alike @ votes - _OUT_OF_NOISE * deviation, 0.0)
    return standing


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask for the votes of a round."""
    query = MarginalQuery(clique=(_settings_of(known.plan).label,))
    return Question(queries=(query,), candidates=known.candidates[phase])


def _finish(known: Known) -> Outcome:
    """Hand out the candidates of the last round, each class by the votes that stand out."""
    last = known.plan.phases[-1].name
    weights, tables = _parts(_standing(known, last), classes=known.one_way[0].values)
    kept = weights > 0
    lines = [c for c, k in zip(known.candidates[last], kept.tolist(), strict=True) if k]
    pictures = _settings_of(known.plan).pictures
    return hand_out(
        known,
        weights=weights[kept],
        tables=_pixels(known, lines, tables[kept]) if pictures else (tables[kept],),
        grouping=Grouping(),
        total=estimate_rows(known.one_way),
        lines=None if pictures else lines,
    )


def _pixels(known: Known, lines: Sequence[str], classes: np.ndarray) -> list[np.ndarray]:
    """Return of each attribute (candidates, codes): the shares of classes, and whole pixels."""
    pictures = pictures_of(known.schema, label=_settings_of(known.plan).label)
    tables = {pictures.label: classes}
    for place, size, codes in zip(
        pictures.pixels, pictures.levels, pictures.codes(lines).T, strict=True
    ):
        tables[place] = np.zeros((len(lines), size))
        tables[place][np.arange(len(lines)), codes] = 1
    return [tables[place] for place in range(len(tables))]


def _parts(standing: np.ndarray, *, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (candidates,) shares, and (candidates, classes) those of classes in each.

    A class for which no candidate stands out is drawn from those of all classes.
    """
    of_class = np.maximum(classes, 0.0)
    of_class = of_class / of_class.sum() if of_class.any() else np.full(len(classes), 1.0)
    all_votes = standing.sum(axis=1) if standing.any() else np.ones(len(standing))
    columns = [c if c.any() else all_votes for c in standing.T]
    joint = np.stack([c / c.sum() for c in columns], axis=1) * of_class
    weights = joint.sum(axis=1)
    tables = joint / np.where(weights > 0, weights, 1.0)[:, None]
    return weights / weights.sum(), tables


def _settings_of(plan: Plan) -> VoteSettings:
    """Return what a plan says of candidates."""
    if plan.votes is None:
        raise RunFailed(f"plan {plan.id} has no votes")
    return plan.votes


def _describe(plan: Plan) -> Iterator[str]:
    """Say what travels, and what a row does with it."""
    settings = _settings_of(plan)
    rounds = sum(phase.name in OF_VOTES for phase in plan.phases)
    what, near = settings.words
    size = (
        f"of {settings.max_bytes // DIGITS:,} pixels"
        if settings.pictures
        else f"of {settings.max_bytes} bytes at most in the alphabet {settings.alphabet.value}"
    )
    yield (
        f"in {rounds} round{'s' * (rounds > 1)}, up to {settings.candidates:,} {what}s that a "
        f"generator writes at the coordinator alone travel to the silos, {size}; each row votes "
        f"for the one that its {what} is nearest to {near}, by class of {settings.label!r}"
    )


RECIPE = Recipe(
    name=Method.VOTES,
    options=Votes,
    flags=VotesFlags,
    ask=_ask,
    finish=_finish,
    describe=_describe,
    replicates=False,
    wants=_wants,
    components=lambda plan: _settings_of(plan).candidates,
)
