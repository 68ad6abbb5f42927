"""A gateway that gave up its network can open Unix sockets alone, and still serves."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from silosynth.client.serving.no_network import check_without_network
from silosynth.common.errors import InvalidArgument
from tests.support.gateways.signed import Federation

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filter is known for Linux on two machines",
)
_TRY = """
import ctypes, socket, subprocess, sys, threading
from silosynth.client.serving.no_network import forbid_network

def number(call):
    try:
        call()
    except OSError as err:
        return err.errno
    return 0

def raw(*words):
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.syscall(*words)
    return ctypes.get_errno() if done < 0 else 0

before, found = threading.Event(), []
older = threading.Thread(target=lambda: (before.wait(), found.append(number(socket.socket))))
older.start()
if sys.argv[1] == "closed":
    forbid_network()
before.set()
older.join()
families = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK)
found += [number(lambda f=f: socket.socket(f, socket.SOCK_DGRAM)) for f in families]
child = "import socket, sys\\ntry: socket.socket()\\nexcept OSError as e: sys.exit(e.errno)"
found.append(subprocess.run([sys.executable, "-c", child]).returncode)
found.append(raw(425, 1, 0))
found.append(raw(438, -1, 0, 0))
socket.socket(socket.AF_UNIX).close()
print(*found)
"""


def _errors(how: str) -> list[int]:
    """Return what each try to open a socket ends in: of an older thread, here, and of a child."""
    done = subprocess.run(
        [sys.executable, "-c", _TRY, how], capture_output=True, text=True, check=True
    )
    return [int(number) for number in done.stdout.split()]


def test_no_thread_and_no_child_opens_a_network_socket() -> None:
    refused, unknown = errno.EAFNOSUPPORT, errno.ENOSYS
    assert _errors("closed") == [refused] * 6 + [unknown] * 2


def test_without_the_filter_the_same_tries_succeed() -> None:
    """The test above can fail."""
    thread, inet, *_ = found = _errors("open")
    assert (thread, inet) == (0, 0)
    assert found[5] == 0


def test_a_policy_that_needs_a_network_is_named(tmp_path: Path) -> None:
    federation = Federation(directory=tmp_path)
    check_without_network(federation.policy)
    federation.change(metrics={"port": 9465})
    with pytest.raises(InvalidArgument, match="port"):
        check_without_network(federation.policy)
    federation.change(metrics={"port": None})
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0] |= {
        "format": "postgresql",
        "path": None,
        "uri": "postgresql://h/db",
        "query": "SELECT 1",
    }
    with pytest.raises(InvalidArgument, match="data set 'default'"):
        check_without_network(type(federation.policy).model_validate(data))
