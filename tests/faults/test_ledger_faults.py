"""Whatever breaks, the ledger loses no charge, and refuses rather than guesses."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import LedgerUnavailable

PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {PROJECT: 2**40}
KILLS = (10, 40)
OPEN = b"open\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path)
    return path


def bytes_for(request: str) -> bytes:
    return hashlib.sha256(os.urandom(8) + request.encode()).digest() * 40


def in_child(work: Callable[[int], None]) -> tuple[int, int]:
    """Run ``work`` in a forked child, with the end of a pipe to write to; return pid and pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:
        os.close(reader)
        work(writer)
        code = 0
    finally:
        os._exit(code)


def all_from(pipe: int) -> str:
    with os.fdopen(pipe, "rb") as file:
        return file.read().decode()


def reported(pipe: int) -> set[str]:
    """Return the whole lines of a child, but for that it opened the ledger."""
    lines = all_from(pipe).rpartition("\n")[0].splitlines()
    return set(lines) - {OPEN.decode().strip()}


def answer_for_ever(path: Path, round_number: int, pipe: int) -> None:
    """Answer requests, and report what was sent after it was stored."""
    with Ledger.open(path, caps=CAPS) as ledger:
        os.write(pipe, OPEN)
        for n in range(10**6):
            request = f"{round_number}/{n}"
            if ledger.charge(request, "h", cost_units=3) is None:
                sent = ledger.store(request, bytes_for(request))
                os.write(pipe, f"{request} {hashlib.sha256(sent).hexdigest()}\n".encode())


@pytest.mark.parametrize("kills", KILLS)
def test_no_kill_leaves_a_release_without_a_charge_or_changes_a_replay(
    path: Path, kills: int
) -> None:
    chance = random.Random(5)
    sent: dict[str, str] = {}
    for round_number in range(kills):
        pid, pipe = in_child(lambda end, n=round_number: answer_for_ever(path, n, end))
        if round_number % 4:
            assert os.read(pipe, len(OPEN)) == OPEN
        time.sleep(chance.uniform(0.005, 0.12))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        sent |= dict(line.split() for line in reported(pipe))
        with Ledger.open(path, caps=CAPS) as ledger:
            account = ledger.verify()
            assert ledger.spent(PROJECT) == 3 * len(account.charges)
            assert set(account.releases) <= set(account.charges)
            assert sent.items() <= {r.request_id: r.sha256 for r in ledger.releases()}.items()
            for request in list(sent)[-3:]:
                again = ledger.charge(request, "h", cost_units=3)
                assert again is not None
                assert hashlib.sha256(again).hexdigest() == sent[request]
    assert len(sent) > kills / 4


@pytest.mark.parametrize("moment", ["charge", "store"])
def test_a_full_disk_refuses_everything_and_loses_nothing(path: Path, moment: str) -> None:
    def fill(pipe: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Ledger.open(path, caps=CAPS) as ledger:
            ledger.charge("r0", "h", cost_units=3)
            ledger.store("r0", b"kept")
            ledger.charge("r1", "h", cost_units=3)
            size = path.stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            refuse_from_here(ledger, moment)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            refuse_from_here(ledger, "charge")
            os.write(pipe, b"refused")

    pid, pipe = in_child(fill)
    os.waitpid(pid, 0)
    assert all_from(pipe) == "refused"
    check_what_was_kept(path)


def work_on(ledger: Ledger, moment: str) -> None:
    for n in range(100_000):
        if moment == "charge":
            ledger.charge(f"more{n}", "h" * 256, cost_units=3)
        else:
            ledger.store("r1", bytes(2**20))


def refuse_from_here(ledger: Ledger, moment: str) -> None:
    """Work on until the disk is full, and see that it is refused then and afterwards."""
    with pytest.raises(LedgerUnavailable):
        work_on(ledger, moment)
    for call in (lambda: ledger.spent(PROJECT), lambda: ledger.store("r1", b"x")):
        with pytest.raises(LedgerUnavailable):
            call()


def check_what_was_kept(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        account = ledger.verify()
        assert ledger.spent(PROJECT) == 3 * len(account.charges)
        assert ledger.charge("r0", "h", cost_units=3) == b"kept"
        assert ledger.charge("r1", "h", cost_units=3) is None
        assert ledger.store("r1", b"after") == b"after"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount; the limit on file size is tested everywhere")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_disk_that_is_really_full_refuses_and_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "ledger.sqlite"
    Ledger.create(path)
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r0", "h", cost_units=3)
        ledger.store("r0", b"kept")
        ledger.charge("r1", "h", cost_units=3)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            ballast.write_bytes(bytes(2**20))
        refuse_from_here(ledger, "charge")
    ballast.unlink()
    check_what_was_kept(path)


@pytest.mark.parametrize(
    ("file_mode", "directory_mode"),
    [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)],
    ids=["both", "file", "directory"],
)
def test_a_ledger_that_cannot_be_written_is_refused(file_mode: int, directory_mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.sqlite"
        Ledger.create(path)
        os.chmod(path, file_mode)
        os.chmod(name, directory_mode)

        def read_only(pipe: int) -> None:
            if os.geteuid() == 0:
                os.setuid(65534)
            with pytest.raises(LedgerUnavailable) as caught:
                Ledger.open(path, caps=CAPS)
            os.write(pipe, caught.value.message.encode())

        pid, pipe = in_child(read_only)
        os.waitpid(pid, 0)
        os.chmod(name, 0o700)
        assert all_from(pipe) == "cannot open the ledger: attempt to write a readonly database"


def facts(ledger: Ledger) -> tuple[object, ...]:
    account = ledger.verify()
    replays = [ledger.charge(r, "h", cost_units=3) for r in account.charges]
    return ledger.head, ledger.spent(PROJECT), account, replays, ledger.pending(), ledger.audit()


def filled(path: Path) -> tuple[object, ...]:
    """Put something of every kind into a ledger, and return what it says."""
    with Ledger.open(path, caps=CAPS) as ledger:
        for n in range(6):
            ledger.charge(f"r{n}", "h", cost_units=3)
            ledger.store(f"r{n}", bytes_for(str(n)))
            ledger.wait(f"p{n}", bytes_for(str(n)), signer="hub")
        ledger.decide("p0", Verdict.REFUSED, signer="hub", why="too much", by="a")
        ledger.decide("p0", Verdict.APPROVED, signer="hub", why="smaller now", by="a")
        return facts(ledger)


def test_a_flipped_bit_is_refused_or_changes_nothing(path: Path) -> None:
    before = filled(path)
    whole, chance, refused = path.read_bytes(), random.Random(3), 0
    copy = path.with_name("copy")
    places = {*range(0, 100, 3), *range(0, len(whole), 97)}
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        copy.write_bytes(flipped)
        try:
            with Ledger.open(copy, caps=CAPS) as ledger:
                assert facts(ledger) == before
        except LedgerUnavailable:
            refused += 1
    assert refused > len(places) / 8


def test_a_truncated_file_is_refused(path: Path) -> None:
    filled(path)
    whole = path.read_bytes()
    lengths = {*range(0, len(whole), 701), *range(0, len(whole), 4096), len(whole) - 1}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(LedgerUnavailable):
            Ledger.open(path, caps=CAPS)


def test_a_restored_backup_is_fenced_for_every_process_that_follows(path: Path) -> None:
    backup = path.with_name("backup")
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r0", "h", cost_units=3)
    shutil.copy(path, backup)
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r1", "h", cost_units=3)
        head = ledger.head
    newest = path.read_bytes()
    shutil.copy(backup, path)

    def fence(pipe: int) -> None:
        ledger = Ledger.open(path, caps=CAPS)
        try:
            ledger.present_heads([head])
        except LedgerUnavailable:
            os.write(pipe, b"fenced")
        os.kill(os.getpid(), signal.SIGKILL)

    def charge_again(pipe: int) -> None:
        try:
            with Ledger.open(path, caps=CAPS) as ledger:
                ledger.charge("r1", "another", cost_units=3)
            os.write(pipe, b"charged")
        except LedgerUnavailable as err:
            os.write(pipe, err.message[:20].encode())

    for work, said in ((fence, "fenced"), (charge_again, "the ledger is fenced")):
        pid, pipe = in_child(work)
        os.waitpid(pid, 0)
        assert all_from(pipe) == said
    shutil.copy(backup, path)
    with pytest.raises(LedgerUnavailable, match="fenced"):
        Ledger.open(path, caps=CAPS)
    path.write_bytes(newest)
    with Ledger.open(path, caps=CAPS) as ledger:
        assert ledger.spent(PROJECT) == 6


def test_of_many_processes_on_one_ledger_one_at_a_time_gets_in(path: Path) -> None:
    def contend(pipe: int) -> None:
        done = 0
        while done < 5:
            try:
                with Ledger.open(path, caps=CAPS) as ledger:
                    before = ledger.spent(PROJECT)
                    ledger.charge(f"{os.getpid()}/{done}", "h", cost_units=3)
                    assert ledger.spent(PROJECT) == before + 3
                    done += 1
            except LedgerUnavailable as err:
                if "another process has the ledger open" not in err.message:
                    raise
                time.sleep(0.002)
        os.write(pipe, b"done")

    children = [in_child(contend) for _ in range(4)]
    for pid, pipe in children:
        os.waitpid(pid, 0)
        assert all_from(pipe) == "done"
    with Ledger.open(path, caps=CAPS) as ledger:
        assert len(ledger.charges()) == 20
        assert ledger.spent(PROJECT) == 60


def charge_in_threads(path: Path, pipe: int) -> None:
    """Charge from sixteen threads until refused, and report what each was told is charged."""
    with Ledger.open(path, caps=CAPS) as ledger:
        os.write(pipe, OPEN)

        def work(thread: int) -> None:
            for n in range(10**6):
                request = f"{os.getpid()}/{thread}/{n}"
                try:
                    ledger.charge(request, "h", cost_units=3)
                except LedgerUnavailable:
                    return
                os.write(pipe, f"{request}\n".encode())

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))


@pytest.mark.parametrize("kills", [4, 15])
def test_no_kill_among_sixteen_threads_loses_a_charge_that_was_acknowledged(
    path: Path, kills: int
) -> None:
    chance, known = random.Random(7), set[str]()
    for _ in range(kills):
        pid, pipe = in_child(lambda end: charge_in_threads(path, end))
        assert os.read(pipe, len(OPEN)) == OPEN
        time.sleep(chance.uniform(0.05, 0.25))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        known |= reported(pipe)
        with Ledger.open(path, caps=CAPS) as ledger:
            charged = ledger.verify().charges
            assert known <= charged.keys()
            assert ledger.spent(PROJECT) == 3 * len(charged)
    assert len(known) > kills


def test_a_disk_that_fills_up_among_sixteen_threads_keeps_what_was_acknowledged(
    path: Path,
) -> None:
    def fill(pipe: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = path.stat().st_size + 2**15
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        charge_in_threads(path, pipe)

    pid, pipe = in_child(fill)
    os.waitpid(pid, 0)
    known = reported(pipe)
    assert len(known) > 16
    with Ledger.open(path, caps=CAPS) as ledger:
        charged = ledger.verify().charges
        assert known <= charged.keys()
        assert ledger.spent(PROJECT) == 3 * len(charged)


def test_a_copy_of_a_running_ledger_never_opens_with_less_than_was_sent(path: Path) -> None:
    copy = path.with_name("copy")
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r0", "h", cost_units=3)
        sent = ledger.store("r0", b"noised")
        shutil.copy(path, copy)
    with Ledger.open(copy, caps=CAPS) as ledger:
        assert ledger.charge("r0", "h", cost_units=3) == sent
