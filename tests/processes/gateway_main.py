"""A silo's gateway for tests: the real one, with random bits that a seed decides.

The product has no such seam at its command line: this file is the only way to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from silosynth.client.policy import PolicyFile, load_policy
from silosynth.client.serving.serve import Seams, serve
from silosynth.client.silo import fit_of
from silosynth.client.source import read_table
from silosynth.common.accounting import cks_epsilon
from silosynth.common.certificate import certify_plan
from silosynth.common.codec import Codec, layout_of
from silosynth.common.plan import Plan, check_budget, load_plan
from silosynth.common.schema import load_schema


class SeededBits:
    """Bits that a seed decides, for comparing two drivers of one federation."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.Philox(seed))

    def words(self, count: int) -> np.ndarray:
        return self._random.integers(0, 2**64, count, dtype=np.uint64)


def load_everything(policy: PolicyFile, plan: Plan) -> None:
    """Import what a gateway imports late, while this user may still read the interpreter.

    A test's Python may lie in a home directory that the gateway's user cannot enter.
    """
    certify_plan(plan)
    check_budget(plan)
    cks_epsilon(plan.rho, plan.privacy.delta)
    section = policy.datasets[0]
    schema = load_schema(Path(section.schema_path))
    table = read_table(Path(str(section.path)), schema=schema, allow_extra=True)
    Codec(schema).encode(table, allow_extra=True)
    if plan.training is not None:
        from silosynth.client.learning.gradient import Gradients
        from silosynth.common.generator import initial_vector

        layout = layout_of(schema)
        gradients = Gradients(plan.training.architecture, layout, clip=1.0)
        gradients.load(initial_vector(plan.training.architecture, layout, seed=1))
        gradients.sum(np.zeros((2, layout.positions)), words=SeededBits(0).words)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--plan", type=Path, required=True)
    arguments = parser.parse_args()
    load_everything(load_policy(arguments.policy), load_plan(arguments.plan))
    serve(arguments.policy, seams=Seams(bits=SeededBits(arguments.seed), read_fit=fit_of))


if __name__ == "__main__":
    main()
