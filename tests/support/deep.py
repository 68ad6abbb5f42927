"""What ``make deep`` walks whole, and the cells of it that ``make test`` runs every time.

A matrix says one thing over many cells: each mutant, each death at each step, each audit. What
breaks the promise as such shows in the few cells that are kept; what breaks one cell alone shows in
``make deep``, which CI runs after ``make test``. What stands in no matrix is in ``make test``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Depth(StrEnum):
    """Which tests a session runs."""

    USUAL = "usual"
    DEEP = "deep"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """``cells`` are files, functions or cases by their node ids; those in ``kept`` run every time.

    What is kept may stand elsewhere: a test that proves in one case what the matrix does in many.
    A name that ends in ``*`` is the begin of one.
    """

    cells: tuple[str, ...]
    kept: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.kept:
            raise ValueError(f"nothing watches {self.cells} in make test")

    def has(self, node: str) -> bool:
        """Say whether a test is a cell that is not kept."""
        return _among(node, self.cells) and not _among(node, self.kept)


KEPT_MUTANTS = (
    "a plan belongs to whoever asks",
    "a worker goes on from a ledger that another has written since",
    "a roster may name silos that nobody pinned",
    "one marginal too many",
    "attempts left out of the cost",
    "families: the weights of one marginal are left out",
    "a local step follows the sum before noise",
    "a row above the bound is added after truncation",
    "a silo answers for a column that it does not hold",
    "a page decides without the code",
    "training asks those who are held out, too",
    "a recovery refunds what ran since the backup",
    "a coordinator's change is gone by at once",
    "rules: a made-up column is loaded by the gateway",
    "codes in memory outlive the rows that were deleted",
    "masks that do not depend on the set of participants",
    "values: histograms leave without noise",
    "projections: sums are left out of the norm",
    "central images: pictures are summed without clipping",
    "votes: a person votes above the cap",
    "an epoch is begun before its day",
    "links: a table may be called as a row before is",
    "reading: one text with nanoseconds has all others read one by one",
)
"""At least one of each place under tests/privacy/mutants."""


def _cells(path: str, test: str, *kept: str) -> Matrix:
    """Return the cases of one test, of which some are kept; ``*`` stands for any end of a name."""
    node = f"tests/{path}::{test}"
    return Matrix(cells=(node,), kept=tuple(f"{node}[{case}" for case in kept))


def _tests(path: str, *tests: str, kept: Sequence[str]) -> Matrix:
    """Return tests of one file that others watch for: in this file, or in one that is named."""
    here = [name if "::" in name else f"{path}::{name}" for name in kept]
    return Matrix(
        cells=tuple(f"tests/{path}::{test}" for test in tests),
        kept=tuple(f"tests/{name}" for name in here),
    )


PROCESSES = (
    _cells(
        "faults/test_kills_series.py",
        "test_an_epoch_is_answered_and_charged_once_wherever_its_silo_dies",
        "after-charge]",
    ),
    _cells(
        "faults/test_kills_vectors.py",
        "test_whole_rows_are_answered_and_charged_once_wherever_their_silo_dies",
        "votes-pictures-after-charge]",
    ),
    _cells(
        "simulations/audit/test_shown.py",
        "test_canaries_reach_what_is_charged_and_no_more",
        *("texts-True]", "central-False]", "projection-False]"),
    ),
    _cells(
        "simulations/audit/test_shown.py",
        "test_whoever_lets_out_more_of_whole_rows_is_found",
        *("texts-vote_above_the_cap]", "projection-leave_the_norm_unbounded]"),
        "central-leave_the_norm_unbounded]",
    ),
    _cells(
        "simulations/audit/test_families.py",
        "test_canaries_reach_most_of_what_is_charged",
        "shared]",
    ),
    _cells(
        "simulations/audit/test_families.py",
        "test_whoever_lets_out_more_of_families_is_found",
        *("halve_the_noise-10]", "weigh_nobody-4]"),
    ),
    # Each kind of process dies, with own and with shared noise; broken ones are noticed.
    _cells(
        "processes/test_kill_matrix.py",
        "test_gateways_that_are_killed_change_nothing",
        "own noise, gateway-north at propose:received 1*",
        "shared noise, gateway-south at keys:verified 1*",
    ),
    _cells(
        "processes/test_kill_matrix.py",
        "test_a_coordinator_that_is_killed_is_resumed_to_the_same_end",
        "own noise, coordinator at propose:after-send 1*",
        "shared noise, coordinator at keys:after-send 1*",
    ),
    _tests(
        "processes/test_kill_matrix.py",
        "test_a_run_over_several_tables_survives_the_death_of_each_part",
        "test_people_held_out_are_asked_once_whoever_dies",
        "test_a_silo_that_stays_dead_is_named_and_the_run_resumes_once_it_is_back[shared]",
        "test_a_silo_lost_after_the_set_is_signed_burns_the_sum_and_the_next_is_a_new_charge",
        kept=("test_a_silo_that_stays_dead_is_named_and_the_run_resumes_once_it_is_back[own]",),
    ),
    _cells(
        "processes/test_kill_mutants.py", "test_a_mutant_dies_in_the_matrix", "charge-after-read]"
    ),
    _cells(
        "processes/test_kill_mutants.py", "test_a_mutant_dies_in_the_matrix_of_sums", "masks-anew]"
    ),
    _cells(
        "processes/test_kills_over_flower.py",
        "test_whoever_is_killed_every_run_ends_in_its_sampler",
        *("0]", "5]", "7]"),
    ),
    _tests(
        "processes/test_kills_over_flower.py",
        "test_no_token_gets_out_of_a_federation_and_a_mutant_is_caught",
        kept=(
            "test_the_search_finds_a_token_however_it_is_spelled",
            "processes/test_kill_matrix.py::"
            "test_no_value_of_the_tables_is_in_anything_that_the_dead_left",
        ),
    ),
    # Each wave above is a run over SuperLink, SuperNodes and relays, as its twin's in one process.
    Matrix(
        cells=("tests/processes/test_federation.py",),
        kept=(
            "tests/processes/test_kills_over_flower.py::"
            "test_whoever_is_killed_every_run_ends_in_its_sampler[0]",
        ),
    ),
    _tests(
        "processes/test_proxy.py",
        "test_a_run_goes_by_a_proxy_that_asks_for_a_word",
        kept=(
            "processes/test_reverse_proxy.py::test_a_large_answer_passes_and_anybody_gets_the_time",
        ),
    ),
    _tests(
        "processes/test_reverse_proxy.py",
        "test_a_run_goes_by_the_shipped_file_and_nobody_is_held_up",
        kept=("test_who_is_no_coordinator_reaches_the_silos_paths_alone",),
    ),
    _tests(
        "deploy/test_container_rights.py",
        "test_a_gateway_starts_stops_and_starts_again_whatever_ended_it",
        kept=("test_a_second_ledger_is_not_made_beside_a_first_or_after_it_was_lost",),
    ),
    _cells(
        "faults/test_hostile_fuzz.py",
        "test_mutated_messages_neither_crash_nor_hang_nor_leak",
        "5000]",
    ),
    _cells(
        "faults/test_ledger_random_faults.py",
        "test_random_operations_with_kills_follow_the_model",
        "6000]",
    ),
    _cells(
        "faults/test_ledger_faults.py",
        "test_no_kill_leaves_a_release_without_a_charge_or_changes_a_replay",
        "10]",
    ),
    _cells(
        "faults/test_ledger_faults.py",
        "test_no_kill_among_sixteen_threads_loses_a_charge_that_was_acknowledged",
        "4]",
    ),
    _tests(
        "faults/test_kills_joining.py",
        "test_a_coordinator_that_dies_as_it_answers_signs_one_change_and_one_kit",
        kept=("test_a_silo_that_dies_as_it_asks_asks_again_with_whole_keys",),
    ),
)
PRIVACY = (
    _cells(
        "privacy/test_mutants.py",
        "test_a_mutant_dies_by_each_test_that_is_named",
        *(f"{name}]" for name in KEPT_MUTANTS),
    ),
    _tests(
        "privacy/test_mutants.py",
        "test_a_test_that_cannot_run_kills_nothing",
        "test_a_mutant_that_no_named_test_notices_is_told",
        kept=(f"test_a_mutant_dies_by_each_test_that_is_named[{KEPT_MUTANTS[0]}]",),
    ),
    _cells(
        "simulations/audit/test_audit.py",
        "test_canaries_reach_the_whole_of_what_is_charged",
        *("mst-False-1]", "mixture-True-2]"),
    ),
    _cells(
        "simulations/audit/test_audit.py",
        "test_whoever_lets_out_more_is_found",
        "halve_the_noise-10]",
    ),
    _cells(
        "simulations/audit/test_audit.py",
        "test_whoever_lets_out_more_of_those_who_are_learnt_from_is_found",
        *("halve_the_noise-10]", "leave_the_clip_out-4]"),
    ),
    _cells(
        "simulations/audit/test_audit.py",
        "test_a_little_less_noise_than_is_said_is_found",
        "shares]",
    ),
    _cells(
        "common/certificate/test_certificate_check.py",
        "test_every_method_is_proven_by_one_accountant_and_refuted_by_none",
        *("mst-own]", "aim-shared]", "one-shot-own]", "dp-sgd-own]"),
    ),
)
RUNS = (
    _cells("bench/test_gpu.py", "test_a_part_of_the_check_passes_on_a_processor", "1]"),
    _cells(
        "simulations/test_values.py",
        "test_values_come_out_as_they_went_in",
        *("independent]", "shared]"),
    ),
    _cells(
        "simulations/test_rules.py", "test_each_method_keeps_rules_or_draws_again", "independent]"
    ),
    _cells("simulations/test_training.py", "test_a_run_learns_what_depends_on_what", "own]"),
    _cells(
        "simulations/test_training.py",
        "test_every_optimiser_runs_and_public_sizes_need_no_counts",
        "sgd]",
    ),
    _cells(
        "simulations/test_training.py",
        "test_a_run_resumes_without_charging_twice_and_ends_in_the_same_weights",
        "shared]",
    ),
    _cells(
        "simulations/test_lacks.py",
        "test_pairs_that_somebody_holds_are_as_they_are_and_the_others_follow_from_what_is_shared",
        *("mst]", "shared]"),
    ),
    _cells(
        "server/model/test_zeros.py",
        "test_a_zero_may_lie_anywhere_in_the_tree",
        *("ab-numpy]", "cd-numpy]", "bc-torch]"),
    ),
    _cells(
        "simulations/scenario/test_scenarios.py",
        "test_what_holds_in_every_scenario",
        *("uniform]", "slow]", "lossy]", "crash-mst]", "shared-lossy]", "answers-lost]"),
    ),
    _cells("simulations/scenario/test_scenarios.py", "test_the_gallery_runs", "crashes]", "calm]"),
    _cells(
        "server/generator/test_training.py",
        "test_images_and_texts_are_learnt_by_a_small_transformer_that_sees_where_codes_stand",
        "image]",
    ),
    _cells("simulations/test_modalities.py", "test_the_whole_walk", "text]"),
    _tests(
        "simulations/test_cluster.py",
        "test_ctrl_c_stops_a_run_that_then_ends_as_plain_calls_do",
        kept=("test_readme.py::test_the_python_of_the_readme_runs_as_printed",),
    ),
    _tests(
        "simulations/test_shared_noise.py",
        "test_shared_noise_over_flower_ends_as_plain_calls_do_and_says_nothing_to_others",
        kept=(
            "test_every_method_works_on_sums",
            "test_readme.py::test_the_python_of_the_readme_runs_as_printed",
        ),
    ),
    _tests(
        "simulations/sweep/test_sweep_on_ray.py",
        "test_a_cluster_of_two_nodes_runs_a_sweep_and_goes_on_with_it",
        kept=("test_an_address_where_no_cluster_is_is_refused_in_one_line",),
    ),
    _tests(
        "simulations/sweep/test_sweep.py",
        "test_a_sweep_that_is_stopped_says_so_once",
        kept=("test_a_sweep_is_resumed_and_its_files_agree",),
    ),
    # Real time: a federation of processes, started once for all of its worlds; and one over Ray.
    _tests(
        "simulations/real_time/test_real_time.py",
        "test_what_holds_by_the_virtual_clock_holds_over_flower",
        kept=(
            "simulations/real_time/test_link.py::"
            "test_nothing_passes_while_a_silo_is_cut_off_and_all_of_it_afterwards",
            "processes/test_kills_over_flower.py::"
            "test_whoever_is_killed_every_run_ends_in_its_sampler[0]",
        ),
    ),
    _tests(
        "simulations/real_time/test_on_ray.py",
        "test_silos_on_two_nodes_of_a_cluster_are_one_federation",
        kept=("test_an_address_where_no_cluster_is_is_refused_in_one_line",),
    ),
    _tests(
        "simulations/test_demo_digits.py",
        "test_the_whole_demonstration",
        kept=("simulations/test_one_shot.py::test_the_whole_walk_and_a_crash_before_the_sampler",),
    ),
    _tests(
        "simulations/test_pretrained_learns.py",
        "test_a_run_learns_which_texts_go_with_which_label",
        kept=("simulations/test_pretrained.py::test_the_whole_walk_by_the_command_line",),
    ),
    _cells(
        "simulations/test_pretrained.py",
        "test_a_run_resumes_without_charging_twice_and_holds_adapters_alone",
        "own]",
    ),
    _tests(
        "common/cli/test_parts.py",
        "test_a_coordinator_works_without_the_packages_of_the_others",
        kept=("test_a_silo_works_without_the_packages_of_the_others",),
    ),
)
MATRICES = (*PROCESSES, *PRIVACY, *RUNS)
TWICE = (
    "tests/privacy/test_mutants.py::test_the_tests_that_kill_are_green_without_a_mutant",
    "tests/processes/test_kill_matrix.py::"
    "test_no_value_of_the_tables_is_in_anything_that_the_dead_left",
    "tests/processes/test_kill_matrix.py::"
    "test_no_value_of_the_tables_is_on_any_page_of_the_coordinator",
)
"""Tests about all cells that ran before them: they run with the few and with the others."""


_BY_FILE = {
    path: tuple(m for m in MATRICES if any(n.partition("::")[0] == path for n in m.cells))
    for path in {name.partition("::")[0] for matrix in MATRICES for name in matrix.cells}
}


def is_deep(node: str) -> bool:
    """Say whether ``make test`` leaves a test, by its node id, to ``make deep``."""
    return any(matrix.has(node) for matrix in _BY_FILE.get(node.partition("::")[0], ()))


def chosen(nodes: Sequence[str], *, depth: Depth, named: Iterable[str]) -> list[bool]:
    """Say of each test whether it runs; what somebody names by itself always does."""
    asked = tuple(named)
    return [
        depth is Depth.ALL
        or _among(node, (*asked, *TWICE))
        or is_deep(node) == (depth is Depth.DEEP)
        for node in nodes
    ]


def unwatched(
    nodes: Sequence[str],
    *,
    matrices: Sequence[Matrix] = MATRICES,
    twice: Sequence[str] = TWICE,
) -> list[str]:
    """Return what is said to be a cell, or to be kept, in files that were collected, and is not."""
    by_file: dict[str, list[str]] = {}
    for node in nodes:
        by_file.setdefault(node.partition("::")[0], []).append(node)
    said = [(name, False) for matrix in matrices for name in matrix.cells]
    said += [(name, True) for matrix in matrices for name in matrix.kept]
    said += [(name, True) for name in twice]

    def is_there(name: str, *, every_time: bool) -> bool:
        found = [n for n in by_file[name.partition("::")[0]] if _belongs(n, name)]
        return any(not (every_time and any(m.has(n) for m in matrices)) for n in found)

    here = [(name, kept) for name, kept in said if name.partition("::")[0] in by_file]
    return [name for name, kept in here if not is_there(name, every_time=kept)]


def _among(node: str, named: Iterable[str]) -> bool:
    """Say whether a test is one of these, or a case of one."""
    return any(_belongs(node, name) for name in named)


def _belongs(node: str, name: str) -> bool:
    if name.endswith("*"):
        return node.startswith(name[:-1])
    return node == name or node.startswith((f"{name}[", f"{name}::"))
