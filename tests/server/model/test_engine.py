"""One descent, wherever it runs; torch is not imported unless it computes."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidArgument
from silosynth.common.measurement import Measurement
from silosynth.common.schema import ImpossibleCells
from silosynth.server.model import device as engines
from silosynth.server.model.device import choose_engine
from silosynth.server.model.engine import NUMPY
from silosynth.server.model.fit import fit

DOMAIN = Domain(attributes=("a", "b", "c", "d"), shape=(3, 4, 2, 5))


def _measurements() -> list[Measurement]:
    random = np.random.default_rng(0)
    found = []
    for clique in [*combinations(DOMAIN.attributes, 1), ("a", "b"), ("b", "c"), ("c", "a")]:
        values = random.uniform(-20, 200, DOMAIN.size(clique))
        found.append(Measurement(clique=clique, values=values, variance=np.full(values.size, 9.0)))
    merged = Measurement(
        clique=("d", "a"),
        values=random.uniform(0, 200, 6),
        variance=np.full(6, 4.0),
        grouping=Grouping(groups={"d": (0, 0, 1, 1, 1)}),
    )
    return [*found, merged]


def test_a_torch_device_gives_what_numpy_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of target takes part: cliques, separators, merged codes; and a zero."""
    torch = pytest.importorskip("torch", reason="torch comes with an extra")
    from silosynth.server.model.torch_engine import TorchEngine

    torch.set_num_threads(1)
    zeros = [ImpossibleCells(clique=("a", "b"), mask=np.eye(3, 4, dtype=bool))]
    here = fit(_measurements(), domain=DOMAIN, iterations=60, zeros=zeros, device="cpu")
    monkeypatch.setattr(engines, "CUDA_CELLS", 0)
    monkeypatch.setattr(engines, "_torch_on_cuda", lambda: TorchEngine("cpu"))
    there = fit(_measurements(), domain=DOMAIN, iterations=60, zeros=zeros)
    assert there.loss == pytest.approx(here.loss, rel=1e-9)
    for mine, its in zip(here.tables, there.tables, strict=True):
        np.testing.assert_allclose(its, mine, rtol=1e-6, atol=1e-9)


def test_a_small_model_stays_with_numpy() -> None:
    assert choose_engine("auto", cells=1_000) is NUMPY
    assert choose_engine("cpu", cells=10**9) is NUMPY


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'tpu'"):
        choose_engine("tpu", cells=1)


def test_a_gpu_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_torch_on_cuda", lambda: None)
    with pytest.raises(InvalidArgument, match="CUDA"):
        choose_engine("cuda", cells=1)
    assert choose_engine("auto", cells=10**9) is NUMPY


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a file of each driver")
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_torch_is_not_imported_to_say_that_there_is_no_gpu(device: str) -> None:
    """It takes a second of each large fit, and 170 MB."""
    code = (
        "import sys; from silosynth.server.model import device as d; "
        "from silosynth.common.errors import InvalidArgument; d._DRIVERS = ()\n"
        f"try: d.choose_engine({device!r}, cells=10**9)\n"
        "except InvalidArgument: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torch_is_not_imported_for_a_fit_on_the_processor() -> None:
    code = "import sys, silosynth.server.model.fit; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
