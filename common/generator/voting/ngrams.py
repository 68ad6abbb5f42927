"""An embedding of texts by hashed parts: the same whole numbers on every machine.

A text is the set of its runs of two, three and four bytes, each hashed into one of BUCKETS: letters
without their case, every digit as a nought, white space as a blank. It is nearest to that of some
candidates that shares most with it, parts that few candidates have weighing more, by the cosine.
All of it is sums of whole numbers below 2^53, so that no order of adding up changes a bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from silosynth.common.codec import END, encode_texts
from silosynth.common.digest import canonical_json, digest_of

BUCKETS: Final = 4096
RUNS: Final = (2, 3, 4)
_BASE, _MIX, _FOLD, _TOP = 257, 0x9E3779B97F4A7C15, 29, 52
_UNIT_BITS, _ROOT_BITS = 22, 20
_BLANK, _NOUGHT, _TO_SMALL = 32, 48, 32
_AT_ONCE = 512

NGRAMS: Final = digest_of(
    canonical_json(
        {
            "embedding": "silosynth n-grams",
            "version": 1,
            "buckets": BUCKETS,
            "runs": list(RUNS),
            "hash": [_BASE, str(_MIX), _FOLD, _TOP],
            "unit": [_UNIT_BITS, _ROOT_BITS],
            "alike": "small letters, digits as 0, bytes to 32 as 32",
            "weights": "bits of 2n // (df + 1)",
        }
    )
)
"""The digest of this embedding: of all that its numbers follow from."""


def nearest_of(texts: np.ndarray, candidates: Sequence[str]) -> np.ndarray:
    """Return (rows,) int64: which candidate each text is nearest to, -1 where it shares none.

    Guarantees: what a text is nearest to depends on that text and the candidates alone, and is the
    same on every machine. Of equals it is the first.

    Args: texts: (rows, max_bytes) codes of texts, each ended by END.
    """
    columns = _vectors(_parts_of_all(candidates)).T.astype(np.float64)
    found = np.empty(len(texts), dtype=np.int64)
    for start in range(0, len(texts), _AT_ONCE):
        shared = parts_of(texts[start : start + _AT_ONCE]).astype(np.float64) @ columns
        best = shared.argmax(axis=1)
        some = np.take_along_axis(shared, best[:, None], axis=1)[:, 0] > 0
        found[start : start + _AT_ONCE] = np.where(some, best, -1)
    return found


def alike_to(candidates: Sequence[str]) -> np.ndarray:
    """Return (candidates, candidates) float64 in [0, 1]: how much of their parts each two share."""
    vectors = _vectors(_parts_of_all(candidates)).astype(np.float64)
    lengths = np.sqrt((vectors**2).sum(axis=1))
    vectors /= np.where(lengths > 0, lengths, 1.0)[:, None]
    alike: np.ndarray = np.clip(vectors @ vectors.T, 0.0, 1.0)
    np.fill_diagonal(alike, 1.0)
    return alike


def _parts_of_all(candidates: Sequence[str]) -> np.ndarray:
    """Return (candidates, BUCKETS) bool, :func:`parts_of` texts that are not yet codes."""
    most = max(len(candidate.encode()) for candidate in candidates)
    column = pa.array(candidates, pa.large_string())
    return parts_of(encode_texts(column, name="candidates", max_bytes=most)[0])


def parts_of(texts: np.ndarray) -> np.ndarray:
    """Return (rows, BUCKETS) bool: which parts the texts of (rows, max_bytes) codes have."""
    ended = np.cumsum(texts == END, axis=1) > 0
    alike = _alike(texts.astype(np.int64))
    alike[ended] = -1
    blank = np.full((len(texts), 1), _BLANK)
    padded = np.concatenate([blank, alike, np.full((len(texts), 1), -1)], axis=1)
    stop = 1 + (~ended).sum(axis=1)
    padded[np.arange(len(texts)), stop] = _BLANK
    found = np.zeros((len(texts), BUCKETS), dtype=bool)
    rows = np.arange(len(texts))[:, None]
    for run in RUNS:
        windows = np.lib.stride_tricks.sliding_window_view(padded, run, axis=1)
        there = windows[:, :, -1] >= 0
        buckets = _bucket(windows)
        found[np.broadcast_to(rows, there.shape)[there], buckets[there]] = True
    return found


def _alike(codes: np.ndarray) -> np.ndarray:
    """Return bytes that count as the same as one: of case, of digits, of white space."""
    capital = (codes >= ord("A")) & (codes <= ord("Z"))
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    small = np.where(capital, codes + _TO_SMALL, codes)
    alike: np.ndarray = np.where(digit, _NOUGHT, np.where(codes <= _BLANK, _BLANK, small))
    return alike


def _bucket(windows: np.ndarray) -> np.ndarray:
    """Return (rows, places) int64 buckets of (rows, places, run) bytes, by a product's top bits."""
    hashed = np.full(windows.shape[:2], windows.shape[2], dtype=np.uint64)
    for place in range(windows.shape[2]):
        hashed = hashed * np.uint64(_BASE) + (windows[:, :, place] + 1).astype(np.uint64)
    mixed = (hashed ^ (hashed >> np.uint64(_FOLD))) * np.uint64(_MIX)
    buckets: np.ndarray = (mixed >> np.uint64(_TOP)).astype(np.int64)
    return buckets


def _vectors(parts: np.ndarray) -> np.ndarray:
    """Return (candidates, BUCKETS) int64: each one's weighed parts, scaled to one length."""
    holding = parts.sum(axis=0, dtype=np.int64)
    weights = np.array([(2 * len(parts) // (int(n) + 1)).bit_length() for n in holding])
    squared = parts.astype(np.int64) @ weights
    roots = [max(math.isqrt(int(s) << _ROOT_BITS), 1) for s in squared]
    scaled = (parts * weights) << _UNIT_BITS
    vectors: np.ndarray = scaled // np.array(roots)[:, None]
    return vectors
