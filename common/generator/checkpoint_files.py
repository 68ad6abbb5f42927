"""The files of a pretrained checkpoint, and the one digest that names them all.

A checkpoint is a folder as ``save_pretrained`` of transformers writes it. Of everything in it these
files count, and no other is ever opened: configuration, fast tokenizer, and weights in safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
from base64 import b64decode
from pathlib import Path
from typing import Any

from silosynth.common.errors import InvalidCheckpoint

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", ".safetensors"
_OPTIONAL = ("tokenizer_config.json", "special_tokens_map.json", "model.safetensors.index.json")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CHUNK_BYTES = 2**20
_MOST_GROWTH = 2**12


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """Return the files that count by their names.

    Raises InvalidCheckpoint when one is missing, or the weights are pickled: reading those could
    run code.
    """
    if not folder.is_dir():
        raise InvalidCheckpoint(
            f"{folder}: there is no checkpoint", hint="give the folder that holds its config.json"
        )
    try:
        found = {path.name: path for path in sorted(folder.iterdir()) if _is_file(path)}
    except OSError as err:
        raise InvalidCheckpoint(f"{folder}: cannot be read: {err.strerror}") from err
    weights = [name for name in found if name.endswith(WEIGHTS)]
    if not weights and any(name.endswith(_PICKLED) for name in found):
        raise InvalidCheckpoint(
            f"{folder}: its weights are pickled, and reading those could run code",
            hint="save it again with safetensors: save_pretrained(..., safe_serialization=True)",
        )
    for name, what in ((CONFIG, "configuration"), (TOKENIZER, "fast tokenizer")):
        if name not in found:
            raise InvalidCheckpoint(
                f"{folder}: has no {what}: {name} is missing",
                hint="save model and tokenizer with save_pretrained",
            )
    if not weights:
        raise InvalidCheckpoint(f"{folder}: has no weights in safetensors")
    names = [CONFIG, TOKENIZER, *(n for n in _OPTIONAL if n in found), *weights]
    return {name: found[name] for name in sorted(names)}


def digest_checkpoint(folder: Path) -> str:
    """Return ``sha256:`` and the hash of names and hashes of all files that count.

    Raises InvalidCheckpoint, also where its tokenizer may make a text many times as long: the
    memory for it ends a gateway, and that would tell, without noise, of a word that a row holds.
    """
    try:
        files = checkpoint_files(folder)
        hashes = {name: _hash(path) for name, path in files.items()}
        growth = _growth_of(files[TOKENIZER])
    except OSError as err:
        raise InvalidCheckpoint(f"{folder}: cannot be read: {err.strerror}") from err
    if growth > _MOST_GROWTH:
        raise InvalidCheckpoint(
            f"{folder}: the rules of its {TOKENIZER} may make a text over {_MOST_GROWTH} times as "
            "long",
            hint="take another folder: no tokenizer in use has such rules",
        )
    text = json.dumps(hashes, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def require_digest(folder: Path, digest: str) -> None:
    """Raise InvalidCheckpoint unless the folder holds the checkpoint of this digest."""
    found = digest_checkpoint(folder)
    if found != digest:
        raise InvalidCheckpoint(
            f"{folder}: is another checkpoint, {short(found)}, than {short(digest)}",
            hint="give the folder that the plan was made from, unchanged",
        )


def short(digest: str) -> str:
    """Return enough of a digest for a person to compare."""
    return f"{digest[:19]}..."


def _growth_of(path: Path) -> int:
    """Return how many times as long a tokenizer makes a text at most, but for forms of Unicode.

    What is no tokenizer is told by who opens it; rules of no known form are beyond all limits.
    """
    try:
        rules = json.loads(path.read_bytes())
        parts = [rules.get("normalizer"), rules.get("post_processor")]
    except (ValueError, AttributeError):
        return 1
    except RecursionError:
        return _MOST_GROWTH + 1
    try:
        return _growth(parts)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return _MOST_GROWTH + 1


def _growth(rule: Any) -> int:
    """Return the product of what rules that follow each other may make of one byte, in bytes.

    They are told by what they hold: the library reads rules without a type as well.
    """
    if isinstance(rule, list):
        return math.prod(map(_growth, rule))
    if not isinstance(rule, dict):
        return 1
    own = 1 + sum(len(rule[key].encode()) for key in ("content", "prepend") if key in rule)
    if "precompiled_charsmap" in rule:
        table = b64decode(rule["precompiled_charsmap"] or "", validate=True)
        spelled = table[4 + int.from_bytes(table[:4], "little") :]
        own *= max(1, *map(len, spelled.split(b"\0")))
    if "single" in rule:
        own *= max(1, len(rule["single"]))
    return own * _growth([rule.get("normalizers"), rule.get("processors")])


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(path.stat().st_mode)


def _hash(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()
