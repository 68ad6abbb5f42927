"""The files of a pretrained checkpoint, and the one digest that names them all.

A checkpoint is a folder as ``save_pretrained`` of transformers writes it. Of everything in it these
files count, and no other is ever opened: configuration, fast tokenizer, and weights in safetensors.
"""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

from silosynth.common.errors import InvalidCheckpoint

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", ".safetensors"
_OPTIONAL = ("tokenizer_config.json", "special_tokens_map.json", "model.safetensors.index.json")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CHUNK_BYTES = 2**20


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

    Raises InvalidCheckpoint.
    """
    try:
        hashes = {name: _hash(path) for name, path in checkpoint_files(folder).items()}
    except OSError as err:
        raise InvalidCheckpoint(f"{folder}: cannot be read: {err.strerror}") from err
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


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(path.stat().st_mode)


def _hash(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()
