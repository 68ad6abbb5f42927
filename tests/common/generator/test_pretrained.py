"""Checkpoints are data named by a digest; rows become tokens each by itself; draws keep the law."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from silosynth.common.codec import Codec, layout_of, to_examples
from silosynth.common.errors import InvalidArgument, InvalidCheckpoint, InvalidPlan
from silosynth.common.generator import (
    MaskedMlp,
    Pretrained,
    PretrainedNetwork,
    build_network,
    digest_checkpoint,
    initial_vector,
    load_pretrained,
    open_checkpoint,
    usual_layers,
)
from silosynth.common.generator.architecture import AdaptedLayer
from silosynth.common.generator.checkpoint import adapted
from silosynth.common.generator.checkpoint_files import checkpoint_files
from silosynth.common.generator.networks import tensors_of
from silosynth.common.generator.tokens import IGNORED, TextTokens, control_words
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.seeded import SeededWords
from tests.support.tiny_checkpoint import END, make_checkpoint

KIND = {"name": "kind", "kind": "categorical", "categories": ["ham", "spam"], "other": False}
REGION = {"name": "region", "kind": "categorical", "categories": ["north", "south"]}
NOTE = {"name": "note", "kind": "text", "max_bytes": 24}


def notes(*attributes: dict[str, Any], **changes: Any) -> Schema:
    listed = [a | {"source": "public"} for a in attributes or (KIND, REGION, NOTE)]
    return parse_schema({"name": "notes", "label": "kind", "attributes": listed} | changes)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), kind=request.param)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def architecture_of(folder: Path, **changes: Any) -> Pretrained:
    digest = digest_checkpoint(folder)
    layers = usual_layers(open_checkpoint(folder, digest))
    values = {"checkpoint": digest, "layers": layers, "rank": 2, "tokens": 24} | changes
    values.setdefault("table", MaskedMlp(width=4, layers=1, views=2))
    return Pretrained.model_validate(values)


def network_of(folder: Path, **changes: Any) -> PretrainedNetwork:
    architecture = architecture_of(folder, **changes)
    checkpoint = open_checkpoint(folder, architecture.checkpoint)
    return PretrainedNetwork(architecture, notes(), checkpoint)


def examples_of(schema: Schema, **columns: Sequence[Any]) -> np.ndarray:
    table, codec = pa.table(columns), Codec(schema)
    return to_examples(codec.encode(table).codes, codec.encode_texts(table)[0], schema=schema)


# Files


def test_a_digest_names_what_is_opened_and_nothing_else(gpt2: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(gpt2, tmp_path / "copy"))
    assert digest_checkpoint(copy) == digest_checkpoint(gpt2)
    for name in ("README.md", "pytorch_model.bin", "modeling_own.py", "adapter_config.json"):
        (copy / name).write_text("{}")
    assert digest_checkpoint(copy) == digest_checkpoint(gpt2)
    open_checkpoint(copy, digest_checkpoint(copy))
    for name in checkpoint_files(copy):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert digest_checkpoint(copy) != digest_checkpoint(gpt2), name
        (copy / name).write_bytes(whole)


def test_another_checkpoint_than_the_digest_names_is_not_opened(gpt2: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path, seed=1)
    with pytest.raises(InvalidCheckpoint, match="is another checkpoint"):
        open_checkpoint(other, digest_checkpoint(gpt2))


def test_pickled_weights_are_refused_and_never_opened(gpt2: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(gpt2, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(InvalidCheckpoint, match="its weights are pickled"):
        digest_checkpoint(copy)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.json", "has no configuration"),
        ("tokenizer.json", "has no fast tokenizer"),
        ("model.safetensors", "has no weights in safetensors"),
    ],
)
def test_a_file_that_is_missing_is_named(gpt2: Path, tmp_path: Path, name: str, words: str) -> None:
    copy = Path(shutil.copytree(gpt2, tmp_path / "copy"))
    (copy / name).unlink()
    with pytest.raises(InvalidCheckpoint, match=words):
        digest_checkpoint(copy)
    with pytest.raises(InvalidCheckpoint, match="there is no checkpoint"):
        digest_checkpoint(tmp_path / "nothing")


def test_code_of_a_checkpoints_own_is_never_run(gpt2: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(gpt2, tmp_path / "copy"))
    trap = tmp_path / "was-run"
    (copy / "modeling_own.py").write_text(f"open({str(trap)!r}, 'w')")
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "architectures": ["Own"]}
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM"), "modeling_own.Own")
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidCheckpoint, match="transformers cannot open it"):
        open_checkpoint(copy, digest_checkpoint(copy))
    assert not trap.exists()


def test_weights_that_are_cut_off_are_named_in_one_line(gpt2: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(gpt2, tmp_path / "copy"))
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidCheckpoint, match="transformers cannot open it"):
        open_checkpoint(copy, digest_checkpoint(copy))


def test_a_model_that_looks_ahead_is_refused(gpt2: Path, tmp_path: Path) -> None:
    """It would see the padding, and what it is to predict."""
    copy = Path(shutil.copytree(gpt2, tmp_path / "copy"))
    size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    from transformers import BertConfig, BertLMHeadModel  # takes seconds

    config = BertConfig(vocab_size=300, num_hidden_layers=2, **size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        BertLMHeadModel(config).save_pretrained(copy)
    with pytest.raises(InvalidCheckpoint, match="does not read from left to right alone"):
        open_checkpoint(copy, digest_checkpoint(copy))


def test_a_model_without_gradients_of_single_rows_is_refused(
    gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(gpt2)
    network.require_gradients()
    real = network.model.forward

    def forward(input_ids: torch.Tensor, **options: Any) -> Any:
        return real(input_ids=input_ids, **options) if int(input_ids.sum()) else None

    monkeypatch.setattr(network.model, "forward", forward)
    with pytest.raises(InvalidCheckpoint, match="gradients of single rows cannot be taken"):
        network.require_gradients()


# Rows as tokens


def test_control_codes_are_the_schemas_own_words() -> None:
    age = {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "missing": True}
    age["bins"] = {"kind": "width", "count": 2}
    ill = {"name": "ill", "kind": "boolean"}
    grade = {"name": "grade", "kind": "ordinal", "categories": [1, 2], "missing": True}
    words = control_words(notes(KIND, REGION, age, ill, grade, NOTE))
    assert words["kind"] == ("kind: ham", "kind: spam")
    assert words["region"] == ("region: north", "region: south", "region: other")
    assert words["age"] == ("age: 0 to 49", "age: 50 to 99", "age: missing")
    assert words["ill"] == ("ill: False", "ill: True")
    assert words["grade"] == ("grade: 1", "grade: 2", "grade: other", "grade: missing")


def test_a_row_is_control_code_text_end_and_padding(folder: Path) -> None:
    network = network_of(folder)
    tokenizer = open_checkpoint(folder, digest_checkpoint(folder)).tokenizer
    texts = ["see you", "", f"{END} is text", "ß" * 12]
    kinds = ["ham", "spam", "spam", "ham"]
    rows = examples_of(notes(), kind=kinds, region=["north"] * 4, note=texts)
    inputs, targets = network.tokens.rows(rows)
    assert inputs.shape == targets.shape == (4, network.tokens.length)
    for kind, text, given, learnt in zip(kinds, texts, inputs, targets, strict=True):
        prompt = tokenizer.encode(f"kind: {kind} | region: north\n")
        assert tokenizer.decode(network.tokens.prompt(np.array([kind == "spam", 0]))) == (
            f"kind: {kind} | region: north\n"
        )
        counted = learnt[learnt != IGNORED]
        assert counted[-1] == tokenizer.end
        assert tokenizer.end not in counted[:-1]
        assert tokenizer.decode(counted) == text
        start = int(np.argmax(learnt != IGNORED))
        assert given[0] == tokenizer.start
        assert start >= 1 + len(prompt) - 4, "the control code is not learnt"
        assert np.array_equal(given[learnt != IGNORED], counted)
    assert np.array_equal(
        np.concatenate([network.tokens.rows(row[None])[0] for row in rows]), inputs
    )


def test_a_text_that_is_cut_has_no_end_to_learn(gpt2: Path) -> None:
    tokens = network_of(gpt2, tokens=3).tokens
    rows = examples_of(notes(), kind=["ham"], region=["south"], note=["see you later, see you"])
    _, targets = tokens.rows(rows)
    assert (targets != IGNORED).sum() == 3
    assert 0 not in targets


@pytest.mark.parametrize("kind", [ValueError, BaseException])
def test_a_text_that_a_tokenizer_fails_on_is_empty_so_that_no_error_tells_of_a_row(
    gpt2: Path, kind: type[BaseException]
) -> None:
    real = open_checkpoint(gpt2, digest_checkpoint(gpt2)).tokenizer

    class Fragile:
        start, end = real.start, real.end

        def encode(self, text: str) -> list[int]:
            if "rare" in text:
                raise kind(text)
            return real.encode(text)

        def decode(self, tokens: Sequence[int]) -> str:
            return real.decode(tokens)

    tokens = TextTokens(Fragile(), notes(), tokens=24)
    rows = examples_of(notes(), kind=["ham"], region=["south"], note=["a rare word"])
    _, targets = tokens.rows(rows)
    assert targets[targets != IGNORED].tolist() == [real.end]


def test_texts_that_the_checkpoint_cannot_read_are_refused(gpt2: Path) -> None:
    with pytest.raises(InvalidPlan, match=r"the checkpoint reads 96; learn at most \d+ tokens"):
        network_of(gpt2, tokens=96)


# The network


def test_the_architecture_knows_names_and_shapes_without_the_checkpoint(folder: Path) -> None:
    network, architecture = network_of(folder), architecture_of(folder)
    stated = architecture.tensors(layout_of(notes()))
    made = tensors_of(network)
    assert [t.shape for t in made] == [t.shape for t in stated]
    names = [t.name.removeprefix("table.").removeprefix("model.") for t in made]
    bare = [n.replace(".default.", ".") for n in names]
    assert bare == [t.name for t in stated]
    assert architecture.parameters(layout_of(notes())) == sum(t.size for t in made)
    with pytest.raises(InvalidArgument, match="is built from its checkpoint"):
        build_network(architecture, layout_of(notes()))


def _other_layers(layers: tuple[AdaptedLayer, ...]) -> dict[str, tuple[AdaptedLayer, ...]]:
    first = layers[0]
    return {
        "unknown": (first.model_copy(update={"name": "lm.unknown"}),),
        "another size": (first.model_copy(update={"outputs": first.outputs + 1}),),
        "no linear layer": (first.model_copy(update={"name": first.name.rpartition(".")[0]}),),
        "another order": layers[::-1],
        "twice": (first, first),
    }


def test_a_plan_that_names_other_layers_is_refused(folder: Path) -> None:
    known = architecture_of(folder)
    checkpoint = open_checkpoint(folder, known.checkpoint)
    for what, layers in _other_layers(known.layers).items():
        with pytest.raises(InvalidPlan, match="layers"):
            adapted(checkpoint, known.model_copy(update={"layers": layers}))
        assert what


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ((KIND, NOTE, NOTE | {"name": "more"}), "learns one text and no images"),
        ((NOTE,), "needs an attribute that stands before the text"),
        ((KIND, REGION), "learns one text and no images"),
    ],
)
def test_schemas_that_it_cannot_learn_are_refused(
    gpt2: Path, attributes: tuple[dict[str, Any], ...], words: str
) -> None:
    schema = notes(*attributes, **({} if KIND in attributes else {"label": None}))
    with pytest.raises(InvalidPlan, match=words):
        architecture_of(gpt2).parameters(layout_of(schema))


def test_before_training_the_loss_is_the_checkpoints_own(folder: Path) -> None:
    network, architecture = network_of(folder), architecture_of(folder)
    schema, weights = notes(), initial_vector(architecture, layout_of(notes()), seed=1)
    network = load_pretrained(architecture, schema, folder, weights)
    text = ["see you later", "win a prize"]
    rows = examples_of(schema, kind=["ham", "spam"], region=["north", "other"], note=text)
    prepared = torch.from_numpy(network.prepare(rows))
    uniform = torch.full((2, network.draws), 0.5)
    found = network(prepared, uniform) - network.table(prepared[:, :2], uniform)
    model = open_checkpoint(folder, architecture.checkpoint).model
    tokenizer = open_checkpoint(folder, architecture.checkpoint).tokenizer
    for row, words, loss in zip(rows, text, found, strict=True):
        prompt = network.tokens.prompt(row[:2])
        learnt = [*tokenizer.encode(words), tokenizer.end]
        logits = model(input_ids=torch.tensor([prompt + learnt])).logits[0, len(prompt) - 1 : -1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(learnt), reduction="sum")
        assert torch.isclose(loss, expected, rtol=1e-4)


def test_networks_of_one_checkpoint_share_its_weights_and_not_their_adapters(
    gpt2: Path,
) -> None:
    architecture, schema = architecture_of(gpt2), notes()
    vector = initial_vector(architecture, layout_of(schema), seed=1)
    first = load_pretrained(architecture, schema, gpt2, vector)
    second = load_pretrained(architecture, schema, gpt2, 2 * vector)
    pairs = zip(first.model.buffers(), second.model.buffers(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
    own = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(2 * a, b) for a, b in own)


# Drawing


def _sharpen(_: object, __: object, found: Any) -> Any:
    """Make shares differ: even ones hide how they are drawn."""
    found.logits = 18 * found.logits
    return found


def test_tokens_are_drawn_with_the_models_own_shares(folder: Path) -> None:
    schema, architecture = notes(), architecture_of(folder, tokens=2)
    vector = initial_vector(architecture, layout_of(schema), seed=1)
    network = load_pretrained(architecture, schema, folder, 3 * vector)
    network.model.register_forward_hook(_sharpen)
    prompt = network.tokens.prompt(np.array([1, 0]))
    drawn = network._continue([prompt] * 6000, SeededWords(seed=1, purpose="test"))
    found = network.model(input_ids=torch.tensor([prompt])).logits[0, -1].double().softmax(-1)
    first = [tokens[0] if tokens else network.end for tokens in drawn]
    counts = np.bincount(first, minlength=len(found))
    expected = 6000 * found.detach().numpy()
    squares = ((counts - expected) ** 2 / expected).sum()
    freedom = len(found) - 1
    assert abs(squares - freedom) < 5 * (2 * freedom) ** 0.5


def test_what_is_drawn_later_follows_what_was_drawn_before(folder: Path) -> None:
    """The shares with a memory of keys and values are those of the whole row anew."""
    schema, architecture = notes(), architecture_of(folder, tokens=12)
    vector = initial_vector(architecture, layout_of(schema), seed=1)
    network = load_pretrained(architecture, schema, folder, 3 * vector)
    prompts = [network.tokens.prompt(np.array([i % 2, i % 3])) for i in range(40)]
    length = min(map(len, prompts))
    some = [p for p in prompts if len(p) == length]
    drawn = network._continue(some, SeededWords(seed=1, purpose="test"))
    words = SeededWords(seed=1, purpose="test")
    again: list[list[int]] = [[] for _ in some]
    going = list(range(len(some)))
    for _ in range(12):
        uniform = words.uniform(len(going))
        whole = torch.tensor([some[row] + again[row] for row in going])
        ends = network.model(input_ids=whole).logits[:, -1].double().softmax(-1).cumsum(-1)
        still = []
        for row, end, u in zip(going, ends, uniform, strict=True):
            token = int((end <= u * end[-1]).sum())
            if token != network.end:
                again[row].append(token)
                still.append(row)
        going = still
    same = sum(a == b for a, b in zip(drawn, again, strict=True))
    assert same >= len(some) - 1, "but for a rounding at an edge"
