"""Unix users and processes: who they are, and what a gateway gives up."""

from __future__ import annotations

import grp
import os
import pwd
import resource
from collections.abc import Iterable
from typing import TYPE_CHECKING

from silosynth.common.errors import InvalidArgument

if TYPE_CHECKING:  # a policy loads Arrow, and this is loaded before Arrow is postponed
    from silosynth.client.policy import PolicyFile

ROOT = 0


def user_ids(names: Iterable[str]) -> frozenset[int]:
    """Return the ids of users; raise InvalidArgument naming one that this machine lacks."""
    return frozenset(_user(name).pw_uid for name in names)


def group_id(name: str | None) -> int | None:
    """Return the id of a group, if one is named; raise InvalidArgument when there is none."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise InvalidArgument(
            f"there is no group {name!r} on this machine", hint="make it, or correct the policy"
        ) from None


def become(name: str) -> None:
    """Turn this process, started by root, into user ``name``, with no way back.

    Guarantees: afterwards user, group and groups are those of ``name``, real, effective and saved,
    and becoming root again has been seen to fail.

    Raises InvalidArgument when there is no such user, it is root, or the system says no.
    """
    user = _user(name)
    if user.pw_uid == ROOT:
        raise InvalidArgument("run_as names root", hint="give the gateway a user of its own")
    try:
        os.setgroups(os.getgrouplist(name, user.pw_gid))
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as err:
        raise InvalidArgument(f"cannot become user {name!r}: {err.strerror}") from None
    try:
        os.setuid(ROOT)
    except PermissionError:
        return
    raise InvalidArgument(f"user {name!r} could become root again", hint="do not start as root")


def forbid_core_dumps() -> None:
    """Keep the memory of this process, which holds data, out of any file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _user(name: str) -> pwd.struct_passwd:
    """Return a user's entry."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise InvalidArgument(
            f"there is no user {name!r} on this machine", hint="make it, or correct the policy"
        ) from None


def gateway_user(policy: PolicyFile) -> str:
    """Return the user to become; raise InvalidArgument when root would have to read the data."""
    if policy.silo.run_as is None:
        raise InvalidArgument(
            "a gateway does not run as root", hint="name its own user as run_as under [silo]"
        )
    return policy.silo.run_as
