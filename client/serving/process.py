"""The gateway's process, as ``silosynth silo serve`` turns into it.

    python -m silosynth.client.serving.process --policy silo.toml

A fresh interpreter, in which what only an answer needs is loaded when the first answer needs it.
"""

from __future__ import annotations

import sys

from silosynth.client.serving.later import postpone


def main() -> int:
    """Serve the policy that the command line names; return the exit code."""
    postpone()
    from silosynth.client.serving.serve import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
