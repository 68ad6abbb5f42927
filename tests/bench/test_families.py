"""What families are measured by: rivals keep what they should, an export has three levels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.families import __main__ as families
from bench.families import gaps
from bench.families.hma import _rows, _tables, some_persons
from bench.families.levels import SCHEMA, bootstrap, planted, score, shuffled
from bench.families.omop import export
from bench.families.real import Real
from bench.families.scores import Rows
from silosynth.common.tables import number_name


@pytest.fixture(scope="module")
def real() -> Real:
    """Return made-up people with visits as a case of two tables."""
    _, tables = planted(3, 400)
    columns = SCHEMA.columns
    rows = Rows(
        person=columns["people"].rows.domain,
        child=columns["visits"].rows.domain,
        persons=tables["people"].codes,
        rows=tables["visits"].codes,
        above=tables["visits"].above,
    )
    return Real(schema=SCHEMA, child="visits", views={}, rows=rows)


def test_what_hma_is_told_comes_back_as_codes(real: Real) -> None:
    rows = some_persons(real.rows, persons=100, seed=1)
    metadata, tables = _tables(real, rows)
    assert metadata["tables"]["people"]["columns"]["age"] == {"sdtype": "numerical"}
    again = _rows(real, tables)
    assert (again.above == rows.above).all()
    for name in ("persons", "rows"):
        for one, other, attribute in zip(
            getattr(again, name),
            getattr(rows, name),
            (rows.person if name == "persons" else rows.child).attributes,
            strict=True,
        ):
            # How many drugs a visit has is of a table that HMA is not told of.
            assert (one == other).all() or attribute == number_name("drugs")


def test_persons_drawn_again_are_near_and_shuffled_keys_far_where_keys_say_it() -> None:
    schema, real = planted(3, 4_000)
    near = score(schema, real, bootstrap(schema, real, seed=1))
    far = score(schema, real, shuffled(schema, real, seed=1))
    assert all(near[link] < 0.06 for link in near)
    assert all(far[link] > 2 * near[link] for link in far)
    assert score(schema, real, real) == dict.fromkeys(near, 0.0)


def test_an_export_is_read_as_three_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        "gender_concept_id": [8507, 8532, 8507],
        "race_concept_id": [0, 0, 8527],
        "year_of_birth": [1950, 1999, 2004],
    }
    pd.DataFrame({"person_id": [9, 4, 7], **facts}).to_csv(tmp_path / "PERSON.csv")
    visits = {
        "visit_occurrence_id": [1, 2, 3, 4],
        "person_id": [7, 4, 7, 5],
        "visit_concept_id": [9202, 9202, 9201, 9202],
        "visit_start_date": ["2020-05-01", "2020-01-01", "2020-02-01", "2020-01-01"],
    }
    pd.DataFrame(visits).to_csv(tmp_path / "visit_occurrence.csv")
    drugs = {
        "visit_occurrence_id": [1, 3, 1, 77, 4],
        "drug_concept_id": [10, 11, 10, 10, 10],
        "drug_type_concept_id": [1, 1, 1, 1, 1],
    }
    pd.DataFrame(drugs).to_csv(tmp_path / "drug_exposure.csv")
    monkeypatch.setenv("OMOP", str(tmp_path))
    schema, tables = export(0, 0)
    # Visits by person (4, 7, 9) and day; those of nobody, and what hangs on them, are not there.
    assert tables["visits"].above.tolist() == [0, 1, 1]
    assert tables["rows"].above.tolist() == [1, 2, 2]
    assert tables["rows"].person.tolist() == [1, 1, 1]
    assert tables["rows"].codes[0].tolist() == [1, 0, 0]
    numbers = {n: tables[n].codes[-1].tolist() for n in ("people", "visits")}
    assert numbers == {"people": [1, 2, 0], "visits": [0, 1, 2]}
    for name, rows in tables.items():
        shape = schema.columns[name].rows.domain.shape
        assert all(int(c.max()) < size for c, size in zip(rows.codes, shape, strict=True))


def test_an_unknown_case_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["families", "diabetes"])
    with pytest.raises(SystemExit, match="unknown case 'diabetes'; known: counting, "):
        families.main()


def test_gaps_of_right_visits_are_near_and_those_of_anybodys_far() -> None:
    real, other = gaps.planted(1, 2_000), gaps.planted(2, 2_000)
    near, far = gaps.score(real, other), gaps.score(real, gaps.shuffled(real, seed=1))
    for what in (gaps.KS, gaps.WITH, gaps.NEXT):
        assert near[what] < far[what] / 3
    assert near[gaps.BROKEN] == near[gaps.FALLS] == far[gaps.FALLS] == 0
    assert far[gaps.BROKEN] > 0.05
    rows = gaps.as_rows(gaps.schema_of(gaps=True), real)["visits"]
    assert rows.gaps is not None
    assert gaps.as_rows(gaps.schema_of(gaps=False), real)["visits"].gaps is None
