"""From summed random features to a generator's sampler, and what is asked of one in a report."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from pydantic import ValidationError

from silosynth.common.certificate import Certificate, certify_plan
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.generator import FeatureSettings, feature_cells, feature_map, image_map
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Method, PhaseName, Plan
from silosynth.common.sampler import NeuralSampler, shares, shares_of_groups
from silosynth.common.schema import Schema
from silosynth.server.measuring import regroup, within_groups
from silosynth.server.methods.budget import (
    MAX_CELLS_PER_MARGINAL,
    Shares,
    Size,
    Sizes,
    calibrated,
    check_total,
    one_way_size,
)
from silosynth.server.methods.marginals import MixtureModel, check_zeros
from silosynth.server.methods.method import (
    WORKING,
    Design,
    Known,
    Outcome,
    Question,
    Recipe,
    Terms,
    ask_cliques,
)

FREQUENCIES, ORDER = 4096, 2
"""Random features; see docs/decisions/018."""
IMAGE_FREQUENCIES = 512
"""Fewer where they look at images: each is noised, and costs time for every pixel."""

SHARES: Shares = {PhaseName.ONE_WAY: Fraction(1, 4), PhaseName.EMBEDDING: Fraction(3, 4)}
_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShot:
    """How many random features, and how many attributes one looks at."""

    frequencies: int | None = None
    order: int = ORDER

    def sizes(self, schema: Schema, features: FeatureSettings) -> Sizes:
        """Return the sizes of both phases; raise InvalidPlan for a vector that is too large."""
        sizes = check_total(one_way_size(schema))
        domain = schema.domain
        cells = feature_cells(features, clique=domain.attributes, domain=domain)
        if cells > MAX_CELLS_PER_MARGINAL:
            raise InvalidPlan(
                f"the features make {cells} cells; at most {MAX_CELLS_PER_MARGINAL} are allowed",
                hint="lower the frequencies, or merge classes of the label",
            )
        embedding = Size(marginals=1, cells=cells, bound=features.bound)
        return sizes | {PhaseName.EMBEDDING: embedding}

    def design(self, schema: Schema, terms: Terms) -> Design:
        """Choose the features, and split the budget by :data:`SHARES`."""
        check_total(one_way_size(schema))
        features = _features(schema, frequencies=self.frequencies, order=self.order)
        sizes = self.sizes(schema, features)
        return Design(
            phases=calibrated(sizes, shares=SHARES, terms=terms),
            says={"features": features},
            counts=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShotFlags:
    """What the command line says of the features."""

    frequencies: Annotated[
        int | None, "For one-shot: how many random features; 4096, or 512 of images."
    ] = None
    order: Annotated[int, "For one-shot: attributes that one feature looks at, 1 or 2."] = ORDER

    def read(self, schema: Schema) -> Mapping[str, Any]:
        """Return the choices that were made."""
        return {"frequencies": self.frequencies, "order": self.order}


def train_sampler(
    released: Measurement,
    one_way: Sequence[Measurement],
    *,
    schema: Schema,
    plan: Plan,
    grouping: Grouping,
    certificate: Certificate,
) -> NeuralSampler:
    """Train a generator on what one plan's silos released."""
    # PyTorch is an extra: only a plan that trains a generator may need it.
    from silosynth.server.generator import class_shares, train_generator

    if plan.features is None:
        raise RunFailed(f"plan {plan.id} has no random features")
    features = (image_map if plan.features.images else feature_map)(
        plan.features, schema=schema, grouping=grouping
    )
    merged = {m.clique[0]: regroup(m, domain=schema.domain, grouping=grouping) for m in one_way}
    trained = train_generator(released, merged, features=features, seed=_SEED)
    classes = class_shares(features, merged)
    within = within_groups(grouping, one_way)
    return NeuralSampler(
        schema=schema,
        grouping=grouping,
        within=shares_of_groups(within, grouping=grouping),
        label=plan.features.label,
        label_shares=shares(classes[None, :], name="the label")[0],
        network=trained.network,
        total=max(round(mean_total(merged)), 0),
        certificate=certificate.model_dump(mode="json"),
        plan_digest=plan.digest,
    )


def mean_total(one_way: Mapping[str, Measurement]) -> float:
    """Return the number of rows by noised 1-way marginals."""
    return float(np.mean([m.values.sum() for m in one_way.values()]))


def mixture_model(sampler: NeuralSampler) -> MixtureModel:
    """Return what a generator makes of any small clique."""
    return MixtureModel(total=float(sampler.total), mixture=sampler.mixture())


def _features(schema: Schema, *, frequencies: int | None, order: int) -> FeatureSettings:
    """Return the random features of a plan, with a public seed of its own."""
    if frequencies is None:
        frequencies = IMAGE_FREQUENCIES if schema.images else FREQUENCIES
    check_zeros(schema, method=Method.ONE_SHOT)
    label = schema.label if schema.label in schema.domain.attributes else None
    if len(schema.coded) < (1 if label is None else 2):
        raise InvalidPlan("the method one-shot needs an attribute beside the label")
    try:
        return FeatureSettings(
            frequencies=frequencies,
            order=order,
            seed=secrets.randbelow(2**31),
            label=label,
            images=bool(schema.images),
        )
    except ValidationError as err:
        raise InvalidPlan(
            f"{frequencies} frequencies of order {order} are out of range",
            hint="use 1 to 16384 frequencies, and an order of 1 or 2",
        ) from err


def _ask(phase: PhaseName, known: Known) -> Question:
    """Ask the sum of the features of all attributes."""
    working = known.rare_merged
    return ask_cliques((known.schema.domain.attributes,), name=WORKING, grouping=working)


def _finish(known: Known) -> Outcome:
    """Train a generator, unless one of this plan is known, and make what is handed out."""
    plan, schema, generator = known.plan, known.schema, known.generator
    grouping = known.rare_merged
    certificate = certify_plan(plan)
    if generator is None or generator.plan_digest != plan.digest:
        generator = train_sampler(
            known.measured[PhaseName.EMBEDDING][0],
            known.one_way,
            schema=schema,
            plan=plan,
            grouping=grouping,
            certificate=certificate,
        )
    domain = schema.domain
    return Outcome(
        sampler=generator,
        certificate=certificate,
        model=mixture_model(generator),
        measurements=tuple(regroup(m, domain=domain, grouping=grouping) for m in known.one_way),
        grouping=grouping,
    )


RECIPE = Recipe(
    name=Method.ONE_SHOT,
    options=OneShot,
    flags=OneShotFlags,
    ask=_ask,
    finish=_finish,
    draws=True,
)
