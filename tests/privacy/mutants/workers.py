"""Gateways kept open in workers: whose ledger they charge on from, and when an answer leaves."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

KEPT, WORKERS = "simulations/silos/kept.py", "tests/simulations/test_workers.py::"

MUTANTS = (
    Mutant(
        name="a ledger that rests again rests as what it was the first time",
        path="client/ledger/batch.py",
        old="self._connection, self._resting = open_image(self._resting, known=True), None",
        new="self._connection = open_image(self._resting, known=True)",
        killed_by=(
            "tests/simulations/one_process/test_one_process.py::"
            "test_a_ledger_that_rests_is_the_ledger_that_it_was",
        ),
    ),
    Mutant(
        name="a worker goes on from a ledger that another has written since",
        path=KEPT,
        old="if kept is not None and kept.stamp == stamp:",
        new="if kept is not None:",
        killed_by=(
            WORKERS + "test_a_worker_whose_ledger_another_has_written_since_goes_on_from_that",
        ),
    ),
    Mutant(
        name="an answer leaves a worker before its charge is in the file",
        path=KEPT,
        old="                shared.ledgers.write(silo.ledger)\n",
        new="",
        killed_by=(
            WORKERS + "test_a_gateway_is_opened_once_and_each_silo_has_its_own",
            WORKERS + "test_another_worker_gives_the_same_bytes_again_at_no_charge[True]",
        ),
    ),
    Mutant(
        name="a worker tells its ledger from another by the clock of files",
        path=KEPT,
        old="found.st_size, file.read(4)",
        new="found.st_size, file.read(0)",
        killed_by=(
            WORKERS + "test_a_ledger_that_was_written_within_one_tick_of_the_clock_is_read_anew",
        ),
    ),
)
