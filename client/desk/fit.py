"""How a silo's rows fit, beside the plans that wait, and the word that an approval then needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from silosynth.client.desk.facts import Facts
from silosynth.common.errors import InvalidArgument

if TYPE_CHECKING:
    # Tables are read with libraries that most questions at a desk do without.
    from silosynth.client.silo import Fit, Fits

ALTHOUGH = "--although-unfit"


def with_fit(waiting: Iterable[Facts], fits: Fits | None) -> list[Facts]:
    """Return what waits as its silo's operator is shown it: with how the rows fit."""
    known = {} if fits is None else fits.known()
    return [_shown(plan, known) if "dataset" in plan else plan for plan in waiting]


def fit_words(plan: Facts) -> tuple[str, ...]:
    """Say how the rows fit that a plan is about, for the operator alone."""
    told: tuple[str, ...] = tuple(plan.get("fit", {}).get("words", ()))
    return told


def all_words(fits: Fits | None) -> list[str]:
    """Say how all data sets fit, as far as is known."""
    known = {} if fits is None else fits.known()
    return [f"data set {name!r}: {line}" for name, fit in known.items() for line in fit.words()]


def consent(plan: Facts, fits: Fits | None, *, although: bool) -> str:
    """Return what an approval's reason ends with: the name of what its person was told.

    Raises InvalidArgument where hardly anything of a column fits, and the person has not said that
    it shall be so. The person is told; the coordinator is not, nor does the ledger show it.
    """
    if fits is None:
        return ""
    told = fits.asked(plan.get("dataset"))
    unfit = [name for fit in told for name in fit.unfit]
    if unfit and not although:
        raise InvalidArgument(
            f"hardly anything of {', '.join(unfit)} fits the schema: its rows would be counted as "
            "others",
            hint=f"correct the table or its map, or say {ALTHOUGH}",
        )
    return f" (told: {fits.record(plan['digest'], told, although=although)[:32]})"


def _shown(plan: Facts, known: Mapping[str, Fit]) -> Facts:
    fit = known.get(plan["dataset"])
    words = ("how its columns fit was not looked at yet",) if fit is None else fit.words()
    unfit = () if fit is None else fit.unfit
    return {**plan, "fit": {"words": list(words), "unfit": list(unfit)}}
