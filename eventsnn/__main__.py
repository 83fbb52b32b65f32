"""``python -m eventsnn``, and the command ``eventsnn``."""

import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


def main() -> int:
    """Run the command line of the process and return its exit code.

    Ctrl-C is a line on stderr from the first moment, also in the seconds in which the libraries are imported.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and not ignored, as in the background of a script
        signal.signal(signal.SIGINT, _leave)
    from .cli.commands import main as run

    signal.signal(signal.SIGINT, before)
    try:
        return run()
    except KeyboardInterrupt:  # after the command had done its work
        _leave()


def _leave(*_: object) -> NoReturn:
    """End the process at once: an exception would be lost in some imports, and be another error after others."""
    os.write(2, b"eventsnn: interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
