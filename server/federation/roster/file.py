"""The file of a federation's public keys: from it come a plan's roster and a policy's trust."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.document import describe_validation, load_document
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.plan import Name, Plan, parse_plan
from silosynth.common.trust import PublicKey


class Roster(BaseModel):
    """The coordinator's public key and each silo's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coordinator: PublicKey
    silos: Mapping[Name, PublicKey] = Field(min_length=1)


def load_roster(path: Path) -> Roster:
    """Read a roster from YAML or JSON; raise InvalidArgument naming the file and the field."""
    try:
        data = load_document(path)
    except InvalidSchema as err:
        raise InvalidArgument(err.message, hint=err.hint) from err
    try:
        return Roster.model_validate(data)
    except ValidationError as err:
        raise InvalidArgument(f"{path}: {describe_validation(err, data)}") from err


def with_roster(plan: Plan, roster: Roster) -> Plan:
    """Return the plan with its silos' keys; raise InvalidArgument when one has none."""
    missing = sorted(set(plan.silos) - set(roster.silos))
    if missing:
        raise InvalidArgument(
            f"the roster has no key of silo {missing[0]!r}", hint="ask its operator for it"
        )
    keys = {silo: roster.silos[silo] for silo in plan.silos}
    return parse_plan(plan.model_dump(mode="json") | {"roster": keys})
