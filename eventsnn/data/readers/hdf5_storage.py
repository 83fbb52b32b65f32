"""The bytes of HDF5 arrays: chunks, their filters, and the heaps that hold rows of spikes."""

import zlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...aliases import Array, Integers
from ...errors import UnsafeFile
from .safe_hdf5 import DEFLATE, MAX_ARRAY_BYTES, MAX_CHUNK_BYTES, Bytes, FoundArray, read_guarded

MAX_CHUNKS = 2**16
MAX_SPIKES_PER_SAMPLE = 2**21  # 250 times the mean of SHD; sorting one such sample takes about 100 MB
SPARE_HEAP_OBJECTS = 2**16  # beyond those that the spikes need; more are not surveyed
CHECKSUM_BYTES = 4  # what fletcher32 adds to a chunk
HEAP_HEADER, OBJECT_HEADER = 16, 16  # bytes; addresses and lengths of 8 bytes


def _stored(source: Bytes, name: str, array: FoundArray) -> Array:
    """Return the elements of a dataset as they are on disk, an array of ``array.shape`` and ``array.dtype``."""
    from h5py import h5d, h5s

    if array.size == 0:
        return np.zeros(array.shape, array.dtype)
    layout = array.handle.get_create_plist().get_layout()
    if layout == h5d.CHUNKED:
        return _stored_chunks(source, name, array)
    if layout == h5d.CONTIGUOUS:
        if array.inner is not None and array.handle.get_offset() is None:
            return np.zeros(array.shape, array.dtype)
        raw = source.read(array.handle.get_offset(), array.size * array.dtype.itemsize, name)
        return np.frombuffer(raw, array.dtype).reshape(array.shape)
    if array.inner is not None:
        raise UnsafeFile(source.path, name, "keeps variable-length data in its header")
    values = np.empty(array.shape, array.dtype)
    array.handle.read(h5s.ALL, h5s.ALL, values)
    return values


def _stored_chunks(source: Bytes, name: str, array: FoundArray) -> Array:
    """Return the elements of a chunked dataset, chunk by chunk through its filters."""
    chunk = array.handle.get_create_plist().get_chunk()
    grid = tuple(-(-length // step) for length, step in zip(array.shape, chunk, strict=True))
    present = array.handle.get_num_chunks()
    if prod(grid) > MAX_CHUNKS or (array.inner is None and present != prod(grid)):
        reason = f"claims the shape {array.shape} in {prod(grid)} chunks and holds {present} (allowed: {MAX_CHUNKS})"
        raise UnsafeFile(source.path, name, reason)
    values = np.zeros(array.shape, array.dtype)
    for cell in np.ndindex(grid):
        corner = tuple(index * step for index, step in zip(cell, chunk, strict=True))
        info = array.handle.get_chunk_info_by_coord(corner)
        if info.byte_offset is None and array.inner is not None:
            continue
        if info.size > 2 * MAX_CHUNK_BYTES:
            raise UnsafeFile(source.path, name, f"has a chunk of {info.size} bytes; allowed: {2 * MAX_CHUNK_BYTES}")
        raw = source.read(-1 if info.byte_offset is None else info.byte_offset, info.size, name)
        block = _decode(source.path, name, array, raw, info.filter_mask).reshape(chunk)
        place = tuple(slice(start, start + step) for start, step in zip(corner, chunk, strict=True))
        target = values[place]
        target[...] = block[tuple(slice(0, length) for length in target.shape)]
    return values


def _decode(path: str, name: str, array: FoundArray, raw: bytes, mask: int) -> Array:
    """Return the elements of one stored chunk; ``mask`` has a bit set for each filter that was left out."""
    chunk = array.handle.get_create_plist().get_chunk()
    size = prod(chunk) * array.dtype.itemsize
    used = [number for place, number in enumerate(array.filters) if not mask >> place & 1]
    if DEFLATE in used:
        inflater = zlib.decompressobj()
        read_guarded(path, name, lambda: inflater.decompress(raw, size + CHECKSUM_BYTES))
        if not inflater.eof:
            raise UnsafeFile(path, name, f"has a gzip chunk that is damaged or longer than its {size} bytes")
    if used:
        raw = read_guarded(path, name, lambda: _undo_filters(raw, chunk, array.dtype.itemsize, used))
    if len(raw) != size:
        raise UnsafeFile(path, name, f"has a chunk of {len(raw)} bytes in place of {size}")
    return np.frombuffer(raw, array.dtype)


def _undo_filters(raw: bytes, chunk: tuple[int, ...], itemsize: int, filters: Sequence[int]) -> bytes:
    """Let the HDF5 library undo ``filters`` on one chunk of opaque elements in a file that exists in memory only."""
    from h5py import File, h5d, h5p, h5s, h5t

    kind = h5t.create(h5t.OPAQUE, itemsize)
    plan = h5p.create(h5p.DATASET_CREATE)
    plan.set_chunk(chunk)
    for number in filters:
        plan.set_filter(number, 0, (1,) if number == DEFLATE else ())
    with File("chunk", "w", driver="core", backing_store=False) as scratch:
        handle = h5d.create(scratch.id, b"chunk", kind, h5s.create_simple(chunk), plan)
        handle.write_direct_chunk((0,) * len(chunk), raw)
        values = np.empty(chunk, f"V{itemsize}")
        handle.read(h5s.ALL, h5s.ALL, values, kind)
    return values.tobytes()


class Heap:
    """The global heap collections of a file: finds the bytes that a variable-length element refers to."""

    def __init__(self, source: Bytes) -> None:
        self.source = source
        self.collections: dict[int, Integers] = {}
        self.budget = SPARE_HEAP_OBJECTS

    def locate(self, address: int, index: int, item: str) -> tuple[int, int]:
        """Return (offset, size) in the file of object ``index`` of the collection at ``address``."""
        if address not in self.collections:
            self.collections[address] = self._survey(address, item)
        indices, offsets, sizes = self.collections[address]
        found = np.flatnonzero(indices == index)
        if found.size != 1 or index == 0:
            reason = f"refers to object {index} of the heap at byte {address}, which has {found.size} of them"
            raise UnsafeFile(self.source.path, item, reason)
        return int(offsets[found[0]]), int(sizes[found[0]])

    def _survey(self, address: int, item: str) -> Integers:
        head = self.source.read(address, HEAP_HEADER, item)
        if head[:5] != b"GCOL\x01":
            raise UnsafeFile(self.source.path, item, f"refers to byte {address}, where no global heap is")
        place, end = address + HEAP_HEADER, address + int.from_bytes(head[8:16], "little")
        self.source.read(end, 0, item)
        table = []
        while end - place >= OBJECT_HEADER:
            head = self.source.read(place, OBJECT_HEADER, item)
            index, size = int.from_bytes(head[:2], "little"), int.from_bytes(head[8:16], "little")
            if index == 0:  # the free space, always the last object
                break
            place += OBJECT_HEADER
            if size > end - place:
                reason = f"object {index} of the heap at byte {address} overruns its collection"
                raise UnsafeFile(self.source.path, item, reason)
            table.append((index, place, size))
            place += size + -size % 8
            self.budget -= 1
            if self.budget < 0:
                raise UnsafeFile(self.source.path, item, "the heaps hold far more objects than the file refers to")
        return np.array(table, dtype=np.int64).reshape(-1, 3).T


class Rows:
    """A dataset of variable-length rows: the table of references, and each row on demand."""

    def __init__(self, source: Bytes, name: str, array: FoundArray, inner: np.dtype[Any], heap: Heap) -> None:
        self.source, self.name, self.inner, self.heap = source, name, inner, heap
        self.table = _stored(source, name, array).reshape(-1)
        heap.budget += 2 * self.table.size
        self.lengths = self.table["length"].astype(np.int64)
        claimed = int(self.lengths.sum()) * self.inner.itemsize
        if claimed > source.size:
            reason = f"claims {self.lengths.sum()} values, {claimed} bytes, in a file of {source.size} bytes"
            raise UnsafeFile(source.path, name, reason)
        if self.lengths.size and self.lengths.max() > MAX_SPIKES_PER_SAMPLE:
            sample = int(self.lengths.argmax())
            reason = f"claims {self.lengths[sample]} values; allowed: {MAX_SPIKES_PER_SAMPLE}"
            raise UnsafeFile(source.path, f"{name}[sample {sample}]", reason)

    def __getitem__(self, row: int | np.integer) -> Array:
        length, address, index = self.table[row].item()
        if length == 0:
            return np.zeros(0, self.inner)
        item = f"{self.name}[sample {row}]"
        offset, size = self.heap.locate(address, index, item)
        if size != length * self.inner.itemsize:
            raise UnsafeFile(self.source.path, item, f"claims {length} values and refers to {size} bytes")
        return np.frombuffer(self.source.read(offset, size, item), self.inner)


def plain(source: Bytes, name: str, array: FoundArray, heap: Heap) -> Array:
    """Return a plain array, or one of strings (as str), native byte order."""
    if array.inner is None:
        values = _stored(source, name, array)
        if values.dtype == bool and values.view(np.uint8).max(initial=0) > 1:
            raise UnsafeFile(source.path, name, "has truth values that are neither 0 nor 1")
        values = values.astype(values.dtype.newbyteorder("="))
    elif array.inner.kind == "S":
        rows = Rows(source, name, array, array.inner, heap)
        if rows.lengths.max(initial=0) * array.size > MAX_ARRAY_BYTES:
            raise UnsafeFile(source.path, name, f"has {array.size} strings of up to {rows.lengths.max()} bytes")
        values = np.array([rows[row].tobytes() for row in range(array.size)], dtype=bytes).reshape(array.shape)
    else:
        raise UnsafeFile(source.path, name, "has rows of variable length; only spikes/times and spikes/units may")
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values
