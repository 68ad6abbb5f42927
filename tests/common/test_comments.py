"""What stands above an attribute in a file stays there when the file is written anew."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.common.cli.app import run
from silosynth.common.document import comments_of, placed_comments, with_placed_comments


def drafted(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    table = pa.table(
        {
            "a": [1.5, 2.25, 4.0] * 20,
            "b c: d": ["x", "y", "z"] * 20,
            "l": pa.array([[1]] * 60, pa.list_(pa.int64())),
        }
    )
    path.write_text(draft_schema(table, name="t").text())
    return path


def test_reasons_are_shown_in_a_review_and_stay_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drafted(tmp_path)
    before = comments_of(path.read_text())
    assert set(before) == {"a", "b c: d", "l"}
    assert "list<" in before["l"]
    assert run(["schema", "accept", str(path), "--public", "a"]) == 0
    assert comments_of(path.read_text()) == before
    answers = iter(["a", "q"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    run(["schema", "review", str(path)])
    assert before["b c: d"] in capsys.readouterr().err
    assert comments_of(path.read_text()) == before


def test_reasons_hold_no_count() -> None:
    draft = draft_schema(pa.table({"n": list(range(40)) * 3, "m": [7] * 120}), name="t")
    assert not any(word.isdigit() for why in draft.reasons.values() for word in why.split())


def test_comments_of_any_place_stay_with_it() -> None:
    text = """tables:
  # a table
  visits:
    by: person
    attributes:
    # one
    # and more
    - name: 'a: b'
      categories:
      - x
      # odd
      - y
    # two
    - name: y
unreviewed:
# why
- 'visits: of a person'
- plain
"""
    placed = placed_comments(text)
    assert placed == {
        ("tables", "visits"): "a table",
        ("tables", "visits", "attributes", "a: b"): "one\nand more",
        ("tables", "visits", "attributes", "a: b", "categories", "y"): "odd",
        ("tables", "visits", "attributes", "y"): "two",
        ("unreviewed", "visits: of a person"): "why",
    }
    bare = "".join(li for li in text.splitlines(keepends=True) if not li.lstrip().startswith("#"))
    assert with_placed_comments(bare, placed) == text
    assert placed_comments(bare) == {}
