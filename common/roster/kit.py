"""The kit that answers a request to join: all that a new silo needs of a federation, in one file.

It is signed by the coordinator, whose key the new silo does not know yet: persons compare the words
of that key, and of the other silos' keys. Nothing in it is secret.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidArgument, Untrusted
from silosynth.common.plan import Name
from silosynth.common.roster.roster import RosterChange, open_change
from silosynth.common.trust import (
    MAGIC,
    PublicKey,
    Purpose,
    SigningKey,
    plain_bytes,
    plain_text,
    signer_of,
    unseal,
)
from silosynth.common.trust.seal import seal

MOST_KIT_BYTES = 8 * 2**20
MOST_SCHEMA_CHARACTERS = 4_000_000
"""A schema of this size takes some 20 s and 400 MB to read."""


class Kit(BaseModel):
    """Where the SuperLink is, who signed its certificate, the roster, and the schema to answer by.

    ``change`` is the newest change of the roster, sealed, in base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    coordinator: Name
    superlink: str = Field(pattern=r"^[A-Za-z0-9._\[\]:-]+:[0-9]{1,5}$")
    ca: str = Field(max_length=1_000_000)
    change: str = Field(max_length=1_500_000)
    schema_text: str | None = Field(default=None, max_length=MOST_SCHEMA_CHARACTERS)


def seal_kit(kit: Kit, *, key: SigningKey) -> bytes:
    """Return a kit in an envelope of the coordinator's."""
    return seal(canonical_json(kit.model_dump(mode="json")), purpose=Purpose.KIT, key=key)


def kit_with(sealed_change: bytes, **facts: str | None) -> Kit:
    """Return a kit around a sealed change; raise InvalidArgument for a schema that is too large."""
    if len(facts.get("schema_text") or "") > MOST_SCHEMA_CHARACTERS:
        raise InvalidArgument(
            f"the schema is larger than a kit may hold, {MOST_SCHEMA_CHARACTERS:,} characters",
            hint="leave --schema out, and send the file beside the kit",
        )
    return Kit.model_validate({**facts, "change": plain_text(sealed_change)})


def open_kit(data: bytes) -> tuple[Kit, RosterChange, PublicKey]:
    """Return a kit, the change in it, and the key that signed both.

    Nobody is trusted by that: the words of the key are to be compared.

    Raises InvalidArgument for what is no kit, Untrusted where it is not whole or not of one signer.
    """
    if len(data) > MOST_KIT_BYTES or not data.startswith(MAGIC):
        raise InvalidArgument(
            "the file is no kit", hint="give what 'silosynth roster add' wrote for this silo"
        )
    signer = signer_of(data)
    if signer is None:
        raise Untrusted("the kit is damaged", hint="have it sent again")
    opened = unseal(data, purpose=Purpose.KIT, trusted={signer})
    try:
        kit = Kit.model_validate_json(opened.body)
        sealed = plain_bytes(kit.change)
    except ValueError:  # pydantic's is one
        raise InvalidArgument(
            "the kit is of another version, or damaged", hint="use the coordinator's version"
        ) from None
    change, _ = open_change(sealed, trusted={signer})
    return kit, change, signer
