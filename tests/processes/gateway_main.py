"""A silo's gateway for tests: the real one, with random bits that a seed decides.

The product has no such seam at its command line: this file is the only way to it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import numpy as np

from silosynth.client import gateway_pb2 as messages
from silosynth.client.gateway import Gateway
from silosynth.client.policy_file import load_policy
from silosynth.client.silo import open_silo

_SIZE = 256 * 2**20


class SeededBits:
    """Bits that a seed decides, for comparing two drivers of one federation."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.Philox(seed))

    def words(self, count: int) -> np.ndarray:
        return self._random.integers(0, 2**64, count, dtype=np.uint64)


def _handlers(gateway: Gateway) -> grpc.GenericRpcHandler:
    """Return the five verbs over the messages of ``client/gateway.proto``."""

    def unary(answer: Callable[[Any], Any], request: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda asked, _: answer(asked),
            request_deserializer=request.FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )

    verbs = {
        "Identify": unary(
            lambda r: messages.IdentifyReply(identity=gateway.identify(r.challenge)),
            messages.IdentifyRequest,
        ),
        "Propose": unary(
            lambda r: messages.ProposeReply(
                verdict=gateway.propose(plan=r.plan, receipts=list(r.receipts))
            ),
            messages.ProposeRequest,
        ),
        "Measure": unary(
            lambda r: messages.MeasureReply(release=gateway.answer(plan=r.plan, request=r.request)),
            messages.MeasureRequest,
        ),
        "Agree": unary(
            lambda r: messages.AgreeReply(statement=gateway.agree(plan=r.plan, step=r.step)),
            messages.AgreeRequest,
        ),
        "Deliver": unary(
            lambda r: messages.DeliverReply(acknowledgement=gateway.deliver(r.bundle)),
            messages.DeliverRequest,
        ),
    }
    return grpc.method_handlers_generic_handler("silosynth.gateway.v1.Gateway", verbs)


def kill_at(point: str | None) -> Callable[[str], None]:
    """Return a checkpoint that ends this process at ``point`` as kill -9 does.

    ``point#3`` ends it when the point is reached for the third time.
    """
    wanted, _, times = (point or "").partition("#")
    reached: list[str] = []

    def checkpoint(name: str) -> None:
        if name == wanted:
            reached.append(name)
            if len(reached) == int(times or 1):
                os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def _tell(line: str) -> None:
    sys.stderr.write(f"operator: {line}\n")
    sys.stderr.flush()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kill-at")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy)
    socket = Path(policy.relay.socket or Path(policy.silo.directory) / "gateway.sock")
    socket.unlink(missing_ok=True)
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    bits, checkpoint = SeededBits(arguments.seed), kill_at(arguments.kill_at)
    with open_silo(policy, bits=bits, checkpoint=checkpoint) as silo:
        options = (
            ("grpc.max_receive_message_length", _SIZE),
            ("grpc.max_send_message_length", _SIZE),
        )
        server = grpc.server(ThreadPoolExecutor(4), options=options)
        server.add_generic_rpc_handlers((_handlers(silo.gateway),))
        server.add_insecure_port(f"unix:{socket}")
        server.start()
        stopping.wait()
        server.stop(1).wait()


if __name__ == "__main__":
    main()
