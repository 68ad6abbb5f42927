"""Documents that people write: YAML or JSON files of plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from silosynth.common.errors import InvalidSchema

# PyYAML writes these plainly, and reads them back as line breaks or not at all.
_MISREAD = re.compile("[\x80-\x9f\u2028\u2029\ufeff]")


def dump_document(data: Mapping[str, Any]) -> str:
    """Return plain data as YAML in the order given."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    if _MISREAD.search(text):
        text = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=False)
    return text


def load_document(path: Path) -> Any:
    """Parse a YAML or JSON file; raise InvalidSchema naming the file and the line."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)
    except OSError as err:
        raise InvalidSchema(f"{path}: cannot be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise InvalidSchema(f"{path}: is not UTF-8 text") from err
    except json.JSONDecodeError as err:
        raise InvalidSchema(f"{path}: is not valid JSON at line {err.lineno}") from err
    except RecursionError as err:
        raise InvalidSchema(f"{path}: is nested too deeply") from err
    except (yaml.YAMLError, ValueError) as err:
        mark = getattr(err, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise InvalidSchema(f"{path}: is not valid YAML{line}") from err


def parse_sent(text: str, *, origin: str) -> Any:
    """Parse YAML that somebody sent, and that :func:`dump_document` made: no part stands for many.

    Raises InvalidSchema naming ``origin`` where it is none.
    """
    try:
        return yaml.load(text, Loader=_SentLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise InvalidSchema(f"{origin} is no document as silosynth writes them") from err


class _Dumper(yaml.SafeDumper):
    """Plain data, each part written out where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """Plain data alone, and no field twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem="a field stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _SentLoader(_Loader):
    """Plain data without aliases, by which a few bytes become as many as one likes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="an alias", problem_mark=None)
        return super().compose_node(parent, index)


def describe_validation(err: ValidationError, data: Any) -> str:
    """Return the first fault in one line: where it is, and what is wrong."""
    faults = own_faults(err)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return describe_fault(faults[0], data) + more


def own_faults(err: ValidationError) -> list[ErrorDetails]:
    """Return the faults, without "too short" for a list whose faulty entries are told already."""
    faults = err.errors(include_url=False)
    inner = [fault["loc"] for fault in faults]
    return [
        fault
        for fault, loc in zip(faults, inner, strict=True)
        if fault["type"] != "too_short"
        or not any(len(i) > len(loc) and i[: len(loc)] == loc for i in inner)
    ]


def describe_fault(fault: ErrorDetails, data: Any) -> str:
    """Say where a fault is and what is wrong."""
    where = _spell_path(fault["loc"], data)
    if fault["type"] == "missing" or fault["input"] is None:
        return f"{where}is not declared"
    if fault["type"] == "union_tag_not_found":
        return f"{where}kind: is not declared"
    what = fault["msg"].removeprefix("Value error, ")
    return f"{where}{what[0].lower() + what[1:]}"


_MEMBER = re.compile(r"^[a-z-]+\[.*\]$", re.DOTALL)
"""What pydantic puts into a path for a member of a union: no part of a document."""


def _spell_path(loc: tuple[int | str, ...], data: Any) -> str:
    """Spell a location, naming list entries by their ``name`` where they have one."""
    words: list[str] = []
    for step in loc:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            if isinstance(data, Mapping) and step == data.get("kind"):
                continue
            if _MEMBER.match(str(step)):
                continue
            words.append(str(step))
            data = None
            continue
        name = data.get("name") if isinstance(data, Mapping) else None
        words.append(f"{name!r}" if isinstance(step, int) and name else str(step))
    return "".join(f"{w}: " for w in words)


_NAMED = re.compile(r"^\s*- name:\s*(.+)$")


def comments_of(text: str) -> dict[str, str]:
    """Return what stands in the comment just above each entry that begins with its name."""
    found: dict[str, str] = {}
    pending: list[str] = []
    for line in text.splitlines():
        named = _NAMED.match(line)
        if named and pending:
            found[_scalar(named[1])] = "\n".join(pending)
        said = line.strip()
        pending = [*pending, said.removeprefix("#").strip()] if said.startswith("#") else []
    return found


def with_comments(text: str, comments: Mapping[str, str]) -> str:
    """Return YAML with a comment above each entry that begins with its name.

    >>> print(with_comments("a:\\n- name: x", {"x": "why"}), end="")
    a:
    # why
    - name: x
    """
    lines = []
    for line in text.splitlines():
        named = _NAMED.match(line)
        above = comments.get(_scalar(named[1])) if named else None
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}# {said}" for said in above.splitlines()] if above else []
        lines.append(line)
    return "\n".join(lines) + "\n"


Place = tuple[str, ...]
"""The keys above a line of YAML and its own; of an entry of a list its name, or what it says."""

_LINE = re.compile(
    r"^( *)(- )?(?:name: (?P<name>.*)|(?P<key>[^\s#'\"-][^:]*):(?: .*)?|(?P<said>.*))$"
)


def placed_comments(text: str) -> dict[Place, str]:
    """Return what stands in the comments just above each key and each entry, by its place."""
    found: dict[Place, str] = {}
    pending: list[str] = []
    for line, place in _placed(text):
        said = line.strip()
        if said.startswith("#"):
            pending.append(said.removeprefix("#").strip())
            continue
        if pending and place:
            found[place] = "\n".join(pending)
        pending = []
    return found


def with_placed_comments(text: str, comments: Mapping[Place, str]) -> str:
    """Return YAML with a comment above what stands at each place.

    >>> print(with_placed_comments("t:\\n  a:\\n  - x", {("t", "a", "x"): "why"}), end="")
    t:
      a:
      # why
      - x
    """
    lines = []
    for line, place in _placed(text):
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}# {said}" for said in comments.get(place, "").splitlines()]
        lines.append(line)
    return "\n".join(lines) + "\n"


def _placed(text: str) -> Iterator[tuple[str, Place]]:
    """Yield each line with its place; no place of a comment, and of a blank line."""
    above: list[tuple[int, bool, str]] = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if not line.strip() or line.lstrip().startswith("#") or found is None:
            yield line, ()
            continue
        indent, entry = len(found[1]), found[2] is not None
        # Entries of a list stand below its key, and at no other indent than it.
        while above and (
            above[-1][0] > indent or (above[-1][0] == indent and entry <= above[-1][1])
        ):
            above.pop()
        own = found["name"] if found["name"] is not None else found["key"] or found["said"] or ""
        above.append((indent, entry, _scalar(own)))
        yield line, tuple(word for _, _, word in above)


def _scalar(text: str) -> str:
    try:
        return str(yaml.safe_load(text))
    except yaml.YAMLError:
        return text
