"""What regions permit; rules that no plan can keep are refused with their scenario.

Every silo of a scenario takes part, so a plan has to keep the rules of all regions at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce

from pydantic import Field

from silosynth.common.plan import MOST_MEMBERS, Method, Name, TrustMode, trust_of
from silosynth.common.schema import PlainModel


class Rules(PlainModel):
    """What a region permits; a plan that breaks a rule is refused before anything is spent."""

    max_epsilon: float | None = Field(default=None, gt=0, le=100)
    max_delta: float | None = Field(default=None, gt=0, lt=1)
    methods: tuple[Method, ...] | None = Field(default=None, min_length=1)
    trust: tuple[TrustMode, ...] | None = Field(default=None, min_length=1)
    min_silos_in_sum: int = Field(default=1, ge=1, le=10_000)
    only_sums: bool = Field(
        default=False, description="nothing leaves but masked parts of a noised sum"
    )
    datasets: tuple[Name, ...] | None = Field(
        default=None, min_length=1, description="data sets that may take part; any without it"
    )
    datasets_apart: tuple[Name, ...] = Field(default=(), description="data sets that may not join")

    @property
    def smallest_sum(self) -> int:
        """Return how many silos have to be in a sum."""
        return max(self.min_silos_in_sum, 2 if self.only_sums else 1)


def check_keepable(rules: Mapping[str, Rules], *, silos: int) -> None:
    """Raise ValueError for rules that no plan can keep, by themselves or with other regions'.

    Args: rules: of each region that has silos. silos: of all regions.
    """
    for name, mine in rules.items():
        if mine.smallest_sum > silos:
            raise _unkept(
                [name], f"a sum of {mine.smallest_sum} silos is asked for, and there are {silos}"
            )
    _common(rules, "methods", lambda r: r.methods)
    trust = _common(rules, "trust", lambda r: r.trust)
    _check_sums(rules, trust, silos=silos)
    _check_datasets(rules)


def _unkept(names: Iterable[str], why: str) -> ValueError:
    return ValueError(f"regions: {', '.join(names)}: rules: no plan can keep them: {why}")


def _common(
    rules: Mapping[str, Rules], what: str, said: Callable[[Rules], tuple[str, ...] | None]
) -> frozenset[str] | None:
    """Return what all regions permit of one thing, None where none says; raise where nothing is."""
    known = {name: listed for name, r in rules.items() if (listed := said(r)) is not None}
    if not known:
        return None
    common = reduce(frozenset.__and__, (frozenset(listed) for listed in known.values()))
    if not common:
        parts = (f"{name} permits {', '.join(listed)} alone" for name, listed in known.items())
        raise _unkept(known, f"{what}: {'; '.join(parts)}")
    return common


def _check_sums(rules: Mapping[str, Rules], trust: frozenset[str] | None, *, silos: int) -> None:
    """Raise ValueError where sums of several silos are asked for and shared trust cannot be."""
    asking = [name for name, r in rules.items() if r.smallest_sum > 1]
    if asking and trust is not None and not any(map(_masks, trust)):
        barring = [n for n, r in rules.items() if r.trust and not any(map(_masks, r.trust))]
        raise _unkept(
            dict.fromkeys(asking + barring),
            "a sum of several silos needs shared trust, and trust leaves it out",
        )
    if (asking or (trust and all(map(_masks, trust)))) and not 2 <= silos <= MOST_MEMBERS:
        bound = asking or [n for n, r in rules.items() if r.trust]
        raise _unkept(bound, f"shared trust is of 2 to {MOST_MEMBERS} silos, and there are {silos}")


def _masks(mode: str) -> bool:
    """Say whether in this trust nobody sees a silo's own release."""
    return trust_of(mode).masked


def _check_datasets(rules: Mapping[str, Rules]) -> None:
    """Raise ValueError where every data set that may take part is kept apart."""
    common = _common(rules, "datasets", lambda r: r.datasets)
    apart = {name for r in rules.values() for name in r.datasets_apart}
    if common is not None and common <= apart:
        barring = [n for n, r in rules.items() if r.datasets or common & set(r.datasets_apart)]
        raise _unkept(barring, f"every data set is kept apart: {', '.join(sorted(common))}")
