"""A bundle holds what its page says, and an installation from it takes no other bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.deploy_commands import DEPLOY


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_bundle", DEPLOY / "bundle" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _wheel(folder: Path, *, says: str = "a = 1") -> Path:
    """Write the smallest wheel that pip takes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny.py", says)
        file.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        file.writestr(
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


def _install(bundle: Path) -> subprocess.CompletedProcess[str]:
    """Install as the page says, into a folder of its own."""
    page = (DEPLOY / "bundle" / "INSTALL.md").read_text()
    words = "install --no-index --find-links wheels --require-hashes -r requirements.txt"
    assert words in page
    command = [sys.executable, "-m", "pip", "--isolated", *words.split(), "--target", "into"]
    return subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)


def test_what_is_carried_is_there(make: ModuleType) -> None:
    assert [path for path in make.CARRIED if not (make.ROOT / path).exists()] == []


def test_a_wheel_is_installed_by_its_hash_and_one_that_was_changed_is_not(
    make: ModuleType, tmp_path: Path
) -> None:
    _wheel(tmp_path / "wheels")
    (tmp_path / "requirements.txt").write_text(make.requirements(tmp_path / "wheels"))
    done = _install(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "into" / "tiny.py").read_text() == "a = 1"
    _wheel(tmp_path / "wheels", says="a = 2")
    assert "DO NOT MATCH THE HASHES" in _install(tmp_path).stderr


def test_an_archive_is_the_same_bytes_for_the_same_files(make: ModuleType, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    _wheel(bundle / "wheels")
    (bundle / make.SUMS).write_text("".join(make.sums(bundle)))
    make.pack(bundle, tmp_path / "one.tar")
    for path in bundle.rglob("*"):
        path.touch()
    make.pack(bundle, tmp_path / "two.tar")
    digests = {hashlib.sha256((tmp_path / n).read_bytes()).digest() for n in ("one.tar", "two.tar")}
    assert len(digests) == 1
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert {(e.uid, e.uname, e.mtime) for e in tar} == {(0, "root", 0)}


def test_every_file_is_in_the_sums_and_a_changed_one_is_told(
    make: ModuleType, tmp_path: Path
) -> None:
    _wheel(tmp_path / "wheels")
    (tmp_path / make.SUMS).write_text("".join(make.sums(tmp_path)))
    check = ["sha256sum", "-c", "--quiet", make.SUMS]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    _wheel(tmp_path / "wheels", says="a = 2")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1
