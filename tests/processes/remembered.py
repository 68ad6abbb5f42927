"""Work an epsilon out once for many processes: the accountant's seconds are not what is tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

from silosynth.common import privacy

_KNOWN: dict[object, float] = {}


@contextmanager
def remembered_epsilons() -> Iterator[None]:
    """Keep every composed epsilon while this lasts, in this process and in those forked from it."""
    real: Callable[..., float] = privacy._composed_epsilon

    def composed(discrete: Counter[Fraction], rho: Fraction, delta: float, *, grid: float) -> float:
        key = (frozenset(discrete.items()), rho, delta, grid)
        if key not in _KNOWN:
            _KNOWN[key] = real(discrete, rho, delta, grid=grid)
        return _KNOWN[key]

    privacy._composed_epsilon = composed
    try:
        yield
    finally:
        privacy._composed_epsilon = real
