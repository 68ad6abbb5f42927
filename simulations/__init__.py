"""Several silos on one machine: for researchers, tests and demonstrations.

Importing this part turns Flower's and Ray's usage reports off, unless the environment says
otherwise; both read the setting when they are first imported.
"""

import os

import lazy_loader

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# Ray's workers import parts of this one, and most of them little.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "demo_insurers": ["demo_schema", "demo_silos", "new_plan"],
        "run": ["Engine", "simulate"],
        "run_files": ["RunResult"],
        "tables": ["silo_name", "split_table"],
    },
)
