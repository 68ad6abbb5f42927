"""What a silo holds while it waits is stated, and what it loads later it can load."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from silosynth.client.rpc import is_serving
from silosynth.client.serving.later import POSTPONED, postpone, try_aside
from silosynth.common.errors import InvalidPolicy, InvalidTable
from silosynth.common.messages import Release
from tests.support.gateways.serving import AS_ROOT, GATEWAY_USER, WAIT_SECONDS, Serving
from tests.support.patience import patience

PROCESS = ("-m", "silosynth.client.serving.process")
# Packages beside Python's own and ours; what else a process loads while it waits is a fault.
GATEWAY = {
    *("cryptography", "google", "grpc", "lazy_loader", "numpy"),
    *("prometheus_client", "pydantic", "yaml"),
}
RELAY = {
    *GATEWAY,
    *("Crypto", "click", "fastapi", "flwr", "httpx", "packaging", "pathspec", "pygments"),
    *("requests", "rich", "tomli", "tomli_w", "typer", "urllib3"),
}
# What those bring with them, under names that change from version to version.
BROUGHT = {
    *("_cffi_backend", "_openssl", "annotated_doc", "annotated_types", "anyio", "certifi"),
    *("charset_normalizer", "cython_runtime", "grpc_health", "idna", "iterators"),
    *("pydantic_core", "shellingham", "silosynth", "starlette", "typing_extensions"),
    *("typing_inspection", "h11", "httpcore", "sniffio", "markdown_it", "mdurl"),
}
_LIST = """
import sys
from importlib import import_module
from silosynth.client.serving.later import _Later, postpone
if sys.argv[2] == "later":
    postpone()
import_module(sys.argv[1])
print(*{n.split(".")[0] for n, m in sys.modules.items() if not isinstance(m, _Later)})
"""


def _packages(module: str, *, later: bool) -> set[str]:
    """Return the packages that importing a module loads, without Python's own."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST, module, "later" if later else "now"],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {n for n in done.stdout.split() if not n.startswith("_") and "__mypyc" not in n}
    return ours - set(sys.stdlib_module_names) - BROUGHT


def test_a_gateway_that_waits_holds_these_packages_and_no_other() -> None:
    assert _packages("silosynth.client.serving.serve", later=True) == GATEWAY


def test_a_relay_that_waits_holds_these_packages_and_no_other() -> None:
    assert _packages("silosynth.client.relay.process", later=False) == RELAY


def test_without_the_postponement_arrow_is_held() -> None:
    """The test above can fail."""
    assert "pyarrow" in _packages("silosynth.client.serving.serve", later=False)


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as started:
        yield started


def _start(serving: Serving) -> None:
    """Start the product's own process, without a network, as the gateway's user from its start."""
    words = [sys.executable, *PROCESS, "--policy", str(serving.policy), "--no-network"]
    if AS_ROOT:
        os.chown(serving.relay.parent, _user(), -1)
        words = ["setpriv", f"--reuid={GATEWAY_USER}", "--clear-groups", *words]
    serving.start(command=words)


def _user() -> int:
    return pwd.getpwnam(GATEWAY_USER).pw_uid


def test_a_gateway_without_arrow_or_network_loads_it_for_its_first_answer(
    serving: Serving,
) -> None:
    _start(serving)
    assert serving.process is not None
    maps = Path(f"/proc/{serving.process.pid}/maps")
    federation, plan = serving.federation, serving.federation.plan()
    with serving.gateway() as gateway:
        gateway.propose(plan=federation.sealed(plan))
        assert "libarrow" not in maps.read_text()
        answer = gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    assert isinstance(federation.read(answer), Release)
    assert "libarrow" in maps.read_text()
    assert serving.stop() == 0


def test_a_gateway_that_could_not_load_what_it_counts_with_does_not_serve(
    serving: Serving,
) -> None:
    """It is found at the start, by the gateway's own user: not after a charge."""
    hidden = serving.home / "packages" / "pyarrow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise PermissionError('closed to this user')\n")
    words = [sys.executable, *PROCESS, "--policy", str(serving.policy)]
    if AS_ROOT:
        os.chown(serving.relay.parent, _user(), -1)
        words = ["setpriv", f"--reuid={GATEWAY_USER}", "--clear-groups", *words]
    done = subprocess.run(
        words,
        env=os.environ | {"PYTHONPATH": str(hidden.parent)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=patience(WAIT_SECONDS),
        check=False,
    )
    assert done.returncode == InvalidPolicy.exit_code
    assert "could not count its tables: PermissionError" in done.stderr
    assert "closed to this user" not in done.stderr
    assert not is_serving(serving.relay)


def test_what_fails_aside_is_said_here_and_changes_nothing_here() -> None:
    done: list[int] = []

    def fail() -> None:
        done.append(1)
        raise InvalidTable("the table is not there", hint="put it back")

    with pytest.raises(InvalidPolicy, match="the table is not there; put it back"):
        try_aside(fail)
    with pytest.raises(InvalidPolicy, match="ended with code -9"):
        try_aside(lambda: os.kill(os.getpid(), 9))
    with pytest.raises(InvalidPolicy, match=r"ZeroDivisionError;"):
        try_aside(lambda: print(1 // 0))
    try_aside(lambda: done.append(2))
    assert done == []


_THREADS = """
import sys, threading
from silosynth.client.serving.later import postpone
postpone()
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pyarrow.types as pt
assert "pyarrow.lib" not in sys.modules
barrier, found = threading.Barrier(8), []
def use():
    barrier.wait()
    total, read = pc.sum(pa.array([1, 2])).as_py(), pyarrow.parquet.read_table
    found.append((total, pt.is_int64(pa.int64()), read))
threads = [threading.Thread(target=use) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
import pyarrow as real
assert len(set(found)) == 1 and found[0][:2] == (3, True) and len(found) == 8
assert real.Table is pa.Table and isinstance(pa.table({"a": [1]}), real.Table)
import pyarrow.dataset
assert pyarrow.dataset.dataset
print("fine")
"""


def test_threads_that_use_a_postponed_library_first_all_find_it_whole() -> None:
    done = subprocess.run([sys.executable, "-c", _THREADS], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_nothing_is_postponed_where_it_is_there_already() -> None:
    before = {name: sys.modules[name] for name in POSTPONED if name in sys.modules}
    assert before
    postpone()
    assert {name: sys.modules[name] for name in before} == before
    assert all(type(module) is ModuleType for module in before.values())
