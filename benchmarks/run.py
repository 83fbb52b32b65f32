"""Run every benchmark: print tables, write one JSON file, draw the curves; see benchmarks/README.md.

Run: python benchmarks/run.py [--quick] [--peers] [--out DIR] [--name NAME]
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import costs
import curves
import grid
import peers
import report
from measuring import machine, today, versions
from settings import FULL, QUICK

RESULTS = Path("runs") / "benchmarks"


def all_tables(settings, with_peers=False):
    """Yield every table as soon as it is measured."""
    recurrent = costs.recurrent_table(settings)
    yield recurrent
    yield costs.layout_table(recurrent)
    yield costs.yin_yang_table(settings)
    yield costs.threads_table(settings)
    yield costs.memory_table(settings)
    yield costs.compile_table(settings)
    yield grid.grid_table(settings)
    for curve in curves.CURVES:
        yield curve(settings)
    if with_peers:
        yield peers.peers_table(settings)


def conclude(tables, settings, folder, name):
    """Write ``name``.json, ``name``.md and the figures to ``folder``; returns the lines to print."""
    result = {"date": today(), "machine": machine(), "versions": versions(), "settings": dataclasses.asdict(settings)}
    result["tables"] = {table.name: table.to_dict() for table in tables}
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    drawn = [table for table in tables if table.plot is not None and table.rows]
    figures = folder / name
    if report.can_draw():
        figures.mkdir(exist_ok=True)
        paths = [report.draw(table, figures) for table in drawn]
        said = f"figures in {figures}"
    else:
        paths, said = [], "no figures: matplotlib is not installed (.venv/bin/pip install -e '.[plot]')"
    parts = [f"# Benchmarks, {result['date']}", report.heading(result["machine"], result["versions"])]
    parts += [table.markdown() for table in tables]
    parts += [f"![{path.stem}]({path.relative_to(folder).as_posix()})\n" for path in paths]
    (folder / f"{name}.md").write_text("\n".join(parts))
    return [f"results in {folder / name}.json and .md", said]


def main(arguments=None):
    """Run every measurement, print it, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repeats: about two minutes")
    parser.add_argument("--peers", action="store_true", help="measure installed peers too (see benchmarks/peers.py)")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"folder for the results (default {RESULTS})")
    parser.add_argument("--name", help="name of the result (default: full or quick)")
    options = parser.parse_args(arguments)
    settings = QUICK if options.quick else FULL
    options.out.mkdir(parents=True, exist_ok=True)
    print(report.heading(machine(), versions()), flush=True)
    start, tables = time.perf_counter(), []
    for table in all_tables(settings, options.peers):
        tables.append(table)
        print(f"{table.markdown()}\n({time.perf_counter() - start:.0f} s)\n", flush=True)
    print(*conclude(tables, settings, options.out, options.name or ("quick" if options.quick else "full")), sep="\n")


if __name__ == "__main__":
    main()
