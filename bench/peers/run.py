"""Run a peer in its own environment, once for each input: results are kept under bench/.peers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

PINS = Path(__file__).resolve().parent
BENCH = PINS.parent
ROOT = BENCH.parent
PEERS = BENCH / ".peers"
CACHE = PEERS / "cache"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeerRun:
    """What a peer made: (rows, attributes) codes, its time and its peak resident memory."""

    codes: np.ndarray
    seconds: float
    peak_bytes: int


def run_peer(
    peer: str, codes: np.ndarray, shape: tuple[int, ...], *, epsilon: float, delta: float, seed: int
) -> PeerRun:
    """Return what ``peer`` makes of the codes, from the cache where it ran on them before."""
    script = BENCH / "quality" / f"with_{peer}.py"
    arguments = [f"--epsilon={epsilon}", f"--delta={delta}", f"--seed={seed}"]
    key = _digest(peer, script, codes, shape, arguments)
    target = CACHE / f"{peer}-{key}.npz"
    if not target.exists():
        _run(peer, script, codes, shape, arguments, target=target)
    with np.load(target) as file:
        return PeerRun(
            codes=file["codes"],
            seconds=float(file["seconds"]),
            peak_bytes=int(file["peak_bytes"]),
        )


def _digest(
    peer: str, script: Path, codes: np.ndarray, shape: tuple[int, ...], arguments: list[str]
) -> str:
    """Name a run by everything that it depends on."""
    digest = hashlib.sha256()
    for part in (script.read_bytes(), (PINS / f"constraints-{peer}.txt").read_bytes()):
        digest.update(part)
    digest.update(np.ascontiguousarray(codes, dtype="<u2").tobytes())
    digest.update(repr((codes.shape, tuple(map(int, shape)), arguments)).encode())
    return digest.hexdigest()[:16]


def _run(
    peer: str,
    script: Path,
    codes: np.ndarray,
    shape: tuple[int, ...],
    arguments: list[str],
    *,
    target: Path,
) -> None:
    """Run the peer's script; its output appears under ``target`` only when it is whole."""
    python = PEERS / peer / "bin" / "python"
    if not (PEERS / peer / "READY").exists():
        raise SystemExit(f"{PEERS / peer} is not set up; run make bench-setup")
    CACHE.mkdir(parents=True, exist_ok=True)
    source = target.with_suffix(f".{os.getpid()}.in.npz")
    partial = target.with_suffix(f".{os.getpid()}.out.npz")
    np.savez_compressed(source, codes=codes.astype(np.uint16), shape=np.asarray(shape))
    try:
        subprocess.run([python, script, source, partial, *arguments], check=True)
        partial.replace(target)
    finally:
        source.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def run_table_peer(peer: str, table: pa.Table, *, numbers: Sequence[str]) -> pa.Table:
    """Return as many rows as ``table`` has from a peer that takes tables, kept as codes are.

    Args: numbers: the columns that are numbers; the others are categories.
    """
    script = BENCH / "values" / f"with_{peer}.py"
    digest = hashlib.sha256(script.read_bytes())
    digest.update((PINS / f"constraints-{peer}.txt").read_bytes())
    for column in table.columns:
        digest.update(repr(column.to_pylist()).encode())
    target = CACHE / f"{peer}-{digest.hexdigest()[:16]}.parquet"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        source = target.with_suffix(".source.parquet")
        pyarrow.parquet.write_table(table, source)
        python = PEERS / peer / "bin" / "python"
        arguments = [f"--numbers={','.join(numbers)}"]
        subprocess.run([str(python), str(script), str(source), str(target), *arguments], check=True)
        source.unlink()
    return pyarrow.parquet.read_table(target)
