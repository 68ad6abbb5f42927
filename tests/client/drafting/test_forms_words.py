"""Words of other languages, days without a year, periods, and numbers with signs of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.client.drafting.draft import Draft
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import parse_schema
from tests.client.drafting.test_forms import Written, back, facts, kinds, round_trip
from tests.support.tables.messy_files import ROWS, moments, source, write

AT = moments(source(), start="2019-01-01", days=1500)
R = source(4)
NANOS = R.integers(0, 10**9, ROWS)
AMOUNTS = np.round(R.gamma(2, 300, ROWS), 2)
SIGNED = np.round(R.normal(20, 500, ROWS), 2)
SMALL = R.integers(0, 100, ROWS)
FULL = {
    "German": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "French": "janvier février mars avril mai juin juillet août septembre octobre novembre "
    "décembre",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
    "Italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre "
    "novembre dicembre",
    "Portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro "
    "dezembro",
    "Dutch": "januari februari maart april mei juni juli augustus september oktober november "
    "december",
    "Polish": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
    "listopada grudnia",
    "Swedish": "januari februari mars april maj juni juli augusti september oktober november "
    "december",
    "Czech": "ledna února března dubna května června července srpna září října listopadu prosince",
    "Russian": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "Turkish": "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
}
POINTED = (
    *("Jan.", "Feb.", "März", "Apr.", "Mai", "Juni"),
    *("Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."),
)
PRESS = (
    *("Jan.", "Feb.", "March", "April", "May", "June"),
    *("July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."),
)
SHORT = ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"]
FRENCH = [
    "janv.",
    "févr.",
    "mars",
    "avr.",
    "mai",
    "juin",
    "juil.",
    "août",
    "sept.",
    "oct.",
    "nov.",
    "déc.",
]
DAYS = ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"]
FEIRAS = [
    "segunda-feira",
    "terça-feira",
    "quarta-feira",
    "quinta-feira",
    "sexta-feira",
    "sábado",
    "domingo",
]
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def _dated(format: str, texts: list[str], form: str, **more: Any) -> Written:
    return Written(texts=texts, drafted={"kind": "datetime", "format": format} | more, form=form)


def _any(words: Any) -> str:
    return f"({'|'.join(map(re.escape, words))})"


def _half(t: pd.Timestamp, before: str = "a.m.", after: str = "p.m.") -> str:
    return before if t.hour < 12 else after


def _number(write_one: Any, form: str, spelled: dict[str, Any], *, of: Any = AMOUNTS) -> Written:
    kind = "integer" if of is SMALL else "real"
    texts = [write_one(x) for x in of.tolist()]
    return Written(texts=texts, drafted={"kind": kind, "spelled": spelled}, form=form)


def _ordered(texts: list[str], first: list[str]) -> Written:
    drafted = {"kind": "ordinal", "categories": first}
    return Written(texts=texts, drafted=drafted, form=_any(sorted(set(texts), key=len)[::-1]))


WRITTEN: dict[str, Written] = {
    f"{language} months": _dated(
        "%-d %B %Y",
        [f"{t.day} {words.split()[t.month - 1]} {t.year}" for t in AT],
        rf"\d{{1,2}} {_any(words.split())} \d{{4}}",
        words={"months": words.split()},
    )
    for language, words in FULL.items()
} | {
    "months with points": _dated(
        "%d. %B %Y",
        [f"{t.day:02}. {POINTED[t.month - 1]} {t.year}" for t in AT],
        rf"\d\d\. {_any(POINTED)} \d{{4}}",
    ),
    "months of the press": _dated(
        "%B %-d, %Y",
        [f"{PRESS[t.month - 1]} {t.day}, {t.year}" for t in AT],
        rf"{_any(PRESS)} \d{{1,2}}, \d{{4}}",
    ),
    "short months": _dated(
        "%d/%B/%Y",
        [f"{t.day:02}/{SHORT[t.month - 1]}/{t.year}" for t in AT],
        rf"\d\d/{_any(SHORT)}/\d{{4}}",
    ),
    "capital months": _dated(
        "%d-%B-%y",
        [f"{t.day:02}-{SHORT[t.month - 1].upper()}-{t:%y}" for t in AT],
        rf"\d\d-{_any(m.upper() for m in SHORT)}-\d\d",
    ),
    "a month and a clock": _dated(
        "%-d %B %Y à %H:%M",
        [f"{t.day} {FRENCH[t.month - 1]} {t.year} à {t:%H:%M}" for t in AT],
        rf"\d{{1,2}} {_any(FRENCH)} \d{{4}} à [0-2]\d:[0-5]\d",
    ),
    "a month alone": _dated(
        "%B-%y",
        [f"{FRENCH[t.month - 1]}-{t:%y}" for t in AT],
        rf"{_any(FRENCH)}-\d\d",
        resolution="month",
    ),
    "a weekday": _dated(
        "%A, %d.%m.%Y",
        [f"{DAYS[t.weekday()]}, {t:%d.%m.%Y}" for t in AT],
        rf"{_any(DAYS)}, \d\d\.\d\d\.\d{{4}}",
    ),
    "a weekday in two words": _dated(
        "%A %d/%m/%Y",
        [f"{FEIRAS[t.weekday()]} {t:%d/%m/%Y}" for t in AT],
        rf"{_any(FEIRAS)} \d\d/\d\d/\d{{4}}",
    ),
    "a weekday of one sign": _dated(
        "%Y/%m/%d(%A)",
        [f"{t:%Y/%m/%d}({'月火水木金土日'[t.weekday()]})" for t in AT],
        r"\d{4}/\d\d/\d\d\([月火水木金土日]\)",
    ),
    "halves with points": _dated(
        "%m/%d/%Y %-I:%M %p",
        [f"{t:%m/%d/%Y} {t.hour % 12 or 12}:{t:%M} {_half(t)}" for t in AT],
        r"\d\d/\d\d/\d{4} \d{1,2}:\d\d [ap]\.m\.",
    ),
    "halves of two words": _dated(
        "%d/%m/%Y %I:%M:%S %p",
        [f"{t:%d/%m/%Y %I:%M:%S} {_half(t, 'a. m.', 'p. m.')}" for t in AT],
        r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d [ap]\. m\.",
    ),
    "halves before a clock": Written(
        texts=[f"{_half(t, '오전', '오후')} {t.hour % 12 or 12}:{t:%M}" for t in AT],
        drafted={"kind": "time", "format": "%p %-I:%M"},
        form=r"오[전후] \d{1,2}:\d\d",
    ),
    "a day of a year": _dated(
        "%d.%m.", [f"{t:%d.%m.}" for t in AT], r"\d\d\.\d\d\.", minimum="2000-01-01T00:00:00"
    ),
    "a day and a month": _dated(
        "%b %e %H:%M:%S",
        [f"{t:%b} {t.day:2} {t:%H:%M:%S}" for t in AT],
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
    ),
    "a month and a day in numbers": _dated("%m-%d", [f"{t:%m-%d}" for t in AT], r"\d\d-\d\d"),
    "seven digits": _dated(
        "%Y-%m-%d %H:%M:%S.%7N",
        [f"{t:%Y-%m-%d %H:%M:%S}.{n // 100:07}" for t, n in zip(AT, NANOS, strict=True)],
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{7}",
    ),
    "nine digits": _dated(
        "%Y-%m-%dT%H:%M:%S.%9NZ",
        [f"{t:%Y-%m-%dT%H:%M:%S}.{n:09}Z" for t, n in zip(AT, NANOS, strict=True)],
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z",
    ),
    "hundredths": _dated(
        "%Y-%m-%d %H:%M:%S.%2N",
        [f"{t:%Y-%m-%d %H:%M:%S}.{n // 10**7:02}" for t, n in zip(AT, NANOS, strict=True)],
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{2}",
    ),
    "tenths": Written(
        texts=[f"{t:%H:%M:%S}.{n // 10**8}" for t, n in zip(AT, NANOS, strict=True)],
        drafted={"kind": "time", "format": "%H:%M:%S.%1N"},
        form=r"[0-2]\d:[0-5]\d:[0-5]\d\.\d",
    ),
    "quarters": _dated(
        "%Y-Q%q",
        [f"{1980 + n // 3}-Q{n % 4 + 1}" for n in SMALL.tolist()],
        r"\d{4}-Q[1-4]",
        resolution="quarter",
    ),
    "weeks": _dated("%G-W%V", [f"{t:%G-W%V}" for t in AT], r"\d{4}-W[0-5]\d", resolution="week"),
    "weeks before years": _dated("KW %V/%G", [f"KW {t:%V/%G}" for t in AT], r"KW [0-5]\d/\d{4}"),
    "dates in other digits": _dated(
        "%Y/%m/%d",
        [f"{t:%Y/%m/%d}".translate(ARABIC) for t in AT],
        r"[٠-٩]{4}/[٠-٩]{2}/[٠-٩]{2}",
        words={"zero": "٠"},
    ),
    "numbers in other digits": _number(
        lambda x: f"{x:.2f}".translate(ARABIC).replace(".", "٫"),
        r"[٠-٩]+٫[٠-٩]{2}",
        {"decimal": "٫", "places": 2, "zero": "٠"},
    ),
    "credit and debit": _number(
        lambda x: f"{abs(x):,.2f} {'CR' if x >= 0 else 'DR'}",
        r"[\d,]+\.\d\d (CR|DR)",
        {"suffix": " CR", "below": ["", " DR"], "thousands": ",", "places": 2},
        of=SIGNED,
    ),
    "a sign behind all": _number(
        lambda x: f"{abs(x):.2f}{'+' if x >= 0 else '-'}",
        r"\d+\.\d\d[+-]",
        {"suffix": "+", "below": ["", "-"], "places": 2},
        of=SIGNED,
    ),
    "square brackets": _number(
        lambda x: f"[{-x:.2f}]" if x < 0 else f"{x:.2f}",
        r"\[\d+\.\d\d\]|\d+\.\d\d",
        {"below": ["[", "]"], "places": 2},
        of=SIGNED,
    ),
    "a dash for a minus": _number(
        lambda x: f"\u2013{-x:.2f}" if x < 0 else f"{x:.2f}",
        r"\u2013?\d+\.\d\d",
        {"below": ["\u2013", ""], "places": 2},
        of=SIGNED,
    ),
    "a minus apart": _number(
        lambda x: f"- {-x:.2f}" if x < 0 else f"{x:.2f}",
        r"(- )?\d+\.\d\d",
        {"below": ["- ", ""], "places": 2},
        of=SIGNED,
    ),
    "north and south": _number(
        lambda x: f"{abs(x) / 10:.3f}° {'N' if x >= 0 else 'S'}",
        r"\d+\.\d{3}° [NS]",
        {"suffix": "° N", "below": ["", "° S"], "places": 3},
        of=SIGNED,
    ),
    "underscores": _number(
        lambda x: f"{x * 1000:_.0f}.5", r"\d{1,3}(_\d{3})*\.\d", {"thousands": "_", "places": 1}
    ),
    "a point in the middle": _number(
        lambda x: f"{x:.1f}".replace(".", "·"), r"\d+·\d", {"decimal": "·", "places": 1}
    ),
    "a bare power": _number(
        lambda x: re.sub(r"e\+0?", "e", f"{float(f'{x:.3g}'):.2e}").replace("e-0", "e-"),
        r"\d\.\d\de-?\d",
        {"exponent": "e", "exponent_digits": 1, "exponent_plus": False, "places": 2},
    ),
    "Fortran's power": _number(
        lambda x: f"{x:.3E}".replace("E", "D"),
        r"\d\.\d{3}D[+-]\d\d",
        {"exponent": "D", "places": 3},
    ),
    "a point behind": _number(
        lambda x: f"{x:.0f}." if x > 300 else f"{x:.1f}",
        r"\d+\.\d?",
        {"trailing_point": True},
    ),
    "out of a hundred": _number(lambda x: f"{x}/100", r"\d{1,2}/100", {"suffix": "/100"}, of=SMALL),
    "flags": Written(
        texts=[f"{x:.1f}{('', '', '', ' p', ' (e)')[i % 5]}" for i, x in enumerate(AMOUNTS)],
        drafted={"kind": "real", "spelled": {"places": 1, "flags": ["(e)", "p"]}},
        form=r"\d+\.\d( p| \(e\))?",
    ),
    "many bounds": Written(
        texts=[f"{'<' * (i % 3 == 0)}{x:.1f}" for i, x in enumerate(AMOUNTS)],
        drafted={"kind": "real", "spelled": {"places": 1, "flags": ["<"]}},
        form=r"<?\d+\.\d",
    ),
    "laps": Written(
        texts=[f"{s // 60}:{s % 60:02}.{s % 10}" for s in R.integers(3000, 3599, ROWS).tolist()],
        drafted={"kind": "duration", "format": "lap.1"},
        form=r"\d\d:[0-5]\d\.\d",
    ),
    "runs": Written(
        texts=[
            f"{s // 3600}:{s // 60 % 60:02}:{s % 60:02}" if s >= 3600 else f"{s // 60}:{s % 60:02}"
            for s in R.integers(1200, 9000, ROWS).tolist()
        ],
        drafted={"kind": "duration", "format": "lap"},
        form=r"\d:[0-5]\d:[0-5]\d|\d\d:[0-5]\d",
    ),
    "a pace": Written(
        texts=[f"{s // 60}:{s % 60:02}/km" for s in R.integers(180, 480, ROWS).tolist()],
        drafted={"kind": "duration", "format": "{m}:{s:02}/km"},
        form=r"\d:[0-5]\d/km",
    ),
    "ages": _ordered(
        [f"{n // 10 * 10}-{n // 10 * 10 + 9}" if n < 90 else "90+" for n in SMALL.tolist()],
        [*(f"{n}-{n + 9}" for n in range(0, 90, 10)), "90+"],
    ),
    "incomes": _ordered(
        [
            "Less than $5,000" if n < 9 else f"${n // 9 * 5000:,} to ${n // 9 * 5000 + 4999:,}"
            for n in (SMALL % 30).tolist()
        ],
        ["Less than $5,000", *(f"${n:,} to ${n + 4999:,}" for n in (5000, 10000, 15000))],
    ),
    "Roman numerals": _ordered(
        [("IX", "I", "V", "IV", "X")[n % 5] for n in SMALL], ["I", "IV", "V", "IX", "X"]
    ),
    "months of no year": _ordered(
        [FULL["German"].split()[t.month - 1] for t in AT], FULL["German"].split()
    ),
    "a scale": _ordered(
        [("high", "low", "medium")[n % 3] for n in SMALL], ["low", "medium", "high"]
    ),
    "seasons": _ordered(
        [f"{('Spring', 'Fall')[n % 2]} {2019 + n % 3}" for n in SMALL],
        [f"{s} {y}" for y in (2019, 2020, 2021) for s in ("Spring", "Fall")],
    ),
    "fiscal years": _ordered(
        [f"{1999 + n % 4}/{n % 4:02}" for n in SMALL],
        ["1999/00", "2000/01", "2001/02", "2002/03"],
    ),
    "stages": _ordered(
        [f"Stage {n % 12 + 1}" for n in SMALL], [f"Stage {n}" for n in range(1, 13)]
    ),
    "addresses": Written(
        texts=[".".join(map(str, octets)) for octets in R.integers(0, 256, (ROWS, 4)).tolist()],
        drafted={"kind": "identifier"},
        form=r"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.|$)){4}|\d+",
    ),
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Draft, pd.DataFrame]:
    """Return the draft of a file of all columns, and what an exact model makes of it."""
    frame = pd.DataFrame({name: column.texts for name, column in WRITTEN.items()})
    return round_trip(write(frame, tmp_path_factory.mktemp("words") / "a.csv"))


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_understood_and_stays(
    name: str, walked: tuple[Draft, pd.DataFrame]
) -> None:
    draft, out = walked
    WRITTEN[name].check(name, draft=draft, out=out)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ([f"{x / 100:.2f}" for x in R.integers(101, 1_228, ROWS)], "real"),
        ([f"{a}/{b}" for a, b in R.integers(1, 400, (ROWS, 2))], "identifier"),
        ([f"{a:02}:{b:02}" for a, b in R.integers(0, 24, (ROWS, 2))], "time"),
        ([f"{n // 1000}_{n % 1000:03}" for n in R.integers(10**5, 10**6, ROWS)], "identifier"),
        ([f"{n}{'abc'[n % 3]}" for n in R.integers(1, 9000, ROWS)], "identifier"),
        ([f"${n}{'KM'[n % 2]}" for n in R.integers(1, 9000, ROWS)], "identifier"),
        ([f"ward {n}" for n in SMALL % 15], "categorical"),
        ([("A", "B", "AB", "0")[n % 4] for n in SMALL], "categorical"),
        ([("A", "B", "C", "D")[n % 4] for n in SMALL], "categorical"),
        ([("may", "will", "shall", "can")[n % 4] for n in SMALL], "categorical"),
    ],
    ids=[
        "amounts",
        "pairs",
        "clocks",
        "keys in two",
        "house numbers",
        "two units",
        "wards",
        "groups",
        "letters",
        "verbs",
    ],
)
def test_what_only_looks_like_it_is_not(texts: list[str], kind: str) -> None:
    assert kinds(draft_schema(pa.table({"x": texts}), name="t"))["x"] == kind


def test_the_29th_of_february_is_a_day_without_a_year(tmp_path: Path) -> None:
    days = [f"{t:%d.%m.}" for t in pd.date_range("2000-01-01", "2000-12-31")]
    draft, out = round_trip(write(pd.DataFrame({"x": days * 2}), tmp_path / "a.csv"))
    assert facts(draft, "x")["format"] == "%d.%m."
    assert "no year" in " ".join(draft.notes) or "without a year" in " ".join(draft.notes)
    assert set(out["x"]) <= set(days)


def test_flags_are_told_and_read_off() -> None:
    texts = WRITTEN["flags"].texts
    draft = draft_schema(pa.table({"x": texts}), name="t")
    assert "read off and not written" in " ".join(draft.notes)
    plain = Codec(draft.schema).encode(pa.table({"x": [t.split(" ")[0] for t in texts]}))
    flagged = Codec(draft.schema).encode(pa.table({"x": texts}))
    assert not flagged.notes
    assert (plain.codes[0] == flagged.codes[0]).all()


def test_a_long_text_in_a_column_of_months_takes_no_time() -> None:
    months = FULL["German"].split()
    day = {"kind": "datetime", "minimum": "2019-01-01", "maximum": "2021-12-31"}
    how = {"resolution": "day", "format": "%A %-d. %B %Y %H:%M:%S", "stored": "string"}
    schema = parse_schema(
        {
            "name": "t",
            "source": "public",
            "attributes": [{"name": "x", **day, **how, "words": {"months": months}}],
        }
    )
    hostile = ["Mon 1. " * 40_000, "1. Mai " * 40_000, "Monday 4. Mai 2020 10:00:00"]
    encoded = Codec(schema).encode(pa.table({"x": hostile}))
    assert encoded.notes[0].unreadable == len(hostile) - 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"months": ["a", "b"]}, "12 different words"),
        ({"weekdays": ["a"] * 7}, "7 different words"),
        ({"zero": "0"}, "no zero"),
        ({"zero": "x"}, "no zero"),
    ],
)
def test_words_that_say_nothing_are_refused(words: dict[str, Any], told: str) -> None:
    day = {"name": "x", "kind": "datetime", "minimum": "2019-01-01", "maximum": "2021-12-31"}
    document = {"name": "t", "source": "public", "attributes": [day | {"words": words}]}
    with pytest.raises(InvalidSchema, match=told):
        parse_schema(document)


def test_what_is_said_of_many_columns_is_said_once() -> None:
    table = {f"q{i:03}": [f"{n % 4 + 1}" for n in SMALL] for i in range(300)}
    notes = draft_schema(pa.table(table), name="t").notes
    (line,) = [n for n in notes if "few whole numbers" in n]
    assert line.startswith("q000, q001, q002, q003, q004 and 295 more: ")
    few = draft_schema(pa.table({n: table[n] for n in ("q000", "q001")}), name="t").notes
    assert [n.partition(":")[0] for n in few if "few whole" in n] == ["q000", "q001"]


@pytest.mark.parametrize(
    ("name", "first", "kind"),
    [("YEAR", 1871, "integer"), ("id", 1871, "identifier"), ("year", 1, "identifier")],
)
def test_years_that_run_on_are_no_key(name: str, first: int, kind: str) -> None:
    table = pa.table({name: [*range(first, first + 80)], "x": [n % 7 for n in range(80)]})
    assert kinds(draft_schema(table, name="t"))[name] == kind


def test_types_of_databases_are_understood() -> None:
    parts = [pa.MonthDayNano([n % 3, n % 9, n * 1_000_000_000]) for n in range(ROWS - 1)]
    table = pa.table(
        {
            "interval": pa.array([*parts, None]),
            "key": pa.array([UUID(int=n).bytes for n in range(ROWS)], pa.binary(16)).cast(
                pa.uuid()
            ),
        }
    )
    draft = draft_schema(table, name="t")
    found = kinds(draft)
    assert found["interval"] == "duration"
    assert found["key"] in ("generated", "identifier")
    assert any("a month is thirty days" in note for note in draft.notes)
    out = back(table.select(["interval"]), draft.schema)
    assert out.schema.field("interval").type == pa.duration("us")
    assert out["interval"].null_count == 1
    seconds = out["interval"].cast(pa.int64()).drop_null().to_numpy() / 1e6
    assert seconds.max() <= (2 * 30 + 9) * 86_400 + ROWS
    # What stands before is not read where a piece of a table is.
    half = draft_schema(table.slice(300), name="t").schema.attributes[0]
    assert half.kind == "duration"


def test_keys_of_python_are_keys() -> None:
    frame = pd.DataFrame({"key": [UUID(int=n) for n in range(ROWS)], "n": SMALL})
    assert kinds(draft_schema(frame, name="t"))["key"] in ("generated", "identifier")


@pytest.mark.parametrize("sep", [" ", "T"])
def test_what_leaves_out_zeros_is_read(tmp_path: Path, sep: str) -> None:
    texts = [
        f"{t:%Y-%m-%d{sep}%H:%M:%S}{f'.{n // 1000:06}' if i % 5 == 0 else ''}"
        for i, (t, n) in enumerate(zip(AT, NANOS, strict=True))
    ]
    some = [t[:10] if i % 7 == 0 else t for i, t in enumerate(texts)]
    frame = pd.DataFrame({"fraction": texts, "clock": some})
    draft, out = round_trip(write(frame, tmp_path / "a.csv"))
    assert set(kinds(draft).values()) == {"datetime"}
    assert "without a fraction; all come out with one" in " ".join(draft.notes)
    assert out["fraction"].str.fullmatch(rf"\d{{4}}-\d\d-\d\d{sep}[\d:]{{8}}\.\d{{6}}").all()
