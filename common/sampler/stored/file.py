"""The sampler file: a ZIP of JSON documents and ``.npy`` arrays, nothing compressed.

====================  =============================================================
``manifest.json``     format, version, draw order, and of every other member the
                      sha256, the size, and an array's dtype and shape
``schema.json``       the public schema
``certificate.json``  what was spent
``values.json``       how values lie inside the codes of numbers, where it is known
``shares-N.npy``      the shares of the N-th conditional
``within-N.npy``      the shares inside the groups of the N-th merged attribute
``label.npy``         of a one-shot generator: the shares of the label's classes
``weights.npy``       of a mixture: the shares of its components
``tables.npy``        of a mixture: the shares of each attribute's codes, side by side
``lines.json``        of a mixture whose components have a text each: those
``weights.safetensors``  of a generator: its network, by the manifest's widths or architecture
====================  =============================================================

Reading trusts nothing: the size is capped before a byte is read, every byte is covered by a
checksum, arrays have the one header that their declared dtype and shape give, and the values are
those of a :class:`~silosynth.common.sampler.sampler.Sampler`, which checks itself.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from silosynth.common.codec import layout_of
from silosynth.common.domain import Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan, InvalidSampler, InvalidSchema
from silosynth.common.files import fresh_file
from silosynth.common.sampler.autoregressive import AutoregressiveSampler
from silosynth.common.sampler.conditional import Conditional
from silosynth.common.sampler.mixture import NeuralSampler, TableSampler
from silosynth.common.sampler.sampler import Sampler
from silosynth.common.sampler.stored.archive import pack, unpack
from silosynth.common.sampler.stored.manifest import (
    MAX_JSON_BYTES,
    OF_LINES,
    OF_MIXTURES,
    OF_TREES,
    Manifest,
    Member,
    Node,
    OneShotNetwork,
    StoredMixture,
    check_sums,
    dump_json,
    parse_json,
    read_manifest,
    sums_of,
)
from silosynth.common.sampler.stored.safetensors import (
    dump_network,
    dump_weights,
    parse_network,
    parse_weights,
    widths_of,
)
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.values import Spread, parse_spread

AnySampler = Sampler | NeuralSampler | TableSampler | AutoregressiveSampler

MAX_BYTES = 2**30
_DTYPE: Final = "<u4"
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_ALIGNMENT = 64


def save_sampler(sampler: AnySampler, path: Path, *, force: bool = False) -> None:
    """Write a sampler file, whole or not at all.

    Guarantees: the same sampler gives the same bytes.
    Errors: OutputExists when ``path`` is there, unless ``force``.
    """
    data = dump_sampler(sampler)
    with fresh_file(path, force=force) as part:
        part.write_bytes(data)


def load_sampler(path: Path, *, max_bytes: int = MAX_BYTES) -> AnySampler:
    """Read a sampler file.

    Errors: InvalidSampler naming ``path`` when it is missing, larger than ``max_bytes``,
    truncated, edited, of another version or no sampler file.
    """
    try:
        return parse_sampler(read_archive(path, max_bytes=max_bytes))
    except InvalidSampler as err:
        raise InvalidSampler(f"{path}: {err.message}", hint=err.hint) from err


def dump_sampler(sampler: AnySampler) -> bytes:
    """Return the bytes of a sampler file."""
    members = {
        "schema.json": dump_json(sampler.schema.model_dump(mode="json")),
        "certificate.json": dump_json(dict(sampler.certificate)),
    }
    if sampler.spreads:
        members["values.json"] = dump_json({n: s.dump() for n, s in sampler.spreads.items()})
    if isinstance(sampler, TableSampler) and sampler.lines is not None:
        members["lines.json"] = dump_json({"lines": list(sampler.lines)})
    shapes: dict[str, tuple[int, ...]] = {}
    for name, array in _arrays(sampler).items():
        shapes[name] = array.shape
        members[name] = npy_header(array.shape) + array.astype(_DTYPE).tobytes()
    parts = _network_parts(sampler)
    nodes: tuple[Node, ...] = ()
    if not isinstance(sampler, Sampler) and sampler.allowed:
        raise InvalidSampler("a sampler with conditions has no file", hint="save it without")
    if isinstance(sampler, Sampler):
        nodes = tuple(Node(attribute=c.attribute, given=c.given) for c in sampler.conditionals)
    elif not isinstance(sampler, TableSampler):
        members["weights.safetensors"] = _dump_weights(sampler)
    manifest = Manifest(
        plan_digest=sampler.plan_digest,
        total=sampler.total,
        conditionals=nodes,
        grouping=dict(sampler.grouping.groups),
        spreads=tuple(sampler.spreads),
        members={name: _describe(data, shapes.get(name)) for name, data in members.items()},
        **parts,
    )
    absent = {"generator", "architecture", "mixture"} - set(parts)
    text = dump_json(manifest.model_dump(mode="json", exclude=absent))
    documents = (len(data) for name, data in members.items() if name.endswith(".json"))
    if max(len(text), *documents) > MAX_JSON_BYTES:
        raise InvalidSampler(f"a document of the sampler exceeds {MAX_JSON_BYTES} bytes")
    return pack({"manifest.json": text} | members)


def parse_sampler(data: bytes) -> AnySampler:
    """Return the sampler that ``data``, the bytes of a sampler file, holds."""
    members = unpack(data)
    manifest = read_manifest(members)
    check_sums(members, manifest.members)
    certificate = parse_json(members["certificate.json"], name="certificate.json")
    if not isinstance(certificate, dict):
        raise InvalidSampler("certificate.json is not a mapping")
    common: dict[str, Any] = {
        "schema": _read_schema(members["schema.json"]),
        "total": manifest.total,
        "certificate": certificate,
        "plan_digest": manifest.plan_digest,
        "within": {
            attribute: _array(members, manifest, f"within-{i}.npy")
            for i, attribute in enumerate(manifest.grouping)
        },
        "spreads": _spreads(members, manifest),
    }
    try:
        common["grouping"] = Grouping(groups=manifest.grouping)
        return _build(members, manifest, common)
    except (InvalidPlan, CapExceeded) as err:
        raise InvalidSampler(f"the sampler does not fit its schema: {err}") from err


def _spreads(members: Mapping[str, memoryview], manifest: Manifest) -> dict[str, Spread]:
    """Return how values lie inside the codes of numbers."""
    if not manifest.spreads:
        return {}
    data = parse_json(members["values.json"], name="values.json")
    if not isinstance(data, dict) or tuple(data) != manifest.spreads:
        raise InvalidSampler("values.json is not of the numbers that the manifest names")
    try:
        return {name: parse_spread(spread) for name, spread in data.items()}
    except InvalidSchema as err:
        raise InvalidSampler(f"values.json: {err.message}") from err


def _build(
    members: Mapping[str, memoryview], manifest: Manifest, common: dict[str, Any]
) -> AnySampler:
    """Return the kind of sampler that the manifest speaks of."""
    if manifest.architecture is not None:
        layout = layout_of(common["schema"], grouping=common["grouping"])
        weights = parse_weights(
            members["weights.safetensors"], architecture=manifest.architecture, layout=layout
        )
        return AutoregressiveSampler(architecture=manifest.architecture, weights=weights, **common)
    if manifest.generator is not None:
        network = parse_network(
            members["weights.safetensors"],
            widths=manifest.generator.widths,
            latents=manifest.generator.latents,
        )
        shares = _array(members, manifest, "label.npy")
        label = manifest.generator.label
        return NeuralSampler(label=label, label_shares=shares, network=network, **common)
    components = 0 if manifest.mixture is None else manifest.mixture.components
    if components and manifest.version != OF_TREES:
        return _build_mixture(members, manifest, common)
    conditionals = tuple(
        Conditional(
            attribute=node.attribute,
            given=node.given,
            ends=_array(members, manifest, f"shares-{i}.npy"),
        )
        for i, node in enumerate(manifest.conditionals)
    )
    return Sampler(conditionals=conditionals, components=components, **common)


def _build_mixture(
    members: Mapping[str, memoryview], manifest: Manifest, common: dict[str, Any]
) -> TableSampler:
    """Return the mixture whose tables lie side by side in one array."""
    sizes = common["grouping"].domain(common["schema"].domain).shape
    weights, tables = (_array(members, manifest, n) for n in ("weights.npy", "tables.npy"))
    components = manifest.mixture.components if manifest.mixture else 0
    if weights.shape != (components,) or tables.shape != (components, sum(sizes)):
        raise InvalidSampler("the tables of the mixture do not fit its schema")
    parts = np.split(tables, np.cumsum(sizes)[:-1], axis=1)
    lines = _lines(members) if manifest.version == OF_LINES else None
    return TableSampler(weights=weights, tables=tuple(parts), lines=lines, **common)


def _lines(members: Mapping[str, memoryview]) -> tuple[str, ...]:
    """Return the text of each component; that each is one is checked where the sampler is made."""
    data = parse_json(members["lines.json"], name="lines.json")
    if not isinstance(data, dict) or not isinstance(data.get("lines"), list):
        raise InvalidSampler("lines.json holds no lines")
    return tuple(data["lines"])


def _network_parts(sampler: AnySampler) -> dict[str, Any]:
    """Return what the manifest says of a network or a mixture; nothing for a graphical model."""
    if isinstance(sampler, Sampler) and sampler.components:
        return {"version": OF_TREES, "mixture": StoredMixture(components=sampler.components)}
    if isinstance(sampler, TableSampler):
        mixture = StoredMixture(components=len(sampler.weights))
        version = OF_MIXTURES if sampler.lines is None else OF_LINES
        return {"version": version, "mixture": mixture}
    if isinstance(sampler, AutoregressiveSampler):
        return {"architecture": sampler.architecture}
    if isinstance(sampler, NeuralSampler):
        network = sampler.network
        shape = network.latents.shape
        return {
            "generator": OneShotNetwork(
                label=sampler.label, latents=shape, widths=widths_of(network)
            )
        }
    return {}


def _dump_weights(sampler: NeuralSampler | AutoregressiveSampler) -> bytes:
    """Return the weights of a network."""
    if isinstance(sampler, NeuralSampler):
        return dump_network(sampler.network)
    return dump_weights(sampler.weights, architecture=sampler.architecture, layout=sampler.layout)


def _arrays(sampler: AnySampler) -> dict[str, np.ndarray]:
    """Return the arrays of a sampler under their member names."""
    shares: dict[str, np.ndarray] = {}
    if isinstance(sampler, NeuralSampler):
        shares = {"label.npy": sampler.label_shares}
    elif isinstance(sampler, TableSampler):
        shares = {"weights.npy": sampler.weights, "tables.npy": np.hstack(sampler.tables)}
    elif isinstance(sampler, Sampler):
        shares = {f"shares-{i}.npy": c.ends for i, c in enumerate(sampler.conditionals)}
    names = list(sampler.grouping.groups)
    return shares | {f"within-{i}.npy": sampler.within[a] for i, a in enumerate(names)}


def _describe(data: bytes, shape: tuple[int, ...] | None) -> Member:
    if shape is None:
        return Member(**sums_of(data))
    return Member(**sums_of(data), dtype=_DTYPE, shape=shape)


def read_archive(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most ``max_bytes``."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise InvalidSampler("is not a file")
        with path.open("rb") as handle:
            data = b"" if facts.st_size > max_bytes else handle.read(max_bytes + 1)
    except OSError as err:
        raise InvalidSampler(f"cannot be read: {err.strerror}") from err
    if max(facts.st_size, len(data)) > max_bytes:
        raise InvalidSampler(
            f"is larger than {max_bytes} bytes", hint="raise the limit if you trust it"
        )
    return data


def _read_schema(data: memoryview) -> Schema:
    try:
        return parse_schema(parse_json(data, name="schema.json"), origin="schema.json")
    except InvalidSchema as err:
        raise InvalidSampler(err.message, hint=err.hint) from err


def _array(members: Mapping[str, memoryview], manifest: Manifest, name: str) -> np.ndarray:
    """Return an array, after its header was compared with the one that its shape gives."""
    shape, data = manifest.members[name].shape, members[name]
    if shape is None:
        raise InvalidSampler(f"{name} has no shape")
    header = npy_header(shape)
    if len(data) != len(header) + 4 * math.prod(shape) or data[: len(header)] != header:
        raise InvalidSampler(f"{name} does not have the dtype and shape that the manifest says")
    return np.frombuffer(data[len(header) :], dtype=_DTYPE).astype(np.uint32).reshape(shape)


def npy_header(shape: tuple[int, ...], *, dtype: str = _DTYPE) -> bytes:
    """Return the header of an NPY 1.0 file, spelled in one way."""
    facts = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}"
    length = len(_NPY_MAGIC) + 2 + len(facts) + 1
    text = facts + " " * (-length % _NPY_ALIGNMENT) + "\n"
    return _NPY_MAGIC + len(text).to_bytes(2, "little") + text.encode()
