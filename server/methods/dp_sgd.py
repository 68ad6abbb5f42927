"""A generator whose gradients are noised: its rounds, and from its last weights to a sampler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from silosynth.common.certificate import Certificate, certify_plan
from silosynth.common.codec import layout_of
from silosynth.common.domain import Clique, Grouping
from silosynth.common.errors import InvalidArgument
from silosynth.common.generator import Pretrained, short
from silosynth.common.plan import Method, Optimiser, PhaseName, Plan
from silosynth.common.sampler import AutoregressiveSampler, draw_codes
from silosynth.common.schema import Schema
from silosynth.server.generator import (
    Learning,
    NetworkKind,
    NetworkOptions,
    begin,
    match_one_way,
    read_network,
    settings,
    shares_of,
)
from silosynth.server.methods.method import Design, Known, Outcome, Question, Recipe, Terms
from silosynth.server.methods.training import TrainingChoice, plan_training

_DRAWN_ROWS = 20_000
_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DpSgd:
    """What was chosen of the network and of how it is trained."""

    training: TrainingChoice = field(default_factory=TrainingChoice)

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Fill in what was not chosen, and find the noise."""
        planned = plan_training(schema, self.training, terms)
        return Design(phases=planned.phases, says={"training": planned.settings})


@dataclass(frozen=True, slots=True, kw_only=True)
class DpSgdFlags:
    """What the command line says of training."""

    rounds: Annotated[int | None, "For dp-sgd: rounds of training."] = None
    network: Annotated[NetworkKind | None, "For dp-sgd: the kind of network."] = None
    width: Annotated[int | None, "For dp-sgd: numbers in a layer."] = None
    layers: Annotated[int | None, "For dp-sgd: layers of the network."] = None
    checkpoint: Annotated[
        Path | None, "For a pretrained network: the folder of its checkpoint, not sent."
    ] = None
    lora_rank: Annotated[int | None, "For a pretrained network: the rank of what is learnt."] = None
    text_tokens: Annotated[
        int | None, "For a pretrained network: most tokens of a text; its max_bytes if none"
    ] = None
    local_steps: Annotated[int | None, "For dp-sgd with own noise: a silo's steps in a round."] = (
        None
    )
    rate: Annotated[str | None, "For dp-sgd: each person's chance in a step, such as '1/20'."] = (
        None
    )
    clip: Annotated[float, "For dp-sgd: most norm of a row's gradient."] = 1.0
    optimiser: Annotated[Optimiser | None, "For dp-sgd: adam and sgd are for shared noise."] = None
    learning_rate: Annotated[float | None, "For dp-sgd."] = None
    local_learning_rate: Annotated[
        float | None, "For dp-sgd with own noise: of a silo's steps."
    ] = None
    sizes: Annotated[
        str | None, "For dp-sgd: the silos' public numbers of rows, as 'a=500,b=700'."
    ] = None

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return what was chosen; a pretrained network is worked out from its checkpoint."""
        options = NetworkOptions(
            kind=self.network,
            width=self.width,
            layers=self.layers,
            checkpoint=self.checkpoint,
            rank=self.lora_rank,
            tokens=self.text_tokens,
        )
        choice = TrainingChoice(
            architecture=read_network(options, schema),
            rounds=self.rounds,
            local_steps=self.local_steps,
            rate=read_rate(self.rate),
            clip=self.clip,
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            local_learning_rate=self.local_learning_rate,
            sizes=read_sizes(self.sizes),
        )
        return {"training": choice}


def read_rate(text: str | None) -> Fraction | None:
    """Read ``1/20`` as a chance."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1:
        raise InvalidArgument(f"the rate {text!r} is no chance", hint="write --rate 1/20")
    return rate


def read_sizes(text: str | None) -> dict[str, int] | None:
    """Read ``a=500,b=700`` as the silos' numbers of rows."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): int(rows) for name, _, rows in pairs}
    except ValueError:
        raise InvalidArgument(
            f"the sizes {text!r} are not numbers of rows", hint="write --sizes north=500,south=700"
        ) from None


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask the next round of training, which begins with the first weights."""
    learning = known.learning or begin(
        known.plan, known.schema, counted=known.counted, one_way=known.one_way
    )
    return Question(learning=learning)


def _finish(known: Known) -> Outcome:
    """Make what is handed out of the weights that training has come to."""
    assert known.learning is not None
    certificate = certify_plan(known.plan)
    sampler = trained_sampler(known, known.learning, certificate=certificate)
    return Outcome(
        sampler=sampler,
        certificate=certificate,
        model=DrawnModel(sampler),
        measurements=tuple(m for phase in known.measured.values() for m in phase),
        grouping=Grouping(),
    )


def trained_sampler(
    known: Known, learning: Learning, *, certificate: Certificate
) -> AutoregressiveSampler:
    """Return the sampler of the weights that training has come to.

    Its 1-way marginals are brought back to those that were measured, which training under noise
    has moved away from.
    """
    architecture, layout = settings(known.plan).architecture, layout_of(known.schema)
    one_way = known.one_way
    weights = match_one_way(
        learning.weights.astype(np.float32),
        architecture=architecture,
        layout=layout,
        shares=shares_of(one_way) if one_way else {},
        seed=_SEED,
    )
    return AutoregressiveSampler(
        schema=known.schema,
        grouping=Grouping(),
        within={},
        architecture=architecture,
        weights=weights,
        total=total_rows(known, learning),
        certificate=certificate.model_dump(mode="json"),
        plan_digest=known.plan.digest,
    )


class DrawnModel:
    """What a generator makes of small cliques, estimated from rows that it draws when asked.

    Texts have no codes to count, so none are drawn.
    """

    def __init__(self, sampler: AutoregressiveSampler) -> None:
        """Take a sampler; nothing is drawn yet."""
        self._sampler = sampler.without_texts()
        self._codes: dict[str, np.ndarray] | None = None

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the expected counts over a clique, row-major as it is named."""
        if self._codes is None:
            codes = draw_codes(self._sampler, rows=_DRAWN_ROWS, seed=_SEED)
            self._codes = dict(zip(self._sampler.domain.attributes, codes, strict=True))
        sizes = self._sampler.domain.sizes(clique)
        cell = np.ravel_multi_index([self._codes[a].astype(np.intp) for a in clique], sizes)
        counts = np.bincount(cell, minlength=int(np.prod(sizes)))
        return counts * (self._sampler.total / _DRAWN_ROWS)

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs."""
        return {pair: self.marginal(pair) for pair in pairs}


def total_rows(known: Known, learning: Learning) -> int:
    """Return the declared or noised number of rows of the silos that took part."""
    sizes = learning.sizes
    if "" in sizes:
        return round(sizes[""])
    return round(sum(sizes[silo] for silo in known.silos))


def _describe(plan: Plan) -> Iterator[str]:
    """Say what is trained, and how."""
    how = settings(plan)
    phase, learnt = plan.phases[-1], isinstance(how.architecture, Pretrained)
    what = "part of a pretrained network" if learnt else how.architecture.kind
    yield (
        f"a {what} of {phase.cells:,} weights is trained in {how.rounds} rounds "
        f"of {how.local_steps} steps with {how.optimiser.value}, each person in a step with the "
        f"chance {phase.rate}, gradients clipped to {how.clip:g}"
    )
    if isinstance(how.architecture, Pretrained):
        known = how.architecture
        yield (
            f"the checkpoint {short(known.checkpoint)} stays as it is; adapters of rank "
            f"{known.rank} beside {len(known.layers)} of its layers are trained, on at most "
            f"{known.tokens} tokens of a text, and a network of the attributes; silos and whoever "
            "draws texts need a copy of it"
        )
    sizes = "are public" if how.sizes else "come from the noised counts of the phase one-way"
    yield f"the silos' numbers of rows {sizes}"


RECIPE = Recipe(
    name=Method.DP_SGD,
    options=DpSgd,
    flags=DpSgdFlags,
    ask=_ask,
    finish=_finish,
    describe=_describe,
    draws=True,
)
