"""Training on several ranks of MPI: the bytes of one process, one that writes, one clear error, and nobody who hangs.

Hazards: sums in another order; losses that see a part of the batch; files written by all ranks; ranks that wait for one
that died; errors said once per rank.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from eventsnn import checkpoints
from eventsnn.errors import InvalidInput
from eventsnn.parallel import communicator
from eventsnn.parallel.threads import available_cores
from tests.training.tasks import contents

ROOT = Path(__file__).resolve().parents[2]
# an mpiexec that comes with the environment's MPI lies beside its Python
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
needs_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIEXEC is None, reason="needs mpi4py and mpiexec: .venv/bin/pip install -e '.[mpi]'"
)
HANG = 600  # seconds after which a run is given up; one with a dead rank would otherwise wait for ever


def start(n_ranks, *arguments, n_threads=1):
    """A run of several ranks, or without mpiexec of one."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVENTSNN_NUM_THREADS": str(n_threads)}
    launcher = [] if n_ranks == 1 else [MPIEXEC, "-n", str(n_ranks)]
    return subprocess.Popen(
        [*launcher, sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process):
    """(exit code, stdout, stderr) of a run."""
    try:
        out, errors = process.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, errors


def outcomes(n_ranks, what, folder, n_threads=1):
    """What each rank of a program of tests/parallel/mpi_program.py ended with."""
    code, _, errors = ended(start(n_ranks, ROOT / "tests/parallel/mpi_program.py", what, folder, n_threads=n_threads))
    assert code == 0, errors
    return [json.loads((folder / f"outcome{rank}.json").read_text()) for rank in range(n_ranks)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """(outcome, folder of checkpoints) of one process with one thread."""
    folder = tmp_path_factory.mktemp("alone")
    return outcomes(1, "train", folder)[0], folder / "rank0"


@needs_mpi
@pytest.mark.parametrize(("n_ranks", "n_threads"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_ranks_and_threads_do_not_change_a_byte_and_rank_0_alone_writes(tmp_path, alone, n_ranks, n_threads):
    expected, folder = alone
    assert outcomes(n_ranks, "train", tmp_path, n_threads) == [expected] * n_ranks
    for path in folder.iterdir():
        assert contents(tmp_path / "rank0" / path.name) == contents(path), path.name
    for rank in range(1, n_ranks):
        assert list((tmp_path / f"rank{rank}").iterdir()) == []


@needs_mpi
def test_ranks_agree_on_errors_turns_and_threads(tmp_path):
    found = outcomes(3, "talk", tmp_path, n_threads="")
    for rank, result in enumerate(found):
        divided = result.pop("divided")
        assert divided[0] == ("ZeroDivisionError" if rank == 1 else "RankFailed")
        assert "division by zero" in divided[1] and (rank == 1 or divided[1].startswith("rank 1: Traceback"))
        assert result == found[0]
    attributes = {"array": "array", "index": 3, "value": 4.5, "allowed": "less", "remedy": "Write less."}
    assert found[0]["refused"] == ["InvalidInput", "array[3] is 4.5; allowed: less. Write less.", attributes]
    assert found[0]["differ"][0] == "RankFailed" and found[0]["differ"][1].startswith(
        "rank 2: the data is not the same"
    )
    assert found[0]["storm"][0] == "EventStorm" and found[0]["storm"][1].startswith("sample 2 fired")
    assert found[0]["alone at first"] and found[0]["first"] == 0
    assert found[0]["rows"] == [0, 0, 1] and found[0]["sum"] == [3, 3]
    assert found[0]["loaded"] == [{"a": ["<f8", [0.0, 1.0, 2.0]], "b": ["|b1", []]}, {"rank": 0}]
    assert found[0]["threads"] == max(1, len(available_cores()) // 3)


def under_way(process, folder):
    """Wait until a slow run has saved its second step."""
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "rank0" / "checkpoint"
        if checkpoints.exists(path) and checkpoints.load(path)[1]["state"]["step"] >= 2:
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate()[1])


@needs_mpi
def test_a_killed_rank_ends_the_run_soon_and_another_number_of_ranks_goes_on(tmp_path, alone):
    process = start(2, ROOT / "tests/parallel/mpi_program.py", "slow", tmp_path)
    under_way(process, tmp_path)
    os.kill(int((tmp_path / "pid1").read_text()), signal.SIGKILL)
    code, _, _ = ended(process)
    assert code != 0 and not (tmp_path / "outcome0.json").exists()
    assert 2 <= checkpoints.load(tmp_path / "rank0/checkpoint")[1]["state"]["step"] < 12
    expected, folder = alone
    assert outcomes(3, "resume", tmp_path) == [expected["whole"]] * 3
    assert contents(tmp_path / "rank0/checkpoint") == contents(folder / "whole")


@needs_mpi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_say_how_to_go_on_once_and_resume(tmp_path, alone, number):
    process = start(2, ROOT / "tests/parallel/mpi_program.py", "slow", tmp_path)
    under_way(process, tmp_path)
    if number == signal.SIGINT:
        process.send_signal(number)
    else:  # as Slurm does it
        for rank in range(2):
            os.kill(int((tmp_path / f"pid{rank}").read_text()), number)
    code, _, errors = ended(process)
    assert code != 0 and errors.count("resume=True") == 1 and errors.count("Traceback") == 1
    expected, folder = alone
    assert outcomes(1, "resume", tmp_path) == [expected["whole"]]
    assert contents(tmp_path / "rank0/checkpoint") == contents(folder / "whole")


@needs_mpi
def test_an_exception_on_rank_1_alone_ends_the_run_soon_and_says_where(tmp_path):
    process = start(2, ROOT / "tests/parallel/mpi_program.py", "fail", tmp_path)
    code, _, errors = ended(process)
    assert code != 0 and "rank 1: Traceback" in errors and errors.count("ValueError: on purpose") == 1
    assert checkpoints.load(tmp_path / "rank0/checkpoint")[1]["state"]["step"] == 0


@needs_mpi
@pytest.mark.parametrize("exit_code", [0, 3])
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_a_rank_that_leaves_ends_the_run_and_is_named(tmp_path, n_ranks, exit_code):
    (tmp_path / "code").write_text(str(exit_code))
    process = start(n_ranks, ROOT / "tests/parallel/mpi_program.py", "leave", tmp_path)
    code, _, errors = ended(process)
    assert code != 0 and "RankFailed: rank 1: its program ended while other ranks were waiting for it" in errors
    assert not list(tmp_path.glob("outcome*"))


@needs_mpi
def test_a_rank_that_is_done_before_the_others_is_no_error(tmp_path):
    assert outcomes(2, "linger", tmp_path) == ["done"] * 2


@needs_mpi
def test_the_command_says_its_errors_and_results_once(tmp_path):
    toml = tmp_path / "tiny.toml"
    toml.write_text('base = "yin-yang"\n[data]\nsamples = 20\n[network]\nhidden = [4]\n[training]\nepochs = 1\n')
    command = ["-m", "eventsnn", "train", toml, "--out", tmp_path / "run"]
    code, out, errors = ended(start(3, *command, "--set", "training.batch_size=2"))
    assert code == 2 and errors.count("the number of ranks is 3; allowed: at most 2") == 1, errors
    code, out, errors = ended(start(2, *command))
    assert code == 0 and out.count("test accuracy") == 1 and errors.count("epoch   1/1") == 1, errors
    code, out, errors = ended(start(2, *command))
    assert code == 2 and errors.count("exists already") == errors.count("\n") == 1


@pytest.mark.parametrize("blocked", [True, False])
def test_mpiexec_without_its_own_mpi4py_is_explained(monkeypatch, blocked):
    class Other:
        """An mpi4py of another MPI: it does not see the other ranks."""

        class COMM_WORLD:  # noqa: N801
            size = 1

    module = type(sys)("mpi4py")
    module.MPI = Other
    monkeypatch.setitem(sys.modules, "mpi4py", None if blocked else module)
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(InvalidInput, match=r"pip install -e .*\[mpi\]" if blocked else "built for another MPI"):
        communicator.world.__wrapped__()


def test_a_launcher_that_says_only_the_rank_is_believed(monkeypatch):
    for name in (*communicator.LAUNCHED_RANK, *communicator.LAUNCHED_SIZE):
        monkeypatch.delenv(name, raising=False)
    module = type(sys)("mpi4py")
    module.MPI = type("Other", (), {"COMM_WORLD": type("World", (), {"size": 1})})
    monkeypatch.setitem(sys.modules, "mpi4py", module)
    monkeypatch.setenv("PMIX_RANK", "2")
    with pytest.raises(InvalidInput, match="the number of ranks is 1; allowed: at least 3") as caught:
        communicator.world.__wrapped__()
    assert "built for another MPI" in caught.value.remedy


def test_one_process_needs_no_mpi(monkeypatch):
    for name in communicator.LAUNCHED_RANK:
        monkeypatch.delenv(name, raising=False)
    assert type(communicator.world.__wrapped__()) is communicator.Alone
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "1")
    assert type(communicator.world.__wrapped__()) is communicator.Alone
