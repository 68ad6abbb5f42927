"""Install a bundle as its INSTALL.md says, where there is no network, and draw a table with it.

    python tests/deploy/try_bundle.py ARCHIVE

The commands are those of the page, run in a network namespace of their own where the system allows
it; pip is told to forget this machine's configuration.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

USE = """
cat > schema.yaml <<'Y'
name: people
attributes:
- {name: sex, kind: categorical, categories: [f, m], source: public}
- {name: age, kind: integer, minimum: 0, maximum: 99, source: public}
Y
$T/bin/silosynth dummy schema.yaml --rows 5 --out rows.csv
$T/bin/silosynth plan new schema.yaml --epsilon 1 --delta 1e-6 --silos a,b --out plan.yaml
$T/bin/python -c 'import silosynth.client.serving.serve, silosynth.client.relay.process'
$T/bin/flower-superlink --help > help.txt
test "$(wc -l < rows.csv)" = 6
"""


def main() -> int:
    """Install and use; print how long it took; return the exit code."""
    archive = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory(prefix="try-bundle-") as name:
        folder = Path(name)
        for path in (archive, archive.with_name(f"{archive.name}.sha256")):
            (folder / path.name).symlink_to(path)
        target = folder / "opt" / "silosynth"
        target.parent.mkdir()
        begun = time.monotonic()
        code = _run(_commands(archive, target), folder)
        took = time.monotonic() - begun
        code = code or _run(USE.replace("$T", str(target)), folder)
    words = "failed" if code else "installed without a network and used"
    print(f"{archive.name}: {words}; installation {took:.0f} s")
    return code


def _commands(archive: Path, target: Path) -> str:
    """Return the page's commands with a place of the test's, and this interpreter."""
    page = subprocess.run(
        ["tar", "-xOf", archive, f"{archive.stem}/INSTALL.md"], capture_output=True, check=True
    ).stdout.decode()
    block = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)[0]
    interpreter = str(Path(sys.executable).resolve())
    return block.replace("/opt/", f"{target.parent}/").replace("python3 ", f"{interpreter} ")


def _run(commands: str, folder: Path) -> int:
    """Run commands where there is no network and no configuration of pip."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--net"]
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print("no network namespace is allowed here: pip's --no-index alone is tried")
        alone = []
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    return subprocess.run(
        [*alone, "bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=kept | {"PIP_CONFIG_FILE": os.devnull, "HOME": str(folder), "NO_COLOR": "1"},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
