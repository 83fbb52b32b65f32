"""Frames, MNIST, Speech Commands: real values as weighted spikes, read exactly, refused in words when damaged."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import wavfile

from eventsnn import InvalidInput, UnsafeFile
from eventsnn.data.dataset import Dataset
from eventsnn.data.sets import mnist, speech_commands
from eventsnn.data.sets.mnist import load_sequential_mnist
from eventsnn.data.sets.speech_commands import load_speech_commands
from eventsnn.data.stores.frames import Frames
from eventsnn.surrogate.binning import bin_spikes


@given(arrays(np.uint8, (3, 5, 2), elements=st.integers(0, 9)), st.sampled_from((0.1, 1.0, 5.6)))
def test_on_the_same_grid_the_values_come_back(values, dt):
    frames = Frames(values, dt=dt, scale=0.5)
    batch = frames[np.arange(3)]
    np.testing.assert_array_equal(bin_spikes(batch, 2, dt=dt, duration=5 * dt), 0.5 * values)
    assert sum(len(block) for block in frames.blocks()) == len(frames) == 3
    for sample in range(3):
        np.testing.assert_array_equal(frames[sample].times, batch[sample].times)


def test_an_order_deals_the_steps():
    values = np.array([[[1], [2], [0]]])
    frames = Frames(values, dt=1.0, order=np.array([2, 0, 1]))
    np.testing.assert_array_equal(frames[0].counts, [1.0, 2.0])
    np.testing.assert_array_equal(frames[0].times, [1.5, 2.5])


def test_selections_share_the_values_and_keep_their_order():
    frames = Frames(np.arange(12).reshape(4, 3, 1), dt=1.0)
    chosen = frames.select(np.array([3, 1])).select(slice(0, 1))
    assert len(chosen) == 1 and chosen.n_spikes == 3
    np.testing.assert_array_equal(chosen[0].counts, [9.0, 10.0, 11.0])
    data = Dataset(frames, np.zeros(4, int), 1, 2, 3.0)
    np.testing.assert_array_equal(data.select([2]).spikes[0].counts, [6.0, 7.0, 8.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3)), "samples, steps, channels"),
        (np.zeros((2, 3, 1), complex), "real numbers"),
        (np.array([[[0.0], [-1.0]]]), r"values\[0, 1, 0\] is -1"),
        (np.array([[[0.0], [np.nan]]]), r"values\[0, 1, 0\] is nan"),
    ],
)
def test_values_that_spikes_cannot_count_are_refused(values, message):
    with pytest.raises(InvalidInput, match=message):
        Frames(values, dt=1.0)


# ------------------------------------------------------------------------------------------------------------ MNIST


def write_idx(path, array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "N_TRAIN", 6)
    generator = np.random.default_rng(0)
    for part, n, end in (("train", 8, ".gz"), ("t10k", 3, "")):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{end}", generator.integers(0, 256, (n, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{end}", generator.integers(0, 10, n))
    return tmp_path


def test_pixels_come_one_by_one_in_the_order_of_chance(folder):
    train, validation, test = load_sequential_mnist(folder, permuted=False)
    assert (len(train), len(validation), len(test)) == (6, 2, 3) and train.duration == 784.0
    dealt, _, _ = load_sequential_mnist(folder)
    pixels, shuffled = (bin_spikes(d.spikes[:1], 1, dt=1.0, duration=784.0)[0, :, 0] for d in (train, dealt))
    np.testing.assert_array_equal(pixels[mnist.permutation()], shuffled)
    assert pixels.max() <= 1.0


@pytest.mark.parametrize("pool", [2, 7])
def test_pooled_pixels_are_means_of_squares(folder, pool):
    (train, *_), (whole, *_) = (load_sequential_mnist(folder, permuted=False, pool=p) for p in (pool, 1))
    side = 28 // pool
    assert train.duration == side**2
    pooled = bin_spikes(train.spikes[:], 1, dt=1.0, duration=train.duration).reshape(-1, side, side)
    images = bin_spikes(whole.spikes[:], 1, dt=1.0, duration=784.0).reshape(-1, 28, 28)
    for row, column in ((0, 0), (1, side - 1)):
        square = np.s_[:, pool * row : pool * (row + 1), pool * column : pool * (column + 1)]
        np.testing.assert_allclose(pooled[:, row, column], images[square].mean(axis=(1, 2)), rtol=1e-6)
    dealt, _, _ = load_sequential_mnist(folder, pool=pool)
    shuffled = bin_spikes(dealt.spikes[:1], 1, dt=1.0, duration=dealt.duration)[0, :, 0]
    np.testing.assert_array_equal(pooled[0].ravel()[mnist.permutation(side**2)], shuffled)


def test_squares_that_do_not_fill_the_picture_are_refused(folder):
    with pytest.raises(InvalidInput, match="pool is 3; allowed: one of 1, 2, 4, 7"):
        load_sequential_mnist(folder, pool=3)
    with pytest.raises(InvalidInput, match="pool is True"):
        load_sequential_mnist(folder, pool=True)


def test_pictures_of_another_shape_are_refused(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((3, 14, 56)))
    with pytest.raises(InvalidInput, match="each of 28 x 28 pixels"):
        load_sequential_mnist(folder)


def test_the_permutation_is_the_same_for_everybody():
    order = mnist.permutation()
    assert sorted(order) == list(range(784))
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest() == ORDER


ORDER = "4b38f31dbe32ddb48351642c9b7c9932feeef43945d729f9abbcf8e2a7a5ef88"


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x01", "in 3 dimensions"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x05abc", "5,"),
        ("train-images-idx3-ubyte.gz", b"no gzip", "a whole gzip file"),
    ],
)
def test_damaged_files_are_named(folder, name, raw, message):
    (folder / name).write_bytes(raw)
    with pytest.raises(InvalidInput, match=message):
        load_sequential_mnist(folder)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (2**22, 2**22, 2**20), (60_000, 28, 28)])
def test_a_head_that_claims_more_than_its_file_can_hold_is_refused_before_it_is_read(folder, end, shape):
    raw = bytes((0, 0, 8, 3)) + struct.pack(">3I", *shape) + bytes(100)
    (folder / "t10k-images-idx3-ubyte").unlink()
    (folder / f"t10k-images-idx3-ubyte{end}").write_bytes(gzip.compress(raw) if end else raw)
    with pytest.raises(UnsafeFile, match=r"t10k-images.*: head: claims \(.* bytes; allowed"):
        load_sequential_mnist(folder)


def test_a_packed_file_is_unpacked_no_further_than_its_head_says(folder, monkeypatch):
    taken, opened = [], gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: taken.append(size) or opened(file, size))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 8)) + bytes(2**25)))
    with pytest.raises(InvalidInput, match="train-labels.*more are there"):
        load_sequential_mnist(folder)
    assert min(taken) >= 0 and sum(taken[-2:]) == 8 + 8 + 1


def test_what_is_missing_is_named_with_its_source(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InvalidInput, match="t10k-labels-idx1-ubyte.*yann.lecun.com"):
        load_sequential_mnist(folder)
    with pytest.raises(InvalidInput, match="EVENTSNN_DATA"):
        load_sequential_mnist("nowhere")


# -------------------------------------------------------------------------------------------------- Speech Commands


def tone(hertz, seconds=1.0, size=0.5):
    time = np.arange(round(16_000 * seconds)) / 16_000
    return (32767 * size * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


@pytest.fixture
def words(tmp_path):
    for word, hertz in (("no", 400), ("yes", 2000)):
        (tmp_path / word).mkdir()
        for speaker in range(12):
            wavfile.write(tmp_path / word / f"{speaker:08x}_nohash_0.wav", 16_000, tone(hertz, 0.7))
    (tmp_path / "_background_noise_").mkdir()
    return tmp_path


def test_a_tone_is_loudest_in_its_band_and_silence_is_nothing(words):
    train, validation, test = load_speech_commands(words)
    assert len(train) + len(validation) + len(test) == 24 and train.n_classes == 2 and train.duration == 1000.0
    values = bin_spikes(train.spikes[[0]], 140, dt=10.0, duration=1000.0)[0]
    bands = speech_commands.mel_bands()
    centres = np.fft.rfftfreq(speech_commands.N_FFT, 1 / 16_000)[bands.argmax(axis=0)]
    assert train.labels[0] == 0 and abs(centres[values[30].argmax()] - 400) < 40
    assert values[30].max() > 0.95 and values[75:].max() == 0.0


def test_one_list_without_the_other_would_put_its_files_into_training(words):
    (words / "validation_list.txt").write_text("yes/00000003_nohash_0.wav\n")
    with pytest.raises(InvalidInput, match="validation_list.txt alone'; allowed: .* or neither"):
        load_speech_commands(words)


def test_what_is_no_folder_of_words_is_refused(words, tmp_path_factory):
    with pytest.raises(InvalidInput, match="folder is None; allowed: the path of a folder"):
        load_speech_commands(None)
    above = tmp_path_factory.mktemp("above")
    words.rename(above / "speech_commands")
    with pytest.raises(InvalidInput, match=r"one for each word. Did you mean .*speech_commands\?"):
        load_speech_commands(above)


@pytest.mark.parametrize("duration", [4, 0, -10, np.nan, np.inf, 1005, None])
def test_durations_that_are_no_whole_number_of_steps_are_refused(words, duration):
    with pytest.raises(InvalidInput, match="duration is .*; allowed: a multiple of 10 ms above 0"):
        load_speech_commands(words, duration)


def test_every_band_hears_something():
    assert (speech_commands.mel_bands().sum(axis=0) > 0).all()


def test_all_of_a_speaker_is_in_one_set(words):
    sets = load_speech_commands(words)
    for first in range(3):
        for second in range(first):
            assert not set(sets[first].groups) & set(sets[second].groups)


def test_the_lists_that_come_with_the_data_decide(words):
    (words / "testing_list.txt").write_text("no/00000003_nohash_0.wav\nyes/00000004_nohash_0.wav\n")
    (words / "validation_list.txt").write_text("yes/00000003_nohash_0.wav\n")
    train, validation, test = load_speech_commands(words)
    assert (len(train), len(validation), len(test)) == (21, 1, 2) and list(test.labels) == [0, 1]


@pytest.mark.parametrize(("text", "message"), [(b"\xff\xfe", "as UTF-8 text"), (b"\n", "it is empty")])
def test_lists_that_cannot_be_read_are_named(words, text, message):
    (words / "testing_list.txt").write_text("no/00000003_nohash_0.wav\n")
    (words / "validation_list.txt").write_bytes(text)
    with pytest.raises(InvalidInput, match=f"validation_list.txt.*{message}"):
        load_speech_commands(words)


@pytest.mark.parametrize("kept", [0, 20, 44, 101])
def test_recordings_that_are_cut_short_are_named(words, kept):
    path = words / "no" / "00000002_nohash_0.wav"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidInput, match="00000002_nohash_0.wav"):
        load_speech_commands(words)


def with_data_size(raw, size):
    place = raw.index(b"data") + 4
    return raw[:place] + struct.pack("<I", size) + raw[place + 4 :]


DAMAGE = {
    "data beyond the file": lambda raw: with_data_size(raw, 2**32 - 1),
    "data one sample beyond the file": lambda raw: with_data_size(raw, len(raw) - 42),
    "no data": lambda raw: raw[:4] + struct.pack("<I", 28) + raw[8:36],
    "no channels": lambda raw: raw[:22] + bytes(2) + raw[24:],
    "no bytes a sample": lambda raw: raw[:32] + bytes(4) + raw[36:],
    "unknown coding": lambda raw: raw[:20] + b"\x55\x00" + raw[22:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_recordings_are_named_and_take_no_memory(words, damage):
    path = words / "no" / "00000002_nohash_0.wav"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInput, match="00000002_nohash_0.wav"):
        load_speech_commands(words)


def test_tags_behind_the_end_of_a_recording_do_no_harm(words):
    path = words / "no" / "00000002_nohash_0.wav"
    before = speech_commands.read_wav(path)
    path.write_bytes(path.read_bytes() + b"TAGtitle" + bytes(range(200, 250)))
    np.testing.assert_array_equal(speech_commands.read_wav(path), before)


def test_recordings_of_hours_are_not_taken_into_memory(words, monkeypatch):
    monkeypatch.setattr(speech_commands, "MAX_BYTES", 20_000)
    with pytest.raises(InvalidInput, match="22444 bytes'; allowed: a recording of at most 20000 bytes"):
        speech_commands.read_wav(words / "no" / "00000002_nohash_0.wav")


def test_the_rule_puts_speakers_where_the_published_lists_have_them():
    listed = {"validation": ("026290a7", "060cd039", "099d52ad"), "test": ("0c40e715", "0ea0e2f4", "bb05582b")}
    for part, speakers in listed.items():
        assert {speech_commands.part_of(speaker) for speaker in speakers} == {part}


def test_recordings_of_another_kind_are_named(words):
    wavfile.write(words / "no" / "ffffffff_nohash_0.wav", 8_000, tone(400))
    with pytest.raises(InvalidInput, match="ffffffff_nohash_0.wav: 8000 Hz.*16000 Hz, one channel"):
        load_speech_commands(words)
    (words / "no" / "ffffffff_nohash_0.wav").write_bytes(b"RIFF")
    with pytest.raises(InvalidInput, match="a whole wav file"):
        load_speech_commands(words)
    with pytest.raises(InvalidInput, match="speech_commands_v0.02"):
        load_speech_commands(words / "no")


def test_masked_indices_choose_nothing():
    frames = Frames(np.ones((3, 2, 2)), dt=1.0)
    with pytest.raises(InvalidInput, match=r"index\[1\] is 'masked'"):
        frames.select(np.ma.array([0, 1], mask=[False, True]))
    assert len(frames.select(np.ma.array([2, 1]))) == 2


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_a_step_that_is_a_timedelta64_is_refused(unit):
    with pytest.raises(InvalidInput, match="^dt is .*timedelta64.*; allowed: a finite number > 0"):
        Frames(np.ones((1, 2, 2)), dt=np.timedelta64(2, unit))
