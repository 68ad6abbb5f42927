"""Messages and calls between processes: what Flower does not promise of them.

Tried with Flower 1.41 and 1.42; ``tests/common/flower/test_flower.py``
says what is relied on of each name.
"""

from __future__ import annotations

from flwr.app.message import make_message, remove_content_from_message
from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, SUPERLINK_NODE_ID, ErrorCode, SubStatus
from flwr.common.serde import fab_to_proto, message_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    AcquireTaskResponse,
    GetNodesRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE, TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supercore.utils import get_flwr_home

__all__ = [
    "HEARTBEAT_MIN_INTERVAL",
    "SUPERLINK_NODE_ID",
    "SYSTEM_MESSAGE_TYPE",
    "AcquireTaskRequest",
    "AcquireTaskResponse",
    "ActivateNodeRequest",
    "ConfirmMessageReceivedRequest",
    "ControlHttpClient",
    "DeactivateNodeRequest",
    "ErrorCode",
    "GetNodesRequest",
    "HeartbeatSender",
    "ListNodesRequest",
    "ListRunsRequest",
    "Node",
    "PullAppMessagesRequest",
    "PullObjectRequest",
    "PullTaskInputRequest",
    "PullTaskInputResponse",
    "PushAppMessagesRequest",
    "PushObjectRequest",
    "PushTaskOutputRequest",
    "RegisterNodeRequest",
    "RunNotRunningException",
    "RuntimeHttpClient",
    "RuntimeTokenHttpInterceptor",
    "RuntimeVersionHttpInterceptor",
    "SendTaskHeartbeatRequest",
    "StartRunRequest",
    "StopRunRequest",
    "SubStatus",
    "SuperExecAuthHttpInterceptor",
    "TaskIdentity",
    "TaskType",
    "UnregisterNodeRequest",
    "fab_to_proto",
    "get_all_nested_objects",
    "get_flwr_home",
    "get_object_id",
    "get_object_tree",
    "inflate_object_from_contents",
    "iterate_object_tree",
    "make_message",
    "message_to_proto",
    "public_key_to_bytes",
    "remove_content_from_message",
]
