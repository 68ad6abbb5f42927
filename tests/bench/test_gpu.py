"""The check of a GPU runs dry on a processor, and says so where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.gpu.__main__ import figures, main
from bench.gpu.check import gateway_and_oracle, parts
from bench.gpu.sizes import SMALL
from bench.support.results import Figure
from silosynth.client.learning.gradient import Gradients

COUNT = 6


def _missed(found: Sequence[Figure]) -> list[str]:
    return [figure.figure for figure in found if not figure.ok]


@pytest.mark.parametrize("number", range(COUNT))
def test_a_part_of_the_check_passes_on_a_processor(number: int) -> None:
    every = parts(SMALL)
    assert len(every) == COUNT
    found = list(every[number]())
    assert any(figure.gate for figure in found)
    assert not _missed(found)


def test_a_gateway_that_adds_up_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Gradients.sum

    def one_more(self: Gradients, examples: np.ndarray, **rest: object) -> tuple[np.ndarray, int]:
        total, lost = right(self, examples, **rest)  # type: ignore[arg-type]  # passed on as it is
        total[0] += len(examples) > 1
        return total, lost

    monkeypatch.setattr(Gradients, "sum", one_more)
    assert _missed(list(gateway_and_oracle(SMALL))) == ["gateway and oracle agree to the last bit"]


def test_a_part_that_would_begin_too_late_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.gpu.__main__.BUDGET_SECONDS", -1.0)
    assert _missed(list(figures(SMALL))) == ["parts begun in time"]


def test_without_a_gpu_the_full_check_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path)]) == 2
    assert "no GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
