"""Work an epsilon out once for many processes: the accountant's seconds are not what is tested.

What is known stands in files of one session's folder, by the arguments and by the accountant's own
text: a mutant of the accountant, in a copy of the project, finds nothing that was known before it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from silosynth.common.accounting import epsilon as privacy

PLACE = "SILOSYNTH_TESTS_EPSILONS"
"""The variable that names the session's folder; without it each process works out its own."""

_KNOWN: dict[str, float] = {}


@contextmanager
def remembered_epsilons() -> Iterator[None]:
    """Keep every composed epsilon while this lasts, for every process of this session of tests."""
    real, written = privacy._composed_epsilon, _written()

    def composed(*parts: object, **named: object) -> float:
        key = hashlib.sha256(repr((written, parts, sorted(named.items()))).encode()).hexdigest()
        if key not in _KNOWN:
            if (found := _read(key)) is None:
                found = real(*parts, **named)  # type: ignore[arg-type]  # passes on what it gets
                _write(key, found)
            _KNOWN[key] = found
        return _KNOWN[key]

    privacy._composed_epsilon = composed  # type: ignore[assignment]  # as above
    try:
        yield
    finally:
        privacy._composed_epsilon = real


def _written() -> str:
    """Return a digest of the accountant's text, as it stands in its files now."""
    files = sorted(Path(str(privacy.__file__)).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _read(key: str) -> float | None:
    """Return what another process worked out, where this one's user may look."""
    place = os.environ.get(PLACE)
    try:
        return None if place is None else float.fromhex((Path(place) / key).read_text())
    except (FileNotFoundError, PermissionError):
        return None


def _write(key: str, value: float) -> None:
    """Let other processes know; the file is there as a whole or not at all."""
    if (place := os.environ.get(PLACE)) is None or not os.access(place, os.W_OK | os.X_OK):
        return
    with tempfile.NamedTemporaryFile("w", dir=place, delete=False) as file:
        file.write(value.hex())
    os.replace(file.name, Path(place) / key)
