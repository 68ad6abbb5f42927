from .approvers import (
    MOST_DECISION_BYTES,
    SignedDecision,
    approved_by,
    enough,
    read_word,
    says,
    sign_decision,
    time_text,
)
from .file import PolicyFile, load_policy, parse_policy
from .limits import (
    MAX_PLAN_BYTES,
    Policy,
    check_company,
    check_plan_size,
    check_request,
    check_rows,
    check_size,
    request_limit,
)
from .rules import (
    Approval,
    Rules,
    SiloIdentity,
    alone_epsilon,
    check_roster,
    ledger_epsilon,
    needs_person,
)
from .sections import Budget, CheckpointSection, DatasetSection, MailSection, NotifySection
from .shared_rows import shared_rows_warnings
from .template import NewSilo, policy_text
from .words import policy_words

__all__ = [
    "MAX_PLAN_BYTES",
    "MOST_DECISION_BYTES",
    "Approval",
    "Budget",
    "CheckpointSection",
    "DatasetSection",
    "MailSection",
    "NewSilo",
    "NotifySection",
    "Policy",
    "PolicyFile",
    "Rules",
    "SignedDecision",
    "SiloIdentity",
    "alone_epsilon",
    "approved_by",
    "check_company",
    "check_plan_size",
    "check_request",
    "check_roster",
    "check_rows",
    "check_size",
    "enough",
    "ledger_epsilon",
    "load_policy",
    "needs_person",
    "parse_policy",
    "policy_text",
    "policy_words",
    "read_word",
    "request_limit",
    "says",
    "shared_rows_warnings",
    "sign_decision",
    "time_text",
]
