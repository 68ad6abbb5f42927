"""Flower alone on Ray: as many bytes in as many messages as a run of silosynth sent, and no more.

    python -m bench.scale.bare TRAFFIC --workers 2

TRAFFIC is a file of JSON: for each round, and each node of it, how many bytes go there and how many
come back. A node answers with so many bytes, drawn anew, and does nothing else.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from silosynth.common.messages import encode_request
from silosynth.common.plan import encode_plan, load_plan
from silosynth.common.schema import load_schema
from silosynth.server.coordinator import Answered, Ask
from silosynth.server.coordinator.machine import start, step
from silosynth.server.driver import Journal

_LOOK_SECONDS = 0.02
Round = dict[str, tuple[int, int]]
"""Bytes there and back, by silo; what a plan has goes to each, and is not in it."""


def traffic(run: Path) -> tuple[int, list[Round]]:
    """Return the bytes of a run's plan, and of its rounds."""
    plan, schema = load_plan(run / "plan.yaml"), load_schema(run / "schema.yaml")
    with Journal(run, plan_digest=plan.digest, durable=False) as journal:
        events = list(journal.events())
    state, commands = start(plan, schema)
    rounds: list[Round] = []
    for event in events:
        if asked := [c.request for c in commands if isinstance(c, Ask)]:
            rounds.append({r.silo: (len(encode_request(r)), 0) for r in asked})
        if isinstance(event, Answered):
            there, _ = rounds[-1][event.silo]
            rounds[-1][event.silo] = there, len(event.data)
        state, commands = step(state, event)
    return len(encode_plan(plan)), rounds


def by_nodes(plan: int, rounds: Sequence[Round], *, nodes: int) -> list[list[tuple[int, int]]]:
    """Return a round's bytes by node, where each node speaks for as many silos as any other.

    Args: plan: its bytes, which go to each node once a round.
    """
    names = list(rounds[0])
    shares = [names[i::nodes] for i in range(nodes)]
    return [
        [
            (plan + sum(asked[s][0] for s in share), sum(asked[s][1] for s in share))
            for share in shares
        ]
        for asked in rounds
    ]


def run(rounds: Sequence[Sequence[tuple[int, int]]], *, workers: int) -> None:
    """Send the rounds with Flower alone; raise RuntimeError where an answer is missing."""
    from flwr.app import ConfigRecord, Context, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    client, server = ClientApp(), ServerApp()
    done: list[int] = []

    @client.query("echo")
    def echo(message: Message, _context: Context) -> Message:
        size = int(message.content.config_records["r"]["back"])  # type: ignore[arg-type]
        answer = ConfigRecord({"data": os.urandom(size)})
        return Message(content=RecordDict({"r": answer}), reply_to=message)

    @server.main()
    def main(grid: Grid, _context: Context) -> None:
        while len(nodes := sorted(grid.get_node_ids())) < len(rounds[0]):
            time.sleep(_LOOK_SECONDS)
        for sizes in rounds:
            messages = [
                Message(
                    content=RecordDict({"r": ConfigRecord({"data": os.urandom(up), "back": back})}),
                    dst_node_id=node,
                    message_type="query.echo",
                )
                for node, (up, back) in zip(nodes, sizes, strict=True)
            ]
            done.append(sum(not r.has_error() for r in grid.send_and_receive(messages)))

    settings = {
        "address": "local",
        "num_cpus": workers,
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "critical",
    }
    run_simulation(
        server_app=server,
        client_app=client,
        num_supernodes=len(rounds[0]),
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": settings,  # type: ignore[dict-item]
        },
    )
    if done != [len(sizes) for sizes in rounds]:
        raise RuntimeError(f"answers a round: {done}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traffic", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    run(json.loads(asked.traffic.read_text()), workers=asked.workers)
    sys.exit(0)
