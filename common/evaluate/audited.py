"""What ``silosynth audit plan --json`` found, to be shown beside what is claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.document import load_document
from silosynth.common.errors import InvalidArgument
from silosynth.common.report import Audit


class AuditFile(BaseModel):
    """The fields of an audit's result that a report needs."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    version: Literal[1]
    epsilon: float = Field(gt=0)
    epsilon_at_least: float = Field(ge=0)
    delta: float = Field(gt=0, lt=1)
    games: int = Field(ge=1)


def load_audit(path: Path) -> Audit:
    """Read what an audit wrote with ``--json``; raise InvalidArgument naming the fault."""
    try:
        found = AuditFile.model_validate(load_document(path))
    except ValidationError as err:
        where = ".".join(map(str, err.errors()[0]["loc"])) or "audit"
        raise InvalidArgument(
            f"{path}: {where}: {err.errors()[0]['msg']}",
            hint="give what 'silosynth audit plan PLAN --json' wrote, by this version",
        ) from err
    return Audit(
        claimed=found.epsilon,
        at_least=found.epsilon_at_least,
        delta=found.delta,
        games=found.games,
    )
