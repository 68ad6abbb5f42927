"""From summed random features to a generator's sampler, and what is asked of one in a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from silosynth.common.certificate.certify import Certificate
from silosynth.common.domain import Clique, Grouping
from silosynth.common.errors import RunFailed
from silosynth.common.generator.features import feature_map
from silosynth.common.generator.image_features import image_map
from silosynth.common.measurement import Measurement
from silosynth.common.plan.plan import Method, Plan
from silosynth.common.sampler.conditional import shares, shares_within
from silosynth.common.sampler.mixture import Mixture, NeuralSampler
from silosynth.common.schema.schema import Schema
from silosynth.common.values.spread import Spread
from silosynth.server.measuring.sum import regroup
from silosynth.server.measuring.working_domain import within_groups

_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixtureModel:
    """The expected counts of a generator over working codes."""

    total: float
    mixture: Mixture

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the expected counts over a clique, row-major as it is named."""
        return self.mixture.marginal(clique) * self.total

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs."""
        return {pair: self.marginal(pair) for pair in pairs}


def require_generators(plan: Plan) -> None:
    """Raise RunFailed when a plan needs PyTorch and it is not there; ask before spending."""
    if plan.method in (Method.ONE_SHOT, Method.DP_SGD) and find_spec("torch") is None:
        raise RunFailed(
            f"the method {plan.method.value} trains a generator, which needs PyTorch",
            hint="install silosynth[generators] where the coordinator runs",
        )


def train_sampler(
    released: Measurement,
    one_way: Sequence[Measurement],
    *,
    schema: Schema,
    plan: Plan,
    grouping: Grouping,
    certificate: Certificate,
    spreads: Mapping[str, Spread],
) -> NeuralSampler:
    """Train a generator on what one plan's silos released; raise RunFailed without PyTorch."""
    require_generators(plan)
    # PyTorch is an extra: only a plan that trains a generator may need it.
    from silosynth.server.generator.target import class_shares
    from silosynth.server.generator.train import train_generator

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
        within={
            name: shares_within(within[name], groups=np.asarray(groups), name=name)
            for name, groups in grouping.groups.items()
        },
        label=plan.features.label,
        label_shares=shares(classes[None, :], name="the label")[0],
        network=trained.network,
        total=max(round(mean_total(merged)), 0),
        certificate=certificate.model_dump(mode="json"),
        plan_digest=plan.digest,
        spreads=spreads,
    )


def mean_total(one_way: Mapping[str, Measurement]) -> float:
    """Return the number of rows by noised 1-way marginals."""
    return float(np.mean([m.values.sum() for m in one_way.values()]))


def mixture_model(sampler: NeuralSampler) -> MixtureModel:
    """Return what a generator makes of any small clique."""
    return MixtureModel(total=float(sampler.total), mixture=sampler.mixture())
