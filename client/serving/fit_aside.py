"""How the rows of a data set fit, read in a process that ends.

    python -m silosynth.client.serving.fit_aside

takes a policy and a data set's name on its input, so that a gateway that waits holds nothing of
what reads tables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from silosynth.client.policy import PolicyFile
from silosynth.client.silo import Fit, fit_of, open_datasets
from silosynth.common.parents import end_with

_LOOK_SECONDS = 0.2


def fit_aside(
    policy: PolicyFile, dataset: str, _source: object, *, going: Callable[[], bool]
) -> Fit:
    """Read a data set in a process of its own, and say how its rows fit.

    What that process writes beside its answer is dropped, since it may speak of the rows.
    """
    described = policy.model_dump_json(by_alias=True, exclude_none=True)
    asked = json.dumps({"policy": described, "dataset": dataset}).encode()
    try:
        code, answer = _ask(asked, going=going)
    except OSError as err:
        return _unknown(dataset, f"no process to read it could be started: {err.strerror}")
    if code:
        return _unknown(dataset, f"its reading ended with code {code}")
    found = json.loads(answer)
    return Fit(**found | {name: tuple(found[name]) for name in ("lines", "unfit")})


def _unknown(dataset: str, why: str) -> Fit:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Fit(dataset=dataset, at=at, lines=(why,), known=False)


def _ask(asked: bytes, *, going: Callable[[], bool]) -> tuple[int, bytes]:
    """Return the exit code and the answer of a process that is asked, and killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        given: bytes | None = asked
        while True:
            try:
                answer, _ = process.communicate(given, timeout=_LOOK_SECONDS)
                return process.returncode, answer
            except subprocess.TimeoutExpired:
                given = None  # it is under way, and is not taken twice
                if not going():
                    process.kill()


def main() -> None:
    """Read the data set that standard input names, and write how it fits.

    It comes after everything else on this machine, so that no answer is late for it.
    """
    os.nice(19)
    if not end_with(int(sys.argv[1])):
        return
    asked = json.load(sys.stdin)
    policy = PolicyFile.model_validate_json(asked["policy"])
    source = open_datasets(policy, tell_operator=lambda _: None)[asked["dataset"]].rows
    json.dump(asdict(fit_of(asked["dataset"], source)), sys.stdout)


if __name__ == "__main__":
    main()
