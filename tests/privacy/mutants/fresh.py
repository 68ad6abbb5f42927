"""A process that has imported the libraries, and of the project nothing, and forks to run tests.

Importing what the tests import costs seconds, a fork costs milliseconds. Each line that comes in
is a run, each line that goes out says that it has ended. A run that names ``nodes`` is the warm
process's, which has imported the project as well; every other imports it anew.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from contextlib import suppress
from typing import Any

import pytest

from tests.privacy.mutants.child import STOPS, fork_and_wait
from tests.privacy.mutants.warm import Warm

LIBRARIES = (
    *("numpy", "pandas", "pyarrow.parquet", "scipy.stats", "scipy.optimize", "mpmath"),
    *("pydantic", "cryptography.hazmat.primitives.asymmetric.x25519", "yaml", "typer", "rich"),
    *("dp_accounting", "numba", "torch", "grpc", "duckdb", "hypothesis.strategies"),
)


def main() -> None:
    """Run tests as often as asked, each time in a child; the argument says what to collect."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    loaded = [name for name in sys.modules if name.split(".")[0] == "silosynth"]
    assert not loaded, loaded
    gc.collect()
    gc.freeze()
    warm = Warm(**json.loads(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "nodes" in asked:
            warm.run(asked)
        else:
            fork_and_wait(lambda a=asked: _run(a), output=asked["output"])
        print("ended", flush=True)
    warm.close()


def _run(asked: dict[str, Any]) -> None:
    """Run tests in this child; up to the first claim that fails, if so asked."""
    os.environ |= {STOPS: "yes"} if asked["stops"] else {}
    pytest.main(asked["arguments"])


if __name__ == "__main__":
    main()
