"""Categories from a public file, named by its digest, with what is above them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.document import dump_document
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import (
    CategoricalAttribute,
    Schema,
    dump_schema,
    load_schema,
    parse_schema,
)

ICD = """\
code,label,parent
E,Endocrine,
E10,Type 1 diabetes,E
E10.9,without complications,E10
E11,Type 2 diabetes,E
E11.6,"with other, specified",E11
E11.9,without complications,E11
I,Circulatory,
I10,Hypertension,I
"""


def write(folder: Path, text: str = ICD, **fields: Any) -> Path:
    """Write a code list, and a schema that names it."""
    data = text.encode()
    (folder / "icd.csv").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    codes = {"file": "icd.csv", "sha256": digest, "parent": "parent", **fields}
    codes = {name: value for name, value in codes.items() if value is not None}
    attribute = {"name": "diagnosis", "kind": "categorical", "source": "public", "codes": codes}
    path = folder / "schema.yaml"
    path.write_text(dump_document({"name": "visits", "attributes": [attribute]}))
    return path


def diagnosis(schema: Schema) -> CategoricalAttribute:
    (attribute,) = schema.attributes
    assert isinstance(attribute, CategoricalAttribute)
    return attribute


def test_codes_and_what_is_above_them_travel_in_the_schema(tmp_path: Path) -> None:
    path = write(tmp_path)
    schema = load_schema(path)
    assert schema.version == 2
    assert diagnosis(schema).categories == (
        "E",
        "E10",
        "E10.9",
        "E11",
        "E11.6",
        "E11.9",
        "I",
        "I10",
    )
    assert diagnosis(schema).hierarchy["E11.6"] == "E11"
    (tmp_path / "icd.csv").unlink()
    path.write_text(dump_schema(schema))
    again = load_schema(path)
    assert again == schema
    assert again.digest == schema.digest


def test_the_digest_of_a_schema_is_that_of_its_codes_too(tmp_path: Path) -> None:
    one = load_schema(write(tmp_path)).digest
    assert load_schema(write(tmp_path, ICD.replace("I10,", "I11,"))).digest != one
    assert load_schema(write(tmp_path, ICD.replace(",E11\n", ",E10\n"))).digest != one


def test_numbers_of_a_vocabulary_stay_numbers(tmp_path: Path) -> None:
    text = "concept_id\tconcept_name\tabove\n8507\tMALE\t\n8532\tFEMALE\t\n"
    path = write(tmp_path, text, code="concept_id", parent="above", delimiter="\t")
    assert diagnosis(load_schema(path)).categories == (8507, 8532)
    path = write(tmp_path, "code,parent\n01,\n2,\n")
    assert diagnosis(load_schema(path)).categories == ("01", "2"), "a zero in front is a sign"


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"under": ["E11"]}, ("E11", "E11.6", "E11.9")),
        ({"under": ["E11", "I"]}, ("E11", "E11.6", "E11.9", "I", "I10")),
        ({"leaves": True}, ("E10.9", "E11.6", "E11.9", "I10")),
        ({"under": ["E11"], "leaves": True}, ("E11.6", "E11.9")),
        ({"parent": None}, ("E", "E10", "E10.9", "E11", "E11.6", "E11.9", "I", "I10")),
    ],
)
def test_a_part_of_a_list_is_taken(
    tmp_path: Path, fields: dict[str, Any], kept: tuple[str, ...]
) -> None:
    attribute = diagnosis(load_schema(write(tmp_path, **fields)))
    assert attribute.categories == kept
    assert bool(attribute.hierarchy) == ("parent" not in fields)


@pytest.mark.parametrize(
    ("text", "fields", "said"),
    [
        (ICD, {"sha256": "0" * 64}, "is not the file of its sha256"),
        (ICD, {"file": "icd10.csv"}, "cannot be read"),
        (ICD, {"parent": "above"}, "has no column 'above'"),
        (ICD, {"code": "icd"}, "has no column 'icd'"),
        (ICD, {"delimiter": ";"}, "has no column 'code'"),
        (ICD, {"under": ["X"]}, "under names 'X', which is no code"),
        (ICD.replace("I10,", "E11,"), {}, "code 'E11' stands twice"),
        (ICD.replace("E,Endocrine,", "E,Endocrine,E11.6"), {}, "is above itself"),
        ("code,parent\n", {}, "is no table with a header and rows"),
        ("code,parent\nA\n", {}, "is no table with a header and rows"),
        ("code,parent\n,\n", {}, "0 codes of"),
        ("code,parent\n" + "".join(f"{i},\n" for i in range(65_537)), {}, "65,537 codes"),
    ],
)
def test_a_list_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, text: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSchema) as caught:
        load_schema(write(tmp_path, text, **fields))
    assert said in str(caught.value)
    assert "diagnosis" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_circle_written_by_hand_is_refused() -> None:
    attribute = {
        "name": "d",
        "kind": "categorical",
        "categories": ["a", "b"],
        "hierarchy": {"a": "x", "x": "y", "y": "a"},
    }
    with pytest.raises(InvalidSchema, match="is above itself"):
        parse_schema({"name": "t", "source": "public", "attributes": [attribute]})


def test_a_schema_without_code_lists_keeps_its_digest() -> None:
    plain = {"name": "d", "kind": "categorical", "categories": ["a", "b"]}
    document = {"name": "t", "source": "public", "attributes": [plain]}
    assert parse_schema(document).version == 1
    said = parse_schema({**document, "attributes": [{**plain, "hierarchy": {}}]})
    assert said.digest == parse_schema(document).digest
