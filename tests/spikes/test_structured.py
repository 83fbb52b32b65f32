"""Structured arrays of events: fields under all their names, one layout whatever a call contains, refusals in words."""

import numpy as np
import pytest

from eventsnn import SpikeBatch
from eventsnn.errors import InvalidInput

ROWS = [(1000, 1, 2, 1), (2000, 3, 4, 0)]
XY = [("x", "<u2"), ("y", "<u2")]
# dtypes of tonic 1.7.0, faery 0.7.1 and aedat 2.3.0, loris 0.5.3, event-stream 1.6.3, dv 1.0.12 and evlib 0.13.2
DTYPES = {
    "tonic": [("t", "<i8"), *XY, ("p", "?")],
    "faery": [("t", "<u8"), *XY, (("p", "on"), "?")],
    "loris": [("t", "<u8"), *XY, (("p", "is_increase"), "?")],
    "event-stream": [("t", "<u8"), *XY, (("on", "p"), "?")],
    "dv": [("timestamp", "<i8"), *XY, ("polarity", "i1")],
    "evlib": [("t", "<m8[us]"), *XY, ("polarity", "i1")],
}
read = SpikeBatch.from_structured


def events(*rows, p="<i8"):
    """Events (t in us, x, p)."""
    return np.array(list(rows), [("t", "<i8"), ("x", "<i8"), ("p", p)])


def plain(*rows, x="<i8"):
    """Events (t in us, x)."""
    return np.array(list(rows), [("t", "<i8"), ("x", x)])


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_arrays_of_other_libraries_keep_time_place_and_polarity(dtype):
    array = np.array(ROWS, dtype)
    for arguments in ({"sensor_size": (5, 6), "polarity": "keep"}, {"sensor_size": (5, 6, 2)}):
        batch = read([array], **arguments)
        assert batch.times.tolist() == [1.0, 2.0]
        assert batch.units.tolist() == [2 * 11 + 1, 2 * 23]
    assert read([array], sensor_size=(5, 6), polarity="drop").units.tolist() == [11, 23]


@pytest.mark.parametrize("module", ["faery", "event_stream"])
def test_arrays_of_installed_libraries_are_read(module):
    library = pytest.importorskip(module)
    array = np.array(ROWS, library.EVENTS_DTYPE if module == "faery" else library.dvs_dtype)
    assert read([array], sensor_size=(5, 6, 2)).units.tolist() == [23, 46]


def test_padding_is_no_field_and_what_else_stands_beside_the_events_is_refused():
    padded = np.array([(1000, 1, 0)], [("t", "<i8"), ("x", "<i8"), ("_p1", "<i2")])
    assert read([padded]).units.tolist() == [1]
    exposure = np.array([(1000, 1, 1)], [("t", "<i8"), ("x", "<i8"), ("e", "?")])
    with pytest.raises(InvalidInput, match=r"arrays\[0\] is \"with the fields \['e'\]\".*array\[\['t', 'x'\]\]"):
        read([exposure])
    assert read([exposure[["t", "x"]]]).units.tolist() == [1]
    both = np.array([(1000, 1, 1, 0)], [("t", "<i8"), ("x", "<i8"), ("p", "?"), ("on", "?")])
    with pytest.raises(InvalidInput, match="one field for p"):
        read([both], polarity="keep")


def test_the_layout_does_not_depend_on_what_else_is_in_the_call():
    off, on = events((0, 7, 0)), events((0, 7, 1))
    together = read([off, on], polarity="keep")
    assert together.units.tolist() == [14, 15]
    assert [read([array], polarity="keep").units.tolist() for array in (off, on)] == [[14], [15]]
    for arrays in ([off], [on], [off, on]):
        with pytest.raises(InvalidInput, match='^polarity is None; .*"keep".*"drop".*"merge"'):
            read(arrays)


def test_polarities_of_both_codes_mean_the_same_and_nothing_collides():
    signed = events((0, 3, -1), (1, 2, 1), (2, 2, -1))
    assert read([signed], polarity="keep").units.tolist() == [6, 5, 4]
    assert read([events((0, 3, False), (1, 2, True), p="?")], polarity="keep").units.tolist() == [6, 5]
    for wrong, index in (((0, 3, 2), 0), ((0, 3, -1), 1), ((0, 3, -2), 0)):
        with pytest.raises(InvalidInput, match=rf"arrays\[1\]\['p'\]\[{index}\] is .*-1 and \+1"):
            read([signed, events(wrong, (1, 0, 0))], polarity="keep")
    with pytest.raises(InvalidInput, match="to keep"):
        read([plain((0, 1))], polarity="keep")
    with pytest.raises(InvalidInput, match="without polarity"):
        read([plain((0, 1))], sensor_size=(5, 1, 2))


@pytest.mark.parametrize("samples", [[[1], [1]], [[0], [1]], [[0, 1]]])
def test_one_polarity_in_sensor_size_never_makes_two_polarities_one_without_a_word(samples):
    arrays = [events(*((0, 4, p) for p in sample)) for sample in samples]
    with pytest.raises(InvalidInput, match=r"^polarity is None; allowed: \"drop\" or \"merge\".*arrays\[0\]\['p'\]"):
        read(arrays, sensor_size=(5, 1, 1))
    with pytest.raises(InvalidInput, match="^polarity is 'keep'; .*with 1 for the polarities in sensor_size"):
        read(arrays, sensor_size=(5, 1, 1), polarity="keep")
    assert set(read(arrays, sensor_size=(5, 1, 1), polarity="drop").units) == {4}
    assert read([plain((0, 4))], sensor_size=(5, 1, 1)).units.tolist() == [4]


@pytest.mark.parametrize("polarity", ["drop", "merge"])
def test_two_polarities_are_not_dropped_in_the_same_breath(polarity):
    with pytest.raises(InvalidInput, match=f"^polarity is '{polarity}'; .*with 2 for the polarities in sensor_size"):
        read([events((0, 4, 1))], sensor_size=(5, 1, 2), polarity=polarity)


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_an_infinite_place_is_named_in_every_float(kind):
    with pytest.raises(InvalidInput, match=r"arrays\[0\]\['x'\]\[0\] is inf; allowed: whole numbers"):
        read([plain((0, np.inf), x=kind)])
    assert read([plain((0, 2048.0), x=kind)]).units.tolist() == [2048]


def test_real_times_need_a_unit():
    array = np.array([(0.5, 1)], [("t", "<f8"), ("x", "<i8")])
    with pytest.raises(InvalidInput, match=r"arrays\[0\]\['t'\] is .*float64.*time_unit=\"s\""):
        read([array])
    assert read([array], "s").times.tolist() == [500.0]


@pytest.mark.parametrize("kind", ["<u8", "<i8", "<m8[ns]"])
def test_whole_times_beyond_float64_are_refused(kind):
    ns = 1_700_000_000_000_000_000
    array = np.array([(2**53, 1), (ns, 1), (ns + 100, 1)], [("t", kind), ("x", "<i8")])
    unit = None if "m8" in kind else "ns"
    with pytest.raises(InvalidInput, match=r"arrays\[0\]\['t'\]\[1\] is 17000.*Subtract"):
        read([array], unit)
    array["t"] -= array["t"][1].copy()
    assert read([array[1:]], unit).times.tolist() == [0.0, pytest.approx(1e-4, rel=1e-15)]


def test_the_old_name_of_time_unit_is_refused_with_the_new_one():
    with pytest.raises(InvalidInput, match=r"^milliseconds_per_unit is 1.0; .*Write time_unit=1.0"):
        read([plain((5, 0))], milliseconds_per_unit=1.0)


def test_merged_polarities_count():
    twice = events((1000, 4, 0), (1000, 4, 1), (2000, 4, 1))
    merged = read([twice], polarity="merge")
    assert (merged.units.tolist(), merged.times.tolist(), merged.counts.tolist()) == ([4, 4], [1.0, 2.0], [2.0, 1.0])
    dropped = read([twice], polarity="drop")
    assert dropped.units.tolist() == [4, 4, 4] and dropped.counts is None
    kept = read([twice], polarity="keep").merge_channels(2)
    assert kept.units.tolist() == merged.units.tolist() and kept.counts.tolist() == merged.counts.tolist()


def test_rows_need_a_sensor_size():
    first = np.array([(0, 4, 7)], [("t", "<i8"), ("x", "<i8"), ("y", "<i8")])
    second = np.array([(0, 4, 8)], first.dtype)
    for arrays in ([first], [first, second]):
        with pytest.raises(InvalidInput, match=r"arrays\[0\]\['y'\]\[0\] is 7; .*sensor_size=\(width, height\)"):
            read(arrays)
    assert read([first, second], sensor_size=(10, 9)).units.tolist() == [74, 84]
    flat = np.array([(0, 4, 0)], first.dtype)
    assert read([flat]).units.tolist() == read([flat], sensor_size=(10, 9)).units.tolist() == [4]
    with pytest.raises(InvalidInput, match="without y"):
        read([plain((0, 1))], sensor_size=(10, 9))


@pytest.mark.parametrize(
    ("size", "place"), [((4, 9), r"\['x'\]\[0\] is 4; .*width, 4"), ((9, 7), r"\['y'\]\[0\] is 7; .*height, 7")]
)
def test_events_beside_the_sensor_are_refused(size, place):
    with pytest.raises(InvalidInput, match=rf"arrays\[0\]{place}"):
        read([np.array([(0, 4, 7)], [("t", "<i8"), ("x", "<i8"), ("y", "<i8")])], sensor_size=size)


@pytest.mark.parametrize("size", [5, "ab", (5,), (0, 5), (5, 5, 3), (5.0, 5), (True, 5), (2**16, 2**16), (1, 1, 1, 1)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(InvalidInput, match="^sensor_size is"):
        read([plain((0, 0))], sensor_size=size)


@pytest.mark.parametrize(("x", "shown"), [(2.7, "2.7"), (np.nan, "nan"), (np.inf, "inf"), (-1.0, "-1.0")])
def test_places_are_whole_numbers(x, shown):
    with pytest.raises(InvalidInput, match=rf"arrays\[0\]\['x'\]\[1\] is {shown}; allowed: whole numbers"):
        read([plain((0, 1.0), (1, x), x="<f8")])
    assert read([plain((0, 3.0), x="<f8")]).units.tolist() == [3]


@pytest.mark.parametrize(
    ("unit", "milliseconds"), [(None, 0.005), ("us", 0.005), ("ms", 5.0), ("s", 5000.0), ("ns", 5e-6), (2.0, 10.0)]
)
def test_the_unit_of_times_is_said(unit, milliseconds):
    assert read([plain((5, 0))], unit).times[0] == pytest.approx(milliseconds, rel=1e-15)


def test_timedelta64_has_its_unit_and_takes_no_other():
    array = np.array([(5, 0)], [("t", "<m8[ms]"), ("x", "<i8")])
    assert read([array]).times.tolist() == [5.0]
    with pytest.raises(InvalidInput, match="^time_unit is .*say their unit"):
        read([array], "us")
    for unit in ("minutes", 0, -1.0, True, np.nan):
        with pytest.raises(InvalidInput, match="^time_unit is"):
            read([plain((5, 0))], unit)


def test_a_single_array_and_tables_are_refused_with_the_remedy():
    with pytest.raises(InvalidInput, match=r"^arrays is 'one structured array'.*Write \[array\]"):
        read(plain((0, 1)))
    with pytest.raises(InvalidInput, match="^arrays is 5"):
        read(5)
    for table in ([[0, 1]], {"t": [0], "x": [1]}):
        with pytest.raises(InvalidInput, match=r"^arrays\[1\] is .*to_records"):
            read([plain((0, 1)), table])
    assert len(read([])) == 0


def test_masked_events_and_times_below_zero_are_named():
    masked = np.ma.array(plain((0, 1), (1, 2)), mask=[(False, False), (False, True)])
    with pytest.raises(InvalidInput, match=r"arrays\[0\]\['x'\]\[1\] is 'masked'"):
        read([masked])
    with pytest.raises(InvalidInput, match=r"arrays\[1\]\.times\[0\] is -0\.001"):
        read([plain((0, 1)), plain((-1, 1))])
