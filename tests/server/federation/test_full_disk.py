"""A coordinator whose disk is full says so with a code of its own, and its run goes on later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from silosynth.common.cli import app
from silosynth.common.errors import StorageFailed
from silosynth.common.files import storage_error, write_text
from silosynth.server.coordinator import Stage
from tests.server.federation.test_late_approval import Late, late

__all__ = ["late"]
REAL = os.fsync


def _full_after(count: int, *, code: int) -> Callable[[int], None]:
    """Return an fsync that fails from its call number ``count`` on."""
    calls = iter(range(10**9))

    def fsync(descriptor: int) -> None:
        if next(calls) >= count:
            raise OSError(code, os.strerror(code))
        REAL(descriptor)

    return fsync


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("count", [0, 2, 6, 11, 16, 25])
def test_a_full_disk_is_no_bug_and_the_run_is_resumed(
    count: int, code: int, late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _full_after(count, code=code))
    with pytest.raises(StorageFailed, match=os.strerror(code)) as raised:
        late.resume()
    assert raised.value.exit_code == 6
    monkeypatch.setattr(os, "fsync", REAL)
    assert late.resume().stage is Stage.ENDED


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM])
def test_any_command_names_the_disk_or_the_right_it_lacks(
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise OSError(code, os.strerror(code), "/some/path")

    monkeypatch.setattr(app, "build_app", lambda: lambda **_: fail())
    assert app.run(["anything"]) == StorageFailed.exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert f"at /some/path: {os.strerror(code)}" in said
    assert "bug" not in said


def test_other_errors_of_the_operating_system_stay_what_they_are(tmp_path: Path) -> None:
    for code in (errno.ECHILD, errno.EPIPE, errno.ENOENT, errno.EMFILE):
        assert storage_error(OSError(code, os.strerror(code))) is None
    path = tmp_path / "out.txt"
    write_text(path, "whole", force=False)
    assert path.read_text() == "whole"
