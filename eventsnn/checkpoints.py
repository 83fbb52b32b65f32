"""Checkpoints: named arrays and JSON-able metadata in one file that is either whole or refused; no pickle.

Layout, little-endian: magic (8 bytes), version (uint32), header length (uint32), SHA-256 of the header (32), the header
(JSON: name, dtype, shape, SHA-256 of every array; length and SHA-256 of the metadata), the metadata (JSON), the arrays
in the order of their names without gaps. Long lists of numbers in the metadata lie behind the arrays as arrays do, and
the header says where they belong: that is version 2, and version 1 is all else. So every byte of the file is covered by
a fixed value or a checksum, and the file ends where the header says. Equal content gives equal bytes: keys are sorted
and nothing depends on the time.
"""

import contextlib
import hashlib
import itertools
import json
import math
import os
import stat
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from .aliases import Array, Shape
from .errors import CheckpointError, InvalidInput
from .writing import UNFINISHED as UNFINISHED  # whose place this was in release 0.1.0
from .writing import reason, remove_unfinished, sync_folder, unfinished_name, unlink_if_there, write_beside

MAGIC = b"\x89evsnn\r\n"  # not ASCII, and a line end, so that a transfer in text mode is noticed
VERSION, WITH_LISTS = 1, 2
PREFIX = struct.Struct("<8sII32s")
MAX_HEADER = 2**24
MAX_META = 2**24
CHUNK = 2**20
MAX_DEPTH = 64
LONG_LIST = 1024  # numbers: as JSON they take three times the room, and much longer to write and to read
MAX_DIMENSIONS = 64  # numpy's own limit
DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
PREVIOUS = ".previous"
_Path: TypeAlias = tuple[str | int, ...]  # to a place in the metadata


class _Entry(NamedTuple):
    """One array as the header describes it."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    size: int
    digest: str | None


def _without_lists(value: Any, path: _Path, lists: list[tuple[_Path, Array]]) -> Any:
    """Return the metadata with None in place of long lists of numbers, which are added to ``lists``: (path, array).

    Refuses what json would change on the way (keys that are no strings) or cannot write.
    """
    if len(path) > MAX_DEPTH:
        raise InvalidInput(_place(path), None, "...", f"at most {MAX_DEPTH} levels of nesting")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidInput(_place(path), None, key, "strings as keys")
        return {key: _without_lists(item, (*path, key), lists) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if (array := _long_array(value)) is not None:
            lists.append((path, array))
            return None
        return [_without_lists(item, (*path, index), lists) for index, item in enumerate(value)]
    if not (value is None or isinstance(value, (str, bool, int, float))):
        remedy = "Put arrays into the arrays, and write int(x) or float(x) for numpy scalars."
        raise InvalidInput(_place(path), None, value, "a dict, list, str, int, float, bool or None", remedy)
    return value


def _place(path: Sequence[str | int]) -> str:
    """What errors call a place in the metadata: meta.network.populations[0]."""
    return "meta" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def _long_array(value: list[Any] | tuple[Any, ...]) -> Array | None:
    """A long list of numbers of one type, or of lists of one length of them, as an array; None for any other."""
    shape: list[int] = [len(value)]
    flat: Any = value
    while flat and {*map(type, flat)} <= {list, tuple}:
        if len({*map(len, flat)}) > 1 or len(shape) == MAX_DIMENSIONS:
            return None
        shape.append(len(flat[0]))
        flat = list(itertools.chain.from_iterable(flat))
    kinds = {*map(type, flat)}
    if len(flat) < LONG_LIST or len(kinds) > 1 or (kind := kinds.pop()) not in _LISTED:
        return None
    try:
        return np.array(flat, dtype=_LISTED[kind]).reshape(shape)
    except OverflowError:  # integers beyond 64 bits stay text
        return None


_LISTED: dict[type, str] = {float: "<f8", np.float64: "<f8", int: "<i8", bool: "?"}


def _to_json(value: Any, name: str, limit: int) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    except ValueError as error:
        raise InvalidInput(name, None, str(error), "values that JSON can hold") from None
    if len(text) > limit:
        raise InvalidInput(name, None, f"{len(text)} bytes", f"at most {limit} bytes as JSON", "Store it as an array.")
    return text


def _as_storable(value: object, name: object) -> Array:
    """Return `value` as a C-contiguous little-endian array."""
    if not isinstance(name, str):
        raise InvalidInput("arrays", None, name, "strings as names")
    if not isinstance(value, (np.ndarray, np.generic)) or isinstance(value, np.ma.MaskedArray):
        raise InvalidInput(name, None, type(value).__name__, "a numpy array")
    array = np.asarray(value)
    if array.dtype.str[1:] not in _STORABLE:
        raise InvalidInput(name, None, array.dtype, f"one of the dtypes {', '.join(DTYPES)}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


_STORABLE = {np.dtype(code).str[1:] for code in DTYPES}


def _as_bytes(array: Array) -> memoryview:
    """View a C-contiguous array as bytes, 0-d and empty ones included."""
    return array.reshape(-1).view(np.uint8).data


def _pack(arrays: object, meta: object) -> list[bytes | memoryview]:
    """Return the pieces of the file in order: prefix, header, metadata, then one memoryview per array."""
    if not isinstance(arrays, dict):
        raise InvalidInput("arrays", None, type(arrays).__name__, "a dict {name: numpy array}")
    if not isinstance(meta, dict):
        raise InvalidInput("meta", None, type(meta).__name__, "a dict that JSON can hold")
    lists: list[tuple[_Path, Array]] = []
    meta_text = _to_json(_without_lists(meta, (), lists), "meta", MAX_META)
    stored = {name: _as_storable(value, name) for name, value in arrays.items()}
    stored = {name: stored[name] for name in sorted(stored)}
    header: dict[str, Any] = {"arrays": [{"name": name, **_description(array)} for name, array in stored.items()]}
    if lists:
        # in the order of their places, whatever order the keys came in
        lists.sort(key=lambda item: json.dumps(item[0]))
        header["lists"] = [{"path": list(path), **_description(array)} for path, array in lists]
    header["meta"] = {"bytes": len(meta_text), "sha256": _digest(meta_text)}
    header_text = _to_json(header, "arrays", MAX_HEADER)
    version = WITH_LISTS if lists else VERSION
    prefix = PREFIX.pack(MAGIC, version, len(header_text), hashlib.sha256(header_text).digest())
    return [prefix, header_text, meta_text, *map(_as_bytes, [*stored.values(), *(array for _, array in lists)])]


def _description(array: Array) -> dict[str, Any]:
    """What the header says of an array besides its name or its place."""
    return {"dtype": array.dtype.str[1:], "shape": list(array.shape), "sha256": _digest(_as_bytes(array))}


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


# Entries of arrays, (path, entry) of lists, length and digest of the metadata.
_Header: TypeAlias = tuple[list[_Entry], list[tuple[list[str | int], _Entry]], int, str | None]


class _Reader:
    """Reads one checkpoint front to back; whatever is not as it should be is a CheckpointError naming the field."""

    def __init__(self, path: str, file: BufferedReader) -> None:
        self.path, self.file, self.left = path, file, os.fstat(file.fileno()).st_size

    def refuse(self, field: str, reason: str) -> CheckpointError:
        return CheckpointError(self.path, field, reason)

    def expect(self, field: str, size: int) -> None:
        """Take `size` bytes off what is left of the file, or refuse before anything is allocated."""
        if size > self.left:
            raise self.refuse(field, f"cut short: {size} bytes expected, {self.left} left in the file")
        self.left -= size

    def fill(self, field: str, buffer: memoryview) -> "hashlib._Hash":
        """Fill a writable memoryview of bytes and return the SHA-256 of what was read."""
        digest = hashlib.sha256()
        for start in range(0, len(buffer), CHUNK):
            part = buffer[start : start + CHUNK]
            if self.file.readinto(part) != len(part):
                raise self.refuse(field, "cut short while it was read")
            digest.update(part)
        return digest

    def take(self, field: str, size: int) -> tuple[bytes, "hashlib._Hash"]:
        """Return the next `size` bytes and their SHA-256."""
        self.expect(field, size)
        buffer = bytearray(size)
        digest = self.fill(field, memoryview(buffer))
        return bytes(buffer), digest

    def header(self) -> "_Header":
        """Return (entries of arrays, [(path, entry)] of lists, metadata length, metadata digest)."""
        magic = self.file.read(min(len(MAGIC), self.left))
        if magic != MAGIC:
            field = "header" if MAGIC.startswith(magic) else "magic"
            raise self.refuse(field, "not an eventsnn checkpoint" if field == "magic" else "cut short")
        self.file.seek(0)
        prefix, _ = self.take("header", PREFIX.size)
        _, version, length, digest = PREFIX.unpack(prefix)
        if version not in (VERSION, WITH_LISTS):
            raise self.refuse("version", f"format {version}; this release reads formats {VERSION} and {WITH_LISTS}")
        if length > MAX_HEADER:
            raise self.refuse("header", f"{length} bytes, more than the {MAX_HEADER} allowed")
        text, found = self.take("header", length)
        if found.digest() != digest:
            raise self.refuse("header", "checksum does not match")
        return self.parse_header(text, version)

    def parse_header(self, text: bytes, version: int) -> "_Header":
        header = self.parse_json("header", text)
        meta = header.get("meta")
        entries = header.get("arrays")
        lists = header.get("lists") if version == WITH_LISTS else []
        if not isinstance(meta, dict) or not isinstance(entries, list) or not isinstance(lists, list):
            raise self.refuse("header", "the parts arrays, lists and meta are not all there")
        length, digest = meta.get("bytes"), meta.get("sha256")
        if type(length) is not int or not 0 <= length <= MAX_META:
            raise self.refuse("header", f"metadata length {length!r}")
        entries = [self.entry(description) for description in entries]
        names = [entry.name for entry in entries]
        if names != sorted(set(names)):
            raise self.refuse("header", "array names are not unique and sorted")
        return entries, [self.list_entry(description) for description in lists], length, digest

    def parse_json(self, field: str, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise self.refuse(field, "not valid JSON") from None
        if not isinstance(value, dict):
            raise self.refuse(field, "not a JSON object")
        return value

    def entry(self, description: object) -> _Entry:
        """Check one array's description; sizes are Python ints here, so nothing can wrap around."""
        if not isinstance(description, dict) or not isinstance(description.get("name"), str):
            raise self.refuse("header", "an array without a name")
        name: str = description["name"]
        code, shape = description.get("dtype"), description.get("shape")
        if not isinstance(code, str) or code not in _STORABLE:
            raise self.refuse(f"array {name}", f"dtype {code!r} is not allowed")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
            raise self.refuse(f"array {name}", "its shape is not a short list")
        if any(type(length) is not int or not 0 <= length <= sys.maxsize for length in shape):
            raise self.refuse(f"array {name}", "its shape is not made of ints >= 0")
        dtype = np.dtype(code).newbyteorder("<")
        return _Entry(name, dtype, tuple(shape), math.prod(shape) * dtype.itemsize, description.get("sha256"))

    def list_entry(self, description: Any) -> tuple[list[str | int], _Entry]:
        """(path, entry) of a list of the metadata that is stored as an array."""
        path = description.get("path") if isinstance(description, dict) else None
        if not isinstance(path, list) or not 0 < len(path) <= MAX_DEPTH:
            raise self.refuse("header", "a list without a place in the metadata")
        if not all(isinstance(key, str) or (type(key) is int and key >= 0) for key in path):
            raise self.refuse("header", "a list whose place is not made of names and ints >= 0")
        return path, self.entry({**description, "name": _place(path)})

    def array(self, entry: _Entry) -> Array:
        field = f"array {entry.name}"
        self.expect(field, entry.size)
        try:
            array = np.empty(entry.shape, dtype=entry.dtype)
        except (ValueError, MemoryError) as error:
            raise self.refuse(field, f"cannot be allocated: {error}") from None
        view = _as_bytes(array)
        if self.fill(field, view).hexdigest() != entry.digest:
            raise self.refuse(field, "checksum does not match")
        if entry.dtype.kind == "b" and np.any(np.frombuffer(view, dtype=np.uint8) > 1):
            raise self.refuse(field, "bytes other than 0 and 1 in a bool array")
        return array.astype(entry.dtype.newbyteorder("="), copy=False)

    def everything(self) -> tuple[dict[str, Array], dict[str, Any]]:
        entries, lists, length, digest = self.header()
        text, found = self.take("meta", length)
        if found.hexdigest() != digest:
            raise self.refuse("meta", "checksum does not match")
        meta = self.parse_json("meta", text)
        arrays = {entry.name: self.array(entry) for entry in entries}
        for path, entry in lists:
            self.put(meta, path, self.array(entry).tolist())
        if self.left:
            raise self.refuse("end", f"{self.left} bytes too many")
        return arrays, meta

    def put(self, meta: Any, path: list[str | int], values: list[Any]) -> None:
        """Put a list in the place in the metadata that was left free for it."""
        *parents, last = path
        try:
            for key in parents:
                meta = meta[key]
            kind: type[Any] = dict if isinstance(last, str) else list
            free = isinstance(meta, kind) and meta[last] is None
        except (KeyError, IndexError, TypeError):
            free = False
        if not free:
            raise self.refuse(_place(path), "no place for the list that belongs there")
        meta[last] = values

    def looks_whole(self) -> bool:
        """Whether header and file size agree; says nothing about the metadata and the arrays."""
        entries, lists, length, _ = self.header()
        return self.left == length + sum(entry.size for entry in [*entries, *(entry for _, entry in lists)])


@contextlib.contextmanager
def _reader(path: str) -> Iterator[_Reader]:
    """Open a regular file for a _Reader; what the system refuses is a CheckpointError for the field "file"."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for ever, a device never end
            raise CheckpointError(path, "file", "not a regular file")
        with open(path, "rb") as file:
            yield _Reader(path, file)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(path, "file", f"cannot be read: {reason(error)}") from error


def _read(path: str) -> tuple[dict[str, Array], dict[str, Any]]:
    with _reader(path) as reader:
        return reader.everything()


def _looks_whole(path: str) -> bool:
    try:
        with _reader(path) as reader:
            return reader.looks_whole()
    except CheckpointError:
        return False


def _is_whole(path: str) -> bool:
    try:
        _read(path)
    except CheckpointError:
        return False
    return True


def _can_be_loaded(path: str) -> bool:
    return _is_whole(path) or _is_whole(path + PREVIOUS)


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether there is anything for ``load`` to try: the checkpoint or its previous generation."""
    path = _resolve(path)
    return os.path.lexists(path) or os.path.lexists(path + PREVIOUS)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return (arrays, meta) of the checkpoint at ``path``, every byte checked.

    arrays: {name: new writable C-contiguous array in native byte order}, names sorted; meta: dict. If the file is
    missing or damaged, its previous generation is read instead and a RuntimeWarning names the field that failed.
    Raises CheckpointError, with the first failure in ``field``, if that cannot be used either.
    """
    path = _resolve(path)
    if not exists(path):
        raise CheckpointError(path, "file", "is not there: nothing was saved under this name")
    try:
        return _read(path)
    except CheckpointError as error:
        first = error
    try:
        content = _read(path + PREVIOUS)
    except CheckpointError as second:
        text = f"{first.reason} (previous generation: {second.field}: {second.reason})"
        raise CheckpointError(path, first.field, text) from first
    warnings.warn(f"{first}; loaded the previous generation {path}{PREVIOUS}", RuntimeWarning, stacklevel=2)
    return content


def _resolve(path: str | os.PathLike[str]) -> str:
    """Follow links, so that a checkpoint reached through one is replaced where it lies."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        name = ""
    if not name or "\0" in name:
        raise InvalidInput("path", None, path, "the name of a file")
    return os.path.realpath(name)


def _install(path: str, fresh: str, keep: int) -> None:
    """Rename `fresh` to `path`, and what was there to its previous generation.

    The new file is in place before the old one takes the place of the previous generation: at no instant do fewer than
    two whole generations have a name. A damaged file is not kept, it would push out a good previous generation.
    """
    previous, linked = path + PREVIOUS, fresh + PREVIOUS
    rotate = keep == 2 and _looks_whole(path)
    if rotate:
        try:
            os.link(path, linked)
        except OSError:  # a file system without hard links: for an instant only `previous` has a name
            rotate = False
            if _is_whole(path):
                os.replace(path, previous)
    os.replace(fresh, path)
    sync_folder(os.path.dirname(path))
    if rotate:
        os.replace(linked, previous)
    elif keep == 1:
        unlink_if_there(previous)
    sync_folder(os.path.dirname(path))


def save(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Array | np.generic],
    meta: dict[str, Any],
    keep: Literal[1, 2] = 2,
) -> None:
    """Write arrays and metadata to ``path`` so that a crash at any instant leaves a checkpoint that ``load`` finds.

    Parameters: ``path`` (str or PathLike; its folder must exist); ``arrays``: {name: numpy array or scalar of a bool,
    int, uint, float or complex dtype}, any shape; ``meta``: dict of what JSON holds (tuples come back as lists, keys
    come back sorted; NaN and inf are allowed), at most 16 MiB as JSON besides its long lists of numbers, which are
    stored as arrays and come back as lists; ``keep``: 2 leaves the generation before this
    one at ``path`` + ".previous", 1 removes it. One writer per path at a time. Raises InvalidInput for content that
    cannot be stored and CheckpointError if writing fails; the old checkpoint is intact then.
    """
    if keep not in (1, 2):
        raise InvalidInput("keep", None, keep, "1 or 2")
    path = _resolve(path)
    pieces = _pack(arrays, meta)
    fresh = unfinished_name(path)
    try:
        remove_unfinished(path)  # of any age: one writer per path at a time
        write_beside(path, fresh, pieces)
        _install(path, fresh, keep)
    except (OSError, ValueError) as error:
        kept = "; the checkpoint that was there before can still be loaded" if _can_be_loaded(path) else ""
        text = f"cannot be written: {reason(error)}{kept}"
        raise CheckpointError(path, "file", text) from error
    finally:
        for leftover in (fresh, fresh + PREVIOUS):
            with contextlib.suppress(OSError, ValueError):
                os.unlink(leftover)
