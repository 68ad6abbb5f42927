"""A change of a roster, as facts and in plain words, for the person who decides about it.

The words of a key take 50 ms, and a coordinator may have thousands of keys wait. So facts are
without them, and they are worked out where a change is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from silosynth.client.desk.facts import Facts
from silosynth.client.roster import RosterBook
from silosynth.common.audit import RosterStep
from silosynth.common.roster import JoinRequest, Roster, RosterChange, key_words

KIND = "roster"
MOST_WORDED = 20
"""Of how many new keys the words are in what is told of changes that wait; about a second."""


def change_facts(change: RosterChange) -> dict[str, Any]:
    """Return what a change of a roster says by itself; who leaves, only the roster before tells."""
    asked = dict(sorted(change.requests.items()))
    return {
        "kind": KIND,
        "id": f"roster-{change.project}-{change.roster}",
        "project": change.project,
        "version": change.roster,
        "added": [_entry(r) for r in asked.values() if r.asked.replaces is None],
        "replaced": [_entry(r) for r in asked.values() if r.asked.replaces is not None],
        "removed": None,
        "silos": sorted(change.silos),
    }


def with_words(waiting: Iterable[Facts]) -> list[Facts]:
    """Return what waits as it is shown: with the words of the first few new keys.

    Whoever shows more works them out himself, as :func:`roster_words` does.
    """
    left, shown = MOST_WORDED, []
    for facts in waiting:
        new = [e for what in ("added", "replaced") for e in facts.get(what, ())]
        if facts.get("kind") == KIND and len(new) <= left:
            left -= len(new)
            said = {w: [_worded(e) for e in facts.get(w, ())] for w in ("added", "replaced")}
            facts = {**facts, **(said if new else {})}
        shown.append(facts)
    return shown


def roster_facts(roster: Roster, steps: tuple[RosterStep, ...]) -> Facts:
    """Return a roster that is gone by, and who approved it when; nobody here, where it was given.

    The words of each key are for comparing it with its silo.
    """
    step = next((s for s in steps if s.roster == roster.digest), None)
    return {
        "project": roster.project,
        "version": roster.version,
        "digest": roster.digest,
        "silos": [
            {"silo": name, "key": key, "words": key_words(name, key)}
            for name, key in sorted(roster.silos.items())
        ],
        "by": None if step is None else step.by,
        "at": None if step is None else step.at,
    }


def all_rosters(book: RosterBook) -> list[Facts]:
    """Return the rosters that a silo goes by, one for each project."""
    found = [book.current(project) for project in sorted(book.rules.rosters)]
    return [roster_facts(r, book.ledger.rosters) for r in found if r is not None]


def roster_words(change: Facts) -> tuple[str, ...]:
    """Say who asks for a change of a roster, what it does, and what to do before approving it."""
    if "unusable" in change:
        return (f"it cannot be approved: {change['unusable']}",)
    change = {**change, **{w: [_worded(e) for e in change[w]] for w in ("added", "replaced")}}
    return (
        f"coordinator {change['coordinator']!r} asks for version {change['version']} of the roster "
        f"of project {change['project']!r}",
        *(f"it gains silo {e['silo']!r}, whose key is {_spoken(e)}" for e in change["added"]),
        *_replaced(change["replaced"]),
        *_removed(change["removed"]),
        f"with it the silos are {', '.join(change['silos'])}",
        *_compare(change),
        *_signed(change),
        "plans may name these keys then, and no others; it costs nothing, and no change is undone "
        "but by another one",
    )


def _entry(request: JoinRequest) -> Mapping[str, Any]:
    """Return what a person has to know of a new key."""
    asked = request.asked
    return {
        "silo": asked.silo,
        "key": asked.key,
        "by_former_key": request.by_previous is not None,
    }


def _worded(entry: Facts) -> Facts:
    """Return what is known of a new key, with the words to compare."""
    return entry if "words" in entry else {**entry, "words": key_words(entry["silo"], entry["key"])}


def _spoken(entry: Facts) -> str:
    """Spell a key for the telephone, and for a file."""
    return f"{entry['words']} ({entry['key']})"


def _replaced(entries: list[Facts]) -> Iterator[str]:
    """Say whose key becomes another, and whether the one before agrees."""
    for entry in entries:
        agreed = (
            "its key until now has signed this"
            if entry["by_former_key"]
            else "its key until now has NOT signed this: it is lost, or somebody else asks"
        )
        yield f"silo {entry['silo']!r} gets another key, {_spoken(entry)}; {agreed}"


def _removed(names: list[str] | None) -> Iterator[str]:
    """Say who leaves."""
    if names is None:
        yield "every silo that is not named below leaves"
    for name in names or ():
        yield f"it loses silo {name!r}: no plan with it is answered from then on"


def _compare(change: Facts) -> Iterator[str]:
    """Say what to compare, and with whom."""
    for entry in (*change["added"], *change["replaced"]):
        yield (
            f"call silo {entry['silo']!r} at a number that the coordinator did not give you, and "
            f"compare the four words: {entry['words']}"
        )


def _signed(change: Facts) -> Iterator[str]:
    """Say who signed for it already, where the policy asks for that."""
    signed = change.get("signed")
    if signed is not None:
        names = ", ".join(signed["by"]) or "nobody yet"
        yield f"it needs {signed['needed']} signed decisions of approvers; it has: {names}"
