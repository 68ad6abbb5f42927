"""Hold releases of one table against one another, each change beside the noise of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np

from silosynth.common.changes.facts import (
    CellFacts,
    ChangeFacts,
    CourseFacts,
    MarginalFacts,
    ReleaseFacts,
    StepFacts,
    Word,
)
from silosynth.common.changes.fold import fold_codes
from silosynth.common.changes.noise import Drawn, Errors, stated_noise
from silosynth.common.codec import Codec
from silosynth.common.digest import digest_of
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidArgument
from silosynth.common.estimate import has_replicates, load_replicates
from silosynth.common.forest import is_forest
from silosynth.common.report import bar_labels
from silosynth.common.sampler import DrawsRows, draw_batches, load_sampler
from silosynth.common.schema import CodedAttribute

ALARM = 0.01
ROWS = 2**17
FEWEST_ROWS, MOST_ROWS = 2**10, 2**22
MOST_RELEASES = 60
_OF_COLUMNS, _OF_PAIRS = 32, 8
_CELLS_SHOWN = 3
_MOST_COURSES = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Release:
    """A sampler by the name of its file, with its replicates where it has some."""

    name: str
    digest: str
    sampler: DrawsRows
    replicates: tuple[DrawsRows, ...] = field(default=(), repr=False)


def load_release(path: Path) -> Release:
    """Read a sampler, and the replicates beside it.

    Raises InvalidArgument for several tables, InvalidSampler for a file that is not right.
    """
    if is_forest(path):
        raise InvalidArgument(
            f"{path}: is a sampler of several tables, and one table is compared",
            hint="draw both and compare them with 'silosynth evaluate'",
        )
    others: tuple[DrawsRows, ...] = ()
    if has_replicates(path):
        others = load_replicates(path).others
    return Release(
        name=str(path),
        digest=digest_of(path.read_bytes()),
        sampler=load_sampler(path),
        replicates=others,
    )


def compare_releases(
    releases: Sequence[Release], *, rows: int = ROWS, seed: int = 1, alarm: float = ALARM
) -> ChangeFacts:
    """Return what changed from each release to the next, and from the first to the last.

    Rows are drawn of each, so that releases of any kind, with bins and merges of their own, are
    compared over the codes of their schema. Post-processing: it costs no privacy.

    Guarantees: where two releases are of the same people's law and their errors are as stated, any
    of a step's columns and pairs is called moved with a chance of ``alarm`` at most.

    Raises InvalidArgument for fewer than two releases, and for releases of other schemas.
    """
    _check(releases, rows=rows, alarm=alarm)
    errors = [_errors(release, rows=rows, seed=seed) for release in releases]
    schema = releases[0].sampler.schema
    steps = list(pairwise(range(len(releases))))
    if len(releases) > 2:
        steps.append((0, len(releases) - 1))
    return ChangeFacts(
        schema_name=schema.name,
        schema_digest=schema.digest,
        rows_drawn=rows,
        seed=seed,
        alarm=alarm,
        releases=tuple(_facts(r, e) for r, e in zip(releases, errors, strict=True)),
        steps=tuple(_step(schema.coded, errors, before=a, after=b, alarm=alarm) for a, b in steps),
        courses=tuple(_courses(schema.coded, errors)) if len(releases) > 2 else (),
    )


def _check(releases: Sequence[Release], *, rows: int, alarm: float) -> None:
    """Raise InvalidArgument for what cannot be compared."""
    if not 2 <= len(releases) <= MOST_RELEASES:
        raise InvalidArgument(
            f"{len(releases)} samplers were named, and 2 to {MOST_RELEASES} are compared",
            hint="name two or more" if len(releases) < 2 else "leave some out",
        )
    first = releases[0]
    for other in releases[1:]:
        if other.sampler.schema.digest != first.sampler.schema.digest:
            raise InvalidArgument(
                f"{other.name} is of another schema than {first.name}",
                hint="only releases of one schema can be compared",
            )
    if not FEWEST_ROWS <= rows <= MOST_ROWS:
        raise InvalidArgument(
            f"{rows} rows were asked for, and {FEWEST_ROWS:,} to {MOST_ROWS:,} are drawn of each",
            hint="leave --rows out",
        )
    if not 0 < alarm < 0.5:
        raise InvalidArgument(f"an alarm of {alarm:g} is no small chance", hint="use 0.01")


def _errors(release: Release, *, rows: int, seed: int) -> Errors:
    """Draw the rows that stand for a release and for its replicates."""
    return Errors(
        sampler=release.sampler,
        rows=_drawn(release.sampler, rows=rows, seed=seed),
        stated=stated_noise(release.sampler),
        replicates=tuple(
            _drawn(other, rows=rows, seed=seed + place)
            for place, other in enumerate(release.replicates, start=1)
        ),
    )


def _drawn(sampler: DrawsRows, *, rows: int, seed: int) -> Drawn:
    """Draw rows, and read them as any table of the schema is read."""
    codec = Codec(sampler.schema)
    parts = [codec.encode(t).codes for t in draw_batches(sampler, rows=rows, seed=seed)]
    names = [a.name for a in sampler.schema.coded]
    columns = {n: np.concatenate(c) for n, c in zip(names, zip(*parts, strict=True), strict=True)}
    return Drawn(columns=columns, rows=rows)


def _facts(release: Release, errors: Errors) -> ReleaseFacts:
    epsilon = release.sampler.certificate.get("epsilon")
    return ReleaseFacts(
        name=release.name,
        sampler=release.digest,
        plan_digest=release.sampler.plan_digest,
        rows=release.sampler.total,
        rows_error=errors.rows_error(),
        epsilon=epsilon if isinstance(epsilon, float | int) else None,
        noise=errors.source,
    )


def _step(
    attributes: Sequence[CodedAttribute],
    errors: Sequence[Errors],
    *,
    before: int,
    after: int,
    alarm: float,
) -> StepFacts:
    """Compare two releases column by column and pair by pair."""
    one, other = errors[before], errors[after]
    names = [a.name for a in attributes]
    fine = _grouped(attributes, errors, most=_OF_COLUMNS)
    coarse = _grouped(attributes, errors, most=_OF_PAIRS)
    asked = [
        *(((name,), fine) for name in names),
        *((pair, coarse) for pair in combinations(names, 2)),
    ]
    changes = [_Change.of(one, other, clique, groups) for clique, groups in asked]
    cells = sum(len(c.before) for c in changes)
    limit = -NormalDist().inv_cdf(alarm / 2 / max(cells, 1))
    known = {a.name: a for a in attributes}
    found = [c.facts(known, limit=limit) for c in changes]
    ordered = sorted(found, key=lambda m: -m.distance)
    return StepFacts(
        before=before,
        after=after,
        columns=tuple(m for m in ordered if len(m.columns) == 1),
        pairs=tuple(m for m in ordered if len(m.columns) == 2),
    )


def _grouped(
    attributes: Sequence[CodedAttribute], errors: Sequence[Errors], *, most: int
) -> dict[str, np.ndarray]:
    """Return the groups of every column's codes, the same for all releases."""
    whole = {a.name: np.arange(a.size) for a in attributes}
    return {
        a.name: fold_codes(
            a, np.sum([e.rows.counts((a.name,), whole) for e in errors], axis=0), most=most
        )
        for a in attributes
    }


def _courses(
    attributes: Sequence[CodedAttribute], errors: Sequence[Errors]
) -> Iterator[CourseFacts]:
    """Yield the cells of columns that went farthest over all releases, the farthest first."""
    groups = _grouped(attributes, errors, most=_OF_COLUMNS)
    found = []
    for attribute in attributes:
        clique = (attribute.name,)
        shares = np.stack([e.rows.shares(clique, groups) for e in errors])
        spreads = [e.variance(clique, groups) for e in errors]
        for cell, label in enumerate(bar_labels(attribute, groups[attribute.name])):
            far = float(np.ptp(shares[:, cell]))
            wrong = [None if v is None else float(np.sqrt(v[cell])) for v in spreads]
            found.append((far, attribute.name, label, shares[:, cell], wrong))
    for _, name, label, course, wrong in sorted(found, key=lambda f: -f[0])[:_MOST_COURSES]:
        yield CourseFacts(column=name, label=label, shares=tuple(course), errors=tuple(wrong))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Change:
    """Two releases' shares of the cells of one marginal, and the error of their difference."""

    clique: Clique
    groups: Mapping[str, np.ndarray]
    before: np.ndarray
    after: np.ndarray
    error: np.ndarray | None

    @classmethod
    def of(
        cls, one: Errors, other: Errors, clique: Clique, groups: Mapping[str, np.ndarray]
    ) -> _Change:
        """Compare a marginal of two releases."""
        first, second = one.variance(clique, groups), other.variance(clique, groups)
        unknown = first is None or second is None
        return cls(
            clique=clique,
            groups=groups,
            before=one.rows.shares(clique, groups),
            after=other.rows.shares(clique, groups),
            error=None if unknown else np.sqrt(np.add(first, second)),  # type: ignore[arg-type]  # both known
        )

    def facts(self, known: Mapping[str, CodedAttribute], *, limit: float) -> MarginalFacts:
        """Return what is said of it: moved where a cell did by ``limit`` standard errors."""
        moved = np.abs(self.after - self.before)
        # Of normal errors the mean size is root(2/pi) of the deviation.
        by_noise = None if self.error is None else float(self.error.sum() / np.sqrt(2 * np.pi))
        word = Word.UNKNOWN
        if self.error is not None:
            word = Word.MOVED if (moved > limit * self.error).any() else Word.WITHIN
        return MarginalFacts(
            columns=self.clique,
            distance=float(moved.sum() / 2),
            by_noise=by_noise,
            word=word,
            cells=tuple(self._cells(known)),
        )

    def _cells(self, known: Mapping[str, CodedAttribute]) -> Iterator[CellFacts]:
        """Yield all cells of a column, and of a pair those that differ most."""
        labels = [bar_labels(known[name], self.groups[name]) for name in self.clique]
        shape = tuple(len(part) for part in labels)
        places = np.arange(len(self.before))
        if len(self.clique) > 1:
            size = np.abs(self.after - self.before)
            places = np.argsort(-size, kind="stable")[:_CELLS_SHOWN]
        for place in places:
            at = np.unravel_index(place, shape)
            yield CellFacts(
                label=", ".join(part[i] for part, i in zip(labels, at, strict=True)),
                before=float(self.before[place]),
                after=float(self.after[place]),
                error=None if self.error is None else float(self.error[place]),
            )
