"""Who is held out, and which of a person's two sums pays."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

PARTS, PARTING = "common/audit/scopes.py", "client/source/people.py"
COUNTERS = "common/held/counters.py"
EVALUATION = "tests/privacy/test_evaluation.py::"
LEDGER = "tests/client/ledger/test_ledger_parts.py::"
RECOVER = "tests/client/silo/test_recover.py::"
SOURCE = "tests/client/source/test_parting.py::"

MUTANTS = (
    Mutant(
        name="an evaluation charged to the sum of training",
        path=PARTS,
        old="if side is Side.TRAINING:",
        new="if side is not Side.EVALUATION or training < evaluation:",
        killed_by=(LEDGER + "test_what_is_spent_is_what_the_dearest_person_pays",),
    ),
    Mutant(
        name="a charge to everybody takes nothing where somebody is held out",
        path=PARTS,
        old="    key = scope, part.split\n",
        new='    key = scope, ""\n',
        killed_by=(LEDGER + "test_what_is_spent_is_what_the_dearest_person_pays",),
    ),
    Mutant(
        name="the smaller of two sums is spent",
        path=PARTS,
        old="return max(added(sums, side, units)) - max(sums)",
        new="return min(added(sums, side, units)) - min(sums)",
        killed_by=(LEDGER + "test_what_is_spent_is_what_the_dearest_person_pays",),
    ),
    Mutant(
        name="a person who is held out is counted in training",
        path=PARTING,
        old="return held if self.held_out else ~held",
        new="return held if self.held_out else np.ones(len(tags), dtype=bool)",
        killed_by=(
            SOURCE + "test_one_row_more_changes_one_part_by_that_row_alone",
            SOURCE + "test_a_person_is_in_one_part_with_all_rows",
            SOURCE + "test_the_parts_are_the_same_however_the_table_is_read",
        ),
    ),
    Mutant(
        name="two data sets that share one split",
        path=PARTING,
        old='derive(secret, b"splitting " + dataset.encode())',
        new='derive(secret, b"splitting ")',
        killed_by=(
            SOURCE + "test_another_secret_share_data_set_or_column_is_another_split",
            SOURCE + "test_what_two_data_sets_cost_one_project_adds_up",
        ),
    ),
    Mutant(
        name="a null in a dictionary moves others' tags",
        path=PARTING,
        old="number_persons(plain_persons(table[self.splitting.person_column]))",
        new=(
            "number_persons(table[self.splitting.person_column])\n        names = names.drop_null()"
        ),
        killed_by=(SOURCE + "test_a_null_among_the_words_of_a_dictionary_moves_nobody",),
    ),
    Mutant(
        name="training asks those who are held out, too",
        path="client/gateway/datasets.py",
        old="rows = self.rows if plan.held_out is None else self._part(plan, plan.held_out)",
        new="rows = self._part(plan, plan.held_out) if plan.evaluation else self.rows",
        killed_by=(EVALUATION + "test_a_person_moves_the_counts_of_one_part_alone",),
    ),
    Mutant(
        name="an evaluation is charged to those who were trained on",
        path="client/gateway/judged.py",
        old="side=Side.EVALUATION if plan.chosen.evaluates else Side.TRAINING",
        new="side=Side.TRAINING",
        killed_by=(EVALUATION + "test_one_person_pays_the_larger_of_two_sums[own]",),
    ),
    Mutant(
        name="halves of a larger norm than is paid for",
        path=COUNTERS,
        old="halves * np.concatenate(signed),",
        new="2 * halves * np.concatenate(signed),",
        killed_by=(EVALUATION + "test_no_row_moves_the_counters_beyond_the_bound",),
    ),
    Mutant(
        name="a bound that the plan states and nobody works out",
        path="client/gateway/judged.py",
        old="if norm_bound(inputs) > phase.bound:",
        new="if norm_bound(inputs) < 0:",
        killed_by=(EVALUATION + "test_what_does_not_follow_from_the_sampler_is_refused",),
    ),
    Mutant(
        name="inputs that the plan states and nobody works out",
        path="client/gateway/judged.py",
        old="if inputs_digest(inputs) != settings.inputs or",
        new="if",
        killed_by=(EVALUATION + "test_what_does_not_follow_from_the_sampler_is_refused",),
    ),
    Mutant(
        name="a person's rows are held out one by one",
        path=PARTING,
        old="taken[named] = self._takes(tags[person[named]])",
        new="taken[named] = self._takes(tags[(person[named] + named.nonzero()[0]) % len(tags)])",
        killed_by=(
            SOURCE + "test_a_person_is_in_one_part_with_all_rows",
            SOURCE + "test_the_parts_are_the_same_however_the_table_is_read",
        ),
    ),
    Mutant(
        name="a recovery forgets what the part that paid less may have paid",
        path="client/silo/recover.py",
        old=" + room(owed.known.parts, scope)",
        new="",
        killed_by=(RECOVER + "test_nobody_pays_twice_what_a_lost_evaluation_may_have_taken",),
    ),
    Mutant(
        name="a split goes on after a recovery as if nothing were lost",
        path=PARTS,
        old='return f"{_CLOSED}{place}-{digest}"',
        new="return split",
        killed_by=(
            LEDGER + "test_a_split_takes_no_charge_for_nothing_after_a_recovery",
            RECOVER + "test_nobody_pays_twice_what_a_lost_evaluation_may_have_taken",
        ),
    ),
    Mutant(
        name="a request goes on about other people than those who paid",
        path="client/ledger/rows.py",
        old="if stored is None and read_part(charged) != part:",
        new="if stored is None and read_part(charged) is None and part is not None:",
        killed_by=(LEDGER + "test_a_request_is_not_answered_about_others_than_those_who_paid",),
    ),
    Mutant(
        name="whoever is asked was held out, whatever the ledger says",
        path="client/gateway/judged.py",
        old="if part is None or paid != {",
        new="if part is None and paid != {",
        killed_by=(EVALUATION + "test_nobody_is_asked_as_one_held_out_who_was_not",),
    ),
    Mutant(
        name="what is said of a row depends on how many others are looked at",
        path="common/held/likelihood.py",
        old="""    total: np.ndarray = np.zeros(parts.shape[1])
    for part in parts:
        total += part
    return total
""",
        new="""    total: np.ndarray = parts.sum(axis=0)
    return total
""",
        killed_by=(
            "tests/common/sampler/test_components.py::"
            "test_what_is_said_of_a_row_is_the_same_whoever_else_is_there[1]",
        ),
    ),
)
