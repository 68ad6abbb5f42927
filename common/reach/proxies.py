"""What goes by a proxy and what never does, as the environment says.

``HTTPS_PROXY`` and ``NO_PROXY`` are read by what speaks HTTP: Flower, and our own looks at a
SuperLink. A relay also speaks to its SuperNode on this machine, which no proxy reaches.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAMES = ("NO_PROXY", "no_proxy")
_PORT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that takes CONNECT: where it is, and what it is shown."""

    host: str
    port: int
    headers: Mapping[str, str]


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which this machine itself is never reached by a proxy.

    >>> past_proxies({"NO_PROXY": "intern.example"})["no_proxy"]
    'intern.example,127.0.0.1,localhost,::1'
    """
    said = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    listed = [part.strip() for part in said.split(",") if part.strip()]
    more = [] if "*" in listed else [name for name in LOOPBACK if name not in listed]
    return dict.fromkeys(_NAMES, ",".join([*listed, *more]))


def proxy_to(host: str) -> Proxy | None:
    """Return the proxy by which a host is reached over TLS, or None where there is none."""
    found = getproxies()
    url = found.get("https") or found.get("all")
    if not url or proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.hostname is None:
        return None
    headers = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return Proxy(host=parts.hostname, port=parts.port or _PORT, headers=headers)
