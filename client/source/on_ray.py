"""Count a table's row groups on the workers of a Ray cluster; no other file of a silo knows Ray.

Workers are part of the gateway: they read rows and hold raw counts. The cluster must be the silo's
own and closed to others, since Ray asks nobody who they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import ray

from silosynth.client.counting import (
    CompiledKernel,
    Layout,
    NumpyKernel,
    check_codes,
    choose_kernel,
    lay_out,
)
from silosynth.client.source.caches.file_state import watch_files
from silosynth.client.source.files import RowGroup, list_files, list_row_groups
from silosynth.client.source.spec import CodedTable, SourceSpec, ValueQuestion
from silosynth.client.source.survey import Survey, Tally
from silosynth.client.source.table import PARQUET, Wanted
from silosynth.common.codec import Codec
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema

_TASKS_PER_CPU = 2
_LOCAL = "local"
_LOOK_SECONDS = 1.0


class ClusterRows:
    """Count row groups in tasks; each task adds up its own, so that few tables travel."""

    def __init__(self, spec: SourceSpec, *, wanted: Wanted, cache: Path | None) -> None:
        """Take what is needed to count; no cluster is called yet."""
        self._spec = spec
        self._wanted = wanted
        self._cache = cache
        self._lock = threading.Lock()

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return the counts of each query; the table is read anew each time."""
        groups, check = self._groups()
        rows = max(sum(group.rows for group in groups), 1)
        layout = lay_out(queries, domain=self._wanted.schema.domain, levels=levels, rows=rows)
        totals = layout.zeros()
        self._work(count_groups, groups, asked=layout, take=partial(_add, totals))
        check()
        return layout.answers(totals)

    def count_values(
        self,
        questions: Sequence[ValueQuestion],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return the counts of each question."""
        groups, check = self._groups()
        totals = [np.zeros(q.partition.cells, dtype=np.int64) for q in questions]
        take = partial(_add, totals)
        self._work(count_group_values, groups, asked=tuple(questions), take=take)
        check()
        return totals

    def survey(self, *, going: Callable[[], bool] = lambda: True) -> Survey:
        """Say how the rows fit, as the workers read them; a cluster of one is not begun for it."""
        groups, check = self._groups()
        tally = Tally(schema=self._wanted.schema, silo_map=self._wanted.silo_map)
        if self._spec.cluster == _LOCAL:
            for group in takewhile(lambda _: going(), groups):
                tally.add(group.read())
        else:
            self._work(survey_groups, groups, asked=None, take=tally.merge, going=going)
        check()
        return tally.survey()

    def recode(self, schema: Schema) -> ClusterRows:
        """Return the same rows, coded by another schema."""
        return ClusterRows(
            self._spec, wanted=replace(self._wanted, schema=schema), cache=self._cache
        )

    def _groups(self) -> tuple[Sequence[RowGroup], Callable[[], None]]:
        """Return the table's row groups, and what says whether its files are still as they were."""
        if self._spec.path is None:
            raise InvalidTable("a path is needed")
        check = watch_files(list_files(self._spec.path, endings=PARQUET))
        return list_row_groups(self._spec.path, wanted=self._wanted), check

    def _work(
        self,
        task: Callable[..., Any],
        groups: Sequence[RowGroup],
        *,
        asked: object,
        take: Callable[[Any], None],
        going: Callable[[], bool] = lambda: True,
    ) -> None:
        """Let tasks work on shares of the row groups, and take in what each makes of its own.

        Args: asked: what every task gets beside its share. going: whether to wait for more.
        """
        with self._lock, _working():
            self._join()
            tasks = max(1, int(ray.cluster_resources().get("CPU", 1)) * _TASKS_PER_CPU)
            work = ray.remote(num_cpus=1, max_retries=2)(task)
            shared = ray.put((self._wanted, asked, self._cache))
            pending = [work.remote(shared, part) for part in share(groups, parts=tasks)]
            while pending and going():
                ready, pending = ray.wait(pending, num_returns=1, timeout=_LOOK_SECONDS)
                for done in ready:
                    take(ray.get(done))
            for left in pending:
                ray.cancel(left)

    def fold(
        self,
        add: Callable[[Sequence[np.ndarray]], None],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> None:
        """Refuse: the rows of such a table are on many machines."""
        self.encode()

    def encode(self) -> CodedTable:
        """Refuse: the rows of such a table are on many machines."""
        raise InvalidTable("rows that a cluster counts are not held in one place")

    def _join(self) -> None:
        """Connect to the cluster, unless this process has done so."""
        if not ray.is_initialized():
            address = None if self._spec.cluster == _LOCAL else self._spec.cluster
            # Workers' output may speak of rows: none of it comes here.
            ray.init(address=address, log_to_driver=False, include_dashboard=False)


def count_groups(
    shared: tuple[Wanted, Layout, Path | None], groups: Sequence[RowGroup]
) -> list[np.ndarray]:
    """Return the totals over some row groups, on one thread."""
    wanted, layout, cache = shared
    codec, totals = Codec(wanted.spelled), layout.zeros()
    kernel = choose_kernel(increments=sum(g.rows for g in groups) * len(layout.tables), cache=cache)
    if isinstance(kernel, CompiledKernel):
        kernel = CompiledKernel(loop=kernel.loop, threads=1)
    else:
        kernel = NumpyKernel()
    for group in groups:
        codes = codec.encode(wanted.mapped(group.read()), allow_extra=True).codes
        check_codes(codes, domain=codec.domain)
        kernel.add(codes, layout=layout, totals=totals)
    return totals


def survey_groups(shared: tuple[Wanted, None, Path | None], groups: Sequence[RowGroup]) -> Tally:
    """Return how some row groups fit; none of their rows is in it."""
    wanted, _, _ = shared
    tally = Tally(schema=wanted.schema, silo_map=wanted.silo_map)
    for group in groups:
        tally.add(group.read())
    return tally


def _add(totals: Sequence[np.ndarray], parts: Sequence[np.ndarray]) -> None:
    """Add a task's counts to the totals."""
    for total, part in zip(totals, parts, strict=True):
        total += part


def count_group_values(
    shared: tuple[Wanted, Sequence[ValueQuestion], Path | None], groups: Sequence[RowGroup]
) -> list[np.ndarray]:
    """Return the counts of each question over some row groups."""
    wanted, questions, _ = shared
    codec, grids = Codec(wanted.spelled), {q.attribute: q.partition.grid for q in questions}
    totals = [np.zeros(q.partition.cells, dtype=np.int64) for q in questions]
    for group in groups:
        points = codec.find_points(wanted.mapped(group.read()), grids=grids)
        for question, total in zip(questions, totals, strict=True):
            total += question.count(points[question.attribute])
    return totals


def share(groups: Sequence[RowGroup], *, parts: int) -> list[list[RowGroup]]:
    """Split row groups into at most ``parts`` lists of about as many rows, none of them empty."""
    lists: list[list[RowGroup]] = [[] for _ in range(min(parts, len(groups)))]
    loads = [0] * len(lists)
    for group in sorted(groups, key=lambda g: -g.rows):
        lightest = loads.index(min(loads))
        if not lists[lightest] or group.rows:
            lists[lightest].append(group)
            loads[lightest] += group.rows
    return [part for part in lists if part]


@contextmanager
def _working() -> Iterator[None]:
    """Turn Ray's errors, which quote the workers', into ours."""
    try:
        yield
    except ray.exceptions.RayTaskError as err:
        if isinstance(err.cause, InvalidTable):
            raise InvalidTable(err.cause.message, hint=err.cause.hint) from None
        raise InvalidTable("a worker of the cluster could not count") from None
    except (ray.exceptions.RayError, ConnectionError, OSError, RuntimeError):
        raise InvalidTable(
            "the cluster cannot be reached, or went away", hint="check its address"
        ) from None
