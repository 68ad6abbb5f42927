"""Approval: whose plan it is, who may decide about it, for how long, and by which key."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

PROPOSALS, RULES, DECISIONS = (
    "client/gateway/proposals.py",
    "client/policy/rules.py",
    "client/ledger/decisions.py",
)
APPROVERS, DESK, ACCOUNT = (
    "client/policy/approvers.py",
    "client/desk/desk.py",
    "common/audit/account.py",
)
PAIRS, PRESENT, AT_DESK = (
    "tests/client/gateway/test_gateway_coordinators.py::",
    "tests/client/gateway/test_gateway_rules.py::",
    "tests/client/desk/test_desk.py::",
)
KEYS, ATTACKS = "tests/common/trust/test_roster.py::", "tests/privacy/test_sum_attacks.py::"

_COMPANY = (
    "tests/client/gateway/test_gateway_sums.py::"
    "test_what_leaves_is_a_sum_over_as_many_silos_as_the_policy_asks_for"
)

MUTANTS = (
    # Whose plan it is
    Mutant(
        name="a decision counts for every coordinator",
        path=DECISIONS,
        old='"WHERE plan = ? AND (signer = ? OR signer IS NULL) ORDER BY signer IS NULL LIMIT 1",',
        new='"WHERE plan = ?1 AND ?2 = ?2 ORDER BY decided DESC LIMIT 1",',
        killed_by=(
            PAIRS + "test_a_refusal_stops_one_coordinator_and_not_the_other",
            "tests/client/ledger/test_ledger_versions.py::"
            "test_a_newer_decision_goes_before_one_of_version_3",
        ),
    ),
    Mutant(
        name="a plan belongs to whoever asks",
        path=PROPOSALS,
        old="if owner not in (None, signed.key) or payer not in (None, signed.consumer):",
        new="if payer not in (None, signed.consumer):",
        killed_by=(PAIRS + "test_a_plan_is_answered_to_its_own_coordinator_alone",),
    ),
    Mutant(
        name="an old run goes on for whoever asks",
        path=PROPOSALS,
        old="if owner not in (None, signed.key) or payer not in (None, signed.consumer):",
        new="if owner not in (None, signed.key):",
        killed_by=(
            PAIRS + "test_a_run_that_began_before_goes_on_for_who_paid_and_for_nobody_else",
        ),
    ),
    Mutant(
        name="the signer of the kept plan is not looked at",
        path=PROPOSALS,
        old="if kept not in (None, signed.sealed) and not _signed_by(kept, signed.key):",
        new="if kept is not None and signed.sealed == b'':",
        killed_by=(PAIRS + "test_the_copy_that_is_kept_says_whose_an_old_plan_is",),
    ),
    Mutant(
        name="an approval that names nobody holds for all",
        path=PROPOSALS,
        old="""        if decision.signer is None:
            return "the silo's record does not say for whom"
        rules = self.door.rules
""",
        new="""        if decision.signer is None:
            return None
        rules = self.door.rules
""",
        killed_by=(PAIRS + "test_an_approval_that_names_nobody_is_asked_again",),
    ),
    Mutant(
        name="a plan is approved for two signers",
        path=DECISIONS,
        old="if owner not in (None, signer):",
        new="if owner == '':",
        killed_by=(PAIRS + "test_two_who_wait_for_a_person_are_told_apart",),
    ),
    Mutant(
        name="an auditor takes a plan that was approved for two signers",
        path=ACCOUNT,
        old="fold.claims.setdefault(decision.plan_digest, decision).signer != decision.signer:",
        new="fold.claims.setdefault(decision.plan_digest, decision).signer is None:",
        killed_by=(
            "tests/common/audit/test_audit.py::test_entries_that_no_ledger_could_hold_are_refused",
        ),
    ),
    Mutant(
        name="a stored release goes to whoever pays nothing for it",
        path="client/ledger/rows.py",
        old="if paid and asking and paid != asking:",
        new="if paid and not asking and paid != asking:",
        killed_by=(PAIRS + "test_a_stored_release_goes_to_who_paid_whatever_the_gateway_asks",),
    ),
    Mutant(
        name="two who wait are one",
        path="client/ledger/waiting.py",
        old='query = f"SELECT 1 FROM {place} plan = ? AND signer = ?"',
        new='query = f"SELECT 1 FROM {place} plan = ?1 AND ?2 = ?2"',
        killed_by=(PAIRS + "test_two_who_wait_for_a_person_are_told_apart",),
    ),
    # For how long
    Mutant(
        name="a policy's approval outlives the policy",
        path=PROPOSALS,
        old="            case Authority.POLICY:\n                return waits\n",
        new="            case Authority.POLICY:\n                return None\n",
        killed_by=(PRESENT + "test_a_policys_approval_ends_with_the_policy",),
    ),
    Mutant(
        name="an approval is asked of the policy when it is proposed, and not when it is asked",
        path=PROPOSALS,
        old="        if lapsed is not None:\n            raise ApprovalPending(",
        new="        if lapsed == '':\n            raise ApprovalPending(",
        killed_by=(
            PRESENT + "test_a_policys_approval_ends_with_the_policy",
            PAIRS + "test_an_approval_that_names_nobody_is_asked_again",
        ),
    ),
    Mutant(
        name="a refusal does not stop a run that has begun",
        path=PROPOSALS,
        old="if decision is not None and decision.verdict is not Decided.APPROVED:",
        new="if decision is not None and decision.authority is None:",
        killed_by=(
            PRESENT + "test_a_run_that_has_begun_is_answered_to_its_end",
            PAIRS + "test_a_refusal_stops_one_coordinator_and_not_the_other",
        ),
    ),
    # Rosters
    Mutant(
        name="a roster may name silos that nobody pinned",
        path=RULES,
        old="if pinned.get(name) != key:",
        new="if pinned.get(name, key) != key:",
        killed_by=(PRESENT + "test_a_roster_with_a_silo_that_nobody_pinned_is_refused",),
    ),
    Mutant(
        name="a roster is checked for this silo alone",
        path=RULES,
        old="if pinned.get(name) != key:",
        new="if name == silo and pinned.get(name) != key:",
        killed_by=(
            PRESENT + "test_a_roster_with_a_silo_that_nobody_pinned_is_refused",
            "tests/client/gateway/test_gateway_signed.py::"
            "test_a_plan_outside_the_policy_is_refused_for_a_public_reason",
        ),
    ),
    Mutant(
        name="a key is pinned for any silo",
        path=RULES,
        old="if pinned.get(name) != key:",
        new="if key not in pinned.values():",
        killed_by=(PRESENT + "test_keys_that_changed_places_are_refused",),
    ),
    Mutant(
        name="a silo that any project pins is pinned in all",
        path="client/gateway/verify.py",
        old="check_roster(rosters[-1] if rosters else None, plan, silo=door.silo)",
        new="check_roster({n: k for r in door.rules.rosters.values() for n, k in r.items()}, plan, "
        "silo=door.silo)",
        killed_by=(PRESENT + "test_a_silo_that_another_project_pins_is_not_pinned_in_this_one",),
    ),
    # Approvers
    Mutant(
        name="one approver too few is enough",
        path=APPROVERS,
        old="return 0 < approvers.needed <= len(approved_by(words, approvers))",
        new="return 0 < approvers.needed <= len(approved_by(words, approvers)) + 1",
        killed_by=(PRESENT + "test_two_signed_decisions_approve_a_plan_and_stand_in_the_audit",),
    ),
    Mutant(
        name="an approver's refusal counts as a signature",
        path=APPROVERS,
        old="{r.word.key for r in words if r.word.verdict is Verdict.APPROVED}",
        new="{r.word.key for r in words if r.word.verdict}",
        killed_by=(PRESENT + "test_a_refusing_word_is_no_approval",),
    ),
    Mutant(
        name="approvers who left the policy still count",
        path=APPROVERS,
        old="for key, name in approvers.names.items() if key in approving))",
        new="for key, name in (approvers.names | dict.fromkeys(approving, '')).items() "
        "if key in approving))",
        killed_by=(PRESENT + "test_an_approver_who_left_the_policy_counts_no_more",),
    ),
    Mutant(
        name="a signed decision for another silo is taken in",
        path=APPROVERS,
        old="if decision.silo != silo:",
        new="if decision.silo == '':",
        killed_by=(
            PRESENT + "test_a_decision_that_is_not_an_approvers_on_this_plan_is_not_taken_in",
        ),
    ),
    Mutant(
        name="a signed decision counts for the plan of every coordinator",
        path=DECISIONS,
        old='"WHERE plan = ?1 AND signer = ?2 AND said > coalesce((SELECT refused FROM decisions "',
        new='"WHERE plan = ?1 AND said > coalesce((SELECT refused FROM decisions "',
        killed_by=(PRESENT + "test_signatures_for_one_coordinator_are_none_for_another",),
    ),
    Mutant(
        name="a signed decision is taken in twice",
        path=DECISIONS,
        old="if before is not None and word.signed_at <= before[0]:",
        new="if before is not None and word.signed_at < before[0]:",
        killed_by=(PRESENT + "test_a_decision_is_taken_in_once_and_never_after_a_newer_one",),
    ),
    Mutant(
        name="an older signed decision takes the place of a newer one",
        path=DECISIONS,
        old="if before is not None and word.signed_at <= before[0]:",
        new="if before is not None and word.signed_at == before[0]:",
        killed_by=(PRESENT + "test_a_decision_is_taken_in_once_and_never_after_a_newer_one",),
    ),
    Mutant(
        name="signatures from before a refusal count after it",
        path=DECISIONS,
        old='"WHERE plan = ?1 AND signer = ?2), 0) ORDER BY said",',
        new='"WHERE plan = ?1 AND signer = ?2 AND 0), 0) ORDER BY said",',
        killed_by=(PRESENT + "test_after_a_refusal_all_who_approved_sign_anew",),
    ),
    Mutant(
        name="a person at the desk approves in the approvers' place",
        path=PROPOSALS,
        old="case Authority.PERSON if not rules.approvers.needed:",
        new="case Authority.PERSON:",
        killed_by=(
            PRESENT + "test_where_approvers_sign_nobody_at_the_desk_approves",
            PRESENT + "test_an_approval_of_one_is_not_enough_once_approvers_are_named",
        ),
    ),
    Mutant(
        name="the desk lets a person approve where approvers sign",
        path=DESK,
        old="        if needed:\n            raise InvalidArgument(",
        new="        if needed < 0:\n            raise InvalidArgument(",
        killed_by=(PRESENT + "test_where_approvers_sign_nobody_at_the_desk_approves",),
    ),
    # Names and keys
    Mutant(
        name="a plan's id may look like another plan's digest",
        path="client/desk/questions.py",
        old="found = [p for p in plans if _names_digest(digits, p)]",
        new='found = [p for p in plans if _names_digest(digits, p) or p.get("id") == name]',
        killed_by=(AT_DESK + "test_what_looks_like_digits_of_a_digest_is_never_a_plans_id",),
    ),
    Mutant(
        name="whoever is not root may say who it is",
        path="client/desk/person.py",
        old="if user != ROOT or sudo_user is None or sudo_user == ROOT:",
        new="if sudo_user is None or sudo_user == ROOT:",
        killed_by=(
            AT_DESK + "test_a_person_is_the_user_of_the_socket_and_root_may_be_somebody_by_sudo",
            AT_DESK + "test_no_question_can_say_who_asks",
        ),
    ),
    Mutant(
        name="a key may be spelled in four ways",
        path="common/trust/keys.py",
        old="if url_text(raw) != text:",
        new="if raw is None:",
        killed_by=(
            KEYS + "test_bytes_have_one_text",
            KEYS + "test_a_key_has_one_text",
            KEYS + "test_a_signature_has_one_text",
            ATTACKS + "test_a_key_has_one_form",
        ),
    ),
    Mutant(
        name="the bit that X25519 ignores makes another key",
        path="common/messages/sums.py",
        old='if int.from_bytes(raw, "little") >= _FIELD:',
        new='if int.from_bytes(raw, "little") % 2**255 >= _FIELD:',
        killed_by=(ATTACKS + "test_a_key_has_one_form",),
    ),
    Mutant(
        name="a point beyond the field makes another key",
        path="common/messages/sums.py",
        old='if int.from_bytes(raw, "little") >= _FIELD:',
        new='if int.from_bytes(raw, "little") >= 2**255:',
        killed_by=(ATTACKS + "test_a_key_has_one_form",),
    ),
    Mutant(
        name="an Ed25519 key has two forms",
        path="common/trust/keys.py",
        old='if int.from_bytes(raw, "little") % 2**255 >= _FIELD:',
        new="if raw is None:",
        killed_by=(KEYS + "test_a_key_is_a_point_in_its_one_form",),
    ),
    Mutant(
        name="a share of shared noise is approved whatever it costs alone",
        path=RULES,
        old="if plan.masked and alone > limit:",
        new="if plan.masked and alone > limit and limit < 0:",
        killed_by=(
            "tests/client/gateway/test_gateway_sums.py::"
            "test_the_policy_approves_shared_noise_by_what_the_silo_alone_would_spend",
            "tests/client/gateway/test_gateway_sums.py::"
            "test_neither_limit_of_shared_noise_makes_up_for_the_other",
        ),
    ),
    Mutant(
        name="a sum is approved by the limit of the share alone",
        path=RULES,
        old="    if epsilon > approval.max_epsilon:\n",
        new="    if not plan.masked and epsilon > approval.max_epsilon:\n",
        killed_by=(
            "tests/client/gateway/test_gateway_sums.py::"
            "test_neither_limit_of_shared_noise_makes_up_for_the_other",
        ),
    ),
    Mutant(
        name="a silo's own release leaves where its policy asks for sums",
        path="client/policy/limits.py",
        old="    if fewest < policy.silos_in_sum:\n",
        new="    if fewest < min(policy.silos_in_sum, 1):\n",
        killed_by=(_COMPANY + "[policy]", _COMPANY + "[person]"),
    ),
    Mutant(
        name="silos that lack a column count towards its sum",
        path="common/plan/company.py",
        old="    return min(sum(other <= own for other in lacks) for own in lacks)\n",
        new="    return len(lacks)\n",
        killed_by=(
            "tests/common/plan/test_company.py::"
            "test_a_marginal_of_three_columns_counts_where_the_method_may_ask_it[aim-1]",
        ),
    ),
)
