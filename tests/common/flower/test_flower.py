"""What is relied on of Flower that it does not promise: one entry for every name of the room.

A new version that breaks one of these is seen here, by name, before a federation meets it.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from silosynth.common.flower import bundle, node_process, supernode, wire
from silosynth.common.flower.lean import SQL_STORE

ROOT = Path(__file__).parents[3]
PROMISED = ("flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.simulation", "flwr.app.typing")
PARTS = (bundle, node_process, supernode, wire)
ROOM = {name: getattr(part, name) for part in PARTS for name in part.__all__}

# A message and the fields that are written or read.
MESSAGES = {
    "AcquireTaskRequest": {"supported_task_types"},
    "AcquireTaskResponse": {"task", "token"},
    "ActivateNodeRequest": {"public_key", "heartbeat_interval"},
    "ConfirmMessageReceivedRequest": {"node", "run_id", "message_object_id"},
    "DeactivateNodeRequest": {"node_id"},
    "GetNodesRequest": set(),
    "ListNodesRequest": set(),
    "ListRunsRequest": {"limit"},
    "Node": {"node_id"},
    "PullAppMessagesRequest": {"message_ids"},
    "PullObjectRequest": {"node", "run_id", "object_id"},
    "PullTaskInputRequest": set(),
    "PullTaskInputResponse": {"run"},
    "PushAppMessagesRequest": {"messages_list", "message_object_trees"},
    "PushObjectRequest": {"node", "run_id", "object_id", "object_content", "session_id"},
    "PushTaskOutputRequest": {"sub_status", "details"},
    "RegisterNodeRequest": {"public_key", "name"},
    "SendTaskHeartbeatRequest": set(),
    "StartRunRequest": {"fab"},
    "StopRunRequest": {"run_id"},
    "UnregisterNodeRequest": {"node_id"},
}
_CLIENT = {"server_address", "insecure", "root_certificates", "interceptors"}
# What is called, and the names or number of what it is given.
CALLS: dict[str, tuple[int, set[str]]] = {
    "Fab": (3, set()),
    "HeartbeatSender": (1, set()),
    "NodeAuthHttpInterceptor": (2, set()),
    "RuntimeTokenHttpInterceptor": (1, set()),
    "RuntimeVersionHttpInterceptor": (0, {"component_name"}),
    "SuperExecAuthHttpInterceptor": (0, {"master_secret", "protected_methods"}),
    "build_fab_from_disk": (1, set()),
    "constant": (1, set()),
    "fab_to_proto": (1, set()),
    "flower_supernode": (0, set()),
    "get_all_nested_objects": (1, set()),
    "get_flwr_home": (0, set()),
    "get_object_id": (1, set()),
    "get_object_tree": (1, set()),
    "inflate_object_from_contents": (2, set()),
    "iterate_object_tree": (1, set()),
    "make_message": (0, {"metadata", "error"}),
    "make_simple_http_retry_invoker": (0, set()),
    "message_to_proto": (1, set()),
    "public_key_to_bytes": (1, set()),
    "pull_task_input": (1, set()),
    "push_task_output": (1, {"context", "sub_status", "details"}),
    "remove_content_from_message": (1, set()),
}
# A client and the calls that are made of it.
CLIENTS = {
    "ControlHttpClient": {
        "ListNodes",
        "ListRuns",
        "RegisterNode",
        "StartRun",
        "StopRun",
        "UnregisterNode",
        "close",
    },
    "FleetHttpClient": {
        "ActivateNode",
        "DeactivateNode",
        "PullMessages",
        "_unary_unary",
        "close",
    },
    "RuntimeHttpClient": {
        "AcquireTask",
        "ConfirmMessageReceived",
        "GetNodes",
        "PullMessages",
        "PullObject",
        "PullTaskInput",
        "PushMessages",
        "PushObject",
        "PushTaskOutput",
        "SendTaskHeartbeat",
        "close",
    },
}
# A value, and what has to hold of it.
VALUES: dict[str, Callable[[Any], object]] = {
    "ErrorCode": lambda it: {it.CLIENT_APP_RAISED_EXCEPTION, it.MESSAGE_UNAVAILABLE},
    "HEARTBEAT_MIN_INTERVAL": lambda it: 0 < it <= 60,
    "RetryInvoker": lambda it: "wait_gen_factory" in inspect.signature(it).parameters,
    "RunNotRunningException": lambda it: issubclass(it, BaseException),
    "SUPERLINK_NODE_ID": lambda it: isinstance(it, int),
    "SYSTEM_MESSAGE_TYPE": lambda it: isinstance(it, str),
    "SubStatus": lambda it: {it.COMPLETED, it.FAILED},
    "TaskIdentity": lambda it: all(
        vars(type(it))[name].fset for name in ("task_id", "run_id", "node_id")
    ),
    "TaskType": lambda it: {it.CLIENT_APP, it.SERVER_APP},
    "fleet_http_connection": lambda it: callable(it.make_simple_http_retry_invoker),
}


def test_every_name_of_the_room_says_what_is_relied_on() -> None:
    assert sorted(ROOM) == sorted([*MESSAGES, *CALLS, *CLIENTS, *VALUES])


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_message_has_the_fields_that_are_used(name: str) -> None:
    assert MESSAGES[name] <= set(ROOM[name].DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_takes_what_it_is_given(name: str) -> None:
    count, names = CALLS[name]
    inspect.signature(ROOM[name]).bind(*range(count), **dict.fromkeys(names))


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_a_client_is_opened_and_called_as_we_do(name: str) -> None:
    client = ROOM[name]
    inspect.signature(client.from_server_address).bind(**dict.fromkeys(_CLIENT))
    assert [call for call in CLIENTS[name] if not callable(getattr(client, call, None))] == []


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_value_is_what_it_was(name: str) -> None:
    assert VALUES[name](ROOM[name])


def test_a_message_comes_back_from_its_objects_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grid and the relay take messages apart and put them together, object by object."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(wire.TaskIdentity, name, 1)
    content = RecordDict({"r": ConfigRecord({"data": b"bytes", "name": "north"})})
    sent = Message(content=content, dst_node_id=7, message_type="query.measure")
    objects = wire.get_all_nested_objects(sent)
    contents = {name: part.deflate() for name, part in objects.items()}
    assert all(wire.get_object_id(data) == name for name, data in contents.items())
    tree = wire.get_object_tree(sent)
    assert {node.object_id for node in wire.iterate_object_tree(tree)} == set(contents)
    back = wire.inflate_object_from_contents(sent.object_id, dict(contents))
    assert dict(back.content["r"]) == dict(content["r"])  # type: ignore[attr-defined]  # as loose as a test may be
    assert back.metadata.dst_node_id == 7  # type: ignore[attr-defined]  # as loose as a test may be
    bare = wire.message_to_proto(wire.remove_content_from_message(sent))
    assert b"bytes" not in bare.SerializeToString()
    assert inspect.signature(Context).parameters.keys() >= {"run_id", "node_id", "node_config"}


def test_a_supernode_needs_no_store_in_sql() -> None:
    """What is spared it: the factory's one store is in memory, and one in SQL is an error."""
    code = f"""
import sys
from silosynth.common.flower.lean import spare_sql
spare_sql()
from flwr.supernode.nodestate import NodeStateFactory
from flwr.supercore.object_store import ObjectStoreFactory
from silosynth.common.flower.node_process import flower_supernode
print(type(NodeStateFactory(ObjectStoreFactory()).state().object_store).__name__)
try:
    ObjectStoreFactory("a.db").store()
except TypeError:
    print("refused")
print({SQL_STORE!r} in sys.modules, "sqlalchemy" in sys.modules, "alembic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["InMemoryObjectStore", "refused", "True", "False", "False"]


def test_nothing_else_uses_what_flower_does_not_promise() -> None:
    found = {}
    for part in ("common", "client", "server", "simulations"):
        for path in sorted((ROOT / part).rglob("*.py")):
            if path.parent.name != "flower":
                used = _unpromised(path)
                found |= {path.relative_to(ROOT).as_posix(): used} if used else {}
    assert found == {}


def _unpromised(path: Path) -> set[str]:
    """Return the modules of Flower that a file imports and that are not promised."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    names |= {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return {n for n in names if n.split(".")[0] == "flwr" and n not in PROMISED}
