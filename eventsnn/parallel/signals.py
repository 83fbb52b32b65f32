"""SIGTERM, by which schedulers and ``kill`` end a process, made to end a run as Ctrl-C does: saved, and said so."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALLED = 128  # what shells add to the number of a signal that has ended a process
OVERLOOKED = 2  # signals: what one wish to end may bring after the first


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever deals with Ctrl-C deals with it too."""


def exit_status(interrupt: BaseException) -> int:
    """Return the exit status of a command that was interrupted: 130 for Ctrl-C, 143 for SIGTERM."""
    return SIGNALLED + int(signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def sigterm_as_interrupt(ends: bool = True) -> Iterator[None]:
    """While it lasts, SIGTERM raises Terminated in the main thread; if that escapes, it ends the process by SIGTERM.

    ``ends=False`` lets Terminated pass on instead. Nothing changes in other threads, which receive no signals, and
    where SIGTERM is handled or ignored already.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL or not _handles(signal.SIGTERM, _raise_terminated):
        yield
        return
    try:
        yield
    except Terminated:
        if ends:
            # the end that the sender asked for, which who waits for this process can tell from a failure
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """While it lasts, the first OVERLOOKED of Ctrl-C and SIGTERM do nothing; the next acts as it did before.

    For the moments in which one of them is being dealt with. Both often come twice: to a process and to its group, from
    a terminal and from mpiexec. But whoever presses Ctrl-C on and on means it: what is being done is then given up.
    """
    # None: a handler that is not Python's, and could not be put back
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []

    def overlook(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > OVERLOOKED:
            put_back()
            signal.raise_signal(number)

    def put_back() -> None:
        for n in held:
            signal.signal(n, before[n])

    held = [n for n, handler in before.items() if handler is not None]
    held = [n for n in held if _handles(n, overlook)]
    try:
        yield
    finally:
        put_back()


def _handles(number: int, handler: Callable[[int, FrameType | None], Any]) -> bool:
    """Set the handler of a signal; False in other threads than the main one, which cannot."""
    try:
        signal.signal(number, handler)
    except ValueError:
        return False
    return True


def _raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
