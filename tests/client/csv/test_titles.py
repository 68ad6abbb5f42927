"""Lines before the names of columns: titles, comments, and Excel's word for the delimiter."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from silosynth.client.csv import default_dialect, sniff_dialect
from silosynth.client.drafting import draft_schema
from silosynth.common.errors import SilosynthError
from silosynth.common.scores import read_sample
from tests.client.drafting.test_forms import round_trip

ROWS = [f"{20 + i % 60},{'fm'[i % 2]},{i % 9}.5" for i in range(60)]
TABLE = "\n".join(["age,sex,cost", *ROWS]) + "\n"


@pytest.mark.parametrize(
    ("text", "skip"),
    [
        (f"Annual report\nmade on Monday\n\n{TABLE}", 3),
        (f"Annual report,,\n,,\n{TABLE}", 2),
        (f"# a comment\nAnnual report\n{TABLE}", 2),
        (f"sep=;\n{TABLE.replace(',', ';')}", 1),
        (f"SEP=,\r\n{TABLE}", 1),
        (TABLE, 0),
        # R writes one name less than there are fields, the first being the number of the row.
        ("sex,cost\n" + TABLE.partition("\n")[2], 0),
        ('sex\n"1",5\n' + "\n".join(f'"{i}",{i % 7}' for i in range(2, 40)), 0),
        ("age\n" + "\n".join(str(20 + i % 60) for i in range(60)), 0),
        ("note\n" + "\n".join(["a, b", "c, d"] * 30), 0),
        ("a;b;c\n" + "x;1,5;\ny;2,5;\n" * 30, 0),
        (",name\n" + "\n".join(f"{'abc'[i % 3]},Bob {i}" for i in range(40)), 0),
        ("x\n" + "long " * 40_000 + ",b\nc,d\ne,f\n", 0),
    ],
    ids=[
        "titles",
        "a sheet's titles",
        "comment and title",
        "sep",
        "SEP",
        "plain",
        "names of R",
        "one name of R",
        "one column",
        "texts with commas",
        "decimal commas",
        "a column without a name",
        "a long line",
    ],
)
def test_lines_before_the_names_are_found(tmp_path: Path, text: str, skip: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert sniff_dialect(path).skip == skip


@pytest.mark.parametrize("before", ["Annual report\n\n", "sep=,\n"])
def test_a_table_under_titles_is_drafted_and_told(tmp_path: Path, before: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(before + TABLE, encoding="utf-8")
    draft, _ = round_trip(path)
    assert [a.name for a in draft.schema.attributes] == ["age", "sex", "cost"]
    told = {1: "1 line before", 2: "2 lines before"}[before.count("\n")]
    assert any(f"{told} the header" in note for note in draft.notes)


def test_what_a_file_calls_its_delimiter_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sep=;\na,b;c\n" + "x,y;1\n" * 30, encoding="utf-8")
    draft = draft_schema(path, name="t")
    assert [a.name for a in draft.schema.attributes] == ["a,b", "c"]


@pytest.mark.parametrize("mark", ["^", "~", "\x01"])
def test_a_rare_mark_between_fields_is_found(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TABLE.replace(",", mark), encoding="utf-8")
    draft, _ = round_trip(path)
    assert [a.name for a in draft.schema.attributes] == ["age", "sex", "cost"]


@pytest.mark.parametrize("mark", ["   ", "§"])
def test_one_column_that_looks_like_several_is_told(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TABLE.replace(",", mark), encoding="utf-8")
    assert any("--delimiter" in note for note in draft_schema(path, name="t").notes)


def test_a_last_line_that_is_no_row_is_passed_over_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TABLE + "End of report\n", encoding="utf-8")
    draft, _ = round_trip(path)
    assert any(note.startswith("1 line has more or fewer fields") for note in draft.notes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TABLE.replace("\n", ",x\n").replace("cost,x", "cost").encode(), "one field more"),
        ("\n".join(["a,b", *["1,2", "3"] * 30]).encode(), "more or fewer fields"),
        (b'[{"age": 1}, {"age": 2}]', "looks like JSON"),
        (b"<html><body>1,2</body></html>\n", "looks like JSON, XML or HTML"),
        (b"PK\x03\x04 and so on", "an archive or a file of Excel"),
        (b"PAR1abc", "is a Parquet file"),
        (TABLE.encode("utf-16-le"), "--encoding utf-16"),
        (TABLE.replace("sex", "age ").encode(), "'age' is there twice"),
        (TABLE.replace("sex", '"se\nx"').encode(), "the name of column 2 has a line break"),
        (TABLE.replace("sex", "s" * 600).encode(), "the name of column 2 has 600 signs"),
    ],
)
def test_what_is_no_table_of_text_is_told_in_its_own_words(
    tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(SilosynthError) as caught:
        draft_schema(path, name="t")
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("ending", "mark"), [(".psv", "|"), (".tab", "\t"), (".dat", ","), (".DAT", ";"), (".dat", " ")]
)
def test_files_of_other_endings_are_read_and_written(
    tmp_path: Path, ending: str, mark: str
) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text("\n".join(["age,sex,cost", *ROWS, *ROWS, ""]).replace(",", mark))
    draft, out = round_trip(path)
    assert [a.kind for a in draft.schema.attributes] == ["integer", "categorical", "real"]
    assert list(out.columns) == ["age", "sex", "cost"]
    assert default_dialect(tmp_path / f"x{ending}.gz").delimiter in (mark, ",")


def test_two_words_a_line_are_no_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("full name\n" + "\n".join(f"Jane Doe{'abc'[i % 3]}" for i in range(60)) + "\n")
    assert [a.name for a in draft_schema(path, name="t").schema.attributes] == ["full name"]


def test_quoted_names_between_spaces_are_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("'OBS' 'GPA'\n" + "\n".join(f"{i % 9} {i % 7}.5" for i in range(60)) + "\n")
    assert [a.name for a in draft_schema(path, name="t").schema.attributes] == ["OBS", "GPA"]


FRAME = pd.DataFrame(
    {
        "age": [20 + i % 60 for i in range(120)],
        "grade": pd.Categorical(
            [("low", "high")[i % 2] for i in range(120)], ["low", "high"], ordered=True
        ),
        "seen": pd.date_range("2020-01-01", periods=120),
        "cost": [i % 9 + 0.5 for i in range(120)],
    }
)


def test_files_of_stata_are_read_with_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.DTA"
    FRAME.to_stata(path, write_index=False)
    attributes = {a.name: a for a in draft_schema(path, name="t").schema.attributes}
    kinds = {name: a.kind for name, a in attributes.items()}
    assert kinds == {"age": "integer", "grade": "ordinal", "seen": "datetime", "cost": "real"}
    assert attributes["grade"].model_dump()["categories"] == ("low", "high")
    table = read_sample(path, seed=1).table
    assert table["age"].to_pylist()[:3] == [20, 21, 22]
    path.write_bytes(b"no table")
    with pytest.raises(SilosynthError, match="is no Stata file, or is damaged"):
        draft_schema(path, name="t")


def test_titles_of_a_sheet_are_passed_over_and_other_sheets_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with pd.ExcelWriter(path) as book:
        FRAME.to_excel(book, sheet_name="people", index=False, startrow=3)
        book.sheets["people"]["A1"] = "Annual report"
        FRAME.to_excel(book, sheet_name="notes", index=False)
    draft = draft_schema(path, name="t")
    assert [a.name for a in draft.schema.attributes] == list(FRAME.columns)
    assert any("sheet 'people' was read, the first; not read:" in note for note in draft.notes)
    FRAME[["age"]].to_excel(path, index=False)
    draft = draft_schema(path, name="t")
    assert [a.name for a in draft.schema.attributes] == ["age"]
    assert not any("sheet" in note for note in draft.notes)
