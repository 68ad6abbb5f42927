"""What a page's process is told at its start: where it is found, and whom it lets in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_HEX = r"^[0-9a-f]{64}$"


class PageSettings(BaseModel):
    """Settings of one page; secrets are held as their SHA-256 alone.

    ``user_header`` is set by a reverse proxy that reaches the page by a Unix socket nobody else
    may open: its value is who looks, and no token is asked for. ``code`` is what a person has to
    type with each decision; without one the page decides nothing by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    site: str = Field(description="the module whose make_site builds the page")
    arguments: Mapping[str, str] = Field(default_factory=dict)
    hosts: tuple[str, ...] = Field(min_length=1, description="as browsers say them, with a port")
    https: bool = False
    token: str = Field(pattern=_HEX)
    code: str | None = Field(default=None, pattern=_HEX)
    user_header: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,64}$")
    rest_seconds: float = Field(default=900.0, gt=0)

    def origins(self) -> frozenset[str]:
        """Return where requests that change something may come from."""
        return frozenset(f"{'https' if self.https else 'http'}://{host}" for host in self.hosts)


def new_secret() -> str:
    """Return a secret of 128 bits for a person to copy."""
    return secrets.token_urlsafe(16)


def hidden(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret(given: str, *, kept: str | None) -> bool:
    """Tell whether a secret is the one that is kept; it takes the same time either way."""
    return kept is not None and hmac.compare_digest(hidden(given), kept)
