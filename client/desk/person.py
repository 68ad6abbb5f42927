"""Who decides at a desk: the user that the operating system names, and never what a person says."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

ROOT = 0


def person_of(user: int, *, sudo_user: int | None = None) -> str:
    """Return the name under which a user's decision is recorded.

    Args:
        user: as the kernel noted it: who connected, or whose process this is.
        sudo_user: whom ``sudo`` says that root is. Only root is believed: it could write what it
            likes into the ledger anyway, and anybody else could say it of somebody.
    """
    if user != ROOT or sudo_user is None or sudo_user == ROOT:
        return _name(user)
    return f"{_name(sudo_user)} (sudo)"


def sudo_user(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the user whom ``sudo`` made root; None where there is none."""
    text = environment.get("SUDO_UID", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text) if int(text) < 2**32 else None


def _name(user: int) -> str:
    """Return a user's name; its number where it has none."""
    try:
        return pwd.getpwuid(user).pw_name
    except (KeyError, OverflowError):
        return f"user {user}"
