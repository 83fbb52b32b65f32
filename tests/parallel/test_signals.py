"""SIGTERM is dealt with as Ctrl-C is, and nobody else's handlers are touched.

Hazards: a handler left behind; one of the user's replaced; a process that says it ended well when it was terminated.
"""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eventsnn.parallel.signals import Terminated, exit_status, sigterm_as_interrupt, uninterrupted

ROOT = Path(__file__).resolve().parents[2]


def test_sigterm_is_an_interrupt_while_it_lasts():
    with pytest.raises(KeyboardInterrupt) as caught, sigterm_as_interrupt(ends=False):
        signal.raise_signal(signal.SIGTERM)
    assert caught.type is Terminated and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_exit_statuses_are_those_of_shells():
    assert exit_status(KeyboardInterrupt()) == 130 and exit_status(Terminated()) == 143


def test_the_inner_of_two_leaves_the_signal_to_the_outer():
    with sigterm_as_interrupt(ends=False):
        with pytest.raises(Terminated), sigterm_as_interrupt():  # which would end this process
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_who_handles_or_ignores_sigterm_keeps_doing_so(handler):
    signal.signal(signal.SIGTERM, handler)
    try:
        with sigterm_as_interrupt():
            signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is handler
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_nothing_disturbs_what_may_not_be_interrupted():
    before, done = signal.getsignal(signal.SIGINT), []
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        done.append(True)
    assert done and signal.getsignal(signal.SIGINT) is before and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("last", [signal.SIGINT, signal.SIGTERM])
def test_who_goes_on_pressing_is_heard(last):
    before = signal.getsignal(signal.SIGINT)
    with sigterm_as_interrupt(ends=False):
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(KeyboardInterrupt) as caught, uninterrupted():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(last)
            passed = True
            signal.raise_signal(last)
            passed = False
        assert passed and (caught.type is Terminated) == (last == signal.SIGTERM)
        assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert signal.getsignal(signal.SIGINT) is before and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_threads_can_pass_through():
    found = []

    def work():
        with sigterm_as_interrupt(), uninterrupted():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


SCRIPT = """
import signal
from eventsnn.parallel.signals import sigterm_as_interrupt
with sigterm_as_interrupt():
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        print("saved", flush=True)
        raise
print("went on")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_what_escapes_ends_the_process_as_sigterm_does():
    found = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (found.returncode, found.stdout, found.stderr) == (-signal.SIGTERM, "saved\n", "")
