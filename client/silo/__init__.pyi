from .assemble import (
    Silo,
    check_files,
    ledger_path,
    load_identity,
    open_silo,
)
from .backup import backup_bytes, check_copy
from .fit import Fit, Fits, ReadsFit, fit_of, fits_of, looking
from .foresight import foresee_plan
from .found import find
from .init import init_silo, new_ledger
from .join import Joining, ask_for_new_key, ask_to_join, check_kit, take_kit
from .prune import old_results
from .recover import Basis, Recovery, write_recovery
from .rows.datasets import open_datasets, prepare
from .rows.judging import find_result, own_rows, own_table
from .rows.reading import read_tables
from .upgrade import next_step, take_step

__all__ = [
    "Basis",
    "Fit",
    "Fits",
    "Joining",
    "ReadsFit",
    "Recovery",
    "Silo",
    "ask_for_new_key",
    "ask_to_join",
    "backup_bytes",
    "check_copy",
    "check_files",
    "check_kit",
    "find",
    "find_result",
    "fit_of",
    "fits_of",
    "foresee_plan",
    "init_silo",
    "ledger_path",
    "load_identity",
    "looking",
    "new_ledger",
    "next_step",
    "old_results",
    "open_datasets",
    "open_silo",
    "own_rows",
    "own_table",
    "prepare",
    "read_tables",
    "take_kit",
    "take_step",
    "write_recovery",
]
