"""Give an answer to a SuperNode, and make sure that it has all of it.

Flower's own function takes any answer to a push for success. A SuperNode that has no answer, or an
answer without its objects, while its task is done, waits for the rest without end.
"""

from __future__ import annotations

from flwr.app import Context, Message

from silosynth.common.flower.supernode import push_task_output
from silosynth.common.flower.wire import (
    Node,
    PullObjectRequest,
    PushAppMessagesRequest,
    PushObjectRequest,
    RuntimeHttpClient,
    SubStatus,
    get_all_nested_objects,
    get_object_tree,
    message_to_proto,
    remove_content_from_message,
)


def push_answer(client: RuntimeHttpClient, answer: Message, context: Context) -> None:
    """Push an answer whole, then end its task; raise ValueError where a part did not arrive."""
    answer.metadata.__dict__["_message_id"] = answer.object_id
    objects = get_all_nested_objects(answer)
    reply = client.PushMessages(
        PushAppMessagesRequest(
            messages_list=[message_to_proto(remove_content_from_message(answer))],
            message_object_trees=[get_object_tree(answer)],
        )
    )
    if list(reply.message_ids) != [answer.metadata.message_id]:
        raise ValueError("the answer was not taken")
    node = Node(node_id=context.node_id)
    for object_id in set(reply.objects_to_push) & set(objects):
        content = objects[object_id].deflate()
        request = PushObjectRequest(
            node=node,
            run_id=context.run_id,
            object_id=object_id,
            object_content=content,
            session_id=reply.session_id,
        )
        if not client.PushObject(request).stored:
            raise ValueError("a part of the answer was not stored")
    for object_id in objects:
        look = PullObjectRequest(node=node, run_id=context.run_id, object_id=object_id)
        there = client.PullObject(look)
        if there.object_found and not there.object_available:
            raise ValueError("a part of the answer is missing")
    push_task_output(client, context=context, sub_status=SubStatus.COMPLETED, details="")
