"""What the compiler cannot find out by itself: a few synapses at a time, in vector registers.

A spike has a handful of arrivals per window, too few for the compiler's own vector loops, and it cannot know that the
arrays do not overlap. These functions take a whole `BLOCK` of synapses at once and say how many of them counted; what
they read or write beyond those is within the block that every array has to spare.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .adjoint_workspace import Lambda
from .state import BLOCK
from .vectors import (
    LANE,
    LANE_NUMBERS,
    LANES,
    PAIR,
    REALS,
    WORD,
    Call,
    count_of,
    join,
    lane_count,
    load,
    multiply_add,
    pairs,
    spread,
    store,
    sum_of,
    wide,
)
from .workspace import Factor, Row

_FACTORS = types.UniTuple(types.float64, 2)


@intrinsic
def is_set(_, address):
    """True when the byte at an address is not 0; read anew each time: another thread or a signal may write it.

    An address is one word to pass on, where an array is seven.
    """

    def generate(context, builder, signature, arguments):
        byte = builder.load_atomic(builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()), "monotonic", 1)
        return builder.icmp_unsigned("!=", byte, ir.Constant(byte.type, 0))

    return types.boolean(address), generate


@intrinsic
def prefetch(_, array, index):
    """Ask for the cache line of ``array[index]`` (one dimension) ahead of its use; any index is harmless."""

    def generate(context, builder, signature, arguments):
        call = Call("array index", context, builder, signature, arguments)
        address = builder.bitcast(call.at("array", arguments[1]), ir.IntType(8).as_pointer())
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [address.type], ir.FunctionType(ir.VoidType(), [address.type, LANE, LANE, LANE])
        )
        # to be read; wanted in all caches; data, not instructions
        builder.call(function, [address, *(ir.Constant(LANE, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def places_ahead(_, net, place, first, since, most):
    """Find the places of a block of arrivals; returns how many of ``most`` arrive within the stretch, or -1.

    An arrival in window number w of the stretch has its place at ``net.slot + 4 w n_state``. Times are counted in
    ticks, 2^net.bits to a window: ``since``, when the spike was fired, from the start of the stretch, and ``net.tick``,
    the delays. The synapses from ``first`` on are sorted by delay, so those that arrive in time come first. Where ticks
    are too coarse to tell a window the answer is -1, and `delivery.places_ahead_exactly` knows.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net place first since most", context, builder, signature, arguments)
        window, unclear = _write_places(builder, call, call.numbers("first"))
        windows = spread(builder, builder.trunc(call.field("net.stretch"), LANE), LANES)
        in_time = builder.icmp_signed("<", window, windows)
        within = builder.icmp_signed("<", LANE_NUMBERS, lane_count(builder, call.numbers("most")))
        return builder.select(unclear, ir.Constant(WORD, -1), count_of(builder, builder.and_(in_time, within)))

    index = types.intp
    return index(net, place, index, index, index), generate


@intrinsic
def places_back(_, net, place, last, since, most):
    """Find the places of the block of arrivals that ends before synapse ``last``, as in `places_ahead`.

    Returns how many of ``most`` arrive in the stretch or later, the last ones, or -1.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net place last since most", context, builder, signature, arguments)
        first = builder.sub(call.numbers("last"), ir.Constant(WORD, BLOCK))
        window, unclear = _write_places(builder, call, first)
        lanes_left = builder.sub(ir.Constant(LANES, [BLOCK] * BLOCK), LANE_NUMBERS)
        within = builder.icmp_signed("<=", lanes_left, lane_count(builder, call.numbers("most")))
        late = builder.icmp_signed(">=", window, ir.Constant(LANES, [0] * BLOCK))
        return builder.select(unclear, ir.Constant(WORD, -1), count_of(builder, builder.and_(late, within)))

    index = types.intp
    return index(net, place, index, index, index), generate


def _write_places(builder, call, first):
    """Write the places of the block of synapses from ``first`` on; returns (windows, whether any is unclear)."""
    tick, slot = (load(builder, call.at(f"net.{name}", first), LANES) for name in ("tick", "slot"))
    lanes = lambda value: spread(builder, builder.trunc(value, LANE), LANES)  # noqa: E731
    stride = builder.shl(call.size("net.neurons"), ir.Constant(WORD, 2))
    ticks, bits = builder.add(tick, lanes(call.numbers("since"))), lanes(call.field("net.bits"))
    window = builder.ashr(ticks, bits)
    # both counts are rounded down, and the sum of times is rounded too: it lies from one tick below to three above
    constant = lambda value: ir.Constant(LANES, [value] * BLOCK)  # noqa: E731
    fraction = builder.and_(builder.add(ticks, constant(3)), builder.sub(builder.shl(constant(1), bits), constant(1)))
    unclear = builder.bitcast(builder.icmp_unsigned("<", fraction, constant(4)), ir.IntType(BLOCK))
    places = builder.add(slot, builder.mul(window, lanes(stride)))
    store(builder, places, call.at("place", ir.Constant(WORD, 0)), LANES)
    return window, builder.icmp_unsigned("!=", unclear, ir.Constant(ir.IntType(BLOCK), 0))


@intrinsic
def scatter(_, net, work, first, n, factors, due):
    """Add ``due`` arrivals of the synapses from ``first`` on to the modes at their places, and link them there.

    The pair ``net.charge[s]`` is scaled with the pair ``factors``. Arrival number n + k becomes the head of the list of
    its place, and ``work.link`` keeps the head before it.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net work first n factors due", context, builder, signature, arguments)
        first, n, due = call.numbers("first n due")
        factor, one = pairs(builder, call.numbers("factors"), 1), ir.Constant(WORD, 1)
        with cgutils.for_range(builder, due) as loop:
            k = loop.index
            where = builder.zext(builder.load(call.at("work.place", k)), WORD)
            own = load(builder, call.at("net.charge", builder.shl(builder.add(first, k), one)), PAIR)
            cell = call.at("work.modes", where)
            store(builder, multiply_add(builder, factor, own, load(builder, cell, PAIR)), cell, PAIR)
            newest, number = call.at("work.head", builder.lshr(where, one)), builder.add(n, k)
            builder.store(builder.load(newest), call.at("work.link", number))
            builder.store(builder.trunc(number, LANE), newest)
        return context.get_dummy_value()

    index = types.intp
    return types.void(net, work, index, index, _FACTORS, index), generate


@intrinsic
def collect(_, net, adjoint, gradients, first, skip, length, factors):
    """Add the modes at ``length`` places, after ``skip`` of them, to the gradients of the synapses from ``first`` on.

    They are scaled with the pair ``factors``. Where they are not a number nothing is added, and the number of the place
    is written to ``adjoint.missed``; returns how many were.
    """
    index = types.intp
    return index(net, adjoint, gradients, index, index, index, _FACTORS), _collector(False)


@intrinsic
def collect_and_sum(_, net, adjoint, gradients, first, skip, length, factors):
    """As `collect`; and adds the sum of ``net.charge[s]`` times the modes, not scaled, to ``adjoint.total``."""
    index = types.intp
    return index(net, adjoint, gradients, index, index, index, _FACTORS), _collector(True)


def _collector(with_sum):
    """The code of `collect` or, ``with_sum``, of `collect_and_sum`: four synapses at a time, then one by one."""

    def generate(context, builder, signature, arguments):
        names = "net adjoint gradients first skip length factors"
        call = Call(names, context, builder, signature, arguments)
        first, skip, length, factors = call.numbers("first skip length factors")
        word = lambda value: ir.Constant(WORD, value)  # noqa: E731
        n_missed = cgutils.alloca_once_value(builder, word(0))
        sums = {
            width: cgutils.alloca_once_value(builder, ir.Constant(wide(width), [0.0] * 2 * width)) for width in (1, 4)
        }

        def modes_at(k):
            place = builder.load(call.at("adjoint.place", builder.add(skip, k)))
            cell = builder.zext(builder.and_(place, ir.Constant(LANE, -4)), WORD)
            return load(builder, call.at("adjoint.modes", builder.lshr(cell, word(1))), PAIR)

        def add(k, modes, width):
            synapse, kind = builder.shl(builder.add(first, k), word(1)), wide(width)
            address, factor = call.at("gradients.per_synapse", synapse), pairs(builder, factors, width)
            store(builder, multiply_add(builder, factor, modes, load(builder, address, kind)), address, kind)
            if with_sum:
                own, so_far = load(builder, call.at("net.charge", synapse), kind), builder.load(sums[width])
                builder.store(multiply_add(builder, own, modes, so_far), sums[width])

        def one_by_one(start, stop):
            with cgutils.for_range_slice(builder, start, stop, word(1)) as (k, _):
                modes = modes_at(k)
                with builder.if_else(_is_missing(builder, modes), likely=False) as (missing, there):
                    with missing:
                        so_far = builder.load(n_missed)
                        builder.store(builder.add(skip, k), call.at("adjoint.missed", so_far))
                        builder.store(builder.add(so_far, word(1)), n_missed)
                    with there:
                        add(k, modes, 1)

        whole = builder.and_(length, word(-4))
        with cgutils.for_range_slice(builder, word(0), whole, word(4)) as (k, _):
            modes = join(builder, [modes_at(builder.add(k, word(step))) for step in range(4)])
            with builder.if_else(_is_missing(builder, modes), likely=False) as (missing, there):
                with missing:
                    one_by_one(k, builder.add(k, word(4)))
                with there:
                    add(k, modes, 4)
        one_by_one(whole, length)
        if with_sum:
            _add_sums(builder, sums, call.at("adjoint.total", word(0)))
        return builder.load(n_missed)

    return generate


def _is_missing(builder, modes):
    """Whether any of a vector of modes is not a number."""
    lanes = builder.bitcast(builder.fcmp_unordered("uno", modes, modes), ir.IntType(modes.type.count))
    return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))


def _add_sums(builder, sums, address):
    """Add to the pair at an address the sums of `_collector`: {1: where a pair stands, 4: where four of them do}."""
    pairs = [builder.load(sums[1])]
    for step in range(4):
        lanes = ir.Constant(ir.VectorType(LANE, 2), [2 * step, 2 * step + 1])
        wide = builder.load(sums[4])
        pairs.append(builder.shuffle_vector(wide, wide, lanes))
    total = load(builder, address, PAIR)
    for pair in pairs:
        total = builder.fadd(total, pair)
    store(builder, total, address, PAIR)


@intrinsic
def trailing_zeros(_, bits):
    """The number of the lowest bit that is set."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def advance_calm(_, values, slack, at, most):
    """Take up to ``most`` of a block of neurons from ``at`` on through a window, those whose V stays below the limit.

    ``values`` has the rows of `workspace.Row`; see the model's screen, and step_on for the sums. Clears UP, and of the
    neurons taken DV and DI; returns a bit for each neuron that was left alone, as V might reach the limit.
    """

    def generate(context, builder, signature, arguments):
        call = Call("values slack at most", context, builder, signature, arguments)
        slack, at, most = call.numbers("slack at most")
        address = {row: call.at("values", at, row) for row in Row}
        v, i, lost_v, lost_i, dv, di, up, fall_v, fall_i, psp, limit = (
            load(builder, address[row], REALS) for row in Row
        )
        nothing = ir.Constant(REALS, [0.0] * BLOCK)
        slack = spread(builder, slack, REALS)
        larger = lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)  # noqa: E731

        falls, later_i = multiply_add(builder, v, fall_v, v), multiply_add(builder, i, fall_i, i)
        later_v = multiply_add(builder, i, psp, falls)
        driven = builder.fsub(falls, builder.fmul(larger(i, nothing), fall_v, flags=("contract",)), flags=("contract",))
        driven = multiply_add(builder, up, slack, driven)
        rising = builder.and_(builder.fcmp_ordered(">=", later_i, later_v), builder.fcmp_ordered(">", i, nothing))
        highest = larger(v, builder.select(rising, builder.fadd(later_v, up), driven))
        within = builder.icmp_signed("<", LANE_NUMBERS, lane_count(builder, most))
        calm = builder.and_(builder.fcmp_ordered("<=", highest, limit), within)

        def step_on(x, step, lost):
            step = builder.fadd(step, lost)
            total = builder.fadd(x, step)
            return total, builder.fsub(step, builder.fsub(total, x))

        step_v = multiply_add(builder, v, fall_v, multiply_add(builder, i, psp, dv))
        end_v, left_of_v = step_on(v, step_v, lost_v)
        end_i, left_of_i = step_on(i, multiply_add(builder, i, fall_i, di), lost_i)
        ends = {
            Row.V: (v, end_v), Row.I: (i, end_i), Row.LOST_V: (lost_v, left_of_v), Row.LOST_I: (lost_i, left_of_i),
            Row.DV: (dv, nothing), Row.DI: (di, nothing),
        }  # fmt: skip
        for row, (before, new) in ends.items():
            store(builder, builder.select(calm, new, before), address[row], REALS)
        store(builder, builder.select(within, nothing, up), address[Row.UP], REALS)
        left = builder.and_(builder.not_(calm), within)
        return builder.zext(builder.bitcast(left, ir.IntType(BLOCK)), WORD)

    index, real = types.intp, types.float64
    return index(values, real, index, index), generate


@intrinsic
def add_rows(_, net, work, n_rows, start, stop):
    """Add the weights of dense rows times their factors to DV, DI and UP of the neurons start..stop.

    Row r begins at ``work.row_first[r]``, and its factors are ``work.row_factors[:, r]``; of its weights w, ``V`` times
    w goes to DV, ``I`` times w to DI and ``V`` times max(w, 0) to UP, which all have a block to spare.
    """

    def generate(context, builder, signature, arguments):
        call = Call("net work n_rows start stop", context, builder, signature, arguments)
        n_rows, start, stop = call.numbers("n_rows start stop")
        nothing, length = ir.Constant(REALS, [0.0] * BLOCK), builder.sub(stop, start)
        sums = [cgutils.alloca_once(builder, REALS) for _ in range(3)]
        rows, factors = (Row.DV, Row.DI, Row.UP), (Factor.V, Factor.I, Factor.V)
        with cgutils.for_range_slice(builder, ir.Constant(WORD, 0), length, ir.Constant(WORD, BLOCK)) as (block, _):
            within = builder.icmp_signed("<", LANE_NUMBERS, lane_count(builder, builder.sub(length, block)))
            addresses = [call.at("work.values", builder.add(start, block), row) for row in rows]
            for sum_, address in zip(sums, addresses, strict=True):
                builder.store(load(builder, address, REALS), sum_)
            with cgutils.for_range(builder, n_rows) as loop:
                row = loop.index
                first = builder.load(call.at("work.row_first", row))
                own = load(builder, call.at("net.weight", builder.add(first, block)), REALS)
                own = builder.select(within, own, nothing)
                positive = builder.select(builder.fcmp_ordered(">", own, nothing), own, nothing)
                for sum_, which, values in zip(sums, factors, (own, own, positive), strict=True):
                    factor = spread(builder, builder.load(call.at("work.row_factors", row, which)), REALS)
                    builder.store(multiply_add(builder, factor, values, builder.load(sum_)), sum_)
            for sum_, address in zip(sums, addresses, strict=True):
                store(builder, builder.load(sum_), address, REALS)
        return context.get_dummy_value()

    index = types.intp
    return types.void(net, work, index, index, index), generate


@intrinsic
def collect_row(_, net, adjoint, gradients, first, place, length, factors):
    """Add ``factors`` times (lambda_V, lambda_I) of ``length`` neurons to the gradient of a dense row.

    ``first``: the synapse of the row that they begin at; ``place``: where their states begin.
    """
    index = types.intp
    return types.void(net, adjoint, gradients, index, index, index, _FACTORS), _row_collector(False)


@intrinsic
def collect_row_and_sum(_, net, adjoint, gradients, first, place, length, factors):
    """As `collect_row`; and writes the sums of weight times lambda_V and lambda_I to ``adjoint.total``."""
    index = types.intp
    return types.void(net, adjoint, gradients, index, index, index, _FACTORS), _row_collector(True)


def _row_collector(with_sum):
    """The code of `collect_row` or, ``with_sum``, of `collect_row_and_sum`."""

    def generate(context, builder, signature, arguments):
        names = "net adjoint gradients first place length factors"
        call = Call(names, context, builder, signature, arguments)
        first, place, length, factors = call.numbers("first place length factors")
        nothing, at_gradient = ir.Constant(REALS, [0.0] * BLOCK), builder.sub(first, call.field("net.first_shared"))
        sums = [cgutils.alloca_once_value(builder, nothing) for _ in Lambda]
        factors = [spread(builder, builder.extract_value(factors, int(row)), REALS) for row in Lambda]
        with cgutils.for_range_slice(builder, ir.Constant(WORD, 0), length, ir.Constant(WORD, BLOCK)) as (block, _):
            within = builder.icmp_signed("<", LANE_NUMBERS, lane_count(builder, builder.sub(length, block)))
            address = call.at("gradients.weight", builder.add(at_gradient, block))
            gradient = load(builder, address, REALS)
            if with_sum:
                weight = load(builder, call.at("net.weight", builder.add(first, block)), REALS)
                weight = builder.select(within, weight, nothing)
            for row, factor, sum_ in zip(Lambda, factors, sums, strict=True):
                state = load(builder, call.at("adjoint.states", builder.add(place, block), row), REALS)
                state = builder.select(within, state, nothing)
                gradient = multiply_add(builder, factor, state, gradient)
                if with_sum:
                    builder.store(multiply_add(builder, weight, state, builder.load(sum_)), sum_)
            store(builder, gradient, address, REALS)
        for row, sum_ in zip(Lambda, sums, strict=True) if with_sum else ():
            total = call.at("adjoint.total", ir.Constant(WORD, int(row)))
            builder.store(sum_of(builder, builder.load(sum_)), total)
        return context.get_dummy_value()

    return generate
