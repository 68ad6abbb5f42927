"""Make shared test modules importable from the folder of the test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

for folder in ("server", "client", "faults", "privacy", "processes", "golden", "."):
    sys.path.append(str(Path(__file__).parent / folder))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how long each run took from a kill to its end."""
    reports = [r for group in terminalreporter.stats.values() for r in group]
    noted = [p for r in reports if getattr(r, "when", "") == "call" for p in r.user_properties]
    kills = [value for name, value in noted if name == "kill"]
    if kills:
        terminalreporter.section("kills")
        terminalreporter.write_line("\n".join(text for _, text in kills))
        worst = max(seconds for seconds, _ in kills)
        terminalreporter.write_line(
            f"{len(kills)} cells; from kill to the run's end at most {worst:.1f} s"
        )
