from .copies import pieces, present_account
from .desk import Desk, Notes
from .facts import Facts, budget, plan_facts
from .fit import ALTHOUGH
from .person import person_of, sudo_user
from .plan_in_words import lack_facts, plan_words, short_digest, short_scope
from .questions import Command, Question, find_plan, is_digest
from .rosters import change_facts
from .rpc import (
    SERVICE,
    open_desk,
    open_gateway_desk,
    operator_socket,
    relay_socket,
    somebody_listens,
)

__all__ = [
    "ALTHOUGH",
    "SERVICE",
    "Command",
    "Desk",
    "Facts",
    "Notes",
    "Question",
    "budget",
    "change_facts",
    "find_plan",
    "is_digest",
    "lack_facts",
    "open_desk",
    "open_gateway_desk",
    "operator_socket",
    "person_of",
    "pieces",
    "plan_facts",
    "plan_words",
    "present_account",
    "relay_socket",
    "short_digest",
    "short_scope",
    "somebody_listens",
    "sudo_user",
]
