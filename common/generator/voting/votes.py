"""Votes for candidates: public texts or pictures that a coordinator sends, and who is nearest.

A row adds one to one number, of the candidate that it is nearest to and the class that it is of
(Private Evolution, Lin et al. 2023; Xie et al. 2024). Candidates are made by the coordinator and
have seen no row but through the noised votes of a round before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from silosynth.common.codec import layout_of, modelled_texts
from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator.checkpoint_files import short
from silosynth.common.generator.voting.ngrams import NGRAMS, nearest_of
from silosynth.common.generator.voting.pictures import DIGITS, GREYS, pictures_of
from silosynth.common.schema import PlainModel, Schema

if TYPE_CHECKING:  # its libraries are an extra
    from silosynth.common.generator.voting.words import Words

MOST_CANDIDATES, MOST_BYTES = 2048, 4096
OWN_EMBEDDINGS = frozenset({NGRAMS, GREYS})
"""Those that are silosynth's own, of texts and of pictures; any other is a folder's digest."""

MOST_SENT = 2**22
"""Bytes of all candidates of a round: what a gateway has to hold and to compare."""


class Alphabet(StrEnum):
    """Which characters a candidate may be written with; those of pictures are grey levels."""

    ASCII = "ascii"
    LATIN = "latin"
    ANY = "any"
    GREYS = "greys"


_RANGES = {
    Alphabet.ASCII: ((0x20, 0x7E),),
    Alphabet.LATIN: ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x2010, 0x2026), (0x20AC, 0x20AC)),
    Alphabet.ANY: ((0x20, 0x7E), (0xA0, 0xD7FF), (0xE000, 0x10FFFF)),
    Alphabet.GREYS: ((0x30, 0x39), (0x61, 0x66)),
}
"""By code points and no table of Unicode, so that every machine says the same."""

_OTHERS = {
    alphabet: re.compile(f"[^{''.join(f'{chr(low)}-{chr(high)}' for low, high in ranges)}]")
    for alphabet, ranges in _RANGES.items()
}
"""What finds another character, at no cost for each that is not: a gateway looks before it asks
who approved, and a coordinator may send some megabytes as often as it likes."""


class VoteSettings(PlainModel):
    """How candidates travel: at most so many in a round, each of so many bytes at most.

    ``embedding`` names the bytes that say what is near; ``label`` is whose classes votes are by.
    A picture has two hexadecimal digits a pixel, so that all have ``max_bytes``.
    """

    candidates: int = Field(ge=2, le=MOST_CANDIDATES)
    max_bytes: int = Field(ge=1, le=MOST_BYTES)
    alphabet: Alphabet = Alphabet.LATIN
    embedding: str = Field(default=NGRAMS, pattern=r"^sha256:[0-9a-f]{64}$")
    label: str = Field(min_length=1, max_length=512)

    @model_validator(mode="after")
    def _near_by_their_kind(self) -> Self:
        if (self.embedding == GREYS) != self.pictures:
            raise ValueError(f"embedding: pictures, and no texts, are near by {GREYS}")
        return self

    @property
    def pictures(self) -> bool:
        """Say whether candidates are pictures."""
        return self.alphabet is Alphabet.GREYS

    @property
    def folder(self) -> str | None:
        """Return the digest of the folder that says what is near; None where silosynth does."""
        return None if self.embedding in OWN_EMBEDDINGS else self.embedding

    @property
    def words(self) -> tuple[str, str]:
        """Return what candidates are called, and by what they are near."""
        if self.pictures:
            return "picture", "by where it is light and dark"
        if self.folder is not None:
            return "text", f"by the vectors of its words in folder {short(self.embedding)}"
        return "text", "by the parts of its words"


Candidate = Annotated[str, Field(min_length=1, max_length=MOST_BYTES)]


def foreign_to(alphabet: Alphabet, text: str) -> Iterator[str]:
    """Yield the characters of a text that an alphabet does not have."""
    for found in _OTHERS[alphabet].finditer(text):
        yield found[0]


def check_candidates(candidates: Sequence[str], *, settings: VoteSettings) -> None:
    """Raise InvalidPlan, or CapExceeded, for candidates that no plan of these settings may send.

    They are public, so what is wrong with one may be said of it.
    """
    if not candidates:
        raise InvalidPlan("there is no candidate to vote for")
    if len(candidates) > settings.candidates:
        raise CapExceeded(
            f"{len(candidates)} candidates were sent; the plan allows {settings.candidates}"
        )
    if len(set(candidates)) < len(candidates):
        raise InvalidPlan("a candidate stands twice")
    for number, candidate in enumerate(candidates, start=1):
        if not candidate.strip():
            raise InvalidPlan(f"candidate {number} is blank")
        strange = next(foreign_to(settings.alphabet, candidate), None)
        if strange is not None:
            raise InvalidPlan(
                f"candidate {number} holds U+{ord(strange):04X}, which is not of the alphabet "
                f"{settings.alphabet.value}",
                hint="plan with a wider --alphabet, or have the generator write with this one",
            )
        if settings.pictures and len(candidate) != settings.max_bytes:
            raise InvalidPlan(
                f"candidate {number} has {len(candidate)} digits; a picture of the plan has "
                f"{settings.max_bytes}, {DIGITS} a pixel"
            )
        if len(candidate.encode()) > settings.max_bytes:
            raise CapExceeded(
                f"candidate {number} has more than {settings.max_bytes} bytes of UTF-8"
            )


def vote_cells(
    settings: VoteSettings, *, clique: Clique, domain: Domain, candidates: Sequence[str] | None
) -> int:
    """Return how many numbers a round's votes are, before anything is compared.

    Raises InvalidPlan or CapExceeded for what is no round of votes.
    """
    if clique != (settings.label,):
        raise InvalidPlan("votes are asked by the classes of the label alone")
    check_candidates(candidates or (), settings=settings)
    return len(candidates or ()) * domain.size(clique)


def check_votes(settings: VoteSettings, schema: Schema) -> None:
    """Raise InvalidPlan, or CapExceeded, unless rows of a schema can vote so."""
    if settings.candidates * settings.max_bytes > MOST_SENT:
        raise CapExceeded(
            f"{settings.candidates} candidates of {settings.max_bytes} bytes are more than "
            f"{MOST_SENT} bytes in all",
            hint="plan with fewer --candidates, or with a smaller max_bytes in the schema",
        )
    if settings.pictures:
        digits = DIGITS * len(pictures_of(schema, label=settings.label).pixels)
        if settings.max_bytes != digits:
            raise InvalidPlan(
                f"candidates have {settings.max_bytes} digits, and a picture of the schema {digits}"
            )
        return
    texts = modelled_texts(schema)
    if schema.domain.attributes != (settings.label,) or len(texts) != 1 or schema.numbers:
        raise InvalidPlan(
            "votes are by the classes of one label that is no number, for one text with max_bytes; "
            f"schema {schema.name!r} has {len(schema.domain.attributes)} attributes and "
            f"{len(texts)} such texts",
            hint="leave the others out of the schema, or use the method dp-sgd",
        )
    (longest,) = texts.values()
    if settings.max_bytes > longest:
        raise InvalidPlan(
            f"candidates of {settings.max_bytes} bytes are longer than the text, which has "
            f"{longest}"
        )


def count_votes(
    examples: np.ndarray, candidates: Sequence[str], *, schema: Schema, words: Words | None = None
) -> np.ndarray:
    """Return (candidates * classes,) int64: the rows of each class that are nearest to each.

    Guarantees: adding or removing one row changes one number by one, or none: a text that shares
    nothing with any candidate votes for none. What a row votes for depends on that row alone.

    Args:
        examples: (rows, positions): the label's code, then the codes of one text.
        words: the folder that says what is near; silosynth's n-grams do without.
    """
    layout = layout_of(schema)
    classes, ((first, stop),) = layout.sizes[0], layout.texts
    nearest_among = nearest_of if words is None else words.nearest
    nearest = nearest_among(examples[:, first:stop], candidates)
    label = examples[:, 0].astype(np.int64)
    voting = nearest >= 0
    cell = nearest[voting] * classes + label[voting]
    votes: np.ndarray = np.bincount(cell, minlength=len(candidates) * classes).astype(np.int64)
    return votes
