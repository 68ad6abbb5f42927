"""At most c rows of each person, chosen by a secret hash, so that sensitivity c follows.

Which rows of a person are kept depends on that person's rows and on the secret, and on nothing of
anybody else; so a person who comes or goes moves every marginal by at most c. Rows of the same
content are interchangeable, so the order of the table does not matter, and a retry keeps the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from silosynth.client.source.spec import Bounding
from silosynth.common.codec import flatten, is_text
from silosynth.common.errors import InvalidArgument, InvalidTable, OutputExists
from silosynth.common.files import create_file

SECRET_BYTES = 32
NAMELESS = np.iinfo(np.int32).max
_BLOCK = 16


def rank_rows(
    persons: pa.ChunkedArray | pa.Array, codes: Sequence[np.ndarray], *, secret: bytes
) -> np.ndarray:
    """Return (rows,) int32, the place of each row among its person's rows, from 0.

    Guarantees: the rows of rank below c are at most c of each person; they depend, as a multiset
    of codes, on this person's rows and the secret alone. A row without a person (null, NaN) gets
    :data:`NAMELESS` and is never kept: it may be anybody's, and one more or less such row may not
    displace another person's.

    The order is that of a keyed pseudo-random function over person and codes; of equal rows the
    second counts as another row, and so on. Time: about 1 s for 1e6 rows.
    """
    _check_secret(secret)
    person, names = number_persons(persons)
    if any(len(column) != len(person) for column in codes):
        raise InvalidTable("the person column and the codes differ in length")
    ranks = np.zeros(len(person), dtype=np.int32)
    ranks[person < 0] = NAMELESS
    named = np.flatnonzero(person >= 0)
    several = np.bincount(person[named], minlength=len(names)) > 1
    rows = named[several[person[named]]]
    if not len(rows):
        return ranks
    owners = person[rows]
    blocks = _blocks(owners, names, several, [c[rows] for c in codes], secret=secret)
    tags = authenticate(blocks, secret=secret)
    order = _sort(owners, tags)
    places = np.empty(len(rows), dtype=np.int64)
    places[order] = count_up(owners[order], tags[order])
    again = np.flatnonzero(places)
    if len(again):
        last = np.zeros((len(again), _BLOCK), dtype=np.uint8)
        last[:, :8] = places[again].astype("<u8").view(np.uint8).reshape(-1, 8)
        tags[again] = authenticate([*(b[again] for b in blocks), last], secret=secret)
        order = _sort(owners, tags)
    ranks[rows[order]] = count_up(owners[order])
    return ranks


def bounding(secret: bytes, *, tell_operator: Callable[[str], None] = lambda _: None) -> Bounding:
    """Return how a source bounds rows under a secret; SQL servers see a key derived from it."""

    def rank(persons: pa.ChunkedArray, codes: Sequence[np.ndarray]) -> np.ndarray:
        ranks = rank_rows(persons, codes, secret=secret)
        nameless = int((ranks == NAMELESS).sum())
        if nameless:
            tell_operator(f"{nameless} rows name no person and are not counted")
        return ranks

    return Bounding(rank=rank, key=derive(secret, b"sql"))


def make_secret(path: Path) -> None:
    """Write a new secret, readable by its owner alone; raise OutputExists when one is there."""
    try:
        create_file(path, os.urandom(SECRET_BYTES))
    except FileExistsError:
        raise OutputExists(f"{path} exists", hint="a secret is never written over") from None


def load_secret(path: Path) -> bytes:
    """Read a secret; raise InvalidArgument when it is missing, open to others or not 32 bytes."""
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidArgument(
                f"{path} can be read by other users", hint=f"run 'chmod 600 {path}'"
            )
        secret = path.read_bytes()
    except OSError as err:
        raise InvalidArgument(f"cannot read the secret {path}: {err.strerror}") from None
    _check_secret(secret)
    return secret


def _check_secret(secret: bytes) -> None:
    """Raise InvalidArgument unless the secret has its 32 bytes."""
    if len(secret) != SECRET_BYTES:
        raise InvalidArgument("the secret that chooses rows must have 32 bytes")


def number_persons(persons: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Return (rows,) int64, each row's person from 0 or -1 for none, and the persons' names."""
    refuse_spans(persons.type)
    try:
        column = flatten(persons)
    except pa.ArrowNotImplementedError:
        # By the type alone: no value can make it fail.
        raise _not_plain() from None
    if pt.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column.cast(pa.float64()))
        column = pc.add(column, 0.0)  # -0.0 and 0.0 are one number, spelled as two
    if pt.is_nested(column.type):
        raise _not_plain()
    if not pt.is_dictionary(column.type):
        column = column.dictionary_encode()
    names, indices = column.dictionary, column.indices
    try:
        # By the type alone: not just when somebody has two rows.
        spell(names[:0])
    except pa.ArrowNotImplementedError:
        raise _not_plain() from None
    nameless = pc.is_null(column, nan_is_null=False).to_numpy(zero_copy_only=False)
    person = pc.fill_null(indices.cast(pa.int64()), 0).to_numpy().copy()
    first = pc.index_in(names, value_set=pc.unique(names)).to_numpy(zero_copy_only=False)
    if len(first):
        person = first.astype(np.int64)[person]
    person[nameless] = -1
    return person, pc.unique(names)


def refuse_spans(kind: pa.DataType) -> None:
    """Raise InvalidTable for intervals, also in dictionaries, runs and extensions.

    As spans of time one of a month and one of thirty days would be one person.
    """
    while pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        refuse_spans(kind.storage_type)
    elif pt.is_interval(kind):
        raise _not_plain()


def _not_plain() -> InvalidTable:
    return InvalidTable("the person column holds no plain values", hint="name a plain column")


def _blocks(
    person: np.ndarray,
    names: pa.Array,
    several: np.ndarray,
    codes: Sequence[np.ndarray],
    *,
    secret: bytes,
) -> list[np.ndarray]:
    """Return what is hashed of each row, in (rows, 16) uint8 blocks: person, then codes."""
    digests = np.zeros((len(names), _BLOCK), dtype=np.uint8)
    wanted = np.flatnonzero(several)
    spelled = spell(pc.take(names, pa.array(wanted))).to_pylist()
    key = derive(secret, b"person")
    joined = b"".join(
        hashlib.blake2b(name, key=key, digest_size=_BLOCK).digest() for name in spelled
    )
    digests[wanted] = np.frombuffer(joined, dtype=np.uint8).reshape(-1, _BLOCK)
    packed = [c.astype("<u2").view(np.uint8).reshape(-1, 2) for c in codes]
    flat = np.hstack(packed) if packed else np.zeros((len(person), 0), dtype=np.uint8)
    padding = np.zeros((len(person), -flat.shape[1] % _BLOCK), dtype=np.uint8)
    flat = np.hstack((flat, padding))
    pieces = [flat[:, i : i + _BLOCK] for i in range(0, flat.shape[1], _BLOCK)]
    return [digests[person], *pieces]


def spell(names: pa.Array) -> pa.Array:
    """Return names as bytes; those of text are not decoded, so that none can make it fail."""
    if pt.is_fixed_size_binary(names.type):
        names = names.cast(pa.binary())
    elif not (is_text(names.type) or pt.is_binary(names.type) or pt.is_large_binary(names.type)):
        names = names.cast(pa.large_string())
    return names.cast(pa.large_binary())


def authenticate(blocks: Sequence[np.ndarray], *, secret: bytes) -> np.ndarray:
    """Return (rows, 2) uint64: the CBC-MAC of each row's blocks, all rows at once.

    Every row has the same number of blocks and the key is of its own for that number, so that
    this is a pseudo-random function (Bellare, Kilian, Rogaway 2000, Theorem 3.1).
    """
    key = derive(secret, b"row-%d" % len(blocks))
    state = np.zeros((len(blocks[0]), _BLOCK), dtype=np.uint8)
    # ECB on purpose: each block is one row's own state, chained row by row below.
    encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    for block in blocks:
        mixed = np.ascontiguousarray(state ^ block)
        state = np.frombuffer(encrypt.update(mixed.data), dtype=np.uint8).reshape(-1, _BLOCK)
    return state.view("<u8").astype(np.uint64)


def _sort(person: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Return the order of rows by person, then by their tag: whatever order the rows come in.

    The first bits of a tag nearly always decide; how many there are hangs on how many persons.
    """
    bits = 64 - max(1, int(person.max()).bit_length())
    keys = (person.astype(np.uint64) << np.uint64(bits)) | (tags[:, 0] >> np.uint64(64 - bits))
    order = np.argsort(keys, kind="stable")
    alike = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    if (tags[order[alike]] != tags[order[alike + 1]]).any():
        order = np.lexsort((tags[:, 1], tags[:, 0], person))
    return order


def count_up(*groups: np.ndarray) -> np.ndarray:
    """Return (rows,) int64, the place of each row in its run of equal groups, from 0."""
    changes = np.ones(len(groups[0]), dtype=bool)
    changes[1:] = False
    for group in groups:
        differs = group[1:] != group[:-1]
        changes[1:] |= differs if differs.ndim == 1 else differs.any(axis=1)
    starts = np.flatnonzero(changes)
    lengths = np.diff(np.r_[starts, len(changes)])
    return np.arange(len(changes)) - np.repeat(starts, lengths)


def derive(secret: bytes, purpose: bytes) -> bytes:
    """Return a key of 32 bytes for one purpose."""
    return hashlib.blake2b(purpose, key=secret, digest_size=32, person=b"silosynth-rows").digest()
