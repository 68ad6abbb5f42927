"""A gateway that can open no network socket, where it shares a network with a relay.

Containers of one pod share its network, so no rule of the cluster tells them apart. The process
gives the right up itself, for good and for all that it starts, by a filter on system calls: sockets
are Unix ones or none. Source: Linux, seccomp(2) and its classic BPF.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from silosynth.client.policy import PolicyFile
from silosynth.common.errors import InvalidArgument

_NO_NEW_PRIVILEGES = 38
_SET_FILTER, _ALL_THREADS = 1, 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FAMILY = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_UNIX = 1
_X32 = 0x40000000
_RING, _TAKE_DESCRIPTOR = 425, 438
"""io_uring_setup opens sockets by another way, pidfd_getfd takes those of other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """What a kind of machine calls itself, and its numbers of two system calls."""

    name: int
    socket: int
    seccomp: int


_MACHINES = {
    "x86_64": _Machine(name=0xC000003E, socket=41, seccomp=317),
    "aarch64": _Machine(name=0xC00000B7, socket=198, seccomp=277),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def check_without_network(policy: PolicyFile) -> None:
    """Raise InvalidArgument for a policy that asks for a network."""
    needs = [f"data set {d.name!r}" for d in policy.datasets if d.uris or d.cluster]
    if policy.metrics.port is not None:
        needs.append("[metrics] port")
    if needs:
        raise InvalidArgument(
            f"{needs[0]} of the policy needs a network", hint="start without --no-network"
        )


def forbid_network() -> None:
    """Let this process and all that it starts open Unix sockets alone, for good.

    Raises InvalidArgument where the kernel or the machine does not offer that.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise InvalidArgument(f"--no-network is not known on {platform.machine()}")
    steps = _steps(machine)
    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = _Program(len(steps) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(
        machine.seccomp, _SET_FILTER, _ALL_THREADS, ctypes.byref(program)
    )
    if done:
        why = os.strerror(ctypes.get_errno())
        raise InvalidArgument(
            f"the kernel does not take a filter on system calls: {why}",
            hint="leave --no-network out, and take the network away from outside",
        )


def _steps(machine: _Machine) -> bytes:
    """Return the filter: any other kind of call, and any family but Unix, fails."""
    fail, unknown = _FAIL | errno.EAFNOSUPPORT, _FAIL | errno.ENOSYS
    steps = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 8, machine.name),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 6, 0, _X32),
        (_EQUAL, 5, 0, _RING),
        (_EQUAL, 4, 0, _TAKE_DESCRIPTOR),
        (_EQUAL, 0, 2, machine.socket),
        (_LOAD, 0, 0, _FAMILY),
        (_EQUAL, 0, 2, _UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, unknown),
        (_RETURN, 0, 0, fail),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
