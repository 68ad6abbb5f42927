"""One change to one file that breaks a promise, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """``old`` in the file ``path``, from the project's root, becomes ``new``.

    ``killed_by``: pytest's node ids. Every one of them must turn red by a failing assertion; a
    node id of a whole function, class or file is red when one case of it is.
    """

    name: str
    path: str
    old: str
    new: str
    killed_by: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.killed_by:
            raise ValueError(f"mutant {self.name!r} names no test that kills it")
        if self.old == self.new:
            raise ValueError(f"mutant {self.name!r} changes nothing")

    def mutated(self, root: Path) -> str:
        """Return the text of the file with the change; raise ValueError unless it fits once."""
        text = (root / self.path).read_text()
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"mutant {self.name!r}: its text stands {found} times in {self.path}")
        return text.replace(self.old, self.new)
