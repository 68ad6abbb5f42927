"""The manifest of a sampler file: what its members are, and which kind of sampler they make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError

from silosynth.common.errors import InvalidSampler
from silosynth.common.generator import Architecture
from silosynth.common.schema import PlainModel

FORMAT: Final = "silosynth-sampler"
OF_TABLES: Final = "silosynth-forest"
VERSION: Final = 2
READ: Final = (1, 2, 3, 4, 5)
"""Version 1 knows no spreads: its numbers lie evenly in the schema's bins. Version 3 alone holds a
mixture's tables, 4 one whose components have a text each, and 5 conditionals over a component, so
that who reads 2 says of them that the version is another."""

OF_MIXTURES: Final = 3
OF_LINES: Final = 4
OF_TREES: Final = 5
_MIXTURES: Final = (OF_MIXTURES, OF_LINES, OF_TREES)

MAX_JSON_BYTES = 2**26
_LARGEST = 2**30
AnyManifest = TypeVar("AnyManifest", bound=PlainModel)

_Shape = Annotated[
    tuple[Annotated[int, Field(ge=1, le=_LARGEST)], ...], Field(min_length=1, max_length=2)
]


class Sums(PlainModel):
    """Size and hash of a member."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Member(Sums):
    """Size and hash of a member, and what an array holds."""

    dtype: Literal["<u4"] | None = None
    shape: _Shape | None = None


class Node(PlainModel):
    """One conditional of a graphical model."""

    attribute: str
    given: tuple[str, ...]


class OneShotNetwork(PlainModel):
    """The network of a one-shot generator."""

    label: str | None
    latents: _Shape
    widths: tuple[Annotated[int, Field(ge=1, le=_LARGEST)], ...] = Field(min_length=2)


class StoredMixture(PlainModel):
    """A mixture, whose tables or conditionals are those of so many components."""

    components: int = Field(ge=1, le=_LARGEST)


class Manifest(PlainModel):
    """Everything that is known of the members before they are read."""

    format: Literal["silosynth-sampler"] = FORMAT
    version: Literal[1, 2, 3, 4, 5] = VERSION
    plan_digest: str
    total: int = Field(ge=0, lt=2**63)
    conditionals: tuple[Node, ...]
    grouping: dict[str, tuple[int, ...]]
    generator: OneShotNetwork | None = None
    architecture: Architecture | None = None
    mixture: StoredMixture | None = None
    spreads: tuple[str, ...] = Field(default=(), max_length=4096)
    members: dict[str, Member]


def read_manifest(members: Mapping[str, memoryview]) -> Manifest:
    """Return the manifest; raise InvalidSampler unless it names just the members there are."""
    if "manifest.json" not in members:
        raise InvalidSampler("there is no manifest.json", hint="is this a sampler file?")
    data = parse_json(members["manifest.json"], name="manifest.json")
    if isinstance(data, dict) and data.get("format") == OF_TABLES:
        raise InvalidSampler(
            "it is a sampler of several tables, which is not taken here yet",
            hint="draw its tables with 'silosynth sample', and take one of them",
        )
    if isinstance(data, dict) and data.get("format") == FORMAT and data.get("version") not in READ:
        raise InvalidSampler(
            f"the version is none of {', '.join(map(str, READ))}",
            hint="read it with the silosynth that wrote it",
        )
    manifest = parse_manifest(Manifest, members["manifest.json"])
    expected = {"manifest.json", "schema.json", "certificate.json"}
    expected |= {f"shares-{i}.npy" for i in range(len(manifest.conditionals))}
    expected |= {f"within-{i}.npy" for i in range(len(manifest.grouping))}
    if manifest.spreads:
        expected.add("values.json")
        if manifest.version == 1:
            raise InvalidSampler("manifest.json: version 1 has no spreads")
    if (manifest.mixture is not None) != (manifest.version in _MIXTURES):
        raise InvalidSampler(
            f"manifest.json: a mixture is of version {OF_MIXTURES}, {OF_LINES} or {OF_TREES}"
        )
    if manifest.version == OF_LINES:
        expected.add("lines.json")
    if manifest.mixture is not None:
        if manifest.generator or manifest.architecture:
            raise InvalidSampler("manifest.json: a mixture has no network")
        if bool(manifest.conditionals) != (manifest.version == OF_TREES):
            raise InvalidSampler(
                f"manifest.json: a mixture has conditionals in version {OF_TREES} alone"
            )
    if manifest.mixture is not None and manifest.version != OF_TREES:
        expected |= {"weights.npy", "tables.npy"}
    if manifest.generator is not None or manifest.architecture is not None:
        expected.add("weights.safetensors")
        expected |= {"label.npy"} if manifest.generator is not None else set()
        if manifest.conditionals:
            raise InvalidSampler("manifest.json: a generator has no conditionals")
        if manifest.generator is not None and manifest.architecture is not None:
            raise InvalidSampler("manifest.json: a sampler has one network")
    if set(members) != expected or {*manifest.members, "manifest.json"} != expected:
        raise InvalidSampler("a member is missing, or there is one too many")
    return manifest


def parse_manifest(kind: type[AnyManifest], data: memoryview) -> AnyManifest:
    """Return a manifest of its kind; raise InvalidSampler naming the first field that is wrong."""
    try:
        return kind.model_validate_json(bytes(data), strict=True)
    except ValidationError as err:
        fault = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in fault["loc"][:2])
        raise InvalidSampler(f"manifest.json: {where}: {fault['msg']}") from err


def sums_of(data: bytes) -> dict[str, Any]:
    """Return what a manifest says of the bytes of every member."""
    return {"sha256": sha256(data).hexdigest(), "bytes": len(data)}


def check_sums(members: Mapping[str, memoryview], stated: Mapping[str, Sums]) -> None:
    """Raise InvalidSampler unless every member is what the manifest says."""
    for name, member in stated.items():
        if len(members[name]) != member.bytes or sha256(members[name]).hexdigest() != member.sha256:
            raise InvalidSampler(f"{name} is not what the manifest says")


def dump_json(data: Mapping[str, Any]) -> bytes:
    """Return a document as every sampler file has it."""
    return json.dumps(data, allow_nan=False, indent=1).encode()


def parse_json(data: memoryview, *, name: str) -> Any:
    """Parse a document; refuse one that is too long, nested too deep, or not of plain values."""
    if len(data) > MAX_JSON_BYTES:
        raise InvalidSampler(f"{name} is larger than {MAX_JSON_BYTES} bytes")
    try:
        return json.loads(bytes(data), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        raise InvalidSampler(f"{name} is not valid JSON") from err


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
