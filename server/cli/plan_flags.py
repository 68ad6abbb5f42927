"""What the command line says of a plan beside its method: promise, persons, trust, terms."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import Annotated

from silosynth.common.cli import say
from silosynth.common.errors import InvalidArgument
from silosynth.common.names import machine_key
from silosynth.common.plan import (
    OnAbsent,
    Plan,
    TrustMode,
    parse_plan,
)

_TIME = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)?")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFlags:
    """What the command line says of the promise."""

    epsilon: Annotated[float, "Most privacy loss of one person, in one silo."]
    delta: Annotated[float, "Probability that this does not hold."]
    silos: Annotated[str, "Names of the silos, with commas between; quote one that has a comma."]

    def read(self) -> tuple[str, ...]:
        """Return the keys of the silos."""
        return read_silo_names(self.silos)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonFlags:
    """What the command line says of persons and of silos that stay away."""

    rows_per_person: Annotated[int, "Most rows of one person in a silo."] = 1
    unit: Annotated[str, "What a row stands for, in a word."] = "row"
    on_absent: Annotated[OnAbsent | None, "What to do when a silo stays away."] = None
    lacks: Annotated[
        str | None,
        "Columns that silos of other people lack: 'south=thal,ca;west=slope'.",
    ] = None
    held_out: Annotated[
        str | None, "The share of the persons to leave alone, to evaluate on: such as 1/10."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFlags:
    """What the command line says of whose noise protects whom."""

    trust: Annotated[TrustMode, "Whether each silo adds all the noise, or a share."] = TrustMode.OWN
    colluders: Annotated[int, "Shared: silos that may work with the coordinator."] = 0
    absent: Annotated[int, "Shared: silos that may be missing."] = 0
    attempts: Annotated[int, "Shared: how often a sum may be begun; each is paid for."] = 1
    rows_at_most: Annotated[
        int | None, "A public bound on all rows: what values cost follows it, and bytes of sums."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFlags:
    """What the command line says of the terms of a plan."""

    dataset: Annotated[str | None, "The silos' name for their table; 'default' without it."] = None
    project: Annotated[str | None, "The project whose budget pays; 'default' without it."] = None
    deadline: Annotated[
        str | None, "How long a silo may take to answer a phase, such as 90s or 2h."
    ] = None
    approval: Annotated[
        str | None, "How long silos' people may take to approve, such as 12h or 30d."
    ] = None

    def apply(self, plan: Plan) -> Plan:
        """Return the plan with these terms; raise InvalidPlan or InvalidArgument for a bad one."""
        stated: dict[str, str | int | None] = {
            "dataset": self.dataset,
            "project": self.project,
            "deadline_seconds": _seconds(self.deadline, "--deadline"),
            "approval_seconds": _seconds(self.approval, "--approval"),
        }
        given = {name: value for name, value in stated.items() if value is not None}
        return parse_plan(plan.model_dump(mode="json") | given) if given else plan


def _seconds(text: str | None, option: str) -> int | None:
    """Return a time in seconds; raise InvalidArgument for a text that is none."""
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(
            f"{option} {text!r} is no time", hint="give a whole number and s, m, h or d: 90s, 30d"
        )
    return int(found[1]) * _SECONDS[found[2] or "s"]


def read_lacks(text: str | None) -> dict[str, tuple[str, ...]] | None:
    """Read ``south=thal,ca;west=slope`` as the columns that each silo lacks."""
    lacks: dict[str, tuple[str, ...]] = {}
    for part in (p for p in (text or "").split(";") if p.strip()):
        silo, equals, columns = part.partition("=")
        names = tuple(c.strip() for c in columns.split(","))
        if not equals or not silo.strip() or not all(names) or silo.strip() in lacks:
            raise InvalidArgument(
                f"--lacks {text!r} does not say which columns silos lack",
                hint="write it as 'south=thal,ca;west=slope', each silo once",
            )
        lacks[silo.strip()] = names
    return lacks or None


def read_silo_names(text: str) -> tuple[str, ...]:
    """Return the keys of silos whose names people gave, and say where a key is another text.

    A name that has a comma stands in quotes, as in a text file.
    """
    fields = next(csv.reader([text], skipinitialspace=True), [])
    names = [name.strip() for name in fields if name.strip()]
    if not names:
        raise InvalidArgument("no silo is named", hint="write --silos north,south")
    if len(names) > 1 and len(names) > len(text.replace(", ", "").split(",")):
        listed = " and ".join(map(repr, names[:5])) + (" ..." if names[5:] else "")
        say(f"{len(names)} silos: {listed}; put a name that has a comma into quotes")
    keys = [machine_key(name) for name in names]
    for name, key in zip(names, keys, strict=True):
        if name != key:
            say(f"silo {name!r} is written {key} in the plan, and in the names of its files")
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InvalidArgument(
            f"silo {twice[0]!r} stands twice", hint="give one of them another name"
        )
    return tuple(keys)
