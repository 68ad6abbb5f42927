"""Make shared test modules importable from the folder of the test."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("server", "client", "faults", "privacy", "processes", "."):
    sys.path.append(str(Path(__file__).parent / folder))
