"""A generator's sampler draws what its network says, and its file is refused when it is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidSampler
from silosynth.common.sampler import (
    Layer,
    Network,
    NeuralSampler,
    condition_on,
    describe_sampler,
    draw_codes,
    load_sampler,
    parse_sampler,
    save_sampler,
    shares_within,
)
from silosynth.common.sampler.conditional import WHOLE
from silosynth.common.sampler.sampler import draw
from silosynth.common.sampler.stored.archive import pack, unpack
from silosynth.common.sampler.stored.file import dump_sampler
from silosynth.common.sampler.stored.safetensors import dump_network, parse_network, widths_of
from silosynth.common.schema import parse_schema

SCHEMA = parse_schema(
    {
        "name": "made",
        "label": "ill",
        "attributes": [
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99}
            | {"bins": {"kind": "width", "count": 10}},
            {"name": "ill", "kind": "boolean"},
        ],
    }
)
GROUPS = (0, 0, 0, 1, 1, 2, 2, 2, 2, 3)
WITHIN = np.array([1.0, 2, 0, 1, 1, 3, 0, 1, 0, 5])


def made_network(*, seed: int = 0, widths: tuple[int, ...] = (5, 16, 6)) -> Network:
    rng = np.random.default_rng(seed)
    return Network(
        latents=rng.normal(size=(64, 3)).astype(np.float32),
        layers=tuple(
            Layer(
                weight=rng.normal(0, 1, (i, o)).astype(np.float32),
                bias=rng.normal(0, 0.3, o).astype(np.float32),
            )
            for i, o in pairwise(widths)
        ),
    )


def made_sampler(**changes: Any) -> NeuralSampler:
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "grouping": Grouping(groups={"age": GROUPS}),
        "within": {"age": shares_within(WITHIN, groups=np.asarray(GROUPS), name="age")},
        "label": "ill",
        "label_shares": np.array([WHOLE // 4, WHOLE], dtype=np.uint32),
        "network": made_network(),
        "total": 100,
        "certificate": {"epsilon": 1.0},
        "plan_digest": "sha256:" + "0" * 64,
    }
    return NeuralSampler(**(facts | changes))


def joint_of(sampler: NeuralSampler) -> np.ndarray:
    """Return the joint over fine codes, by asking the network for each component in turn."""
    joint = np.zeros((2, 10, 2))
    groups = np.asarray(GROUPS)
    inside = WITHIN / np.bincount(groups, weights=WITHIN)[groups]
    shares = np.diff(sampler.label_shares.astype(float), prepend=0) / WHOLE
    first, last = sampler.network.layers
    for label, share in enumerate(shares):
        for latent in sampler.network.latents:
            values = np.append(latent, np.eye(2)[label])
            hidden = np.maximum(values @ first.weight + first.bias, 0)
            weights = np.exp(hidden @ last.weight + last.bias)
            sex, age = weights[:2] / weights[:2].sum(), weights[2:] / weights[2:].sum()
            joint[:, :, label] += share * np.outer(sex, age[groups] * inside) / 64
    return joint


def drawn(sampler: NeuralSampler, *, rows: int = 300_000, seed: int = 1) -> np.ndarray:
    codes = draw_codes(sampler, rows=rows, seed=seed)
    table = np.zeros((2, 10, 2))
    np.add.at(table, codes, 1)
    return table / rows


def test_rows_follow_the_network() -> None:
    assert np.abs(drawn(made_sampler()) - joint_of(made_sampler())).max() < 0.003


@pytest.mark.parametrize(
    "where", [{"ill": "true"}, {"sex": "m", "age": "30..59"}, {"age": "0..19", "ill": "false"}]
)
def test_conditions_are_exact(where: dict[str, str]) -> None:
    sampler = made_sampler()
    joint = joint_of(sampler)
    given = condition_on(sampler, where)
    for name, mask in given.allowed.items():
        joint *= mask.reshape([-1 if a == name else 1 for a in ("sex", "age", "ill")])
    found = drawn(given, rows=100_000)
    assert np.abs(found - joint / joint.sum()).max() < 0.006
    assert not found[joint == 0].any()


def test_a_condition_that_nothing_meets_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no row"):
        condition_on(made_sampler(), {"age": "20..29"})


def test_conditions_add_up_and_so_do_the_rows_expected() -> None:
    sampler = made_sampler(total=1_000_000)
    once = condition_on(sampler, {"age": "30..59", "ill": "true"})
    twice = condition_on(condition_on(sampler, {"age": "30..99", "ill": "true"}), {"age": "..59"})
    assert draw(once, rows=200, seed=1).equals(draw(twice, rows=200, seed=1))
    assert once.total == pytest.approx(1e6 * joint_of(sampler)[:, 3:6, 1].sum(), abs=2)
    assert abs(once.total - twice.total) <= 1


def test_marginals_of_the_mixture_are_those_of_the_joint() -> None:
    sampler = made_sampler(grouping=Grouping(), within={}, network=made_network(widths=(5, 9, 12)))
    mixture = sampler.mixture()
    full = mixture.marginal(("sex", "age", "ill")).reshape(2, 10, 2)
    assert full.sum() == pytest.approx(1)
    assert np.allclose(mixture.marginal(("ill", "sex")), full.sum(1).T.ravel())
    assert np.abs(drawn(sampler) - full).max() < 0.003


def test_without_a_label_there_is_one_class() -> None:
    network = made_network(widths=(4, 8, 8))
    sampler = made_sampler(
        label=None, label_shares=np.array([WHOLE], dtype=np.uint32), network=network
    )
    assert draw(sampler, rows=50, seed=3).num_rows == 50
    assert draw(sampler, rows=0, seed=3).num_rows == 0


def test_the_same_seed_draws_the_same_rows_with_any_number_of_threads() -> None:
    sampler = made_sampler()
    first, again = (draw(sampler, rows=20_000, seed=5, threads=t) for t in (1, 2))
    assert first.equals(again)
    assert not first.equals(draw(sampler, rows=20_000, seed=6))


def test_a_file_gives_the_same_sampler_back(tmp_path: Path) -> None:
    path = tmp_path / "x.sampler"
    save_sampler(made_sampler(), path)
    loaded = load_sampler(path)
    assert draw(loaded, rows=500, seed=1).equals(draw(made_sampler(), rows=500, seed=1))
    assert dump_sampler(loaded) == path.read_bytes()
    assert describe_sampler(loaded)["generator"] == {"label": "ill", "layers": [[5, 16], [16, 6]]}
    with pytest.raises(InvalidSampler, match="no file"):
        dump_sampler(condition_on(made_sampler(), {"ill": "true"}))


def test_the_weights_are_a_safetensors_file() -> None:
    """Read as the format says: a length, a JSON header, and little-endian floats."""
    network = made_network()
    data = dump_network(network)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert (8 + length) % 8 == 0
    for i, layer in enumerate(network.layers):
        for name, array in (("weight", layer.weight), ("bias", layer.bias)):
            entry = header[f"{i}.{name}"]
            start, stop = entry["data_offsets"]
            flat = np.frombuffer(data[8 + length :][start:stop], dtype="<f4")
            assert entry["dtype"] == "F32"
            assert np.array_equal(flat.reshape(entry["shape"]), array)
    again = parse_network(data, widths=widths_of(network), latents=(64, 3))
    assert dump_network(again) == data


def _rewritten(change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> bytes:
    """Return a sampler file after ``change``, with checksums that fit again."""
    members = {k: bytes(v) for k, v in unpack(dump_sampler(made_sampler())).items()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    for name, data in members.items():
        entry = manifest["members"].setdefault(name, {})
        entry |= {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    return pack({"manifest.json": json.dumps(manifest).encode()} | members)


def _nan(members: dict[str, bytes], _: dict[str, Any]) -> None:
    data = members["weights.safetensors"]
    members["weights.safetensors"] = data[:-4] + np.float32("nan").tobytes()


def _half(members: dict[str, bytes], _: dict[str, Any]) -> None:
    data = members["weights.safetensors"]
    members["weights.safetensors"] = data.replace(b'"F32"', b'"F16"', 1)


def _short(members: dict[str, bytes], _: dict[str, Any]) -> None:
    members["weights.safetensors"] = members["weights.safetensors"][:-4]


def _pickled(members: dict[str, bytes], _: dict[str, Any]) -> None:
    members["weights.safetensors"] = b"\x80\x04}q\x00." * 20


def _wide(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["widths"] = [5, 2**20, 2**20, 6]


def _narrow(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["widths"] = [5, 8, 6]


def _many(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["latents"] = [2**30, 3]


def _flat(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["latents"] = [192]


def _zero(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["widths"] = [5, 0, 6]


def _stranger(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["label"] = "size"


def _both(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["conditionals"] = [{"attribute": "sex", "given": []}]


def _gone(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
    del members["weights.safetensors"], manifest["members"]["weights.safetensors"]


def _extra(_: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["generator"]["code"] = "print(1)"


@pytest.mark.parametrize(
    "change",
    [
        _nan,
        _half,
        _short,
        _pickled,
        _wide,
        _narrow,
        _zero,
        _many,
        _flat,
        _stranger,
        _both,
        _gone,
        _extra,
    ],
)
def test_a_file_that_is_not_a_generators_is_refused(
    change: Callable[[dict[str, bytes], dict[str, Any]], None],
) -> None:
    with pytest.raises(InvalidSampler):
        parse_sampler(_rewritten(change))


def test_the_rewriting_itself_is_accepted() -> None:
    assert parse_sampler(_rewritten(lambda _m, _f: None)).total == 100


def test_one_changed_byte_is_refused() -> None:
    data = dump_sampler(made_sampler())
    for place in range(0, len(data), 37):
        with pytest.raises(InvalidSampler):
            parse_sampler(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        {"network": made_network(widths=(5, 8, 7))},
        {"network": made_network(widths=(4, 8, 6))},
        {"label_shares": np.array([WHOLE], dtype=np.uint32)},
        {"label_shares": np.array([WHOLE, 5], dtype=np.uint32)},
        {"label": "size"},
        {"total": -1},
        {"within": {}},
        {"plan_digest": "x"},
        {"certificate": {"x": float("nan")}},
    ],
)
def test_a_sampler_that_cannot_be_drawn_from_cannot_be_built(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidSampler):
        made_sampler(**change)


def test_layers_must_fit_one_another() -> None:
    first = made_network().layers[0]
    latents = made_network().latents
    with pytest.raises(InvalidSampler):
        Network(latents=latents, layers=(first, first))
    with pytest.raises(InvalidSampler):
        Network(latents=np.zeros((3, 5), np.float32), layers=(first,))
    with pytest.raises(InvalidSampler):
        replace(first, bias=first.bias[:-1].copy())
    with pytest.raises(InvalidSampler):
        Network(latents=latents, layers=())
