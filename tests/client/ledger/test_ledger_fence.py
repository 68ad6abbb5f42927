"""A ledger that lacks a head which a peer holds stays refused until the right one is back."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger, fence_path
from silosynth.client.ledger.fence import MAX_HEADS
from silosynth.common.audit import GENESIS, Scope, ScopeKind
from silosynth.common.errors import InvalidArgument, LedgerUnavailable
from tests.support.patience import cheap

PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {PROJECT: 2**40}


@pytest.fixture
def path() -> Iterator[Path]:
    """Keep the file in memory: what a disk does is the fault tests' matter."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield _made(Path(directory) / "ledger.sqlite")


def _made(path: Path) -> Path:
    Ledger.create(path)
    return path


def spend(path: Path, request: str) -> str:
    """Charge one request and return the head, as a peer would hold it."""
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge(request, "h", cost_units=1)
        return ledger.head


@pytest.fixture
def backup(path: Path) -> Path:
    spend(path, "r1")
    return Path(shutil.copy(path, path.with_name("backup")))


def test_every_head_of_the_chain_passes(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        heads = [GENESIS, ledger.head]
        for n in range(5):
            ledger.charge(f"r{n}", "h", cost_units=1)
            heads.append(ledger.head)
        ledger.present_heads(heads)
        ledger.charge("last", "h", cost_units=1)
    assert not fence_path(path).exists()


def test_an_old_copy_refuses_everything_from_the_moment_a_head_is_presented(
    path: Path, backup: Path
) -> None:
    head = spend(path, "r2")
    shutil.copy(backup, path)
    with Ledger.open(path, caps=CAPS) as ledger:
        assert ledger.charge("r1", "h", cost_units=1) is None
        with pytest.raises(LedgerUnavailable, match="old copy") as caught:
            ledger.present_heads([head])
        assert caught.value.exit_code == 6
        for call in (
            lambda: ledger.charge("r2", "h", cost_units=1),
            lambda: ledger.store("r1", b"x"),
            lambda: ledger.spent(PROJECT),
            lambda: ledger.head,
            lambda: ledger.audit(),
        ):
            with pytest.raises(LedgerUnavailable, match="old copy"):
                call()


def test_the_fence_holds_until_a_ledger_with_the_head_is_in_place(path: Path, backup: Path) -> None:
    head = spend(path, "r2")
    newest = Path(shutil.copy(path, path.with_name("newest")))
    shutil.copy(backup, path)
    with pytest.raises(LedgerUnavailable, match="old copy"):
        Ledger.open(path, caps=CAPS, known_heads=[head])
    for _ in range(2):
        shutil.copy(backup, path)
        with pytest.raises(LedgerUnavailable, match="fenced"):
            Ledger.open(path, caps=CAPS)
        shutil.copy(newest, path)
        Ledger.open(path, caps=CAPS).close()


def test_a_new_ledger_in_the_place_of_a_lost_one_is_fenced_too(path: Path, backup: Path) -> None:
    head = spend(path, "r2")
    shutil.copy(backup, path)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path, caps=CAPS, known_heads=[head])
    path.unlink()
    Ledger.create(path)
    with pytest.raises(LedgerUnavailable, match="fenced"):
        Ledger.open(path, caps=CAPS)


def test_a_fork_is_fenced(path: Path, backup: Path) -> None:
    head = spend(path, "r2")
    shutil.copy(backup, path)
    spend(path, "another r2")
    spend(path, "another r3")
    with pytest.raises(LedgerUnavailable, match="old copy"):
        Ledger.open(path, caps=CAPS, known_heads=[head])


def test_heads_that_come_later_are_added_to_the_fence(path: Path, backup: Path) -> None:
    first, second = spend(path, "r2"), spend(path, "r3")
    middle = Path(shutil.copy(path, path.with_name("middle")))
    third = spend(path, "r4")
    shutil.copy(backup, path)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path, caps=CAPS, known_heads=[first])
    shutil.copy(middle, path)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path, caps=CAPS, known_heads=[second, third])
    assert json.loads(fence_path(path).read_text())["heads"] == [first, third]
    with pytest.raises(LedgerUnavailable, match="fenced"):
        Ledger.open(path, caps=CAPS)


def test_a_fenced_ledger_keeps_heads_that_are_presented_together(path: Path, backup: Path) -> None:
    heads = [spend(path, f"r{n}") for n in range(2, 5)]
    shutil.copy(backup, path)
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path, caps=CAPS, known_heads=heads)
    assert json.loads(fence_path(path).read_text()) == {
        "version": 1,
        "heads": sorted(heads),
        "released": [],
    }
    assert fence_path(path).stat().st_mode & 0o777 == 0o600


def test_a_copy_made_between_charge_and_store_is_fenced(path: Path, backup: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r2", "h", cost_units=1)
        head = ledger.head
    shutil.copy(path, backup)
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.store("r2", b"the release that left")
        ledger.present_heads([head], released=["r2"])
    shutil.copy(backup, path)
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.present_heads([head])
        with pytest.raises(LedgerUnavailable, match="old copy"):
            ledger.present_heads([head], released=["r2"])
        with pytest.raises(LedgerUnavailable, match="old copy"):
            ledger.charge("r2", "h", cost_units=1)
    with pytest.raises(LedgerUnavailable, match="fenced"):
        Ledger.open(path, caps=CAPS)


def test_the_fence_does_not_grow_without_bound(path: Path) -> None:
    unknown = [f"{n:064x}" for n in range(1, MAX_HEADS + 100)]
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path, caps=CAPS, known_heads=unknown)
    assert len(json.loads(fence_path(path).read_text())["heads"]) == MAX_HEADS


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version":2,"heads":[]}', b"\xff"])
def test_a_fence_that_cannot_be_read_refuses(path: Path, content: bytes) -> None:
    fence_path(path).write_bytes(content)
    with pytest.raises(LedgerUnavailable, match=r"fence ledger\.sqlite\.fence cannot be read"):
        Ledger.open(path, caps=CAPS)


def test_a_fence_that_cannot_be_written_refuses_all_the_same(path: Path, backup: Path) -> None:
    head = spend(path, "r2")
    shutil.copy(backup, path)
    with Ledger.open(path, caps=CAPS) as ledger:
        fence_path(path).with_name(f".{fence_path(path).name}.part").mkdir()
        with pytest.raises(LedgerUnavailable, match="cannot be written"):
            ledger.present_heads([head])
        with pytest.raises(LedgerUnavailable, match="old copy"):
            ledger.charge("r2", "h", cost_units=1)


@pytest.mark.parametrize("head", ["", "x" * 64, "A" * 64, "0" * 63, "../" + "0" * 61])
def test_what_is_no_head_fences_nothing(path: Path, head: str) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        with pytest.raises(InvalidArgument):
            ledger.present_heads([head])
        ledger.charge("r", "h", cost_units=1)
    assert not fence_path(path).exists()


def test_presenting_a_head_looks_up_an_index(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        (plan,) = ledger._batch.read(
            lambda c: c.execute(
                "EXPLAIN QUERY PLAN SELECT 1 FROM entries WHERE head = ?", ("x",)
            ).fetchall()
        )
        assert "USING COVERING INDEX entries_by_head" in plan[-1]
        head = ledger.head
        with cheap(units=100):
            for _ in range(100):
                ledger.present_heads([head])
