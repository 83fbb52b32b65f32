"""How much is measured: all of it, a quick look, or next to nothing for the tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes and repeats of one run of the suite; durations in ms, ``seconds`` the most that one row should take."""

    repeats: int = 9
    seconds: float = 8.0
    samples: int = 4
    hidden: tuple = (128, 256)
    yin_yang_hidden: tuple = (100, 200)
    yin_yang_batches: tuple = (32, 256)
    batch: int = 32
    memory_hidden: int = 256
    memory_durations: tuple = (1000.0, 4000.0)
    curve_hidden: int = 256
    dense_neurons: tuple = (10, 32, 100, 316, 1000)
    sparse_neurons: tuple = (1000, 3162, 10_000, 31_623, 100_000)
    curve_events: int = 4_000_000
    input_rates: tuple = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
    longest_delays: tuple = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    durations: tuple = (10.0, 100.0, 1000.0, 10_000.0, 100_000.0)
    drives: tuple = (0.004, 0.006, 0.008, 0.01, 0.0126, 0.02, 0.03, 0.05, 0.1)
    memory_curve: tuple = (10.0, 100.0, 1000.0, 4000.0, 16_000.0)
    memory_curve_samples: int = 4
    stream_curve: tuple = (1000.0, 10_000.0, 30_000.0, 100_000.0)
    grid_samples: int = 256
    grid_hidden: int = 256


FULL = Settings()
QUICK = Settings(
    repeats=3,
    seconds=2.0,
    samples=2,
    batch=8,
    sparse_neurons=(1000, 10_000),
    dense_neurons=(10, 100, 1000),
    curve_events=1_000_000,
    input_rates=(500, 4000, 16_000),
    longest_delays=(1.0, 30.0, 300.0),
    durations=(10.0, 1000.0, 10_000.0),
    drives=(0.006, 0.0126, 0.05),
    memory_curve=(100.0, 1000.0, 4000.0),
    memory_curve_samples=2,
    stream_curve=(1000.0, 10_000.0),
    grid_samples=64,
)
TINY = Settings(
    repeats=1,
    seconds=0.1,
    samples=1,
    hidden=(8,),
    yin_yang_hidden=(8,),
    yin_yang_batches=(2,),
    batch=2,
    memory_hidden=8,
    memory_durations=(20.0,),
    curve_hidden=8,
    dense_neurons=(10,),
    sparse_neurons=(20,),
    curve_events=1000,
    input_rates=(500,),
    longest_delays=(1.0,),
    durations=(10.0,),
    drives=(0.01,),
    memory_curve=(20.0,),
    memory_curve_samples=1,
    stream_curve=(20.0,),
    grid_samples=4,
    grid_hidden=8,
)
