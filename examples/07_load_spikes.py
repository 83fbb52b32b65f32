"""Bring your own spikes: from lists, from event cameras, from SHD-like files, and the shipped data."""

import numpy as np

from eventsnn import InvalidInput, SpikeBatch, data

# lists of (times in ms, units) or (times, units, counts), in any order
batch = SpikeBatch.from_lists([([5.0, 1.0, 1.0], [2, 0, 1]), ([3.5], [1]), ([], [])])
print(
    f"{batch.n_samples} samples, {batch.times.size} spikes, first sample: {batch[0].times} ms, units {batch[0].units}"
)

# structured arrays with fields t (microseconds), x and perhaps y and p, as tonic and other libraries give them
events = np.array([(1500, 3, 0), (2750, 3, 1)], dtype=[("t", int), ("x", int), ("p", int)])
camera = SpikeBatch.from_structured([events], polarity="keep")
print(f"event camera: {camera.times} ms, units {camera.units} (2 x + p)")

# what no engine can mean is refused, with its name, place and value
try:
    SpikeBatch.from_lists([([1.0, float("nan")], [0, 1])])
except InvalidInput as error:
    print(f"refused: {error}")

# the shipped spoken digits; load_shd, load_ssc, load_braille and load_yin_yang give Datasets, too
train, test = data.load_spoken_digits()
print(f"{train.name}: {len(train)} recordings of speakers {np.unique(train.groups)}, {train.n_units} channels")
print(f"{test.name}: {len(test)} recordings of speakers {np.unique(test.groups)}, {test.n_classes} classes")
rest, held_out = train.split_by_group([10, 11])
print(f"held out for validation: {len(held_out)} of {len(rest) + len(held_out)}")

small = rest.merge_channels(5)
print(f"merged: {small.n_units} channels, {rest.spikes.times.size} spikes became {small.spikes.times.size} with counts")
augment = data.Augmentation(channel_shift=40, blend=0.5)
indices, _, labels = next(rest.batches(8, seed=0, epoch=0))
augmented = augment(rest, indices, seed=0, epoch=0)
print(f"a batch: labels {labels}, {augmented.times.size} augmented spikes")
