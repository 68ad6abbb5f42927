"""Changes to how a table is read and kept, each of which lets out more than was charged for."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_ERASURE = "tests/privacy/test_erasure.py"
_ONE_PERSON = "tests/client/source/test_one_person.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="codes in memory outlive the rows that were deleted",
        path="client/source/stream.py",
        old="if held is not None and not self._lifetime.holds(held.moment, plan=plan):",
        new="if False:",
        killed_by=(
            f"{_ERASURE}::test_a_table_of_500_persons_replaced_by_3_counts_3",
            f"{_ERASURE}::test_a_gateway_answers_its_next_plan_from_the_table_as_it_is",
        ),
    ),
    Mutant(
        name="a generator goes on learning from rows that were deleted",
        path="client/source/stream.py",
        old="                and self._lifetime.holds(kept.moment, plan=plan)\n",
        new="",
        killed_by=(
            f"{_ERASURE}::test_a_table_of_500_persons_replaced_by_3_counts_3",
            f"{_ERASURE}::test_rows_of_a_server_are_held_for_one_plan_and_an_hour_at_most",
        ),
    ),
    Mutant(
        name="rows of a server are held for every plan",
        path="client/source/caches/held.py",
        old="return plan is not None and plan == moment.plan",
        new="return True",
        killed_by=(
            f"{_ERASURE}::test_rows_of_a_server_are_held_for_one_plan_and_an_hour_at_most",
            f"{_ERASURE}::test_rows_that_are_asked_for_without_a_plan_are_read_each_time",
        ),
    ),
    Mutant(
        name="rows of a query are held for ever",
        path="client/source/caches/held.py",
        old="return self.seconds is None or 0 <= self.clock() - moment.read_at <= self.seconds",
        new="return True",
        killed_by=(
            f"{_ERASURE}::test_rows_of_a_server_are_held_for_one_plan_and_an_hour_at_most",
            f"{_ERASURE}::test_the_rows_of_a_query_last_an_hour_on_disk_as_in_memory",
        ),
    ),
    Mutant(
        name="codes from disk are taken for new each time that they are loaded",
        path="client/source/stream.py",
        old="replace(moment, read_at=stored.read_at)",
        new="replace(moment)",
        killed_by=(f"{_ERASURE}::test_the_rows_of_a_query_last_an_hour_on_disk_as_in_memory",),
    ),
    Mutant(
        name="what was deleted stays in a database as long as it stands in the log alone",
        path="client/source/caches/file_state.py",
        old='return [path, path.with_name(f"{path.name}.wal")]',
        new="return [path]",
        killed_by=(
            f"{_ERASURE}::test_a_table_of_500_persons_replaced_by_3_counts_3",
            f"{_ERASURE}::test_a_gateway_that_starts_again_does_not_count_from_its_disk_what_was_"
            "deleted",
        ),
    ),
    Mutant(
        name="a file that was written twice within a tick is taken for the same",
        path="client/source/caches/file_state.py",
        old="digest=None if settled else file_digest(files)",
        new="digest=None",
        killed_by=(
            f"{_ERASURE}::test_a_file_that_is_written_within_one_tick_of_its_clock_is_read_again",
        ),
    ),
    Mutant(
        name="a file whose times were put back is taken for the same",
        path="client/source/caches/file_state.py",
        old="times = (found.st_mtime_ns, found.st_ctime_ns)",
        new="times = (found.st_mtime_ns, 0)",
        killed_by=(f"{_ERASURE}::test_a_file_whose_times_are_put_back_is_read_again",),
    ),
    Mutant(
        name="codes of a table that changed stay on disk until somebody asks",
        path="client/source/caches/code_cache.py",
        old="if lifetime is None or facts is None or not lifetime.holds(facts.moment, plan=None):",
        new="if lifetime is None or facts is None:",
        killed_by=(
            f"{_ERASURE}::test_what_is_held_of_a_table_that_changed_is_dropped_before_anybody_asks",
        ),
    ),
    Mutant(
        name="codes of a data set that left the policy stay on disk",
        path="client/silo/assemble.py",
        old="            forget_codes(folder, lifetime=None)\n        for name",
        new="            folder.exists()\n        for name",
        killed_by=(
            f"{_ERASURE}::test_a_silo_that_opens_removes_codes_of_tables_that_changed_or_left_its_"
            "policy",
        ),
    ),
    Mutant(
        name="a CSV file is read by what gives up at one long or odd record",
        path="client/source/files.py",
        old="if legal and _suits_arrow(plain, delimiter=how.delimiter):",
        new="if True:",
        killed_by=(
            "tests/client/csv/test_csv_rows.py::test_one_row_of_any_kind_changes_at_most_its_own_cell"
            "[a quote that does not close-middle]",
            "tests/client/gateway/test_gateway_csv.py::"
            "test_a_bad_row_is_answered_charged_once_and_moves_its_own_cell_alone"
            "[a quote that does not close]",
        ),
    ),
    Mutant(
        name="source: intervals in dictionaries and runs name persons, a month as thirty days",
        path="client/source/bounding.py",
        old="kind = kind.value_type\n",
        new="break\n",
        killed_by=(
            "tests/privacy/test_bounding.py::"
            "test_intervals_name_no_persons_however_they_are_stored",
        ),
    ),
    Mutant(
        name="two persons of times with zones are one without them",
        path="client/source/one_person.py",
        old="        if kinds.get(name) == _TIMETZ:\n",
        new="        if False:\n",
        killed_by=(f"{_ONE_PERSON}::test_two_persons_of_times_with_zones_are_not_one",),
    ),
    Mutant(
        name="one person of a collation in DuckDB is two here",
        path="client/source/one_person.py",
        old="    if any(found):\n",
        new="    if False:\n",
        killed_by=(f"{_ONE_PERSON}::test_one_person_of_a_collation_is_not_two",),
    ),
    Mutant(
        name="one person of a collation in PostgreSQL is two here",
        path="client/source/one_person.py",
        old='if fetch(loose)["loose"].to_pylist() != [False]:',
        new="if False:",
        killed_by=(f"{_ONE_PERSON}::test_one_person_of_a_servers_collation_is_not_two",),
    ),
)
