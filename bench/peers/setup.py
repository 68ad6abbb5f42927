"""Make an environment for each peer under bench/.peers, with the exact versions pinned here.

Peers pin one another's versions away, so each has an environment of its own and none of them is
in the project's. An environment that is there already, with the same pins, is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers"
PYTHONS = ("python3.11", "python3.12")
"""What all pinned versions have wheels for."""


def known_peers() -> tuple[str, ...]:
    """Return the names that have a constraints file."""
    return tuple(sorted(p.stem.removeprefix("constraints-") for p in HERE.glob("constraints-*")))


def find_python() -> str:
    """Return an interpreter that the pins work with; end the program when there is none."""
    for candidate in (sys.executable, *filter(None, map(shutil.which, PYTHONS))):
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True)
        version = answer.stdout.removeprefix("Python ").rpartition(".")[0]
        if answer.returncode == 0 and f"python{version}" in PYTHONS:
            return candidate
    raise SystemExit("the peers need Python 3.11 or 3.12; put one on the PATH")


def set_up(peer: str) -> str:
    """Make the environment of ``peer`` and return one line on what happened."""
    pins = HERE / f"constraints-{peer}.txt"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    place, ready = PEERS / peer, PEERS / peer / "READY"
    if ready.exists() and ready.read_text().strip() == digest:
        return f"{peer}: ready"
    if place.exists():
        shutil.rmtree(place)
    subprocess.run([find_python(), "-m", "venv", place], check=True)
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", "--no-deps", "-r", str(pins)], check=True)
    subprocess.run([*pip, "check"], check=True)
    ready.write_text(digest + "\n")
    return f"{peer}: installed"


def main() -> None:
    """Set up the peers that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=", ".join(known_peers()))
    chosen = parser.parse_args().peers or known_peers()
    if unknown := set(chosen) - set(known_peers()):
        raise SystemExit(f"unknown peer {min(unknown)!r}; known: {', '.join(known_peers())}")
    for peer in chosen:
        print(set_up(peer), flush=True)


if __name__ == "__main__":
    main()
