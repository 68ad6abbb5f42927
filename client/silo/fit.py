"""How a silo's tables fit their schemas, for the person who decides about plans; never for a plan.

What a reading showed is kept in memory alone and told over the operator's socket. No answer to a
coordinator depends on it: a gateway that refused for what its rows hold would give an answer that
nobody paid for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa

from silosynth.client.policy import PolicyFile
from silosynth.client.silo.rows.datasets import open_datasets
from silosynth.client.source import load_secret
from silosynth.common.digest import canonical_json
from silosynth.common.errors import LedgerUnavailable, SilosynthError
from silosynth.common.reach import repeated
from silosynth.common.telemetry import log

_END_SECONDS = 30.0
TOLD_FITS = "fits.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What the newest reading of a data set showed. Private.

    ``unfit`` are the columns, and rules, of which hardly anything fits, ``shares`` what fits of
    those that do not wholly; ``known`` says whether the rows could be looked at.
    """

    dataset: str
    at: str
    lines: tuple[str, ...] = field(repr=False)
    unfit: tuple[str, ...] = field(default=(), repr=False)
    shares: Mapping[str, float] = field(default_factory=dict, repr=False)
    known: bool = True

    def words(self) -> tuple[str, ...]:
        """Say it in sentences, for the operator alone."""
        if not self.known:
            return (f"how the columns fit the schema is not known: {'; '.join(self.lines)}",)
        fine = "every value fits the schema" if not self.lines else "all other values fit"
        warned = (
            f"hardly anything of {name} fits: its rows would be counted as others"
            for name in self.unfit
        )
        return (*self.lines, f"as read at {self.at}, {fine}", *warned)


def fit_of(dataset: str, source: Surveyed, *, going: Callable[[], bool] = lambda: True) -> Fit:
    """Read a data set's rows once, and say how they fit; break off where it goes on no more."""
    told = partial(Fit, dataset=dataset, at=datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        found = source.survey(going=going)
    except Exception as err:
        # Whatever a table does to its reader, its operator is told and everything else goes on.
        return told(lines=(f"{type(err).__name__}: {err}",), known=False)
    pa.default_memory_pool().release_unused()
    if not going():
        return told(lines=("it was not read to its end",), known=False)
    return told(lines=found.lines(), unfit=found.hardly, shares=found.fits)


class Shown(Protocol):
    """What one reading showed, of one table or of several. Private."""

    @property
    def fits(self) -> Mapping[str, float]:
        """Return the share that fits, of what does not wholly."""

    @property
    def hardly(self) -> tuple[str, ...]:
        """Return of what hardly anything fits."""

    def lines(self) -> tuple[str, ...]:
        """Return what the operator is told."""


class Surveyed(Protocol):
    """Rows of which can be said how they fit."""

    def survey(self, *, going: Callable[[], bool] = ...) -> Shown:
        """Look at all rows, while ``going``."""


@runtime_checkable
class Watched(Protocol):
    """Rows of which can be seen, without reading them, whether they changed."""

    def stamps(self) -> object:
        """Return what tells this state of the rows from another."""


class ReadsFit(Protocol):
    """Reads a data set and says how its rows fit, here or in a process aside."""

    def __call__(self, dataset: str, source: Surveyed, *, going: Callable[[], bool]) -> Fit:
        """Read it, and break off where it goes on no more."""


class Fits:
    """Own the newest fit of each data set, in memory alone."""

    def __init__(
        self,
        tables: Callable[[], Mapping[str, Surveyed]],
        *,
        secret: Callable[[], bytes],
        told: Path,
        read: ReadsFit = fit_of,
    ) -> None:
        """Take what opens the tables; none is read yet.

        Args:
            read: what reads one.
            secret: what names what was told to people, so that the name tells nobody else.
            told: the file of the silo's own that keeps what each person was told who approved.
        """
        self._tables = cache(tables)
        self._read = read
        self._secret, self._told = secret, told
        self._fits: dict[str, tuple[Fit, object]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def close(self) -> None:
        """Read no more; a reading at hand breaks off at its next piece."""
        self._closed.set()

    def look(self) -> None:
        """Read each table that was not read yet, or has changed since."""
        with self._lock:
            for name, source in self._tables().items():
                self._newest(name, source)

    def asked(self, dataset: str | None) -> tuple[Fit, ...]:
        """Return how a data set fits now, or how all do; what is not known yet is read here.

        Rows that nobody can watch, behind a server, are read once.
        """
        with self._lock:
            tables = self._tables()
            names = (dataset,) if dataset in tables else tuple(tables)
            return tuple(self._known_at_last(n, tables[n]) for n in names if n is not None)

    def known(self) -> Mapping[str, Fit]:
        """Return what is known by now, without reading anything."""
        return {name: fit for name, (fit, _) in tuple(self._fits.items())}

    def record(self, plan: str, fits: Iterable[Fit], *, although: bool) -> str:
        """Keep what a person was told who approved a plan; return its name.

        Guarantees: a keyed name, whatever was told, so that a ledger that holds it says nothing of
        the rows, neither that there was something to consent to.
        """
        # Shares alone: a line on the map's words may hold what a person wrote.
        told = {
            f.dataset: {"at": f.at, "known": f.known, "unfit": f.unfit, "shares": dict(f.shares)}
            for f in fits
        }
        # The nonce: two names of one plan would tell whether the rows were read anew between them.
        said = {"plan": plan, "although_unfit": although, "told": told}
        entry = {"version": 1, "nonce": secrets.token_hex(16), **said}
        key = hashlib.blake2b(b"fit", key=self._secret()[:64], digest_size=32).digest()
        name = hmac.new(key, canonical_json(entry), hashlib.sha256).hexdigest()
        try:
            with open(self._told, "a", encoding="utf-8", opener=_private) as file:
                file.write(json.dumps({**entry, "name": name}) + "\n")
        except OSError as err:
            raise LedgerUnavailable(f"{self._told} cannot be written: {err.strerror}") from err
        return name

    def _known_at_last(self, name: str, source: Surveyed) -> Fit:
        """Return how a data set fits, read here if what reads aside could not say."""
        found = self._newest(name, source)
        if not found.known:
            found = fit_of(name, source, going=self._going)
            self._fits[name] = found, self._fits[name][1]
        return found

    def _going(self) -> bool:
        return not self._closed.is_set()

    def _newest(self, name: str, source: Surveyed) -> Fit:
        stamps = source.stamps() if isinstance(source, Watched) else None
        known = self._fits.get(name)
        if known is None or known[1] != stamps:
            known = self._read(name, source, going=self._going), stamps
            self._fits[name] = known
        return known[0]


def fits_of(policy: PolicyFile, *, read: ReadsFit = fit_of) -> Fits:
    """Return the fits of a silo's data sets, none of them looked at yet.

    Args: read: what reads one.
    """

    def tables() -> Mapping[str, Surveyed]:
        datasets = open_datasets(policy, tell_operator=lambda _: None)
        return {name: dataset.rows for name, dataset in datasets.items()}

    secret = partial(load_secret, Path(policy.silo.persons_secret))
    return Fits(tables, secret=secret, told=Path(policy.silo.directory) / TOLD_FITS, read=read)


def _private(path: str, flags: int) -> int:
    """Open a file of the silo's own, by no link; what root makes there is its gateway's too."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    owner = os.stat(os.path.dirname(path))
    if os.geteuid() != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


@contextmanager
def looking(fits: Fits, *, again_seconds: float) -> Iterator[None]:
    """Look while the block runs: at its start, and then again for tables that have changed.

    The log says that it began, so neither what was found nor how long it took.
    """

    def look() -> None:
        try:
            fits.look()
        except Exception as err:
            # Its operator is told at the next approval; a gateway goes on without it.
            log("fit-failed", code=err.code if isinstance(err, SilosynthError) else "bug")

    log("fit", see="silo notes")
    with repeated(look, name="fit", seconds=again_seconds, end_seconds=_END_SECONDS):
        try:
            yield
        finally:
            fits.close()
