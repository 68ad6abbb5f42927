"""Backup, mirror and loss: what is charged for what is gone, and what is never drawn again."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

RECOVER, MIRROR, BATCH, ROWS = (
    "client/silo/recover.py",
    "client/ledger/mirror.py",
    "client/ledger/batch.py",
    "client/ledger/rows.py",
)
ACCOUNT, BACKUP, FILES = (
    "common/audit/account.py",
    "client/silo/backup.py",
    "common/files.py",
)
LOST, MIRRORED = "tests/client/silo/test_recover.py::", "tests/client/ledger/test_mirror.py::"

MUTANTS = (
    # What is charged
    Mutant(
        name="a recovery refunds what ran since the backup",
        path=RECOVER,
        old="replace(whole, units=max(0, whole.units - charged))",
        new="replace(whole, units=0)",
        killed_by=(LOST + "test_a_restored_ledger_is_charged_every_approved_plan_in_full",),
    ),
    Mutant(
        name="a recovery leaves what no copy holds unspent",
        path=RECOVER,
        old="left = cap.units - owed.known.spent.get(scope, 0)",
        new="left = 0",
        killed_by=(
            LOST + "test_a_restored_ledger_whose_plans_are_not_known_has_nothing_left",
            LOST + "test_a_ledger_of_which_nothing_is_left_has_nothing_left_to_spend",
        ),
    ),
    Mutant(
        name="plans that are gone cost nothing",
        path=RECOVER,
        old="    if named := named - plans.keys()",
        new="    if named := named - named",
        killed_by=(LOST + "test_plans_that_are_not_whole_are_noticed",),
    ),
    Mutant(
        name="what an earlier recovery charged pays for a later loss",
        path=RECOVER,
        old="    if newest:\n        charged +=",
        new="    if newest is not None:\n        charged +=",
        killed_by=(LOST + "test_what_an_earlier_recovery_charged_pays_for_no_later_loss",),
    ),
    Mutant(
        name="lives of which a backup knows nothing cost nothing",
        path=RECOVER,
        old="newest=newest, lives=len(lives))",
        new="newest=newest, lives=0)",
        killed_by=(LOST + "test_a_backup_of_before_an_earlier_recovery_pays_for_every_life_since",),
    ),
    Mutant(
        name="a copied ledger is the newest beside notes of recoveries that it lacks",
        path=RECOVER,
        old='    if old:\n        raise InvalidCopy(\n            "the ledger given',
        new='    if not found:\n        raise InvalidCopy(\n            "the ledger given',
        killed_by=(LOST + "test_a_ledger_of_before_a_recovery_is_not_served_and_not_the_newest",),
    ),
    Mutant(
        name="a ledger of before a recovery is served",
        path="client/ledger/ledger.py",
        old="            self._know(recoveries)",
        new="            pass",
        killed_by=(LOST + "test_a_ledger_of_before_a_recovery_is_not_served_and_not_the_newest",),
    ),
    Mutant(
        name="a copy of the ledger's file is the newest",
        path=RECOVER,
        old="    newest = newest or (live",
        new="    newest = newest or _longest(found, CopyKind.LEDGER) or (live",
        killed_by=(LOST + "test_a_copied_ledger_is_the_newest_only_where_a_person_says_so",),
    ),
    Mutant(
        name="a mirror that is shorter than was noted is live",
        path=RECOVER,
        old="old = bool(lives) or len(rows) < noted.entries",
        new="old = bool(lives)",
        killed_by=(LOST + "test_a_mirror_that_is_shorter_than_was_noted_is_not_live",),
    ),
    Mutant(
        name="a mirror of which nothing is noted is live",
        path=RECOVER,
        old="noted.made and noted.path == mirror and not old",
        new="not old",
        killed_by=(
            LOST
            + "test_a_mirror_of_which_nothing_is_noted_is_the_newest_only_where_a_person_says_so",
        ),
    ),
    Mutant(
        name="a recovery is not noted when its ledger is served",
        path="client/silo/assemble.py",
        old="    begin_life(Path(policy.silo.directory))",
        new="    pass",
        killed_by=(LOST + "test_a_backup_of_before_an_earlier_recovery_pays_for_every_life_since",),
    ),
    Mutant(
        name="what receipts prove is not charged where less is left",
        path=RECOVER,
        old="units=max(left, proven)",
        new="units=left",
        killed_by=(LOST + "test_all_that_is_left_is_no_less_than_what_receipts_prove",),
    ),
    Mutant(
        name="a receipt whose plan is gone cost nothing",
        path=RECOVER,
        old="if scope in payers.get(r.plan_digest, scopes))",
        new="if scope in payers.get(r.plan_digest, ()))",
        killed_by=(LOST + "test_all_that_is_left_is_no_less_than_what_receipts_prove",),
    ),
    Mutant(
        name="a loss is forgotten at another order",
        path=ACCOUNT,
        old="spent += sum(units or 0 for units in lost)",
        new="spent += 0",
        killed_by=(LOST + "test_what_was_granted_after_a_loss_can_be_spent_and_no_more",),
    ),
    Mutant(
        name="a loss is bounded at every order",
        path=ACCOUNT,
        old="return max(spent, cap.units) if None in lost else spent",
        new="return spent",
        killed_by=(LOST + "test_what_was_granted_after_a_loss_can_be_spent_and_no_more",),
    ),
    # What is a mirror
    Mutant(
        name="any copy of a mirror is the newest",
        path=RECOVER,
        old="if path is None or where.resolve() == path.resolve()",
        new="if where is not path",
        killed_by=(LOST + "test_an_old_copy_of_a_mirror_is_no_mirror",),
    ),
    Mutant(
        name="a mirror that was cut off is whole",
        path=RECOVER,
        old="c.kind is kind and not c.torn and len(c.rows) == length",
        new="c.kind is kind and len(c.rows) == length",
        killed_by=(LOST + "test_a_mirror_that_is_torn_or_given_up_is_a_backup",),
    ),
    Mutant(
        name="a mirror that an audit has overtaken is whole",
        path=RECOVER,
        old="c.kind is kind and not c.torn and len(c.rows) == length",
        new="c.kind is kind and not c.torn",
        killed_by=(
            LOST + "test_an_audit_that_is_newer_than_the_mirror_shows_that_it_was_given_up",
        ),
    ),
    Mutant(
        name="a mirror that is given up still passes for one",
        path=MIRROR,
        old="        _retire(before, note=note)",
        new="        note.unlink()",
        killed_by=(
            MIRRORED + "test_a_mirror_that_is_given_up_says_so_and_is_one_again_when_named",
            MIRRORED + "test_a_mirror_that_is_away_is_not_given_up_in_silence",
        ),
    ),
    Mutant(
        name="a ledger behind its mirror is opened",
        path=MIRROR,
        old="if row is None or row[0] != known.account.head:",
        new="if row is not None and row[0] != known.account.head:",
        killed_by=(MIRRORED + "test_a_ledger_behind_its_mirror_is_refused",),
    ),
    Mutant(
        name="an older mirror in the place of the newest is gone on with",
        path=MIRROR,
        old="known.account.entries < noted.entries",
        new="known.account.entries < 0",
        killed_by=(MIRRORED + "test_an_old_mirror_under_the_mount_point_is_not_gone_on_with",),
    ),
    Mutant(
        name="the mirror is written after the answer",
        path=BATCH,
        old="""                self._follow(self._connection)
        except BaseException as err:
            self._fail(_as_failure(err))
            for job in jobs:
                job.fail(_as_failure(err), err)
            if not isinstance(err, LedgerUnavailable):
                raise
        else:
            for job in jobs:
                job.deliver()
""",
        new="""                pass
        except BaseException as err:
            self._fail(_as_failure(err))
            for job in jobs:
                job.fail(_as_failure(err), err)
            if not isinstance(err, LedgerUnavailable):
                raise
        else:
            for job in jobs:
                job.deliver()
            self._follow(self._connection)
""",
        killed_by=(MIRRORED + "test_an_answer_is_in_the_mirror_before_it_is_handed_over",),
    ),
    Mutant(
        name="a mirror is not synced",
        path=MIRROR,
        old="            os.fsync(self._descriptor)\n            if",
        new="            if",
        killed_by=(MIRRORED + "test_what_left_is_in_the_mirror_when_the_power_is_back",),
    ),
    # What is a backup
    Mutant(
        name="a backup is not synced",
        path=FILES,
        old="        _sync(part)\n        part.replace(path)",
        new="        part.replace(path)",
        killed_by=(LOST + "test_a_backup_is_there_when_the_power_is_back",),
    ),
    Mutant(
        name="a backup that is cut off is whole",
        path=BACKUP,
        old="if copy.end is None or copy.torn:",
        new="if copy.end is None:",
        killed_by=(LOST + "test_a_backup_with_something_behind_its_end_is_refused",),
    ),
    Mutant(
        name="a backup need not be the one that was signed",
        path=BACKUP,
        old="    if opened.body != stated:",
        new="    if opened.body == b'':",
        killed_by=(LOST + "test_a_backup_that_lost_its_last_entries_is_refused",),
    ),
    # What is drawn again
    Mutant(
        name="what was answered before a loss is drawn again",
        path=ROWS,
        old='"SELECT 1 FROM lost WHERE request = ?", request_id',
        new='"SELECT 1 FROM lost WHERE request = ? AND 0", request_id',
        killed_by=(
            LOST + "test_what_was_answered_is_not_drawn_again_and_its_receipt_fences_nobody",
        ),
    ),
    Mutant(
        name="a recovery leaves the secrets of masks in place",
        path=RECOVER,
        old="        _move_away(recovery.sums)",
        new="        pass",
        killed_by=(
            LOST + "test_a_mask_that_was_sent_is_not_made_again[all]",
            LOST + "test_a_mask_that_was_sent_is_not_made_again[plans]",
        ),
    ),
    Mutant(
        name="an older roster is gone by in silence",
        path=RECOVER,
        old="    if recovery.basis is not Basis.MIRROR:\n        for",
        new="    if recovery.basis is Basis.MIRROR:\n        for",
        killed_by=(LOST + "test_a_person_is_told_to_compare_rosters_and_refusals",),
    ),
    Mutant(
        name="a backup's open charge is drawn for again",
        path=RECOVER,
        old="gone.lost | _unanswered(known)",
        new="gone.lost",
        killed_by=(
            LOST + "test_a_request_that_was_charged_at_the_backup_may_have_been_answered_since",
        ),
    ),
    # What is left
    Mutant(
        name="a plan is held against whole budgets alone",
        path="client/silo/foresight.py",
        old="if plan_price(plan, order=cap.order) > left:",
        new="if plan_price(plan, order=cap.order) > cap.units:",
        killed_by=("tests/client/silo/test_foresight.py::test_what_is_foreseen_is_answered",),
    ),
)
