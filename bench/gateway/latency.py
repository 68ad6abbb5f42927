"""What a large request takes through a real gateway process, beside the bare count, and of what.

The bare count is ``count_marginals`` in this process, on the codes that the gateway holds, with the
threads and the kernel that the gateway takes: checking the codes, laying out the joint tables,
counting, and summing the 105 pairs out of them. Noise is no part of it. Overhead is all that the
request takes beyond it, from the first byte of the question to the last of the answer. The gateway
has read its table before, and approved the plan just before. Counts and requests take turns, and
the best rounds are set against each other; the medians, which other work on the machine lengthens,
stand beside them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateway.silo import MAIN, QUERIES, BenchSilo, asked_phase
from bench.support.results import Figure, is_quick
from silosynth.client.counting.count import count_marginals
from silosynth.client.ledger import Ledger
from silosynth.client.noise import SystemBits
from silosynth.client.noise.draw import discrete_gaussian
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery

ROUNDS = 3 if is_quick() else 25
WARM_UP = 2
GATE_PERCENT = 10.0
SCOPES = tuple(Scope(kind=kind, name="bench") for kind in ScopeKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Seconds of each round: the request, the bare count, and the parts of the difference."""

    asked: list[float] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)
    noised: list[float] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)


def latency_figures(directory: Path, *, rows: int, gated: bool) -> list[Figure]:
    """Measure a silo of so many rows in ``directory``."""
    with tempfile.TemporaryDirectory(prefix="gw-", dir=directory) as name:
        rounds = _measure(Path(name), rows=rows)
    title = f"{len(QUERIES)} marginals of {rows:,} rows"
    return [
        _part(f"{title}, through the gateway", rounds.asked, peer=rounds.counted),
        _overhead(f"{title}: overhead over the bare count", rounds, gated=gated),
        Figure(
            figure=f"{title}: overhead by medians",
            value=_percent(statistics.median(rounds.asked), statistics.median(rounds.counted)),
            unit="%",
        ),
        _part("- of it: a charge and a stored answer, durable", rounds.written),
        _part("- of it: socket, signatures, checks (a stored answer again)", rounds.repeated),
        _part("- of it: noise", rounds.noised),
    ]


def _measure(home: Path, *, rows: int) -> Rounds:
    """Measure all in turns."""
    silo, rounds = BenchSilo(home, rows=rows), Rounds()
    ledger_file = home / "north" / "bench.sqlite"
    Ledger.create(ledger_file)
    with (
        silo.serve(str(MAIN)),
        Ledger.open(ledger_file, caps=dict.fromkeys(SCOPES, 2**62)) as ledger,
    ):
        for i in range(-WARM_UP, ROUNDS):
            counted = _count(silo)
            question = silo.question(f"p{i + WARM_UP}")
            asked, answer = silo.ask(*question)
            repeated, again = silo.ask(*question)
            if again != answer:
                raise SystemExit("the same request got other bytes")
            if i >= 0:
                rounds.counted.append(counted)
                rounds.asked.append(asked)
                rounds.repeated.append(repeated)
                rounds.noised.append(_noise(silo))
                rounds.written.append(_write(ledger, f"p{i}", answer))
    silo.gateway.close()
    return rounds


def _count(silo: BenchSilo) -> float:
    """Return the seconds of the count alone."""
    queries = tuple(MarginalQuery(clique=pair, level=level) for pair, level in QUERIES)
    start = time.perf_counter()
    count_marginals(
        silo.codes, domain=silo.schema.domain, queries=queries, levels={"fine": Grouping()}
    )
    return time.perf_counter() - start


def _noise(silo: BenchSilo) -> float:
    """Return the seconds of the noise alone."""
    domain, sigma2 = silo.schema.domain, asked_phase(silo.plan("bare")).sigma2
    cells = sum(domain.size(pair) for pair, _ in QUERIES)
    start = time.perf_counter()
    discrete_gaussian(sigma2=sigma2, count=cells, bits=SystemBits())
    return time.perf_counter() - start


def _write(ledger: Ledger, name: str, answer: bytes) -> float:
    """Return the seconds of what the ledger writes for one request, on the gateway's disk."""
    start = time.perf_counter()
    ledger.charge(name, "hash", cost_units=1, facts={"plan": "p"})
    ledger.store(name, answer)
    return time.perf_counter() - start


def _overhead(name: str, rounds: Rounds, *, gated: bool) -> Figure:
    return Figure(
        figure=name,
        value=_percent(min(rounds.asked), min(rounds.counted)),
        unit="%",
        at_most=GATE_PERCENT if gated and not is_quick() else None,
    )


def _percent(value: float, base: float) -> float:
    return 100 * (value / base - 1)


def _part(name: str, seconds: list[float], *, peer: list[float] | None = None) -> Figure:
    """Return the best round in milliseconds; the spread is up to the median."""
    return Figure(
        figure=name,
        value=1000 * min(seconds),
        spread=1000 * (statistics.median(seconds) - min(seconds)),
        peer=None if peer is None else 1000 * min(peer),
        unit="ms",
    )
