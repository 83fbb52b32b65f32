"""A sweep's journal: torn lines are put aside, damaged ones are named, and Optuna's own records are read as well."""

import json
import os
import re
import subprocess
import sys

import pytest

import eventsnn.experiments.journal
from eventsnn.errors import FileError
from eventsnn.experiments.journal import Journal

optuna = pytest.importorskip("optuna")
from optuna.storages.journal import JournalFileBackend  # noqa: E402

RECORDS = [{"op_code": 2, "text": "x" * k, "number": k / 7} for k in range(5)]


@pytest.fixture
def path(tmp_path):
    Journal(tmp_path / "j").append_logs(RECORDS)
    return tmp_path / "j"


def read(path):
    return [{key: record[key] for key in RECORDS[0]} for record in Journal(path).read_logs(0)]


def test_records_come_back_and_are_read_on(path):
    journal = Journal(path)
    assert len(list(journal.read_logs(0))) == 5 and list(journal.read_logs(5)) == []
    Journal(path).append_logs([{"op_code": 9}])
    assert [record["op_code"] for record in journal.read_logs(5)] == [9] and journal.line == 6


def test_optuna_reads_and_writes_the_same_file(path):
    theirs = JournalFileBackend(str(path))
    assert [record["number"] for record in theirs.read_logs(0)] == [record["number"] for record in RECORDS]
    theirs.append_logs([{"op_code": 2, "text": "", "number": 0.0}])
    Journal(path).append_logs(RECORDS[:1])
    assert read(path) == [*RECORDS, {"op_code": 2, "text": "", "number": 0.0}, RECORDS[0]]


def test_a_journal_that_was_cut_anywhere_goes_on_after_its_last_whole_line(path):
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        assert read(path) == RECORDS[:kept]
        if cut == ([0, *ends])[kept]:
            Journal(path).append_logs(RECORDS[:1])
        else:
            with pytest.warns(RuntimeWarning, match="last line was torn; .* put aside in"):
                Journal(path).append_logs(RECORDS[:1])
            aside = path.with_name(f"j.torn-{([0, *ends])[kept]}")
            assert whole[:cut].endswith(aside.read_bytes()) and aside.read_bytes()
            aside.unlink()
        assert read(path) == [*RECORDS[:kept], RECORDS[0]]


def test_every_changed_byte_is_noticed_in_its_line(path):
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for at in range(0, last, 3):
        for bit in (0, 3, 6):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with pytest.raises(FileError) as caught:
                read(path)
            lines = {whole[:at].count(b"\n") + 1, whole[: at + 1].count(b"\n") + 1}
            assert caught.value.line in lines and f"j, line {caught.value.line}: " in str(caught.value)


def test_lines_that_are_missing_doubled_or_exchanged_are_noticed(path):
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (lines[:1] + lines[2:], [lines[0], *lines], [lines[0], lines[2], lines[1], *lines[3:]]):
        path.write_bytes(b"".join(changed))
        with pytest.raises(FileError, match=r"line [12]: was not written at this place"):
            read(path)


def test_damage_in_the_last_line_is_put_aside_when_a_sweep_is_opened(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + b"\0" * 19 + b"\n")
    with pytest.warns(RuntimeWarning, match="torn"):
        Journal(path).mend()
    assert read(path) == RECORDS[:4]
    Journal(path).mend()  # nothing is left to be said


@pytest.mark.parametrize("tail", [b"", b'{"op_code":2,"te', b'{"op_code":2,"te\n'])
@pytest.mark.parametrize("change", ["missing", "doubled", "changed"])
def test_no_last_line_is_put_aside_where_another_is_damaged(path, change, tail):
    lines = path.read_bytes().splitlines(keepends=True)
    middle = {"missing": [], "doubled": [lines[2], lines[2]], "changed": [lines[2].replace(b"xx", b"xy")]}[change]
    damaged = b"".join([*lines[:2], *middle, *lines[3:]]) + tail
    path.write_bytes(damaged)
    calls = [Journal(path).mend] if tail.endswith(b"\n") or not tail else [Journal(path).mend, lambda: append(path)]
    for call in calls:
        if tail:
            with pytest.raises(FileError, match="line [34]: "):
                call()
        else:
            call()  # which leaves what is damaged to whoever reads the lines
    assert path.read_bytes() == damaged and [item.name for item in path.parent.iterdir()] == ["j"]
    with pytest.raises(FileError, match="line [34]: "):
        read(path)


def append(path):
    Journal(path).append_logs(RECORDS[:1])


@pytest.mark.parametrize("line", [b"[1]\n", b"\n", b"\xff\n", b'{"check":"00000000","a":1}\n', b"[" * 100_000 + b"\n"])
def test_lines_without_a_checksum_are_records_all_the_same(path, line):
    whole = path.read_bytes()
    path.write_bytes(whole + line + b"{}\n")
    with pytest.raises(FileError, match="line 6: is no"):
        list(Journal(path).read_logs(0))


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk_leaves_whole_lines(path):
    program = (
        "import resource, sys; from eventsnn.experiments.journal import Journal\n"
        "size = int(sys.argv[2]); resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "try: Journal(sys.argv[1]).append_logs([{'op_code': 2, 'text': 'y' * 300, 'number': 1}])\n"
        "except OSError as error: print(type(error).__name__, error)"
    )
    size = path.stat().st_size
    command = [sys.executable, "-c", program, str(path), str(size + 200)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == f"FileError {path}: cannot be written: File too large", done.stderr
    assert path.stat().st_size == size and [item.name for item in path.parent.iterdir()] == ["j"]
    Journal(path).append_logs(RECORDS[:1])
    assert read(path) == [*RECORDS, RECORDS[0]]


def test_a_journal_that_is_cut_while_it_is_in_use_is_noticed(path):
    journal = Journal(path)
    assert len(list(journal.read_logs(0))) == 5
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(FileError, match="shorter"):
        list(journal.read_logs(5))


def test_what_cannot_be_read_or_carried_out_is_named(path, tmp_path):
    with pytest.raises(FileError, match=r"absent.*cannot be written: No such file"):
        Journal(tmp_path / "absent" / "j")
    path.write_bytes(json.dumps({"op_code": 0}).encode() + b"\n")
    with pytest.raises(FileError, match="line 1: cannot be carried out"):  # noqa: SIM117
        with (journal := Journal(path)).replayed():
            optuna.storages.JournalStorage(journal)


def test_the_lock_of_a_killed_process_is_one_that_others_can_look_at(tmp_path, monkeypatch):
    # Optuna looks at what the lock leads to, and takes it away after a while; where it leads nowhere it waits for ever
    monkeypatch.chdir(tmp_path)
    os.mkdir("sweep")
    journal, found = Journal(os.path.join("sweep", "j")), []
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: found.append(os.stat("sweep/j.lock").st_ino))
        journal.append_logs(RECORDS)
    assert found == [os.stat("sweep/j").st_ino] and not os.path.lexists("sweep/j.lock")


def test_a_lock_that_leads_nowhere_is_removed_after_a_while(path, monkeypatch):
    journal, lock = Journal(path), path.with_name("j.lock")
    lock.symlink_to("moved/away")
    with monkeypatch.context() as patched:
        patched.setattr(eventsnn.experiments.journal, "GRACE", 0.2)
        journal.append_logs(RECORDS[:1])
    assert read(path) == [*RECORDS, RECORDS[0]] and not lock.is_symlink()


def test_what_others_wrote_after_the_lock_was_taken_over_is_kept(path, monkeypatch):
    slow, before = Journal(path), path.read_bytes()
    make = eventsnn.experiments.journal._lines

    def interrupted(logs, at):
        with monkeypatch.context() as patched:
            patched.setattr(eventsnn.experiments.journal, "_lines", make)
            path.with_name("j.lock").unlink()  # as another process does after its grace period
            Journal(path).append_logs(RECORDS[:1])
        return make(logs, at)

    monkeypatch.setattr(eventsnn.experiments.journal, "_lines", interrupted)
    with pytest.raises(FileError, match="took its lock over"):
        slow.append_logs([{"op_code": 9, "text": "z" * 100}])
    assert path.read_bytes().startswith(before) and read(path) == [*RECORDS, RECORDS[0]]


def test_a_lock_that_is_gone_is_an_error_of_the_file(path):
    journal = Journal(path)
    with pytest.raises(FileError, match="j: another process took its lock over"), journal._alone():
        path.with_name("j.lock").unlink()
    with pytest.raises(KeyError, match="first"), journal._alone():
        path.with_name("j.lock").unlink()
        raise KeyError("first")


def follow(error, pattern):
    """Carry out the command that an error ends with."""
    subprocess.run(re.search(pattern, str(error)).group(), shell=True, check=True)


@pytest.mark.skipif(os.name == "nt", reason="commands of POSIX")
@pytest.mark.parametrize("line", [2, 4])
def test_what_is_said_about_damage_keeps_all_before_it(tmp_path, line):
    path = tmp_path / "a folder" / "j"
    path.parent.mkdir()
    Journal(path).append_logs(RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b"op_code", b"op-code")
    path.write_bytes(b"".join(lines))
    with pytest.raises(FileError, match=f"line {line}: ") as caught:
        read(path)
    follow(caught.value, "truncate .*")
    assert read(path) == RECORDS[: line - 1]


@pytest.mark.skipif(os.name == "nt", reason="commands of POSIX")
@pytest.mark.parametrize("look", [lambda path: Journal(path).mend(), read], ids=["mend", "read"])
def test_line_ends_that_a_transfer_has_changed_are_named_and_can_be_changed_back(path, look):
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(FileError, match="CR LF") as caught:
        look(path)
    follow(caught.value, "tr -d .*")
    assert read(path) == RECORDS
    Journal(path).mend()


def test_damage_in_the_first_line_asks_for_another_folder(path):
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(
        FileError, match="line 1: does not match .*[.] Nothing stands before it: give the sweep another folder$"
    ):
        read(path)
