"""Sampler files: what was written comes back, and whatever else is refused by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidSampler, OutputExists
from silosynth.common.sampler import (
    CliqueMarginal,
    Sampler,
    build_sampler,
    load_sampler,
    parse_sampler,
    save_sampler,
)
from silosynth.common.sampler.sampler import draw
from silosynth.common.sampler.stored.archive import pack, unpack
from silosynth.common.sampler.stored.file import dump_sampler
from silosynth.common.schema import parse_schema
from tests.support.patience import patience

Members = dict[str, bytes]


def made_sampler() -> Sampler:
    schema = parse_schema(
        {
            "name": "made",
            "attributes": [
                {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "missing": True},
                {"name": "höhe", "kind": "real", "minimum": 0.1, "maximum": 2.3}
                | {"bins": {"kind": "width", "count": 12}},
                {"name": "since", "kind": "datetime", "minimum": "2020-01-01"}
                | {"maximum": "2024-01-01", "bins": {"kind": "width", "count": 3}},
                {"name": "key", "kind": "identifier"},
            ],
        }
    )
    joint = np.random.default_rng(0).gamma(1.0, size=(4, 3, 3))
    return build_sampler(
        schema=schema,
        grouping=Grouping(groups={"höhe": tuple(i // 4 for i in range(12))}),
        within={"höhe": np.arange(12.0)},
        nodes=[
            CliqueMarginal(clique=("sex", "höhe"), separator=(), values=joint.sum(2)),
            CliqueMarginal(clique=("höhe", "since"), separator=("höhe",), values=joint.sum(0)),
        ],
        total=100,
        certificate={"epsilon": 1.0, "note": "öffentlich \ud800"},
        plan_digest="sha256:" + "0" * 64,
    )


SAMPLER = made_sampler()
FILE = dump_sampler(SAMPLER)


def taken_apart() -> Members:
    return {name: bytes(data) for name, data in unpack(FILE).items()}


def put_together(members: Members) -> bytes:
    """Return a file whose checksums are right, whatever its members hold."""
    manifest = json.loads(members["manifest.json"])
    for name, facts in manifest["members"].items():
        if name in members:
            facts["sha256"] = sha256(members[name]).hexdigest()
            facts["bytes"] = len(members[name])
    return pack(members | {"manifest.json": json.dumps(manifest).encode()})


def with_manifest(change: Callable[[Any], object]) -> bytes:
    members = taken_apart()
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    return put_together(members | {"manifest.json": json.dumps(manifest).encode()})


def with_member(name: str, data: bytes) -> bytes:
    return put_together(taken_apart() | {name: data})


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.sampler"
    save_sampler(SAMPLER, path)
    read = load_sampler(path)
    assert dump_sampler(read) == path.read_bytes() == FILE
    assert read.schema == SAMPLER.schema
    assert read.certificate == SAMPLER.certificate
    assert draw(read, rows=500, seed=1).equals(draw(SAMPLER, rows=500, seed=1))


def test_the_same_model_gives_the_same_bytes() -> None:
    assert dump_sampler(made_sampler()) == FILE


def test_any_zip_tool_and_numpy_can_read_it() -> None:
    with zipfile.ZipFile(io.BytesIO(FILE)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:3] == ["manifest.json", "schema.json", "certificate.json"]
        for i, conditional in enumerate(SAMPLER.conditionals):
            ends = np.load(io.BytesIO(archive.read(f"shares-{i}.npy")), allow_pickle=False)
            assert (ends == conditional.ends).all()
        manifest = json.loads(archive.read("manifest.json"))
        facts = manifest["members"]["within-0.npy"]
        assert sha256(archive.read("within-0.npy")).hexdigest() == facts["sha256"]
        assert (facts["dtype"], facts["shape"]) == ("<u4", [12])


def test_reading_needs_no_framework() -> None:
    words = "import sys, silosynth.common.sampler.stored.file; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", words],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    assert not {"torch", "flwr", "ray", "scipy", "grpc"} & set(done.stdout.split())


def test_one_changed_byte_is_refused() -> None:
    chance = random.Random(0)
    places = {*range(64), *range(len(FILE) - 64, len(FILE)), *chance.sample(range(len(FILE)), 300)}
    for place in places:
        changed = bytearray(FILE)
        changed[place] ^= chance.randrange(1, 256)
        with pytest.raises(InvalidSampler):
            parse_sampler(bytes(changed))


def test_a_file_cut_anywhere_is_refused() -> None:
    for length in (*range(0, 200, 7), *range(200, len(FILE), 97), len(FILE) - 1):
        with pytest.raises(InvalidSampler):
            parse_sampler(FILE[:length])


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_damage_is_refused_by_name(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(FILE)))
    stop = data.draw(st.integers(start, min(start + 80, len(FILE))))
    damaged = FILE[:start] + data.draw(st.binary(max_size=80)) + FILE[stop:]
    if damaged != FILE:
        with pytest.raises(InvalidSampler):
            parse_sampler(damaged)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(taken_apart())), st.data())
def test_damage_with_right_checksums_is_refused_or_another_sampler(
    name: str, data: st.DataObject
) -> None:
    members = taken_apart()
    member = bytearray(members[name])
    for _ in range(data.draw(st.integers(1, 3))):
        member[data.draw(st.integers(0, len(member) - 1))] = data.draw(st.integers(0, 255))
    try:
        damaged = put_together(members | {name: bytes(member)})
    except (ValueError, TypeError, AttributeError, KeyError):
        damaged = pack(members | {name: bytes(member)})
    try:
        read = parse_sampler(damaged)
    except InvalidSampler:
        return
    draw(read, rows=50, seed=0)


@pytest.mark.parametrize("around", [(b"MZ", b""), (b"", b"\n"), (b"", FILE)])
def test_anything_before_or_after_the_file_is_refused(around: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidSampler):
        parse_sampler(around[0] + FILE + around[1])


def test_a_missing_or_an_extra_member_is_refused() -> None:
    for name in taken_apart():
        members = taken_apart()
        del members[name]
        data = put_together(members) if name != "manifest.json" else pack(members)
        with pytest.raises(InvalidSampler, match=r"missing|no manifest"):
            parse_sampler(data)
    with pytest.raises(InvalidSampler, match="one too many"):
        parse_sampler(with_member("shares-9.npy", b""))


def test_a_member_twice_is_refused() -> None:
    length = len(pack({"schema.json": b"{}"})) - 22 - 46 - len("schema.json")
    local = pack({"schema.json": b"{}"})[:length]
    with pytest.raises(InvalidSampler, match="twice"):
        unpack(local * 2)


@pytest.mark.parametrize(
    "name", ["../schema.json", "/etc/schema.json", "a/b.npy", "C:a.json", "x.py", "", "s\x00.json"]
)
def test_a_name_with_a_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidSampler, match="name of a member"):
        pack({name: b""})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name or "x"), b"{}")
    with pytest.raises(InvalidSampler):
        unpack(buffer.getvalue())


def test_a_compressed_archive_is_refused_without_opening_it() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in taken_apart():
            archive.writestr(name, b"0" * 10**7)
    with pytest.raises(InvalidSampler):
        parse_sampler(buffer.getvalue())


def test_an_oversized_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.sampler"
    with path.open("wb") as handle:
        handle.truncate(2**40)
    with pytest.raises(InvalidSampler, match=r"big\.sampler: is larger than 1073741824 bytes"):
        load_sampler(path)
    with pytest.raises(InvalidSampler, match="larger"):
        load_sampler(path, max_bytes=2**39)
    path.write_bytes(FILE)
    load_sampler(path, max_bytes=len(FILE))
    with pytest.raises(InvalidSampler, match="larger"):
        load_sampler(path, max_bytes=len(FILE) - 1)


def test_a_path_without_a_sampler_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("not a sampler")
    (tmp_path / "empty").touch()
    cases = {"absent": "cannot be read", ".": "not a file", "pipe": "not a file"}
    for name, message in (cases | {"text": "no sampler", "empty": "no sampler"}).items():
        with pytest.raises(InvalidSampler, match=message):
            load_sampler(tmp_path / name)


def test_a_pickled_array_is_refused_and_never_opened(tmp_path: Path) -> None:
    class Opened:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "opened",))

    for data in (npy(np.array([Opened()], dtype=object)), pickle.dumps(Opened())):
        with pytest.raises(InvalidSampler, match="dtype and shape"):
            parse_sampler(with_member("shares-0.npy", data))
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda ends: ends.astype(np.uint64),
        lambda ends: ends.astype(">u4"),
        lambda ends: ends.astype(np.float32),
        lambda ends: ends.T,
        lambda ends: np.vstack([ends, ends]),
    ],
)
def test_an_array_unlike_the_manifest_is_refused(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    array = np.asfortranarray(change(SAMPLER.conditionals[1].ends))
    with pytest.raises(InvalidSampler, match=r"shares-1\.npy"):
        parse_sampler(with_member("shares-1.npy", npy(array)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=3), "a mixture is of version 3, 4 or 5"),
        (lambda m: m.update(version=4), "a mixture is of version 3, 4 or 5"),
        (lambda m: m.update(version=5), "a mixture is of version 3, 4 or 5"),
        (lambda m: m.update(version=6), "version is none of"),
        (lambda m: m.update(format="other"), "format"),
        (lambda m: m.update(extra=1), "extra"),
        (lambda m: m.pop("total"), "total"),
        (lambda m: m.update(total=-1), "total"),
        (lambda m: m.update(total="5"), "total"),
        (lambda m: m.update(total=10**30), "total"),
        (lambda m: m.update(plan_digest="x"), "plan digest"),
        (lambda m: m["conditionals"].reverse(), "drawn before"),
        (lambda m: m["conditionals"][0].update(attribute="since"), "shape of its domain"),
        (lambda m: m["conditionals"][1].update(attribute="unknown"), "is unknown"),
        (lambda m: m["conditionals"][2].update(given=["sex"]), "shape of its domain"),
        (lambda m: m["conditionals"][2].update(given=["höhe", "höhe"]), "twin"),
        (lambda m: m["conditionals"][2].update(given=["unknown"]), "drawn before"),
        (lambda m: m["conditionals"].pop(), "one too many"),
        (lambda m: m["grouping"].update(höhe=[0] * 11 + [5]), "every group"),
        (lambda m: m["grouping"].update(höhe=[0] * 12), "rise to one|shape"),
        (lambda m: m["grouping"].update(höhe=[]), "every group"),
        (lambda m: m.update(grouping={"unknown": [0] * 12}), "grouping"),
        (lambda m: m["members"]["shares-0.npy"].update(shape=[2, 2]), "dtype and shape"),
        (lambda m: m["members"]["shares-0.npy"].update(shape=None), "no shape"),
        (lambda m: m["members"]["shares-0.npy"].update(shape=[1] * 9), "members.shares-0"),
        (lambda m: m["members"]["shares-0.npy"].update(shape=[2**40, 4]), "members.shares-0"),
        (lambda m: m["members"]["shares-0.npy"].update(dtype="|O"), "members.shares-0"),
        (lambda m: m["members"].update({"../x.npy": m["members"]["shares-0.npy"]}), "too many"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    change: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(InvalidSampler, match=message):
        parse_sampler(with_manifest(change))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("schema.json", "{}", "schema.json"),
        ("schema.json", "[]", "not a mapping"),
        ("schema.json", '{"name": NaN}', "not valid JSON"),
        ("certificate.json", "[]", "not a mapping"),
        ("certificate.json", "[" * 10**5, "not valid JSON"),
        ("certificate.json", "1" * 5000, "not valid JSON"),
        ("certificate.json", "\x00", "not valid JSON"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidSampler, match=message):
        parse_sampler(with_member(name, text.encode()))


def test_a_member_that_the_manifest_does_not_vouch_for_is_refused() -> None:
    certificate = taken_apart()["certificate.json"]
    for edited in (certificate.replace(b"1.0", b"0.1"), certificate + b" "):
        with pytest.raises(InvalidSampler, match="not what the manifest says"):
            parse_sampler(pack(taken_apart() | {"certificate.json": edited}))


def test_a_manifest_that_is_no_mapping_is_refused() -> None:
    for text in (b"[]", b"null", b"\xff", b"{"):
        with pytest.raises(InvalidSampler, match=r"manifest\.json"):
            parse_sampler(pack(taken_apart() | {"manifest.json": text}))


def test_a_sampler_of_another_schema_is_refused() -> None:
    schema = json.loads(taken_apart()["schema.json"])
    schema["attributes"][0]["categories"].append("x")
    with pytest.raises(InvalidSampler, match="'sex'"):
        parse_sampler(with_member("schema.json", json.dumps(schema).encode()))


def test_an_existing_file_is_kept_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a.sampler"
    path.write_text("mine")
    with pytest.raises(OutputExists):
        save_sampler(SAMPLER, path)
    assert path.read_text() == "mine"
    save_sampler(SAMPLER, path, force=True)
    assert path.read_bytes() == FILE
    assert [p.name for p in tmp_path.iterdir()] == ["a.sampler"]
