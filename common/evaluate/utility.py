"""Whether the table is useful: learn from synthetic rows, and be tested on real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.evaluate.coefficients import coefficient_measures
from silosynth.common.learners import (
    Explain,
    Learnt,
    area,
    average_precision,
    explained,
    features,
    learn,
    precision_at_rate,
)
from silosynth.common.report import Axis, Better, Measure, PairedScore, TargetFacts
from silosynth.common.scores import Column, Sides, Values
from silosynth.common.seeded import SeededWords

MOST_LEARNT = 15_000
MOST_CLASSES = 10
GROUP_ROWS = 100
_EXPLAINED_ROWS = 2_000
_TEST_SHARE = 0.3
_FEW_NUMBERS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exam:
    """What models learn from and are tested on, for one target.

    ``answers`` are classes (int64) or numbers; ``test`` rows are real ones that the real-trained
    model never saw.
    """

    target: Column
    classes: int
    inputs: dict[str, np.ndarray]
    answers: dict[str, np.ndarray]
    test: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Useful:
    """What was found about all targets."""

    targets: tuple[TargetFacts, ...]
    measures: tuple[Measure, ...]


def evaluate_targets(
    sides: Sides,
    *,
    control: bool,
    targets: Sequence[str],
    groups: Sequence[str],
    seed: int,
) -> Useful:
    """Train on synthetic, real and independent rows, and test all three on real rows.

    With a control the test rows are its own; without one a part of the real rows is kept from the
    real-trained model, but not from the synthetic table. Without targets one list and one number
    are chosen.

    Raises InvalidTable for a target that cannot be learnt.
    """
    real = sides.real
    named = bool(targets)
    facts, measures = [], []
    for name in targets or _choose(real):
        exam = _exam(sides, name=name, control=control, seed=seed)
        found = _target(exam, groups=groups, chosen=not named, seed=seed)
        facts.append(found.targets[0])
        measures += [*found.measures, *coefficient_measures(sides, target=name)]
    return Useful(targets=tuple(facts), measures=tuple(measures))


def check_targets(real: Values, *, targets: Sequence[str], groups: Sequence[str]) -> None:
    """Raise InvalidArgument for an unknown name, InvalidTable where nothing can be learnt."""
    for name in (*targets, *groups):
        if name not in real.names:
            raise InvalidArgument(
                f"{name!r} is no column that is compared", hint="name one of the tables' columns"
            )
    for name in targets:
        column = real.columns[real.names.index(name)]
        stored = column.codes if column.listed else column.numbers
        _check_answers(name, stored[~column.missing], listed=column.listed)


def _choose(real: Values) -> list[str]:
    """Return the last short list and the last number of many values that can be learnt."""
    lists = [
        c.name
        for c in real.columns
        if c.listed and (n := np.bincount(c.codes)[1:]).size and _few(n) and len(n[n > 0]) > 1
    ]
    numbers = [
        c.name
        for c in real.columns
        if not c.listed and len(np.unique(c.numbers[~c.missing])) > _FEW_NUMBERS
    ]
    if len(real.columns) < 2:
        return []
    return [*lists[-1:], *numbers[-1:]]


def _few(counts: np.ndarray) -> bool:
    """Tell whether a list has few labels, the second of which is common enough to learn."""
    return len(counts[counts > 0]) <= MOST_CLASSES and np.sort(counts)[-2:][0] >= GROUP_ROWS


def _exam(sides: Sides, *, name: str, control: bool, seed: int) -> Exam:
    """Split the real rows, leave out rows whose answer is missing, and code the answers."""
    place = sides.real.names.index(name)
    order = SeededWords(seed=seed, purpose="exam").permutation(sides.real.rows)
    cut = 0 if control else round(_TEST_SHARE * len(order))
    learnt = sides.real.take(np.sort(order[cut:]))
    test = sides.ceiling if control else sides.real.take(np.sort(order[:cut]))
    tables = {"real": learnt, "synthetic": sides.synthetic, "floor": sides.floor, "test": test}
    tables = {k: _answered(v, place) for k, v in tables.items()}
    target = tables["real"].columns[place]
    lookup = _classes(target)
    answers = {k: _answer(v.columns[place], lookup) for k, v in tables.items()}
    for side in ("real", "test"):
        _check_answers(name, answers[side], listed=lookup is not None)
    if not len(answers["synthetic"]):
        raise InvalidTable(
            f"target {name!r} is missing in every synthetic row", hint="name another target"
        )
    return Exam(
        target=target,
        classes=0 if lookup is None else int(lookup.max()) + 1,
        inputs={k: features(v, without=name) for k, v in tables.items()},
        answers=answers,
        test=tables["test"],
    )


def _answered(values: Values, place: int) -> Values:
    """Return at most 15,000 rows whose answer is not missing."""
    return values.take(np.flatnonzero(~values.columns[place].missing)[:MOST_LEARNT])


def _classes(target: Column) -> np.ndarray | None:
    """Return the class of each code or small whole number; None where the target is a quantity."""
    if not target.listed:
        return None
    counts = np.bincount(target.codes, minlength=len(target.labels) + 1)
    counts[0] = 0
    order = np.argsort(-counts, kind="stable")
    kept = order[: int((counts > 0).sum())][: MOST_CLASSES - 1]
    lookup = np.full(len(counts), len(kept))
    lookup[kept] = np.arange(len(kept))
    if (counts > 0).sum() <= len(kept):
        lookup[counts == 0] = 0
    return lookup


def _answer(column: Column, lookup: np.ndarray | None) -> np.ndarray:
    """Return the answers of one table."""
    return column.numbers if lookup is None else lookup[column.codes]


def _check_answers(name: str, answers: np.ndarray, *, listed: bool) -> None:
    """Raise InvalidTable for a target that no model could learn."""
    if not len(answers):
        raise InvalidTable(f"target {name!r} is missing in every row", hint="name another target")
    if len(np.unique(answers)) < 2:
        what = "class" if listed else "value"
        raise InvalidTable(f"target {name!r} has one {what} alone", hint="name another target")


def _target(exam: Exam, *, groups: Sequence[str], chosen: bool, seed: int) -> Useful:
    """Return what three models score, whole and by group, and what they look at."""
    listed = exam.classes > 0
    models = _learn(exam, seed=seed)
    guesses = {k: m.guess for k, m in models.items()}
    looked = {k: models[k].looked for k in ("synthetic", "real")}
    truth, rows = exam.answers["test"], len(exam.answers["test"])
    whole = {k: _score(truth, g, listed=listed) for k, g in guesses.items()}
    paired = [
        PairedScore(
            group=f"{name} = {label}",
            rows=int(mask.sum()),
            synthetic=_score(truth[mask], guesses["synthetic"][mask], listed=listed),
            real=_score(truth[mask], guesses["real"][mask], listed=listed),
        )
        for name in groups
        for label, mask in _members(exam.test, name)
        if mask.sum() >= GROUP_ROWS and len(np.unique(truth[mask])) > 1
    ]
    facts = TargetFacts(
        name=exam.target.name,
        task="classification" if listed else "regression",
        score="AUC" if listed else "R2",
        chosen=chosen,
        whole=PairedScore(rows=rows, synthetic=whole["synthetic"], real=whole["real"]),
        floor=whole["floor"],
        groups=tuple(sorted(paired, key=lambda p: p.synthetic - p.real)),
        importance=_looks(exam, looked),
    )
    measures = [_measure(exam, facts.score, whole), _agreement(exam, looked)]
    if paired:
        measures.append(_hurt(exam, facts.score, paired))
    if exam.classes == 2:
        measures += _positives(exam, guesses)
    return Useful(targets=(facts,), measures=tuple(measures))


def _learn(exam: Exam, *, seed: int) -> dict[str, Learnt]:
    """Return what models say that learnt from each side; the floor's is not asked what it sees."""
    explain = Explain(
        rows=exam.inputs["test"][:_EXPLAINED_ROWS],
        truth=exam.answers["test"][:_EXPLAINED_ROWS],
        seed=seed,
    )
    return {
        side: learn(
            exam.inputs[side],
            exam.answers[side],
            exam.inputs["test"],
            classes=exam.classes,
            explain=None if side == "floor" else explain,
        )
        for side in ("synthetic", "real", "floor")
    }


def _score(truth: np.ndarray, guess: np.ndarray, *, listed: bool) -> float:
    """Return the mean AUC of one class against the rest, or R2."""
    if not listed:
        return explained(truth, guess)
    if guess.shape[1] == 2:
        return area(truth == 1, guess[:, 1])
    return float(np.mean([area(truth == c, guess[:, c]) for c in np.unique(truth)]))


def _members(values: Values, name: str) -> list[tuple[str, np.ndarray]]:
    """Return the rows of each label of a column; numbers are cut at their quartiles."""
    column = values.columns[values.names.index(name)]
    if column.listed:
        return [(t, column.codes == i) for i, t in enumerate(column.labels, start=1)]
    edges = np.unique(np.quantile(column.numbers[~column.missing], (0, 0.25, 0.5, 0.75, 1)))
    return [
        (f"{a:g} to {b:g}", (column.numbers >= a) & (column.numbers <= b))
        for a, b in pairwise(edges.tolist())
    ]


def _looks(exam: Exam, looked: dict[str, np.ndarray]) -> tuple[tuple[str, float, float], ...]:
    """Return the eight columns that the real-trained model looks at most, with both weights."""
    names = [n for n in exam.test.names if n != exam.target.name] or [exam.target.name]
    order = np.argsort(-looked["real"], kind="stable")[:8]
    shares = {k: v / max(v.sum(), 1e-12) for k, v in looked.items()}
    return tuple((names[i], float(shares["real"][i]), float(shares["synthetic"][i])) for i in order)


def _measure(exam: Exam, score: str, whole: dict[str, float]) -> Measure:
    return Measure(
        axis=Axis.UTILITY,
        name=f"learnt from synthetic rows, {score} on real ones",
        target=exam.target.name,
        value=whole["synthetic"],
        ceiling=whole["real"],
        floor=whole["floor"],
        better=Better.HIGH,
    )


def _hurt(exam: Exam, score: str, groups: Sequence[PairedScore]) -> Measure:
    """Return what is lost in the group that loses most; the floor has lost all there was."""
    return Measure(
        axis=Axis.UTILITY,
        name=f"{score} lost in the group that loses most",
        target=exam.target.name,
        value=max(g.real - g.synthetic for g in groups),
        ceiling=0.0,
        floor=max(g.real - 0.5 if score == "AUC" else g.real for g in groups),
        better=Better.LOW,
    )


def _agreement(exam: Exam, looked: dict[str, np.ndarray]) -> Measure:
    """Return the rank correlation of what both models look at."""
    ranks = [np.argsort(np.argsort(-v, kind="stable")).astype(float) for v in looked.values()]
    constant = len(ranks[0]) < 2
    return Measure(
        axis=Axis.UTILITY,
        name="agreement on which columns matter (rank correlation)",
        target=exam.target.name,
        value=1.0 if constant else float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
        ceiling=1.0,
        floor=0.0,
        better=Better.HIGH,
    )


def _positives(exam: Exam, guesses: dict[str, np.ndarray]) -> list[Measure]:
    """Return average precision, and precision at the true rate, of the rarer of two classes."""
    truth = (exam.answers["test"] == 1).astype(np.int64)
    return [
        Measure(
            axis=Axis.UTILITY,
            name=name,
            target=exam.target.name,
            value=score(truth, guesses["synthetic"][:, 1]),
            ceiling=score(truth, guesses["real"][:, 1]),
            floor=score(truth, guesses["floor"][:, 1]),
            better=Better.HIGH,
        )
        for name, score in (
            ("average precision", average_precision),
            ("precision and recall at the true rate", precision_at_rate),
        )
    ]
