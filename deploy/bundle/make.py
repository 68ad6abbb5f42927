"""Pack silosynth for a machine without a network: wheels with hashes, documents, units, charts.

    python deploy/bundle/make.py DIRECTORY [--extras coordinator,silo]

writes DIRECTORY/silosynth-VERSION-PLATFORM.tar and its .sha256. The wheels are those of this
interpreter and machine, at the versions of constraints.txt: make it where Python and system are
those of the machines that it is for.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_platform

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "coordinator,silo"
CARRIED = (
    *("README.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "docs"),
    *("deploy/systemd", "deploy/nginx", "deploy/compose.yaml", "deploy/docker", "deploy/helm"),
    *("deploy/monitoring", "deploy/examples", "deploy/flower"),
)
SUMS = "SHA256SUMS"
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
_WHEEL = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)-.+\.whl$")


def main() -> int:
    """Make the archive; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--extras", default=EXTRAS)
    options = parser.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}-{get_platform().replace('-', '_')}"
    name = f"silosynth-{version}-{tag}"
    options.directory.mkdir(parents=True, exist_ok=True)
    archive = options.directory.absolute() / f"{name}.tar"
    with tempfile.TemporaryDirectory(prefix="bundle-") as work:
        bundle = Path(work) / name
        collect_wheels(bundle / "wheels", extras=options.extras, work=Path(work))
        (bundle / "requirements.txt").write_text(requirements(bundle / "wheels"))
        shutil.copy(Path(__file__).with_name("INSTALL.md"), bundle / "INSTALL.md")
        for path in CARRIED:
            carry(ROOT / path, bundle / path)
        (bundle / SUMS).write_text("".join(sums(bundle)))
        pack(bundle, archive)
    digest = f"{hash_of(archive)}  {archive.name}\n"
    archive.with_name(f"{archive.name}.sha256").write_text(digest)
    print(f"wrote {archive}: {archive.stat().st_size / 1e6:.0f} MB")
    return 0


def collect_wheels(wheels: Path, *, extras: str, work: Path) -> None:
    """Build our wheel from the tracked files, and fetch those that it needs."""
    source = work / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "common", "client", "server", "simulations", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for path in [*tracked.split("\0"), "README.md", "LICENSE"]:
        if path and (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, source / path)
    subprocess.run([*_PIP, "wheel", "--no-deps", "-w", wheels, source], check=True)
    ours = next(wheels.glob("silosynth-*.whl"))
    constraints = ROOT / "constraints.txt"
    subprocess.run(
        [*_PIP, "wheel", "-c", constraints, "-w", wheels, f"{ours}[{extras}]"], check=True
    )


def requirements(wheels: Path) -> str:
    """Return each wheel by name, version and hash, as ``pip install --require-hashes`` reads it."""
    lines = []
    for wheel in sorted(wheels.glob("*.whl")):
        found = _WHEEL.match(wheel.name)
        if found is None:
            raise SystemExit(f"{wheel.name} is no wheel's name")
        lines.append(f"{found['name']}=={found['version']} --hash=sha256:{hash_of(wheel)}\n")
    return "".join(lines)


def carry(source: Path, target: Path) -> None:
    """Copy a file or a folder, without what Python and editors leave behind."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copy(source, target)


def sums(bundle: Path) -> Iterator[str]:
    """Yield a line for each file, as ``sha256sum -c`` reads it."""
    for path in sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != SUMS):
        yield f"{hash_of(path)}  {path.relative_to(bundle)}\n"


def pack(bundle: Path, archive: Path) -> None:
    """Write the archive: the same bytes for the same files."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in [bundle, *sorted(bundle.rglob("*"))]:
            tar.add(path, path.relative_to(bundle.parent), recursive=False, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made a file and when."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
