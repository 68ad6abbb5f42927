"""Regression on drawn rows, with intervals that know of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from silosynth.common.errors import InvalidArgument
from silosynth.common.estimate.apart import groups_of, missed_covariance, noise_pulled, squares_of
from silosynth.common.estimate.replicates import (
    LEVEL,
    Interval,
    Modelled,
    Replicated,
    interval_of,
)
from silosynth.common.sampler import draw_batches
from silosynth.common.schema import Schema
from silosynth.common.scores import (
    Column,
    ValueKind,
    Values,
    fit_linear,
    fit_logistic,
    read_values,
)

FEWEST_ROWS, MOST_ROWS = 20_000, 200_000
_MOST_TERMS = 100
_LEAST_SHARE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """What is explained by what: ``value`` is the one label that counts as 1; None for a number."""

    target: str
    value: str | None
    terms: tuple[str, ...]


def parse_formula(text: str) -> Formula:
    """Read ``smoker=yes ~ age + sex`` or ``income ~ age``; raise InvalidArgument for another text.

    >>> parse_formula("smoker=yes ~ age + sex").terms
    ('age', 'sex')
    """
    left, tilde, right = text.partition("~")
    target, equals, value = (part.strip() for part in left.partition("="))
    terms = tuple(term.strip() for term in right.split("+"))
    if not (tilde and target and all(terms)):
        raise InvalidArgument(
            f"{text!r} is no regression", hint="write it as 'smoker=yes ~ age + sex'"
        )
    if len({target, *terms}) != 1 + len(terms):
        raise InvalidArgument(f"{text!r} names a column twice", hint="name each column once")
    return Formula(target=target, value=value if equals else None, terms=terms)


def estimate_regression(
    replicated: Replicated,
    formula: Formula,
    *,
    seed: int = 1,
    rows: int | None = None,
    level: float = LEVEL,
) -> tuple[Interval, ...]:
    """Estimate the coefficients of a linear or, of a label, a logistic regression.

    A number counts in its own unit; a list's label against the commonest. Rows with a missing
    value are left out. As many rows are drawn as were measured, within 20,000 and 200,000, unless
    ``rows`` says otherwise; of every replicate as many.

    A label's coefficient is not known where its rows, or those that it is held against, have no
    answer or all of them have it: whatever it came to would be the fit's own end.

    Raises InvalidArgument for columns that are not there or cannot be counted with.
    """
    samplers = (replicated.sampler, *replicated.others)
    _check_names(formula, replicated.sampler.schema)
    count = rows or min(max(replicated.sampler.total, FEWEST_ROWS), MOST_ROWS)
    names = [formula.target, *formula.terms]
    tables = [_draw(s, names, rows=count, seed=seed + place) for place, s in enumerate(samplers)]
    values = _read(tables, replicated.sampler.schema)
    design = _Design.of(values[0], formula)
    fits = [design.fit(side) for side in values]
    missed = design.missed(values[0], sampler=replicated.sampler)
    least = design.least(values[0], fits[0], sampler=replicated.sampler)
    found = [
        interval_of(
            float(fits[0][place]),
            [float(fit[place]) for fit in fits[1:]],
            name=name,
            level=level,
            missed=missed[place],
            least=least[place],
        )
        for place, name in enumerate(design.names)
    ]
    return tuple(replace(i, against=a) for i, a in zip(found, design.against, strict=True))


def _check_names(formula: Formula, schema: Schema) -> None:
    """Raise InvalidArgument for a column that the schema does not have."""
    there = {a.name for a in schema.attributes}
    for name in (formula.target, *formula.terms):
        if name not in there:
            raise InvalidArgument(
                f"there is no attribute {name!r}", hint="'silosynth inspect' lists the attributes"
            )


def _draw(sampler: Modelled, names: Sequence[str], *, rows: int, seed: int) -> pa.Table:
    """Return the columns of a regression, of rows of one sampler."""
    drawn = draw_batches(sampler, rows=rows, seed=seed)
    return pa.concat_tables([batch.select(names) for batch in drawn])


def _read(tables: Sequence[pa.Table], schema: Schema) -> tuple[Values, ...]:
    """Read columns as the schema has them; one that follows from a rule as its values are."""
    coded = {a.name for a in schema.coded}
    known = schema if coded.issuperset(tables[0].column_names) else None
    values, skipped = read_values(tables, schema=known)
    if skipped:
        raise InvalidArgument(f"{skipped[0]!r} cannot be counted with", hint="leave it out")
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Design:
    """The columns of a regression: of each number its scale, of each list the labels that count.

    ``common`` is, of each list, the label that the others count against.
    """

    formula: Formula
    scales: dict[str, float]
    labels: dict[str, tuple[str, ...]]
    common: dict[str, str]

    @classmethod
    def of(cls, values: Values, formula: Formula) -> _Design:
        """Return the design that the sampler's own rows ask for."""
        columns = dict(zip(values.names, values.columns, strict=True))
        _check_target(columns[formula.target], formula)
        scales, labels, common = {}, {}, {}
        for name in formula.terms:
            column = columns[name]
            if column.listed:
                common[name], labels[name] = _labels(column)
            else:
                scales[name] = _scale(column)
        design = cls(formula=formula, scales=scales, labels=labels, common=common)
        if len(design.names) > _MOST_TERMS:
            raise InvalidArgument(f"{len(design.names)} coefficients; {_MOST_TERMS} are most")
        return design

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of each coefficient, in order."""
        return tuple(
            word
            for name in self.formula.terms
            for word in (
                [name] if name in self.scales else [f"{name}={v}" for v in self.labels[name]]
            )
        )

    @property
    def against(self) -> tuple[str, ...]:
        """Return the label that each coefficient is held against, empty for a number."""
        return tuple(
            word
            for name in self.formula.terms
            for word in (
                [""] if name in self.scales else [self.common[name]] * len(self.labels[name])
            )
        )

    def fit(self, values: Values) -> np.ndarray:
        """Return (coefficients,) float64, in the columns' own units; NaN where rows have none."""
        design, target = self._rows(values)
        if not len(design):
            return np.full(len(self.names), np.nan)
        if self.formula.value is None:
            answer = None
            found, _ = fit_linear(design, target.numbers)
        else:
            answer = _is(target, self.formula.value)
            found, _ = fit_logistic(design, answer)
        scaled = found / self._units()
        return np.where(self._known(design[:, 1:], answer), scaled, np.nan)

    def _known(self, inputs: np.ndarray, answer: np.ndarray | None) -> np.ndarray:
        """Return (coefficients,) bool, whether rows say anything of each; see the function above.

        Args: answer: (rows,) of 0 and 1; None where a number is explained.
        """
        if answer is not None and not _differs(answer):
            return np.zeros(inputs.shape[1], dtype=bool)
        known, start = [], 0
        for name in self.formula.terms:
            if name in self.scales:
                known.append(True)
                start += 1
                continue
            mine = inputs[:, start : start + len(self.labels[name])] > 0
            start += mine.shape[1]
            common = _says(np.asarray(~mine.any(axis=1)), answer)
            known += [common and _says(rows, answer) for rows in mine.T]
        return np.array(known)

    def least(self, values: Values, found: np.ndarray, *, sampler: Modelled) -> list[float]:
        """Return the least variance of each coefficient of a mixture; 0 of a tree.

        What pairs were measured with, in the normal equations: noise in the cells of what is
        explained and each column, and of each two columns as far as they explain it.

        Args: found: the coefficients, in the columns' own units.
        """
        noise = noise_pulled(sampler)
        if not noise or not np.isfinite(found).all():
            return [0.0] * len(found)
        design, target = self._rows(values)
        slopes = found * self._units()
        if self.formula.value is None:
            bend, of_target = 1.0, squares_of(sampler, target.name, variance=target.numbers.var())
        else:
            share = _share_of(target, self.formula.value)
            bend, of_target = share * (1 - share), squares_of(sampler, target.name)
        scores = self._noise_of_scores(sampler, slopes * bend, of_target=of_target)
        inner = np.linalg.pinv(bend * (design.T @ design) / len(design))[1:, 1:]
        variances = noise * np.diag(inner @ scores @ inner) / self._units() ** 2
        return [float(v) for v in variances]

    def _noise_of_scores(
        self, sampler: Modelled, pulls: np.ndarray, *, of_target: float
    ) -> np.ndarray:
        """Return (coefficients, coefficients) what a unit of noise in cells is in the equations."""
        squares: list[float] = []
        terms: list[int] = []
        scores = np.zeros((len(pulls), len(pulls)))
        for place, name in enumerate(self.formula.terms):
            numeric = name in self.scales
            square = squares_of(sampler, name, variance=1.0 if numeric else None)
            count = 1 if numeric else len(self.labels[name])
            mine = slice(len(terms), len(terms) + count)
            even = 0 if numeric else 1 / max(groups_of(sampler, name), 1 + count)
            weight = square if numeric else float(square > 0)
            scores[mine, mine] = of_target * weight * (np.eye(count) - even)
            squares += [square] * count
            terms += [place] * count
        others = np.not_equal.outer(terms, terms)
        scores += np.diag(others @ (pulls**2 * squares) * squares)
        return scores

    def _rows(self, values: Values) -> tuple[np.ndarray, Column]:
        """Return (rows, 1 + coefficients) float64 and what is explained, of rows with all."""
        columns = dict(zip(values.names, values.columns, strict=True))
        used = [columns[name] for name in (self.formula.target, *self.formula.terms)]
        kept = np.flatnonzero(~np.any([c.missing for c in used], axis=0))
        inputs = [np.ones(len(kept))]
        for name in self.formula.terms if len(kept) else ():
            inputs += self._inputs(columns[name].take(kept))
        return np.stack(inputs, axis=1), columns[self.formula.target].take(kept)

    def missed(self, values: Values, *, sampler: Modelled) -> list[float]:
        """Return the variance of each coefficient by what its column may hide of the target.

        To first order, of each column by itself: the covariance over the column's own spread and,
        of odds, over the answer's; of a label, that of its rows and of those it is held against.
        """
        columns = dict(zip(values.names, values.columns, strict=True))
        target = columns[self.formula.target]
        if self.formula.value is None:
            spread, of_target = (
                1.0,
                squares_of(sampler, target.name, variance=float(np.nanvar(target.numbers))),
            )
        else:
            share = _share_of(target, self.formula.value)
            spread, of_target = share * (1 - share), squares_of(sampler, target.name)
        found = []
        for name in self.formula.terms:
            pair = (target.name, name)
            if name in self.scales:
                own = self.scales[name] ** 2
                squares = of_target * squares_of(sampler, name, variance=own)
                parts = [missed_covariance(sampler, pair, squares=squares) / own**2]
            else:
                squares = of_target * squares_of(sampler, name)
                one = missed_covariance(sampler, pair, squares=squares)
                common = one / _share_of(columns[name], self.common[name]) ** 2
                parts = [
                    common + one / max(_share_of(columns[name], v), _LEAST_SHARE) ** 2
                    for v in self.labels[name]
                ]
            found += [part / max(spread, _LEAST_SHARE) ** 2 for part in parts]
        return found

    def _inputs(self, column: Column) -> list[np.ndarray]:
        """Return what a term puts in: a standardised number, or 0 and 1 a label."""
        if column.name in self.scales:
            return [(column.numbers - column.numbers.mean()) / self.scales[column.name]]
        return [_is(column, label) for label in self.labels[column.name]]

    def _units(self) -> np.ndarray:
        """Return (coefficients,) float64, what one step of each standardised input is."""
        units = [
            [self.scales[name]] if name in self.scales else [1.0] * len(self.labels[name])
            for name in self.formula.terms
        ]
        return np.concatenate(units)


def _share_of(column: Column, label: str) -> float:
    """Return the share of rows of a list that have a label, of those that have any."""
    return float(_is(column, label).sum()) / max(int((~column.missing).sum()), 1)


def _says(rows: np.ndarray, answer: np.ndarray | None) -> bool:
    """Say whether some rows are there, and some of them have the answer and some have not."""
    return bool(rows.any()) and (answer is None or _differs(answer[rows]))


def _differs(answer: np.ndarray) -> bool:
    """Say whether 0 and 1 are both in an answer."""
    return bool(answer.min() < answer.max())


def _is(column: Column, label: str) -> np.ndarray:
    """Return (rows,) float64, 1 where a list has a label."""
    texts = np.asarray(("", *column.labels), dtype=object)[column.codes]
    found: np.ndarray = (texts == label).astype(np.float64)
    return found


def _check_target(column: Column, formula: Formula) -> None:
    """Raise InvalidArgument unless the target is what the formula takes it for."""
    if formula.value is None:
        if column.kind is not ValueKind.NUMBER:
            raise InvalidArgument(
                f"{column.name!r} is no number", hint=f"say which value counts: {column.name}=..."
            )
        return
    if not column.listed or formula.value not in column.labels:
        raise InvalidArgument(
            f"{column.name!r} is never {formula.value!r} in the rows",
            hint=f"its values: {', '.join(column.labels[:8])}"
            if column.listed
            else "it is a number",
        )


def _labels(column: Column) -> tuple[str, tuple[str, ...]]:
    """Return the commonest label, and those that count against it, in their own order."""
    counts = np.bincount(column.codes, minlength=1 + len(column.labels))[1:]
    there = [place for place, count in enumerate(counts) if count]
    if len(there) < 2:
        raise InvalidArgument(f"{column.name!r} has one value alone", hint="leave it out")
    common = max(there, key=lambda place: counts[place])
    others = tuple(column.labels[place] for place in there if place != common)
    return column.labels[common], others


def _scale(column: Column) -> float:
    """Return the standard deviation of a number."""
    if column.kind is not ValueKind.NUMBER:
        raise InvalidArgument(f"{column.name!r} is an instant", hint="regress on numbers and lists")
    spread = float(np.nanstd(column.numbers))
    if not spread > 0:
        raise InvalidArgument(f"{column.name!r} has one value alone", hint="leave it out")
    return spread
