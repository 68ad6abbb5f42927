"""Print how the tree is built, and write its picture into README: ``make structure``.

``--print`` writes nothing and never fails, ``--json`` gives the figures to a program.
"""

from __future__ import annotations

import ast
import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
BEGIN, END = "<!-- rooms -->", "<!-- /rooms -->"
GATES = {
    "fullest folder": 14,
    "longest import chain": 12,
    "modules in circles": 0,
    "largest fan-out": 15,
    "most parameters of a command": 12,
    "modules that spell sigma2": 8,
    "median lines of a function": 8,
    "p90 lines of a function": 22,
    "median lines of a file": 250,
    "largest file": 400,
}
LEAST = {"median lines of a file": 150}
"""What half a thought a file is under; rooms' faces, which are a sentence each, are no files."""


def modules() -> dict[str, Path]:
    """Return every module of the parts by its dotted name; generated code is left out."""
    return {
        _dotted(path): path
        for part in PARTS
        for path in sorted((ROOT / part).rglob("*.py"))
        if not path.stem.endswith("_pb2")
    }


def _dotted(path: Path) -> str:
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("silosynth", *(w for w in words if w != "__init__")))


def imports(tree: ast.AST, names: Mapping[str, Path]) -> set[str]:
    """Return the modules of the parts that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {n for n in inside if n in names} or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & names.keys()


def longest_chain(arrows: Mapping[str, set[str]]) -> tuple[int, int]:
    """Return the modules in the longest chain of imports, and how many lie in circles."""
    reached = {name: _reached(name, arrows) for name in arrows}
    down = {n: {m for m in arrows[n] if n not in reached[m]} for n in arrows}
    depth: dict[str, int] = {}
    while ready := [n for n in down if n not in depth and down[n] <= depth.keys()]:
        depth |= {n: 1 + max((depth[m] for m in down[n]), default=0) for n in ready}
    return max(depth.values()), sum(name in reached[name] for name in arrows)


def _reached(name: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """Return what a module imports, and what that imports, and so on."""
    found: set[str] = set()
    waiting = list(arrows[name])
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += arrows[one]
    return found


def _functions(trees: Mapping[str, ast.AST]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def _measured() -> tuple[dict[str, float], dict[str, int]]:
    """Return the figures, and how many modules each module imports; read once."""
    found = modules()
    syntax = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in found.items()}
    plain = {name: imports(tree, found) - {name} for name, tree in syntax.items()}
    return _figures(found, syntax, plain), {name: len(others) for name, others in plain.items()}


def fan_outs() -> dict[str, int]:
    """Return how many modules each module imports, a room counted once."""
    return _measured()[1]


def figures() -> dict[str, float]:
    """Return the figures of the tree by the names in :data:`GATES`."""
    return _measured()[0]


def _figures(
    found: Mapping[str, Path], syntax: Mapping[str, ast.AST], plain: Mapping[str, set[str]]
) -> dict[str, float]:
    rooms = {name for name, path in found.items() if path.name == "__init__.py"}
    arrows = {n: plain[n] - rooms if n not in rooms else set() for n in plain}
    chain, circles = longest_chain(arrows)
    lines = sorted(f.end_lineno - f.lineno + 1 for f in _functions(syntax) if f.end_lineno)
    folders = [path.parent for path in found.values() if path.name != "__init__.py"]
    commands = _functions({n: t for n, t in syntax.items() if "cli" in n.split(".")})
    sizes = {n: len(p.read_text(encoding="utf-8").splitlines()) for n, p in found.items()}
    return {
        "fullest folder": max(folders.count(f) for f in set(folders)),
        "longest import chain": chain,
        "modules in circles": circles,
        "largest fan-out": max(len(a) for a in plain.values()),
        "most parameters of a command": max(_parameters(f) for f in commands),
        "modules that spell sigma2": sum("sigma2" in p.read_text() for p in found.values()),
        "median lines of a function": statistics.median(lines),
        "p90 lines of a function": lines[int(0.9 * len(lines))],
        "median lines of a file": statistics.median(n for m, n in sizes.items() if m not in rooms),
        "largest file": max(sizes.values()),
    }


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return len(function.args.args) + len(function.args.kwonlyargs)


def draw_rooms() -> str:
    """Return the picture of the rooms: each part with its rooms and their first sentence."""
    lines = []
    for part in PARTS:
        lines += ["", f"{part:22}{_sentence(ROOT / part)}"]
        for room in sorted(p.parent for p in (ROOT / part).glob("*/__init__.py")):
            lines.append(f"  {room.name:20}{_sentence(room)}")
    return "\n".join(("```", *lines[1:], "```"))


def _sentence(folder: Path) -> str:
    """Return the first line of a folder's docstring."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    return text.splitlines()[0] if text else ""


def written(readme: str) -> str:
    """Return the README with the picture in its place."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{draw_rooms()}\n{END}{after}"


def main() -> int:
    """Write the picture, print the figures beside their gates; return 1 where one is missed."""
    if "--print" not in sys.argv:
        readme = ROOT / "README.md"
        readme.write_text(written(readme.read_text(encoding="utf-8")), encoding="utf-8")
    found = figures()
    rows = [
        {
            "figure": name,
            "value": found[name],
            "least": LEAST.get(name, 0),
            "gate": gate,
            "ok": LEAST.get(name, 0) <= found[name] <= gate,
        }
        for name, gate in GATES.items()
    ]
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=1))
    for row in rows:
        missed = "" if row["ok"] else "missed"
        bounds = f"{row['least']} .. {row['gate']}" if row["least"] else f"<= {row['gate']}"
        print(f"{row['figure']:32}{row['value']:>8}  {bounds:<10} {missed}")
    return 0 if "--print" in sys.argv or all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
