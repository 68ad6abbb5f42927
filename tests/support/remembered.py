"""Work an epsilon out once for many processes: the accountant's seconds are not what is tested."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from silosynth.common.accounting import epsilon as privacy

_KNOWN: dict[str, float] = {}


@contextmanager
def remembered_epsilons() -> Iterator[None]:
    """Keep every composed epsilon while this lasts, in this process and in those forked from it."""
    real = privacy._composed_epsilon

    def composed(*parts: object, **named: object) -> float:
        key = repr((parts, sorted(named.items())))
        if key not in _KNOWN:
            _KNOWN[key] = real(*parts, **named)  # type: ignore[arg-type]  # passes on what it gets
        return _KNOWN[key]

    privacy._composed_epsilon = composed  # type: ignore[assignment]  # as above
    try:
        yield
    finally:
        privacy._composed_epsilon = real
