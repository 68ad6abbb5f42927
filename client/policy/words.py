"""A policy in plain words, for the person who answers for it."""

from __future__ import annotations

from collections.abc import Iterator

from silosynth.client.policy.approvers import Approvers
from silosynth.client.policy.file import PolicyFile
from silosynth.client.policy.sections import ApprovalSection, Budget, DatasetSection


def policy_words(policy: PolicyFile) -> tuple[str, ...]:
    """Return what a policy permits, sentence by sentence."""
    return (
        *(_dataset(section) for section in policy.datasets),
        *_coordinators(policy),
        *_projects(policy),
        *(
            f"Plans may start from the pretrained checkpoint {c.digest} in {c.path}."
            for c in policy.checkpoints
        ),
        *_approval(policy.approval, approvers=policy.approving()),
        f"No plan may ask for more than {policy.caps.marginals:,} marginals, "
        f"{policy.caps.cells_per_plan:,} cells in all, {policy.caps.cells_per_marginal:,} in one "
        f"marginal, or a table of over {policy.caps.attributes:,} attributes; no message may be "
        f"larger than {policy.caps.message_mb} MB.",
        *_company(policy.caps.silos_in_sum),
        _relay(policy),
        *_mirror(policy),
    )


def _mirror(policy: PolicyFile) -> Iterator[str]:
    """Say where the ledger is mirrored, if it is."""
    if (path := policy.mirror()) is not None:
        yield f"The ledger is mirrored at {path}, before anything is answered."


def _company(silos: int) -> Iterator[str]:
    """Say of how many silos whatever leaves is a sum, where that is asked."""
    if silos > 1:
        yield (
            f"Whatever leaves is a sum over the rows of at least {silos} silos, those that a plan "
            "spares not counted."
        )


def _dataset(section: DatasetSection) -> str:
    """Say what may be asked of a data set, and how persons are protected in it."""
    if section.person_column is None:
        rows = (
            f"The operator vouches that no person has more than {section.rows_per_person} "
            f"row{'s' * (section.rows_per_person > 1)} in it; nothing is left out"
        )
    else:
        rows = (
            f"Of each person, named by column {section.person_column!r}, at most "
            f"{section.rows_per_person} row{'s' * (section.rows_per_person > 1)} are counted; "
            "rows that name nobody are not"
        )
    if section.cluster is not None:
        rows += (
            f". The Ray cluster {section.cluster!r} reads and counts its rows, and whoever reaches "
            "that cluster can read them"
        )
    if section.map_path is not None:
        rows += (
            f". Its columns are brought to the schema by the map {section.map_path}, whose content "
            "stays here"
        )
    return (
        f"Data set {section.name!r} ({section.format.value}) may cost one person at most "
        f"{_budget(section.budget)} for ever, over all plans. {rows}."
    )


def _coordinators(policy: PolicyFile) -> list[str]:
    """Say whose plans are read at all."""
    if not policy.coordinators:
        return ["No coordinator is trusted: every plan is refused."]
    return [
        f"Coordinator {c.name!r}, who holds {c.key}, may spend {_budget(c.budget)} in all."
        for c in policy.coordinators
    ]


def _projects(policy: PolicyFile) -> list[str]:
    """Say for which projects, and with whom."""
    if not policy.projects:
        return ["No project is named: every plan is refused."]
    return [
        f"Project {p.name!r} may spend {_budget(p.budget)} in all, with the silos "
        f"{', '.join(sorted(p.roster))} and their pinned keys, and with no other."
        for p in policy.projects
    ]


def _approval(approval: ApprovalSection, *, approvers: Approvers) -> list[str]:
    """Say which plans are answered without asking a person, and who that person is."""
    people = _people(approvers)
    if not approval.automatic:
        return [f"Every plan waits until {people}."]
    methods = ", ".join(m.value for m in approval.methods)
    projects = ", ".join(approval.projects) or "every project above"
    coordinators = ", ".join(approval.coordinators) or "every coordinator above"
    return [
        f"A plan is answered without asking anybody if it is by {methods}, costs epsilon "
        f"{approval.max_epsilon:g} or less in the zCDP conversion at a delta of "
        f"{approval.max_delta:g} or less, belongs to {projects} and comes from {coordinators}. "
        "Where silos share noise, this silo's share standing alone, if the masks failed, may cost "
        f"epsilon {approval.max_alone_epsilon or approval.max_epsilon:g} at most. "
        f"Every other plan waits until {people}."
    ]


def _people(approvers: Approvers) -> str:
    """Say whose word a plan waits for."""
    if not approvers.needed:
        return "a person approves it with 'silosynth silo approve'"
    names = ", ".join(sorted(approvers.names.values()))
    return (
        f"{approvers.needed} of the approvers {names} have signed for it, each on a machine of "
        "their own, and 'silosynth silo take-in' has taken that in"
    )


def _relay(policy: PolicyFile) -> str:
    """Say who may speak to the gateway."""
    users = ", ".join(policy.relay.users)
    return (
        f"The gateway's socket is open to the Unix users {users}, to its own and to root."
        if users
        else "The gateway's socket is open to its own Unix user and to root."
    )


def _budget(budget: Budget) -> str:
    """Say a budget, and what the ledger makes of it."""
    return f"epsilon {budget.epsilon:g} at delta {budget.delta:g}"
