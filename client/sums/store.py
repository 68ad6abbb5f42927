"""A silo's memory of the sums it takes part in: secrets, keys and votes, durable before they count.

One small file a session, readable by its owner alone, replaced as a whole. A secret is kept until
the masked vector that it made is stored; a crash before that makes the same masks again, and one
after it sends the stored vector again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from silosynth.common.errors import LedgerUnavailable
from silosynth.common.files import make_directory, replace_file

STORE_VERSION = 1
SUMS = "sums"
"""The folder of a silo that its store of sums lies in."""


class SessionRecord(BaseModel):
    """What a silo has said and kept in one session; all bytes in base64.

    ``members`` and ``set_digest`` are those of its last vote. ``begun`` is set before the first
    request is charged; from then on the set is final.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = STORE_VERSION
    plan_digest: str
    session: int
    advert: str
    secrets: Mapping[str, str]
    vote: str | None = None
    set_digest: str | None = None
    members: tuple[str, ...] = ()
    begun: bool = False


@dataclass(frozen=True, slots=True)
class SumStore:
    """Own the directory of a silo's sum sessions.

    ``write`` is a seam for simulations, which sync once for all silos.
    """

    directory: Path
    write: Callable[[Path, bytes], None] = replace_file

    def load(self, plan_digest: str, session: int) -> SessionRecord | None:
        """Return the record of a session; None where there is none.

        Raises LedgerUnavailable when it cannot be read as it was written.
        """
        try:
            data = self._path(plan_digest, session).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as err:
            raise _unusable() from err
        try:
            record = SessionRecord.model_validate_json(data)
        except ValidationError as err:
            raise _unusable() from err
        if (record.plan_digest, record.session) != (plan_digest, session):
            raise _unusable()
        return record

    def save(self, record: SessionRecord) -> None:
        """Write a record durably, whole or not at all; raise LedgerUnavailable when it cannot."""
        path = self._path(record.plan_digest, record.session)
        body = json.dumps(record.model_dump(mode="json"), sort_keys=True).encode()
        try:
            make_directory(self.directory, mode=0o700)
            self.write(path, body)
        except OSError as err:
            raise _unusable() from err

    def _path(self, plan_digest: str, session: int) -> Path:
        """Return where the record of a session lies."""
        return self.directory / f"{plan_digest.removeprefix('sha256:')}.{session}.json"


def _unusable() -> LedgerUnavailable:
    """Return the error for a store that cannot keep or give back what it must."""
    return LedgerUnavailable(
        "the record of a sum cannot be read or written",
        hint="look at the disk; a session whose record is gone is over",
    )
