"""The product's command line as a process that knows which epsilons this session has worked out.

Run as a script, from any directory: ``python command_line.py plan show plan.yaml``.
"""

from __future__ import annotations

import sys
from pathlib import Path

COMMAND = (sys.executable, str(Path(__file__).resolve()))


def run() -> None:
    """Run the command that stands in the arguments, as the installed program does."""
    from silosynth.common.cli.app import main
    from tests.support.remembered import remembered_epsilons

    with remembered_epsilons():
        main()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    run()
