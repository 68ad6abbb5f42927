"""Adapters learn which texts go with which label, from a checkpoint that knows the texts alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from silosynth.common.plan import Optimiser
from silosynth.common.schema import parse_schema
from silosynth.server.generator.network import PretrainedChoice, plan_pretrained
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate
from tests.support.tiny_checkpoint import make_checkpoint

SPAM, HAM = "win a prize", "see you"
KIND = {"name": "kind", "kind": "categorical", "categories": ["ham", "spam"], "other": False}
SCHEMA = parse_schema(
    {
        "name": "notes",
        "label": "kind",
        "attributes": [
            KIND | {"source": "public"},
            {"name": "note", "kind": "text", "max_bytes": 12},
        ],
    }
)


def _know_both(folder: Path) -> None:
    """Train a checkpoint on both texts after both control codes: it knows not which goes where."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # takes seconds

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).train()
    rows = [
        tokenizer(f"kind: {kind}\n{text}")["input_ids"] + [0]
        for kind in ("ham", "spam")
        for text in (SPAM, HAM)
    ]
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = sum(
            model(input_ids=torch.tensor([[0, *row]]), labels=torch.tensor([[0, *row]])).loss
            for row in rows
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)


def _tables() -> dict[str, pa.Table]:
    tables = {}
    for number, silo in enumerate(("north", "south")):
        spam = np.random.default_rng(number).random(500) < 0.3
        columns = {"kind": np.where(spam, "spam", "ham"), "note": np.where(spam, SPAM, HAM)}
        tables[silo] = pa.table(columns)
    return tables


@pytest.mark.usefixtures("fixed_bits")
def test_a_run_learns_which_texts_go_with_which_label(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", positions=32)
    _know_both(folder)
    choice = PretrainedChoice(checkpoint=folder, rank=2, tokens=8)
    plan = new_plan(
        SCHEMA,
        epsilon=40.0,
        delta=1e-5,
        silos=("north", "south"),
        method="dp-sgd",
        trust="shared",
        training=TrainingChoice(
            architecture=plan_pretrained(SCHEMA, choice),
            rounds=40,
            rate=Fraction(1, 8),
            optimiser=Optimiser.ADAM,
            learning_rate=0.03,
        ),
    )
    result = simulate(
        plan,
        schema=SCHEMA,
        silos=_tables(),
        directory=tmp_path / "run",
        engine="local",
        checkpoint=folder,
    )
    rows = result.sampler.draw(400, seed=1)
    spam = rows["kind"] == "spam"
    assert 0.2 < spam.mean() < 0.4
    right = np.where(spam, SPAM, HAM) == rows["note"]
    crossed = np.where(spam, HAM, SPAM) == rows["note"]
    assert right.mean() > 0.6, "before training it is less than half"
    assert crossed.mean() < 0.2
