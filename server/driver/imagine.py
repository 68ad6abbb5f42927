"""Have a generator, which is a program or a language model, write the candidates of a round.

It runs at the coordinator alone and gets lines that a coordinator knows. A program is started
without a shell, in an empty folder, with no variables but a few, and gets a time, and as many lines
and bytes as a plan can use; it answers each line with one. A language model lies in a folder, as a
pretrained one does, and gets a time too. Nothing is ever taken from a hub.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import IO

import numpy as np

from silosynth.common.errors import InvalidArgument, InvalidPlan, RunFailed
from silosynth.common.generator import (
    VoteSettings,
    check_candidates,
    digest_checkpoint,
    foreign_to,
)
from silosynth.common.plan import Plan
from silosynth.server.coordinator import Imagine, Imagined, encode_candidates

Generator = Callable[[Imagine], Imagined]
"""What makes the candidates that a run wants."""

WHOLE_SECONDS = 600.0
_SPARE_LINE = 4096
"""Bytes of a line beyond what a plan takes, which is cut: a generator need not count bytes."""

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "HOME")


def no_generator(_asked: Imagine | None = None) -> Imagined:
    """Raise InvalidArgument: a run needs candidates, and nobody said who writes them."""
    raise InvalidArgument(
        "the plan has silos vote for candidates, and nothing was named that writes them",
        hint="name a program, or the folder of a language model, with --generator",
    )


def generator_of(
    path: Path | None, plan: Plan, *, seconds: float = WHOLE_SECONDS, begun: bool = False
) -> Generator:
    """Return what writes a run's candidates: the program, or the language model, at ``path``.

    A run that has ``begun`` keeps what was written, and may need nothing more: what is amiss with
    its generator is told when a candidate is wanted.

    Raises InvalidArgument, before anything is asked, where none is named that is needed, where it
    is not there, and where it is not needed.
    """
    settings = plan.votes
    if settings is None:
        if path is not None:
            raise InvalidArgument(f"plan {plan.id} needs no generator", hint="leave it out")
        return no_generator
    if begun:
        return lambda asked: generator_of(path, plan, seconds=seconds)(asked)
    if path is None:
        no_generator()
    assert path is not None
    path = path.expanduser().resolve()
    if path.is_dir():
        return _from_model(path, settings, seconds=seconds)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise InvalidArgument(
            f"{path} is neither a program that can be run nor a folder",
            hint="name a file that may be executed ('chmod +x')",
        )

    def imagine(asked: Imagine) -> Imagined:
        wanted = asked.wanted
        lines = run_program(path, wanted.lines, settings=settings, seconds=seconds)
        candidates = to_candidates((*wanted.kept, *lines), settings=settings)
        return Imagined(phase=wanted.phase, data=encode_candidates(candidates))

    return imagine


def _from_model(folder: Path, settings: VoteSettings, *, seconds: float) -> Generator:
    """Return what has the language model of a folder write candidates.

    It cannot be told of an alphabet, or of lines, so what is not of it counts as a blank.
    """
    if settings.pictures:
        raise InvalidArgument(
            f"{folder} is a folder, and a language model draws no pictures",
            hint="name a program that answers each line with a picture",
        )
    if not all(map(find_spec, ("transformers", "peft", "torch"))):
        raise InvalidArgument(
            f"{folder} is a folder, and no language model can be opened here",
            hint="install silosynth[pretrained], or name a program",
        )
    digest = digest_checkpoint(folder)

    def imagine(asked: Imagine) -> Imagined:
        # transformers is an extra, and takes seconds to import: only such a run needs it.
        from silosynth.common.generator import open_checkpoint, write_variations

        wanted, chances, until = asked.wanted, np.random.default_rng(), monotonic() + seconds

        def uniform(count: int) -> np.ndarray:
            if monotonic() > until:
                raise _late(seconds)
            return chances.random(count)

        lines = write_variations(
            open_checkpoint(folder, digest),
            wanted.lines,
            most_bytes=settings.max_bytes,
            uniform=uniform,
        )
        known = [_without_others(line, settings) for line in lines]
        candidates = to_candidates((*wanted.kept, *known), settings=settings)
        return Imagined(phase=wanted.phase, data=encode_candidates(candidates))

    return imagine


def _without_others(line: str, settings: VoteSettings) -> str:
    """Return a line with a blank for each character that a plan's alphabet does not have."""
    others = set(foreign_to(settings.alphabet, line))
    return "".join(" " if character in others else character for character in line)


def to_candidates(lines: Sequence[str], *, settings: VoteSettings) -> tuple[str, ...]:
    """Return what was written as candidates: each once, blank ones gone, texts cut to their bytes.

    Raises RunFailed where nothing is left, a character is not of the plan's alphabet, or a picture
    has other than its digits.
    """
    most = None if settings.pictures else settings.max_bytes
    cut = (line.encode()[:most].decode("utf-8", "ignore").strip() for line in lines)
    candidates = tuple(dict.fromkeys(c for c in cut if c))[: settings.candidates]
    if not candidates:
        raise RunFailed(
            "the generator wrote nothing", hint="it has to answer each line with a line of text"
        )
    for candidate in candidates:
        if strange := next(foreign_to(settings.alphabet, candidate), None):
            raise RunFailed(
                f"the generator wrote U+{ord(strange):04X}, which is not of the alphabet "
                f"{settings.alphabet.value}",
                hint="plan with a wider --alphabet, or have it write with this one",
            )
    try:
        check_candidates(candidates, settings=settings)
    except InvalidPlan as err:
        raise RunFailed(f"the generator wrote no candidates: {err.message}") from err
    return candidates


def run_program(
    path: Path, lines: Sequence[str], *, settings: VoteSettings, seconds: float
) -> tuple[str, ...]:
    """Return what a program answers to ``lines``, one for each.

    Raises RunFailed, and ends the program with all that it started, where it writes nothing, fewer
    or more lines than it was asked, more bytes than fit, what is no UTF-8, or is not done in time.
    """
    most = len(lines) * (settings.max_bytes + _SPARE_LINE)
    with tempfile.TemporaryDirectory(prefix="silosynth-generator-") as folder:
        data, status, late = _talk(
            path, "".join(f"{line}\n" for line in lines).encode(), folder, most, seconds
        )
    if len(data) > most:
        raise RunFailed(
            f"the generator wrote more than {most} bytes for {len(lines)} lines",
            hint="it has to answer each line with one, and then end",
        )
    if late:
        raise _late(seconds)
    if status != 0:
        raise RunFailed(
            f"the generator failed with status {status}",
            hint=f"try it by hand: echo | {path}",
        )
    return _lines(data, asked=len(lines))


def _late(seconds: float) -> RunFailed:
    """Return the error of a generator that took too long."""
    return RunFailed(
        f"the generator was not done within {seconds:g} s",
        hint="a program has to end when its input does; take a smaller model, or fewer candidates",
    )


def _lines(data: bytes, *, asked: int) -> tuple[str, ...]:
    """Return the lines of what was written, as many as were asked for."""
    try:
        text = data.decode()
    except UnicodeDecodeError as err:
        raise RunFailed("the generator wrote what is no UTF-8") from err
    found = text.removesuffix("\n").split("\n") if text else []
    if not any(line.strip() for line in found):
        raise RunFailed(
            "the generator wrote nothing", hint="it has to answer each line with a line of text"
        )
    if len(found) != asked:
        raise RunFailed(
            f"the generator wrote {len(found)} lines for {asked}",
            hint="it has to answer each line with one, an empty line too",
        )
    return tuple(found)


def _talk(
    path: Path, sent: bytes, folder: str, most: int, seconds: float
) -> tuple[bytes, int, bool]:
    """Return what a program wrote, one byte beyond ``most`` at most, its status, and if it is late.

    It is over when this returns, and so is whatever it started in its session.
    """
    variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    try:
        process = subprocess.Popen(
            [str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=variables,
            start_new_session=True,
        )
    except OSError as err:
        raise RunFailed(
            f"the generator {path} cannot be started: {err.strerror}",
            hint="does its first line name a program that is there?",
        ) from err
    assert process.stdin is not None
    assert process.stdout is not None
    found = bytearray()
    feeding = threading.Thread(target=_feed, args=(process.stdin, sent), daemon=True)
    reading = threading.Thread(
        target=_read, args=(process.stdout, found, most, process), daemon=True
    )
    feeding.start()
    reading.start()
    late = False
    try:
        reading.join(seconds)
        late = reading.is_alive()
        if not late:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_SECONDS)
            late = process.poll() is None and len(found) <= most
    finally:
        _end(process)
        reading.join(_LEAVE_SECONDS)
        feeding.join(_LEAVE_SECONDS)
    return bytes(found), process.returncode, late


_LEAVE_SECONDS = 10.0
_PIECE = 2**16


def _feed(pipe: IO[bytes], data: bytes) -> None:
    """Write all of a program's input and close it; one that reads no more has its reasons."""
    with suppress(OSError), pipe:
        pipe.write(data)


def _read(pipe: IO[bytes], found: bytearray, most: int, process: subprocess.Popen[bytes]) -> None:
    """Read what a program writes, and end it where that is more than can be used."""
    with suppress(OSError, ValueError), pipe:
        while piece := os.read(pipe.fileno(), _PIECE):
            found += piece[: most + 1 - len(found)]
            if len(found) > most:
                _end(process)
                return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
