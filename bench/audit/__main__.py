"""What audits of whole runs find: the promise where it is kept, and programs that break it.

``make bench-audit``; every run goes through the real gateways and ledgers. QUICK=1 plays fewer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.support.results import Figure, is_quick, publish
from silosynth.client.gateway import gateway
from silosynth.client.ledger import Ledger
from silosynth.client.noise import add_noise
from silosynth.common.accounting import Noise
from silosynth.common.plan import Own, Plan
from silosynth.common.plan.trust import Shared
from silosynth.common.tables import parse_tables
from silosynth.server.planning import new_plan, new_tables_plan
from silosynth.simulations.audit.audit import audit_plan
from silosynth.simulations.audit.made_up import made_up_schema
from silosynth.simulations.local import WHOLE

DELTA = 1e-5
Breach = Callable[[], Any]


def plan_of(method: str, epsilon: float, *, shared: bool = False, rows: int = 1) -> Plan:
    """Return a plan of three silos on the made-up schema."""
    trust: dict[str, Any] = {"trust": "shared", "colluders": 1} if shared else {}
    return new_plan(
        made_up_schema(),
        epsilon=epsilon,
        delta=DELTA,
        silos=("a", "b", "c"),
        method=method,
        rows_per_person=rows,
        **trust,
    )


def plan_of_tables(epsilon: float, *, shared: bool = False) -> Plan:
    """Return a plan of three silos for persons with several rows each; which, is not played."""
    code = {"kind": "categorical", "categories": ["a", "b"]}
    tables = {
        "people": {"key": "id", "attributes": [{"name": "kind", **code}]},
        "visits": {
            "parent": "people",
            "by": "id",
            "children": [0, 1, 2, 4],
            "attributes": [{"name": "ward", **code}],
        },
    }
    return new_tables_plan(
        parse_tables({"person": "people", "source": "public", "tables": tables}),
        epsilon=epsilon,
        delta=DELTA,
        silos=("a", "b", "c"),
        trust=Shared(colluders=1) if shared else Own(),
    )


def with_noise(scale: Fraction) -> Any:
    """Return a gateway whose noise has ``scale`` times the deviation that it should have."""
    right = add_noise

    def add(counts: Sequence[np.ndarray], *, noise: Noise, bits: Any) -> Any:
        return right(counts, noise=replace(noise, sigma2=noise.sigma2 * scale**2), bits=bits)

    return patch.object(gateway, "add_noise", add)


def with_rows_twice() -> Any:
    """Return a gateway that counts every row twice."""
    right = gateway.ask_rows  # type: ignore[attr-defined]  # replaced where it is used
    return patch.object(gateway, "ask_rows", lambda asked: [2 * c for c in right(asked)])


def with_a_row_more() -> Any:
    """Return a gateway that counts one row of a person more than the plan says."""
    right = gateway.ask_rows  # type: ignore[attr-defined]  # replaced where it is used

    def ask(asked: Any) -> Any:
        return right(replace(asked, rows_per_person=asked.rows_per_person + 1))

    return patch.object(gateway, "ask_rows", ask)


def with_a_phase_unpaid() -> Any:
    """Return a ledger that lets a phase pass for nothing."""
    right = Ledger.charge

    def charge(self: Ledger, name: str, digest: str, *, cost_units: int, **more: Any) -> Any:
        return right(self, name, digest, cost_units=1 if "/tree" in name else cost_units, **more)

    return patch.object(Ledger, "charge", charge)


BREACHES: Mapping[str, tuple[Breach, Plan, int]] = {
    "noise x 0.5": (lambda: with_noise(Fraction(1, 2)), plan_of("mst", 4), 100),
    "noise x 0.9 at epsilon 20": (lambda: with_noise(Fraction(9, 10)), plan_of("mst", 20), 300),
    "noise x 0.5, several tables": (
        lambda: with_noise(Fraction(1, 2)),
        plan_of_tables(4),
        20,
    ),
    "row counted twice": (with_rows_twice, plan_of("mst", 4), 100),
    "a person's second row counted": (with_a_row_more, plan_of("mst", 4), 100),
    "a phase unpaid": (with_a_phase_unpaid, plan_of("mst", 4), 100),
    "shares of the sum x 0.8 at epsilon 20": (
        lambda: with_noise(Fraction(4, 5)),
        plan_of("mst", 20, shared=True),
        150,
    ),
}
HEALTHY = {
    "mst": plan_of("mst", 4),
    "mst, two rows a person": plan_of("mst", 4, rows=2),
    "mst, shared": plan_of("mst", 4, shared=True),
    "aim": plan_of("aim", 4),
    "aim, shared": plan_of("aim", 4, shared=True),
    "independent": plan_of("independent", 4),
    "one-shot": plan_of("one-shot", 4),
    "dp-sgd": plan_of("dp-sgd", 4),
    "dp-sgd, shared, two rows a person": plan_of("dp-sgd", 4, shared=True, rows=2),
    "several tables": plan_of_tables(4),
    "several tables, shared": plan_of_tables(4, shared=True),
}


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Append the CPU seconds of the block."""
    begun = time.process_time()
    yield
    seconds.append(time.process_time() - begun)


def healthy(name: str, plan: Plan, *, runs: int) -> list[Figure]:
    """Return what an audit of a right program finds."""
    seconds: list[float] = []
    audit_plan(plan, run=WHOLE, runs=4)  # tables of noise are built once
    with timed(seconds):
        found = audit_plan(plan, run=WHOLE, runs=runs)
    low = found.law(found.low) / plan.privacy.epsilon
    first, speed = name == "mst" and not is_quick(), runs / seconds[0]
    return [
        Figure(figure=f"{name}: found above the charge", value=found.z, unit="se", at_most=4),
        Figure(
            figure=f"{name}: lower bound of the claim, {runs} runs",
            value=low,
            unit="",
            at_least=0.85 if first else None,
        ),
        Figure(
            figure=f"{name}: lower bound of normal scores, {runs} runs",
            value=found.law(found.normal_low) / plan.privacy.epsilon,
            unit="",
            at_least=0.85 if first else None,
        ),
        Figure(
            figure=f"{name}: runs a CPU second",
            value=speed,
            unit="1/s",
            at_least=20 if first else None,
        ),
    ]


def broken(name: str, breach: Breach, plan: Plan, *, runs: int) -> list[Figure]:
    """Return whether a broken program is found."""
    with breach():
        found = audit_plan(plan, run=WHOLE, runs=runs)
    return [
        Figure(figure=f"mutant {name}: found", value=float(found.broken), unit="", at_least=1),
        Figure(figure=f"mutant {name}: found above the charge", value=found.z, unit="se"),
    ]


def main() -> int:
    """Print and write every figure; return 1 where a gate is missed."""
    figures = []
    for name, plan in HEALTHY.items():
        runs = 600 if name == "mst" else 150
        figures += healthy(name, plan, runs=runs // 15 if is_quick() else runs)
    for name, (breach, plan, runs) in BREACHES.items():
        if not (is_quick() and runs > 100):
            figures += broken(name, breach, plan, runs=runs)
    return publish("audit", figures, room="audit")


if __name__ == "__main__":
    sys.exit(main())
