"""Files that are whole or not there: a full disk, a limit, a folder in the way; nothing is left beside them."""

import contextlib
import io
import os
import stat
import subprocess
import sys
import time

import pytest

from eventsnn import checkpoints, writing
from eventsnn.errors import FileError
from eventsnn.writing import Output, Words, write_file


def test_a_file_holds_what_was_written_and_nothing_lies_beside_it(tmp_path):
    for data in (b"first", b"second"):
        write_file(tmp_path / "a", data)
        assert (tmp_path / "a").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_keeps_leading_to_the_file(tmp_path):
    (tmp_path / "b").symlink_to(tmp_path / "a")
    write_file(tmp_path / "b", b"x")
    assert (tmp_path / "b").is_symlink() and (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_keeps_its_permissions_and_nobody_reads_it_before_it_is_whole(tmp_path, monkeypatch, mode):
    def write_checkpoint(path, data):
        checkpoints.save(path, {}, {"data": data.decode()})

    seen, sync = [], os.fsync
    for k, write in enumerate((write_file, write_checkpoint)):
        path = tmp_path / str(k)
        write(path, b"private")
        path.chmod(mode)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", lambda file: (seen.append(stat.S_IMODE(os.stat(file).st_mode)), sync(file)))
            write(path, b"still private")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert not seen[0] & ~mode  # of the file that is being written
        seen.clear()


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_what_does_not_fit_leaves_the_file_as_it_was(tmp_path):
    program = (
        "import resource, sys; from eventsnn.writing import write_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_file(sys.argv[1], bytes(100_000))\n"
        "except OSError as error: print(error, type(error).__name__, error.path, error.line)"
    )
    (tmp_path / "a").write_bytes(b"before")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True)
    place = tmp_path / "a"
    assert done.stdout.strip() == f"{place}: cannot be written: File too large FileError {place} None"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


@pytest.mark.parametrize("place", ["folder", "absent/a", "a\N{LATIN SMALL LETTER E WITH ACUTE}" * 200])
def test_what_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="cannot be written: ") as caught:
        write_file(tmp_path / place, b"x")
    assert caught.value.path == tmp_path / place
    assert [path.name for path in tmp_path.iterdir()] == ["folder"] and not list((tmp_path / "folder").iterdir())


def test_a_device_is_not_replaced():
    with pytest.raises(FileError, match="no regular file"):
        write_file(os.devnull, b"x")


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    old, fresh, other = (tmp_path / f"{name}{writing.UNFINISHED}{k}" for k, name in enumerate("aab"))
    for path in (old, fresh, other):
        path.write_bytes(b"x")
    for path in (old, other):
        os.utime(path, (time.time() - 2 * writing.ABANDONED,) * 2)
    write_file(tmp_path / "a", b"y")
    assert {path.name for path in tmp_path.iterdir()} == {"a", fresh.name, other.name}


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        self.write("")


def test_streams_name_themselves_or_do_without():
    with pytest.raises(FileError, match="standard output: cannot be written: No space left on device"):
        print("x", file=Output(Full(), "standard output"))
    lossy = Output(Full(), "standard output")
    with contextlib.suppress(FileError):
        lossy.write("x")
    lossy._stream = io.StringIO()
    with pytest.raises(FileError, match="No space left"):
        lossy.flush()
    print("x", file=Words(Full(), "standard error"), flush=True)
    print("x", file=Output(None, "closed"), flush=True)
    stream = io.StringIO()
    print("x", file=Output(stream, "standard output"), flush=True)
    assert stream.getvalue() == "x\n"
