"""Text attributes, read from the bytes of an object's header."""

from collections.abc import Iterator

import numpy as np

from ...errors import UnsafeFile
from .hdf5_storage import Heap
from .safe_hdf5 import REFERENCE, Bytes, Handle

MAX_UNIT_BYTES = 64
MAX_HEADER_BLOCKS, MAX_HEADER_BYTES = 64, 2**20  # of one object; each block at most so long
CONTINUATION, ATTRIBUTE = 0x10, 0x0C  # types of messages in the header of an object


def _header_messages(source: Bytes, address: int, item: str) -> Iterator[tuple[int, bytes]]:
    """Yield (type, bytes) of the messages in an object's header (File Format Specification 3.0, IV.A.1)."""
    head = source.read(address, 16, item)
    if head[:4] == b"OHDR":
        start = address + 6 + (16 if head[5] & 0x20 else 0) + (4 if head[5] & 0x10 else 0)
        width, type_bytes, head_bytes, frame = 1 << (head[5] & 3), 1, 6 if head[5] & 4 else 4, 4
        blocks = [(start + width, int.from_bytes(source.read(start, width, item), "little"))]
    else:
        type_bytes, head_bytes, frame = 2, 8, 0
        blocks = [(address + 16, int.from_bytes(head[8:12], "little"))]
    for place, size in blocks:  # which grows on the way
        if size > MAX_HEADER_BYTES:
            raise UnsafeFile(source.path, item, f"lies in a header of {size} bytes; allowed: {MAX_HEADER_BYTES}")
        block, place = source.read(place, size, item), 0
        while place + head_bytes <= size:
            kind = int.from_bytes(block[place : place + type_bytes], "little")
            length = int.from_bytes(block[place + type_bytes : place + type_bytes + 2], "little")
            body = block[place + head_bytes : place + head_bytes + length]
            place += head_bytes + length
            if kind == CONTINUATION and len(body) >= 16 and len(blocks) < MAX_HEADER_BLOCKS:
                offset, length = int.from_bytes(body[:8], "little"), int.from_bytes(body[8:16], "little")
                blocks.append((offset + frame, max(length - 2 * frame, 0)))
            yield kind, body


def _attribute_data(source: Bytes, address: int, key: bytes, item: str) -> bytes:
    """Return the bytes of an attribute as they are stored, b"" where it does not lie in the object's header."""
    for kind, body in _header_messages(source, address, item):
        if kind != ATTRIBUTE or len(body) < 9:
            continue
        sizes = [int.from_bytes(body[place : place + 2], "little") for place in (2, 4, 6)]
        start = 9 if body[0] == 3 else 8
        if body[start : start + sizes[0]].rstrip(b"\0") == key:
            return body[start + sum(size + (-size % 8 if body[0] == 1 else 0) for size in sizes) :]
    return b""


def text_of_attribute(source: Bytes, heap: Heap, handle: Handle, key: bytes, item: str) -> str | None:
    """Return the text of an attribute, or None for what is no short text; the library converts nothing."""
    from h5py import h5a, h5o, h5t

    attribute = h5a.open(handle, key)
    kind = attribute.get_type()
    if kind.get_class() != h5t.STRING or attribute.shape not in ((), (1,)):
        return None
    data = _attribute_data(source, h5o.get_info(handle).addr, key, item)
    if kind.is_variable_str():
        if len(data) < REFERENCE.itemsize:
            return None
        length, address, index = np.frombuffer(data[: REFERENCE.itemsize], REFERENCE)[0].item()
        offset, size = heap.locate(address, index, item) if length else (0, 0)
        data = source.read(offset, min(length, size, MAX_UNIT_BYTES), item)
    else:
        data = data[: min(kind.get_size(), MAX_UNIT_BYTES)]
    return data.decode("utf-8", "replace").strip("\0 ") or None
