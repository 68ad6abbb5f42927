"""Four questions, four lamps: each answer is one sentence with its floor and its ceiling."""

from __future__ import annotations

from collections.abc import Sequence

from silosynth.common.evaluate.made import Guarantee
from silosynth.common.evaluate.reuse import AGAIN
from silosynth.common.report import (
    Axis,
    ColumnFacts,
    HeldFacts,
    Lamp,
    Measure,
    State,
    TargetFacts,
)

SHAPE_GOOD, SHAPE_POOR = 0.9, 0.6
IMPOSSIBLE_GOOD, IMPOSSIBLE_POOR = 0.01, 0.1
MEAN_GOOD, MEAN_POOR = 0.15, 1.0
TEN_GOOD, TEN_POOR = 0.1, 0.5
FORM_GOOD = 0.01
EPSILON_GOOD, EPSILON_FAIR = 1.0, 10.0
_BETWEEN_GOOD, _BETWEEN_POOR = 0.4, 0.8
_BEYOND_GOOD, _BEYOND_POOR = 0.05, 0.15
_AS_NEAR = 1.2
_TAUGHT = 0.05
"""What models of real rows score above independent columns where there is something to learn."""
_AUC_GOOD, _FOUND = 0.03, 0.05
_GUESSED = 0.6
_CLOSE = {State.GOOD: "Close.", State.FAIR: "Close in parts.", State.POOR: "Not close."}
BY_RELEASES = "by releases"
PAIRS = "2-way distance of values"


def fidelity_lamp(
    columns: Sequence[ColumnFacts], measures: Sequence[Measure], *, ceiling_is: str
) -> Lamp:
    """Say whether the table is close.

    By its worst column, means, commonest values, form, pairs, and impossible rows. One column has
    no pairs, and is graded without.
    """
    worst = columns[0]
    pairs = _named(measures, PAIRS)
    odd = _named(measures, "rows in impossible combinations")
    share = odd.value if odd else 0.0
    form, mean, ten = (max(columns, key=off) for off in (_form_off, _mean_off, _ten_off))
    states = [
        _grade(-worst.shape, -SHAPE_GOOD, -SHAPE_POOR),
        State.GOOD if pairs is None else _near(pairs),
        _grade(share, IMPOSSIBLE_GOOD, IMPOSSIBLE_POOR),
        _grade(form.form_off, FORM_GOOD, 1.1),
        _grade(_mean_off(mean), MEAN_GOOD, MEAN_POOR),
        _grade(_ten_off(ten), TEN_GOOD, TEN_POOR),
    ]
    state = max(states, key=_place)
    parts = [
        f"The worst column, {worst.name}, agrees to {worst.shape:.0%} "
        f"({ceiling_is} {worst.ceiling:.0%})",
        "one column is compared, so nothing is said of pairs"
        if pairs is None
        else f"pairs are {pairs.value:.3f} off, where {ceiling_is} is {pairs.ceiling or 0:.3f} and "
        f"independent columns are {pairs.floor or 0:.3f}",
    ]
    if pairs is not None and _unlinked(pairs):
        parts.append("so real columns hardly hang together, and pairs tell no more than columns do")
    if share > IMPOSSIBLE_GOOD:
        parts.append(f"{share:.1%} of the rows combine what no real row combines")
    if form.form_off > FORM_GOOD:
        parts.append(f"{form.name} is spelled as no real value is")
    if _mean_off(mean) > MEAN_GOOD:
        parts.append(f"the mean of {mean.name} is {_mean_off(mean):.2f} spreads off")
    if _ten_off(ten) > TEN_GOOD:
        parts.append(f"the ten commonest values of {ten.name} are {_ten_off(ten):.0%} off")
    return Lamp(axis=Axis.FIDELITY, state=state, sentence=f"{_CLOSE[state]} {'; '.join(parts)}.")


def _form_off(column: ColumnFacts) -> float:
    return column.form_off


def _mean_off(column: ColumnFacts) -> float:
    """Return how far a mean is off, in spreads of the real values; 0 where there is none."""
    real, mean = column.real, column.synthetic.mean
    if real.mean is None or not real.spread or mean is None:
        return 0.0
    return abs(mean - real.mean) / real.spread


def _ten_off(column: ColumnFacts) -> float:
    """Return the gap of the share that the ten commonest real values have."""
    return abs(column.real.ten_commonest - column.synthetic.ten_commonest)


def utility_lamp(
    targets: Sequence[TargetFacts], measures: Sequence[Measure], *, ceiling_is: str
) -> Lamp:
    """Say whether one can learn from the table: by its worst target, or by counts alone."""
    queries = next((m for m in measures if m.name.endswith("range queries, mean error")), None)
    if not targets:
        if queries is None:
            return Lamp(
                axis=Axis.UTILITY, state=State.UNKNOWN, sentence="Nothing was tried with it."
            )
        ceiling = queries.ceiling or 0.0
        if _named(measures, PAIRS) is None:
            return Lamp(
                axis=Axis.UTILITY,
                state=State.UNKNOWN,
                sentence="One column is compared, from which nothing can be learnt: it is as "
                f"useful as it is close. Counts of rows are {queries.value:.2%} of all rows off in "
                f"the mean ({ceiling_is} {ceiling:.2%}).",
            )
        ratio = queries.value / max(ceiling, 1e-6)
        return Lamp(
            axis=Axis.UTILITY,
            state=_grade(ratio, 2.0, 5.0),
            sentence=f"Counts of rows are {queries.value:.2%} of all rows off in the mean "
            f"({ceiling_is} {ceiling:.2%}, independent columns {queries.floor or 0:.2%}); no "
            "column was predicted, since none was named that can be.",
        )
    taught = [t for t in targets if t.whole.real - t.floor > _TAUGHT]
    if not taught:
        return _nothing_to_learn(targets[0])
    targets = taught
    lost = {t.name: _lost(t) for t in targets}
    worst = max(targets, key=lambda t: (_place(_learnt(t)), lost[t.name]))
    state = _learnt(worst)
    words = {
        State.GOOD: "Useful to learn from.",
        State.FAIR: "Useful to explore, less so to learn from.",
        State.POOR: "Not useful to learn from.",
    }
    text = (
        f"{words[state]} A model of {worst.name} that learnt from synthetic rows scores "
        f"{worst.score} {worst.whole.synthetic:.3f} on real ones, one that learnt from real rows "
        f"{worst.whole.real:.3f}, one from independent columns {worst.floor:.3f}"
    )
    hurt = [g for t in targets for g in t.groups if g.real - g.synthetic > 0.05]
    if hurt:
        state = max(state, State.FAIR, key=_place)
        group = max(hurt, key=lambda g: g.real - g.synthetic)
        text += f"; it loses {group.real - group.synthetic:.3f} where {group.group}"
    return Lamp(axis=Axis.UTILITY, state=state, sentence=f"{text}.")


def _nothing_to_learn(target: TargetFacts) -> Lamp:
    """Say that a target follows from no other column, in real rows either."""
    return Lamp(
        axis=Axis.UTILITY,
        state=State.UNKNOWN,
        sentence=f"Nothing can be learnt of {target.name} here: a model that learnt from real rows "
        f"scores {target.score} {target.whole.real:.3f}, one from independent columns "
        f"{target.floor:.3f}. Name another column with --target.",
    )


def held_lamps(
    found: HeldFacts, *, guarantee: Guarantee | None, reuse: Sequence[Measure]
) -> tuple[Lamp, Lamp, Lamp, Lamp]:
    """Answer the four questions by what people said who were held out; no real row is at hand."""
    return (
        _held_fidelity(found),
        _held_utility(found),
        privacy_lamp(guarantee, ()),
        reuse_lamp(reuse),
    )


def _held_fidelity(found: HeldFacts) -> Lamp:
    """Say how near the pairs are: between 0, the ceiling, and independent columns, the floor.

    It is graded by the upper end, which is a bound; the estimate between the ends is not.
    """
    people = f"{found.people.value or 0:,.0f} people who were held out"
    if found.distance is None or found.distance.value is None:
        return Lamp(
            axis=Axis.FIDELITY,
            state=State.UNKNOWN,
            sentence=f"About {people} are too few to tell how near pairs of columns are.",
        )
    most = found.distance.high if found.distance.high is not None else found.distance.value
    share = most / max(found.independent, 1e-9)
    state = _grade(share, _BETWEEN_GOOD, _BETWEEN_POOR)
    near = "" if found.near.value is None else f", as near as a sample of {found.near.value:,.0f}"
    return Lamp(
        axis=Axis.FIDELITY,
        state=state,
        sentence=f"{_CLOSE[state]} By about {people}, pairs of columns are "
        f"{found.distance.value:.3f} off ({found.distance.low or 0:.3f} to "
        f"{found.distance.high or 0:.3f}){near}; independent columns are {found.independent:.3f} "
        "off, a perfect table 0.",
    )


def _held_utility(found: HeldFacts) -> Lamp:
    """Say how the sampler's posterior ranks people; nobody can say what real rows would reach."""
    told = [a for a in found.areas if a.auc.value is not None]
    if not told:
        return Lamp(
            axis=Axis.UTILITY,
            state=State.UNKNOWN,
            sentence="No column was predicted: name some with 'plan evaluate --targets'.",
        )
    worst = min(told, key=lambda a: a.auc.value or 0.0)
    return Lamp(
        axis=Axis.UTILITY,
        state=State.POOR if (worst.auc.high or 1.0) < _GUESSED else State.UNKNOWN,
        sentence=f"{worst.target} is predicted for people who were held out with an AUC of "
        f"{worst.auc.value:.3f} ({worst.auc.low or 0:.3f} to {worst.auc.high or 1:.3f}), where "
        "guessing is 0.5 and knowing 1; what real rows would teach, nobody knows here.",
    )


def privacy_lamp(guarantee: Guarantee | None, measures: Sequence[Measure]) -> Lamp:
    """Say what is promised, and whether an attack found more than chance."""
    attacks = [m for m in measures if m.axis is Axis.PRIVACY]
    found = [m for m in attacks if _beyond(m) > _FOUND / 2]
    by_table = [m for m in found if BY_RELEASES not in m.name]
    if by_table or (found and guarantee is None):
        worst = max(by_table or found, key=_beyond)
        return Lamp(
            axis=Axis.PRIVACY,
            state=State.POOR,
            sentence=f"An attack tells who is in it: {worst.name} is {worst.value:.3f}, where "
            f"guessing gives {worst.ceiling or 0:.2f}. Do not hand this table out.",
        )
    tried = "no attack was tried"
    if found:
        worst = max(found, key=_beyond)
        tried = (
            f"whoever sees what left the silos finds more than guessing does: {worst.name} is "
            f"{worst.value:.3f}; the table and its sampler gave nobody away"
        )
    elif attacks:
        tried = "attacks found no more than guessing does, which alone proves nothing"
    if guarantee is None:
        return Lamp(
            axis=Axis.PRIVACY,
            state=State.UNKNOWN,
            sentence=f"No guarantee comes with this table; {tried}.",
        )
    return Lamp(
        axis=Axis.PRIVACY,
        state=max(
            _grade(guarantee.epsilon, EPSILON_GOOD, EPSILON_FAIR),
            State.FAIR if found else State.GOOD,
            key=_place,
        ),
        sentence=f"A guarantee of epsilon {guarantee.epsilon:.3g} at delta {guarantee.delta:g} "
        f"for each {guarantee.unit} (0 gives nothing away, above 10 little is promised); {tried}.",
    )


def _beyond(measure: Measure) -> float:
    """Return how far the low end of an attack's interval lies above guessing."""
    return (measure.low or 0.0) - (measure.ceiling or 0.0)


def reuse_lamp(measures: Sequence[Measure]) -> Lamp:
    """Say whether the table can be made again."""
    again = _named(measures, "drawn again, same rows")
    fitted = _named(measures, AGAIN)
    if again is None:
        return Lamp(
            axis=Axis.REUSE,
            state=State.UNKNOWN,
            sentence="A table alone cannot be made again; give its sampler to try.",
        )
    size = _named(measures, "bytes of the sampler")
    about = f" The sampler has {size.value / 1000:,.0f} kB." if size else ""
    state, sentence = _made_again(again.value == 1, None if fitted is None else fitted.value == 1)
    return Lamp(axis=Axis.REUSE, state=state, sentence=f"{sentence}{about}")


def _made_again(drawn: bool, fitted: bool | None) -> tuple[State, str]:
    """Say whether rows came out the same, and the sampler itself, where that was tried."""
    if not drawn:
        return State.POOR, "The sampler gave other rows when it was asked again with one seed."
    if fitted is None:
        return (
            State.GOOD,
            "Made again, same rows, at epsilon 0: the sampler was asked twice with one seed.",
        )
    if fitted:
        return (
            State.GOOD,
            "Made again from what left the silos, same bytes, and drawn again, same rows: at "
            "epsilon 0, and no silo was asked.",
        )
    return (
        State.FAIR,
        "The sampler gives the same rows twice, but fitting it again to what left the silos gives "
        "other bytes: another version made it.",
    )


def _named(measures: Sequence[Measure], name: str) -> Measure | None:
    """Return the measure of that name, if there is one."""
    return next((m for m in measures if m.name == name), None)


def _near(pairs: Measure) -> State:
    """Grade pairs by where they lie between their ceiling and independent columns.

    Where independent columns are as near as the ceiling, by how far beyond both they lie.
    """
    if _unlinked(pairs):
        beyond = pairs.value - max(pairs.ceiling or 0.0, pairs.floor or 0.0)
        return _grade(beyond, _BEYOND_GOOD, _BEYOND_POOR)
    return _grade(_between(pairs), _BETWEEN_GOOD, _BETWEEN_POOR)


def _unlinked(pairs: Measure) -> bool:
    """Say whether independent columns are as near to the real pairs as the ceiling is."""
    return (pairs.floor or 0.0) <= _AS_NEAR * (pairs.ceiling or 0.0)


def _between(measure: Measure) -> float:
    """Return where a distance lies: 0 at its ceiling, 1 at its floor."""
    ceiling, floor = measure.ceiling or 0.0, measure.floor or 0.0
    if measure.value <= ceiling * _AS_NEAR:
        return 0.0
    return (measure.value - ceiling) / max(floor - ceiling, 1e-9)


def _lost(target: TargetFacts) -> float:
    return target.whole.real - target.whole.synthetic


def _learnt(target: TargetFacts) -> State:
    """Grade a target by what was lost of what there was to learn."""
    lost, there = _lost(target), max(target.whole.real - target.floor, 1e-9)
    if target.task == "classification" and lost <= _AUC_GOOD:
        return State.GOOD
    return _grade(lost / there, 0.15, 0.5)


def _grade(value: float, good: float, poor: float) -> State:
    """Return good up to ``good``, poor beyond ``poor``."""
    return State.GOOD if value <= good else State.FAIR if value <= poor else State.POOR


def _place(state: State) -> int:
    return (State.GOOD, State.FAIR, State.POOR, State.UNKNOWN).index(state)
