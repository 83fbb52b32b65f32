"""Settings of a run that takes no time."""

TINY = ["data.samples=40", "network.hidden=[4]", "training.epochs=1"]
