"""Settings of a run that takes no time, and the command that trains it."""

from eventsnn.cli import main

TOML = """
base = "yin-yang"
[data]
samples = 120
[network]
hidden = [8]
[training]
epochs = 2
"""


def train(*arguments):
    return main(["train", *map(str, arguments), "--threads", "1", "--quiet"])
