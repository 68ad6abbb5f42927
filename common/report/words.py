"""What the report says in words, by mode."""

from __future__ import annotations

from collections.abc import Sequence

from silosynth.common.report.evaluation import Axis, Lamp, State
from silosynth.common.report.facts import Bound, Mode, ReportFacts, Score, ScoreName
from silosynth.common.report.numbers import MINUS

SECTIONS = (
    ("summary", "Summary"),
    ("privacy", "What is promised"),
    ("held", "Held out"),
    ("side", "Side by side"),
    ("values", "Values"),
    ("together", "Together"),
    ("use", "What it is good for"),
    ("attacks", "Attacks"),
    ("scores", "By the model's bins"),
    ("samples", "Samples"),
    ("attributes", "Attributes"),
    ("pairs", "Pairs"),
    ("silos", "Silos"),
    ("plan", "The plan"),
    ("again", "Make it again"),
    ("words", "How to read this"),
)
RIBBON = {
    Mode.SIMULATION: (
        "Made by comparing with real rows.",
        "This report is not differentially private and must not leave the place "
        "where the real rows are.",
    ),
    Mode.FEDERATION: (
        "Made from released measurements alone.",
        "No real row was read; nothing was spent beyond the certificate.",
    ),
}
MARK = {
    Mode.SIMULATION: "Compared with real rows, not private",
    Mode.FEDERATION: "From released measurements alone",
}
REFERENCE = {
    "bootstrap": "a bootstrap of the real rows",
    "held-out": "a held-out real sample",
    "noise": "noise alone",
    "independent": "independent columns",
    "uniform": "equal values",
}
FLOORS = {
    Mode.SIMULATION: "independent columns",
    Mode.FEDERATION: "equal values, independent columns",
}
GLANCE = {
    Mode.SIMULATION: "Mean distance of all marginals over one, two and three attributes.",
    Mode.FEDERATION: "How far the model lies from what was measured, in units of the noise.",
}
SCORES = {
    Mode.SIMULATION: "No score says anything alone. The floor is what a table reaches whose "
    "columns are right one by one and know nothing of one another; the ceiling is what the "
    "real rows reach when they are drawn again, or a held-out sample of them. The last number says "
    "how small a random subsample of the real rows would be just as close.",
    Mode.FEDERATION: "Nobody holds the pooled rows, so the model is held against the noised "
    "marginals that it was fitted to. At a ratio of 1 or below it differs from them by no more "
    "than their noise. Where the noise is large, a low ratio promises little.",
}
SCORES_CAPTION = {
    Mode.SIMULATION: "Distances are best at 0, column shapes and pair trends at 1.",
    Mode.FEDERATION: f"Root mean square of (model {MINUS} noised) / standard deviation; "
    "noise alone gives 1.",
}
SAMPLES = (
    "The first synthetic rows of each class, as they come. They are made up: one that resembles a "
    "person or a message does so by what the releases say of all rows together."
)
ATTRIBUTES = {
    Mode.SIMULATION: "Each attribute's real marginal beside the synthetic one, sorted by their "
    "distance. Bins are drawn equally wide, whatever they span.",
    Mode.FEDERATION: "Each attribute's noised marginal, as the silos released it, beside the "
    "model's, sorted by the ratio to the noise. Noised shares may lie below zero. Bins "
    "are drawn equally wide, whatever they span.",
}
ATTRIBUTE_VALUE = {Mode.SIMULATION: "Distance", Mode.FEDERATION: "Ratio to noise"}
PAIRS = {
    Mode.SIMULATION: "Below the diagonal: the distance of each pair's marginal to the real one. "
    "Above it: the same for independent columns, that is, how much dependence there was to lose. "
    "A dot marks the pairs that the plan measured by themselves.",
    Mode.FEDERATION: "Below the diagonal: how far the model lies from each pair's noised "
    "marginals, in units of their noise. Above it: the same for a model of independent columns. A "
    "dot marks the pairs that the plan chose to measure again.",
}
PAIRS_CAPTION = {
    Mode.SIMULATION: "Total variation distance of the pair's marginal.",
    Mode.FEDERATION: f"Root mean square of (model {MINUS} noised) / standard deviation.",
}
SILOS = {
    Mode.SIMULATION: "Silos hold different people, so the worst of these is the promise to "
    "everybody. Row counts are private facts; they stand here because this is a simulation.",
    Mode.FEDERATION: "Silos hold different people, so the worst of these is the promise to "
    "everybody. Row counts are private and are not known here.",
}
_COMMON_TERMS = (
    (
        "Epsilon, delta",
        "The promise to a person: whatever anybody concludes from the releases, they would have "
        "concluded with almost the same probability had this person's rows not been there. "
        "Smaller is stronger.",
    ),
    ("Rho", "The cost in zero-concentrated differential privacy; costs add up."),
    ("Marginal", "The table of counts over one or more attributes."),
)
TERMS = {
    Mode.SIMULATION: (
        (
            "Distance",
            "Total variation distance: the share of rows that would have to move to another cell. "
            "0 is equal, 1 has nothing in common. Numbers are compared in at most 32 bins.",
        ),
        (
            "Ceiling",
            "The same score for a bootstrap, as many of the real rows drawn again with "
            "replacement, or for a held-out real sample. A table that beats it follows these very "
            "rows closer than another sample would.",
        ),
        (
            "Floor",
            "The same score for the real columns shuffled one by one: every column alone is "
            "right, every dependence is gone. For single columns the floor is therefore perfect.",
        ),
        (
            "Looks like a subsample of",
            "The share of the real rows that a random subsample would need to be as close.",
        ),
        (
            "Column shapes, pair trends",
            "The two scores that SDMetrics made common, computed here on their definitions.",
        ),
        *_COMMON_TERMS,
    ),
    Mode.FEDERATION: (
        (
            "Ratio to noise",
            "The difference between model and noised marginal, divided by the standard deviation "
            "of the noise; the root of the mean of its squares over all cells.",
        ),
        ("Ceiling", "1: the true marginals would differ from the noised ones by this."),
        (
            "Floor",
            "For one attribute, a model that gives all values the same share; for pairs, a model "
            "whose columns are independent.",
        ),
        *_COMMON_TERMS,
    ),
}
EVALUATION = {
    "lamps": "The floor of every score is what a table reaches whose columns are right one by one "
    "and know nothing of one another; the ceiling is what {ceiling} reaches.",
    "side": "Ten rows of each table, chosen at random. The real ones are real people's.",
    "values": "Values against values, column by column, the worst first. A column agrees to 100 % "
    "when the same values occur equally often; the thin mark is {ceiling}. Form is how values are "
    "spelled.",
    "together": "Columns against columns, in cells that the model did not choose: quantiles of the "
    "real rows, with every common value a cell of its own.",
    "use": "Models learn from synthetic rows and are tested on real ones, beside models that "
    "learnt from real rows. Nearer is better.",
    "attacks": "What somebody finds out who holds the table and knows other people's rows. That an "
    "attack finds nothing proves nothing; the certificate does.",
    "audit": "{games} games with made-up people: an attacker who knows everybody else looks for "
    "one person in all that left the silos. At delta {delta}, with 95 % confidence, epsilon is at "
    "least what is audited; what is claimed is proved to be at most that. It tries this code with "
    "this plan's method and noise, not this table.",
    "curves": "Each line is an attack: how many members it finds (upwards) when it takes so many "
    "other people for members (to the right). Both axes are logarithmic: an attacker who is often "
    "wrong has found nobody. The coordinator sees the releases, whoever has the sampler its "
    "cliques; the other two see the table alone.",
    "limit": "In the grey area lies all that any attack on a person can find, by the noise of "
    "this run; above it only luck, or a fault.",
    "worst": "Most exposed are these rows of the real table, counted from 0 as they were read:",
    "exhibits": "Distances to the closest record are often shown as proof of privacy. They are "
    "none: tables that a likelihood ratio takes apart pass them. They are shown so that nobody "
    "asks for them.",
    "reuse": "What it takes to make the table again.",
    "impossible": "Synthetic rows that combine values which no real row combines, though chance "
    "alone would. Where nature forbids them, paste the cells into the schema. They were read off "
    "real rows: unreviewed, they are as private as those.",
}
HELD = {
    "note": "A share of the people was left out of training and asked afterwards, at epsilon "
    "{epsilon} and delta {delta}: they paid for this and for nothing else, so it cost nobody else "
    "anything. Every number is an estimate with noise; its ends hold nine of ten times.",
    "rulers": "What the people held out say, between its ends.",
    "silos": "Where silos differ, one sampler does not fit them all alike. How likely rows are "
    "says it from about 500 people on, how near pairs are from 2,000.",
    "shared": "Silos share their noise, so there is one sum and nothing is known of one alone. "
    "'silosynth silo evaluate' tells each its own, exactly and for nothing.",
    "candidates": "{count} samplers were held against this one release. Whoever picks the best of "
    "many by it makes it look better than it is.",
}
ADVICE = {
    (State.GOOD, State.GOOD): "Use this table for counts, pictures and models, as you would use a "
    "sample of the real one; check what you publish against real rows.",
    (State.GOOD, State.FAIR): "Use this table for counts and pictures, and to prepare an analysis; "
    "learn the final model from real rows.",
    (State.GOOD, State.POOR): "Use this table for counts and pictures. Do not learn from it.",
    (State.FAIR, State.GOOD): "Use this table to prepare an analysis and to learn from; take no "
    "figure from it before you have looked at its worst columns below.",
    (State.FAIR, State.FAIR): "Use this table to write and test an analysis; take no figure from "
    "it before you have looked at its worst columns below.",
    (State.FAIR, State.POOR): "Use this table to write and test code. Do not learn from it, and "
    "look at its worst columns below before you count anything.",
    (State.POOR, State.GOOD): "Do not count with this table: parts of it are far from the real "
    "one. What was learnt from it held on real rows, for the columns named below alone.",
    (State.POOR, State.FAIR): "Do not count with this table: parts of it are far from the real "
    "one. Use it to write and test code.",
    (State.POOR, State.POOR): "Do not count with this table and do not learn from it. It is good "
    "for writing and testing code.",
}
HANDING = {
    State.GOOD: "It may be handed to others, as its guarantee says.",
    State.FAIR: "Its guarantee is a wide one: hand it to people you trust.",
    State.POOR: "Keep it where the real rows are.",
    State.UNKNOWN: "No guarantee comes with it: keep it where the real rows are.",
}
CEILINGS = {
    True: "a control of other real people",
    False: "a bootstrap of the real rows (it knows them, so it flatters)",
}
WORDS = {
    "ribbon": RIBBON,
    "mark": MARK,
    "reference": REFERENCE,
    "floors": FLOORS,
    "glance": GLANCE,
    "scores": SCORES,
    "scores_caption": SCORES_CAPTION,
    "samples": SAMPLES,
    "attributes": ATTRIBUTES,
    "attribute_value": ATTRIBUTE_VALUE,
    "pairs": PAIRS,
    "pairs_caption": PAIRS_CAPTION,
    "silos": SILOS,
    "terms": TERMS,
    "evaluation": EVALUATION,
    "held": HELD,
    "ceilings": CEILINGS,
}
_WAYS = {1: "One attribute", 2: "Two attributes", 3: "Three attributes"}
_NAMES = {
    ScoreName.MARGINAL_DISTANCE: "Distance",
    ScoreName.NOISE_RATIO: "Ratio to noise",
    ScoreName.COLUMN_SHAPES: "Column shapes",
    ScoreName.COLUMN_PAIR_TRENDS: "Column pair trends",
}
_BOUNDS = {Bound.AT_MOST: "at most ", Bound.AT_LEAST: "at least "}


def sections(facts: ReportFacts) -> tuple[tuple[str, str], ...]:
    """Return the sections that a page has, by id and name."""
    found = facts.evaluation
    attacked = found is not None and (
        found.audit is not None or any(m.axis is Axis.PRIVACY for m in found.measures)
    )
    there = {
        "privacy": facts.certificate is not None,
        "held": facts.held_out is not None,
        "side": found is not None,
        "values": found is not None,
        "together": found is not None,
        "use": found is not None,
        "attacks": attacked,
        "scores": bool(facts.scores) or facts.mode is Mode.FEDERATION,
        "samples": facts.samples is not None,
        "attributes": bool(facts.attributes),
        "pairs": bool(facts.attributes),
        "silos": facts.plan is not None,
        "plan": facts.plan is not None,
    }
    return tuple(s for s in SECTIONS if there.get(s[0], True))


def score_ways(score: Score) -> str:
    """Say how many attributes a score looks at together."""
    return _WAYS.get(score.ways, f"{score.ways} attributes")


def score_title(score: Score) -> str:
    """Name a score, with its k."""
    return f"{_NAMES[score.name]}, {score.ways}-way"


def score_detail(score: Score) -> str:
    """Say what a score is the mean of."""
    return "one marginal" if score.marginals == 1 else f"mean of {score.marginals:,} marginals"


def subsample(score: Score) -> str:
    """Say how large a random subsample of the real rows would be as close."""
    if score.subsample is None:
        return "no figure"
    bound = "" if score.subsample_bound is None else _BOUNDS[score.subsample_bound]
    return f"{bound}{100 * score.subsample:.2g}\u00a0%"


def score_remark(score: Score) -> str:
    """Say the one thing beside a score's ruler."""
    if score.subsample is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f}, as {subsample(score)} of the rows"


def verdict(facts: ReportFacts) -> str:
    """Say the result in one sentence."""
    if facts.evaluation is not None:
        close, useful, private = (lamp.state for lamp in facts.evaluation.lamps[:3])
        advice = ADVICE[close, useful if useful is not State.UNKNOWN else State.FAIR]
        return f"{advice} {HANDING[private]}"
    if facts.held_out is not None:
        return _held_verdict(facts.held_out.lamps)
    name = ScoreName.MARGINAL_DISTANCE if facts.mode is Mode.SIMULATION else ScoreName.NOISE_RATIO
    scores = sorted((s for s in facts.scores if s.name is name), key=lambda s: abs(s.ways - 2))
    if not scores:
        return "Nothing was compared."
    best = scores[0]
    what = "pairs of attributes" if best.ways == 2 else "single attributes"
    if facts.mode is Mode.FEDERATION:
        within = "within" if best.value <= 1.1 else "beyond"
        return (
            f"On {what} the model lies {within} the noise of what the silos released: "
            f"{best.value:.2f} times its standard deviation, where noise alone gives 1 and "
            f"{REFERENCE[best.floor_is]} {best.floor:.1f}."
        )
    ceiling = f"{REFERENCE[best.ceiling_is]} {best.ceiling:.3f}"
    tail = f"independent columns reach {best.floor:.3f}, {ceiling}."
    if best.subsample is None:
        return f"On {what} the mean distance to the real rows is {best.value:.3f}; {tail}"
    return (
        f"On {what} this table is as close to the real rows as a random subsample of "
        f"{subsample(best)} of them. Its mean distance is {best.value:.3f}; {tail}"
    )


def _held_verdict(lamps: Sequence[Lamp]) -> str:
    """Say what to do with a table that people held out were asked about."""
    close, useful, private = (lamp.state for lamp in lamps[:3])
    if close is State.UNKNOWN:
        return (
            "Too few people were held out to say how close this table is: use it to write and test "
            f"an analysis. {HANDING[private]}"
        )
    advice = ADVICE[close, useful if useful is not State.UNKNOWN else State.FAIR]
    return f"{advice} {HANDING[private]}"
