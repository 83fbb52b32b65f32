#!/bin/sh
# The lock of Optuna's journal, and what it leads to where the journal is named by a relative path in a folder.
#
# Versions: optuna 5.0.0 (Python 3.11).
# Guess: JournalFileSymlinkLock is a link to the journal, and a lock that a killed process has left is taken over after
# grace_period (30 s), as its documentation says; how the journal's path is written makes no difference.
# Seen: the link holds the path as it was given, which the system reads from the folder of the link. "sweeps/j" leads to
# sweeps/sweeps/j, which is not there. The age of the lock is asked for through the link, so with a relative path in a
# folder no age is found, and a lock that was left is never taken over: whoever comes after waits for ever.
# So: give the lock an absolute path, os.path.abspath(path).
#
# Only the link is looked at here; nothing is left behind and nobody waits. Ends with 0 while that is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install optuna==5.0.0 >/dev/null 2>&1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

from optuna.storages.journal import JournalFileSymlinkLock

os.mkdir("sweeps")
open("sweeps/journal", "w").close()
leads = {}
for path in ("sweeps/journal", os.path.abspath("sweeps/journal")):
    lock = JournalFileSymlinkLock(path)
    lock.acquire()
    kind = "absolute" if os.path.isabs(path) else "relative"
    leads[kind] = os.path.exists("sweeps/journal.lock")
    print(f"{kind}: the lock is there: {os.path.islink('sweeps/journal.lock')}, leads to a file: {leads[kind]}")
    lock.release()
sys.exit(leads != {"relative": False, "absolute": True})
PYTHON
