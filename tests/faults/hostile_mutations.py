"""A deterministic fuzzer: valid messages in, messages that are almost valid out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

_PLAUSIBLE: tuple[Any, ...] = (
    "age",
    "sex",
    "fine",
    "one-way",
    "tree",
    "coarse",
    "mst",
    "south",
    "north",
    "q",
    2,
    100,
    0.5,
    "400",
    ["sex", "age"],
    [["age"], "fine"],
    {"w": {"age": [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]}},
)
_NASTY: tuple[Any, ...] = (
    *_PLAUSIBLE,
    *_PLAUSIBLE,
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    2**64,
    10**400,
    1e308,
    -0.0,
    float("inf"),
    float("nan"),
    "",
    "1e999999999",
    "1/0",
    "../../etc/passwd",
    "/dev/zero",
    "\ud800",
    "\0",
    "\n",
    "%s%n",
    "{0.__class__}",
    "a" * 3000,
    "sha256:" + "0" * 64,
    "ed25519:" + "A" * 43,
    [],
    {},
    [[]] * 50,
    {"a": {"b": {"c": []}}},
    ["north", "north"],
    [["age", "age"], "fine"],
)


def mutate_bytes(data: bytes, *, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Return ``data`` with a few changes of its bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_BYTE_STEPS)(changed, chance, others)
    return bytes(changed)


def mutate_json(body: bytes, *, chance: random.Random) -> bytes:
    """Return a JSON document with a few fields replaced, removed, doubled or added."""
    value = json.loads(body)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change_somewhere(value, chance)
    return json.dumps(value).encode()


def _change_somewhere(value: Any, chance: random.Random) -> None:
    """Walk to a random place and change what is there."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.75:
            value = inner
            continue
        break
    step = chance.randrange(5)
    if step == 0:
        del value[key]
    elif step == 1 and isinstance(value, dict):
        value[chance.choice(("expression", "__proto__", "id ", "\ud800"))] = deepcopy(
            chance.choice(_NASTY)
        )
    elif step == 2 and isinstance(value, list):
        value.extend(deepcopy(inner) for _ in range(chance.choice((1, 3, 200))))
    else:
        value[key] = deepcopy(chance.choice(_NASTY))


def _flip(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice(b'\0\xff"{}[],:0919a')


def _cut(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.choice((1, 4, 64, 10**6))]


def _repeat(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = data[start : start + chance.choice((1, 8, 256))] * chance.choice((1, 16))


def _insert(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = chance.randbytes(chance.choice((1, 4, 100)))


def _splice(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    other = chance.choice(others)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _lie_about_length(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    start = chance.choice((0, 19))
    data[start : start + 4] = chance.choice((0, 1, 2**16, 2**31, 2**32 - 1)).to_bytes(4, "little")


_Step = Callable[[bytearray, random.Random, Sequence[bytes]], None]
_BYTE_STEPS: tuple[_Step, ...] = (
    _flip,
    _flip,
    _replace,
    _replace,
    _cut,
    _repeat,
    _insert,
    _splice,
    _lie_about_length,
)
