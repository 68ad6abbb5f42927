"""A silo's gateway for tests: the served one, with repeatable bits and traps at its steps.

The product has no such seam at its command line: this file is the only way to it. A step's label
is what is answered and where: ``propose:received``, ``set:before-send``, ``one-way:after-charge``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from silosynth.client.gateway import Gateway
from silosynth.client.gateway.proposals import unread_digest
from silosynth.client.serving import serve as served
from silosynth.client.silo import assemble as opened
from silosynth.client.silo import fit_of
from silosynth.common.messages import Release, SumStep, decode_release, decode_request
from silosynth.common.trust import body_of
from tests.processes import mutants
from tests.processes.trap import Tripwire


class Here(threading.local):
    """What this thread is answering."""

    what = ""
    plan_digest = ""
    request_id = ""
    words: np.random.Philox | None = None


HERE = Here()


class Departures:
    """Own a silo's notes of what left its gateway: request ids with the digests of their bytes."""

    def __init__(self, directory: Path, *, silo: str) -> None:
        self._directory = directory / "sent" / silo
        self._directory.mkdir(parents=True, exist_ok=True)

    def note(self, request_id: str, data: bytes) -> None:
        """Write down that ``data`` is about to leave."""
        with self._path(request_id).open("a") as file:
            file.write(hashlib.sha256(data).hexdigest() + "\n")

    def of(self, request_id: str) -> list[str]:
        """Return the digests of what left for one request, in order."""
        path = self._path(request_id)
        return path.read_text().split() if path.exists() else []

    def _path(self, request_id: str) -> Path:
        return self._directory / request_id.replace("/", "_")


class RepeatableBits:
    """Bits decided by silo, request, and how often an answer to this request has left.

    A gateway that keeps its word draws for a request only while nothing has left, so a crash
    changes nothing. One that draws again afterwards gets other noise, as it would in earnest.
    """

    def __init__(self, departures: Departures | None, *, silo: str) -> None:
        self._departures = departures
        self._silo = silo

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64."""
        if HERE.words is None:
            left = len(self._departures.of(HERE.request_id)) if self._departures else 0
            key = hashlib.sha256(f"{self._silo}/{HERE.request_id}/{left}".encode()).digest()
            HERE.words = np.random.Philox(key=int.from_bytes(key[:16], "little"))
        words: np.ndarray = HERE.words.random_raw(count)
        return words


class LabelledGateway(Gateway):
    """The gateway, which says what each thread is answering, and notes what leaves."""

    departures: Departures | None = None

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        with answering("propose", plan_digest=unread_digest(plan)):
            return super().propose(plan=plan, receipts=receipts)

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        asked = decode_request(body_of(request))
        with answering(asked.phase.value, plan_digest=unread_digest(plan), request_id=asked.id):
            data = super().answer(plan=plan, request=request)
        if self.departures is not None and isinstance(decode_release(data), Release):
            self.departures.note(asked.id, data)
        return data

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        adverts = SumStep.model_validate_json(body_of(step)).adverts
        with answering("set" if adverts else "keys", plan_digest=unread_digest(plan)):
            return super().agree(plan=plan, step=step)

    def deliver(self, bundle: bytes) -> bytes:
        digest = self._deliveries.open(bundle).result.plan_digest
        with answering("deliver", plan_digest=digest):
            return super().deliver(bundle)


@contextmanager
def answering(what: str, *, plan_digest: str, request_id: str = "") -> Iterator[None]:
    """Say for a while what this thread is answering."""
    HERE.what, HERE.plan_digest, HERE.request_id, HERE.words = what, plan_digest, request_id, None
    yield


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", type=Path)
    parser.add_argument("--silo", required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--mutant")
    asked = parser.parse_args(arguments)
    wire = Tripwire(asked.notes / "traps", witness=f"gateway-{asked.silo}")
    departures = Departures(asked.notes, silo=asked.silo)
    LabelledGateway.departures = departures
    kind = mutants.gateway(asked.mutant, LabelledGateway, policy=asked.policy)
    opened.Gateway = kind  # type: ignore[misc, attr-defined]  # the gateway of this process alone
    served.ROOT = -1  # type: ignore[attr-defined]  # tests may run as root, and then this stays root
    served.serve(
        asked.policy,
        seams=served.Seams(
            bits=RepeatableBits(departures, silo=asked.silo),
            reached=lambda name: wire.reach(f"{HERE.what}:{name}", plan_digest=HERE.plan_digest),
            read_fit=fit_of,
        ),
        ready=lambda: (asked.notes / f"gateway-{asked.silo}.ready").write_text(
            json.dumps(os.getpid())
        ),
    )
