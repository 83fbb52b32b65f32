"""Spike files in SHD's HDF5 layout, read with care and written: spikes/times, spikes/units, labels, extra/...

A file is not trusted. The HDF5 library is asked for the structure of what is used, which is checked before a value is
read, and all else in the file is left alone; the spikes are then taken from the file's global heaps by the code below,
because the library's own conversion of variable-length data believes the lengths that a file claims. No link is
followed except hard links, so no other file is opened. The formats of the superblock and the global heap: HDF5 File
Format Specification 3.0, II.A and III.E.
"""

import io
import os
import stat
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from ..arrays import exact_times, is_number, is_whole
from ..errors import InvalidInput, UnsafeFile
from ..spikes import SpikeBatch, chosen_samples
from ..structured import MILLISECONDS, milliseconds_per
from ..writing import write_file
from .dataset import Dataset
from .packed import PackedSpikes

__all__ = ["SpikeFile", "describe", "read", "write"]

NEEDED = ("spikes/times", "spikes/units", "labels")
USED = (*NEEDED, "extra/speaker", "extra/keys")
# The layout has seconds. Later spikes than this are taken for those of another unit, unless it was given: words take
# about one second, gestures some six; ten of the units of a file in ms are soon over.
LONGEST_IN_SECONDS = 20.0
MAX_UNITS, MAX_CLASSES = 2**22, 2**16  # where nothing but the largest says how many there are
SAY_THE_UNIT = 'Give time_unit="ms" or "us", or time_unit="s" if they are seconds.'
MAX_IMAGE_BYTES = 2**30  # of a file that somebody else opened
MAX_OBJECTS = 4096  # groups and datasets that are listed of one file; SHD has 10
MAX_DEPTH = 8
MAX_CHUNKS = 2**16
MAX_ELEMENTS = 2**20  # of one dataset: samples
MAX_DIMENSIONS = 4
MAX_SPIKES_PER_SAMPLE = 2**21  # 250 times the mean of SHD; sorting one such sample takes about 100 MB
MAX_ARRAY_BYTES = 2**24  # one dataset, a row of variable length counting 16 bytes
MAX_EXTRA_BYTES = 2**26  # all of extra/ as it is stored
MAX_CHUNK_BYTES = 2**24
DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000  # filter numbers of the HDF Group's registry
FILTERS = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
SPARE_HEAP_OBJECTS = 2**16  # beyond those that the spikes need; more are not surveyed
CHECKSUM_BYTES = 4  # what fletcher32 adds to a chunk
SIGNATURE = b"\x89HDF\r\n\x1a\n"
PACKED = {"xz": b"\xfd7zXZ\x00", "gzip": b"\x1f\x8b", "zip": b"PK\x03\x04"}
REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])  # variable-length element on disk
HEAP_HEADER, OBJECT_HEADER = 16, 16  # bytes; addresses and lengths of 8 bytes
HALF_INFINITY = 0x7C00  # bits of a float16; below it they grow with the value, above are NaN and negative numbers
SECONDS = MILLISECONDS["s"]
UNIT_ATTRIBUTES = ("time_unit", "units", "unit")  # of spikes/times, whose text names the unit; write makes the first
WORDS = {
    "s": ("second", "seconds", "sec"),
    "ms": ("millisecond", "milliseconds"),
    "us": ("microsecond", "microseconds"),
}
WORDS |= {"ns": ("nanosecond", "nanoseconds")}
UNIT_OF_TEXT = {text: unit for unit, words in WORDS.items() for text in (unit, *words)}
MAX_UNIT_BYTES = 64
MAX_HEADER_BLOCKS, MAX_HEADER_BYTES = 64, 2**20  # of one object; each block at most so long
CONTINUATION, ATTRIBUTE = 0x10, 0x0C  # types of messages in the header of an object


def _read_guarded(path, item, action, *arguments):
    """Run ``action(*arguments)`` and turn what the HDF5 library raises on a damaged file into UnsafeFile."""
    try:
        return action(*arguments)
    except (UnsafeFile, InvalidInput, MemoryError):
        raise
    except Exception as error:
        if "file close degree" in str(error):
            raise UnsafeFile(path, item, "is open elsewhere in this process: close it there first") from None
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsafeFile(path, item, f"cannot be read as HDF5, damaged or truncated ({first_line})") from None


class _Bytes:
    """The bytes of a spike file, on disk or in memory, each read checked against the size."""

    def __init__(self, path, image=None):
        if image is None and hasattr(path, "read"):
            path, image = _read_open_file(path)
        elif not isinstance(path, (str, bytes, os.PathLike)):
            raise InvalidInput("path", None, path, "a path, or a file opened in binary mode")
        self.path, self.image = os.fsdecode(path), image
        if image is not None:
            self.file, self.size = io.BytesIO(image), len(image)
            return
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its writer
                raise InvalidInput("path", None, self.path, "a regular file")
            self.file = open(path, "rb", buffering=0)
        except OSError as error:
            raise InvalidInput("path", None, self.path, f"a readable HDF5 file ({error.strerror})") from None
        except ValueError as error:  # a zero byte
            raise InvalidInput("path", None, self.path, f"the path of a file ({error})") from None
        self.size = status.st_size

    def close(self):
        self.file.close()

    def read(self, offset, size, item):
        """Return exactly ``size`` bytes from ``offset``, or raise UnsafeFile naming ``item``."""
        if self.file.closed:
            raise InvalidInput("file", None, self.path, "a SpikeFile that has not been closed")
        if not 0 <= offset <= offset + size <= self.size:
            raise UnsafeFile(self.path, item, f"points to byte {offset + size} of a file of {self.size} bytes")
        self.file.seek(offset)
        data = self.file.read(size)
        while len(data) < size:
            part = self.file.read(size - len(data))
            if not part:
                raise UnsafeFile(self.path, item, "the file became shorter while it was read")
            data += part
        return data

    def check_superblock(self):
        """Refuse what is no HDF5 file, or one whose addresses are not plain 8-byte offsets from byte 0."""
        head = self.read(0, min(self.size, 64), "superblock").ljust(64, b"\0")
        if packed := next((name for name, magic in PACKED.items() if head.startswith(magic)), None):
            remedy = f"It is packed with {packed}: unpack it first."
            if str(self.path).endswith(".npz"):
                remedy = "This one is NumPy's: eventsnn.data.load_braille reads some of them."
            raise InvalidInput("path", None, self.path, "an HDF5 file", remedy)
        if not head.startswith(SIGNATURE):
            raise UnsafeFile(
                self.path,
                "superblock",
                "is missing: this is no HDF5 file (or a user block precedes it), as spikes in SHD's layout are",
            )
        version = head[8]
        places = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
        if version not in places:
            raise UnsafeFile(self.path, "superblock", f"has version {version}; known: 0 to 3")
        sizes, base = places[version]
        if head[sizes : sizes + 2] != b"\x08\x08" or any(head[base : base + 8]):
            raise UnsafeFile(self.path, "superblock", "has addresses that are not 8 bytes from the start of the file")


def _read_open_file(file):
    """Return (name, bytes) of a file object, from its beginning, wherever it stands."""
    name = str(getattr(file, "name", type(file).__name__))
    remedy = 'Write open(path, "rb").'
    if isinstance(file, io.TextIOBase):  # which would first take the bytes for characters
        raise InvalidInput("path", None, name, "a path, or a file opened in binary mode", remedy)
    try:
        file.seek(0)
        image = file.read(MAX_IMAGE_BYTES + 1)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InvalidInput("path", None, name, f"a file that can be read from its beginning ({error})") from None
    if not isinstance(image, bytes):
        raise InvalidInput("path", None, name, "a path, or a file opened in binary mode", remedy)
    if len(image) > MAX_IMAGE_BYTES:
        raise InvalidInput("path", None, name, f"an open file of at most {MAX_IMAGE_BYTES} bytes", "Give its path.")
    return name, image


@contextmanager
def _opened(source):
    """Open the file (or the image in memory) with the HDF5 library, read-only, and close it with all that is in it."""
    from h5py import h5f, h5p

    if source.image is not None:
        identifier = _read_guarded(source.path, "file", lambda: h5f.open_file_image(source.image))
    else:
        name, access = os.fsencode(source.path), h5p.create(h5p.FILE_ACCESS)
        access.set_fclose_degree(h5f.CLOSE_STRONG)  # or an exception that refers to a dataset keeps the file open
        identifier = _read_guarded(source.path, "file", lambda: h5f.open(name, h5f.ACC_RDONLY, access))
    try:
        yield identifier
    finally:
        identifier.close()


class _Survey:
    """Finds what a file holds, from its root: datasets to be read, and all else with the reason why it is left alone.

    ``datasets``: {name: _Array}, those of USED, which are refused where they are not as they should be, and whatever
    plain ones extra/ holds; ``ignored``: {name: reason}. Links other than hard ones are never followed.
    """

    def __init__(self, path, root):
        self.path, self.datasets, self.ignored, self.objects = path, {}, {}, 0
        for name in USED:
            self._use(root, name)
        self._list(root, "", [])

    def _use(self, root, name):
        """Take in one dataset of the layout, where there is one."""
        from h5py import h5g, h5o

        *groups, key = name.encode().split(b"/")
        parent = root
        for group in groups:
            if self._kind(parent, group, group.decode()) != h5o.TYPE_GROUP:
                return
            parent = h5g.open(parent, group)
        if self._kind(parent, key, name) == h5o.TYPE_DATASET:
            self.datasets[name] = _check_dataset(self.path, name, parent, key)

    def _kind(self, group, key, name):
        """The type of a member of a group, None where there is none of this name."""
        from h5py import h5l, h5o

        if not group.links.exists(key):
            return None
        kinds = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link"}
        kind = group.links.get_info(key).type
        if kind != h5l.TYPE_HARD:
            found = kinds.get(kind, "a link of unknown kind")
            raise UnsafeFile(self.path, name, f"is {found}; only hard links are read")
        return h5o.get_info(group, key).type

    def _list(self, group, name, above):
        """Go through a group, and through those of the layout in it."""
        from h5py import h5o

        address = h5o.get_info(group).addr
        if address in above:
            raise UnsafeFile(self.path, name, "is a link back to a group that holds it; cyclic links are not followed")
        if len(above) >= MAX_DEPTH:
            raise UnsafeFile(self.path, name, f"lies deeper than {MAX_DEPTH} groups")
        if self.objects + group.get_num_objs() > MAX_OBJECTS:
            self.ignored[name or "/"] = f"holds more than {MAX_OBJECTS} objects, which are not listed"
            return
        self.objects += group.get_num_objs()
        for key in list(group):
            place = f"{name}/{key.decode('utf-8', 'replace')}".lstrip("/")
            try:
                _read_guarded(self.path, place, self._note, group, key, place, [*above, address])
            except UnsafeFile as error:
                self.ignored[place] = error.reason

    def _note(self, group, key, place, above):
        """Take in a dataset of extra/, look into a group of the layout, and refuse every other member."""
        from h5py import h5g, h5o

        if b"/" in key or key in (b"", b"."):  # the library would take it for a path, and walk it
            raise UnsafeFile(self.path, place, f"has a link whose name is {key!r}")
        if place in self.datasets:
            return
        kind, extra = self._kind(group, key, place), place.startswith("extra/")
        if kind not in (h5o.TYPE_GROUP, h5o.TYPE_DATASET):
            raise UnsafeFile(self.path, place, "is neither a group nor a dataset")
        if kind == h5o.TYPE_GROUP and (extra or place in ("spikes", "extra")):
            self._list(h5g.open(group, key), place, above)
        elif kind == h5o.TYPE_DATASET and extra:
            self.datasets[place] = _check_dataset(self.path, place, group, key)
        else:
            raise UnsafeFile(self.path, place, "is no part of the layout")


@dataclass
class _Array:
    """A dataset that passed the checks: its handle, shape, element type on disk and the dtype of its elements.

    ``inner`` is the dtype of the items of variable-length elements and None for plain ones; ``filters`` are numbers.
    """

    handle: object
    shape: tuple
    dtype: np.dtype
    inner: np.dtype | None
    filters: list

    @property
    def size(self):
        return prod(self.shape)


def _check_dataset(path, name, group, key):
    """Open one dataset and check storage, type, filters and size, in the order in which looking is safe."""
    from h5py import h5d

    handle = h5d.open(group, key)
    plan = handle.get_create_plist()
    # before anything asks for the shape: that alone opens the sources of a virtual dataset
    if plan.get_layout() == h5d.VIRTUAL:
        raise UnsafeFile(path, name, "is a virtual dataset, which reads other files")
    if plan.get_external_count():
        raise UnsafeFile(path, name, "has its data in an external file")
    filters = _check_filters(path, name, plan)
    dtype, inner = _check_type(path, name, handle.get_type())
    if handle.shape is None:
        raise UnsafeFile(path, name, "has no elements and no shape (a null dataset)")
    array = _Array(handle, handle.shape, dtype, inner, filters)
    _check_storage(path, name, array, plan)
    return array


def _check_filters(path, name, plan):
    """Return the numbers of the filters; refuse unknown ones and pipelines that could inflate a chunk twice."""
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    allowed = ", ".join(FILTERS.values())
    for place, number in enumerate(filters):
        if number not in FILTERS:
            raise UnsafeFile(path, name, f"uses the filter number {number}; allowed: {allowed}")
        compressed = {DEFLATE, LZF} & set(filters[:place])
        if number in filters[:place] or (compressed and number != FLETCHER32):
            reason = f"has {FILTERS[number]} after the filters {filters[:place]}; allowed: each once, one compression"
            raise UnsafeFile(path, name, reason)
    return filters


def _check_type(path, name, kind):
    """Return (dtype on disk, inner dtype or None) of an allowed type; raise UnsafeFile for every other."""
    from h5py import h5t

    number = kind.get_class()
    if number == h5t.ENUM and kind.get_size() == 1 and kind.dtype == bool:  # how h5py writes truth values
        return kind.dtype, None
    if number == h5t.STRING:
        if kind.is_variable_str():
            return REFERENCE, np.dtype("S1")
        return np.dtype(f"S{kind.get_size()}"), None
    if number == h5t.VLEN:
        return REFERENCE, _number_type(path, name, kind.get_super())
    return _number_type(path, name, kind), None


def _number_type(path, name, kind):
    from h5py import h5t

    other = {h5t.COMPOUND: "compound", h5t.REFERENCE: "object or region reference", h5t.OPAQUE: "opaque"}
    other |= {h5t.ENUM: "enumeration", h5t.ARRAY: "array", h5t.VLEN: "nested variable-length", h5t.STRING: "string"}
    number = kind.get_class()
    if number not in (h5t.INTEGER, h5t.FLOAT):
        reason = f"has elements of {other.get(number, 'an unknown')} type; only plain numbers are read"
        raise UnsafeFile(path, name, reason)
    dtype = kind.dtype
    if dtype.itemsize != kind.get_size() or dtype.itemsize > 8 or not h5t.py_create(dtype).equal(kind):
        raise UnsafeFile(path, name, f"has numbers of an unusual format of {kind.get_size()} bytes")
    return dtype


def _check_storage(path, name, array, plan):
    """Refuse a shape that the stored bytes cannot fill, and arrays too large to be a spike file's."""
    from h5py import h5d

    claimed = array.size * array.dtype.itemsize
    if array.size > MAX_ELEMENTS or claimed > MAX_ARRAY_BYTES or len(array.shape) > MAX_DIMENSIONS:
        allowed = f"{MAX_ELEMENTS} elements, {MAX_ARRAY_BYTES} bytes, {MAX_DIMENSIONS} dimensions"
        raise UnsafeFile(path, name, f"claims the shape {array.shape}, {claimed} bytes; allowed: {allowed}")
    stored = array.handle.get_storage_size() if claimed else 0
    if array.inner is not None and stored < claimed:
        # rows that were never written take no space, and are empty
        if plan.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            raise UnsafeFile(path, name, "has a value for the rows that were never written; allowed: empty ones")
    elif not array.filters and stored < claimed:
        raise UnsafeFile(path, name, f"claims the shape {array.shape}, {claimed} bytes, and holds {stored} bytes")
    if plan.get_layout() == h5d.CHUNKED and prod(plan.get_chunk()) * array.dtype.itemsize > MAX_CHUNK_BYTES:
        raise UnsafeFile(path, name, f"has chunks of shape {plan.get_chunk()}; allowed: {MAX_CHUNK_BYTES} bytes each")


def _stored(source, name, array):
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


def _stored_chunks(source, name, array):
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


def _decode(path, name, array, raw, mask):
    """Return the elements of one stored chunk; ``mask`` has a bit set for each filter that was left out."""
    chunk = array.handle.get_create_plist().get_chunk()
    size = prod(chunk) * array.dtype.itemsize
    used = [number for place, number in enumerate(array.filters) if not mask >> place & 1]
    if DEFLATE in used:
        inflater = zlib.decompressobj()
        _read_guarded(path, name, lambda: inflater.decompress(raw, size + CHECKSUM_BYTES))
        if not inflater.eof:
            raise UnsafeFile(path, name, f"has a gzip chunk that is damaged or longer than its {size} bytes")
    if used:
        raw = _read_guarded(path, name, lambda: _undo_filters(raw, chunk, array.dtype.itemsize, used))
    if len(raw) != size:
        raise UnsafeFile(path, name, f"has a chunk of {len(raw)} bytes in place of {size}")
    return np.frombuffer(raw, array.dtype)


def _undo_filters(raw, chunk, itemsize, filters):
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


class _Heap:
    """The global heap collections of a file: finds the bytes that a variable-length element refers to."""

    def __init__(self, source):
        self.source, self.collections = source, {}
        self.budget = SPARE_HEAP_OBJECTS

    def locate(self, address, index, item):
        """Return (offset, size) in the file of object ``index`` of the collection at ``address``."""
        if address not in self.collections:
            self.collections[address] = self._survey(address, item)
        indices, offsets, sizes = self.collections[address]
        found = np.flatnonzero(indices == index)
        if found.size != 1 or index == 0:
            reason = f"refers to object {index} of the heap at byte {address}, which has {found.size} of them"
            raise UnsafeFile(self.source.path, item, reason)
        return int(offsets[found[0]]), int(sizes[found[0]])

    def _survey(self, address, item):
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


class _Rows:
    """A dataset of variable-length rows: the table of references, and each row on demand."""

    def __init__(self, source, name, array, heap):
        self.source, self.name, self.inner, self.heap = source, name, array.inner, heap
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

    def __getitem__(self, row):
        length, address, index = self.table[row].item()
        if length == 0:
            return np.zeros(0, self.inner)
        item = f"{self.name}[sample {row}]"
        offset, size = self.heap.locate(address, index, item)
        if size != length * self.inner.itemsize:
            raise UnsafeFile(self.source.path, item, f"claims {length} values and refers to {size} bytes")
        return np.frombuffer(self.source.read(offset, size, item), self.inner)


def _header_messages(source, address, item):
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


def _attribute_data(source, address, key, item):
    """Return the bytes of an attribute as they are stored, b"" where it does not lie in the object's header."""
    for kind, body in _header_messages(source, address, item):
        if kind != ATTRIBUTE or len(body) < 9:
            continue
        sizes = [int.from_bytes(body[place : place + 2], "little") for place in (2, 4, 6)]
        start = 9 if body[0] == 3 else 8
        if body[start : start + sizes[0]].rstrip(b"\0") == key:
            return body[start + sum(size + (-size % 8 if body[0] == 1 else 0) for size in sizes) :]
    return b""


def _text_of_attribute(source, heap, handle, key, item):
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


def _plain(source, name, array, heap):
    """Return a plain array, or one of strings (as str), native byte order."""
    if array.inner is None:
        values = _stored(source, name, array)
        if values.dtype == bool and values.view(np.uint8).max(initial=0) > 1:
            raise UnsafeFile(source.path, name, "has truth values that are neither 0 nor 1")
        values = values.astype(values.dtype.newbyteorder("="))
    elif array.inner.kind == "S":
        rows = _Rows(source, name, array, heap)
        if rows.lengths.max(initial=0) * array.size > MAX_ARRAY_BYTES:
            raise UnsafeFile(source.path, name, f"has {array.size} strings of up to {rows.lengths.max()} bytes")
        values = np.array([rows[row].tobytes() for row in range(array.size)], dtype=bytes).reshape(array.shape)
    else:
        raise UnsafeFile(source.path, name, "has rows of variable length; only spikes/times and spikes/units may")
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _check_count(name, value):
    """Refuse what is no number of channels or of classes, or None."""
    if value is not None and not (is_whole(value) and value >= 1):
        raise InvalidInput(name, None, value, "an int >= 1, or None")


class SpikeFile:
    """A spike file in SHD's HDF5 layout, open for reading sample by sample.

    Parameters: ``path``, or a file opened in binary mode; ``n_units`` (int or None: number of channels, units from it
    on are refused); ``n_classes`` (int or None: as many as extra/keys names, else one above the largest label);
    ``time_unit``: that of spikes/times, "s", "ms", "us", "ns" or how many ms one unit is (None: what the attribute
    time_unit, units or unit of spikes/times says, else s, and times that can hardly be seconds are refused: whole
    numbers, and those above 20); ``image`` (bytes of the file, to be read in place of the file ``path``, which then is
    only a name). Attributes: ``labels`` (n,) int64, ``speakers`` (n,) int64 or
    None, ``keys`` (list of str: the names of the classes, or None), ``extra`` (dict of the plain arrays in extra/),
    ``lengths`` (n,) int64: spikes per sample, ``time_unit`` (as given or as the file says, or None),
    ``ignored`` (dict: all else in the file, and why it is left alone).
    Raises UnsafeFile for structures of what is used that a spike file has no need of, and for damage, InvalidInput for
    values out of range and for what is missing.
    """

    _doubts = True  # whether times that can hardly be seconds are refused

    def __init__(self, path, n_units=None, n_classes=None, time_unit=None, image=None):
        _check_count("n_units", n_units)
        _check_count("n_classes", n_classes)
        self.n_units, self.n_classes, self.time_unit = n_units, n_classes, time_unit
        self.milliseconds_per_unit = milliseconds_per("s" if time_unit is None else time_unit)
        self._source = _Bytes(path, image)
        self.path = self._source.path
        try:
            self._source.check_superblock()
            with _opened(self._source) as identifier:
                _read_guarded(self.path, "file", lambda: self._load(identifier))
            self._check_lengths()
            self._check_labels()
        except BaseException:
            self.close()
            raise

    def _load(self, identifier):
        from h5py import h5g

        survey = _Survey(self.path, h5g.open(identifier, b"/"))
        found, self.ignored = survey.datasets, survey.ignored
        for name in NEEDED:
            if name not in found:
                present = ", ".join(sorted({*found, *self.ignored})) or "no dataset at all"
                remedy = f"Found: {present}."
                raise InvalidInput(f"{self.path}: {name}", None, None, "a dataset of this name (SHD's layout)", remedy)
        self._heap = _Heap(self._source)
        self._settle_unit(found["spikes/times"])
        self._times = self._rows("spikes/times", found, "fiu", "seconds as numbers")
        self._units = self._rows("spikes/units", found, "iu", "channel numbers of an integer type")
        if np.isfinite(self._longest) and self._times.inner.kind in "iu":
            self._refuse_seconds("spikes/times", None, f"rows of {self._times.inner}", "numbers with fractions")
        self.labels = self._integers("labels", _plain(self._source, "labels", found["labels"], self._heap))
        self.extra = self._extra({name: array for name, array in found.items() if name.startswith("extra/")})
        keys = self.extra.get("keys")
        self.keys = None if keys is None else [str(key) for key in keys.reshape(-1)]
        speakers = self.extra.get("speaker")
        self.speakers = None if speakers is None else self._integers("extra/speaker", speakers)
        self.lengths = self._times.lengths

    def _settle_unit(self, times):
        """Take the times in the unit that was given, else in the one that the file says, else in seconds, if likely."""
        said = self._said_unit(times.handle)
        if said is not None and self.time_unit is None:
            self.time_unit, self.milliseconds_per_unit = said, MILLISECONDS[said]
        elif said is not None and self.milliseconds_per_unit != MILLISECONDS[said]:
            allowed = f"{said!r}, as an attribute of {self.path}: spikes/times says"
            raise InvalidInput(
                "time_unit", None, self.time_unit, allowed, "Leave time_unit out, or mend the attribute."
            )
        doubted = self.time_unit is None and self._doubts
        self._longest = LONGEST_IN_SECONDS if doubted else np.inf

    def _said_unit(self, handle):
        """The unit that the attributes of the times name, or None; what is none that is known is noted as ignored."""
        from h5py import h5a

        found = {}
        for name in UNIT_ATTRIBUTES:
            if not h5a.exists(handle, name.encode()):
                continue
            item = f"spikes/times, attribute {name!r}"
            text = _read_guarded(
                self.path, item, _text_of_attribute, self._source, self._heap, handle, name.encode(), item
            )
            if text in UNIT_OF_TEXT:
                found[name] = UNIT_OF_TEXT[text]
            else:
                self.ignored[item] = f"is {text!r}, no unit that is known ({', '.join(MILLISECONDS)}); give time_unit"
        if len(set(found.values())) > 1:
            raise InvalidInput(f"{self.path}: spikes/times", None, found, "attributes that name one unit of time")
        return next(iter(found.values()), None)

    def _extra(self, arrays):
        """Read extra/ as far as there is room, what is used first; what cannot be read and is not used is ignored."""
        extra, size = {}, 0
        for name in sorted(arrays, key=lambda name: name not in USED):
            array = arrays[name]
            size += array.size * array.dtype.itemsize
            try:
                if size > MAX_EXTRA_BYTES:
                    reason = f"is one array of extra/ too many; allowed: {MAX_EXTRA_BYTES} bytes"
                    raise UnsafeFile(self.path, name, reason)
                values = _read_guarded(self.path, name, _plain, self._source, name, array, self._heap)
                extra[name.removeprefix("extra/")] = values
            except UnsafeFile as error:
                if name in USED:
                    raise
                self.ignored[name] = error.reason
        return extra

    def _refuse_seconds(self, name, index, value, allowed):
        allowed = f"seconds, as the layout has them: {allowed}"
        raise InvalidInput(f"{self.path}: {name}", index, value, allowed, SAY_THE_UNIT)

    def _rows(self, name, found, kinds, allowed):
        array = found[name]
        if array.inner is None or array.inner.kind not in kinds or len(array.shape) != 1:
            kind = array.dtype if array.inner is None else f"rows of {array.inner}"
            raise InvalidInput(
                f"{self.path}: {name}", None, f"{kind}, shape {array.shape}", f"one row per sample of {allowed}"
            )
        return _Rows(self._source, name, array, self._heap)

    def _integers(self, name, values):
        if values.ndim != 1 or values.dtype.kind not in "iub":
            found, allowed = f"{values.dtype}, shape {values.shape}", "one integer per sample"
            remedy = "np.unique(values, return_inverse=True) numbers words and other values from 0."
            raise InvalidInput(f"{self.path}: {name}", None, found, allowed, remedy)
        values = values.astype(np.uint8) if values.dtype.kind == "b" else values
        wrong = np.flatnonzero((values < 0) | (values > np.iinfo(np.int32).max))
        if wrong.size:
            allowed = "integers from 0 to 2147483647"
            raise InvalidInput(f"{self.path}: {name}", int(wrong[0]), int(values[wrong[0]]), allowed)
        return values.astype(np.int64)

    def _check_lengths(self):
        n_samples = len(self)
        for name, size in (("spikes/units", self._units.lengths.size), ("labels", self.labels.size)):
            if size != n_samples:
                allowed = f"one entry for each of the {n_samples} samples of spikes/times"
                raise InvalidInput(f"{self.path}: {name}", None, size, allowed)
        if self.speakers is not None and self.speakers.size != n_samples:
            allowed = f"one entry for each of the {n_samples} samples"
            raise InvalidInput(f"{self.path}: extra/speaker", None, self.speakers.size, allowed)
        unequal = np.flatnonzero(self._units.lengths != self.lengths)
        if unequal.size:
            sample = int(unequal[0])
            allowed = f"as many units as times ({self.lengths[sample]})"
            length = int(self._units.lengths[sample])
            raise InvalidInput(f"{self.path}: spikes/units[sample {sample}]", None, f"{length} long", allowed)

    def _check_labels(self):
        if self.n_classes is None:
            self.n_classes = len(self.keys) if self.keys else self._count_classes()
        wrong = np.flatnonzero(self.labels >= self.n_classes)
        if wrong.size:
            sample = int(wrong[0])
            allowed = f"labels below the number of classes ({self.n_classes})"
            raise InvalidInput(f"{self.path}: labels", sample, int(self.labels[sample]), allowed)

    def _count_classes(self):
        """One above the largest label, as nothing else says how many classes there are."""
        largest = int(self.labels.max(initial=0))
        if largest >= MAX_CLASSES:
            allowed = f"labels below {MAX_CLASSES}, as neither n_classes nor extra/keys says how many classes there are"
            raise InvalidInput(f"{self.path}: labels", int(self.labels.argmax()), largest, allowed)
        return largest + 1

    def doubt_of_seconds(self, last):
        """Return why times up to ``last`` (ms) can hardly be the seconds that they are taken for, or None."""
        if self._times.inner.kind in "iu":
            return f"they are whole numbers ({self._times.inner})"
        if last > LONGEST_IN_SECONDS * SECONDS:
            return f"they reach {last / SECONDS:.6g}, and few samples last longer than {LONGEST_IN_SECONDS:g} s"
        return None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Close the file; reading spikes afterwards is an error, the other attributes stay."""
        self._source.close()

    def __len__(self):
        return self._times.lengths.size

    def __getitem__(self, sample):
        """Return ``(times, units)`` of one sample: float64 ms and int32, sorted by (time, unit), equal ones kept.

        Raises IndexError, and InvalidInput for other indices than ints, or naming the sample and the spike that is
        out of range.
        """
        if not isinstance(sample, (int, np.integer)):
            remedy = "Write file.batch(index): it takes a slice, a mask or an array of indices."
            raise InvalidInput("sample", None, sample, "an int", remedy)
        if not -len(self) <= sample < len(self):
            raise IndexError(f"sample {sample} of a file of {len(self)}")
        sample = int(sample) % len(self)
        times, units = self._times[sample], self._units[sample]
        if (found := self._packed(times, units)) is not None:
            # sorted in a tenth of the time of a general sort
            return PackedSpikes(*found, [times.size], self.milliseconds_per_unit).arrays(0)[:2]
        return self._sorted(sample, times, units)

    def _packed(self, times, units):
        """(bits of the times, units), sorted, of a sample in SHD's own types, all in range; None for any other."""
        if times.dtype != np.float16 or units.dtype != np.uint16:
            return None
        halves = times.astype("=f2")
        # above infinity are NaN and negative numbers, -0.0 among them
        limit = HALF_INFINITY if np.isinf(self._longest) else np.float16(self._longest).view(np.uint16) + 1
        bad = halves.view(np.uint16).max(initial=0) >= min(limit, HALF_INFINITY)
        bad |= self.n_units is not None and units.max(initial=0) >= self.n_units
        return None if bad else PackedSpikes.ordered(halves, units)

    def _sorted(self, sample, times, units):
        place = f"{self.path}: spikes/times[sample {sample}]"
        times = exact_times(times, place)
        largest = (MAX_UNITS if self.n_units is None else self.n_units) - 1
        checks = (
            ("spikes/times", times, ~np.isfinite(times), "finite times"),
            ("spikes/times", times, times < 0, "times >= 0"),
            ("spikes/units", units, (units < 0) | (units > largest), f"channels from 0 to {largest}"),
        )
        for name, values, wrong, allowed in checks:
            if wrong.any():
                index = int(np.flatnonzero(wrong)[0])
                beyond = name == "spikes/units" and not self.n_units and values[index] > largest
                remedy = "Give n_units if there are more channels." if beyond else ""
                place = f"{self.path}: {name}[sample {sample}]"
                raise InvalidInput(place, index, values[index].item(), allowed, remedy)
        if times.max(initial=0.0) > self._longest:
            index = int(times.argmax())
            allowed = f"times up to {self._longest:g}"
            self._refuse_seconds(f"spikes/times[sample {sample}]", index, float(times[index]), allowed)
        times = times * self.milliseconds_per_unit + 0.0
        order = np.lexsort((units, times))
        return times[order], units[order].astype(np.int32)

    def batch(self, indices):
        """Return the samples at ``indices`` (a slice, or ints in any order) as a SpikeBatch."""
        chosen = chosen_samples(indices, len(self))
        offsets = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        times, units = np.empty(offsets[-1]), np.empty(offsets[-1], np.int32)
        for place in np.flatnonzero(self.lengths[chosen]):  # a small file can claim a million empty rows
            span = slice(offsets[place], offsets[place + 1])
            times[span], units[span] = self[chosen[place]]
        return SpikeBatch(times, units, offsets)

    def packed(self, indices):
        """Return the samples at ``indices`` as PackedSpikes; as a SpikeBatch where the file has other types than SHD's.

        Raises as reading the samples one by one does.
        """
        chosen = chosen_samples(indices, len(self))
        ends = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        halves, units = np.empty(ends[-1], np.uint16), np.empty(ends[-1], np.uint16)
        if (self._times.inner, self._units.inner) != (np.float16, np.uint16):
            return self.batch(chosen)
        for place in np.flatnonzero(self.lengths[chosen]):
            sample = chosen[place]
            if (found := self._packed(self._times[sample], self._units[sample])) is None:
                return self.batch(chosen)
            span = slice(ends[place], ends[place + 1])
            halves[span], units[span] = found
        return PackedSpikes(halves, units, self.lengths[chosen], self.milliseconds_per_unit)

    def dataset(self, indices=None, duration=None, name=None, packed=False):
        """Return the samples at ``indices`` (None: all) as a Dataset in memory, its groups the speakers.

        ``duration`` (ms) is the smallest whole number of ms above the last spike unless given. Without ``n_units``
        the number of channels is one above the largest unit. ``packed``: hold the spikes as PackedSpikes, in a third
        of the memory, where the file's types allow. Times up to a given ``duration`` are never taken for those of
        another unit.
        """
        if duration is not None and is_number(duration):
            self._longest = max(self._longest, duration / self.milliseconds_per_unit)
        chosen = chosen_samples(slice(None) if indices is None else indices, len(self))
        spikes = self.packed(chosen) if packed else self.batch(chosen)
        groups = None if self.speakers is None else self.speakers[chosen]
        n_units, last = 0, 0.0
        for block in spikes.blocks():
            n_units, last = max(n_units, int(block.units.max(initial=-1)) + 1), max(last, block.times.max(initial=0.0))
        n_units = max(n_units, 1) if self.n_units is None else self.n_units
        duration = np.floor(last) + 1.0 if duration is None else duration
        name = Path(self.path).stem if name is None else name
        return Dataset(spikes, self.labels[chosen], n_units, self.n_classes, duration, groups, name)


def read(path, n_units=None, n_classes=None, duration=None, name=None, packed=False, time_unit=None):
    """Return a spike file in SHD's layout as a Dataset in memory, 12 bytes per spike (4 if ``packed``).

    Parameters: ``path``, or a file opened in binary mode; ``n_units`` and ``n_classes`` (int or None: taken from the
    file), ``duration`` (ms, None: the smallest whole number of ms above the last spike), ``name``; ``packed``: see
    SpikeFile.dataset; ``time_unit``: see SpikeFile. Raises UnsafeFile and InvalidInput as SpikeFile does.
    """
    with SpikeFile(path, n_units, n_classes, time_unit) as file:
        return file.dataset(None, duration, name, packed)


def write(path, data, keys=None):
    """Write a Dataset as a spike file in SHD's layout, in place of what ``path`` held before, or not at all.

    ``keys``: names of the classes, one for each (None: their numbers). Groups become extra/speaker, and a spike that
    counts n becomes n spikes. Times are written in seconds, as float16 where that loses nothing, else as float64, which
    ``read`` gives back to within one part in 2^52; the attribute time_unit of spikes/times says that they are seconds.
    The layout has no place for ``n_units`` and ``duration``: give them to ``read``, which needs n_units for channels
    from 4,194,304 on. Raises InvalidInput for counts that are no whole numbers and for what ``read`` would refuse,
    FileError where the file cannot be written.
    """
    from h5py import File

    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput("path", None, path, "the path of a file")
    if not isinstance(data, Dataset):
        raise InvalidInput("data", None, type(data).__name__, "a Dataset")
    keys = list(map(str, range(data.n_classes) if keys is None else keys))
    if len(keys) != data.n_classes:
        raise InvalidInput("keys", None, len(keys), f"a name for each of the {data.n_classes} classes")
    keys = _encoded(keys)
    _check_writable(data)
    with File("spikes", "w", driver="core", backing_store=False) as file:
        _fill(file, data, keys)
        file.flush()
        image = file.id.get_file_image()
    write_file(path, image)


def _encoded(keys):
    """Return the names of the classes as the file holds them, an array of bytes all as long as the longest."""
    encoded = []
    for index, key in enumerate(keys):
        try:
            encoded.append(key.encode())
        except UnicodeEncodeError:  # half of a pair of UTF-16
            raise InvalidInput("keys", index, key, "text that UTF-8 can hold") from None
        if key.endswith("\0"):
            raise InvalidInput("keys", index, key, "text that does not end in a zero, which the file has as padding")
    size = len(encoded) * max(map(len, encoded))
    if len(encoded) > MAX_ELEMENTS or size > MAX_ARRAY_BYTES:
        allowed = f"at most {MAX_ELEMENTS} classes, and {MAX_ARRAY_BYTES} bytes for their names, each as the longest"
        raise InvalidInput("keys", None, f"{len(encoded)} names in {size} bytes", allowed, "Give shorter keys.")
    return np.array(encoded, "S")


def _check_writable(data):
    """Refuse what the layout cannot hold, and more than ``read`` would take."""
    if len(data) > MAX_ELEMENTS:
        raise InvalidInput("data", None, f"{len(data)} samples", f"at most {MAX_ELEMENTS}", "Write several files.")
    groups = np.zeros(0) if data.groups is None else data.groups
    wrong = np.flatnonzero((groups < 0) | (groups > np.iinfo(np.int32).max))
    if wrong.size:
        raise InvalidInput("data.groups", int(wrong[0]), int(groups[wrong[0]]), "integers from 0 to 2147483647")
    for sample, (times, _, counts) in enumerate(_samples(data)):
        counts = np.ones(times.size) if counts is None else counts
        wrong = np.flatnonzero(counts != np.rint(counts))
        if wrong.size:
            place, allowed = f"data.spikes[{sample}].counts", "whole numbers: a spike file has no place for values"
            raise InvalidInput(place, int(wrong[0]), float(counts[wrong[0]]), allowed)
        if counts.sum() > MAX_SPIKES_PER_SAMPLE:
            place, allowed = f"data.spikes[{sample}]", f"at most {MAX_SPIKES_PER_SAMPLE} spikes"
            raise InvalidInput(place, None, f"{counts.sum():.0f} spikes", allowed)


def _samples(data):
    """Yield (times, units, counts or None) of each sample."""
    for block in data.spikes.blocks():
        yield from (block.arrays(sample) for sample in range(len(block)))


def _fill(file, data, keys):
    from h5py import vlen_dtype

    kinds = (
        np.float16 if all(_is_half(times) for times, _, _ in _samples(data)) else np.float64,
        np.uint16 if data.n_units <= np.iinfo(np.uint16).max + 1 else np.int32,
    )
    names = ("spikes/times", "spikes/units")
    rows = [file.create_dataset(name, (len(data),), vlen_dtype(kind)) for name, kind in zip(names, kinds, strict=True)]
    # of fixed length, and so read everywhere; with it, samples longer than 20 s are no doubtful seconds
    rows[0].attrs[UNIT_ATTRIBUTES[0]] = np.bytes_("s")
    for sample, (times, units, counts) in enumerate(_samples(data)):
        repeats = 1 if counts is None else counts.astype(np.int64)
        for row, values in zip(rows, (times / SECONDS, units), strict=True):
            row[sample] = np.repeat(values, repeats)
    file["labels"] = data.labels
    if data.groups is not None:
        file["extra/speaker"] = data.groups
    file["extra/keys"] = keys


def _is_half(times):
    """Whether times (ms) in seconds are numbers of float16."""
    seconds = times / SECONDS
    with np.errstate(over="ignore"):
        return bool((seconds.astype(np.float16) == seconds).all())


class _AnySpikeFile(SpikeFile):
    """A spike file whose times are looked at, not used: they may be unlikely."""

    _doubts = False


def describe(path, n_units=None, time_unit=None):
    """Return what a spike file holds as a dict of plain numbers and lists, reading one sample at a time.

    Keys: ``path``, ``samples``, ``spikes``, ``n_units``, ``n_classes``, ``keys``, ``samples_per_class``,
    ``samples_per_speaker`` (dict, or None), ``duration`` and ``spikes_per_sample`` (dicts of min, mean, max; a
    sample's duration is the time of its last spike, ms), ``rates`` (mean rate of each channel in Hz), ``time_unit``
    (as given or as the file says, or "s") and ``time_doubt`` (why it can hardly be seconds where neither says, or
    None), ``ignored`` (dict: what in the file is not read, and why).
    """
    with _AnySpikeFile(path, n_units, time_unit=time_unit) as file:
        last, counts = np.zeros(len(file)), np.zeros(0 if n_units is None else n_units, np.int64)
        for sample in np.flatnonzero(file.lengths):
            times, units = file[sample]
            last[sample] = times[-1]
            counts = _counted(counts, units)
        counts = np.trim_zeros(counts, "b") if n_units is None else counts
        speakers = None
        if file.speakers is not None:
            values, numbers = np.unique(file.speakers, return_counts=True)
            speakers = dict(zip(values.tolist(), numbers.tolist(), strict=True))
        return {
            "path": file.path,
            "samples": len(file),
            "spikes": int(file.lengths.sum()),
            "n_units": counts.size,
            "n_classes": file.n_classes,
            "keys": file.keys,
            "samples_per_class": np.bincount(file.labels, minlength=file.n_classes).tolist(),
            "samples_per_speaker": speakers,
            "duration": _spread(last),
            "spikes_per_sample": _spread(file.lengths),
            "rates": (counts / max(last.sum() / SECONDS, np.finfo(float).tiny)).tolist(),
            "time_unit": "s" if file.time_unit is None else file.time_unit,
            "time_doubt": None if file.time_unit is not None else file.doubt_of_seconds(last.max(initial=0.0)),
            "ignored": file.ignored,
        }


def _counted(counts, units):
    """Return the spikes of each channel with those of one more sample; the time goes with the spikes, not channels."""
    found, numbers = np.unique(units, return_counts=True)
    if found[-1] >= counts.size:
        counts = np.pad(counts, (0, max(int(found[-1]) + 1, 2 * counts.size) - counts.size))
    counts[found] += numbers
    return counts


def _spread(values):
    if values.size == 0:
        return {"min": 0.0, "mean": 0.0, "max": 0.0}
    return {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
