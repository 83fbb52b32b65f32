"""What the compiler cannot find out by itself: a few synapses at a time, in vector registers.

A spike has a handful of arrivals per window, too few for the compiler's own vector loops, and it cannot know that the
arrays do not overlap. These functions take a whole `BLOCK` of synapses at once and say how many of them counted; what
they read or write beyond those is within the block that every array has to spare.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Synapses in a block, and the room to spare at both ends of each array of synapses.
BLOCK = 16
_WORD, _LANE, _REAL = ir.IntType(64), ir.IntType(32), ir.DoubleType()
_REALS = ir.VectorType(_REAL, BLOCK)
_LANES = ir.VectorType(_LANE, BLOCK)
_PAIR = ir.VectorType(_REAL, 2)
# Vectors begin anywhere: at a number, not at a multiple of their size.
_ALIGNMENT = 4
_LANE_NUMBERS = ir.Constant(_LANES, list(range(BLOCK)))


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=_ALIGNMENT)


def _store(builder, value, address, vector):
    builder.store(value, builder.bitcast(address, vector.as_pointer()), align=_ALIGNMENT)


def _spread(builder, scalar, vector):
    """A vector with the same number in every lane."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), ir.Constant(_LANES, [0] * BLOCK))


def _count(builder, mask):
    """The number of lanes that are set."""
    bits = builder.zext(builder.bitcast(mask, ir.IntType(BLOCK)), _WORD)
    return builder.ctpop(bits)


def _lane_count(builder, n):
    """The smaller of n and BLOCK, in every lane."""
    width = ir.Constant(_WORD, BLOCK)
    n = builder.select(builder.icmp_signed("<", n, width), n, width)
    return _spread(builder, builder.trunc(n, _LANE), _LANES)


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
        address = _address(context, builder, signature.args[0], *arguments)
        address = builder.bitcast(address, ir.IntType(8).as_pointer())
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [address.type], ir.FunctionType(ir.VoidType(), [address.type, _LANE, _LANE, _LANE])
        )
        # to be read; wanted in all caches; data, not instructions
        builder.call(function, [address, *(ir.Constant(_LANE, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def places_ahead(_, tick, slot, first, place, since, stride, bits, windows, most):
    """Find the places of a block of arrivals; returns how many of ``most`` arrive within ``windows``, or -1.

    An arrival in window number w of the stretch has its place at ``slot + w * stride``. Times are counted in ticks,
    2^bits to a window: ``since``, when the spike was fired, from the start of the stretch, and ``tick``, the delays.
    The synapses from ``first`` on are sorted by delay, so those that arrive in time come first. Where ticks are too
    coarse to tell a window the answer is -1, and `forward.places_ahead_exactly` knows.
    """

    def generate(context, builder, signature, arguments):
        *_, windows, most = arguments
        window, unclear = _write_places(context, builder, signature, arguments, 0)
        in_time = builder.icmp_signed("<", window, _spread(builder, builder.trunc(windows, _LANE), _LANES))
        within = builder.icmp_signed("<", _LANE_NUMBERS, _lane_count(builder, most))
        return builder.select(unclear, ir.Constant(_WORD, -1), _count(builder, builder.and_(in_time, within)))

    index = types.intp
    return index(tick, slot, index, place, index, index, index, index, index), generate


@intrinsic
def places_back(_, tick, slot, last, place, since, stride, bits, most):
    """Find the places of the block of arrivals that ends before synapse ``last``, as in `places_ahead`.

    Returns how many of ``most`` arrive in the stretch or later, the last ones, or -1.
    """

    def generate(context, builder, signature, arguments):
        *_, most = arguments
        window, unclear = _write_places(context, builder, signature, arguments, BLOCK)
        lanes_left = builder.sub(ir.Constant(_LANES, [BLOCK] * BLOCK), _LANE_NUMBERS)
        within = builder.icmp_signed("<=", lanes_left, _lane_count(builder, most))
        late = builder.icmp_signed(">=", window, ir.Constant(_LANES, [0] * BLOCK))
        return builder.select(unclear, ir.Constant(_WORD, -1), _count(builder, builder.and_(late, within)))

    index = types.intp
    return index(tick, slot, index, place, index, index, index, index), generate


def _write_places(context, builder, signature, arguments, back):
    """Write a block of places, ``back`` before the synapse given; returns (windows, whether any is unclear)."""
    _, _, first, place, since, stride, bits = arguments[:7]
    first = builder.sub(first, ir.Constant(_WORD, back))
    tick, slot = (
        _load(builder, _address(context, builder, signature.args[k], arguments[k], first), _LANES) for k in (0, 1)
    )
    lanes = lambda value: _spread(builder, builder.trunc(value, _LANE), _LANES)  # noqa: E731
    ticks, bits = builder.add(tick, lanes(since)), lanes(bits)
    window = builder.ashr(ticks, bits)
    # both counts are rounded down, and the sum of times is rounded too: it lies from one tick below to three above
    constant = lambda value: ir.Constant(_LANES, [value] * BLOCK)  # noqa: E731
    fraction = builder.and_(builder.add(ticks, constant(3)), builder.sub(builder.shl(constant(1), bits), constant(1)))
    unclear = builder.bitcast(builder.icmp_unsigned("<", fraction, constant(4)), ir.IntType(BLOCK))
    places = builder.add(slot, builder.mul(window, lanes(stride)))
    nought = ir.Constant(_WORD, 0)
    _store(builder, places, _address(context, builder, signature.args[3], place, nought), _LANES)
    return window, builder.icmp_unsigned("!=", unclear, ir.Constant(ir.IntType(BLOCK), 0))


def _multiply_add(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


@intrinsic
def scatter(_, place, charge, first, modes, head, link, n, by_mem, by_syn, due):
    """Add ``due`` arrivals of the synapses from ``first`` on to the modes at their places, and link them there.

    The pair ``charge[s]`` is scaled with (by_mem, by_syn). Arrival number n + k becomes the head of the list of its
    place, and ``link`` keeps the head before it.
    """

    def generate(context, builder, signature, arguments):
        _, _, first, _, _, _, n, by_mem, by_syn, due = arguments
        at = lambda k, index: _address(context, builder, signature.args[k], arguments[k], index)  # noqa: E731
        factor, one = _pairs(builder, by_mem, by_syn, 1), ir.Constant(_WORD, 1)
        with cgutils.for_range(builder, due) as loop:
            k = loop.index
            where = builder.zext(builder.load(at(0, k)), _WORD)
            own, cell = _load(builder, at(1, builder.shl(builder.add(first, k), one)), _PAIR), at(3, where)
            _store(builder, _multiply_add(builder, factor, own, _load(builder, cell, _PAIR)), cell, _PAIR)
            newest, number = at(4, builder.lshr(where, one)), builder.add(n, k)
            builder.store(builder.load(newest), at(5, number))
            builder.store(builder.trunc(number, _LANE), newest)
        return context.get_dummy_value()

    index, real = types.intp, types.float64
    return types.void(place, charge, index, modes, head, link, index, real, real, index), generate


@intrinsic
def collect(_, place, skip, modes, gradient, first, by_mem, by_syn, length, missed):
    """Add the modes at ``length`` places, after ``skip`` of them, to the gradients of the synapses from ``first`` on.

    They are scaled with (by_mem, by_syn). Where they are not a number nothing is added, and the number of the place
    is written to ``missed``; returns how many were.
    """
    index, real = types.intp, types.float64
    return index(place, index, modes, gradient, index, real, real, index, missed), _collector(False)


@intrinsic
def collect_and_sum(_, place, skip, modes, gradient, first, by_mem, by_syn, length, missed, charge, total):
    """As `collect`; and adds the sum of ``charge[s]`` times the modes, not scaled, to the pair ``total``."""
    index, real = types.intp, types.float64
    return index(place, index, modes, gradient, index, real, real, index, missed, charge, total), _collector(True)


def _collector(with_sum):
    """The code of `collect` or, ``with_sum``, of `collect_and_sum`: four synapses at a time, then one by one."""

    def generate(context, builder, signature, arguments):
        _, skip, _, _, first, by_mem, by_syn, length, _ = arguments[:9]
        at = lambda k, index: _address(context, builder, signature.args[k], arguments[k], index)  # noqa: E731
        word = lambda value: ir.Constant(_WORD, value)  # noqa: E731
        n_missed = cgutils.alloca_once_value(builder, word(0))
        sums = {
            width: cgutils.alloca_once_value(builder, ir.Constant(_wide(width), [0.0] * 2 * width)) for width in (1, 4)
        }

        def modes_at(k):
            cell = builder.and_(builder.load(at(0, builder.add(skip, k))), ir.Constant(_LANE, -4))
            return _load(builder, at(2, builder.lshr(builder.zext(cell, _WORD), word(1))), _PAIR)

        def add(k, modes, width):
            synapse, kind = builder.shl(builder.add(first, k), word(1)), _wide(width)
            address, factor = at(3, synapse), _pairs(builder, by_mem, by_syn, width)
            _store(builder, _multiply_add(builder, factor, modes, _load(builder, address, kind)), address, kind)
            if with_sum:
                own, so_far = _load(builder, at(9, synapse), kind), builder.load(sums[width])
                builder.store(_multiply_add(builder, own, modes, so_far), sums[width])

        def one_by_one(start, stop):
            with cgutils.for_range_slice(builder, start, stop, word(1)) as (k, _):
                modes = modes_at(k)
                with builder.if_else(_is_missing(builder, modes), likely=False) as (missing, there):
                    with missing:
                        so_far = builder.load(n_missed)
                        builder.store(builder.add(skip, k), at(8, so_far))
                        builder.store(builder.add(so_far, word(1)), n_missed)
                    with there:
                        add(k, modes, 1)

        whole = builder.and_(length, word(-4))
        with cgutils.for_range_slice(builder, word(0), whole, word(4)) as (k, _):
            modes = _join(builder, [modes_at(builder.add(k, word(step))) for step in range(4)])
            with builder.if_else(_is_missing(builder, modes), likely=False) as (missing, there):
                with missing:
                    one_by_one(k, builder.add(k, word(4)))
                with there:
                    add(k, modes, 4)
        one_by_one(whole, length)
        if with_sum:
            _add_sums(builder, sums, at(10, word(0)))
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
        lanes = ir.Constant(ir.VectorType(_LANE, 2), [2 * step, 2 * step + 1])
        wide = builder.load(sums[4])
        pairs.append(builder.shuffle_vector(wide, wide, lanes))
    total = _load(builder, address, _PAIR)
    for pair in pairs:
        total = builder.fadd(total, pair)
    _store(builder, total, address, _PAIR)


@intrinsic
def trailing_zeros(_, bits):
    """The number of the lowest bit that is set."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def advance_calm(_, v, i, lost_v, lost_i, dv, di, up, fall_v, fall_i, psp, limit, slack, negligible, at, most):
    """Take up to ``most`` of a block of neurons from ``at`` on through a window, those whose V stays below ``limit``.

    See the model's screen, and step_on for the sums. Clears ``up``, and of the neurons taken ``dv`` and ``di``;
    returns a bit for each neuron that was left alone, as V might reach the limit.
    """

    def generate(context, builder, signature, arguments):
        slack, negligible, at, most = arguments[11:]
        addresses = [_address(context, builder, signature.args[k], arguments[k], at) for k in range(11)]
        v, i, lost_v, lost_i, dv, di, up, fall_v, fall_i, psp, limit = (_load(builder, a, _REALS) for a in addresses)
        nothing = ir.Constant(_REALS, [0.0] * BLOCK)
        slack, negligible = (_spread(builder, value, _REALS) for value in (slack, negligible))
        larger = lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)  # noqa: E731

        falls, later_i = _multiply_add(builder, v, fall_v, v), _multiply_add(builder, i, fall_i, i)
        later_v = _multiply_add(builder, i, psp, falls)
        driven = builder.fsub(falls, builder.fmul(larger(i, nothing), fall_v, flags=("contract",)), flags=("contract",))
        driven = _multiply_add(builder, up, slack, driven)
        rising = builder.and_(builder.fcmp_ordered(">=", later_i, later_v), builder.fcmp_ordered(">", i, nothing))
        highest = larger(v, builder.select(rising, builder.fadd(later_v, up), driven))
        within = builder.icmp_signed("<", _LANE_NUMBERS, _lane_count(builder, most))
        calm = builder.and_(builder.fcmp_ordered("<=", highest, limit), within)

        def step_on(x, step, lost):
            step = builder.fadd(step, lost)
            total = builder.fadd(x, step)
            left_out = builder.fsub(step, builder.fsub(total, x))
            size = larger(total, builder.fsub(nothing, total))
            return builder.select(builder.fcmp_ordered(">", size, negligible), total, nothing), left_out

        step_v = _multiply_add(builder, v, fall_v, _multiply_add(builder, i, psp, dv))
        end_v, left_of_v = step_on(v, step_v, lost_v)
        end_i, left_of_i = step_on(i, _multiply_add(builder, i, fall_i, di), lost_i)
        ends, old = (end_v, end_i, left_of_v, left_of_i, nothing, nothing), (v, i, lost_v, lost_i, dv, di)
        for address, new, before in zip(addresses[:6], ends, old, strict=True):
            _store(builder, builder.select(calm, new, before), address, _REALS)
        _store(builder, builder.select(within, nothing, up), addresses[6], _REALS)
        left = builder.and_(builder.not_(calm), within)
        return builder.zext(builder.bitcast(left, ir.IntType(BLOCK)), _WORD)

    index, real = types.intp, types.float64
    arrays = (v, i, lost_v, lost_i, dv, di, up, fall_v, fall_i, psp, limit)
    return index(*arrays, real, real, index, index), generate


@intrinsic
def add_rows(_, weight, first, onto_v, onto_i, n_rows, dv, di, up, length):
    """Add to the first ``length`` numbers of ``dv``, ``di`` and ``up`` the weights of dense rows times their factors.

    Row r begins at ``first[r]``; of its weights w, ``onto_v[r] w`` goes to ``dv``, ``onto_i[r] w`` to ``di`` and
    ``onto_v[r] max(w, 0)`` to ``up``, which all have a block to spare.
    """

    def generate(context, builder, signature, arguments):
        n_rows, length = arguments[4], arguments[8]
        at = lambda k, index: _address(context, builder, signature.args[k], arguments[k], index)  # noqa: E731
        nothing = ir.Constant(_REALS, [0.0] * BLOCK)
        sums = [cgutils.alloca_once(builder, _REALS) for _ in range(3)]
        with cgutils.for_range_slice(builder, ir.Constant(_WORD, 0), length, ir.Constant(_WORD, BLOCK)) as (block, _):
            within = builder.icmp_signed("<", _LANE_NUMBERS, _lane_count(builder, builder.sub(length, block)))
            for sum_, k in zip(sums, (5, 6, 7), strict=True):
                builder.store(_load(builder, at(k, block), _REALS), sum_)
            with cgutils.for_range(builder, n_rows) as loop:
                row = loop.index
                own = _load(builder, at(0, builder.add(builder.load(at(1, row)), block)), _REALS)
                own = builder.select(within, own, nothing)
                positive = builder.select(builder.fcmp_ordered(">", own, nothing), own, nothing)
                for sum_, k, values in zip(sums, (2, 3, 2), (own, own, positive), strict=True):
                    factor = _spread(builder, builder.load(at(k, row)), _REALS)
                    builder.store(_multiply_add(builder, factor, values, builder.load(sum_)), sum_)
            for sum_, k in zip(sums, (5, 6, 7), strict=True):
                _store(builder, builder.load(sum_), at(k, block), _REALS)
        return context.get_dummy_value()

    index = types.intp
    return types.void(weight, first, onto_v, onto_i, index, dv, di, up, index), generate


@intrinsic
def collect_row(_, gradient, at_gradient, lambda_v, lambda_i, at_state, by_v, by_i, length):
    """Add ``by_v lambda_v + by_i lambda_i`` of ``length`` neurons to the gradient of a dense row."""
    index, real = types.intp, types.float64
    signature = types.void(gradient, index, lambda_v, lambda_i, index, real, real, index)
    return signature, _row_collector(False)


@intrinsic
def collect_row_and_sum(_, gradient, at_gradient, lambda_v, lambda_i, at_state, by_v, by_i, length, weight, at, total):
    """As `collect_row`; and writes the sums of weight times lambda_v and lambda_i to the pair ``total``."""
    index, real = types.intp, types.float64
    signature = types.void(gradient, index, lambda_v, lambda_i, index, real, real, index, weight, index, total)
    return signature, _row_collector(True)


def _row_collector(with_sum):
    """The code of `collect_row` or, ``with_sum``, of `collect_row_and_sum`."""

    def generate(context, builder, signature, arguments):
        _, at_gradient, _, _, at_state, by_v, by_i, length = arguments[:8]
        at = lambda k, index: _address(context, builder, signature.args[k], arguments[k], index)  # noqa: E731
        nothing = ir.Constant(_REALS, [0.0] * BLOCK)
        sums = [cgutils.alloca_once_value(builder, nothing) for _ in range(2)]
        factors = [_spread(builder, factor, _REALS) for factor in (by_v, by_i)]
        with cgutils.for_range_slice(builder, ir.Constant(_WORD, 0), length, ir.Constant(_WORD, BLOCK)) as (block, _):
            within = builder.icmp_signed("<", _LANE_NUMBERS, _lane_count(builder, builder.sub(length, block)))
            address = at(0, builder.add(at_gradient, block))
            gradient = _load(builder, address, _REALS)
            if with_sum:
                weight = _load(builder, at(8, builder.add(arguments[9], block)), _REALS)
                weight = builder.select(within, weight, nothing)
            for k, factor, sum_ in zip((2, 3), factors, sums, strict=True):
                state = _load(builder, at(k, builder.add(at_state, block)), _REALS)
                state = builder.select(within, state, nothing)
                gradient = _multiply_add(builder, factor, state, gradient)
                if with_sum:
                    builder.store(_multiply_add(builder, weight, state, builder.load(sum_)), sum_)
            _store(builder, gradient, address, _REALS)
        for k, sum_ in enumerate(sums if with_sum else ()):
            builder.store(_sum(builder, builder.load(sum_)), at(10, ir.Constant(_WORD, k)))
        return context.get_dummy_value()

    return generate


def _sum(builder, vector):
    """The sum over all lanes, pairwise."""
    width = BLOCK
    while width > 1:
        width //= 2
        halves = [ir.Constant(ir.VectorType(_LANE, width), list(range(k, k + width))) for k in (0, width)]
        low, high = (builder.shuffle_vector(vector, vector, half) for half in halves)
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(_LANE, 0))


def _wide(n_pairs):
    return ir.VectorType(_REAL, 2 * n_pairs)


def _pairs(builder, first, second, n):
    """n times the same two numbers side by side."""
    pair = builder.insert_element(ir.Constant(_PAIR, ir.Undefined), first, ir.Constant(_LANE, 0))
    pair = builder.insert_element(pair, second, ir.Constant(_LANE, 1))
    return builder.shuffle_vector(pair, pair, ir.Constant(ir.VectorType(_LANE, 2 * n), [0, 1] * n))


def _join(builder, vectors):
    """Vectors of the same kind, an even number, one after the other in one."""
    while len(vectors) > 1:
        lanes = ir.Constant(ir.VectorType(_LANE, 2 * vectors[0].type.count), list(range(2 * vectors[0].type.count)))
        vectors = [builder.shuffle_vector(*pair, lanes) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]
