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
) -> tuple[float, Float]:
    """The mean loss, and L(block as string s) - L [block, 2^m], all other bits held.

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
    m, rows, limit = plan.shape[1], len(x), n_inputs // 2
    differ = np.ascontiguousarray((n_inputs - pre.T).astype(np.int32) // 2)
    near, n_near = _near(differ, limit, m)
    losses = np.empty(rows)
    shares, logs = np.empty((2, rows, n_classes))
    in_threads(_shares, rows, sums, truth, float(scale), losses, shares, logs, at_least=256)
    changes = np.zeros(differ.shape)
    in_threads(
        _unit_changes, n_hidden, near, n_near, shares, truth, hidden, w2, float(scale), changes
    )
    tables = np.zeros((len(plan), 1 << m))
    for layer, seen, weights in ((of_first, x, w1), (~of_first, hidden, w2)):
        chosen = np.flatnonzero(layer)
        patches, patch = np.unique(places[chosen], axis=0, return_inverse=True)
        own = _numbers(weights[unit[chosen][:, None], places[chosen]])
        found = np.zeros((len(chosen), 1 << m))
        blocks = (unit[chosen], patch.ravel(), own, _patterns(seen, patches), found)
        if layer is of_first:
            in_threads(_first_blocks, len(chosen), *blocks, near, n_near, differ, changes, limit, m)
        else:
            in_threads(_last_blocks, len(chosen), *blocks, sums, logs, truth, float(scale), m)
        tables[chosen] = found / rows
    return float(losses.mean()), tables


def _near(
    differ: npt.NDArray[np.int32], limit: int, m: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The rows [unit, k] on which m weights may change a unit's sign, and how many they are."""
    at_edge = (differ > limit - m) & (differ <= limit + m)
    n_near = at_edge.sum(axis=1)
    near = np.zeros((len(differ), int(n_near.max(initial=0))), np.int32)
    for unit, rows in enumerate(at_edge):
        near[unit, : n_near[unit]] = np.flatnonzero(rows)
    return near, n_near


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
def _unit_changes(begin, end, near, n_near, shares, labels, hidden, w2, scale, changes):
    """What a hidden unit's flip does to the loss [unit, row], of the rows near its edge."""
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
            changes[unit, row] = np.log(after / before) + (2 if same else -2) / scale


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
    """Of table [x, distance], for every s the sum over x of table[x, dist(s, x)], in [s, 0]."""
    for b in range(m):
        for low in range(0, 1 << m, 2 << b):
            for k in range(low, low + (1 << b)):
                one, other = table[k], table[k + (1 << b)]
                for d in range(m - b):
                    x, y = one[d + 1], other[d + 1]
                    one[d] += y
                    other[d] += x


@_jit
def _first_blocks(
    begin, end, units, patch, own, patterns, out, near, n_near, differ, changes, limit, m
):
    weight = np.array([_weight(k) for k in range(1 << m)])
    table = np.empty((1 << m, m + 1))
    for block in range(begin, end):
        unit, mine, x = units[block], own[block], patterns[patch[block]]
        table[:] = 0.0
        whole = 0.0
        for k in range(n_near[unit]):
            row = near[unit, k]
            change, differing = changes[unit, row], differ[unit, row]
            # the unit is on where dist(s, x) is at the most this
            most = limit - (differing - weight[mine ^ x[row]])
            if differing <= limit:  # it is on
                if most < m:  # or it stays on, whatever s is
                    whole += change
                    table[x[row], most] -= change
            elif most >= 0:  # or it stays off
                table[x[row], most] += change
        for k in range(1 << m):
            for d in range(m - 1, -1, -1):  # a threshold counts for all distances up to it
                table[k, d] += table[k, d + 1]
        _shells(table, m)
        for k in range(1 << m):
            out[block, k] = whole + table[k, 0]


@_part
def _log_of_both(one, other):
    """log(exp(one) + exp(other)), whatever their sizes."""
    return max(one, other) + np.log1p(np.exp(-abs(one - other)))


@_jit
def _last_blocks(begin, end, classes, patch, own, patterns, out, sums, logs, labels, scale, m):
    weight = np.array([_weight(k) for k in range(1 << m)])
    table = np.empty((1 << m, m + 1))
    for block in range(begin, end):
        c, mine, x = classes[block], own[block], patterns[patch[block]]
        table[:] = 0.0
        for row in range(len(x)):
            before = _log_of_both(logs[row, c], sums[row, c] / scale)
            distance = weight[mine ^ x[row]]
            for d in range(m + 1):
                moved = 2 * (distance - d)
                after = _log_of_both(logs[row, c], (sums[row, c] + moved) / scale)
                gain = moved / scale if labels[row] == c else 0.0
                table[x[row], d] += after - before - gain
        _shells(table, m)
        for k in range(1 << m):
            out[block, k] = table[k, 0]
