"""The inner loop of packed convolutions (numba): a block of units on a block of places.

Eight images lie side by side, a vector of eight words. Counts of differing bits of all units and
places of a block stay in registers while the words of a patch pass: each word is read once for all
units, and each weight once for all places. Written as LLVM's vectors, so that a processor with a
vector popcount (AVX-512 VPOPCNTDQ) uses it, and any other what it has.

In plain Python the code that is built here is, for words x [place, kernel row, word, lane] of the
patches and w [kernel row, word, unit] of the weights (which lie flat, at offsets of their own)::

    counts = zeros(units, places, lanes)
    for row in range(n_rows):
        for word in range(n_words):
            for u in range(units):
                for p in range(places):
                    for lane in range(lanes):  # one instruction
                        counts[u, p, lane] += popcount(x[p, row, word, lane] ^ w[row, word, u])

and then, with table [place, unit], what `packing` works out for how a patch lies over the edge,
either signs, of units whose bits of a word [place, lane] begin at `bit`::

    if counts[u, p, lane] <= table[p, u]:
        out[p, lane] |= 1 << (bit + u)

or sums, `out[u, p, lane] = (table[p, u] - 2 * counts[u, p, lane]) * factors[u]`, which are added to
what is there if told. The loops over units and places are unrolled. Real numbers go the same way:
`sums[u, p, lane] += w[k, u] * x[k, p, lane]`, rounded once, and a bias at the end.
"""

from collections.abc import Callable, Mapping
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
"""Images side by side."""
UNITS = 4
"""Units of a block."""


def _features() -> Mapping[str, bool]:
    try:
        return llvmlite.binding.get_host_cpu_features()
    except RuntimeError:  # some hosts do not say what they have
        return {}


_WIDE = _features().get("avx512vpopcntdq", False)
PLACES = 4 if _WIDE else 1
"""Places of a block: with sixteen counts in registers of 512 bits, or eight of 256."""

_I64, _F64 = ir.IntType(64), ir.DoubleType()
_WORDS, _NUMBERS = ir.VectorType(_I64, LANES), ir.VectorType(_F64, LANES)


class _Code:
    """LLVM code of one call: its builder, and the pointers and numbers that it was given."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, names: str) -> None:
        self.builder = builder
        for name, kind, value in zip(names.split(), signature.args, args, strict=True):
            if isinstance(kind, types.Array):
                value = context.make_array(kind)(context, builder, value).data
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def index(self, first: Any, *products: Any) -> Any:
        """first + a * b + ..., of pairs (a, b)."""
        for a, b in products:
            first = self.builder.add(first, self.builder.mul(a, b))
        return first

    def splat(self, value: Any, kind: ir.VectorType = _WORDS) -> Any:
        """A vector of one number."""
        single = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), mask)

    def at(self, pointer: Any, index: Any, kind: Any = None) -> Any:
        """The pointer to an element, of vectors if told."""
        place = self.builder.gep(pointer, [index])
        return place if kind is None else self.builder.bitcast(place, kind.as_pointer())

    def vector(self, pointer: Any, index: Any, kind: ir.VectorType = _WORDS) -> Any:
        """A vector from memory."""
        return self.builder.load(self.at(pointer, index, kind), align=8)

    def number(self, pointer: Any, index: Any) -> Any:
        """One number from memory."""
        return self.builder.load(self.at(pointer, index))

    def products(self, places: int, units: int) -> list[list[Any]]:
        """Σ over k of weights times numbers x [k, place], vectors [unit][place]."""
        builder = self.builder
        sums = self._accumulators(places, units, _NUMBERS)
        kind = ir.FunctionType(_NUMBERS, [_NUMBERS] * 3)
        fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f64")
        with cgutils.for_range(builder, self.size) as k:
            here = builder.mul(k.index, _I64(places * LANES))
            numbers = [
                self.vector(self.x, builder.add(here, _I64(p * LANES)), _NUMBERS)
                for p in range(places)
            ]
            weight = self.index(self.w_at, (k.index, _I64(UNITS)))
            for u in range(units):
                unit = self.splat(self.number(self.w, builder.add(weight, _I64(u))), _NUMBERS)
                for p in range(places):
                    now = builder.call(fused, [numbers[p], unit, builder.load(sums[u][p])])
                    builder.store(now, sums[u][p])
        return [[builder.load(one) for one in of_unit] for of_unit in sums]

    def _accumulators(self, places: int, units: int, kind: ir.VectorType) -> list[list[Any]]:
        """Zeros [unit][place], which a compiler keeps in registers."""
        found = [
            [cgutils.alloca_once(self.builder, kind) for _ in range(places)] for _ in range(units)
        ]
        for each in (one for of_unit in found for one in of_unit):
            self.builder.store(ir.Constant(kind, [0] * LANES), each)
        return found

    def counts(self, places: int, units: int) -> list[list[Any]]:
        """Bits in which patches and weights differ, vectors [unit][place]."""
        builder = self.builder
        sums = self._accumulators(places, units, _WORDS)
        of_words = ir.FunctionType(_WORDS, [_WORDS])
        name = f"llvm.ctpop.v{LANES}i64"
        count = cgutils.get_or_insert_function(builder.module, of_words, name)
        with cgutils.for_range(builder, self.n_rows) as row:
            patch = self.index(self.x_at, (row.index, self.x_row))
            weight = self.index(self.w_at, (builder.mul(row.index, self.n_words), _I64(UNITS)))
            with cgutils.for_range(builder, self.n_words) as word:
                here = self.index(patch, (word.index, _I64(LANES)))
                words = [
                    self.vector(self.x, self.index(here, (_I64(p), self.x_place)))
                    for p in range(places)
                ]
                of_word = self.index(weight, (word.index, _I64(UNITS)))
                for u in range(units):
                    unit = self.splat(self.number(self.w, builder.add(of_word, _I64(u))))
                    for p in range(places):
                        ones = builder.call(count, [builder.xor(words[p], unit)])
                        builder.store(builder.add(builder.load(sums[u][p]), ones), sums[u][p])
        return [[builder.load(one) for one in of_unit] for of_unit in sums]


_PATCH = "x x_at x_row x_place n_rows n_words w w_at table t_at columns c_at"


def _signs(places: int) -> Any:
    @intrinsic
    def signs(
        typingctx, x, x_at, x_row, x_place, n_rows, n_words, w, w_at, table, t_at, columns, c_at,
        bit, out, out_at, out_place,
    ):  # fmt: skip
        names = f"{_PATCH} bit out out_at out_place"

        def codegen(context, builder, signature, args):
            code = _Code(context, builder, signature, args, names)
            counts = code.counts(places, UNITS)
            for p in range(places):
                of_place = builder.add(
                    code.t_at, code.number(code.columns, builder.add(code.c_at, _I64(p)))
                )
                place = code.index(code.out_at, (_I64(p), code.out_place))
                word = code.vector(code.out, place)
                for u in range(UNITS):
                    limit = code.splat(code.number(code.table, builder.add(of_place, _I64(u))))
                    one = builder.shl(_I64(1), builder.add(code.bit, _I64(u)))
                    within = builder.icmp_signed("<=", counts[u][p], limit)
                    zeros = ir.Constant(_WORDS, [0] * LANES)
                    word = builder.or_(word, builder.select(within, code.splat(one), zeros))
                builder.store(word, code.at(code.out, place, _WORDS), align=8)
            return context.get_dummy_value()

        return _called(
            x, x_at, x_row, x_place, n_rows, n_words, w, w_at, table, t_at, columns, c_at, bit,
            out, out_at, out_place,
        ), codegen  # fmt: skip

    return signs


def _sums(places: int, units: int) -> Any:
    @intrinsic
    def sums(
        typingctx, x, x_at, x_row, x_place, n_rows, n_words, w, w_at, table, t_at, columns, c_at,
        factors, unit, adds, out, out_at, out_place, out_unit,
    ):  # fmt: skip
        names = f"{_PATCH} factors unit adds out out_at out_place out_unit"

        def codegen(context, builder, signature, args):
            code = _Code(context, builder, signature, args, names)
            counts = code.counts(places, units)
            adds = builder.icmp_signed("!=", code.adds, _I64(0))
            for p in range(places):
                of_place = builder.add(
                    code.t_at, code.number(code.columns, builder.add(code.c_at, _I64(p)))
                )
                for u in range(units):
                    base = code.splat(code.number(code.table, builder.add(of_place, _I64(u))))
                    total = builder.sub(base, builder.shl(counts[u][p], code.splat(_I64(1))))
                    factor = code.number(code.factors, builder.add(code.unit, _I64(u)))
                    value = builder.fmul(
                        builder.sitofp(total, _NUMBERS), code.splat(factor, _NUMBERS)
                    )
                    place = code.index(
                        code.out_at, (_I64(p), code.out_place), (_I64(u), code.out_unit)
                    )
                    target = code.at(code.out, place, _NUMBERS)
                    with builder.if_else(adds) as (then, otherwise):
                        with then:
                            before = builder.load(target, align=8)
                            builder.store(builder.fadd(value, before), target, align=8)
                        with otherwise:
                            builder.store(value, target, align=8)
            return context.get_dummy_value()

        return _called(
            x, x_at, x_row, x_place, n_rows, n_words, w, w_at, table, t_at, columns, c_at,
            factors, unit, adds, out, out_at, out_place, out_unit,
        ), codegen  # fmt: skip

    return sums


@intrinsic
def _products(typingctx, x, size, w, w_at, bias, unit, out, out_at, out_place, out_unit):
    names = "x size w w_at bias unit out out_at out_place out_unit"

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, signature, args, names)
        for u, of_unit in enumerate(code.products(PLACES, UNITS)):
            bias = code.splat(code.number(code.bias, builder.add(code.unit, _I64(u))), _NUMBERS)
            for p, total in enumerate(of_unit):
                place = code.index(code.out_at, (_I64(p), code.out_place), (_I64(u), code.out_unit))
                target = code.at(code.out, place, _NUMBERS)
                builder.store(builder.fadd(total, bias), target, align=8)
        return context.get_dummy_value()

    return _called(x, size, w, w_at, bias, unit, out, out_at, out_place, out_unit), codegen


def _vectors(do: Callable[[_Code], None], names: str) -> Any:
    """What a call does with the vectors at x_at of the numbers x and out_at of out."""
    n_more = len(names.split()) - 4
    assert n_more in (0, 2)

    def typed(*kinds: Any) -> Any:
        def codegen(context, builder, signature, args):
            do(_Code(context, builder, signature, args, names))
            return context.get_dummy_value()

        return _called(*kinds), codegen

    if n_more:

        @intrinsic
        def with_limit(typingctx, x, x_at, limit, one, out, out_at):
            signature, codegen = typed(x, x_at, limit, one, out, out_at)
            x, x_at, _, *others = signature.args
            return types.void(x, x_at, types.float64, *others), codegen

        return with_limit

    @intrinsic
    def of_two(typingctx, x, x_at, out, out_at):
        return typed(x, x_at, out, out_at)

    return of_two


def _put_if(comparison: str) -> Any:
    def do(code: _Code) -> None:
        x, limit = code.vector(code.x, code.x_at, _NUMBERS), code.splat(code.limit, _NUMBERS)
        zeros, words = ir.Constant(_WORDS, [0] * LANES), code.vector(code.out, code.out_at)
        found = code.builder.fcmp_ordered(comparison, x, limit)
        one = code.builder.select(found, code.splat(code.one), zeros)
        place = code.at(code.out, code.out_at, _WORDS)
        code.builder.store(code.builder.or_(words, one), place, align=8)

    return _vectors(do, "x x_at limit one out out_at")


def _keep_larger(code: _Code) -> None:
    x, out = (code.vector(*two, _NUMBERS) for two in ((code.x, code.x_at), (code.out, code.out_at)))
    larger = code.builder.select(code.builder.fcmp_ordered(">", x, out), x, out)
    code.builder.store(larger, code.at(code.out, code.out_at, _NUMBERS), align=8)


def _copy(code: _Code) -> None:
    place = code.at(code.out, code.out_at, _NUMBERS)
    code.builder.store(code.vector(code.x, code.x_at, _NUMBERS), place, align=8)


def _add(code: _Code) -> None:
    x, out = (code.vector(*two, _NUMBERS) for two in ((code.x, code.x_at), (code.out, code.out_at)))
    place = code.at(code.out, code.out_at, _NUMBERS)
    code.builder.store(code.builder.fadd(out, x), place, align=8)


def _called(*kinds: Any) -> Any:
    """The signature of a call: arrays as they are, and numbers as int64."""
    return types.void(*(k if isinstance(k, types.Array) else types.int64 for k in kinds))


signs_of_places, signs_of_place = _signs(PLACES), _signs(1)
"""Whether counts are within limits, as bits of `UNITS` units in words [place], which are ORed."""
sums_of_places, sums_of_place = _sums(PLACES, UNITS), _sums(1, UNITS)
"""base - 2 * count, times factors, stored or added to numbers [unit, place]."""
sum_of_places, sum_of_place = _sums(PLACES, 1), _sums(1, 1)
"""The same of a single unit."""
products_of_places: Any = _products
"""Σ of real weights [k, unit] times numbers [k, place], and a bias, to numbers [unit, place]."""
put_if_at_least, put_if_at_most = _put_if(">="), _put_if("<=")
"""OR a word into those of lanes whose numbers are within a limit."""
keep_larger = _vectors(_keep_larger, "x x_at out out_at")
"""The larger of two numbers, in the place of the second."""
add = _vectors(_add, "x x_at out out_at")
"""Their sum, in the place of the second."""
copy = _vectors(_copy, "x x_at out out_at")
"""The first, in the place of the second."""
