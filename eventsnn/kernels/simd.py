"""What the compiler cannot find out by itself: a few synapses at a time, in vector registers.

A spike has a handful of arrivals per window, too few for the compiler's own vector loops, and it cannot know that the
arrays do not overlap. These functions take a whole `BLOCK` of synapses at once and say how many of them counted; what
they read or write beyond those is within the block that every array has to spare.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Synapses in a block, and the room to spare at both ends of each array of synapses.
BLOCK = 16

_WORD, _LANE, _REAL = ir.IntType(64), ir.IntType(32), ir.DoubleType()
_REALS = ir.VectorType(_REAL, BLOCK)
_LANES = ir.VectorType(_LANE, BLOCK)
_MASK = ir.VectorType(ir.IntType(1), BLOCK)
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


def _sum(builder, vector):
    """The sum over all lanes, pairwise."""
    width = BLOCK
    while width > 1:
        width //= 2
        halves = [ir.Constant(ir.VectorType(_LANE, width), list(range(k, k + width))) for k in (0, width)]
        low, high = (builder.shuffle_vector(vector, vector, half) for half in halves)
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(_LANE, 0))


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
def copy_due(_, delay, weight, target, first, left, charge, to, n, sent, count, end, most):
    """Turn synapses from ``first`` on into arrivals from ``n`` on; returns how many of ``most`` arrive before ``end``.

    Writes ``end - (sent + delay)`` to ``left``, ``weight * count`` to ``charge`` and ``target`` to ``to``. The synapses
    are sorted by delay, so those that arrive in time come first.
    """

    def generate(context, builder, signature, arguments):
        _, _, _, first, _, _, _, n, sent, count, end, most = arguments
        delay, weight, target, left, charge, to = (
            _address(context, builder, signature.args[k], arguments[k], index)
            for k, index in ((0, first), (1, first), (2, first), (4, n), (5, n), (6, n))
        )
        sent, count, end = (_spread(builder, value, _REALS) for value in (sent, count, end))
        arrival = builder.fadd(sent, _load(builder, delay, _REALS))
        _store(builder, builder.fsub(end, arrival), left, _REALS)
        _store(builder, builder.fmul(_load(builder, weight, _REALS), count), charge, _REALS)
        _store(builder, _load(builder, target, _LANES), to, _LANES)
        within = builder.icmp_signed("<", _LANE_NUMBERS, _lane_count(builder, most))
        return _count(builder, builder.and_(builder.fcmp_ordered("<", arrival, end), within))

    index, real = types.intp, types.float64
    return index(delay, weight, target, index, left, charge, to, index, real, real, real, index), generate


@intrinsic
def copy_due_back(_, delay, target, last, arrival, to, n, sent, begin, most):
    """Turn synapses up to ``last`` into arrivals up to n; returns how many of ``most`` arrive at or after ``begin``.

    Writes ``sent + delay`` to ``arrival`` and ``target`` to ``to``, both into the block that ends before n. Synapses
    are sorted by delay, so those that arrive late enough come last.
    """

    def generate(context, builder, signature, arguments):
        width = ir.Constant(_WORD, BLOCK)
        _, _, last, _, _, n, sent, begin, most = arguments
        last, n = builder.sub(last, width), builder.sub(n, width)
        delay, target, arrival, to = (
            _address(context, builder, signature.args[k], arguments[k], index)
            for k, index in ((0, last), (1, last), (3, n), (4, n))
        )
        times = builder.fadd(_spread(builder, sent, _REALS), _load(builder, delay, _REALS))
        _store(builder, times, arrival, _REALS)
        _store(builder, _load(builder, target, _LANES), to, _LANES)
        lanes_left = builder.sub(ir.Constant(_LANES, [BLOCK] * BLOCK), _LANE_NUMBERS)
        within = builder.icmp_signed("<=", lanes_left, _lane_count(builder, most))
        late = builder.fcmp_ordered(">=", times, _spread(builder, begin, _REALS))
        return _count(builder, builder.and_(late, within))

    index, real = types.intp, types.float64
    return index(delay, target, index, arrival, to, index, real, real, index), generate


@intrinsic
def accumulate(_, weight, weight_sum, delay_sum, first, current, difference, n, count, length):
    """Add to the gradients of ``length`` <= BLOCK synapses from ``first`` on what arrivals from n on collected.

    Subtracts ``count * current`` from ``weight_sum``, adds ``count * weight * difference`` to ``delay_sum`` and returns
    the sum of the latter.
    """

    def generate(context, builder, signature, arguments):
        _, _, _, first, _, _, n, count, length = arguments
        weight, weight_sum, delay_sum, current, difference = (
            _address(context, builder, signature.args[k], arguments[k], index)
            for k, index in ((0, first), (1, first), (2, first), (4, n), (5, n))
        )
        within = builder.icmp_signed("<", _LANE_NUMBERS, _lane_count(builder, length))
        count, nothing = _spread(builder, count, _REALS), ir.Constant(_REALS, [0.0] * BLOCK)
        taken = builder.select(within, builder.fmul(count, _load(builder, current, _REALS)), nothing)
        _store(builder, builder.fsub(_load(builder, weight_sum, _REALS), taken), weight_sum, _REALS)
        charge = builder.fmul(count, _load(builder, weight, _REALS))
        moved = builder.select(within, builder.fmul(charge, _load(builder, difference, _REALS)), nothing)
        _store(builder, builder.fadd(_load(builder, delay_sum, _REALS), moved), delay_sum, _REALS)
        return _sum(builder, moved)

    index, real = types.intp, types.float64
    return real(weight, weight_sum, delay_sum, index, current, difference, index, real, index), generate
