"""A mirror holds all that anybody ever heard of, through every crash, or says that it does not."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from silosynth.client.ledger import CopyKind, Ledger, read_copy
from silosynth.client.ledger import mirror as mirror_module
from silosynth.client.ledger.batch import _Job
from silosynth.client.ledger.mirror import mirror_note
from silosynth.client.ledger.rebuild import rebuild
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import LedgerUnavailable
from tests.support.power import forgetful_disk

PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {PROJECT: 1000}
STEPS = ("before-charge", "before-mirror", "mirrored", "after-charge", "before-store")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path)
    return path


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "other disk"
    folder.mkdir()
    return folder / "north.mirror"


def _answer(ledger: Ledger, name: str) -> bytes:
    ledger.charge(name, "h", cost_units=5)
    return ledger.store(name, f"noised {name}".encode())


def test_a_mirror_holds_every_entry_and_release_at_once(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        for number in range(3):
            sent = _answer(ledger, f"r{number}")
            copy = read_copy(mirror)
            assert (copy.kind, copy.torn) == (CopyKind.MIRROR, False)
            assert copy.account == ledger.verify()
            assert copy.releases.get(f"r{number}") == sent
        ledger.decide("sha256:p", Verdict.APPROVED, signer="k", why="agreed", by="anna")
        assert read_copy(mirror).account.head == ledger.head
    assert mirror.stat().st_mode & 0o077 == 0


def test_a_mirror_goes_on_after_a_restart_and_is_not_written_anew(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
    before, inode = mirror.read_bytes(), mirror.stat().st_ino
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert mirror.read_bytes() == before
        _answer(ledger, "r2")
        assert read_copy(mirror).account == ledger.verify()
    assert mirror.read_bytes().startswith(before)
    assert mirror.stat().st_ino == inode


def test_a_ledger_that_was_there_before_is_mirrored_whole(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        _answer(ledger, "r1")
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).account == ledger.verify()


def test_an_answer_is_in_the_mirror_before_it_is_handed_over(
    path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[str] = []
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        deliver = _Job.deliver

        def look(job: _Job[object]) -> None:
            handed.append(read_copy(mirror).account.head)
            deliver(job)

        monkeypatch.setattr(_Job, "deliver", look)
        _answer(ledger, "r1")
        assert handed[-1] == ledger.head


def test_nobody_hears_of_what_the_mirror_could_not_take(
    path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        ledger.charge("r1", "h", cost_units=5)

        def full(_descriptor: int, _data: bytes) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(mirror_module, "_write_all", full)
            with pytest.raises(LedgerUnavailable, match=r"mirror .* No space left"):
                ledger.store("r1", b"noised")
        with pytest.raises(LedgerUnavailable, match="No space left"):
            ledger.charge("r2", "h", cost_units=5)
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).account == ledger.verify()
        assert ledger.charge("r1", "h", cost_units=5) == b"noised"


def test_a_mirror_that_is_deleted_under_the_gateway_is_noticed(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
        mirror.unlink()
        with pytest.raises(LedgerUnavailable, match="it was deleted"):
            ledger.charge("r2", "h", cost_units=5)
    with pytest.raises(LedgerUnavailable, match="is away"):
        Ledger.open(path, caps=CAPS, mirror=mirror)


def test_a_mirror_whose_disk_is_not_mounted_is_not_made_anew(path: Path, mirror: Path) -> None:
    """What lies on the disk that is away would pass for the newest when it is back."""
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
    unplugged = mirror.parent.rename(mirror.parent.with_name("unplugged"))
    for mount_point in (False, True):
        if mount_point:
            mirror.parent.mkdir()
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match=r"north\.mirror is away") as caught:
                Ledger.open(path, caps=CAPS, mirror=mirror)
            assert "mount its disk; or, if it is lost for good" in (caught.value.hint or "")
        assert not mirror.exists()
    mirror.parent.rmdir()
    unplugged.rename(mirror.parent)
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r2")
        assert read_copy(mirror).account == ledger.verify()


def test_an_old_mirror_under_the_mount_point_is_not_gone_on_with(path: Path, mirror: Path) -> None:
    """A file of the same chain lies where the disk is not mounted: it lacks what left since."""
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
        stale = mirror.read_bytes()
        _answer(ledger, "r2")
    whole = mirror.read_bytes()
    assert len(stale) < len(whole)
    mirror.write_bytes(stale)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="is an older one") as caught:
            Ledger.open(path, caps=CAPS, mirror=mirror)
        assert "mount its disk" in (caught.value.hint or "")
    assert mirror.read_bytes() == stale
    mirror.write_bytes(whole)
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).account == ledger.verify()


def test_a_mirror_that_a_kill_left_longer_than_noted_is_gone_on_with(
    path: Path, mirror: Path
) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        noted = mirror_note(path).read_bytes()
        _answer(ledger, "r1")
    assert mirror_note(path).read_bytes() != noted
    mirror_note(path).write_bytes(noted)
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).account == ledger.verify()


def test_a_mirror_that_is_lost_for_good_is_followed_by_another(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
    mirror.unlink()
    second = mirror.with_name("second.mirror")
    with pytest.raises(LedgerUnavailable, match="cannot be retired") as caught:
        Ledger.open(path, caps=CAPS, mirror=second)
    assert f"remove {mirror_note(path)}" in (caught.value.hint or "")
    mirror_note(path).unlink()
    with Ledger.open(path, caps=CAPS, mirror=second) as ledger:
        assert read_copy(second).account == ledger.verify()


def test_a_first_mirror_that_a_crash_kept_from_being_made_is_made(
    path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mirror_module.Mirror, "_make", lambda *_: os._exit(3))
        child = os.fork()
        if not child:
            Ledger.open(path, caps=CAPS, mirror=mirror)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert mirror_note(path).exists()
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).account == ledger.verify()


def _forked(path: Path, mirror: Path, *, step: str, nth: int) -> list[str]:
    """Answer in a process that dies by SIGKILL at a step; return what had left it."""
    heard, say = os.pipe()
    child = os.fork()
    if not child:
        seen = 0

        def reach(name: str) -> None:
            nonlocal seen
            seen += name == step
            if seen == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            with Ledger.open(path, caps=CAPS, mirror=mirror, reached=reach) as ledger:
                for number in range(3):
                    os.write(say, _answer(ledger, f"r{number}") + b"\n")
        finally:
            os._exit(0)
    os.close(say)
    with os.fdopen(heard, "rb") as pipe:
        left = pipe.read().decode().splitlines()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return left


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [2, 3])
def test_what_left_before_a_kill_is_in_the_mirror_alone(
    path: Path, mirror: Path, tmp_path: Path, step: str, nth: int
) -> None:
    left = _forked(path, mirror, step=step, nth=nth)
    copy = read_copy(mirror)
    assert {f"noised {r}" for r in copy.releases} >= set(left)
    put_back = tmp_path / "put back.sqlite"
    rebuild(put_back, copy.rows, releases=copy.releases)
    with Ledger.open(put_back, caps=CAPS) as ledger:
        assert ledger.spent(PROJECT) == 5 * len(copy.account.charges)
        for sent in left:
            assert ledger.charge(sent.split()[1], "h", cost_units=5) == sent.encode()
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).account == ledger.verify()


def test_what_left_is_in_the_mirror_when_the_power_is_back(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    place = root / "north.mirror"
    with (
        forgetful_disk(root, monkeypatch) as disk,
        Ledger.open(path, caps=CAPS, mirror=place) as ledger,
    ):
        for number in range(2):
            sent = _answer(ledger, f"r{number}")
            copy = read_copy(disk.after_loss(tmp_path / f"after {number}") / place.name)
            assert copy.releases.get(f"r{number}") == sent


def test_an_end_that_was_written_by_half_is_cut_off_and_says_so(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        noted = mirror_note(path).read_bytes()
        _answer(ledger, "r1")
    whole = mirror.read_bytes()
    for cut in (1, 7, 60, 200):
        mirror_note(path).write_bytes(noted)  # as a crash leaves it
        mirror.write_bytes(whole[:-cut])
        copy = read_copy(mirror)
        assert copy.torn or copy.account.entries < read_whole(whole, mirror)
        mirror.write_bytes(whole[:-cut])
        with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
            assert read_copy(mirror).account == ledger.verify()
            assert not read_copy(mirror).torn


def read_whole(data: bytes, path: Path) -> int:
    """Return how many entries the whole copy has."""
    path.write_bytes(data)
    return read_copy(path).account.entries


def test_a_ledger_behind_its_mirror_is_refused(path: Path, mirror: Path, tmp_path: Path) -> None:
    old = tmp_path / "yesterday.sqlite"
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        ledger.charge("r1", "h", cost_units=5)
    shutil.copyfile(path, old)
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r2")
    shutil.copyfile(old, path)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="behind its mirror"):
            Ledger.open(path, caps=CAPS, mirror=mirror)
    other = tmp_path / "other.sqlite"
    Ledger.create(other)
    with pytest.raises(LedgerUnavailable, match="of another silo"):
        Ledger.open(other, caps=CAPS, mirror=mirror)


def test_a_mirror_that_is_given_up_says_so_and_is_one_again_when_named(
    path: Path, mirror: Path
) -> None:
    second = mirror.with_name("second.mirror")
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
    with Ledger.open(path, caps=CAPS, mirror=second) as ledger:
        _answer(ledger, "r2")
    assert read_copy(mirror).kind is CopyKind.RETIRED
    assert read_copy(second).kind is CopyKind.MIRROR
    with Ledger.open(path, caps=CAPS):
        assert read_copy(second).kind is CopyKind.RETIRED
        assert not mirror_note(path).exists()
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        assert read_copy(mirror).kind is CopyKind.MIRROR
        assert read_copy(mirror).account == ledger.verify()


def test_a_mirror_that_is_away_is_not_given_up_in_silence(path: Path, mirror: Path) -> None:
    with Ledger.open(path, caps=CAPS, mirror=mirror) as ledger:
        _answer(ledger, "r1")
    away = mirror.rename(mirror.with_name("unplugged"))
    for other in (None, mirror.with_name("second.mirror")):
        with pytest.raises(LedgerUnavailable, match=r"cannot be retired.*bring it back"):
            Ledger.open(path, caps=CAPS, mirror=other)
    away.rename(mirror)
    with Ledger.open(path, caps=CAPS):
        assert read_copy(mirror).kind is CopyKind.RETIRED


def test_what_is_no_mirror_is_left_alone(path: Path, mirror: Path) -> None:
    mirror.write_text("somebody's file")
    with pytest.raises(LedgerUnavailable, match="no copy of a ledger"):
        Ledger.open(path, caps=CAPS, mirror=mirror)
    assert mirror.read_text() == "somebody's file"
    with pytest.raises(LedgerUnavailable, match="cannot write the ledger's mirror"):
        Ledger.open(path, caps=CAPS, mirror=mirror.parent / "no folder" / "x")
    Ledger.open(path, caps=CAPS).close()
