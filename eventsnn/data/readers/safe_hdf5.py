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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, Protocol, TypeAlias, TypeVar, TypeVarTuple, cast

import numpy as np

from ...checks import whole
from ...errors import InvalidInput, UnsafeFile

NEEDED = ("spikes/times", "spikes/units", "labels")
USED = (*NEEDED, "extra/speaker", "extra/keys")
MAX_IMAGE_BYTES = 2**30  # of a file that somebody else opened
MAX_OBJECTS = 4096  # groups and datasets that are listed of one file; SHD has 10
MAX_DEPTH = 8
MAX_ELEMENTS = 2**20  # of one dataset: samples
MAX_DIMENSIONS = 4
MAX_ARRAY_BYTES = 2**24  # one dataset, a row of variable length counting 16 bytes
MAX_CHUNK_BYTES = 2**24
DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000  # filter numbers of the HDF Group's registry
FILTERS = {DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
SIGNATURE = b"\x89HDF\r\n\x1a\n"
PACKED = {"xz": b"\xfd7zXZ\x00", "gzip": b"\x1f\x8b", "zip": b"PK\x03\x04"}
REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])  # variable-length element on disk
Handle: TypeAlias = Any
"""An object of h5py's low level, which says nothing of its types."""
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class BinaryFile(Protocol):
    """What a file opened in binary mode is asked for."""

    def seek(self, offset: int, /) -> object: ...
    def read(self, size: int, /) -> bytes: ...


def read_guarded(path: str, item: str, action: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
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


class Bytes:
    """The bytes of a spike file, on disk or in memory, each read checked against the size."""

    def __init__(
        self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryFile, image: bytes | None = None
    ) -> None:
        if image is None and hasattr(path, "read"):
            path, image = _read_open_file(cast(BinaryFile, path))
        elif not isinstance(path, (str, bytes, os.PathLike)):
            raise InvalidInput("path", None, path, "a path, or a file opened in binary mode")
        self.path, self.image = os.fsdecode(path), image
        self.file: BinaryIO
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

    def close(self) -> None:
        self.file.close()

    def read(self, offset: int, size: int, item: str) -> bytes:
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

    def check_superblock(self) -> None:
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


def _read_open_file(file: BinaryFile) -> tuple[str, bytes]:
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
def opened(source: Bytes) -> Iterator[Handle]:
    """Open the file (or the image in memory) with the HDF5 library, read-only, and close it with all that is in it."""
    from h5py import h5f, h5p

    if source.image is not None:
        identifier = read_guarded(source.path, "file", lambda: h5f.open_file_image(source.image))
    else:
        name, access = os.fsencode(source.path), h5p.create(h5p.FILE_ACCESS)
        access.set_fclose_degree(h5f.CLOSE_STRONG)  # or an exception that refers to a dataset keeps the file open
        identifier = read_guarded(source.path, "file", lambda: h5f.open(name, h5f.ACC_RDONLY, access))
    try:
        yield identifier
    finally:
        identifier.close()


def holds(path: str | os.PathLike[str], names: Sequence[str]) -> bool:
    """Return whether a file is HDF5 with members of these names at its root; nothing in it is read."""
    from h5py import h5g

    try:
        source = Bytes(path)
    except InvalidInput:
        return False
    try:
        source.check_superblock()
        with opened(source) as identifier:
            root = read_guarded(source.path, "file", lambda: h5g.open(identifier, b"/"))
            return all(read_guarded(source.path, "file", root.links.exists, name.encode()) for name in names)
    except (InvalidInput, UnsafeFile):
        return False
    finally:
        source.close()


class Survey:
    """Finds what a file holds, from its root: datasets to be read, and all else with the reason why it is left alone.

    ``datasets``: {name: FoundArray}, those of ``used``, which are refused where they are not as they should be or have
    more than ``most`` elements, and whatever plain ones extra/ holds; ``ignored``: {name: reason}. Links other than
    hard ones are never followed.
    """

    def __init__(self, path: str, root: Handle, used: Sequence[str] = USED, most: int = MAX_ELEMENTS) -> None:
        self.path, self.objects, self.most = path, 0, most
        self.datasets: dict[str, FoundArray] = {}
        self.ignored: dict[str, str] = {}
        for name in used:
            self._use(root, name)
        self._list(root, "", [])

    def _use(self, root: Handle, name: str) -> None:
        """Take in one dataset of the layout, where there is one."""
        from h5py import h5g, h5o

        *groups, key = name.encode().split(b"/")
        parent = root
        for group in groups:
            if self._kind(parent, group, group.decode()) != h5o.TYPE_GROUP:
                return
            parent = h5g.open(parent, group)
        if self._kind(parent, key, name) == h5o.TYPE_DATASET:
            self.datasets[name] = _check_dataset(self.path, name, parent, key, self.most)

    def _kind(self, group: Handle, key: bytes, name: str) -> int | None:
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

    def _list(self, group: Handle, name: str, above: list[int]) -> None:
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
                read_guarded(self.path, place, self._note, group, key, place, [*above, address])
            except UnsafeFile as error:
                self.ignored[place] = error.reason

    def _note(self, group: Handle, key: bytes, place: str, above: list[int]) -> None:
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
class FoundArray:
    """A dataset that passed the checks: its handle, shape, element type on disk and the dtype of its elements.

    ``inner`` is the dtype of the items of variable-length elements and None for plain ones; ``filters`` are numbers.
    """

    handle: Handle
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    inner: np.dtype[Any] | None
    filters: list[int]

    @property
    def size(self) -> int:
        return prod(self.shape)


def _check_dataset(path: str, name: str, group: Handle, key: bytes, most: int = MAX_ELEMENTS) -> FoundArray:
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
    array = FoundArray(handle, handle.shape, dtype, inner, filters)
    _check_storage(path, name, array, plan, most)
    return array


def _check_filters(path: str, name: str, plan: Handle) -> list[int]:
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


def _check_type(path: str, name: str, kind: Handle) -> tuple[np.dtype[Any], np.dtype[Any] | None]:
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


def _number_type(path: str, name: str, kind: Handle) -> np.dtype[Any]:
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


def _check_storage(path: str, name: str, array: FoundArray, plan: Handle, most: int) -> None:
    """Refuse a shape that the stored bytes cannot fill, and arrays too large to be a spike file's."""
    from h5py import h5d

    claimed = array.size * array.dtype.itemsize
    most_bytes = MAX_ARRAY_BYTES * most // MAX_ELEMENTS
    if array.size > most or claimed > most_bytes or len(array.shape) > MAX_DIMENSIONS:
        allowed = f"{most} elements, {most_bytes} bytes, {MAX_DIMENSIONS} dimensions"
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


def check_count(name: str, value: int | None) -> None:
    """Refuse what is no number of channels or of classes, or None."""
    if value is not None:
        whole(value, name, 1, "an int >= 1, or None")
