"""Checkpoints: round trip, determinism, generations, resuming an optimiser, what cannot be stored."""

import json
import math
import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eventsnn.checkpoints import DTYPES, MAX_META, exists, load, save
from eventsnn.errors import CheckpointError, InvalidInput
from eventsnn.optimizers import SGD, Adam, Cosine, Optimizer
from eventsnn.random import stream

ARRAYS = {
    "in->hidden.weight": np.arange(6.0).reshape(2, 3),
    "step": np.array(7, dtype=np.int64),
    "mask": np.array([True, False]),
    "empty": np.empty((0, 3), dtype=np.float32),
}
META = {"epoch": 3, "history": [0.5, None, "x"], "network": {"fingerprint": "ab"}, "ok": True}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run.ckpt")


def files(path):
    return sorted(os.listdir(os.path.dirname(path)))


def content(path):
    with open(path, "rb") as file:
        return file.read()


def same(left, right):
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def test_round_trip(path):
    save(path, ARRAYS, META)
    arrays, meta = load(path)
    assert same(arrays, ARRAYS)
    assert list(arrays) == sorted(ARRAYS)
    assert meta == META
    assert files(path) == ["run.ckpt"]


def test_loaded_arrays_are_the_callers_own(path):
    save(path, ARRAYS, META)
    arrays, _ = load(path)
    for array in arrays.values():
        assert array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
        array.fill(1)
    assert same(load(path)[0], ARRAYS)


ANY_DTYPE = st.sampled_from([np.dtype(code).newbyteorder(order) for code in DTYPES for order in "<>"])
ANY_ARRAY = ANY_DTYPE.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**128), 2**128) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    arrays=st.dictionaries(st.text(max_size=12), ANY_ARRAY, max_size=4),
    meta=st.dictionaries(st.text(max_size=8), ANY_JSON, max_size=3),
)
def test_every_dtype_and_shape_round_trips(tmp_path_factory, arrays, meta):
    path = tmp_path_factory.getbasetemp() / "hypothesis.ckpt"
    save(path, arrays, meta)
    loaded, loaded_meta = load(path)
    native = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    assert same(loaded, native)
    assert loaded_meta == meta


@pytest.mark.parametrize("order", ["C", "F", "strided", "big-endian", "scalar"])
def test_memory_layout_does_not_change_the_file(path, order):
    source = np.arange(12.0).reshape(3, 4)
    variants = {
        "C": source,
        "F": np.asfortranarray(source),
        "strided": np.repeat(source, 2, axis=1)[:, ::2],
        "big-endian": source.astype(">f8"),
    }
    if order == "scalar":
        save(path, {"w": np.float64(2.5)}, {})
        save(path + "2", {"w": np.array(2.5)}, {})
    else:
        save(path, {"w": source}, {})
        save(path + "2", {"w": variants[order]}, {})
    assert content(path) == content(path + "2")


def test_equal_content_gives_equal_bytes_whatever_the_order(path):
    save(path, ARRAYS, META)
    save(path + "2", dict(reversed(ARRAYS.items())), dict(reversed(META.items())))
    assert content(path) == content(path + "2")


def test_large_arrays_of_many_chunks(path):
    arrays = {"w": stream(0, "w").normal(size=(700, 512)), "b": np.arange(2**18 + 1, dtype=np.uint8)}
    save(path, arrays, {})
    assert same(load(path)[0], arrays)


def test_infinities_and_nan_in_arrays_and_meta(path):
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324])
    save(path, {"odd": odd}, {"best": math.inf, "worst": math.nan})
    arrays, meta = load(path)
    assert arrays["odd"].tobytes() == odd.tobytes()
    assert meta["best"] == math.inf and math.isnan(meta["worst"])


def test_tuples_come_back_as_lists(path):
    save(path, {}, {"betas": (0.9, 0.999)})
    assert load(path) == ({}, {"betas": [0.9, 0.999]})


# ---------------------------------------------------------------------------------------------------- long lists


def long_lists():
    """Metadata with lists that become arrays, and some that look alike and stay text."""
    return {
        "floats": [0.1 * k for k in range(2_000)] + [math.inf, -0.0, 5e-324],
        "ints": [{"indices": list(range(-5, 3_000))}, {"indices": []}],
        "bools": [[k % 3 == 0 for k in range(100)] for _ in range(60)],
        "with/slash.and [0]": [2**63 - 1] * 1_500,
        "text": {"large": [2**63] * 1_500, "mixed": [1, 2.0] * 1_000, "ragged": [[1] * 900, [1] * 901]},
        "none": [None] * 2_000,
        "short": [1.0, 2.0],
    }


def test_long_lists_of_the_metadata_lie_in_arrays_and_come_back_as_they_were(path):
    meta = long_lists()
    save(path, ARRAYS, meta)
    arrays, found = load(path)
    assert same(arrays, ARRAYS) and found == meta
    assert repr(found["floats"]) == repr(meta["floats"])
    kinds = [{type(k) for k in found[name][0]} for name in ("bools",)] + [{type(k) for k in found["floats"]}]
    assert kinds == [{bool}, {float}]
    assert content(path)[8] == 2


def test_metadata_far_beyond_the_limit_of_text_are_stored(path):
    meta = {"network": {"values": stream(0, "w").normal(size=MAX_META // 16).tolist()}}
    assert len(json.dumps(meta)) > MAX_META
    save(path, {}, meta)
    assert load(path) == ({}, meta)
    assert os.path.getsize(path) < 1.1 * 8 * len(meta["network"]["values"])


def test_numpy_floats_and_tuples_in_long_lists(path):
    save(path, {}, {"a": list(np.arange(2_000.0)), "b": tuple((k, k) for k in range(1_000))})
    assert load(path)[1] == {"a": [float(k) for k in range(2_000)], "b": [[k, k] for k in range(1_000)]}


def test_metadata_without_long_lists_are_written_as_ever(path):
    save(path, ARRAYS, META)
    assert content(path)[8] == 1


def test_the_order_of_keys_does_not_change_a_file_with_lists(path):
    meta = long_lists()
    save(path, ARRAYS, meta)
    save(path + "2", ARRAYS, dict(reversed(meta.items())))
    assert content(path) == content(path + "2")


@given(length=st.integers(0, 3), sizes=st.lists(st.integers(0, 40), max_size=3))
def test_nested_lists_of_any_shape_round_trip(tmp_path_factory, length, sizes):
    path = tmp_path_factory.getbasetemp() / "nested.ckpt"
    meta = {"a": np.arange(math.prod(sizes)).reshape(sizes).tolist(), "b": [[0.5] * 40] * length}
    save(path, {}, meta)
    assert load(path)[1] == meta


# --------------------------------------------------------------------------------------------------- generations


def save_generations(path, count, **options):
    for generation in range(1, count + 1):
        save(path, {"w": np.full(3, float(generation))}, {"generation": generation}, **options)


def generation(path):
    arrays, meta = load(path)
    assert arrays["w"].tolist() == [float(meta["generation"])] * 3
    return meta["generation"]


def test_the_generation_before_is_kept(path):
    save_generations(path, 4)
    assert (generation(path), generation(path + ".previous")) == (4, 3)
    assert files(path) == ["run.ckpt", "run.ckpt.previous"]


def test_keep_1_leaves_one_file(path):
    save_generations(path, 2)
    save_generations(path, 3, keep=1)
    assert generation(path) == 3
    assert files(path) == ["run.ckpt"]


def test_a_file_system_without_hard_links_keeps_two_generations_too(path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    save_generations(path, 3)
    assert (generation(path), generation(path + ".previous")) == (3, 2)
    assert files(path) == ["run.ckpt", "run.ckpt.previous"]


def test_a_damaged_checkpoint_falls_back_with_a_warning_that_names_the_field(path):
    save_generations(path, 2)
    data = bytearray(content(path))
    data[-1] ^= 1
    with open(path, "wb") as file:
        file.write(data)
    with pytest.warns(RuntimeWarning, match=r"array w: checksum does not match; loaded the previous generation"):
        assert generation(path) == 1


def test_a_missing_checkpoint_falls_back_with_a_warning(path):
    save_generations(path, 2)
    os.unlink(path)
    assert exists(path)
    with pytest.warns(RuntimeWarning, match="file: cannot be read: No such file"):
        assert generation(path) == 1


def test_a_damaged_file_does_not_push_out_the_good_previous_generation(path):
    save_generations(path, 2)
    with open(path, "r+b") as file:
        file.truncate(60)
    save(path, {"w": np.full(3, 3.0)}, {"generation": 3})
    assert (generation(path), generation(path + ".previous")) == (3, 1)


def test_both_generations_damaged_names_both_reasons(path):
    save_generations(path, 2)
    for name in (path, path + ".previous"):
        with open(name, "r+b") as file:
            file.truncate(20)
    with pytest.raises(CheckpointError, match=r"header: cut short.*\(previous generation: header: cut short") as caught:
        load(path)
    assert caught.value.field == "header"


def test_nothing_there(path):
    assert not exists(path)
    with pytest.raises(CheckpointError, match="nothing was saved under this name") as caught:
        load(path)
    assert caught.value.field == "file"


def test_no_warning_without_a_reason(path):
    save_generations(path, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(path)


def test_a_link_stays_a_link(path, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.ckpt"
    try:
        os.symlink(target, path)
    except OSError:
        pytest.skip("this system does not let the user make symbolic links")
    save_generations(path, 2)
    assert os.path.islink(path)
    assert (generation(path), generation(target)) == (2, 2)
    assert sorted(os.listdir(target.parent)) == ["real.ckpt", "real.ckpt.previous"]


def test_relative_paths_and_path_objects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("here.ckpt", ARRAYS, META)
    assert same(load(tmp_path / "here.ckpt")[0], ARRAYS)


# ------------------------------------------------------------------------------------------------------ resuming


OPTIMIZERS = [
    Adam(1e-2, learning_rates={"*.delay": 0.2}, schedule=Cosine(30), bounds={"a.delay": (0.0, None)}, clip_norm=1.0),
    SGD(1e-2, momentum=0.9, weight_decay=1e-3),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.kind)
def test_a_resumed_optimiser_ends_with_the_same_bytes(path, optimizer):
    def gradients(step):
        rng = stream(1, "gradients", epoch=step)
        return {"a.weight": rng.normal(size=(4, 3)), "a.delay": rng.normal(size=4)}

    def advance(params, state, steps, optimizer=optimizer):
        for step in steps:
            params, state = optimizer.step(params, gradients(step), state)
        return params, state

    start = {"a.weight": np.ones((4, 3)), "a.delay": np.full(4, 0.3)}
    whole = advance(start, optimizer.initialize(start), range(30))
    params, state = advance(start, optimizer.initialize(start), range(13))
    arrays = {f"params/{k}": v for k, v in params.items()} | {f"state/{k}": v for k, v in state.items()}
    save(path, arrays, {"optimizer": optimizer.to_dict()})
    arrays, meta = load(path)
    params, state = (
        {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
        for part in ("params/", "state/")
    )
    resumed = advance(params, state, range(13, 30), Optimizer.from_dict(meta["optimizer"]))
    assert same(resumed[0], whole[0])
    assert same(resumed[1], whole[1])


# ------------------------------------------------------------------------------------------ what cannot be stored


@pytest.mark.parametrize(
    "value",
    [
        np.array([None]),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array(["2024-01-01"], dtype="M8[D]"),
        np.zeros(2, dtype=[("a", "f8")]),
        np.ma.masked_array([1.0], mask=[True]),
        np.zeros(1, dtype=np.void),
        [1.0, 2.0],
        3.0,
        None,
    ],
    ids=repr,
)
def test_only_numeric_arrays(path, value):
    with pytest.raises(InvalidInput, match="weight"):
        save(path, {"weight": value}, {})
    assert files(path) == []


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 on this platform")
def test_platform_dependent_floats_are_refused(path):
    with pytest.raises(InvalidInput, match="weight"):
        save(path, {"weight": np.zeros(1, dtype=np.longdouble)}, {})


def circular():
    value = {}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    ("meta", "named"),
    [
        ({"a": {1: 2}}, r"meta\.a is 1"),
        ({"a": [0, {"b": np.int64(3)}]}, r"meta\.a\[1\]\.b.*int\(x\)"),
        ({"a": {1, 2}}, r"meta\.a"),
        ({"a": b"x"}, r"meta\.a"),
        ({"a": np.zeros(2)}, r"meta\.a"),
        (circular(), "levels of nesting"),
        ({"a": 10**5000}, "meta"),
        ({"a": "x" * (MAX_META + 1)}, "meta"),
        ([1], "meta"),
        (None, "meta"),
    ],
    ids=range(10),
)
def test_meta_that_json_would_change_or_refuse(path, meta, named):
    with pytest.raises(InvalidInput, match=named):
        save(path, {}, meta)
    assert files(path) == []


@pytest.mark.parametrize("arrays", [None, [np.zeros(1)], {1: np.zeros(1)}])
def test_arrays_must_be_a_dict_with_names(path, arrays):
    with pytest.raises(InvalidInput, match="arrays"):
        save(path, arrays, {})


@pytest.mark.parametrize("keep", [0, 3, None, "2"])
def test_keep_is_1_or_2(path, keep):
    with pytest.raises(InvalidInput, match="keep"):
        save(path, {}, {}, keep=keep)


@pytest.mark.parametrize("bad", ["", "a\0b", 3, None])
def test_paths_that_are_none(bad):
    with pytest.raises(InvalidInput, match="path"):
        save(bad, {}, {})
    with pytest.raises(InvalidInput, match="path"):
        load(bad)


def test_the_layout_is_the_documented_one(path):
    save(path, {"b": np.array([1, 2], dtype=np.int16), "a": np.array(0.5)}, {"k": 1})
    data = content(path)
    assert data[:8] == b"\x89evsnn\r\n"
    assert int.from_bytes(data[8:12], "little") == 1
    end = 48 + int.from_bytes(data[12:16], "little")
    header = json.loads(data[48:end])
    assert [(entry["name"], entry["dtype"], entry["shape"]) for entry in header["arrays"]] == [
        ("a", "f8", []),
        ("b", "i2", [2]),
    ]
    assert data[end:] == b'{"k":1}' + np.float64(0.5).tobytes() + b"\x01\x00\x02\x00"
