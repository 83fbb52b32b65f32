"""The lines and the bar that show how far training is."""

import sys
from typing import Any, Self

from .evaluation import per_neuron
from .state import Record, Running


class Progress:
    """A bar over all steps of the fit on a terminal, one line per epoch everywhere; or nothing at all."""

    def __init__(self, shown: bool, total: int, done: int) -> None:
        self.bar: Any = None
        if shown:
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, unit="batch", disable=None, dynamic_ncols=True, smoothing=0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, epoch: int, running: Running) -> None:
        if self.bar is not None and running.samples:
            text = f"loss {running.loss / running.samples:.3f}, {100 * running.correct / running.samples:.1f} %"
            self.bar.set_description(f"epoch {epoch + 1}", refresh=False)
            spikes = per_neuron(running.spikes, running.samples)
            self.bar.set_postfix_str(f"{text}, {spikes:.1f} spikes per neuron", refresh=False)
            self.bar.update()

    def epoch(self, record: Record, epochs: int, best: bool) -> None:
        if self.bar is None:
            return
        line = f"epoch {record['epoch']:3d}/{epochs}"
        line += f"  loss {record['train_loss']:7.4f}  {_percent(record['train_accuracy'])}"
        if record["validation_loss"] is not None:
            line += f"  validation {record['validation_loss']:7.4f}  {_percent(record['validation_accuracy'])}"
        line += f"  {record['spikes_per_neuron']:5.1f} spikes per neuron  {record['seconds']:6.1f} s"
        self.bar.write(line + ("  best" if best else ""), file=sys.stderr)


def _percent(share: float) -> str:
    return f"{100 * share:5.1f} %"
