"""A process that has imported the libraries, and of the project nothing, and forks to run tests.

Importing what the tests import costs seconds, a fork costs milliseconds. Each line that comes in
is a run, each line that goes out says that it has ended.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from contextlib import suppress

import pytest

LIBRARIES = (
    *("numpy", "pandas", "pyarrow.parquet", "scipy.stats", "scipy.optimize", "mpmath"),
    *("pydantic", "cryptography.hazmat.primitives.asymmetric.x25519", "yaml", "typer", "rich"),
    *("dp_accounting", "numba", "torch", "grpc"),
)


def main() -> None:
    """Run tests as often as asked, each time in a child."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    loaded = [name for name in sys.modules if name.split(".")[0] == "silosynth"]
    assert not loaded, loaded
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            _run(asked["arguments"], asked["output"])
        os.waitpid(child, 0)
        print("ended", flush=True)


def _run(arguments: list[str], output: str) -> None:
    """Run tests and leave, whatever happens; what they say goes to a file."""
    code = 1
    try:
        written = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        for stream in (1, 2):
            os.dup2(written, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = int(pytest.main(arguments))
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
