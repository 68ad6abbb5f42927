"""Votes with local folders: one says what is near, another's language model writes candidates."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from silosynth.client.gateway import public_error
from silosynth.client.learning import Checkpoints
from silosynth.client.policy import Policy
from silosynth.client.policy.limits import check_embedding
from silosynth.common.codec import encode_texts
from silosynth.common.errors import (
    InvalidArgument,
    InvalidCheckpoint,
    PlanRefused,
    RunFailed,
    SilosynthError,
)
from silosynth.common.generator import OWN_EMBEDDINGS, Words, digest_checkpoint, open_words
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.sampler.sampler import draw
from silosynth.server.coordinator import Imagine, Imagined
from silosynth.server.driver import generator_of
from silosynth.server.methods import Wanted
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate
from tests.support.tables.texts import messages
from tests.support.tiny_checkpoint import make_checkpoint

TEXTS = ("see you later", "win a prize now", "see a prize", "", "grüße 日本")
CANDIDATES = ("you win", "see you", "now now now")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("folder"))


@cache
def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"epsilon": 20.0, "delta": 1e-6, "silos": ("a", "b"), "plan_id": "p"}
    asked |= {"method": "votes", "candidates": 6}
    return new_plan(messages(max_bytes=20), **(asked | changes))


def opened(folder: Path) -> Words:
    return open_words(folder, digest_checkpoint(folder))


def oracle_nearest(words: Words, table: list[list[int]], text: str) -> int:
    """Return the nearest candidate of one text by Python's integers."""

    def summed(said: str) -> list[int]:
        tokens = words.tokenizer.encode(said, add_special_tokens=False).ids
        return [sum(table[t][i] for t in tokens) for i in range(len(table[0]))]

    own, scores = summed(text), []
    for theirs in map(summed, CANDIDATES):
        root = max(int(sum(t * t for t in theirs) ** 0.5), 1)
        scores.append(sum(o * ((t << 20) // root) for o, t in zip(own, theirs, strict=True)))
    best = max(scores)
    return scores.index(best) if best > 0 else -1


def test_a_text_is_near_by_whole_numbers_of_the_folder_s_table(folder: Path) -> None:
    words = opened(folder)
    (weights,) = folder.glob("*.safetensors")
    table = load_file(weights)["transformer.wte.weight"].astype(np.float64)
    whole = np.rint(table / np.abs(table).max() * 2047).astype(int).tolist()
    codes, _ = encode_texts(pa.array(TEXTS, pa.large_string()), name="t", max_bytes=20)
    expected = [oracle_nearest(words, whole, text) for text in TEXTS]
    assert words.nearest(codes, CANDIDATES).tolist() == expected
    assert words.nearest(codes[::-1], CANDIDATES).tolist() == expected[::-1]
    assert expected[3] == -1


def broken(folder: Path, place: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> Path:
    """Return a copy of a folder with other weights."""
    shutil.copytree(folder, place)
    (weights,) = place.glob("*.safetensors")
    save_file(change(load_file(weights)), weights)
    return place


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {"lm_head.weight": np.ones((300, 4))}, "no one table with a vector for each"),
        (lambda t: {"wte.weight": np.ones((3, 4))}, "no one table"),
        (lambda t: t | {"embeddings": np.ones((300, 4))}, "no one table"),
        (lambda t: {"embeddings": np.full((300, 4), np.nan)}, "no finite numbers"),
        (lambda t: {"embeddings": np.zeros((300, 4))}, "all nought"),
    ],
)
def test_a_folder_without_token_vectors_is_told_in_one_line(
    folder: Path, tmp_path: Path, change: Any, words: str
) -> None:
    with pytest.raises(InvalidCheckpoint, match=words) as told:
        opened(broken(folder, tmp_path / "copy", change))
    assert "\n" not in told.value.message


def folder_of(place: Path, tokenizer: Tokenizer, vectors: np.ndarray) -> Path:
    """Write a folder of token vectors alone, beside weights in numbers that NumPy has not."""
    place.mkdir()
    (place / "config.json").write_text("{}")
    tokenizer.save(str(place / "tokenizer.json"))
    shape = [len(vectors), vectors.shape[1]]
    data = vectors.astype(np.float32).tobytes()
    header = json.dumps(
        {
            "embeddings": {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]},
            "other": {"dtype": "BF16", "shape": [1], "data_offsets": [len(data), len(data) + 2]},
        }
    ).encode()
    weights = len(header).to_bytes(8, "little") + header + data + bytes(2)
    (place / "model.safetensors").write_bytes(weights)
    return place


@pytest.mark.parametrize(
    "model",
    [models.WordLevel({"win": 0, "see": 1}), models.WordPiece({"win": 0, "see": 1})],
)
def test_a_text_that_a_tokenizer_fails_on_votes_for_none_so_that_no_error_tells_of_a_row(
    tmp_path: Path, model: Any
) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    words = opened(folder_of(tmp_path / "made", tokenizer, np.eye(2)))
    with pytest.raises(Exception, match="UNK"):
        words.tokenizer.encode("zebra")
    texts = ("see", "win zebra", "win")
    codes, _ = encode_texts(pa.array(texts, pa.large_string()), name="t", max_bytes=20)
    try:
        found = words.nearest(codes, ("win", "see", "zebra")).tolist()
    except Exception as err:
        pytest.fail(f"an error tells what word a row holds: {err}")
    assert found == [1, -1, 0]


def test_a_text_has_the_same_tokens_each_time_whatever_a_folder_leaves_to_chance(
    tmp_path: Path,
) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.5))
    words = opened(folder_of(tmp_path / "made", tokenizer, np.eye(3)))
    codes, _ = encode_texts(pa.array(["ab"] * 64, pa.large_string()), name="t", max_bytes=9)
    assert words.nearest(codes, ("b", "ab")).tolist() == [1] * 64


def growing(*rules: Any, template: str = "$A") -> Tokenizer:
    """Return a tokenizer that makes texts longer before it splits them, or their tokens after."""
    tokenizer = Tokenizer(models.WordLevel({"win": 0, "?": 1}, unk_token="?"))
    tokenizer.normalizer = normalizers.Sequence(list(rules))
    tokenizer.post_processor = processors.TemplateProcessing(single=template)
    return tokenizer


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (growing(*[normalizers.Replace("zebra", "zebra" * 8)] * 12), True),
        (growing(normalizers.Sequence([normalizers.Prepend("a" * 80)] * 2)), True),
        (growing(template=" ".join(["$A"] * 4097)), True),
        (growing(normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")), False),
    ],
)
def test_a_tokenizer_that_takes_all_memory_at_a_word_is_refused_before_rows_are_read(
    tmp_path: Path, made: Tokenizer, told: bool
) -> None:
    """A gateway that ends at a word of a row would tell of it, without noise."""
    folder = folder_of(tmp_path / "made", made, np.eye(2))
    if not told:
        assert opened(folder).tokenizer.encode("win", add_special_tokens=False).ids == [1]
        return
    with pytest.raises(InvalidCheckpoint, match="over 4096 times as long") as refused:
        opened(folder)
    assert "\n" not in refused.value.message


def test_rules_without_a_type_or_of_no_known_form_count_as_the_library_reads_them(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path / "made", growing(), np.eye(2))
    rules = json.loads((folder / "tokenizer.json").read_text())
    bomb = [{"pattern": {"String": "a"}, "content": "a" * 8}] * 4
    for normalizer in ({"normalizers": bomb}, {"content": 3}, {"precompiled_charsmap": "*"}):
        (folder / "tokenizer.json").write_text(json.dumps(rules | {"normalizer": normalizer}))
        with pytest.raises(InvalidCheckpoint, match="times as long"):
            digest_checkpoint(folder)
    table = b64encode(bytes(4) + b"\0" + b"z" * 5000 + b"\0").decode()
    normalizer = {"type": "Precompiled", "precompiled_charsmap": table}
    (folder / "tokenizer.json").write_text(json.dumps(rules | {"normalizer": normalizer}))
    with pytest.raises(InvalidCheckpoint, match="times as long"):
        digest_checkpoint(folder)


def test_a_tokenizer_that_cannot_be_read_is_told(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "tokenizer.json").write_text(json.dumps({"model": "?"}))
    with pytest.raises(InvalidCheckpoint, match="none that tokenizers can read"):
        opened(copy)


def test_other_bytes_than_plan_and_policy_name_are_refused_in_public_words(
    folder: Path, tmp_path: Path
) -> None:
    digest = digest_checkpoint(folder)
    plan, schema = made_plan(embedding=digest), messages(max_bytes=20)
    with pytest.raises(PlanRefused, match="and this silo's policy names sha256:"):
        check_embedding(Policy(), plan=plan)
    check_embedding(Policy(embeddings=frozenset({digest})), plan=plan)
    with pytest.raises(PlanRefused, match="which this silo's policy does not name"):
        Checkpoints().require(plan, schema)
    other = make_checkpoint(tmp_path / "other", seed=3)
    with pytest.raises(InvalidCheckpoint, match="is another checkpoint") as told:
        Checkpoints({digest: other}).require(plan, schema)
    said = public_error(told.value)
    assert "copy of the plan's checkpoint cannot be used" in said.message
    assert str(tmp_path) not in f"{said.message} {said.hint}"
    Checkpoints({digest: folder}).require(plan, schema)
    assert digest not in OWN_EMBEDDINGS


def test_a_run_by_local_folders_alone(folder: Path, tmp_path: Path) -> None:
    """A folder says what is near at the silos, another's model writes at the coordinator."""
    schema = messages(max_bytes=20)
    plan = made_plan(embedding=digest_checkpoint(folder), vote_rounds=2)
    silos = {n: pa.table({"kind": ["ham", "spam"], "text": ["see you", "win"]}) for n in "ab"}
    writer = make_checkpoint(tmp_path / "writer", kind="llama", seed=1)
    asked: dict[str, Any] = {"schema": schema, "silos": silos, "engine": "local"}
    with pytest.raises(InvalidArgument, match="say in which folder it lies"):
        simulate(plan, generator=writer, **asked)
    with pytest.raises(InvalidCheckpoint, match="is another checkpoint"):
        simulate(plan, generator=writer, checkpoint=writer, **asked)
    result = simulate(plan, generator=writer, checkpoint=folder, **asked)
    written = result.state.candidates
    assert set(written) == {PhaseName.VOTES_1, PhaseName.VOTES_2}
    rows = draw(result.sampler, rows=40, seed=1, threads=1)
    assert set(rows["text"].to_pylist()) <= set(written[PhaseName.VOTES_2])


def written(folder: Path, plan: Plan, lines: tuple[str, ...], *, seconds: float = 60.0) -> Imagined:
    wanted = Wanted(phase=PhaseName.VOTES_1, lines=lines)
    return generator_of(folder, plan, seconds=seconds)(Imagine(wanted=wanted))


def test_a_language_model_varies_a_text_from_its_beginning(folder: Path) -> None:
    lines = ("win a prize now",) * 4
    found = json.loads(written(folder, made_plan(), lines).data)["candidates"]
    assert found
    assert all(text.startswith("win") and len(text.encode()) <= 20 for text in found)
    latin = json.loads(written(folder, made_plan(alphabet="ascii"), ("",) * 6).data)["candidates"]
    assert all(text.isascii() for text in latin)


@pytest.mark.parametrize("what", ["late", "empty", "none"])
def test_a_model_that_cannot_write_is_told_in_one_line(
    folder: Path, tmp_path: Path, what: str
) -> None:
    told: SilosynthError
    if what == "late":
        with pytest.raises(RunFailed, match=r"was not done within 0 s") as late:
            written(folder, made_plan(), ("",), seconds=0.0)
        told = late.value
    elif what == "empty":
        silent = broken(folder, tmp_path / "copy", _silent)
        with pytest.raises(RunFailed, match="wrote nothing") as empty:
            written(silent, made_plan(), ("", ""))
        told = empty.value
    else:
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(InvalidCheckpoint, match="no fast tokenizer") as none:
            generator_of(tmp_path, made_plan())
        told = none.value
    assert "\n" not in told.message


def _silent(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights of a model that ends every text at once: its last state is one direction."""
    changed = {n: w.copy() for n, w in weights.items()}
    changed["transformer.ln_f.weight"][:] = 0
    changed["transformer.ln_f.bias"][:] = 1e5 * changed["transformer.wte.weight"][0]
    return changed
