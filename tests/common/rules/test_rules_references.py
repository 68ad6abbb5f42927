"""Public tables in a schema: what follows from a key, and which combinations there are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from silosynth.common.codec import Codec, keeps_rules
from silosynth.common.errors import InvalidSchema
from silosynth.common.sampler import load_sampler, save_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, dump_schema, load_schema, parse_schema
from silosynth.server.dummy import dummy_sampler

AIRPORTS = "faa,state,lat,big\nJFK,NY,40.6,true\nLGA,NY,40.8,false\nEWR,NJ,40.7,true\n"
PAIRS = "origin,dest,note\nJFK,a,x\nJFK,b,y\nLGA,a,\nEWR,b,z\nXXX,a,\n"
LISTED = {"kind": "categorical", "other": False, "source": "public"}
ATTRIBUTES: list[dict[str, Any]] = [
    {"name": "origin", "categories": ["JFK", "LGA", "EWR"], **LISTED},
    {"name": "dest", "categories": ["a", "b", "c"], **LISTED, "missing": True},
    {"name": "state", "categories": ["NJ", "NY"], **LISTED},
    {
        "name": "lat",
        "kind": "real",
        "minimum": 0,
        "maximum": 90,
        "decimals": 1,
        "source": "public",
    },
]
RULES = ["state = lookup(airports, origin)", "lat = lookup(airports, origin) * 2"]
TOGETHER = "together: origin, dest from pairs"


def _written(folder: Path, *rules: str, **changes: Any) -> Path:
    references = {}
    for name, text, key in (("airports", AIRPORTS, "faa"), ("pairs", PAIRS, None)):
        (folder / f"{name}.csv").write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        references[name] = {"file": f"{name}.csv", "sha256": digest} | ({"key": key} if key else {})
    document = {"name": "t", "attributes": ATTRIBUTES, "references": references} | changes
    path = folder / "schema.yaml"
    path.write_text(yaml.safe_dump({**document, "rules": list(rules)}))
    return path


def _table() -> pa.Table:
    return pa.table(
        {
            "origin": ["JFK", "LGA", "EWR", "LGA"],
            "dest": ["a", "b", None, "a"],
            "state": ["NY", "NY", "NY", "NY"],
            "lat": [81.2, 81.6, 81.4, 1.0],
        }
    )


def test_what_follows_from_a_key_is_not_counted_and_comes_out_right(tmp_path: Path) -> None:
    schema = load_schema(_written(tmp_path, *RULES))
    assert schema.domain.attributes == ("origin", "dest")
    found = draw(dummy_sampler(schema), rows=200, seed=1).to_pylist()
    states = {"JFK": ("NY", 81.2), "LGA": ("NY", 81.6), "EWR": ("NJ", 81.4)}
    assert {r["origin"] for r in found} == set(states)
    assert all((r["state"], r["lat"]) == states[r["origin"]] for r in found)


def test_combinations_that_are_not_listed_are_impossible_and_null_goes_with_any(
    tmp_path: Path,
) -> None:
    schema = load_schema(_written(tmp_path, TOGETHER))
    (cells,) = schema.impossible()
    assert cells.clique == ("origin", "dest")
    assert (~cells.mask).tolist() == [
        [True, True, False, True],
        [True, False, False, True],
        [False, True, False, True],
    ]
    found = {
        (r["origin"], r["dest"]) for r in draw(dummy_sampler(schema), rows=500, seed=1).to_pylist()
    }
    assert found == {
        *(("JFK", "a"), ("JFK", "b"), ("LGA", "a"), ("EWR", "b")),
        *((origin, None) for origin in ("JFK", "LGA", "EWR")),
    }


def test_rows_of_a_silo_that_break_them_are_counted_and_never_refused(tmp_path: Path) -> None:
    schema = load_schema(_written(tmp_path, *RULES, TOGETHER))
    kept = keeps_rules(_table(), schema=schema)
    assert [mask.tolist() for mask in kept.values()] == [
        [True, True, False, True],
        [True, True, True, False],
        [True, False, True, True],
    ]
    encoded = Codec(schema).encode(_table())
    assert encoded.rows == 4
    assert sorted(n.broken for n in encoded.notes if n.broken) == [1, 1, 1]


def test_their_rows_travel_in_the_schema_and_its_digest(tmp_path: Path) -> None:
    schema = load_schema(_written(tmp_path, *RULES, TOGETHER))
    again = parse_schema(yaml.safe_load(dump_schema(schema)))
    assert again.digest == schema.digest
    assert again.references["airports"].columns["state"] == ("NY", "NY", "NJ")
    document = yaml.safe_load(dump_schema(schema))
    document["references"]["airports"]["columns"]["state"][2] = "NY"
    assert parse_schema(document).digest != schema.digest
    save_sampler(dummy_sampler(schema), tmp_path / "s.zip")
    (tmp_path / "airports.csv").unlink()
    sampler = load_sampler(tmp_path / "s.zip")
    assert draw(sampler, rows=50, seed=1).equals(draw(dummy_sampler(schema), rows=50, seed=1))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (
            "state = lookup(harbours, origin)",
            "no reference 'harbours'; declared: airports",
        ),
        ("state = lookup(pairs, origin)", "reference 'pairs' has no key"),
        ("dest = lookup(airports, origin)", "reference 'airports' has no column 'dest'"),
        ("state = lookup(airports, origin, faa)", "'JFK' of 'airports' is no value of 'state'"),
        (
            "state = lookup(airports, dest)",
            "'airports' has no key 'a', a value of 'dest'",
        ),
        ("state = lookup(airports, lat)", "column 'lat' has no list of values"),
        ("lat = lookup(airports, lat)", "column 'lat' has no list of values"),
        ("together: origin, dest from airports", "has no column 'origin'"),
        ("together: origin, lat from pairs", "has no column 'lat'"),
        ("together: origin, dest", "expected 'from' and a reference"),
        ("together: origin from pairs", "expected 2 columns"),
        ("state = lookup(airports origin)", "expected ','"),
    ],
)
def test_what_is_not_there_is_one_line_that_names_the_rule(
    tmp_path: Path, rule: str, says: str
) -> None:
    with pytest.raises(InvalidSchema) as refused:
        load_schema(_written(tmp_path, rule))
    assert says in str(refused.value)
    assert rule in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_file_than_declared_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, *RULES)
    (tmp_path / "airports.csv").write_text(AIRPORTS.replace("NJ", "NY"))
    with pytest.raises(InvalidSchema, match="is not the file of its sha256"):
        load_schema(path)
    (tmp_path / "airports.csv").unlink()
    with pytest.raises(InvalidSchema, match="cannot be read: No such file"):
        load_schema(path)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ({"columns": {"a": []}}, "a row at least"),
        ({"columns": {"a": ["x"], "b": []}}, "one length"),
        ({"columns": {"a": ["x", "x"]}, "key": "a"}, "key 'x' stands twice"),
        ({"columns": {"a": ["x"]}, "key": "b"}, "key 'b' is no column"),
        ({"file": "x.csv"}, "columns"),
        ({"columns": {"a": ["x"] * 200_001}}, "at most 200,000 cells"),
    ],
)
def test_a_reference_that_is_no_table_is_refused(reference: dict[str, Any], says: str) -> None:
    document = {"name": "t", "attributes": ATTRIBUTES, "references": {"r": reference}}
    with pytest.raises(InvalidSchema, match=says):
        parse_schema(document)


def test_a_schema_without_references_keeps_its_digest() -> None:
    plain = {"name": "t", "attributes": ATTRIBUTES}
    assert parse_schema({**plain, "references": {}}).digest == parse_schema(plain).digest
    assert np.array_equal(Schema.model_validate(plain).impossible(), ())  # type: ignore[arg-type]  # as loose as a test may be
