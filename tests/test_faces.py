"""A room shows in its face what other rooms use, no more and no less, and is entered by it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from silosynth.common import codec

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
ROOMS = sorted(p.parent for part in PARTS for p in (ROOT / part).glob("*/__init__.py"))
FOREIGN = ROOT / "common" / "flower"
"""It hands on names of another project, by its modules: none of them is the room's own."""


def _name(room: Path) -> str:
    return ".".join(("silosynth", *room.relative_to(ROOT).parts))


def _shown(room: Path) -> dict[str, str]:
    """Return what a face shows: each name with the module, inside the room, that defines it."""
    face = room / "__init__.pyi"
    if not face.exists():
        return {}
    return {
        alias.name: node.module
        for node in ast.parse(face.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        for alias in node.names
    }


@cache
def _imports() -> list[tuple[Path, str, str]]:
    """Return every import of the parts: who imports, the module that it names, and the name."""
    return [
        (path, node.module, alias.name)
        for part in PARTS
        for path in sorted((ROOT / part).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]


def _entered(room: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield how others enter a room: who, the module inside it, "" for its face, and the name."""
    face = _name(room)
    for path, module, name in _imports():
        if path.is_relative_to(room):
            continue
        if module == face and (room / f"{name}.py").exists():
            yield path, name, name
        elif module == face or module.startswith(f"{face}."):
            yield path, module.removeprefix(face)[1:], name


@pytest.mark.parametrize("room", ROOMS, ids=lambda r: r.relative_to(ROOT).as_posix())
def test_a_face_shows_exactly_what_other_rooms_use(room: Path) -> None:
    entered = list(_entered(room))
    assert {name for _, module, name in entered if not module} == _shown(room).keys()
    # What bears the name of a module is taken from its own: one address cannot lead to both.
    inside = [(path, name) for path, module, name in entered if module]
    assert room == FOREIGN or not [e for e in inside if not (room / f"{e[1]}.py").exists()]


@pytest.mark.parametrize("room", ROOMS, ids=lambda r: r.relative_to(ROOT).as_posix())
def test_a_face_is_a_sentence_and_a_list(room: Path) -> None:
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    assert len((ast.get_docstring(tree) or "").splitlines()) == 1
    lines = [ast.unparse(node) for node in tree.body[1:]]
    lazy = "__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)"
    face = room / "__init__.pyi"
    assert lines == (["import lazy_loader", lazy] if face.exists() else [])
    if face.exists():
        stated = ast.parse(face.read_text(encoding="utf-8")).body[-1]
        assert isinstance(stated, ast.Assign)
        assert set(ast.literal_eval(stated.value)) == _shown(room).keys()


def test_a_shown_name_is_loaded_when_it_is_asked_for() -> None:
    assert all(getattr(codec, name) is not None for name in codec.__all__)
    with pytest.raises(AttributeError):
        codec.nothing_of_this_name  # type: ignore[attr-defined]  # noqa: B018
