"""Every example runs and prints what stands beside it in examples/NAME.out.

Text must be the same and numbers equal within a tolerance: training amplifies the last bit, in which processors and
releases differ. Where that is seen in what is printed, the example says so.
After a change on purpose: python examples/NAME.py > examples/NAME.out.
"""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
PERCENTAGE = re.compile(rf"{NUMBER.pattern}(?= %)")
# (relative, absolute, absolute of percentages); a simulation is the same everywhere but for rounding
EXACT = (1e-6, 2e-9, 2e-9)
TOLERANCE = {
    "03_sequence_detection": (1e-3, 1e-3, 1e-3),
    "04_yin_yang": (0.05, 0.02, 0.02),
    "05_own_loss": (0.05, 0.005, 0.005),
    "10_mackey_glass": (0.3, 0.1, 0.1),
    "11_from_grid_to_events": (0.0, 0.0, 8.0),
    # of 90 samples; initial weights that differ by 1e-15 came to 44, 50, 64 and 70 % in one line
    "08_round_and_permute_delays": (0.0, 0.0, 25.0),
}
SEEN = 0.01  # from which on a tolerance is seen in percentages
SECONDS = 1800  # after which a script hangs: the machine may be busy, and kernels have to be compiled


def split_numbers(text):
    """(the text without numbers and runs of blanks, its numbers as (value, whether it is a percentage))."""
    percentages = {found.start() for found in PERCENTAGE.finditer(text)}
    numbers = [(float(found[0]), found.start() in percentages) for found in NUMBER.finditer(text)]
    return " ".join(NUMBER.sub("#", text).split()), numbers


def differences(expected, found, tolerance):
    """Descriptions of where two outputs differ; empty where they agree."""
    relative, absolute, of_percentages = tolerance
    (text, numbers), (other_text, other_numbers) = split_numbers(expected), split_numbers(found)
    if text != other_text:
        return [f"expected {text!r}", f"found {other_text!r}"]
    pairs = zip(numbers, other_numbers, strict=True)
    return [
        f"{a} and {b}"
        for (a, percentage), (b, _) in pairs
        if not math.isclose(a, b, rel_tol=relative, abs_tol=of_percentages if percentage else absolute)
    ]


def run_script(path, folder):
    """Run a script in ``folder`` with the checkout's package; returns its output, or fails with its errors."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVENTSNN_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=SECONDS,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, result.stderr
    return result.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_prints_what_stands_beside_it(path, tmp_path):
    expected = path.with_suffix(".out").read_text()
    found = run_script(path, tmp_path)
    assert differences(expected, found, TOLERANCE.get(path.stem, EXACT)) == []


def test_an_example_whose_percentages_move_says_so():
    percentages = [name for name in TOLERANCE if "%" in (ROOT / "examples" / f"{name}.out").read_text()]
    moving = [name for name in percentages if max(TOLERANCE[name]) > SEEN]
    assert len(moving) == 3
    for name in moving:
        assert "amplifies rounding" in (ROOT / "examples" / f"{name}.py").read_text(), name


def test_no_example_and_no_output_stands_alone():
    assert len(EXAMPLES) >= 7
    assert {path.stem for path in EXAMPLES} == {path.stem for path in (ROOT / "examples").glob("*.out")}


def test_the_readme_lists_every_example():
    listed = re.findall(r"^\| `examples/(\w+)\.py` \| [^|]+ \| \d+ \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert listed == [path.stem for path in EXAMPLES]


def test_the_comparison_sees_a_changed_number_and_a_changed_word():
    assert differences("loss 1.25, 3 spikes", "loss 1.25, 3  spikes", EXACT) == []
    assert differences("loss 1.25", "loss 1.2500001", EXACT) == []
    assert differences("loss 1.25", "loss 1.2501", EXACT) != []
    assert differences("loss 1.25", "cost 1.25", EXACT) != []
    assert differences("3 spikes", "4 spikes", EXACT) != []
    assert differences("at 5 ms: 80 %", "at 5 ms: 75 %", (0.0, 0.0, 12.0)) == []
    assert differences("at 5 ms: 80 %", "at 6 ms: 80 %", (0.0, 0.0, 12.0)) != []


def test_examples_are_short():
    assert [path.name for path in EXAMPLES if len(path.read_text().splitlines()) >= 60] == []
