"""The command line as a module: what other processes of ours start by ``python -m``."""

from __future__ import annotations

from silosynth.common.cli.app import main

if __name__ == "__main__":
    main()
