"""Build the wheel, install it beside the dependencies, and use it from another directory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
SHIPPED = {".py", ".typed", ".j2", ".css", ".js", ".json", ".svg", ".yaml"}


def main() -> None:
    """Fail unless the wheel holds every shipped file and its command line runs."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", directory, ROOT], check=True)
        wheel = next(directory.glob("*.whl"))
        held = set(zipfile.ZipFile(wheel).namelist())
        wanted = {
            f"silosynth/{part}/{path.name}"
            for part in PARTS
            for path in (ROOT / part).iterdir()
            if path.suffix in SHIPPED
        }
        missing = sorted(wanted - held)
        if missing:
            sys.exit(f"the wheel lacks {missing}")
        target = directory / "site"
        subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
        code = (
            f"import sys; sys.path.insert(0, {str(target)!r});"
            "import silosynth.simulations.run as r, silosynth.common.cli.app as c;"
            f"assert r.__file__.startswith({str(target)!r}), r.__file__;"
            "sys.argv = ['silosynth', '--version']; c.main()"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=directory)
    print("1 passed, 0 failed: the wheel holds every module and runs")


if __name__ == "__main__":
    main()
