"""As what made-up people show where whole rows are asked: as pictures, as texts, or at the edges.

Each canary has a class of its own and as long a vector as a row may have, so that it reaches what
is charged; of votes, a candidate of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.common.generator import WHITE
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.coordinator import Imagine, Imagined, encode_candidates
from silosynth.simulations.audit.made_up import ATTRIBUTES, CANARIES, as_words, made_up_schema

_LABEL, _SHOWN, *_ = ATTRIBUTES
_SIDE, _LEVELS = 4, 5
_PIXELS = tuple(f"p{i:02}" for i in range(_SIDE**2))
_TEXTS = (
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"),
    *("india", "juliet", "kilo", "lima", "mike", "november", "oscar", "papa"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A schema, how codes of four attributes become its columns, and the codes of each canary.

    ``candidates`` are what rows vote for, one for each code.
    """

    schema: Schema
    columns: Callable[[np.ndarray], Mapping[str, pa.Array]] = as_words
    canaries: np.ndarray = field(default_factory=lambda: _own())
    candidates: tuple[str, ...] = ()

    def imagine(self, asked: Imagine) -> Imagined:
        """Write the candidates, the same in every round."""
        return Imagined(phase=asked.wanted.phase, data=encode_candidates(self.candidates))

    def options(self, plan: Plan) -> Mapping[str, Any]:
        """Return what is chosen of a plan's method beside its promise."""
        if not self.candidates:
            return {}
        return {"candidates": len(self.candidates), "vote_rounds": len(plan.phases) - 1}


def shown_of(plan: Plan) -> Shown:
    """Return as what people are shown to a plan's method."""
    if plan.central is not None or (plan.votes is not None and plan.votes.pictures):
        lines = tuple(row.tobytes().hex() for row in _pixels(np.arange(2 * CANARIES)) * WHITE)
        return Shown(
            schema=_pictures(),
            columns=_as_pictures,
            canaries=_own() + np.array([0, CANARIES, 0, 0]),
            candidates=() if plan.votes is None else lines,
        )
    if plan.votes is not None:
        return Shown(schema=_messages(), columns=_as_texts, candidates=_TEXTS)
    if plan.projection is not None:
        return Shown(schema=made_up_schema(label=_LABEL), canaries=_edges())
    return Shown(schema=made_up_schema())


def _own() -> np.ndarray:
    """Return canaries that have their number in every attribute."""
    return np.tile(np.arange(CANARIES)[:, None], len(ATTRIBUTES))


def _edges() -> np.ndarray:
    """Return canaries of a class each that have the first or the last code of all else."""
    codes = np.arange(CANARIES)
    ends = [(codes >> place & 1) * (CANARIES - 1) for place in range(len(ATTRIBUTES) - 1)]
    return np.stack([codes, *ends], axis=1)


def _as_texts(codes: np.ndarray) -> Mapping[str, pa.Array]:
    """Return a label and a text of one word."""
    return {_LABEL: _labels(codes), _SHOWN: pa.array(np.array(_TEXTS)[codes[:, 1]])}


def _as_pictures(codes: np.ndarray) -> Mapping[str, pa.Array]:
    """Return a label and a picture without grey, of which a sum's bound has to scale all down."""
    levels = (_pixels(codes[:, 1]) * (_LEVELS - 1)).astype(np.int64)
    columns = {name: pa.array(levels[:, i]) for i, name in enumerate(_PIXELS)}
    return {_LABEL: _labels(codes), **columns}


def _labels(codes: np.ndarray) -> pa.Array:
    """Return the column of classes."""
    return as_words(np.repeat(codes[:, :1], len(ATTRIBUTES), axis=1))[_LABEL]


def _pixels(codes: np.ndarray) -> np.ndarray:
    """Return (rows, pixels) uint8, 1 where a picture is white: one pixel, or all but one.

    Known people have one, and canaries all but one: as far from the middle of a class as may be.
    """
    one = np.eye(len(_PIXELS), dtype=np.uint8)
    white: np.ndarray = np.concatenate([one, 1 - one])[codes]
    return white


def _messages() -> Schema:
    """Return a schema of a label and a text."""
    text = {"name": _SHOWN, "kind": "text", "max_bytes": max(map(len, _TEXTS))}
    return parse_schema({"name": "made-up", "label": _LABEL, "attributes": [_label(), text]})


def _pictures() -> Schema:
    """Return a schema of a label and a picture."""
    pixel = {"kind": "integer", "minimum": 0, "maximum": _LEVELS - 1, "source": "public"}
    attributes = [_label(), *({"name": name} | pixel for name in _PIXELS)]
    image = {"name": _SHOWN, "width": _SIDE, "height": _SIDE, "attributes": _PIXELS}
    data = {"name": "made-up", "label": _LABEL, "attributes": attributes, "images": [image]}
    return parse_schema(data)


def _label() -> dict[str, Any]:
    """Return the attribute that has a class for each canary."""
    attribute = made_up_schema().attributes[0].model_dump(mode="json")
    return attribute | {"other": False}
