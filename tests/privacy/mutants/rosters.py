"""Rosters: who may change whom a silo's masks and plans rely on, and to which version."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

BOOK, ROSTER, REQUEST = (
    "client/roster/book.py",
    "common/roster/roster.py",
    "common/roster/request.py",
)
VERIFY, DECISIONS, DESK = (
    "client/gateway/verify.py",
    "client/ledger/decisions.py",
    "client/desk/desk.py",
)
ATTACKS = "tests/privacy/test_roster_attacks.py::"
NETWORK = "tests/client/serving/test_no_network.py::"

MUTANTS = (
    # Who may change a roster
    Mutant(
        name="a kit's schema may name files of the silo's machine",
        path="client/silo/join.py",
        old='sent = any_schema_of_text(kit.schema_text, origin="the kit\'s schema")\n'
        "        replace_file(new.schema, dump_any_schema(sent).encode(), mode=0o644)",
        new="replace_file(new.schema, kit.schema_text.encode(), mode=0o644)",
        killed_by=(
            "tests/server/federation/test_roster_commands.py::"
            "test_a_kits_schema_reads_no_file_of_the_silo_and_nothing_is_left_of_a_wrong_one",
        ),
    ),
    Mutant(
        name="a coordinator's change is gone by at once",
        path=BOOK,
        old="        if self.rules.vouchers is None or len(seen) < self.rules.vouchers:",
        new="        if len(seen) < (self.rules.vouchers or 0):",
        killed_by=(ATTACKS + "test_a_coordinators_signature_lets_nobody_in",),
    ),
    Mutant(
        name="any coordinator of the policy may as well be anybody",
        path=ROSTER,
        old="opened: Opened = unseal(data, purpose=Purpose.ROSTER, trusted=trusted)",
        new="from silosynth.common.trust.seal import signer_of\n"
        "    opened = unseal(data, purpose=Purpose.ROSTER, trusted={signer_of(data) or ''})",
        killed_by=(ATTACKS + "test_a_strangers_change_does_not_even_wait",),
    ),
    Mutant(
        name="a refusal of a change is forgotten",
        path=BOOK,
        old="if decision is not None and decision.verdict is not Verdict.APPROVED:",
        new="if decision is not None and decision.verdict is None:",
        killed_by=(ATTACKS + "test_a_refusal_stands_until_a_person_takes_it_back",),
    ),
    Mutant(
        name="the operator alone approves where approvers must sign",
        path=DESK,
        old="        needed = self._policy.approving().needed\n        if needed:",
        new="        needed = self._policy.approving().needed\n        if needed > 9:",
        killed_by=(ATTACKS + "test_a_policy_with_approvers_asks_them_about_rosters_too",),
    ),
    # Keys
    Mutant(
        name="a plan is held against the first roster for ever",
        path=VERIFY,
        old="check_roster(rosters[-1] if rosters else None, plan, silo=door.silo)",
        new="check_roster(rosters[0] if rosters else None, plan, silo=door.silo)",
        killed_by=(ATTACKS + "test_a_silo_comes_in_with_a_persons_approval_and_without_a_restart",),
    ),
    Mutant(
        name="a plan is answered by any roster that ever was",
        path=VERIFY,
        old="if ended and any(",
        new="if any(",
        killed_by=(
            ATTACKS + "test_a_silo_that_left_is_answered_no_more_in_a_run_that_had_begun",
            ATTACKS + "test_an_older_roster_does_not_come_back",
        ),
    ),
    Mutant(
        name="what held once holds for ever, whatever roster is gone by",
        path="client/gateway/gateway.py",
        old="return self._verified(plan, len(self._ledger.rosters))",
        new="return self._verified(plan, 0)",
        killed_by=(ATTACKS + "test_a_silo_that_left_is_answered_no_more_in_a_run_that_had_begun",),
    ),
    Mutant(
        name="nobody asks whether the key's holder asked",
        path=REQUEST,
        old="purpose=Purpose.JOIN, trusted={self.asked.key})",
        new="purpose=Purpose.JOIN, trusted={self.signature.key})",
        killed_by=(ATTACKS + "test_nobodys_key_is_entered_without_its_holder",),
    ),
    Mutant(
        name="a request for another place is as good",
        path=ROSTER,
        old="if (asked.project, asked.silo, asked.key) != (now.project, silo, key):",
        new="if asked.key != key:",
        killed_by=(ATTACKS + "test_nobodys_key_is_entered_without_its_holder",),
    ),
    Mutant(
        name="the signature of the key before may be anybody's",
        path=REQUEST,
        old="            former = {self.asked.replaces}",
        new="            former = {self.by_previous.key}",
        killed_by=(ATTACKS + "test_the_old_keys_signature_cannot_be_made_up",),
    ),
    Mutant(
        name="a silo's own key is the coordinator's to change",
        path=BOOK,
        old="if change.silos.get(self.silo) != own:",
        new="if own == '':",
        killed_by=(ATTACKS + "test_this_silos_own_place_is_not_the_coordinators_to_change",),
    ),
    Mutant(
        name="a coordinator may be a silo too",
        path=BOOK,
        old="if others & set(change.silos.values()):",
        new="if others & {''}:",
        killed_by=(ATTACKS + "test_a_key_of_another_role_or_place_is_no_silos",),
    ),
    Mutant(
        name="receipts of the key before bind nobody",
        path="client/gateway/proposals.py",
        old="trusted = {self.door.identity.key.public, *self.door.identity.former}",
        new="trusted = {self.door.identity.key.public}",
        killed_by=(ATTACKS + "test_a_silo_with_a_new_key_is_bound_by_receipts_of_the_old_one",),
    ),
    # Older rosters, and two of one version
    Mutant(
        name="a change fits on any roster",
        path=ROSTER,
        old="""    if (change.project, change.roster, change.previous) != (
        now.project,
        now.version + 1,
        now.digest,
    ):""",
        new="    if change.project != now.project:",
        killed_by=(
            ATTACKS + "test_an_older_roster_does_not_come_back",
            ATTACKS + "test_of_two_changes_of_one_version_one_alone_is_ever_gone_by",
        ),
    ),
    Mutant(
        name="the ledger takes any version",
        path=DECISIONS,
        old="if row is not None and row[0] is not None and step.version <= row[0]:",
        new="if row is not None and row[0] is not None and step.version < row[0]:",
        killed_by=(
            ATTACKS + "test_the_ledger_takes_no_version_twice_even_where_two_decide_at_once",
        ),
    ),
    Mutant(
        name="a roster edited under a change is not noticed",
        path=BOOK,
        old="if _change_of(step).previous != before.digest:",
        new="if _change_of(step).previous == '':",
        killed_by=(
            ATTACKS + "test_a_roster_edited_under_a_change_is_noticed_and_a_new_beginning_is_said",
        ),
    ),
    # The rule that an operator may write
    Mutant(
        name="who comes in or leaves has a say",
        path=BOOK,
        old="if name != self.silo and change.silos.get(name) == key",
        new="if name != self.silo",
        killed_by=(
            ATTACKS + "test_vouchers_are_of_different_silos_that_stay_and_of_this_very_change",
        ),
    ),
    Mutant(
        name="a voucher for another change counts",
        path=BOOK,
        old="about == (change.digest, Answer.APPROVED, BY_PERSON)",
        new="about[1:] == (Answer.APPROVED, BY_PERSON)",
        killed_by=(
            ATTACKS + "test_vouchers_are_of_different_silos_that_stay_and_of_this_very_change",
        ),
    ),
    Mutant(
        name="who went by a rule vouches",
        path=BOOK,
        old="about == (change.digest, Answer.APPROVED, BY_PERSON)",
        new="about[:2] == (change.digest, Answer.APPROVED)",
        killed_by=(
            ATTACKS + "test_vouchers_are_of_different_silos_that_stay_and_of_this_very_change",
        ),
    ),
    Mutant(
        name="a voucher is whose it says that it is",
        path=BOOK,
        old="if said.silo == old[key] and about",
        new="if said.silo in old.values() and about",
        killed_by=(
            ATTACKS + "test_vouchers_are_of_different_silos_that_stay_and_of_this_very_change",
        ),
    ),
    # The gateway without a network
    Mutant(
        name="the filter looks at one thread alone",
        path="client/serving/no_network.py",
        old="_SET_FILTER, _ALL_THREADS = 1, 1",
        new="_SET_FILTER, _ALL_THREADS = 1, 0",
        killed_by=(NETWORK + "test_no_thread_and_no_child_opens_a_network_socket",),
    ),
    Mutant(
        name="another way to open sockets stays open",
        path="client/serving/no_network.py",
        old="        (_EQUAL, 5, 0, _RING),",
        new="        (_EQUAL, 0, 0, _RING),",
        killed_by=(NETWORK + "test_no_thread_and_no_child_opens_a_network_socket",),
    ),
)
