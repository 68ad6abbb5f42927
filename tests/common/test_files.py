"""Files are written whole, and where their folder is another user's, by no link of theirs."""

from __future__ import annotations

from pathlib import Path

from silosynth.common.files import replace_file


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    (tmp_path / ".note.part").symlink_to(other)
    replace_file(tmp_path / "note", b"ours")
    assert other.read_bytes() == b"theirs"
    assert (tmp_path / "note").read_bytes() == b"ours"
    assert not (tmp_path / "note").is_symlink()


def test_a_link_in_the_place_of_the_file_is_replaced(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    (tmp_path / "note").symlink_to(other)
    replace_file(tmp_path / "note", b"ours")
    assert other.read_bytes() == b"theirs"
