"""Vectors of numbers and addresses of arrays, for what `simd` has the compiler generate."""

from llvmlite import ir
from numba.core import cgutils

from .state import BLOCK

WORD, LANE, REAL = ir.IntType(64), ir.IntType(32), ir.DoubleType()
REALS = ir.VectorType(REAL, BLOCK)
LANES = ir.VectorType(LANE, BLOCK)
PAIR = ir.VectorType(REAL, 2)
# Vectors begin anywhere: at a number, not at a multiple of their size.
_ALIGNMENT = 4
LANE_NUMBERS = ir.Constant(LANES, list(range(BLOCK)))


class Call:
    """The arguments of a call by their names: numbers, and arrays, alone or in a NamedTuple such as Net."""

    def __init__(self, names, context, builder, signature, arguments):
        self._context, self._builder = context, builder
        self._given = dict(zip(names.split(), zip(signature.args, arguments, strict=True), strict=True))

    def numbers(self, names):
        """The values of numbers, or of one."""
        values = [self._given[name][1] for name in names.split()]
        return values if len(values) > 1 else values[0]

    def _value(self, path):
        """(type, value) of what a path such as ``net.weight`` names."""
        name, _, field = path.partition(".")
        kind, value = self._given[name]
        if not field:
            return kind, value
        at = kind.fields.index(field)
        return kind.types[at], self._builder.extract_value(value, at)

    def field(self, path):
        """The value of a number in a NamedTuple."""
        return self._value(path)[1]

    def _array(self, path):
        kind, value = self._value(path)
        return self._context.make_array(kind)(self._context, self._builder, value)

    def size(self, path):
        """How many elements an array has."""
        return self._array(path).nitems

    def at(self, path, index, row=None):
        """The address of an element of an array, of one or two dimensions; ``row``: a number or a value."""
        array, builder = self._array(path), self._builder
        if row is not None:
            row = row if isinstance(row, ir.Value) else ir.Constant(WORD, int(row))
            index = builder.add(builder.mul(self.length_of_row(path), row), index)
        return builder.gep(array.data, [index])

    def length_of_row(self, path):
        """How many elements there are in each row of an array of two dimensions."""
        return cgutils.unpack_tuple(self._builder, self._array(path).shape, 2)[1]


def load(builder, address, vector):
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=_ALIGNMENT)


def store(builder, value, address, vector):
    builder.store(value, builder.bitcast(address, vector.as_pointer()), align=_ALIGNMENT)


def spread(builder, scalar, vector):
    """A vector with the same number in every lane."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(LANE, 0))
    lanes = ir.Constant(ir.VectorType(LANE, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)


def count_of(builder, mask):
    """The number of lanes that are set."""
    bits = builder.zext(builder.bitcast(mask, ir.IntType(BLOCK)), WORD)
    return builder.ctpop(bits)


def lane_count(builder, n):
    """The smaller of n and BLOCK, in every lane."""
    width = ir.Constant(WORD, BLOCK)
    n = builder.select(builder.icmp_signed("<", n, width), n, width)
    return spread(builder, builder.trunc(n, LANE), LANES)


def multiply_add(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


def sum_of(builder, vector):
    """The sum over all lanes, pairwise."""
    width = BLOCK
    while width > 1:
        width //= 2
        halves = [ir.Constant(ir.VectorType(LANE, width), list(range(k, k + width))) for k in (0, width)]
        low, high = (builder.shuffle_vector(vector, vector, half) for half in halves)
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(LANE, 0))


def wide(n_pairs):
    return ir.VectorType(REAL, 2 * n_pairs)


def pairs(builder, pair, n):
    """n times the same two numbers of a tuple side by side."""
    vector = ir.Constant(PAIR, ir.Undefined)
    for k in range(2):
        vector = builder.insert_element(vector, builder.extract_value(pair, k), ir.Constant(LANE, k))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(LANE, 2 * n), [0, 1] * n))


def join(builder, vectors):
    """Vectors of the same kind, an even number, one after the other in one."""
    while len(vectors) > 1:
        lanes = ir.Constant(ir.VectorType(LANE, 2 * vectors[0].type.count), list(range(2 * vectors[0].type.count)))
        vectors = [builder.shuffle_vector(*pair, lanes) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]
