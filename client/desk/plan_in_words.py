"""A plan in plain words, for the person who decides about it."""

from __future__ import annotations

from typing import Any

from silosynth.client.desk.facts import Facts
from silosynth.client.desk.families import families_phase, families_words, person_words
from silosynth.client.desk.fit import fit_words
from silosynth.client.desk.rosters import KIND, roster_words
from silosynth.common.accounting import rounded_up
from silosynth.common.plan import OF_VALUES, OF_VOTES, Plan, held_alone, words_of_lacks

_MOST_ALONE = 10
_DIGEST = "sha256:"


def short_digest(plan: Facts) -> str:
    """Return the start of a plan's digest, long enough to name it."""
    return str(plan["digest"]).removeprefix("sha256:")[:12]


def short_scope(name: str) -> str:
    """Return a budget's name; of a series, which goes by a digest, the start of that."""
    if not name.startswith(_DIGEST):
        return name
    digest, _, epoch = name.partition("/")
    return f"{digest[: len(_DIGEST) + 12]}{f' epoch {epoch}' if epoch else ''}"


def plan_words(plan: Facts) -> tuple[str, ...]:
    """Say who asks, what is asked, and what it costs."""
    if plan.get("kind") == KIND:
        return roster_words(plan)
    if "unusable" in plan:
        return (f"it cannot be approved: {plan['unusable']}",)
    if "id" not in plan:
        return ("its text is not kept here any more",)
    return (
        f"{_who(plan['coordinator'])} asks, for project {plan['project']!r}, together "
        f"with {len(plan['silos'])} silos: {', '.join(plan['silos'])}",
        f"of data set {plan['dataset']!r}, by method {plan['method']!r}: {_asked(plan)}",
        *families_words(plan),
        *(f"phase {p['name']!r}: {_any_phase(p, plan)}" for p in plan["phases"]),
        f"what is sent tells about one person ({person_words(plan)}) at most "
        f"epsilon {plan['epsilon']:g} at delta {plan['delta']:g}; the budgets are charged epsilon "
        f"{rounded_up(plan['ledger_epsilon'])} ({_conversion(plan)})",
        *(_budget(b, plan) for b in plan.get("budgets", ())),
        *_network_words(plan),
        *_checkpoint_words(plan),
        *_shared_words(plan),
        *_lack_words(plan),
        *_renewal_words(plan),
        *_series_words(plan),
        *_signed_words(plan),
        *fit_words(plan),
        "no row leaves the silo, and nothing is ever refunded",
    )


def _who(coordinator: str) -> str:
    """Name who asks: as the policy does, or by the key where there is no policy to ask."""
    if coordinator.startswith("ed25519:"):
        return f"the coordinator that holds {coordinator}"
    return f"coordinator {coordinator!r}"


_NO_COUNTS = ("training", "embedding", "projection", "central", "around", "evaluation", *OF_VOTES)
"""Phases whose sums are no counts of marginals."""


def _asked(plan: Facts) -> str:
    """Say what kind of numbers leave, and how many."""
    training, features = plan["training"], plan["features"]
    counts = [p for p in plan["phases"] if p["name"] not in _NO_COUNTS]
    marginals, cells = (sum(p[what] for p in counts) for what in ("marginals", "cells"))
    said = []
    if counts:
        said.append(f"noised counts of up to {marginals:,} marginals, {cells:,} cells in all")
    if features is not None:
        said.append("one noised sum of random features of its rows")
    if plan.get("evaluation") is not None:
        said.append("one noised vector of how its rows lie beside a sampler")
    if plan["projection"] is not None:
        said.append("one noised sum of projections of its rows and of their second moments")
    if plan.get("central") is not None:
        said.append("one noised sum of its rows' pictures, and one of how they differ from that")
    if plan.get("votes") is not None:
        what = plan["votes"]["what"]
        said.append(f"noised counts of which {what}s of the coordinator's its rows are nearest to")
    if training is not None:
        said.append(
            f"noised sums of gradients, {training['weights']:,} numbers each, in up to "
            f"{training['rounds']:,} rounds"
        )
    return "; and ".join(said)


def _any_phase(phase: Facts, plan: Facts) -> str:
    """Say what one phase asks, of one table or of several."""
    return _phase(phase, plan) if plan.get("families") is None else families_phase(phase)


def _phase(phase: Facts, plan: Facts) -> str:
    """Say what one phase asks, and its noise."""
    noise = f"noise of standard deviation {phase['noise_deviation']:.4g}"
    training, features = plan["training"], plan["features"]
    if phase["name"] == "training" and training is not None:
        steps = training["local_steps"]
        each = f"{steps:,} noised steps each" if steps > 1 else "one noised step each"
        return (
            f"{training['rounds']:,} rounds with {each}, {phase['marginals']:,} sums of gradients "
            f"in all; a person is in a step with the chance {training['rate']}; each row's "
            f"gradient is scaled down to norm {training['clip']:g}, and every number gets noise of "
            f"standard deviation {training['noise_deviation']:.4g}, which is "
            f"{training['noise_multiplier']:.4g} times that norm"
        )
    if phase["name"] == "embedding" and features is not None:
        return (
            f"one sum of {features['frequencies']:,} random features {_looked_at(features)}, "
            f"{phase['cells']:,} numbers, with {noise} on every number; a row adds at most "
            f"{phase['bound']:,} in L2 norm"
        )
    if phase["name"] == "projection" and plan["projection"] is not None:
        projection = plan["projection"]
        label = projection["label"]
        by_class = "" if label is None else f", by class of {label!r}"
        return (
            f"one sum of rows projected onto {projection['dimensions']:,} dimensions, and of their "
            f"squares and products{by_class}, {phase['cells']:,} numbers, with {noise} on every "
            f"number; a row adds at most {phase['bound']:,} in L2 norm"
        )
    central = plan.get("central")
    if phase["name"] in ("central", "around") and central is not None:
        return _pictures(phase, central, noise=noise)
    if phase["name"] in OF_VOTES and plan["votes"] is not None:
        return _votes(plan["votes"], phase, noise=noise)
    evaluation = plan.get("evaluation")
    if phase["name"] == "evaluation" and evaluation is not None:
        share = evaluation["share"]
        who = "everybody" if share is None else f"the {share} of people who were held out"
        return (
            f"one vector of {phase['cells']:,} weighed counters, which hold {who} against sampler "
            f"{evaluation['sampler']} of plan {evaluation['trained']}, with {noise} on every "
            f"number; a row adds at most {phase['bound']:,} in L2 norm"
        )
    what = "histograms of one number's values" if phase["name"] in OF_VALUES else "marginals"
    return f"up to {phase['marginals']:,} {what} with {noise} on every count"


def _pictures(phase: Facts, central: Facts, *, noise: str) -> str:
    """Say what is asked of pictures."""
    by_class = "" if central["label"] is None else f", by class of {central['label']!r}"
    what = (
        f"whole pictures of {central['pixels']:,} pixels"
        if phase["name"] == "central"
        else f"how pictures differ from the middle, in {central['blocks']:,} blocks, and of the "
        "squares and products of that"
    )
    return (
        f"one sum of {what}{by_class}, {phase['cells']:,} numbers, with {noise} on every number; "
        f"a row adds at most {phase['bound']:,} in L2 norm"
    )


def _votes(votes: Facts, phase: Facts, *, noise: str) -> str:
    """Say what rows vote for, and how much one adds."""
    what = votes["what"]
    return (
        f"the coordinator sends up to {votes['candidates']:,} {what}s of its own, in the alphabet "
        f"{votes['alphabet']}; each row votes for the one that its {what} is nearest to "
        f"{votes['near']}, by class of {votes['label']!r}: {phase['cells']:,} counts, "
        f"with {noise} on every count; a row adds one to one of them, and no {what} of the silo "
        "leaves it"
    )


def _looked_at(features: Facts) -> str:
    """Say what random features look at."""
    label = "" if features["label"] is None else f", summed by class of {features['label']!r}"
    if features["images"]:
        return f"of whole images{label}"
    what = "single attributes" if features["order"] == 1 else "pairs of attributes"
    return f"of {what}{label}"


def _conversion(plan: Facts) -> str:
    """Say how the ledger's epsilon of a plan is worked out."""
    return "zCDP conversion" if plan["training"] is None else "the better of zCDP and Rényi orders"


def _budget(budget: Facts, plan: Facts) -> str:
    """Say what one budget is charged, at the order that it is held at."""
    held = ""
    if plan["training"] is not None and budget["order"] is not None:
        held = f", held at the Rényi order {budget['order']:.4g}"
    short = ", which is more than is left of it" if budget["share"] > budget["left"] else ""
    return (
        f"the budget of {budget['scope']} {budget['name']!r} (epsilon "
        f"{budget['budget_epsilon']:g} at delta {budget['delta']:g}{held}) is charged epsilon "
        f"{rounded_up(budget['epsilon'])}, {budget['share']:.1%} of it{short}"
    )


def _network_words(plan: Facts) -> tuple[str, ...]:
    """Say what a network learns from."""
    if plan["training"] is None:
        return ()
    return (
        f"a network ({plan['training']['network']}) is trained on the rows themselves, with every "
        "attribute of the schema, images and texts included; what leaves is noised sums over "
        "sampled persons",
    )


def _checkpoint_words(plan: Facts) -> tuple[str, ...]:
    """Say which pretrained checkpoint a network starts from."""
    if plan.get("checkpoint") is None:
        return ()
    return (
        f"the network starts from the pretrained checkpoint {plan['checkpoint']}, of "
        "which the policy names a copy; it stays as it is",
    )


def _shared_words(plan: Facts) -> tuple[str, ...]:
    """Say what the silo relies on where it adds a share of the noise alone."""
    if plan.get("trust") != "shared":
        return ()
    attempts = plan["attempts"]
    again = f", and may be begun up to {attempts} times" if attempts > 1 else ""
    peers = plan.get("peers")
    against = f" against {peers} others, whom nobody chooses" if peers else ""
    # Whoever is bought afterwards may be all peers of one silo.
    early = " (before a sum's keys are sent)" if peers and peers <= plan["colluders"] else ""
    return (
        f"the noise is shared: this silo adds a part of it, what it sends is masked{against}, and "
        f"only the sum over the silos is seen{again}; this holds while at most "
        f"{plan['colluders']} silos work with the coordinator{early}, and at most "
        f"{plan['absent']} stay away",
        f"if the masks failed, this silo's own noise would leave epsilon "
        f"{rounded_up(plan['alone_epsilon'])} ({_conversion(plan)})",
    )


def lack_facts(plan: Plan, *, silo: str) -> dict[str, Any]:
    """Return what a plan says that its silos lack, and whom it is told; nothing for most plans."""
    if not plan.lacks:
        return {}
    return {"lacks": {s: list(columns) for s, columns in plan.lacks.items()}, "silo": silo}


def _lack_words(plan: Facts) -> tuple[str, ...]:
    """Say who holds no count of what, and what this silo's share of a sum does not hide."""
    lacks = plan.get("lacks")
    if not lacks:
        return ()
    parts = {p["name"]: (p["held"], p["marginals"]) for p in plan["phases"] if p.get("held")}
    said = words_of_lacks(lacks, silos=plan["silos"], parts=parts)
    if plan["trust"] != "shared":
        return said
    alone = held_alone(lacks, silo=plan["silo"], silos=plan["silos"])
    if not alone:
        return said
    shown = "; ".join(" with ".join(clique) for clique in alone[:_MOST_ALONE])
    more = f"; and {len(alone) - _MOST_ALONE} more" if len(alone) > _MOST_ALONE else ""
    return (
        *said,
        f"You alone hold {shown}{more}. A sum over these is this silo's own, with the noise of "
        "all: its persons are protected as in every sum, but the silo is not hidden among others.",
    )


def _renewal_words(plan: Facts) -> tuple[str, ...]:
    """Say what a sampler is made from beside what is asked here."""
    if plan.get("renews") is None:
        return ()
    return (
        f"the coordinator states that it takes what is not asked from sampler {plan['renews']}; "
        "what that cost was charged then, and one person pays both",
    )


def _series_words(plan: Facts) -> tuple[str, ...]:
    """Say what else is approved with an epoch of a series, and what a person who stays loses."""
    series = plan.get("series")
    if series is None:
        return ()
    about = "" if plan.get("evaluation") is None else ", each about any sampler delivered here"
    return (
        f"it is one of the {series['epochs']} epochs of series {series['name']!r}, and approving "
        f"it approves all of them: the same plan again{about}, each at most once, from "
        f"{series['first']} on, one every {series['days']} days",
        f"no epoch may cost a person more than epsilon {rounded_up(series['epoch_epsilon'])}, and "
        "a person who stays in the data loses at most epsilon "
        f"{rounded_up(series['lifetime_epsilon'])} to all of "
        f"them at delta {plan['delta']:g} (zCDP conversion); refusing later ends the series",
    )


def _signed_words(plan: Facts) -> tuple[str, ...]:
    """Say who signed for it already, where the policy asks for that."""
    signed = plan.get("signed")
    if signed is None:
        return ()
    names = ", ".join(signed["by"]) or "nobody yet"
    return (f"it needs {signed['needed']} signed decisions of approvers; it has: {names}",)
