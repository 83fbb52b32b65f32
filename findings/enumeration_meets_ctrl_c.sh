#!/bin/sh
# Ctrl-C while a compiled function of Numba runs whose result is a tuple with a member of an enumeration.
#
# Versions: numba 0.68.1, llvmlite 0.50.0, numpy 2.4.6 (Python 3.11).
# Guess: the handler of a signal waits until a compiled function has returned, whatever it returns, and the program sees
# the exception that the handler raised: KeyboardInterrupt for Ctrl-C.
# Seen: so it is for numbers, and for a member alone. A member in a tuple is made by code of Python while the tuple is put
# together: the handler runs in there, the tuple is made all the same, and the call ends in a SystemError ("returned a
# result with an exception set"), with the KeyboardInterrupt behind it. "except KeyboardInterrupt" does not catch it.
# So: functions that a simulator's users may interrupt return the number (Status.OK.value), not the member.
#
# Ends with 0 while that is so, with 1 when Numba does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install numba==0.68.1 llvmlite==0.50.0 numpy==2.4.6 >/dev/null 2>&1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import signal
import sys
import threading
import time
from enum import IntEnum

import numba
import numpy as np


class Status(IntEnum):
    OK = 0


@numba.njit(nogil=True)
def busy(sums, n):
    for k in range(n):
        sums[k % 7] += sums[(k * k) % 11]


@numba.njit(nogil=True)
def number(sums, n):
    busy(sums, n)
    return Status.OK.value, n


@numba.njit(nogil=True)
def member(sums, n):
    busy(sums, n)
    return Status.OK, n


def ended(function):
    """How a call ends that Ctrl-C meets half way."""
    sums, n, seconds = np.ones(11), 1000, 0.0
    while seconds < 1.0:
        n *= 2
        begin = time.perf_counter()
        function(sums, n)
        seconds = time.perf_counter() - begin
    timer = threading.Timer(0.3 * seconds, signal.raise_signal, (signal.SIGINT,))
    try:
        timer.start()
        function(sums, n)
        time.sleep(seconds)
    except BaseException as error:
        return f"{type(error).__name__} after {type(error.__cause__).__name__}"
    finally:
        timer.join()


found = {"number": ended(number), "member": ended(member)}
for name, error in found.items():
    print(f"{name}: {error}")
sys.exit(found != {"number": "KeyboardInterrupt after NoneType", "member": "SystemError after KeyboardInterrupt"})
PYTHON
