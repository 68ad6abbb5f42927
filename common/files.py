"""Output files: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from silosynth.common.errors import InvalidArgument, OutputExists


@contextmanager
def fresh_file(path: Path, *, force: bool) -> Iterator[Path]:
    """Yield a path to write to, and move what was written to ``path`` when all went well.

    Guarantees: ``path`` holds what it held before, or the whole new file; whatever stops the
    writing, Ctrl-C included, leaves nothing else behind.

    Errors: OutputExists when ``path`` is there, unless ``force``; InvalidArgument when its
    directory is not, or when it cannot be written.
    """
    check_output(path, force=force)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as err:
        raise InvalidArgument(f"{path} cannot be written: {err.strerror or err}") from err
    finally:
        part.unlink(missing_ok=True)


def check_output(path: Path, *, force: bool) -> None:
    """Raise what :func:`fresh_file` raises, before any work is done for the file."""
    if path.exists() and not force:
        raise OutputExists(f"{path} exists already", hint="choose another name, or add --force")
    if path.is_dir():
        raise InvalidArgument(f"{path} is a directory", hint="give the name of a file")
    if not path.absolute().parent.is_dir():
        raise InvalidArgument(f"{path.parent} is not a directory", hint="make it first")


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write a text file whole or not at all."""
    with fresh_file(path, force=force) as part:
        part.write_text(text, encoding="utf-8")
