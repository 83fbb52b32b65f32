"""Write the tables of docs/results.md from docs/results/*.json, which are the summaries of real runs.

python docs/make_results.py                    write the tables anew
python docs/make_results.py NAME RUN_FOLDER    take a finished run, with its seeds and controls, in as NAME first
"""

import json
import re
import sys
from pathlib import Path

from eventsnn import runs

HERE = Path(__file__).parent
PAGE, RESULTS = HERE / "results.md", HERE / "results"
TABLE = re.compile(r"(<!-- table: (?P<names>[^>]+?) -->\n)(?P<table>.*?)(<!-- end -->)", re.DOTALL)
HEADINGS = ("", "seeds", "test accuracy (%)", "95 % interval", "weights", "delays", "spikes", "epochs", "minutes")


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


def row(label, found):
    """One row of a table, from the summary of a mode."""
    low, high = (f"{100 * bound:.1f}" for bound in found["interval"])
    spread = "" if found["sd"] is None else f" ± {100 * found['sd']:.1f}"
    counts = found["parameters"]
    other = f" + {counts['other']:,}" if counts["other"] else ""
    return (
        label, str(len(found["seeds"])), f"{100 * found['accuracy']:.1f}{spread}", f"{low} to {high}",
        f"{counts['weights']:,}{other}", f"{counts['delays']:,}", f"{found['spikes_per_neuron']:.1f}",
        f"{found['epochs']:.0f}", f"{found['minutes']:.1f}",
    )  # fmt: skip


def table(names):
    """The rows of the named results, and the commands that make them again."""
    lines = [" | ".join(HEADINGS), "|".join(["---", *["---:"] * (len(HEADINGS) - 1)])]
    commands = []
    for name in names:
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for mode, item in found.items():
            lines.append(" | ".join(row(f"{name}, delays {mode}", item)))
            commands.append(item["command"])
    commands = "\n".join(dict.fromkeys(commands))
    return "\n".join(f"| {line} |" for line in lines) + f"\n\n```sh\n{commands}\n```\n"


def written(page):
    """The page with its tables as the results make them."""
    return TABLE.sub(lambda found: found[1] + table(found["names"].split()) + found[4], page)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        take_in(*sys.argv[1:])
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
