"""Digits by votes: the renderer that writes candidates, and its pictures without votes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from silosynth.common.generator import pictures_of
from silosynth.common.schema import Schema
from silosynth.server.driver.imagine import run_program
from silosynth.server.planning import new_plan

RENDERER = Path(__file__).with_name("drawn_digits.py")


def without_votes(schema: Schema, real: np.ndarray) -> np.ndarray:
    """Return (rows, attributes) codes of the renderer's pictures, each of a class by chance."""
    label = str(schema.label)
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=("alone",), method="votes")
    assert plan.votes is not None
    lines = run_program(RENDERER, [""] * len(real), settings=plan.votes, seconds=600.0)
    pictures = pictures_of(schema, label=label)
    codes = np.empty_like(real)
    codes[:, list(pictures.pixels)] = pictures.codes(lines)
    codes[:, pictures.label] = np.random.default_rng(0).permutation(real[:, pictures.label])
    return codes
