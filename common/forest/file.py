"""The file of a sampler of several tables: a ZIP of JSON documents and ``.npy`` arrays.

====================  =============================================================
``manifest.json``     format, version, the chains in draw order, and of every other member the
                      sha256, the size, and an array's shape
``schema.json``       the public schema
``certificate.json``  what was spent
``scores-N.npy``      the scores of the N-th step, its terms one below the other
``inside-N.npy``      how numbers of rows lie inside their bins, of the N-th table below
``gaps-N.npy``        how gaps lie inside their bins, of the N-th table that has some
====================  =============================================================

Reading trusts nothing: the size is capped before a byte is read, every byte is covered by a
checksum, and the values are those of a :class:`ForestSampler`, which checks itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from silosynth.common.domain import Domain
from silosynth.common.errors import CapExceeded, InvalidPlan, InvalidSampler, InvalidSchema
from silosynth.common.families import drawn_domains
from silosynth.common.files import fresh_file
from silosynth.common.forest.chain import Chain, Step, Term
from silosynth.common.forest.forest import ForestSampler, own_attributes
from silosynth.common.forest.gaps import gap_scales
from silosynth.common.sampler import (
    Sums,
    check_sums,
    dump_json,
    npy_header,
    pack,
    parse_json,
    parse_manifest,
    read_archive,
    sums_of,
    unpack,
)
from silosynth.common.schema import PlainModel
from silosynth.common.tables import TablesSchema, parse_tables

FORMAT: Final = "silosynth-forest"
VERSION: Final = 4
READ: Final = (1, 2, 3, 4)
"""Versions that can be read. Of 2, a row may be given its place and the second row before it; of 3,
a step may be drawn evenly; of 4, a later row may be drawn by its gap, and rules be kept across
tables. A sampler without either is written in 3, which older programs read.
"""
_BEFORE_GAPS: Final = 3
MAX_BYTES = 2**30
_DTYPE: Final = "<i4"
_WHOLE: Final = "<u4"
_LARGEST = 2**30
_HEAD = 4096


class _Member(Sums):
    shape: tuple[Annotated[int, Field(ge=1, le=_LARGEST)], ...] | None = Field(
        default=None, max_length=2
    )


class _Step(PlainModel):
    attribute: str
    terms: tuple[tuple[str, ...], ...] = Field(max_length=4096)
    even: bool = False


class _Manifest(PlainModel):
    format: Literal["silosynth-forest"] = FORMAT
    version: Literal[1, 2, 3, 4] = VERSION
    plan_digest: str
    persons: int = Field(ge=0, lt=2**63)
    left_out: tuple[str, ...] = ()
    below: int = Field(ge=0, lt=2**16)
    gaps: int = Field(default=0, ge=0, lt=2**16)
    chains: dict[str, tuple[_Step, ...]]
    members: dict[str, _Member]


def save_forest(sampler: ForestSampler, path: Path, *, force: bool = False) -> None:
    """Write a sampler file, whole or not at all.

    Guarantees: the same sampler gives the same bytes.
    Errors: OutputExists when ``path`` is there, unless ``force``.
    """
    data = dump_forest(sampler)
    with fresh_file(path, force=force) as part:
        part.write_bytes(data)


def load_forest(path: Path, *, max_bytes: int = MAX_BYTES) -> ForestSampler:
    """Read a sampler file.

    Errors: InvalidSampler naming ``path`` when it is missing, larger than ``max_bytes``,
    truncated, edited, of another version or no sampler file of several tables.
    """
    try:
        return parse_forest(read_archive(path, max_bytes=max_bytes))
    except InvalidSampler as err:
        raise InvalidSampler(f"{path}: {err.message}", hint=err.hint) from err


def is_forest(path: Path) -> bool:
    """Say whether a file begins as a sampler of several tables does; it may be broken beyond."""
    try:
        with path.open("rb") as file:
            return holds_forest(file.read(_HEAD))
    except OSError:
        return False


def holds_forest(data: bytes) -> bool:
    """Say whether bytes begin as a sampler of several tables does."""
    return f'"{FORMAT}"'.encode() in data[:_HEAD]


def dump_forest(sampler: ForestSampler) -> bytes:
    """Return the bytes of a sampler file."""
    members = {
        "schema.json": dump_json(sampler.schema.model_dump(mode="json")),
        "certificate.json": dump_json(dict(sampler.certificate)),
    }
    facts = {name: _Member(**sums_of(data)) for name, data in members.items()}
    for i, step in enumerate(_steps(sampler)):
        scores = np.concatenate([t.scores for t in step.terms])
        data = npy_header(scores.shape, dtype=_DTYPE) + scores.astype(_DTYPE).tobytes()
        members[f"scores-{i}.npy"] = data
        facts[f"scores-{i}.npy"] = _Member(**sums_of(data), shape=scores.shape)
    for i, name in enumerate(sampler.schema.downward[1:]):
        ends = sampler.inside[name]
        data = npy_header(ends.shape) + ends.astype(_WHOLE).tobytes()
        members[f"inside-{i}.npy"] = data
        facts[f"inside-{i}.npy"] = _Member(**sums_of(data), shape=ends.shape)
    for i, name in enumerate(gap_scales(sampler.schema)):
        pieces = sampler.gaps[name]
        data = npy_header(pieces.shape, dtype=_WHOLE) + pieces.astype(_WHOLE).tobytes()
        members[f"gaps-{i}.npy"] = data
        facts[f"gaps-{i}.npy"] = _Member(**sums_of(data), shape=pieces.shape)
    later = bool(sampler.gaps or sampler.schema.rules)
    manifest = _Manifest(
        version=VERSION if later else _BEFORE_GAPS,
        plan_digest=sampler.plan_digest,
        persons=sampler.persons,
        left_out=sampler.left_out,
        below=len(sampler.inside),
        gaps=len(sampler.gaps),
        chains={
            name: tuple(
                _Step(attribute=s.attribute, terms=tuple(t.given for t in s.terms), even=s.even)
                for s in chain.steps
            )
            for name, chain in sampler.chains.items()
        },
        members=facts,
    )
    # What an older program does not know is said only where there is some.
    said = manifest.model_dump(mode="json", exclude=None if manifest.gaps else {"gaps"})
    return pack({"manifest.json": dump_json(said)} | members)


def parse_forest(data: bytes) -> ForestSampler:
    """Return the sampler that ``data``, the bytes of a sampler file, holds."""
    members = unpack(data)
    manifest = _manifest(members)
    check_sums(members, manifest.members)
    certificate = parse_json(members["certificate.json"], name="certificate.json")
    if not isinstance(certificate, dict):
        raise InvalidSampler("certificate.json is not a mapping")
    try:
        schema = parse_tables(parse_json(members["schema.json"], name="schema.json"))
        return ForestSampler(
            schema=schema,
            chains=_chains(members, manifest, schema=schema),
            inside={
                name: _array(members, manifest, f"inside-{i}.npy", dtype=_WHOLE)
                for i, name in enumerate(schema.downward[1:])
            },
            gaps={
                name: _array(members, manifest, f"gaps-{i}.npy", dtype=_WHOLE)
                for i, name in enumerate(gap_scales(schema))
            },
            persons=manifest.persons,
            certificate=certificate,
            plan_digest=manifest.plan_digest,
            left_out=manifest.left_out,
        )
    except (InvalidPlan, InvalidSchema, CapExceeded) as err:
        raise InvalidSampler(f"the sampler does not fit its schema: {err}") from err


def _chains(
    members: Mapping[str, memoryview], manifest: _Manifest, *, schema: TablesSchema
) -> dict[str, Chain]:
    domains, own = drawn_domains(schema), own_attributes(schema)
    arrays = (
        _array(members, manifest, f"scores-{i}.npy", dtype=_DTYPE) for i in range(_count(manifest))
    )
    found = {}
    for view, steps in manifest.chains.items():
        if view not in domains:
            raise InvalidSampler(f"there is no {view!r} in the schema")
        parsed = tuple(_step(s, next(arrays), domain=domains[view]) for s in steps)
        found[view] = Chain(domain=domains[view], own=own[view], steps=parsed)
    return found


def _step(step: _Step, scores: np.ndarray, *, domain: Domain) -> Step:
    """Cut the scores of a step into its terms'."""
    if scores.ndim != 2:
        raise InvalidSampler(f"the scores of {step.attribute!r} are no table")
    terms, start = [], 0
    for given in step.terms:
        size = domain.size(given)
        terms.append(Term(given=given, scores=scores[start : start + size].copy()))
        start += size
    if start != len(scores):
        raise InvalidSampler(f"the scores of {step.attribute!r} do not fit its terms")
    return Step(attribute=step.attribute, terms=tuple(terms), even=step.even)


def _manifest(members: Mapping[str, memoryview]) -> _Manifest:
    if "manifest.json" not in members:
        raise InvalidSampler("there is no manifest.json", hint="is this a sampler file?")
    data = parse_json(members["manifest.json"], name="manifest.json")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidSampler("is no sampler of several tables")
    if data.get("version") not in READ:
        known = " or ".join(map(str, READ))
        raise InvalidSampler(
            f"the version is not {known}", hint="read it with the silosynth that wrote it"
        )
    manifest = parse_manifest(_Manifest, members["manifest.json"])
    expected = {"manifest.json", "schema.json", "certificate.json"}
    expected |= {f"scores-{i}.npy" for i in range(_count(manifest))}
    expected |= {f"inside-{i}.npy" for i in range(manifest.below)}
    expected |= {f"gaps-{i}.npy" for i in range(manifest.gaps)}
    if set(members) != expected or {*manifest.members, "manifest.json"} != expected:
        raise InvalidSampler("a member is missing, or there is one too many")
    return manifest


def _count(manifest: _Manifest) -> int:
    return sum(len(steps) for steps in manifest.chains.values())


def _array(
    members: Mapping[str, memoryview], manifest: _Manifest, name: str, *, dtype: str
) -> np.ndarray:
    """Return an array, after its header was compared with the one that its shape gives."""
    shape = manifest.members[name].shape if name in manifest.members else None
    if shape is None:
        raise InvalidSampler(f"{name} is missing, or has no shape")
    header, data = npy_header(shape, dtype=dtype), members[name]
    if len(data) != len(header) + 4 * math.prod(shape) or data[: len(header)] != header:
        raise InvalidSampler(f"{name} does not have the dtype and shape that the manifest says")
    array = np.frombuffer(data[len(header) :], dtype=dtype).reshape(shape)
    return array.astype(np.int32 if dtype == _DTYPE else np.uint32)


def _steps(sampler: ForestSampler) -> Iterator[Step]:
    for chain in sampler.chains.values():
        yield from chain.steps
