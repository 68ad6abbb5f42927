"""What a GPU must do as a processor does: models, generators, and integers to the last bit.

Every part makes its rows, runs the product as it is, and yields absolute times and memory, and
checks with a gate. Nothing is set: the product takes a GPU where PyTorch finds one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import torch

from bench.fit.problems import synthetic
from bench.gpu.sizes import Sizes, dealt, image_schema, images, message_schema, messages
from bench.support.results import Figure
from silosynth.client.learning import gradient
from silosynth.client.noise import SystemBits
from silosynth.client.noise.draw import draw_noise
from silosynth.client.source import StreamRows, open_table
from silosynth.common.accounting import Noise
from silosynth.common.codec import Layout, layout_of
from silosynth.common.generator import Architecture, MaskedMlp, Transformer, initial_vector
from silosynth.common.messages import Request, decode_release
from silosynth.common.plan import Optimiser, PhaseName, Plan, read_weights
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, dump_schema
from silosynth.server.coordinator import Answered
from silosynth.server.driver import Journal
from silosynth.server.driver.journal import read_events
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate
from silosynth.simulations.local import run_local
from silosynth.simulations.silos import make_silos

SILOS = 3
DELTA = 1e-5
_MIB = 2**20


def parts(sizes: Sizes) -> Sequence[Callable[[], Iterator[Figure]]]:
    """Return the parts of a check, the cheapest and most telling ones first."""
    return (
        lambda: company(sizes),
        lambda: gateway_and_oracle(sizes),
        lambda: graphical_model(sizes),
        lambda: one_shot(sizes),
        lambda: trained("messages", message_schema(sizes), messages(sizes), sizes=sizes),
        lambda: trained("images", image_schema(sizes), images(sizes), sizes=sizes),
    )


def company(sizes: Sizes) -> Iterator[Figure]:
    """Yield whether rows add up to the same integers one by one, in parts and together."""
    table = Layout(attributes=("a", "b", "c"), sizes=(9, 20, 4), vocabularies=(0, 1, 2), free=3)
    network = Transformer(width=sizes.width, layers=sizes.layers, heads=2)
    cases: dict[str, tuple[Architecture, Layout]] = {
        "a table, masked MLP": (MaskedMlp(width=sizes.width, layers=1, views=2), table),
        "a table, transformer": (network, table),
        "messages": (network, layout_of(message_schema(sizes))),
        "images": (network, layout_of(image_schema(sizes))),
    }
    for name, (architecture, layout) in cases.items():
        gradients = gradient.Gradients(architecture, layout, clip=0.5)
        gradients.load(initial_vector(architecture, layout, seed=1))
        rng = np.random.default_rng(1)
        rows = np.stack([rng.integers(0, s, sizes.company) for s in layout.sizes], axis=1)
        alone = sum(gradients.sum(row[None], words=_same)[0] for row in rows)
        cut = np.split(rows, [1, 3])
        some = sum(gradients.sum(part, words=_same)[0] for part in cut if len(part))
        together, lost = gradients.sum(rows, words=_same)
        same = np.array_equal(alone, together) and np.array_equal(some, together) and not lost
        yield _check(f"rows' integers do not depend on their company, {name}", bool(same))


def gateway_and_oracle(sizes: Sizes) -> Iterator[Figure]:
    """Yield whether a gateway releases, to the last bit, what its rows and its bits add up to.

    The oracle takes rows one by one, adds their integers up, and draws the noise from the bits that
    the gateway had. Networks over one label and a text draw no masks, so that nothing else counts.
    """
    schema, table = message_schema(sizes), messages(sizes).slice(0, sizes.company)
    plan = _plan(schema, ("north",), rows=1, sizes=replace(sizes, batch=1, rounds=1), trust="own")
    bits, weights = _Recorded(), []

    def answered(request: Request, _: bytes) -> None:
        weights.append(request.weights)

    with TemporaryDirectory() as place:
        path = Path(place) / "schema.yaml"
        path.write_text(dump_schema(schema), encoding="utf-8")
        silos = make_silos(
            Path(place) / "silos", plan=plan, schema_path=path, tables={"north": table}
        )
        with Journal(Path(place), plan_digest=plan.digest) as journal:
            bits_of = {"north": bits}
            run_local(plan, schema, silos=silos, journal=journal, bits=bits_of, answered=answered)
        events = list(read_events(Path(place), plan_digest=plan.digest))
    answer = next(e for e in events if isinstance(e, Answered) and e.phase is PhaseName.TRAINING)
    released = decode_release(answer.data).marginals[0]
    exact = _one_by_one(plan, schema, table, weights=weights[-1])
    noise = plan.phase(PhaseName.TRAINING).noise
    same = any(np.array_equal(released, exact + n) for n in bits.replayed(noise, len(exact)))
    yield _check("gateway and oracle agree to the last bit", same)


def graphical_model(sizes: Sizes) -> Iterator[Figure]:
    """Yield the seconds and memory of a fit, and whether it explains what was measured."""
    problem = synthetic(attributes=sizes.attributes, size=sizes.codes, width=3, rows=100_000)
    with _Watch() as seen:
        model = problem.fit(iterations=sizes.iterations)
    yield from seen.figures(f"graphical model of {model.tree.cells:,} cells")
    ours = problem.loss([model.marginal(m.clique) for m in problem.measurements])
    cells = sum(m.values.size for m in problem.measurements)
    yield _check("graphical model: what is left is noise", ours < cells)


def one_shot(sizes: Sizes) -> Iterator[Figure]:
    """Yield the seconds and memory of one-shot on images, and of the rows that it draws."""
    schema, silos = image_schema(sizes), dealt(images(sizes), SILOS)
    plan = new_plan(
        schema,
        epsilon=10.0,
        delta=DELTA,
        silos=tuple(silos),
        method="one-shot",
        trust="shared",
        frequencies=sizes.frequencies,
    )
    yield from _run("one-shot, images", plan, schema, silos, sizes=sizes)


def trained(name: str, schema: Schema, table: pa.Table, *, sizes: Sizes) -> Iterator[Figure]:
    """Yield the seconds and memory of DP-SGD, and of the rows that it draws."""
    silos = dealt(table, SILOS)
    plan = _plan(schema, tuple(silos), rows=len(table), sizes=sizes, trust="shared")
    yield from _run(f"dp-sgd, {name}", plan, schema, silos, sizes=sizes)


def _run(
    name: str, plan: Plan, schema: Schema, silos: dict[str, pa.Table], *, sizes: Sizes
) -> Iterator[Figure]:
    """Run a plan through real gateways, and draw."""
    with _Watch() as seen:
        result = simulate(plan, schema=schema, silos=silos, engine="local")
    yield from seen.figures(name)
    with _Watch() as seen:
        drawn = draw(result.sampler, rows=sizes.drawn, seed=1, threads=1)
    yield from seen.figures(f"{name}, {sizes.drawn:,} rows drawn")
    yield _check(f"{name}: every row that was asked for", len(drawn) == sizes.drawn)


def _plan(schema: Schema, silos: tuple[str, ...], *, rows: int, sizes: Sizes, trust: str) -> Plan:
    """Return a plan of DP-SGD whose steps take about a batch of all rows each."""
    shared = trust == "shared"
    training = TrainingChoice(
        architecture=Transformer(width=sizes.width, layers=sizes.layers, heads=2),
        rounds=sizes.rounds,
        local_steps=1,
        rate=min(Fraction(sizes.batch, rows), Fraction(1)),
        optimiser=Optimiser.ADAM if shared else Optimiser.FEDADAM,
        learning_rate=0.02,
    )
    return new_plan(
        schema,
        epsilon=10.0,
        delta=DELTA,
        silos=silos,
        method="dp-sgd",
        trust=trust,
        training=training,
    )


def _one_by_one(
    plan: Plan, schema: Schema, table: pa.Table, *, weights: bytes | None
) -> np.ndarray:
    """Return (parameters,) int64, the sum of all rows' integers, each taken alone."""
    assert plan.training is not None
    layout = layout_of(schema)
    network = plan.training.architecture
    gradients = gradient.Gradients(network, layout, clip=plan.training.clip)
    gradients.load(read_weights(weights, parameters=network.parameters(layout)))
    opened = open_table(table, schema=schema)
    assert isinstance(opened, StreamRows)
    rows = opened.people(rows_per_person=1).examples
    total = np.zeros(network.parameters(layout), dtype=np.int64)
    for row in rows:
        total += gradients.sum(row[None], words=_same)[0]
    return total


def _same(count: int) -> np.ndarray:
    """Return the same words for every row, whoever stands beside it."""
    return np.full(count, 0x6FFFFFFF_6FFFFFFF, dtype=np.uint64)


def _check(name: str, passed: bool) -> Figure:
    """Return what must be so."""
    return Figure(figure=name, value=float(passed), unit="1 is yes", at_least=1)


@dataclass
class _Recorded:
    """The system's bits, written down as they are given."""

    calls: list[np.ndarray] = field(default_factory=list)

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64."""
        self.calls.append(SystemBits().words(count))
        return self.calls[-1]

    def replayed(self, noise: Noise, count: int) -> Iterator[np.ndarray]:
        """Yield the noise that each end of what was given makes, where it is used up by it."""
        for first in range(len(self.calls)):
            rest = _Replay(self.calls[first:])
            try:
                drawn = draw_noise(noise, count=count, bits=rest)
            except _OtherCall:
                continue
            if not rest.left:
                yield drawn


class _OtherCall(Exception):
    """What is drawn from bits asks for others than were given."""


@dataclass
class _Replay:
    """Bits that were given before."""

    left: list[np.ndarray]

    def words(self, count: int) -> np.ndarray:
        """Return the next bits; raise _OtherCall unless as many were asked for."""
        if not self.left or len(self.left[0]) != count:
            raise _OtherCall
        given, *self.left = self.left
        return given


@dataclass
class _Watch:
    """Wall seconds of a block, and the most memory that it held on the GPU, or of the program."""

    seconds: float = 0.0
    mib: float = 0.0
    _start: float = 0.0

    def __enter__(self) -> _Watch:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self.mib = torch.cuda.max_memory_allocated() / _MIB
        else:
            status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            self.mib = int(next(s for s in status if s.startswith("VmHWM")).split()[1]) / 1024
        self.seconds = time.perf_counter() - self._start

    def figures(self, name: str) -> Iterator[Figure]:
        """Yield both."""
        where = "on the GPU" if torch.cuda.is_available() else "resident"
        yield Figure(figure=name, value=self.seconds, unit="s")
        yield Figure(figure=f"{name}, most memory {where}", value=self.mib, unit="MiB")
