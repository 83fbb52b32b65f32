"""Write the tables of docs/results.md from docs/results/*.json, which are the summaries of real runs.

python docs/make_results.py                    write the tables anew
python docs/make_results.py NAME RUN_FOLDER    take a finished run, with its seeds and controls, in as NAME first
python docs/make_results.py --delays NAME RUN_FOLDER
                                               evaluate it with its delays rounded and permuted, as NAME-delays, first
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from eventsnn.experiments import results, runs

HERE = Path(__file__).parent
PAGE, RESULTS = HERE / "results.md", HERE / "results"
TABLE = re.compile(r"(<!-- (?P<kind>table|delays): (?P<names>[^>]+?) -->\n)(?P<table>.*?)(<!-- end -->)", re.DOTALL)
# what is done to the delays of a trained network, and the option of `eventsnn evaluate` that does it
CHANGES = {
    "as trained": (),
    "rounded to 1 ms": ("--round-delays", "1"),
    "permuted, mean of 5": ("--permute-delays", "5"),
}


def take_in(name, folder):
    """Write the summaries of a run folder, {mode: summary}, as docs/results/NAME.json."""
    folder = Path(folder)
    found = runs.read_json(folder / runs.COMPARISON)
    if found is None:
        result = runs.read_json(folder / runs.RESULT)
        if result is None:
            sys.exit(f"{folder} holds no finished run")
        found = {result["delays"]: runs.summary([result])}
    RESULTS.mkdir(exist_ok=True)
    runs.write_json(RESULTS / f"{name}.json", found)


def take_in_delays(name, folder):
    """Evaluate every seed of a run folder, and of its control with fixed delays, into docs/results/NAME-delays.json."""
    folder, found = Path(folder), {}
    compared = runs.read_json(folder / runs.COMPARISON)
    if compared is None:
        result = runs.read_json(folder / runs.RESULT)
        compared = {result["delays"]: {"seeds": [result["seed"]]}}
    main = next(iter(compared))
    for mode in compared:
        seeds = compared[mode]["seeds"]
        below = "." if mode == main else f"controls/{mode}"
        places = [runs.seed_folder(folder, seed, seeds) / below for seed in seeds]
        if mode in ("learned", "fixed"):
            shown = Path("runs", name, places[0].relative_to(folder)).as_posix()
            found[mode] = {
                "accuracies": {
                    label: [_accuracy(run, options) for run in places] for label, options in CHANGES.items()
                },
                "commands": [shlex.join(["eventsnn", "evaluate", shown, *options]) for options in CHANGES.values()],
            }
    runs.write_json(RESULTS / f"{name}-delays.json", found)


def _accuracy(folder, options):
    """The test accuracy of a run with its delays changed: the mean of several where they are drawn."""
    command = [sys.executable, "-m", "eventsnn", "evaluate", str(folder), "--json", *options]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return float(np.mean([item["accuracy"] for item in (found if isinstance(found, list) else [found])]))


def table(names):
    """The rows of the named results, and the commands that make them again."""
    rows, commands = [], []
    for name in names:
        for mode, item in _read(name).items():
            rows.append((f"{name}, delays {mode}", *(cell.replace("+-", "±") for cell in results.cells(item))))
        commands.append(item["command"])  # the last mode's command makes those before it too
    return _written(("", *results.COLUMNS), rows, commands)


def delays_table(names):
    """The rows of what changed delays leave of the named results, and the commands for the first of their seeds."""
    rows, commands = [], []
    for name in names:
        for mode, found in _read(f"{name}-delays").items():
            rows.append((f"{name}, delays {mode}", *(_mean(found["accuracies"][label]) for label in CHANGES)))
            commands += found["commands"]
    return _written(("test accuracy (%)", *CHANGES), rows, commands)


def _read(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _mean(shares):
    spread = "" if len(shares) == 1 else f" ± {100 * np.std(shares, ddof=1):.1f}"
    return f"{100 * np.mean(shares):.1f}{spread}"


def _written(headings, rows, commands):
    """A table, without the columns in which no row says anything, and the commands below it."""
    told = [column for column in zip(headings, *rows, strict=True) if any(column[1:])]
    headings, *rows = zip(*told, strict=True)
    lines = [
        " | ".join(headings),
        "|".join(["---", *["---:"] * (len(headings) - 1)]),
        *(" | ".join(row) for row in rows),
    ]
    return "\n".join(f"| {line} |" for line in lines) + "\n\n```sh\n" + "\n".join(dict.fromkeys(commands)) + "\n```\n"


def written(page):
    """The page with its tables as the results make them."""
    kinds = {"table": table, "delays": delays_table}
    return TABLE.sub(lambda found: found[1] + kinds[found["kind"]](found["names"].split()) + found[5], page)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] == "--delays":
        take_in_delays(*arguments[1:])
    elif len(arguments) == 2:
        take_in(*arguments)
    elif arguments:
        sys.exit(__doc__)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
