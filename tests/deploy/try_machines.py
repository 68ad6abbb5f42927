"""Do what docs/how-to/machines.md says, block by block, on machines of their own, and time it.

    python -m tests.deploy.try_machines [ARCHIVE] [--silos north,south,west]

Each machine has a root file system, users, a network and processes of its own; a silo reaches the
coordinator's machine and nobody else. With an archive of 'make bundle' each installs it by the
archive's INSTALL.md, all at once, without an index; without one, this environment stands there.
systemd's part is played by tests/support/systemctl.py, which reads the shipped units.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.machines import Machine, machine, wire

ROOT = Path(__file__).resolve().parents[2]


PAGE = ROOT / "docs" / "how-to" / "machines.md"
HOST = "superlink.example.org"
STATE = "/var/lib/silosynth-coordinator"
_BLOCK = re.compile(r"^```bash ([a-z ]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ORDER = (
    *("everybody", "coordinator", "silo", "answer", "settle"),
    *("send", "approve", "coordinator run", "decide", "result"),
)


def blocks() -> dict[str, str]:
    """Return the page's blocks by what they are marked with, in the page's order."""
    found = _BLOCK.findall(PAGE.read_text())
    assert tuple(name for name, _ in found) == ORDER, "the page has other blocks"
    return dict(found)


@dataclass(slots=True)
class Person:
    """Who sits at a machine, in one shell, and says yes when asked."""

    machine: Machine
    done: list[str] = field(default_factory=list)

    def does(self, block: str) -> str:
        """Type a block into the shell; return what the shell printed."""
        # A shell that is begun anew knows what it was told before: variables, functions, place.
        told = "\n".join(line for earlier in self.done for line in _kept(earlier))
        script = f"set -eo pipefail\n{told}\nset -x\n{block}"
        words = self.machine.command(["/bin/bash", "-c", script])
        done = subprocess.run(words, input="y\n" * 9, capture_output=True, text=True, check=False)
        log = self.machine.root.parent / f"{self.machine.name}.typed"
        with log.open("a") as file:
            file.write(f"{done.stdout}{done.stderr}\n")
        assert done.returncode == 0, f"{self.machine.name}: {(done.stdout + done.stderr)[-3000:]}"
        self.done.append(block)
        return done.stdout


def _kept(block: str) -> Iterator[str]:
    """Yield the lines of a block that a shell remembers: names, functions, and where it went."""
    inside = False
    for line in block.splitlines():
        begins = re.match(r"^[a-z_]+\(\) \{", line)
        if inside or begins or re.match(r"^([a-z]+=|cd |umask )", line):
            yield line
        inside = (inside or bool(begins)) and not line.rstrip().endswith("}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All machines of a federation."""

    hub: Person
    silos: dict[str, Person]

    def everybody(self) -> tuple[Person, ...]:
        """Return all persons."""
        return (self.hub, *self.silos.values())


@contextmanager
def machines(place: Path, silos: Sequence[str]) -> Iterator[Site]:
    """Make the machines, wired to the coordinator's."""
    place.chmod(0o755)
    with ExitStack() as stack:
        hub = stack.enter_context(machine(place, "hub"))
        hub.path("/etc/hosts").write_text(f"127.0.0.1 localhost {HOST}\n")
        made = {name: stack.enter_context(machine(place, name)) for name in silos}
        for net, name in enumerate(silos, start=1):
            wire(hub, made[name], net=net, host=HOST)
        yield Site(hub=Person(hub), silos={name: Person(m) for name, m in made.items()})


def at_once(persons: Sequence[Person], do: Callable[[Person], Any]) -> None:
    """Let persons do the same at one time."""
    with ThreadPoolExecutor(len(persons)) as aside:
        list(aside.map(do, persons))


def install(person: Person, archive: Path | None) -> None:
    """Install by the archive's page, or let this environment stand where it would."""
    root = person.machine
    if archive is None:
        root.path("/opt/silosynth").symlink_to(sys.prefix)
        shutil.copytree(ROOT / "deploy" / "systemd", root.path("/root/bundle/deploy/systemd"))
        person.done.append("cd /root/bundle")
        return
    for path in (archive, archive.with_name(f"{archive.name}.sha256")):
        shutil.copy(path, root.path("/root"))
    text = subprocess.run(
        ["tar", "-xOf", archive, f"{archive.stem}/INSTALL.md"], capture_output=True, check=True
    ).stdout.decode()
    (block,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    interpreter = str(Path(sys.executable).resolve())
    person.done.append("cd /root")
    person.does(block.replace("python3 ", f"{interpreter} "))
    person.done[-1] = f"cd /root/{archive.stem}"


def put_data(site: Site) -> None:
    """Put a table beside each silo and the schema at the coordinator: they are theirs."""
    import pyarrow.parquet as pq

    from silosynth.common.schema import dump_schema
    from silosynth.simulations import demo_schema, demo_silos

    tables = list(demo_silos().values())
    for person, table in zip(site.silos.values(), tables, strict=False):
        pq.write_table(table, person.machine.path("/data/table.parquet"))
    site.hub.machine.path(f"{STATE}/schema.yaml").write_text(dump_schema(demo_schema()))


def follow(site: Site, *, archive: Path | None, tell: Callable[[str], None]) -> None:
    """Do all of the page."""
    page, names = blocks(), list(site.silos)
    people, hub = list(site.silos.values()), site.hub
    at_once(site.everybody(), lambda person: install(person, archive))
    tell("installed")
    at_once(site.everybody(), lambda person: person.does(page["everybody"]))
    hub.does(page["coordinator"])
    put_data(site)
    tell("the coordinator is there")
    for name, person in site.silos.items():
        person.does(page["silo"].replace("silo=north", f"silo={name}"))
        _send(person, f"/etc/silosynth/silo/{name}.join", hub, STATE, owner="silosynth-coordinator")
        hub.does(page["answer"].replace("silo=north", f"silo={name}"))
        _send(hub, f"{STATE}/{name}.kit", person, "/etc/silosynth/silo", owner="silosynth")
    tell("all have asked and were answered")
    at_once(people, lambda person: person.does(page["settle"]))
    tell("all silos are started")
    for _ in names[1:]:  # each change follows from the one before it
        hub.does(page["send"])
        at_once(people, lambda person: person.does(page["approve"]))
    assert not _waits(people), "as many changes as silos that came in after the first"
    tell("all go by one roster")
    run = page["coordinator run"].replace("north,south", ",".join(names))
    with ThreadPoolExecutor(1) as aside:
        running = aside.submit(hub.does, run)
        at_once(people, lambda person: person.does(page["decide"]))
        tell("the plan is approved everywhere")
        running.result()
    hub.does(page["result"])
    tell("a table is drawn")


def _waits(people: Sequence[Person]) -> bool:
    """Say whether a change waits at a silo."""
    look = "as_silo silo pending --policy /etc/silosynth/silo/silo.toml --json"
    return any("roster-" in person.does(look) for person in people)


def _send(sender: Person, path: str, taker: Person, folder: str, *, owner: str) -> None:
    """Carry a file from one machine to another."""
    name = Path(path).name
    taker.machine.path(f"{folder}/{name}").write_bytes(sender.machine.path(path).read_bytes())
    taker.does(f"chown {owner} {folder}/{name}")


def main() -> int:
    """Follow the page; print how long each part took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--silos", default="north,south")
    options = parser.parse_args()
    archive = None if options.archive is None else options.archive.absolute()
    begun = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what}", flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="machines-", ignore_cleanup_errors=True) as name,
        machines(Path(name), options.silos.split(",")) as site,
    ):
        follow(site, archive=archive, tell=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
