"""What was said to be kept is still there when the power is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from silosynth.client.gateway import Records
from silosynth.client.ledger import read_fence
from silosynth.client.ledger.fence import Proofs, raise_fence
from silosynth.client.source import load_secret, make_secret
from silosynth.client.sums import SumStore
from silosynth.client.sums.store import SessionRecord
from silosynth.common.files import create_file, fresh_file, make_directory, replace_file
from silosynth.common.plan import PhaseName, load_plan
from silosynth.common.schema import load_schema
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import Acknowledged, Answered, Decided, Event, Silent
from silosynth.server.driver import Journal
from silosynth.server.driver.journal import read_events
from silosynth.server.federation import begin_run, find_run
from silosynth.server.federation.run_files import keep_receipt, kept_receipts
from tests.support.fakes import SILOS, small_plan, small_schema
from tests.support.power import Disk, forgetful_disk

EVENTS: tuple[Event, ...] = (
    Decided(silo=SILOS[0], data=b"approved"),
    Answered(phase=PhaseName.ONE_WAY, silo=SILOS[0], data=b"cells of the first"),
    Answered(phase=PhaseName.ONE_WAY, silo=SILOS[1], data=b"cells of the second"),
    Silent(silo=SILOS[1]),
    Acknowledged(silo=SILOS[0], data=b"thanks"),
)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Watch a directory that was there, empty, when the machine started."""
    root = tmp_path / "disk"
    root.mkdir()
    with forgetful_disk(root, monkeypatch) as disk:
        yield disk


def test_a_journal_holds_every_event_that_was_recorded(disk: Disk, tmp_path: Path) -> None:
    digest = small_plan().digest
    with Journal(disk.root / "run", plan_digest=digest) as journal:
        for number, event in enumerate(EVENTS, start=1):
            journal.record(event)
            left = disk.after_loss(tmp_path / f"after-{number}")
            assert read_events(left / "run", plan_digest=digest) == EVENTS[:number]


def test_a_run_that_was_begun_can_be_found_with_its_plan(disk: Disk, tmp_path: Path) -> None:
    plan, schema, now = small_plan(), small_schema(), datetime(2026, 3, 1, tzinfo=UTC)
    begin_run(disk.root, plan=plan, schema=schema, federation="f", now=now, token="1a2b")
    left = disk.after_loss(tmp_path / "after")
    run, begun = find_run(left, f"{plan.id}-20260301-000000-1a2b")
    assert load_plan(run.plan) == plan
    assert load_schema(run.schema) == schema
    assert begun.plan_digest == plan.digest


def test_receipts_are_kept(disk: Disk, tmp_path: Path) -> None:
    keep_receipt(disk.root, silo_key="ed25519:a", receipt=b"signed", name="one")
    left = disk.after_loss(tmp_path / "after")
    assert list(kept_receipts(left, silo_key="ed25519:a")) == [b"signed"]


def test_a_sum_session_is_kept(disk: Disk, tmp_path: Path) -> None:
    record = SessionRecord(plan_digest="sha256:" + "0" * 64, session=1, advert="a", secrets={})
    SumStore(disk.root / "sums" / "people").save(record)
    left = disk.after_loss(tmp_path / "after")
    assert SumStore(left / "sums" / "people").load(record.plan_digest, 1) == record


def test_an_approved_plan_and_its_id_are_kept(disk: Disk, tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    Records(disk.root / "kept", max_plans=3).keep_plan(
        b"sealed", consumer="c", plan_id="p", digest=digest
    )
    left = disk.after_loss(tmp_path / "after")
    assert Records(left / "kept", max_plans=3).plan(digest) == b"sealed"


def test_a_fence_is_kept(disk: Disk, tmp_path: Path) -> None:
    proofs = Proofs(heads=("2" * 64,))
    raise_fence(disk.root / "fence", proofs)
    left = disk.after_loss(tmp_path / "after")
    assert read_fence(left / "fence") == proofs


def test_a_key_and_a_secret_are_kept(disk: Disk, tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(disk.root / "key.pem")
    make_secret(disk.root / "secret")
    left = disk.after_loss(tmp_path / "after")
    for name in ("key.pem", "secret"):
        (left / name).chmod(0o600)
    assert SigningKey.load(left / "key.pem").public == key.public
    assert load_secret(left / "secret") == (disk.root / "secret").read_bytes()


def _fresh(path: Path) -> None:
    with fresh_file(path, force=True) as part:
        part.write_bytes(b"new")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: replace_file(path, b"new"),
        lambda path: create_file(path, b"new"),
        _fresh,
    ],
    ids=["replace", "create", "fresh"],
)
def test_a_file_is_there_with_the_folders_above_it(
    write: Callable[[Path], None], disk: Disk, tmp_path: Path
) -> None:
    folder = disk.root / "a" / "b"
    make_directory(folder)
    write(folder / "file")
    assert (disk.after_loss(tmp_path / "after") / "a" / "b" / "file").read_bytes() == b"new"
    assert [p.name for p in folder.iterdir()] == ["file"]


def test_a_file_that_nobody_synced_is_lost(disk: Disk, tmp_path: Path) -> None:
    (disk.root / "file").write_bytes(b"new")
    assert not list(disk.after_loss(tmp_path / "after").iterdir())
