"""Group commit: what many threads ask of a ledger at one time becomes durable together."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

from silosynth.client.ledger.file import open_image, translated
from silosynth.common.errors import LedgerUnavailable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
LONGEST_GRACE_SECONDS = 0.002


class _Job(Generic[T]):
    """Hold one operation, and what came of it until that is durable."""

    def __init__(self, operation: Operation[T]) -> None:
        """Take an operation that has not run."""
        self._operation = operation
        self._deliver: Callable[[], None] = lambda: None
        self.future: Future[T] = Future()

    def run(self, connection: sqlite3.Connection) -> None:
        """Run in a savepoint, so that an operation that is refused leaves no trace.

        Errors of the database pass through: they spoil the whole batch.
        """
        connection.execute("SAVEPOINT job")
        try:
            value = self._operation(connection)
        except (sqlite3.Error, LedgerUnavailable):
            raise
        except Exception as err:
            refusal = err
            self._deliver = lambda: self.future.set_exception(refusal)
            connection.execute("ROLLBACK TO job")
        else:
            self._deliver = lambda: self.future.set_result(value)
        connection.execute("RELEASE job")

    def deliver(self) -> None:
        """Hand over what :meth:`run` found."""
        self._deliver()

    def fail(self, error: LedgerUnavailable, cause: BaseException) -> None:
        """Hand over a failure, in an error of the waiting thread's own."""
        if not self.future.done():
            mine = LedgerUnavailable(error.message, hint=error.hint)
            mine.__cause__ = cause
            self.future.set_exception(mine)


class Batch:
    """Own a ledger's connection and run the operations of all threads on it.

    The thread that gets its turn runs everything that was queued while it waited, in one
    transaction; the others find their answers ready.

    Guarantees:
    - :meth:`write` returns, and raises a refusal, only after the commit is durable;
    - an operation that is refused undoes its own writes and no others;
    - nobody hears of a commit that what follows it has not taken over (:meth:`follow_with`);
    - after one failed commit every operation of that batch and every later one raises
      LedgerUnavailable.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take a connection that nobody else uses."""
        self._connection = connection
        self._queue: deque[_Job[object]] = deque()
        self._idle = threading.Condition()
        self._busy = False
        self._grace_seconds = 0.0
        self._failure: LedgerUnavailable | None = None
        self._follow: Callable[[sqlite3.Connection], None] = lambda _: None
        self._process = os.getpid()

    def follow_with(self, follow: Callable[[sqlite3.Connection], None]) -> None:
        """Call ``follow`` after each commit, before anybody hears of it.

        When it raises, nobody hears of that commit, and everything later is refused.
        """
        self._follow = follow

    def write(self, operation: Operation[T]) -> T:
        """Run an operation durably, together with those of other threads.

        Raises what the operation raises, and LedgerUnavailable when it cannot be made durable.
        """
        job = _Job(operation)
        self._queue.append(job)  # type: ignore[arg-type]  # the queue never reads the result
        with self._turn(answered=job.future.done) as mine:
            if mine:
                self._run_queue()
        return job.future.result()

    def read(self, operation: Operation[T]) -> T:
        """Run an operation that only reads, on what is durable, without touching the disk's cache.

        Raises LedgerUnavailable when the file cannot be read.
        """
        with self._turn():
            try:
                self._check_usable()
                with translated("read"):
                    return operation(self._connection)
            except LedgerUnavailable as err:
                self._fail(err)
                raise

    def image(self) -> bytes:
        """Return the bytes of the whole file, as they are now."""
        return self.read(lambda connection: connection.serialize())

    def rest(self) -> None:
        """Leave a file open: nobody else may have it meanwhile."""

    def refuse(self, error: LedgerUnavailable) -> None:
        """Refuse everything from here on, with this error unless there is one already."""
        with self._turn():
            self._fail(error)

    def close(self) -> None:
        """Refuse everything from here on and let another process open the file."""
        with self._turn():
            self._fail(LedgerUnavailable("the ledger is closed", hint="open it again"))
            self._connection.close()

    @contextmanager
    def _turn(self, *, answered: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Wait until the connection is this thread's, or until another thread answered it.

        Nobody waits for the connection only to find an answer: that would keep the next batch
        small.
        """
        mine = False
        try:
            with self._idle:
                self._idle.wait_for(lambda: answered() or not self._busy)
                if not answered():
                    mine = self._busy = True
            yield mine
        finally:
            if mine:
                with self._idle:
                    self._busy = False
                    self._idle.notify_all()

    def _fail(self, error: LedgerUnavailable) -> None:
        """Keep the first failure."""
        self._failure = self._failure or error

    def _check_usable(self) -> None:
        """Raise when something failed before, or in a process that did not open the ledger."""
        if self._failure is not None:
            raise LedgerUnavailable(self._failure.message, hint=self._failure.hint)
        if os.getpid() != self._process:
            raise LedgerUnavailable("another process has the ledger open", hint="open it anew")

    def _run_queue(self) -> None:
        """Run all that is queued in one transaction, and hand over the answers."""
        if self._grace_seconds:
            time.sleep(self._grace_seconds)
        jobs = [self._queue.popleft() for _ in range(len(self._queue))]
        try:
            self._check_usable()
            with translated("write"):
                self._commit(jobs)
                self._follow(self._connection)
        except BaseException as err:
            self._fail(_as_failure(err))
            for job in jobs:
                job.fail(_as_failure(err), err)
            if not isinstance(err, LedgerUnavailable):
                raise
        else:
            for job in jobs:
                job.deliver()

    def _commit(self, jobs: list[_Job[object]]) -> None:
        """Run jobs all at once and durably, or leave the file as it was.

        Those that were answered together will ask again together: the next batch gives them a
        tenth of the time that this one took, and a thread that is alone none.
        """
        start = time.monotonic()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                job.run(self._connection)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        took = time.monotonic() - start
        self._grace_seconds = min(took / 10, LONGEST_GRACE_SECONDS) if len(jobs) > 1 else 0.0


class HeldBatch(Batch):
    """Own a ledger in memory, for simulations alone: one that rests is bytes, without a connection.

    A connection takes ten times as much memory as what it holds.
    """

    def __init__(self, image: bytes) -> None:
        """Take a ledger's bytes; raise LedgerUnavailable where they are none."""
        super().__init__(open_image(image))
        self._resting: bytes | None = None

    def rest(self) -> None:
        """Close the connection until something is asked; what is committed stays."""
        with super()._turn():
            if self._resting is None and self._failure is None:
                self._resting = self._connection.serialize()
                self._connection.close()

    def image(self) -> bytes:
        """Return the ledger's bytes as they are now."""
        return self._resting or super().image()

    def close(self) -> None:
        """Refuse everything from here on; a ledger that rests is not woken for it."""
        self._resting = None
        super().close()

    @contextmanager
    def _turn(self, *, answered: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Wait as a batch does, and connect again to a ledger that rests."""
        with super()._turn(answered=answered) as mine:
            if mine and self._resting is not None:
                self._connection, self._resting = open_image(self._resting, known=True), None
            yield mine


def _as_failure(error: BaseException) -> LedgerUnavailable:
    """Return the failure that an error means for the whole ledger."""
    if isinstance(error, LedgerUnavailable):
        return error
    return LedgerUnavailable("a write to the ledger was interrupted", hint="open it again")
