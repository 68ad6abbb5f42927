"""What stands in quotes without need stands in quotes again."""

from __future__ import annotations

from pathlib import Path

import pytest

from silosynth.client.csv import read_csv, sniff_dialect
from silosynth.client.drafting import draft_schema
from silosynth.common.errors import InvalidSchema
from silosynth.common.sampler.rows_file import TextWriter
from silosynth.common.schema import CsvDialect, parse_schema

FILES = {
    "all": b'"a","b"\n"1","x"\n"2",""\n"3",\n',
    "all, a comma": b'"a","b"\n"1","x, y"\n"2","z"\n',
    "texts, as R": b'"i","a","b"\n"r1",1,"x"\n"r2",NA,NA\n"r3",3,"y,z"\n',
    "texts, as pandas": b'"a","b"\r\n1,"x"\r\n"","y"\r\n',
    "names alone": b'"a b","c"\n1,2\n',
    "what must be": b'a,b\n1,"x, y"\n2,"z, y"\n3,w\n',
    "what must be, each": b'a,b\n1,"x, y"\n2,"z, y"\n',
    "doubled": b'a,b\n1,"x ""y"""\n2,"z"\n',
    "a mark and semicolons": b'\xef\xbb\xbfa;b\r\n"x";"1,5"\r\n"y";\r\n',
    "a mark alone": b"\xef\xbb\xbfa,b\nx,1\n",
    "one column": b'a\n"1"\n"2"\n',
    "apostrophes": b"'a','b'\n'1','x'\n'2','y'\n",
    "lines within": b'"a","b"\n"1","x\ny"\n"2","z"\n',
    "none": b"a,b\n1,x\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_written_as_it_was(tmp_path: Path, name: str) -> None:
    path, again = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_bytes(FILES[name])
    dialect = sniff_dialect(path)
    table = read_csv(path, dialect=dialect)
    writer = TextWriter(again, names=table.column_names, dialect=dialect)
    writer.write_table(table)
    writer.close()
    assert again.read_bytes() == FILES[name]


def test_what_is_quoted_stands_in_the_schema_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f'"{i % 7}","{"xyz"[i % 3]}"\n' for i in range(-1, 200)))
    path.write_text('"a","b"\n' + path.read_text())
    draft = draft_schema(path, name="t")
    assert draft.schema.csv == CsvDialect(quoted="all", quoted_header=True)
    assert any("every field in quotes" in note for note in draft.notes)


def test_a_cut_off_record_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "\n".join(f'{i},"x{i}"' for i in range(60)) + '\n60,"y\nz"\n')
    assert sniff_dialect(path).quoted == ("b",)


def test_quotes_are_no_other_way_to_read() -> None:
    assert CsvDialect(quoted="all", mark=True).reads_as(CsvDialect(newline="\r\n"))
    assert not CsvDialect(delimiter=";").reads_as(CsvDialect())


def test_a_mark_is_refused_where_there_is_none_to_write() -> None:
    document = {
        "name": "t",
        "csv": {"encoding": "latin-1", "mark": True},
        "attributes": [{"name": "x", "kind": "boolean", "source": "public"}],
    }
    with pytest.raises(InvalidSchema, match="mark"):
        parse_schema(document)
