"""A ZIP file of a fixed form: stored members, no dates, no extras, one spelling for one content.

Anything that opens ZIP files opens these; :func:`unpack` opens nothing else.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping

from silosynth.common.errors import InvalidSampler

LARGEST_BYTES = 2**31
MOST_MEMBERS = 2**16 - 2

_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_PLAIN = (20, 0, 0, 0, 0x21)
"""ZIP version 2.0, no flags, not compressed, midnight, 1980-01-01."""

_NAME = re.compile(r"[a-z]+(-[0-9]+)?\.(json|npy|safetensors)")
_LONGEST_NAME = 64


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of ``members``, in their order.

    Guarantees: the same members give the same bytes; ``unpack`` gives the members back.
    """
    if len(members) > MOST_MEMBERS:
        raise InvalidSampler(f"{len(members)} members are more than a file can hold")
    parts, directory, offset = [], [], 0
    for name, data in members.items():
        if not _NAME.fullmatch(name):
            raise InvalidSampler(f"{name!r} cannot be the name of a member")
        if len(data) + offset > LARGEST_BYTES:
            raise InvalidSampler("the sampler is larger than the 2 GiB that a file can hold")
        local = _local_header(name, data)
        parts += [local, data]
        directory.append(_central_header(name, data, offset=offset))
        offset += len(local) + len(data)
    return b"".join([*parts, _closing(directory, offset=offset)])


def unpack(archive: bytes) -> dict[str, memoryview]:
    """Return the members of an archive made by :func:`pack`, without copying them.

    Guarantees: accepts exactly what ``pack`` returns, so one changed, added or missing byte is
    refused with InvalidSampler. Nothing is decompressed, and no name reaches a file system.
    """
    view, members = memoryview(archive), dict[str, memoryview]()
    directory: list[bytes] = []
    offset = 0
    while archive[offset : offset + 4] == _LOCAL_MAGIC:
        name, start, end = _find_member(archive, offset)
        if name in members:
            raise InvalidSampler(f"member {name!r} stands twice")
        data = view[start:end]
        if archive[offset:start] != _local_header(name, data):
            raise InvalidSampler(f"member {name!r} is damaged")
        members[name] = data
        directory.append(_central_header(name, data, offset=offset))
        offset = end
    if archive[offset:] != _closing(directory, offset=offset):
        raise InvalidSampler("the file is truncated, or is no sampler file")
    return members


def _find_member(archive: bytes, offset: int) -> tuple[str, int, int]:
    """Return the name of the member at ``offset``, and where its data starts and ends."""
    if offset + _LOCAL.size > len(archive):
        raise InvalidSampler("the file is truncated")
    fields = _LOCAL.unpack_from(archive, offset)
    size, name_length = fields[8], fields[9]
    start = offset + _LOCAL.size + name_length
    if name_length > _LONGEST_NAME or start + size > len(archive):
        raise InvalidSampler("the file is truncated, or a member has an impossible size")
    name = archive[offset + _LOCAL.size : start].decode("ascii", errors="replace")
    if not _NAME.fullmatch(name):
        raise InvalidSampler("a member has a name that no sampler file has")
    return name, start, start + size


def _local_header(name: str, data: bytes | memoryview) -> bytes:
    """Return what stands before the data of a member."""
    fixed = _LOCAL.pack(_LOCAL_MAGIC, *_PLAIN, zlib.crc32(data), len(data), len(data), len(name), 0)
    return fixed + name.encode()


def _central_header(name: str, data: bytes | memoryview, *, offset: int) -> bytes:
    """Return the entry of a member in the list at the end."""
    sizes = (zlib.crc32(data), len(data), len(data), len(name), 0)
    fixed = _CENTRAL.pack(_CENTRAL_MAGIC, _PLAIN[0], *_PLAIN, *sizes, 0, 0, 0, 0, offset)
    return fixed + name.encode()


def _closing(directory: list[bytes], *, offset: int) -> bytes:
    """Return the list of members and the end record."""
    index, count = b"".join(directory), len(directory)
    return index + _END.pack(_END_MAGIC, 0, 0, count, count, len(index), offset, 0)
