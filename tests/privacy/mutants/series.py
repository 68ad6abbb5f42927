"""Series: an epoch once, in order, within its caps, by the template that was approved."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

SERIES, ROWS = "client/gateway/series.py", "client/ledger/rows.py"
PROPOSALS, RULES = "client/gateway/proposals.py", "client/policy/rules.py"
EPOCHS = "tests/client/gateway/test_gateway_series.py::"

MUTANTS = (
    Mutant(
        name="a series starts with an empty account at each epoch",
        path=SERIES,
        old="name=plan.decided)",
        new="name=plan.digest)",
        killed_by=(EPOCHS + "test_a_person_approves_once_and_what_epochs_cost_adds_up",),
    ),
    Mutant(
        name="an epoch is charged to the policy's budgets alone",
        path=PROPOSALS,
        old=", *series_caps(plan))",
        new=",)",
        killed_by=(EPOCHS + "test_a_person_approves_once_and_what_epochs_cost_adds_up",),
    ),
    Mutant(
        name="an epoch is answered under two plans",
        path=SERIES,
        old="    if begun is not None:\n",
        new="    if False:\n",
        killed_by=(EPOCHS + "test_an_epoch_is_answered_once",),
    ),
    Mutant(
        name="the ledger charges an epoch to two plans",
        path=ROWS,
        old='if paid not in (None, facts.get("plan")):',
        new="if False:",
        killed_by=(EPOCHS + "test_the_ledger_itself_charges_an_epoch_to_one_plan",),
    ),
    Mutant(
        name="an epoch goes on after a later one stated what it cost",
        path=ROWS,
        old="if (later := later_epoch(connection, scope)) is not None:",
        new="if (later := None) is not None:",
        killed_by=(EPOCHS + "test_an_epoch_is_over_once_a_later_one_was_answered",),
    ),
    Mutant(
        name="what earlier epochs cost is looked at before the charge alone",
        path=ROWS,
        old='if paid is None and before > facts.get("before_units", 0):',
        new="if False:",
        killed_by=(
            EPOCHS + "test_what_earlier_epochs_cost_is_held_against_the_ledger_as_it_is_charged",
        ),
    ),
    Mutant(
        name="a series goes on after the ledger of its epochs was lost",
        path=SERIES,
        old="and series.due(1) <= recovered.date():",
        new="and False:",
        killed_by=(
            "tests/client/silo/test_recover_series.py::"
            "test_a_series_that_began_before_a_recovery_is_over",
        ),
    ),
    Mutant(
        name="a run has two results: its own, and one that goes by its template",
        path="client/gateway/deliveries.py",
        old="if proposed.digest != result.plan_digest:",
        new="if False:",
        killed_by=(EPOCHS + "test_a_result_is_an_epoch_s_and_no_template_s",),
    ),
    Mutant(
        name="a certificate rounds what a person lost to a series down",
        path="common/certificate/certify.py",
        old="rounded_up(units_epsilon(u, delta))",
        new="format(units_epsilon(u, delta), '.4g')",
        killed_by=(
            "tests/server/planning/test_epochs.py::"
            "test_no_epsilon_of_a_certificate_is_below_what_was_lost",
        ),
    ),
    Mutant(
        name="who approves a series of looks is not told that the sampler changes",
        path="client/desk/plan_in_words.py",
        old='about = "" if plan.get("evaluation") is None else',
        new='about = "" if True else',
        killed_by=(
            "tests/client/desk/test_desk.py::"
            "test_a_series_of_looks_says_that_each_is_about_any_sampler",
        ),
    ),
    Mutant(
        name="who approves a look is not told the norm that its noise is held against",
        path="client/desk/plan_in_words.py",
        old='if phase["name"] == "evaluation" and evaluation is not None:',
        new="if False:",
        killed_by=(
            "tests/client/desk/test_desk.py::"
            "test_a_look_at_a_sampler_says_what_its_noise_is_held_against",
        ),
    ),
    Mutant(
        name="an epoch is begun that cannot be paid whole",
        path=PROPOSALS,
        old="if signed.plan.series is not None and self._payer(signed) is None:",
        new="if False:",
        killed_by=(EPOCHS + "test_an_epoch_that_cannot_be_paid_whole_is_not_begun",),
    ),
    Mutant(
        name="an epoch is begun before its day",
        path=SERIES,
        old="if now.astimezone(UTC).date() < due:",
        new="if False:",
        killed_by=(EPOCHS + "test_no_epoch_is_begun_before_its_day",),
    ),
    Mutant(
        name="an epoch is begun by a clock that went back",
        path=SERIES,
        old="if now < newest - MOST_BACK:",
        new="if False:",
        killed_by=(EPOCHS + "test_a_clock_that_went_back_begins_no_epoch",),
    ),
    Mutant(
        name="a plan may say that earlier epochs cost nothing",
        path=SERIES,
        old="if spent > (series.before_units or 0):",
        new="if False:",
        killed_by=(EPOCHS + "test_a_lifetime_ends_a_series",),
    ),
    Mutant(
        name="a policy approves a series by itself",
        path=RULES,
        old="if plan.series is not None:",
        new="if False:",
        killed_by=(EPOCHS + "test_a_template_that_changes_is_refused",),
    ),
)
