from .certs import make_certs, renew_certs
from .channel import Channel
from .prune import check_whole, compact, drop, droppable, is_pruned, tidy_runs
from .pump import Watchers
from .results import require_trained
from .roster.chain import RosterChain, add_change, begin_chain, chain_path, read_chain, write_roster
from .roster.file import load_roster, with_roster
from .roster.post import send_changes
from .run import cancel_run, check_runnable, run_federation
from .run_files import (
    Begun,
    Ended,
    RunFiles,
    RunState,
    begin_run,
    discard_run,
    find_run,
    list_runs,
    read_ended,
    read_plan,
    run_facts,
    runs_directory,
    write_ended,
)
from .settings import (
    Federation,
    add_federation,
    check_development,
    check_files,
    config_path,
    find_federation,
    home,
    load_federations,
)
from .standing import Waiting, printable, read_left, read_standing, summarise
from .superlink import admit_nodes, dismiss_nodes, list_nodes, open_grid
from .superlink_calls import Pace

__all__ = [
    "Begun",
    "Channel",
    "Ended",
    "Federation",
    "Pace",
    "RosterChain",
    "RunFiles",
    "RunState",
    "Waiting",
    "Watchers",
    "add_change",
    "add_federation",
    "admit_nodes",
    "begin_chain",
    "begin_run",
    "cancel_run",
    "chain_path",
    "check_development",
    "check_files",
    "check_runnable",
    "check_whole",
    "compact",
    "config_path",
    "discard_run",
    "dismiss_nodes",
    "drop",
    "droppable",
    "find_federation",
    "find_run",
    "home",
    "is_pruned",
    "list_nodes",
    "list_runs",
    "load_federations",
    "load_roster",
    "make_certs",
    "open_grid",
    "printable",
    "read_chain",
    "read_ended",
    "read_left",
    "read_plan",
    "read_standing",
    "renew_certs",
    "require_trained",
    "run_facts",
    "run_federation",
    "runs_directory",
    "send_changes",
    "summarise",
    "tidy_runs",
    "with_roster",
    "write_ended",
    "write_roster",
]
