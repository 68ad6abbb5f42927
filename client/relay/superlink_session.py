"""A SuperNode's session at the SuperLink: end the one that a killed SuperNode left open.

A SuperLink takes a SuperNode that was killed for connected until its heartbeat lapses, up to 60 s,
and refuses its successor. The Fleet API lets a node end its own session, signed with its own key,
if it names its node id. That id is told to a node that activates, so it is kept from then on.
Source: Flower 1.41 and 1.42, Fleet API as its protocol buffers define it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.files import lock_alone, replace_file
from silosynth.common.flower.supernode import FleetHttpClient, NodeAuthHttpInterceptor
from silosynth.common.flower.wire import (
    HEARTBEAT_MIN_INTERVAL,
    ActivateNodeRequest,
    DeactivateNodeRequest,
    RuntimeVersionHttpInterceptor,
    get_flwr_home,
    public_key_to_bytes,
)
from silosynth.common.reach import Overdue, within
from silosynth.common.telemetry import log

RECORD_VERSION = 1
CALL_SECONDS = 10.0
"""Each call has its own time: one that is overdue must not go on to end the next session."""
_NOT_OPEN = httpx.codes.PRECONDITION_FAILED
_NOT_THIS_NODE = httpx.codes.UNAUTHORIZED


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One SuperNode's place at one SuperLink; ``record`` is where its node id is kept.

    ``ca`` verifies the SuperLink's certificate; without it the system's CAs do.
    """

    superlink: str
    key: ec.EllipticCurvePrivateKey
    ca: Path | None
    record: Path

    def end_stale(self) -> bool:
        """End the session of an earlier SuperNode of this key; return whether there was one.

        Call it while no SuperNode of this key runs. Where the SuperLink is away, refuses the key or
        shows another certificate, nothing is done: the SuperNode itself says so.
        """
        try:
            with self.fleet() as fleet:
                return self._end(fleet)
        except (httpx.HTTPError, OSError, ValueError, Overdue) as err:
            log("session-not-ended", why=type(err).__name__)
            return False

    def known_node(self) -> int | None:
        """Return the node id at this SuperLink; None where it is not known, or not in our words."""
        try:
            kept = json.loads(self.record.read_bytes())
            if (kept["version"], kept["superlink"]) == (RECORD_VERSION, self.superlink):
                return int(kept["node"])
        except OSError:
            return None
        except (ValueError, KeyError, TypeError):
            pass
        log("session-record-ignored", path=str(self.record))
        return None

    def _end(self, fleet: FleetHttpClient) -> bool:
        """End by the node id that is known, or learn the id."""
        node = self.known_node()
        if node is not None:
            ended = _deactivate(fleet, node)
            if ended is not None:
                return ended
        self._learn(fleet)
        return False

    def _learn(self, fleet: FleetHttpClient) -> None:
        """Be told the node id by a short session of our own; it lapses in 20 s if we die now."""
        public = public_key_to_bytes(self.key.public_key())
        request = ActivateNodeRequest(public_key=public, heartbeat_interval=HEARTBEAT_MIN_INTERVAL)
        activated = within(CALL_SECONDS, lambda: fleet.ActivateNode(request), what="a session")
        node = int(activated.node_id)
        _deactivate(fleet, node)
        self._save(node)

    @contextmanager
    def fleet(self) -> Iterator[FleetHttpClient]:
        """Yield a client of the Fleet API that signs with the node's key."""
        client = FleetHttpClient.from_server_address(
            self.superlink,
            insecure=False,
            root_certificates=self.ca.read_bytes() if self.ca else None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(self.key, self.key.public_key()),
            ],
        )
        try:
            yield client
        finally:
            client.close()

    def _save(self, node: int) -> None:
        """Keep the node id."""
        kept = {"version": RECORD_VERSION, "superlink": self.superlink, "node": str(node)}
        replace_file(self.record, json.dumps(kept, sort_keys=True).encode() + b"\n")


@contextmanager
def open_session(*, superlink: str, key: Path, ca: Path | None) -> Iterator[Session]:
    """Yield the session of a SuperNode's key, which no other relay that keeps it here has.

    The record lies in Flower's home; where that cannot be written, ids are not remembered.

    Raises InvalidArgument when ``key`` is no SuperNode's private key, and ConnectionFailed when
    another relay has the session: ending it would cut that relay off.
    """
    private = _load_key(key)
    name = hashlib.sha256(public_key_to_bytes(private.public_key())).hexdigest()[:32]
    record = get_flwr_home() / "silosynth" / f"{name}.json"
    session = Session(superlink=superlink, key=private, ca=ca, record=record)
    try:
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = record.with_suffix(".lock").open("w")
    except OSError as err:
        log("session-not-remembered", path=str(record.parent), why=type(err).__name__)
        yield session
        return
    with lock:
        if not lock_alone(lock):
            raise ConnectionFailed(
                f"another relay runs with the key {key}", hint="stop it before starting this one"
            )
        yield session


def _deactivate(fleet: FleetHttpClient, node: int) -> bool | None:
    """End a node's session: whether there was one, or None where the id is not this key's."""
    request = DeactivateNodeRequest(node_id=node)
    try:
        within(CALL_SECONDS, lambda: fleet.DeactivateNode(request), what="the end of a session")
    except httpx.HTTPStatusError as err:
        if err.response.status_code == _NOT_THIS_NODE:
            return None
        if err.response.status_code == _NOT_OPEN:
            return False
        raise
    return True


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return a SuperNode's private key."""
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidArgument(
            f"{path} is no private key of a SuperNode", hint="give the file supernode.pem"
        )
    return key
