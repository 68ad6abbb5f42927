"""A project's roster at its coordinator: where it began, every change since, who approved which.

$SILOSYNTH_HOME/rosters/FEDERATION/PROJECT/start.json     the roster that no change led to
                                           000001.change  a change as it was sealed; never another
                                           000001.SILO.said   what a silo said of it: approved
                                           roster.yaml    the keys of now, for 'plan new --roster'
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.document import dump_document
from silosynth.common.errors import InvalidArgument, OutputExists, SilosynthError
from silosynth.common.files import create_file, make_directory, replace_file
from silosynth.common.messages import Answer, Verdict, decode_statement
from silosynth.common.roster import Roster, RosterChange, open_change, seal_change
from silosynth.common.trust import PublicKey, SigningKey
from silosynth.server.federation.roster.file import Roster as RosterFile

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A change and its envelope."""

    change: RosterChange
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterChain:
    """The rosters of one project: the first, and the changes that lead to the one of now."""

    directory: Path
    start: Roster
    changes: tuple[Sealed, ...]

    @property
    def now(self) -> Roster:
        """Return the newest roster."""
        return self.changes[-1].change.after if self.changes else self.start

    def at(self, version: int) -> Roster:
        """Return the roster of a version that the chain holds."""
        known = {s.change.roster: s.change.after for s in self.changes}
        return self.start if version == self.start.version else known[version]

    def keys_of(self, silo: str) -> tuple[PublicKey, ...]:
        """Return every key that ever stood for a silo, the newest first."""
        rosters = (self.start, *(s.change.after for s in self.changes))
        keys = [r.silos[silo] for r in reversed(rosters) if silo in r.silos]
        return tuple(dict.fromkeys(keys))

    def missing(self, silo: str) -> tuple[Sealed, ...]:
        """Return the changes that a silo has yet to approve, oldest first.

        A silo that came in by a change began with that roster.
        """
        changes = self.changes
        for place, sealed in enumerate(changes):
            if silo not in self.at(sealed.change.roster - 1).silos:
                changes = self.changes[place + 1 :]
        return tuple(s for s in changes if not self._said(s, silo).exists())

    def note(self, sealed: Sealed, silo: str, said: bytes) -> None:
        """Keep a silo's word that a change was approved there."""
        replace_file(self._said(sealed, silo), said)

    def vouchers(self, sealed: Sealed) -> tuple[bytes, ...]:
        """Return what silos said of a change."""
        name = f"{sealed.change.roster:06d}"
        return tuple(p.read_bytes() for p in sorted(self.directory.glob(f"{name}.*.said")))

    def _said(self, sealed: Sealed, silo: str) -> Path:
        """Return where a silo's word on a change is kept."""
        return self.directory / f"{sealed.change.roster:06d}.{silo}.said"


def chain_path(home: Path, *, federation: str, project: str) -> Path:
    """Return where the rosters of a project are kept."""
    return home / "rosters" / federation / project


def begin_chain(path: Path, roster: RosterFile, *, project: str) -> None:
    """Begin with a roster of version 0, which every silo's policy holds already."""
    facts = {"version": _VERSION, "project": project, "silos": dict(roster.silos)}
    make_directory(path, mode=0o700)
    try:
        create_file(path / "start.json", json.dumps(facts, sort_keys=True).encode() + b"\n")
    except FileExistsError:
        raise OutputExists(
            f"{path} holds the rosters of project {project!r} already",
            hint="leave --roster out: what was given first stays the beginning",
        ) from None


def read_chain(path: Path, *, coordinator: PublicKey) -> RosterChain:
    """Return the rosters of a project; raise InvalidArgument where there are none, or damaged."""
    try:
        facts = json.loads((path / "start.json").read_bytes())
        if facts["version"] != _VERSION:
            raise ValueError("another version")
        start = Roster(project=facts["project"], version=0, silos=facts["silos"])
        sealed = [_read(p, coordinator) for p in sorted(path.glob("*.change"))]
    except FileNotFoundError:
        raise InvalidArgument(
            f"there is no roster in {path}", hint="begin with --roster roster.yaml"
        ) from None
    except (ValueError, KeyError, TypeError, SilosynthError):
        raise InvalidArgument(f"the rosters in {path} are damaged, or of another version") from None
    now = start
    for link in sealed:
        if (link.change.roster, link.change.previous) != (now.version + 1, now.digest):
            raise InvalidArgument(f"the rosters in {path} do not follow from one another")
        now = link.change.after
    return RosterChain(directory=path, start=start, changes=tuple(sealed))


def add_change(chain: RosterChain, change: RosterChange, *, key: SigningKey) -> RosterChain:
    """Sign a change and keep it for good; return the chain with it.

    Guarantees: one change of a version is ever signed here, whoever asks at the same time: silos
    that were shown two would part.
    """
    data = seal_change(change, key=key)
    try:
        create_file(chain.directory / f"{change.roster:06d}.change", data)
    except FileExistsError:
        raise OutputExists(
            f"version {change.roster} of the roster was signed meanwhile", hint="look, and try anew"
        ) from None
    changes = (*chain.changes, Sealed(change=change, data=data))
    longer = RosterChain(directory=chain.directory, start=chain.start, changes=changes)
    write_roster(longer, coordinator=key.public)
    return longer


def write_roster(chain: RosterChain, *, coordinator: PublicKey) -> Path:
    """Write the keys of now as 'plan new --roster' reads them; return the path."""
    path = chain.directory / "roster.yaml"
    roster = RosterFile(coordinator=coordinator, silos=chain.now.silos)
    replace_file(path, dump_document(roster.model_dump(mode="json")).encode())
    return path


def former_keys(
    home: Path, *, federation: str, project: str, silo: str, coordinator: PublicKey
) -> Sequence[PublicKey]:
    """Return the keys that stood for a silo before; none where no roster is kept."""
    path = chain_path(home, federation=federation, project=project)
    if not (path / "start.json").exists():
        return ()
    return read_chain(path, coordinator=coordinator).keys_of(silo)[1:]


def read_said(data: bytes, *, key: PublicKey, sealed: Sealed) -> Verdict | None:
    """Return what a silo said of a change; None for what is not its word on this one."""
    try:
        said = decode_statement(data, Verdict, trusted={key})
    except SilosynthError:
        return None
    return said if said.plan_digest == sealed.change.digest else None


def approves(said: Verdict | None) -> bool:
    """Say whether a silo goes by a change."""
    return said is not None and said.answer is Answer.APPROVED


def _read(path: Path, coordinator: PublicKey) -> Sealed:
    """Return a change as it was kept."""
    data = path.read_bytes()
    change, _ = open_change(data, trusted={coordinator})
    return Sealed(change=change, data=data)
