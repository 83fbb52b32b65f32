"""What the compiler cannot find out by itself, for `blocks`: pairs of numbers in one register, no call, no branch.

As in `simd`; FIXED_BITS and GROUP are constants of the code, and each pair of modes is one vector.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import FIXED_BITS, GROUP, OCTET
from .vectors import LANE, PAIR, REAL, WORD, Call, join, load, multiply_add, pairs, spread, store
from .workspace import Row

SHORT = ir.IntType(16)
FOUR, EIGHT = ir.VectorType(REAL, 4), ir.VectorType(REAL, OCTET)
# four numbers of each of eight neurons
ALL_MODES = ir.VectorType(REAL, 4 * OCTET)
_INDEX, _REAL = types.intp, types.float64
_PAIR, _ROW = types.UniTuple(_REAL, 2), types.UniTuple(_INDEX, 3)


def _word(value):
    return ir.Constant(WORD, value)


def _double(builder, index):
    return builder.shl(index, _word(1))


def _sign_place(builder, charge):
    """2 for the pair of an inhibitory synapse, else 0: the sign of its charge."""
    bits = builder.bitcast(builder.extract_element(charge, ir.Constant(LANE, 0)), WORD)
    return _double(builder, builder.lshr(bits, _word(63)))


def _window_of(builder, time, delay):
    return builder.lshr(builder.add(time, delay), _word(FIXED_BITS))


class _Column:
    """The synapses of one neuron that the groups of a connection pass through, and the spikes of a group."""

    def __init__(self, context, builder, signature, arguments, names, size):
        self.call = Call(names, context, builder, signature, arguments)
        self._builder, self._size = builder, size
        first, *self._span = (builder.extract_value(self.call.numbers("at"), k) for k in range(4))
        self.first = first
        self._delays, self._channels = self.call.at("net.fixed", first), self.call.at("groups.channel", _word(0))
        self.charges = self.call.at("net.charge", _double(builder, first))

    def groups(self):
        """A loop over the groups: gives (group, its synapse in the column, its delay)."""
        builder, (start, stop, spike) = self._builder, self._span
        # of groups before those of this connection, four spikes each
        self._spikes = self.call.at("groups.fixed", spike), self.call.at("groups.factor", _double(builder, spike))
        with cgutils.for_range_slice(builder, start, stop, _word(1)) as (group, _):
            synapse = builder.zext(builder.load(builder.gep(self._channels, [group])), WORD)
            yield group, synapse, builder.load(builder.gep(self._delays, [synapse]))

    def spikes(self, group, delay):
        """(pair of factors, window of arrival) of each spike of a group."""
        builder, (times, factors) = self._builder, self._spikes
        first = builder.mul(builder.sub(group, self._span[0]), _word(self._size))
        for k in range(self._size):
            place = builder.add(first, _word(k))
            factor = load(builder, builder.gep(factors, [_double(builder, place)]), PAIR)
            yield factor, _window_of(builder, builder.load(builder.gep(times, [place])), delay)


_COLUMN = "net groups modes at"
_AT = types.UniTuple(_INDEX, 4)


def _scatterer(size):
    """The code of `scatter_column`, for groups of so many spikes."""

    def generate(context, builder, signature, arguments):
        column = _Column(context, builder, signature, arguments, _COLUMN, size)
        modes = column.call.at("modes", _word(0))
        for group, synapse, delay in column.groups():
            charge = load(builder, builder.gep(column.charges, [_double(builder, synapse)]), PAIR)
            own = builder.gep(modes, [_sign_place(builder, charge)])
            for factor, window in column.spikes(group, delay):
                cell = builder.gep(own, [builder.shl(window, _word(2))])
                store(builder, multiply_add(builder, charge, factor, load(builder, cell, PAIR)), cell, PAIR)
        return context.get_dummy_value()

    return generate


@intrinsic
def scatter_fours(_, net, groups, modes, at):
    """Add the arrivals of a connection's groups, of four spikes each, to a neuron's modes.

    ``at``: (the first synapse of its column, the first group, the one after the last, the place of the first spike);
    ``modes``: four numbers for each window, a pair for excitatory and one for inhibitory arrivals.
    """
    return types.void(net, groups, modes, _AT), _scatterer(GROUP)


@intrinsic
def scatter_ones(_, net, groups, modes, at):
    """As `scatter_fours`, for groups of one spike."""
    return types.void(net, groups, modes, _AT), _scatterer(1)


def _collector(size):
    """The code of `collect_fours`, for groups of so many spikes."""

    def generate(context, builder, signature, arguments):
        column = _Column(context, builder, signature, arguments, f"{_COLUMN} gradients late", size)
        held, late = (column.call.at(name, _word(0)) for name in ("modes", "late"))
        gradients = column.call.at("gradients.per_synapse", _double(builder, column.first))
        n_late = cgutils.alloca_once_value(builder, _word(0))
        for group, synapse, delay in column.groups():
            sums = []
            for k, (factor, window) in enumerate(column.spikes(group, delay)):
                modes = load(builder, builder.gep(held, [_double(builder, window)]), PAIR)
                if k < 2:
                    sums.append(builder.fmul(factor, modes, flags=("contract",)))
                else:
                    sums[k & 1] = multiply_add(builder, factor, modes, sums[k & 1])
            total = builder.fadd(*sums) if len(sums) > 1 else sums[0]
            mem = builder.extract_element(total, ir.Constant(LANE, 0))
            with builder.if_else(builder.fcmp_unordered("uno", mem, mem), likely=False) as (missing, there):
                with missing:
                    so_far = builder.load(n_late)
                    builder.store(group, builder.gep(late, [so_far]))
                    builder.store(builder.add(so_far, _word(1)), n_late)
                with there:
                    address = builder.gep(gradients, [_double(builder, synapse)])
                    store(builder, builder.fadd(total, load(builder, address, PAIR)), address, PAIR)
        return builder.load(n_late)

    return generate


@intrinsic
def collect_fours(_, net, groups, modes, at, gradients, late):
    """Add the adjoint modes that a connection's groups meet at a neuron to its synapses' gradients.

    ``modes``: two numbers for each window; not a number where the neuron jumps. What meets such a window is not added:
    the group is written to ``late``. Returns how many are. ``at``: as of `scatter_fours`.
    """
    return _INDEX(net, groups, modes, _AT, gradients, late), _collector(GROUP)


@intrinsic
def collect_ones(_, net, groups, modes, at, gradients, late):
    """As `collect_fours`, for groups of one spike."""
    return _INDEX(net, groups, modes, _AT, gradients, late), _collector(1)


@intrinsic
def scan(_, net, trains, span, first, begin, found, n):
    """List the spikes of a train that may arrive in a window at a neuron, from place ``n`` on; returns the next place.

    ``span``: (row of the train, first, last of its spikes); ``first``: where the delays of the neuron's synapses
    begin in ``net.near``, one for each unit; ``begin``: the start of the window in their units. Both are rounded down,
    so some that arrive a little earlier or later are listed too. Room for all of ``span`` is needed.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net trains span first begin found n", context, builder, signature, arguments)
        span, first, begin, n = call.numbers("span first begin n")
        row, start, stop = (builder.extract_value(span, k) for k in range(3))
        count, one = cgutils.alloca_once_value(builder, n), ir.Constant(SHORT, 1)
        # a sum of two floors is at most one too small
        begin = builder.sub(builder.trunc(begin, SHORT), one)
        width = builder.add(builder.shl(one, builder.trunc(call.field("net.near_bits"), SHORT)), one)
        nears, units = (call.at(f"trains.{name}", _word(0), row) for name in ("near", "unit"))
        delays = call.at("net.near", first)
        with cgutils.for_range_slice(builder, start, stop, _word(1)) as (k, _):
            unit = builder.zext(builder.load(builder.gep(units, [k])), WORD)
            arrival = builder.add(builder.load(builder.gep(nears, [k])), builder.load(builder.gep(delays, [unit])))
            so_far = builder.load(count)
            builder.store(builder.trunc(k, LANE), call.at("found", so_far))
            within = builder.icmp_unsigned("<", builder.sub(arrival, begin), width)
            builder.store(builder.add(so_far, builder.zext(within, WORD)), count)
        return builder.load(count)

    return _INDEX(net, trains, types.UniTuple(_INDEX, 3), _INDEX, _INDEX, found, _INDEX), generate


def _effects(builder, modes, factors):
    """What eight neurons' modes, four numbers each, do by the window's end: onto V, onto I, excitatory alone onto V."""
    mem, syn, more_mem, more_syn = (
        builder.shuffle_vector(modes, modes, ir.Constant(ir.VectorType(LANE, OCTET), list(range(k, 4 * OCTET, 4))))
        for k in range(4)
    )
    v_mem, v_syn, i_syn, up_mem, up_syn = (spread(builder, builder.extract_value(factors, k), EIGHT) for k in range(5))
    less = lambda a, x, b, y: builder.fsub(builder.fmul(a, x), builder.fmul(b, y))  # noqa: E731
    all_mem, all_syn = builder.fadd(mem, more_mem), builder.fadd(syn, more_syn)
    return less(v_mem, all_mem, v_syn, all_syn), builder.fmul(i_syn, all_syn), less(up_mem, mem, up_syn, syn)


@intrinsic
def add_modes(_, work, j, cell, factors):
    """Add what the modes of eight neurons from j on, at ``cell`` of the ring, do to their sums, and clear them.

    ``factors``: as `columns.effect_factors` says.
    """

    def generate(context, builder, signature, arguments):
        call = Call("work j cell factors", context, builder, signature, arguments)
        j, cell = call.numbers("j cell")
        address = call.at("work.ring", cell)
        effects = _effects(builder, load(builder, address, ALL_MODES), call.numbers("factors"))
        store(builder, ir.Constant(ALL_MODES, [0.0] * ALL_MODES.count), address, ALL_MODES)
        _add_to_sums(builder, call, j, effects)
        return context.get_dummy_value()

    return types.void(work, _INDEX, _INDEX, types.UniTuple(_REAL, 5)), generate


@intrinsic
def write_effects(_, work, octet, window, factors):
    """Write what the modes of eight neurons in a window of a block do to ``work.sums``, and clear them.

    Returns whether there are any.
    """

    def generate(context, builder, signature, arguments):
        call = Call("work octet window factors", context, builder, signature, arguments)
        octet, window = call.numbers("octet window")
        cells = [call.at("work.octet_modes", builder.shl(window, _word(2)), q) for q in range(OCTET)]
        modes = join(builder, [load(builder, cell, FOUR) for cell in cells])
        for cell in cells:
            store(builder, ir.Constant(FOUR, [0.0] * 4), cell, FOUR)
        at = builder.mul(window, _word(3 * OCTET))
        for k, effect in enumerate(_effects(builder, modes, call.numbers("factors"))):
            store(builder, effect, call.at("work.sums", builder.add(at, _word(k * OCTET)), octet), EIGHT)
        any_of = builder.fcmp_unordered("une", modes, ir.Constant(ALL_MODES, [0.0] * ALL_MODES.count))
        bits = builder.bitcast(any_of, ir.IntType(ALL_MODES.count))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(work, _INDEX, _INDEX, types.UniTuple(_REAL, 5)), generate


@intrinsic
def add_sums(_, work, j, octet, window):
    """Add what ``work.sums`` holds for eight neurons in a window of the block to their sums, from j on."""

    def generate(context, builder, signature, arguments):
        call = Call("work j octet window", context, builder, signature, arguments)
        j, octet, window = call.numbers("j octet window")
        at = builder.mul(window, _word(3 * OCTET))
        places = [call.at("work.sums", builder.add(at, _word(k * OCTET)), octet) for k in range(3)]
        _add_to_sums(builder, call, j, [load(builder, place, EIGHT) for place in places])
        return context.get_dummy_value()

    return types.void(work, _INDEX, _INDEX, _INDEX), generate


def _add_to_sums(builder, call, j, effects):
    """Add to the rows DV, DI and UP of eight neurons; those that are not there have nothing to add to the next ones."""
    for row, effect in zip((Row.DV, Row.DI, Row.UP), effects, strict=True):
        address = call.at("work.values", j, row)
        store(builder, builder.fadd(load(builder, address, EIGHT), effect), address, EIGHT)


@intrinsic
def scatter_row(_, net, work, row, time, factors):
    """Send a spike down a dense row onto the ring of modes.

    ``row``: (its first synapse, its length, the place of its first target); ``time``: when the spike was fired, in
    fixed point; ``factors``: its pair.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net work row time factors", context, builder, signature, arguments)
        row, time = call.numbers("row time")
        first, length, place = (builder.extract_value(row, k) for k in range(3))
        factor, width = pairs(builder, call.numbers("factors"), 1), call.field("net.n_octets")
        mask = builder.sub(call.field("net.reach"), _word(1))
        width = builder.shl(width, _word(3))  # neurons in a window of the ring
        with cgutils.for_range(builder, length) as loop:
            synapse = builder.add(first, loop.index)
            window = builder.and_(_window_of(builder, time, builder.load(call.at("net.fixed", synapse))), mask)
            charge = load(builder, call.at("net.charge", _double(builder, synapse)), PAIR)
            neuron = builder.add(builder.mul(window, width), builder.add(place, loop.index))
            cell = builder.add(builder.shl(neuron, _word(2)), _sign_place(builder, charge))
            cell = call.at("work.ring", cell)
            store(builder, multiply_add(builder, charge, factor, load(builder, cell, PAIR)), cell, PAIR)
        return context.get_dummy_value()

    return types.void(net, work, _ROW, _INDEX, _PAIR), generate


@intrinsic
def collect_along(_, net, adjoint, gradients, row, time, factors):
    """Add the adjoint modes that a spike meets down a dense row to the gradients of its synapses.

    Arguments as of `scatter_row`, the place in ``adjoint.held``. Adds the sum of charges times modes to
    ``adjoint.total``. Where the target jumps nothing is added, and the target is written to ``adjoint.jumping``;
    returns how many do.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net adjoint gradients row time factors", context, builder, signature, arguments)
        row, time = call.numbers("row time")
        first, length, place = (builder.extract_value(row, k) for k in range(3))
        factor = pairs(builder, call.numbers("factors"), 1)
        line = call.length_of_row("adjoint.held")
        total = cgutils.alloca_once_value(builder, ir.Constant(PAIR, [0.0] * 2))
        n_missed = cgutils.alloca_once_value(builder, _word(0))
        with cgutils.for_range(builder, length) as loop:
            synapse = builder.add(first, loop.index)
            window = _window_of(builder, time, builder.load(call.at("net.fixed", synapse)))
            neuron = builder.mul(builder.add(place, loop.index), line)
            modes = load(builder, call.at("adjoint.held", builder.add(neuron, _double(builder, window))), PAIR)
            mem = builder.extract_element(modes, ir.Constant(LANE, 0))
            with builder.if_else(builder.fcmp_unordered("uno", mem, mem), likely=False) as (missing, there):
                with missing:
                    so_far = builder.load(n_missed)
                    builder.store(loop.index, call.at("adjoint.jumping", so_far))
                    builder.store(builder.add(so_far, _word(1)), n_missed)
                with there:
                    address = call.at("gradients.per_synapse", _double(builder, synapse))
                    store(builder, multiply_add(builder, factor, modes, load(builder, address, PAIR)), address, PAIR)
                    charge = load(builder, call.at("net.charge", _double(builder, synapse)), PAIR)
                    builder.store(multiply_add(builder, charge, modes, builder.load(total)), total)
        place_of_total = call.at("adjoint.total", _word(0))
        sums = builder.fadd(load(builder, place_of_total, PAIR), builder.load(total))
        store(builder, sums, place_of_total, PAIR)
        return builder.load(n_missed)

    return _INDEX(net, adjoint, gradients, _ROW, _INDEX, _PAIR), generate
