"""What a SuperNode would load and never use: 30 MB of a silo that waits.

Tried with Flower 1.41 and 1.42; ``tests/common/flower/test_flower.py`` says what is relied on.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

SQL_STORE = "flwr.supercore.object_store.sql_object_store"
"""Brings SQLAlchemy and Alembic. A SuperNode keeps its objects in memory; a SuperLink does not."""


_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
_TELEMETRY = "flwr.supercore.telemetry"


def be_quiet() -> None:
    """Let Flower send nobody anything of its own, in this process and in what it starts.

    Flower reads one of the two words when it is imported, so what it has read by then is set.
    """
    os.environ.update(_QUIET)
    telemetry = sys.modules.get(_TELEMETRY)
    if telemetry is not None:
        vars(telemetry)["FLWR_TELEMETRY_ENABLED"] = _QUIET["FLWR_TELEMETRY_ENABLED"]


def spare_sql() -> None:
    """Let Flower's factory of stores know none in SQL, in a process that asks for none.

    Guarantees: whoever asks for one all the same gets an error, and no store.
    """
    if SQL_STORE not in sys.modules:
        module = ModuleType(SQL_STORE)
        vars(module)["SqlObjectStore"] = None
        sys.modules[SQL_STORE] = module
