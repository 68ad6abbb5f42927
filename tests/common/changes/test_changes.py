"""What changed between releases: a change that was planted is found, and noise is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.changes import compare_releases, write_changes
from silosynth.common.changes.facts import NoiseFrom, Word
from silosynth.common.changes.judge import Release
from silosynth.common.cli.app import run
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument
from silosynth.common.estimate import save_replicates
from silosynth.common.sampler import CliqueMarginal, Sampler, build_sampler, save_sampler
from silosynth.common.schema import parse_schema
from silosynth.server.planning import new_plan

SCHEMA = parse_schema(
    {
        "name": "shops",
        "attributes": [
            {
                "name": "region",
                "kind": "categorical",
                "categories": ["n", "s"],
                "other": False,
                "source": "public",
            },
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"},
            {
                "name": "<b>",
                "kind": "categorical",
                "categories": ["x", "y"],
                "other": False,
                "source": "public",
            },
        ],
    }
)
PLAN = new_plan(SCHEMA, epsilon=1.0, delta=1e-6, silos=("a", "b"), plan_id="p", method="mst")
STATED = certify_plan(PLAN)
CODES = SCHEMA.coded[1].size
ROWS = 2**13


def release(
    name: str, *, north: float = 0.4, tie: float = 0.0, total: int = 20_000, seed: int = 0
) -> Release:
    """Return a release whose region and last column hang together by ``tie``.

    Args: seed: of the noise of a measured cell, 0 for none.
    """
    pair = np.array([north / 2, north / 2, (1 - north) / 2, (1 - north) / 2])
    pair += np.array([tie, -tie, -tie, tie])
    ages = np.ones(CODES) / CODES
    if seed:
        random = np.random.default_rng(seed)
        sigma = {p.name: 2 * float(p.noise.variance(silos=1)) for p in STATED.phases}
        pair = pair + random.normal(0, sigma["tree"] ** 0.5 / total, 4)
        ages = ages + random.normal(0, sigma["one-way"] ** 0.5 / total, CODES)
    sampler = build_sampler(
        schema=SCHEMA,
        grouping=Grouping(),
        within={},
        nodes=[
            CliqueMarginal(clique=("region", "<b>"), separator=(), values=pair.clip(0)),
            CliqueMarginal(clique=("age",), separator=(), values=ages.clip(0)),
        ],
        total=total,
        certificate=STATED.model_dump(mode="json"),
        plan_digest=PLAN.digest,
    )
    return Release(name=name, digest="sha256:" + "0" * 64, sampler=sampler)


def test_a_change_is_found_where_it_is_and_nowhere_else() -> None:
    step = compare_releases([release("a"), release("b", tie=0.1)], rows=ROWS).steps[0]
    words = {m.columns: m.word for m in (*step.columns, *step.pairs)}
    assert words[("region", "<b>")] is Word.MOVED
    assert {w for c, w in words.items() if c != ("region", "<b>")} <= {Word.WITHIN, Word.UNKNOWN}
    assert step.pairs[0].columns == ("region", "<b>")
    assert step.pairs[0].distance == pytest.approx(0.2, abs=0.02)


def test_noise_as_it_is_stated_moves_nothing() -> None:
    found = [release(str(seed), seed=seed, total=5_000) for seed in range(1, 7)]
    facts = compare_releases(found, rows=ROWS)
    said = [m for s in facts.steps for m in (*s.columns, *s.pairs)]
    assert {m.word for m in said} == {Word.WITHIN, Word.UNKNOWN}
    ages = [m for m in said if m.columns == ("age",)]
    # The distance that noise makes is about what is expected of it.
    assert 0.6 < np.mean([m.distance / (m.by_noise or 1) for m in ages]) < 1.2


def test_a_pair_that_was_not_measured_has_no_noise_to_state() -> None:
    step = compare_releases([release("a"), release("b", north=0.6)], rows=ROWS).steps[0]
    words = {m.columns: m.word for m in step.pairs}
    assert words[("region", "age")] is Word.UNKNOWN
    assert words[("region", "<b>")] is Word.MOVED


def test_errors_come_of_replicates_where_there_are_some() -> None:
    others = tuple(release("r", seed=seed, total=5_000).sampler for seed in range(1, 6))
    one = replace(release("a", total=5_000), replicates=others)
    other = replace(release("b", north=0.6, total=5_000), replicates=others)
    facts = compare_releases([one, other], rows=ROWS)
    assert {r.noise for r in facts.releases} == {NoiseFrom.REPLICATES}
    words = {m.columns: m.word for m in (*facts.steps[0].columns, *facts.steps[0].pairs)}
    assert Word.UNKNOWN not in words.values()
    assert words[("region",)] is Word.MOVED
    assert words[("age",)] is Word.WITHIN


def test_a_certificate_that_states_nothing_leaves_the_noise_unknown() -> None:
    silent = replace(release("a").sampler, certificate={})  # type: ignore[type-var]  # a Sampler
    one = replace(release("a"), sampler=silent)
    step = compare_releases([one, release("b", north=0.9)], rows=ROWS).steps[0]
    assert {m.word for m in (*step.columns, *step.pairs)} == {Word.UNKNOWN}


def test_other_schemas_are_refused_in_one_line() -> None:
    sampler = release("a").sampler
    assert isinstance(sampler, Sampler)
    other = replace(sampler, schema=SCHEMA.model_copy(update={"name": "others"}))
    with pytest.raises(InvalidArgument, match="other is of another schema than a"):
        compare_releases([release("a"), replace(release("other"), sampler=other)], rows=ROWS)
    with pytest.raises(InvalidArgument, match="1 samplers were named, and 2 to"):
        compare_releases([release("a")], rows=ROWS)


def test_the_command_writes_a_page_and_its_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for place, north in enumerate((0.4, 0.5, 0.6)):
        paths.append(tmp_path / f"{place}.sampler")
        made = release("x", north=north).sampler
        assert isinstance(made, Sampler)
        save_sampler(made, paths[-1])
    assert isinstance(made, Sampler)
    save_replicates(paths[0], [made, made])
    out = tmp_path / "out"
    words = ["compare", *map(str, paths), "--rows", str(ROWS), "--out", str(out), "--json"]
    assert run(words) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [(s["before"], s["after"]) for s in data["steps"]] == [(0, 1), (1, 2), (0, 2)]
    assert [r["noise"] for r in data["releases"]] == ["replicates", "stated", "stated"]
    assert data == json.loads((out / "changes.json").read_text())
    course = data["courses"][0]
    assert course["column"] == "region"
    assert sorted(course["shares"]) in (course["shares"], course["shares"][::-1])
    page = (out / "changes.html").read_text()
    assert "<b>" not in page
    assert page.count("<svg") == len(data["courses"])
    assert run(words) != 0
    first = write_changes(compare_releases([release("a"), release("b")], rows=ROWS), tmp_path / "1")
    second = write_changes(
        compare_releases([release("a"), release("b")], rows=ROWS), tmp_path / "2"
    )
    assert first[0].read_bytes() == second[0].read_bytes()
