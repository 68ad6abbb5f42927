"""A trained generator's sampler: conditions, files, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.codec import layout_of
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidSampler, RunFailed
from silosynth.common.generator import Architecture, MaskedMlp, Transformer, initial_vector
from silosynth.common.sampler import (
    AutoregressiveSampler,
    condition_on,
    describe_sampler,
    draw_codes,
    load_sampler,
    parse_sampler,
    save_sampler,
    shares_within,
)
from silosynth.common.sampler import autoregressive as autoregressive_sampler
from silosynth.common.sampler.sampler import draw, draw_batches
from silosynth.common.sampler.stored.archive import pack, unpack
from silosynth.common.sampler.stored.file import dump_sampler
from silosynth.common.schema import Schema, parse_schema

TEXT = {"name": "note", "kind": "text", "max_bytes": 4}
HAND = {"name": "hand", "kind": "integer", "minimum": 0, "maximum": 3}
PIXELS = ["p0", "p1"]
GROUPS = (0, 0, 0, 1, 1, 2, 2, 2, 2, 3)
WITHIN = np.array([1.0, 2, 0, 1, 1, 3, 0, 1, 0, 5])
KINDS: tuple[Architecture, ...] = (
    MaskedMlp(width=8, layers=1, views=1),
    Transformer(width=8, layers=1, heads=2),
)


def made_schema(*more: dict[str, Any], images: bool = False) -> Schema:
    pixels = [{"name": p, "kind": "integer", "minimum": 0, "maximum": 3} for p in PIXELS]
    return parse_schema(
        {
            "name": "made",
            "label": "ill",
            "attributes": [
                {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False},
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99}
                | {"bins": {"kind": "width", "count": 10}},
                {"name": "ill", "kind": "boolean"},
                *(pixels if images else ()),
                *more,
            ],
            "images": [{"name": "scan", "width": 2, "height": 1, "attributes": PIXELS}] * images,
        }
    )


def made_sampler(
    architecture: Architecture = KINDS[0], schema: Schema | None = None, **changes: Any
) -> AutoregressiveSampler:
    schema = schema or made_schema()
    grouping = Grouping(groups={"age": GROUPS})
    layout = layout_of(schema, grouping=grouping)
    vector = initial_vector(architecture, layout, seed=1)
    noise = np.random.default_rng(1).normal(size=vector.shape).astype(np.float32)
    facts: dict[str, Any] = {
        "schema": schema,
        "grouping": grouping,
        "within": {"age": shares_within(WITHIN, groups=np.asarray(GROUPS), name="age")},
        "architecture": architecture,
        "weights": vector + noise / 2,
        "total": 1_000_000,
        "certificate": {"epsilon": 1.0},
        "plan_digest": "sha256:" + "0" * 64,
    }
    return AutoregressiveSampler(**(facts | changes))


@pytest.mark.parametrize("architecture", KINDS)
def test_conditions_hold_in_every_row_and_say_how_many_there_are(
    architecture: Architecture,
) -> None:
    sampler = made_sampler(architecture)
    given = condition_on(sampler, {"age": "30..69", "ill": "true"})
    sex, age, ill = draw_codes(given, rows=3_000, seed=1)
    assert set(age.tolist()) == {3, 4, 5}
    assert set(ill.tolist()) == {1}
    assert set(sex.tolist()) == {0, 1}
    rest = sum(
        condition_on(sampler, {"age": ages, "ill": ill}).total
        for ages in ("..29", "30..69", "70..")
        for ill in ("true", "false")
    )
    assert rest == pytest.approx(1_000_000, abs=5)
    ages = np.bincount(age, minlength=10) / 3_000
    assert ages[3] == pytest.approx(ages[4], abs=0.05)
    assert ages[6] == 0


@pytest.mark.parametrize("architecture", KINDS)
def test_conditions_add_up(architecture: Architecture) -> None:
    sampler = made_sampler(architecture)
    once = condition_on(sampler, {"age": "30..59", "ill": "true"})
    twice = condition_on(condition_on(sampler, {"age": "30..99", "ill": "true"}), {"age": "..59"})
    assert draw(once, rows=200, seed=1).equals(draw(twice, rows=200, seed=1))
    assert abs(once.total - twice.total) <= 2
    assert condition_on(sampler, {}) is sampler


def test_a_condition_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no row"):
        condition_on(made_sampler(), {"age": "20..29"})
    with pytest.raises(InvalidArgument, match="is a pixel"):
        condition_on(made_sampler(KINDS[1], made_schema(images=True)), {"p0": "1..2"})
    with pytest.raises(InvalidArgument, match="no attribute 'note'"):
        condition_on(made_sampler(KINDS[1], made_schema(TEXT)), {"note": "hi"})


def test_too_many_open_combinations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoregressive_sampler, "MOST_CONDITION_CELLS", 5)
    sampler = made_sampler(schema=made_schema(HAND))
    with pytest.raises(InvalidArgument, match="leave 6 combinations open"):
        condition_on(sampler, {"age": "30..", "hand": "0..1"})


def test_texts_come_back_as_texts() -> None:
    sampler = made_sampler(KINDS[1], made_schema(TEXT))
    table = draw(condition_on(sampler, {"ill": "true"}), rows=50, seed=1)
    assert table.column_names == ["sex", "age", "ill", "note"]
    assert all(isinstance(text, str) for text in table["note"].to_pylist())
    assert set(table["ill"].to_pylist()) == {True}
    assert len(draw_codes(sampler, rows=5, seed=1)) == 3


def test_a_batch_of_long_texts_has_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_sampler().batch_rows == 1_000_000
    sampler = made_sampler(KINDS[1], made_schema(TEXT | {"max_bytes": 997}))
    assert sampler.batch_rows == 2**22 // 1000
    monkeypatch.setattr(autoregressive_sampler, "_BATCH_CODES", 7 * 30)
    short = made_sampler(KINDS[1], made_schema(TEXT))
    codes = draw_codes(short, rows=70, seed=1, threads=1)
    parts = list(draw_batches(short, rows=70, seed=1, threads=1))
    assert [part.num_rows for part in parts] == [30, 30, 10]
    assert pa.concat_tables(parts)["ill"].to_pylist() == [bool(c) for c in codes[2]]


@pytest.mark.parametrize("architecture", KINDS)
def test_the_same_seed_draws_the_same_rows(architecture: Architecture) -> None:
    sampler = made_sampler(architecture)
    first, again = (draw(sampler, rows=2_000, seed=5, threads=t) for t in (1, 2))
    assert first.equals(again)
    assert not first.equals(draw(sampler, rows=2_000, seed=6))
    assert draw(sampler, rows=0, seed=5).num_rows == 0


@pytest.mark.parametrize("architecture", KINDS)
def test_a_file_gives_the_same_sampler_back(architecture: Architecture, tmp_path: Path) -> None:
    path, sampler = tmp_path / "x.sampler", made_sampler(architecture)
    save_sampler(sampler, path)
    loaded = load_sampler(path)
    assert isinstance(loaded, AutoregressiveSampler)
    assert draw(loaded, rows=300, seed=1).equals(draw(sampler, rows=300, seed=1))
    assert dump_sampler(loaded) == path.read_bytes()
    facts = describe_sampler(loaded)["generator"]
    assert (facts["kind"], facts["parameters"]) == (architecture.kind, sampler.weights.size)
    with pytest.raises(InvalidSampler, match="no file"):
        dump_sampler(condition_on(sampler, {"ill": "true"}))


def test_the_weights_are_a_safetensors_file() -> None:
    sampler = made_sampler()
    data = bytes(unpack(dump_sampler(sampler))["weights.safetensors"])
    length = int.from_bytes(data[:8], "little")
    header, flat = json.loads(data[8 : 8 + length]), []
    for entry in header.values():
        assert entry["dtype"] == "F32"
        start, stop = entry["data_offsets"]
        flat.append(np.frombuffer(data[8 + length :][start:stop], dtype="<f4"))
        assert flat[-1].size == np.prod(entry["shape"])
    assert np.array_equal(np.concatenate(flat), sampler.weights)


def _rewritten(change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> bytes:
    """Return a sampler file after ``change``, with checksums that fit again."""
    members = {k: bytes(v) for k, v in unpack(dump_sampler(made_sampler())).items()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    for name, data in members.items():
        entry = manifest["members"].setdefault(name, {})
        entry |= {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    return pack({"manifest.json": json.dumps(manifest).encode()} | members)


def _weights(change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes], Any], None]:
    def apply(members: dict[str, bytes], _: Any) -> None:
        members["weights.safetensors"] = change(members["weights.safetensors"])

    return apply


def _architecture(**fields: Any) -> Callable[[Any, dict[str, Any]], None]:
    def apply(_: Any, manifest: dict[str, Any]) -> None:
        manifest["architecture"] |= fields

    return apply


def _both(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"] = {"label": "ill", "latents": [4, 2], "widths": [4, 8]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_weights(lambda d: d[:-4] + np.float32("nan").tobytes()), "not finite"),
        (_weights(lambda d: d.replace(b'"F32"', b'"F16"', 1)), "another architecture"),
        (_weights(lambda d: d[:-4]), "another architecture"),
        (_weights(lambda d: d + b"\0\0\0\0"), "another architecture"),
        (_weights(lambda _: b"\x80\x04}q\x00." * 20), "another architecture"),
        (_architecture(width=16), "another architecture"),
        (_architecture(layers=2), "another architecture"),
        (_architecture(kind="diffusion"), "architecture"),
        (_architecture(kind="transformer"), "architecture"),
        (_architecture(width=2**40), "less than or equal"),
        (_architecture(code="print(1)"), "architecture"),
        (_both, "member|one network"),
    ],
)
def test_a_file_that_is_not_a_generators_is_refused(
    change: Callable[[dict[str, bytes], dict[str, Any]], None], words: str
) -> None:
    with pytest.raises(InvalidSampler, match=words):
        parse_sampler(_rewritten(change))


def test_the_rewriting_itself_is_accepted() -> None:
    assert parse_sampler(_rewritten(lambda _m, _f: None)).total == 1_000_000


def test_without_pytorch_a_file_opens_and_drawing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler = parse_sampler(dump_sampler(made_sampler()))
    monkeypatch.setattr(autoregressive_sampler, "find_spec", lambda _: None)
    assert describe_sampler(sampler)["total"] == 1_000_000
    with pytest.raises(RunFailed, match=r"silosynth\[generators\]"):
        draw(sampler, rows=1, seed=1)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros(3, dtype=np.float32)},
        {"weights": np.zeros((2, 2), dtype=np.float32)},
        {"total": -1},
        {"within": {}},
        {"plan_digest": "x"},
        {"architecture": MaskedMlp(width=2048, layers=12)},
    ],
)
def test_a_sampler_that_cannot_be_drawn_from_cannot_be_built(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidSampler):
        replace(made_sampler(), **change)


def test_a_masked_mlp_cannot_hold_texts() -> None:
    sampler = made_sampler(KINDS[1], made_schema(TEXT))
    with pytest.raises(InvalidSampler, match="cannot learn texts"):
        replace(sampler, architecture=KINDS[0])
