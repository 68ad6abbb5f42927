"""The gateway's clipped sums of gradients are Opacus', on every network that it supports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule

from silosynth.client.learning.gradient import Gradients
from silosynth.common.codec import Layout
from silosynth.common.generator import Architecture, build_network, initial_vector, load_vector
from silosynth.common.plan import gradient_unit
from tests.privacy.test_gradient import COMPANIES, _same_masks

ROWS = 16


def opacus_sum(
    architecture: Architecture,
    layout: Layout,
    *,
    weights: np.ndarray,
    rows: np.ndarray,
    uniform: np.ndarray,
    clip: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of clipped gradients by Opacus, (parameters,), and (rows,) their norms."""
    network = build_network(architecture, layout)
    load_vector(network, weights)
    sampled = GradSampleModule(network, loss_reduction="sum")
    losses = sampled(torch.from_numpy(rows), torch.from_numpy(uniform))
    losses.sum().backward()
    parts = [p.grad_sample.reshape(len(rows), -1) for p in network.parameters()]
    found = torch.cat(parts, dim=1).double().numpy()
    norms = np.linalg.norm(found, axis=1)
    return (found * np.minimum(1, clip / norms)[:, None]).sum(0), norms


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
@pytest.mark.parametrize(("architecture", "layout"), COMPANIES)
@pytest.mark.parametrize("clipped", ["none", "half", "all"])
def test_sums_are_those_of_opacus_but_for_rounding(
    architecture: Architecture, layout: Layout, clipped: str
) -> None:
    """Each entry by at most half a unit a row, and float32's share of a row's gradient."""
    random = np.random.default_rng(3)
    rows = np.stack([random.integers(0, size, ROWS) for size in layout.sizes], axis=1)
    weights = initial_vector(architecture, layout, seed=2)
    drawn = Gradients(architecture, layout, clip=1.0)._uniform(ROWS, _same_masks)
    facts = {"weights": weights, "rows": rows, "uniform": drawn}
    _, norms = opacus_sum(architecture, layout, clip=1.0, **facts)
    clip = {"none": 2.0 * norms.max(), "half": float(np.median(norms)), "all": norms.min() / 2}
    theirs, _ = opacus_sum(architecture, layout, clip=clip[clipped], **facts)

    gradients = Gradients(architecture, layout, clip=clip[clipped])
    gradients.load(weights)
    ours, lost = gradients.sum(rows, words=_same_masks)
    unit = gradient_unit(clip=clip[clipped], parameters=len(weights))
    assert lost == 0
    assert np.abs(ours * unit - theirs).max() <= ROWS * (0.5 * unit + 1e-4 * clip[clipped])
    assert np.linalg.norm(theirs) > 100 * unit, "or there is nothing to compare"
