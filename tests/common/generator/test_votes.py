"""Votes are for the nearest candidate by whole numbers, one a row, the same on every machine."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.codec import END, encode_texts
from silosynth.common.digest import digest_of
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    NGRAMS,
    Alphabet,
    VoteSettings,
    alike_to,
    check_candidates,
    check_votes,
    count_votes,
    foreign_to,
)
from silosynth.common.generator.voting.ngrams import BUCKETS, RUNS, nearest_of, parts_of
from silosynth.common.schema import Schema, parse_schema

LONGEST = 40
SETTINGS = VoteSettings(candidates=4, max_bytes=LONGEST, label="kind")
CANDIDATES = ("hello there my friend", "call 0800 12345 NOW to win £5", "see you at 7")


def coded(texts: Sequence[str]) -> np.ndarray:
    codes, _ = encode_texts(pa.array(texts, pa.large_string()), name="t", max_bytes=LONGEST)
    return codes


def described(**changes: Any) -> Schema:
    kind = {"name": "kind", "kind": "categorical", "categories": ["a", "b"], "other": False}
    text = {"name": "text", "kind": "text", "max_bytes": LONGEST}
    data = {"name": "texts", "label": "kind", "attributes": [kind | {"source": "public"}, text]}
    return parse_schema(data | changes)


def oracle_parts(text: str) -> set[int]:
    """Return the buckets of a text, one run after the other, by Python's integers."""
    found = []
    for byte in text.encode():
        character = chr(byte)
        if character.isascii() and character.isdigit():
            byte = ord("0")
        elif "A" <= character <= "Z":
            byte += 32
        found.append(32 if byte <= 32 else byte)
    padded = [32, *found, 32]
    buckets = set()
    for run in RUNS:
        for start in range(len(padded) - run + 1):
            hashed = run
            for byte in padded[start : start + run]:
                hashed = (hashed * 257 + byte + 1) % 2**64
            mixed = ((hashed ^ (hashed >> 29)) * 0x9E3779B97F4A7C15) % 2**64
            buckets.add(mixed >> 52)
    return buckets


def oracle_nearest(text: str, candidates: Sequence[str]) -> int:
    """Return the nearest candidate of one text by Python's integers."""
    own, parts = oracle_parts(text), [oracle_parts(c) for c in candidates]
    count = len(candidates)
    known = set[int]().union(*parts)
    weights = {b: (2 * count // (sum(b in p for p in parts) + 1)).bit_length() for b in known}
    scores = []
    for theirs in parts:
        root = max(math.isqrt(sum(weights[b] for b in theirs) << 20), 1)
        scores.append(sum((weights[b] << 22) // root for b in own & theirs))
    best = max(scores)
    return scores.index(best) if best > 0 else -1


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=12)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), more=st.lists(TEXTS, max_size=3))
def test_the_nearest_is_what_an_oracle_of_whole_numbers_finds(
    texts: list[str], more: list[str]
) -> None:
    candidates = tuple(dict.fromkeys((*CANDIDATES, *(m for m in more if m.strip()))))
    whole = [t for t in texts if len(t.encode()) <= LONGEST]
    if whole:
        found = nearest_of(coded(whole), candidates)
        assert found.tolist() == [oracle_nearest(t, candidates) for t in whole]


def test_the_embedding_has_the_bytes_that_its_digest_names() -> None:
    """Whoever changes a number of it gives it another version, and so another digest."""
    texts = coded(["", "Call 0800 NOW", "grüße 日本語", "a" * LONGEST])
    parts = digest_of(np.packbits(parts_of(texts)).tobytes())
    assert (NGRAMS, parts) == (
        "sha256:ffd20f1d2eb1d6d2cf712bf26de2fcb829325b7e2fe891a3d8ae07abcc379bd0",
        "sha256:00c8914af016c9239f1c1d0174b4431734d6606951637846a674fdad2bf769b2",
    )
    assert parts_of(texts).shape == (4, BUCKETS)


def test_case_digits_and_white_space_make_no_difference() -> None:
    one, other = parts_of(coded(["Call 0800\tNOW", "cALL 9713\nnow"]))
    assert (one == other).all()


def test_what_a_text_votes_for_depends_on_it_alone() -> None:
    rng = np.random.default_rng(1)
    words = ["hello", "win", "call", "friend", "7", "now", "£5", "zebra", ""]
    texts = [" ".join(rng.choice(words, 4)) for _ in range(600)]
    together = nearest_of(coded(texts), CANDIDATES)
    alone = [int(nearest_of(coded([t]), CANDIDATES)[0]) for t in texts[:8]]
    assert together[:8].tolist() == alone
    order = rng.permutation(len(texts))
    assert (nearest_of(coded([texts[i] for i in order]), CANDIDATES) == together[order]).all()


def test_votes_are_counted_by_candidate_and_class() -> None:
    texts = ["hello my friend", "win now, call", "hello there", "qqq", "see you"]
    kinds = np.array([0, 1, 1, 0, 1])
    votes = count_votes(np.column_stack([kinds, coded(texts)]), CANDIDATES, schema=described())
    assert votes.dtype == np.int64
    assert votes.reshape(3, 2).tolist() == [[1, 1], [0, 1], [0, 1]]


@settings(max_examples=8)
@given(data=st.data())
def test_a_row_moves_one_number_by_one_at_most(data: st.DataObject) -> None:
    symbols = st.integers(0, END)
    rows = data.draw(st.lists(st.lists(symbols, min_size=LONGEST, max_size=LONGEST), max_size=4))
    kinds = data.draw(st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows)))
    examples = np.array([[k, *r] for k, r in zip(kinds, rows, strict=True)], dtype=np.int32)
    examples = examples.reshape(len(rows), LONGEST + 1)
    whole = count_votes(examples, CANDIDATES, schema=described())
    assert whole.sum() <= len(rows)
    for place in range(len(rows)):
        without = count_votes(np.delete(examples, place, 0), CANDIDATES, schema=described())
        moved = whole - without
        assert (moved >= 0).all()
        assert int((moved**2).sum()) <= 1


def test_how_alike_candidates_are() -> None:
    alike = alike_to(("hello there", "Hello there", "win 500"))
    assert alike[0, 1] == pytest.approx(1.0)
    assert alike[0, 2] < 0.1
    assert (alike == alike.T).all()


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        ((), "no candidate"),
        (("a b", "a b"), "stands twice"),
        (("  ",), "blank"),
        (("a\nb",), r"U\+000A, which is not of the alphabet latin"),
        (("日本",), r"U\+65E5, which is not of the alphabet latin"),
        (("\ud800x",), r"U\+D800"),
        (("\u202ex",), r"U\+202E"),
        (("é" * 21,), "more than 40 bytes"),
        (("a", "b", "c", "d", "e"), "5 candidates were sent; the plan allows 4"),
    ],
)
def test_what_no_plan_may_send_is_refused(candidates: tuple[str, ...], words: str) -> None:
    with pytest.raises((InvalidPlan, CapExceeded), match=words):
        check_candidates(candidates, settings=SETTINGS)


def test_alphabets_have_what_they_say() -> None:
    for alphabet, text in (("ascii", "a~ Z"), ("latin", "é€£’"), ("any", "日本 £")):
        settings = SETTINGS.model_copy(update={"alphabet": Alphabet(alphabet)})
        check_candidates((text,), settings=settings)
    with pytest.raises(InvalidPlan, match="alphabet ascii"):
        check_candidates(("é",), settings=SETTINGS.model_copy(update={"alphabet": Alphabet.ASCII}))


def test_rows_that_cannot_vote_so_are_told_in_one_line() -> None:
    check_votes(SETTINGS, described())
    number = {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"}
    text = {"name": "text", "kind": "text", "max_bytes": LONGEST}
    alone = {"name": "t", "attributes": [text]}
    for schema in (parse_schema(alone), parse_schema(alone | {"attributes": [number, text]})):
        with pytest.raises(InvalidPlan, match="one label that is no number"):
            check_votes(SETTINGS.model_copy(update={"label": "age"}), schema)
    with pytest.raises(InvalidPlan, match="longer than the text, which has 40"):
        check_votes(SETTINGS.model_copy(update={"max_bytes": 41}), described())
    long = {"name": "text", "kind": "text", "max_bytes": 4000}
    wide = described(attributes=[described().attributes[0].model_dump(mode="json"), long])
    with pytest.raises(CapExceeded, match="more than 4194304 bytes in all"):
        check_votes(SETTINGS.model_copy(update={"candidates": 2048, "max_bytes": 4000}), wide)


@pytest.mark.parametrize("alphabet", list(Alphabet))
def test_looking_for_other_characters_costs_nothing_for_each_that_is_not(
    alphabet: Alphabet,
) -> None:
    """A gateway looks before it asks who approved: eight megabytes took it half a minute."""
    calls = []
    sys.setprofile(lambda _, event, __: calls.append(event))
    try:
        found = list(foreign_to(alphabet, "a" * 10_000 + "\n"))
    finally:
        sys.setprofile(None)
    assert found == ["\n"]
    assert len(calls) < 100
