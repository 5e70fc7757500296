"""What every string of a block of weights would do to the loss: exact, for all blocks at once.

The network has one hidden layer of signs. A block is m weights of one unit, `plan[block]`, which
take all 2^m strings while every other bit stays as it is. A row's input (or hidden units) at the
block is a string x of m bits too, and the block adds m - 2 · dist(s, x) to the unit's sum, with
dist the Hamming distance. So the loss of a row depends on s through that distance alone:

- a block of a first-layer unit changes its sign on the rows where the other weights leave it open,
  by a threshold on the distance; the sign changes the row's loss by what the flipped unit does
- a block of a class moves its sum, and the row's loss, by a function of the distance

A table holds, by distance and string, the sum of these changes over the rows with that string.
All 2^m sums over shells of equal distance come from it bit by bit, as in a fast Walsh transform.
"""

import numpy as np
import numpy.typing as npt

from qhyper.bits import Words, unpack
from qhyper.errors import UnsuitableError
from qhyper.machine import njit
from qhyper.targets.objective import check_blocks
from qhyper.targets.packed.flips import checked_arguments
from qhyper.targets.packed.inputs import PackedInputs
from qhyper.targets.packed.shape import PackedShape
from qhyper.threads import in_threads

Float = npt.NDArray[np.float64]


def block_differences(
    shape: PackedShape,
    words: Words,
    inputs: PackedInputs,
    labels: npt.ArrayLike,
    scale: float,
    plan: npt.NDArray[np.int64],
    out: Float,
) -> float:
    """Write L(block as string s) - L to `out` [block, 2^m], all other bits held; the mean loss L.

    Bit b of the number s is the weight `plan[block, b]`; bits are in the order of `PackedTarget`.
    Other arguments and errors as in `flip_differences`. Raises UnsuitableError for a block that is
    not of the weights of one unit, and ConfigurationError for more than 12 bits.
    """
    first, last, truth = checked_arguments(shape, words, inputs, labels, scale)
    n_inputs, n_hidden, n_classes = shape.layers
    check_blocks(plan, n_inputs * n_hidden + n_hidden * n_classes)
    of_first, unit, places = _parts(plan, n_inputs, n_hidden, n_classes)
    w1, w2 = unpack(first, n_inputs), unpack(last, n_hidden)  # [unit, input], [class, unit]
    x = unpack(np.ascontiguousarray(inputs.words[0].T), n_inputs)
    pre = _signs(x) @ _signs(w1).T  # whole numbers, which single precision holds
    hidden = (pre >= 0).view(np.uint8)
    sums = (_signs(hidden) @ _signs(w2).T).astype(np.int64)
    m, rows = plan.shape[1], len(x)
    differ = np.ascontiguousarray((n_inputs - pre.T).astype(np.int32) // 2)
    near, n_near, open_to = _near(n_inputs // 2 - differ, m)
    losses = np.empty(rows)
    shares, logs = np.empty((2, rows, n_classes))
    in_threads(_shares, rows, sums, truth, float(scale), losses, shares, logs, at_least=256)
    on = np.zeros(near.shape)
    in_threads(_gains_of_on, n_hidden, near, n_near, shares, truth, hidden, w2, float(scale), on)
    for layer, seen, weights in ((of_first, x, w1), (~of_first, hidden, w2)):
        chosen = np.flatnonzero(layer)
        patches, patch = _distinct(places[chosen], seen.shape[1])
        own = _numbers(weights[unit[chosen][:, None], places[chosen]])
        blocks = (chosen, unit[chosen], patch, own, _patterns(seen, patches), out)
        if layer is of_first:
            in_threads(_first_blocks, len(chosen), *blocks, near, n_near, open_to, on, m)
        else:
            in_threads(_last_blocks, len(chosen), *blocks, sums, logs, truth, float(scale), m)
    return float(losses.mean())


def _near(
    left: npt.NDArray[np.int32], m: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The rows [unit, k] on which m weights may change a unit's sign, how many, and `left` there.

    Of `left` [unit, row]: by how many more differences a unit stays on, below 0 where it is off.
    """
    at_edge = (left < m) & (left >= -m)
    n_near = at_edge.sum(axis=1)
    near = np.zeros((len(left), int(n_near.max(initial=0))), np.int32)
    for unit, rows in enumerate(at_edge):
        near[unit, : n_near[unit]] = np.flatnonzero(rows)
    return near, n_near, np.take_along_axis(left, near, axis=1)


def _distinct(
    places: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct rows of places [block, bit] below `size`, and which of them each row is."""
    number = np.zeros(len(places), np.int64)
    first = number[:0]
    for column in places.T:  # numbers stay small, and are far quicker to sort than rows
        _, first, number = np.unique(number * size + column, return_index=True, return_inverse=True)
    return places[first], number


def _parts(
    plan: npt.NDArray[np.int64], n_inputs: int, n_hidden: int, n_classes: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(whether a block is of the first layer, its unit or class, its bits' inputs [block, bit])."""
    of_first = plan < n_inputs * n_hidden
    within = np.where(of_first, plan, plan - n_inputs * n_hidden)
    width = np.where(of_first, n_hidden, n_classes)
    unit, places = within % width, within // width
    alone = (unit == unit[:, :1]).all(axis=1) & (of_first == of_first[:, :1]).all(axis=1)
    if not alone.all():
        wrong = int(np.flatnonzero(~alone)[0])
        raise UnsuitableError(
            f"Block {wrong} has the bits {plan[wrong].tolist()}, which are weights of several "
            "units; all strings are known from one pass for blocks of one unit's weights, such as "
            "`patches` makes."
        )
    return of_first[:, 0], unit[:, 0], places


def _signs(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return 2 * bits.astype(np.float32) - 1


def _numbers(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[-1]))


def _patterns(seen: npt.NDArray[np.uint8], patches: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """The strings [patch, row] of inputs [row, input] at the places [patch, bit]."""
    found = np.zeros((len(patches), len(seen)), np.int16)
    for b, places in enumerate(patches.T):
        found |= seen.T[places].astype(np.int16) << np.int16(b)
    return found


_jit = njit(error_model="numpy", nogil=True)
# inlined, or rounding would depend on numba's cache (see `mps` of the simulators)
_part = njit(error_model="numpy", forceinline=True)


@_jit
def _shares(begin, end, sums, labels, scale, losses, shares, logs):
    """Losses [row], and two numbers of every class [row, class].

    In shares exp((sum - largest sum) / scale), and in logs the logarithm of Σ exp(sum / scale) over
    the *other* classes, which a large sum does not hide.
    """
    for row in range(begin, end):
        top, total = sums[row].max(), 0.0
        for c in range(sums.shape[1]):
            largest, others = -np.inf, 0.0
            for other in range(sums.shape[1]):
                if other != c:
                    largest = max(largest, sums[row, other] / scale)
            for other in range(sums.shape[1]):
                others += 0.0 if other == c else np.exp(sums[row, other] / scale - largest)
            logs[row, c] = largest + np.log(others)
        for c in range(sums.shape[1]):
            shares[row, c] = np.exp((sums[row, c] - top) / scale)
            total += shares[row, c]
        losses[row] = np.log(total) + (top - sums[row, labels[row]]) / scale


@_jit
def _gains_of_on(begin, end, near, n_near, shares, labels, hidden, w2, scale, on):
    """What a hidden unit's being on, not off, does to the loss [unit, k], of rows near its edge."""
    n_classes = len(w2)
    up, down = np.exp(2 / scale), np.exp(-2 / scale)
    for unit in range(begin, end):
        for k in range(n_near[unit]):
            row = near[unit, k]
            before, after = 0.0, 0.0
            for c in range(n_classes):
                same = w2[c, unit] == hidden[row, unit]
                before += shares[row, c]
                after += shares[row, c] * (down if same else up)
            same = w2[labels[row], unit] == hidden[row, unit]
            flipped = np.log(after / before) + (2 if same else -2) / scale
            on[unit, k] = -flipped if hidden[row, unit] else flipped


@_part
def _weight(number):
    """How many bits of a number are 1."""
    count = 0
    while number:
        number &= number - 1
        count += 1
    return count


@_part
def _shells(table, m):
    """Of table [distance, x], for every s the sum over x of table[dist(s, x), x], in [0, s]."""
    size = 1 << m
    for b in range(m - 1, -1, -1):  # low bits last, when few distances are left: short loops
        stride = 1 << b
        for d in range(b + 1):
            here, above = table[d], table[d + 1]
            for low in range(0, size, 2 * stride):
                for k in range(low, low + stride):
                    x, y = above[k], above[k + stride]
                    here[k] += y
                    here[k + stride] += x


@_part
def _write_differences(out, found, own, rows):
    """The mean change from the string `own`, of sums over the rows."""
    for k in range(len(out)):
        out[k] = (found[k] - found[own]) / rows


@_jit
def _first_blocks(
    begin, end, chosen, units, patch, own, patterns, out, near, n_near, open_to, on, m
):
    size = 1 << m
    weight = np.array([_weight(k) for k in range(size)])
    slots = np.empty((m + 2, size))
    flat, table = slots.reshape(-1), slots[1:]
    for block in range(begin, end):
        unit, mine, x = units[block], own[block], patterns[patch[block]]
        slots[:] = 0.0
        some = slice(n_near[unit])
        to, gain, of_row = open_to[unit, some], on[unit, some], near[unit, some]
        for k in range(len(of_row)):
            string = x[of_row[k]]
            # the unit is on where dist(s, x) is at the most this: nowhere below 0, for all from m
            most = to[k] + weight[mine ^ string]
            flat[size * (1 + max(-1, min(m, most))) + string] += gain[k]
        for d in range(m - 1, -1, -1):  # a threshold counts for all distances up to it
            here, above = table[d], table[d + 1]
            for k in range(size):
                here[k] += above[k]
        _shells(table, m)
        _write_differences(out[chosen[block]], table[0], mine, patterns.shape[1])


@_part
def _log_of_both(one, other):
    """log(exp(one) + exp(other)), whatever their sizes."""
    return max(one, other) + np.log1p(np.exp(-abs(one - other)))


@_jit
def _last_blocks(
    begin, end, chosen, classes, patch, own, patterns, out, sums, logs, labels, scale, m
):
    weight = np.array([_weight(k) for k in range(1 << m)])
    rows, known = patterns.shape[1], -1
    table, moved = np.empty((m + 1, 1 << m)), np.empty((rows, 2 * m + 1))
    for block in range(begin, end):
        c, mine, x = classes[block], own[block], patterns[patch[block]]
        if c != known:  # what the class's sum does to the loss, moved by -2m to 2m
            known = c
            for row in range(rows):
                before = _log_of_both(logs[row, c], sums[row, c] / scale)
                for k in range(2 * m + 1):
                    by = 2 * (k - m)
                    after = _log_of_both(logs[row, c], (sums[row, c] + by) / scale)
                    moved[row, k] = after - before - (by / scale if labels[row] == c else 0.0)
        table[:] = 0.0
        for row in range(rows):
            distance = weight[mine ^ x[row]]
            for d in range(m + 1):
                table[d, x[row]] += moved[row, m + distance - d]
        _shells(table, m)
        _write_differences(out[chosen[block]], table[0], mine, rows)
