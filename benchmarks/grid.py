"""One training step of DCLS-delays at its published SHD setting: eventsnn's grid engine beside dense convolutions.

140 channels, 105 steps of 10 ms, two layers of 256 with 25 taps, 20 classes, batch normalisation, dropout. The dense
ones compute the same from the same sizes: in NumPy, every convolution a product of SciPy's Fourier transforms; and in
PyTorch, where it is installed, conv1d and automatic differentiation. Everything in float32, on all cores.

Run: python benchmarks/grid.py [--quick]
"""

import argparse
import dataclasses
import importlib.util

import measuring
import numpy as np
from measuring import interleaved
from report import Table
from settings import FULL, QUICK

from eventsnn import SpikeBatch, experiments, losses, surrogate
from eventsnn.experiments.memory import MEGABYTE, peak_memory

CHANNELS, STEPS, TAPS, CLASSES = 140, 105, 25, 20
STEP, DROPOUT, SLOPE, THRESHOLD = 10.0, 0.4, 5.0, 1.0
ALPHA = 1.0 - 1.0 / 1.005
SIGMA = 2.0  # steps: some way into the schedule
SPIKES = 7500  # of a recording, as the spoken digits of SHD have
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Samples of the batch and neurons of each of the two layers."""

    samples: int
    hidden: int


def batch_of(sizes):
    """(SpikeBatch, labels): spikes of random channels that come and go as a word does."""
    generator, trains = np.random.default_rng(0), []
    for _ in range(sizes.samples):
        times = generator.gamma(3.0, 180.0, SPIKES)
        trains.append((times[times < STEPS * STEP], generator.integers(0, CHANNELS, SPIKES)[times < STEPS * STEP]))
    return SpikeBatch.from_lists(trains), generator.integers(0, CLASSES, sizes.samples)


def binned(batch):
    return surrogate.binning.bin_spikes(batch, CHANNELS, dt=STEP, duration=STEPS * STEP)


# -------------------------------------------------------------------------------------------------------- eventsnn


def eventsnn_step(sizes):
    """A function that runs one step, forward and backward."""
    preset = experiments.change(experiments.named("shd-dcls"), [f"network.hidden=[{sizes.hidden}, {sizes.hidden}]"])
    shape = type("Shape", (), {"n_units": CHANNELS, "n_classes": CLASSES})
    network = experiments.build_grid_network(preset, shape)
    parameters = network.initialize(0)
    parameters |= {name: np.asarray(SIGMA * STEP) for name in parameters if name.endswith(".sigma")}
    batch, labels = batch_of(sizes)
    settings = {"loss": losses.SummedSoftmax(), "duration": STEPS * STEP}
    return lambda: surrogate.value_and_grad(network, parameters, batch, labels, **settings)


# ---------------------------------------------------------------------------------------------- dense, by transforms


def _transform(array):
    from scipy.fft import next_fast_len, rfft

    return rfft(array, next_fast_len(STEPS + TAPS, real=True), axis=1, workers=-1).swapaxes(0, 1)


def _back(product, n):
    from scipy.fft import irfft, next_fast_len

    return irfft(product.swapaxes(0, 1), next_fast_len(STEPS + TAPS, real=True), axis=1, workers=-1)[:, :n]


class _Convolution:
    """Delayed synapses as dense kernels (n_pre, lag, n_post) of float32."""

    def __init__(self, n_pre, n_post, generator):
        self.weight = generator.normal(0, np.sqrt(2 / n_pre), (n_pre, 1, n_post)).astype(np.float32)
        self.delay = generator.uniform(0, TAPS - 1, (n_pre, 1, n_post)).astype(np.float32)

    def forward(self, x):
        self.x = x
        self.away = np.arange(TAPS, dtype=np.float32)[:, None] - self.delay
        h = np.exp(-0.5 * (self.away / SIGMA) ** 2)
        self.h = h / h.sum(axis=1, keepdims=True)
        self.fx, self.fk = _transform(x), _transform(self.weight * self.h)
        return _back(np.matmul(self.fx, self.fk), STEPS)

    def backward(self, d):
        fd = _transform(d)
        d_taps = _back(np.matmul(self.fx.conj().swapaxes(1, 2), fd), TAPS)
        slope = self.h * (self.away - (self.h * self.away).sum(axis=1, keepdims=True)) / SIGMA**2
        gradients = (d_taps * self.h).sum(axis=1), (d_taps * self.weight * slope).sum(axis=1)
        return _back(np.matmul(fd, self.fk.conj().swapaxes(1, 2)), STEPS), gradients


class _Layer:
    """Batch normalisation, leaky integrate-and-fire neurons with a hard reset, dropout."""

    def forward(self, x, kept):
        self.kept, self.scale = kept, 1.0 / np.sqrt(x.var(axis=(0, 1)) + EPSILON)
        self.normal = (x - x.mean(axis=(0, 1))) * self.scale
        self.h, self.s = np.empty_like(x), np.empty_like(x)
        v = np.zeros_like(x[:, 0])
        for t in range(STEPS):
            self.h[:, t] = h = np.float32(ALPHA) * v + self.normal[:, t]
            self.s[:, t] = s = (h >= THRESHOLD).astype(np.float32)
            v = h * (1 - s)
        return self.s * kept

    def backward(self, d):
        d = d * self.kept
        u = np.float32(0.5 * np.pi * SLOPE) * (self.h - np.float32(THRESHOLD))
        surrogate_slope, d_in, dv = np.float32(0.5 * SLOPE) / (1 + u * u), np.empty_like(d), np.zeros_like(d[:, 0])
        for t in range(STEPS - 1, -1, -1):
            d_in[:, t] = dh = d[:, t] * surrogate_slope[:, t] + dv * (1 - self.s[:, t])
            dv = np.float32(ALPHA) * dh
        gain, offset = (d_in * self.normal).mean(axis=(0, 1)), d_in.mean(axis=(0, 1))
        return (d_in - offset - self.normal * gain) * self.scale


def transforms_step(sizes):
    """A function that runs one step, forward and backward."""
    generator, (batch, labels) = np.random.default_rng(0), batch_of(sizes)
    widths = [CHANNELS, sizes.hidden, sizes.hidden, CLASSES]
    convolutions = [_Convolution(*pair, generator) for pair in zip(widths[:-1], widths[1:], strict=True)]
    layers = [_Layer(), _Layer()]

    def step():
        values = binned(batch)
        for convolution, layer in zip(convolutions, layers, strict=False):
            kept = (generator.random((sizes.samples, 1, sizes.hidden)) > DROPOUT).astype(np.float32) / (1 - DROPOUT)
            values = layer.forward(convolution.forward(values), kept.astype(np.float32))
        current, v, voltages = convolutions[-1].forward(values), 0.0, []
        for t in range(STEPS):
            v = np.float32(ALPHA) * v + current[:, t]
            voltages.append(v)
        voltages = np.stack(voltages, axis=1)
        shares = np.exp(voltages - voltages.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        logits = np.exp(shares.sum(axis=1))
        pull = logits / logits.sum(axis=1, keepdims=True)
        pull[np.arange(len(labels)), labels] -= 1.0
        d = shares * (pull / len(labels))[:, None]
        d -= shares * d.sum(axis=2, keepdims=True)
        for t in range(STEPS - 2, -1, -1):
            d[:, t] += np.float32(ALPHA) * d[:, t + 1]
        gradients = []
        for convolution, layer in zip(reversed(convolutions), [*reversed(layers), None], strict=True):
            d, found = convolution.backward(d.astype(np.float32))
            gradients.append(found)
            d = None if layer is None else layer.backward(d)
        return gradients

    return step


# ---------------------------------------------------------------------------------------------------------- PyTorch


def torch_step(sizes):
    """A function that runs one step, forward and backward."""
    import torch
    from torch.nn import functional

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(context, u):
            context.save_for_backward(u)
            return (u >= 0).to(u)

        @staticmethod
        def backward(context, d):
            (u,) = context.saved_tensors
            return d * 0.5 * SLOPE / (1 + (0.5 * np.pi * SLOPE * u) ** 2)

    torch.manual_seed(0)
    batch, labels = batch_of(sizes)
    widths = [CHANNELS, sizes.hidden, sizes.hidden, CLASSES]
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    weights = [torch.nn.init.kaiming_uniform_(torch.empty(b, a)).requires_grad_() for a, b in pairs]
    delays = [((TAPS - 1) * torch.rand(b, a)).requires_grad_() for a, b in pairs]
    norms, lags = [torch.nn.BatchNorm1d(sizes.hidden) for _ in range(2)], torch.arange(TAPS).float()
    targets = torch.from_numpy(labels)

    def convolve(x, weight, delay):
        h = torch.exp(-0.5 * ((lags - delay[..., None]) / SIGMA) ** 2)
        h = h / h.sum(-1, keepdim=True)
        return functional.conv1d(functional.pad(x, (TAPS - 1, 0)), (weight[..., None] * h).flip(-1))

    def fire(x):
        v, fired = torch.zeros_like(x[..., 0]), []
        for t in range(STEPS):
            h = ALPHA * v + x[..., t]
            s = Spike.apply(h - THRESHOLD)
            v = h * (1 - s.detach())
            fired.append(s)
        return torch.stack(fired, -1)

    def step():
        values = torch.from_numpy(np.ascontiguousarray(binned(batch).swapaxes(1, 2)))
        for weight, delay, norm in zip(weights, delays, norms, strict=False):
            kept = (torch.rand(sizes.samples, sizes.hidden, 1) > DROPOUT) / (1 - DROPOUT)
            values = fire(norm(convolve(values, weight, delay))) * kept
        current, v, logits = convolve(values, weights[-1], delays[-1]), 0.0, 0.0
        for t in range(STEPS):
            v = ALPHA * v + current[..., t]
            logits = logits + functional.softmax(v, 1)
        loss = functional.cross_entropy(logits, targets)
        return torch.autograd.grad(loss, [*weights, *delays, *(p for norm in norms for p in norm.parameters())])

    return step


ENGINES = {"eventsnn": eventsnn_step, "dense, SciPy FFT": transforms_step, "dense, PyTorch conv1d": torch_step}


def present():
    """{engine: what makes its step} of those that are installed."""
    lacking = [] if importlib.util.find_spec("torch") else ["dense, PyTorch conv1d"]
    return {name: make for name, make in ENGINES.items() if name not in lacking}


def memory(name, samples, hidden):
    """Bytes at the peak of two steps in this process: in all, and above what the imports took."""
    if "PyTorch" in name:
        import torch  # noqa: F401
    imported = peak_memory()
    step = ENGINES[name](Sizes(samples, hidden))
    step()
    step()
    return {"peak": peak_memory(), "above_import": peak_memory() - imported}


def grid_table(settings):
    """Seconds and memory of one step of each engine, and of the others in units of eventsnn's."""
    sizes = Sizes(settings.grid_samples, settings.grid_hidden)
    makers = present()
    timings = interleaved({name: make(sizes) for name, make in makers.items()}, settings)
    held = {name: measuring.in_own_process("grid", "memory", name, *dataclasses.astuple(sizes)) for name in makers}
    rows = []
    for name, timing in timings.items():
        row = {"engine": name, "seconds": timing.least, "seconds_median": timing.median}
        row["to_eventsnn"] = timing.least / timings["eventsnn"].least
        row |= {key: value / MEGABYTE for key, value in held[name].items()}
        row["memory_to_eventsnn"] = held[name]["peak"] / held["eventsnn"]["peak"]
        rows.append(row)
    columns = {"engine": ("engine", ""), "seconds": ("s/step", ".3f"), "to_eventsnn": ("/eventsnn", ".2f")}
    columns |= {"peak": ("peak MB", ".0f"), "above_import": ("above import", ".0f")}
    columns |= {"memory_to_eventsnn": ("peak/eventsnn", ".2f")}
    title = f"DCLS-delays: one step, 140-{sizes.hidden}-{sizes.hidden}-20, 105 steps, 25 taps, batch {sizes.samples}"
    notes = [] if len(makers) == len(ENGINES) else ["PyTorch is left out: it is not installed."]
    return Table("grid", title, columns, rows, notes=notes)


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller batch and fewer repeats")
    print(grid_table(QUICK if parser.parse_args().quick else FULL).markdown())


if __name__ == "__main__":
    main()
