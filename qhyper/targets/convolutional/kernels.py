"""Compiled loops over a tile of images (numba), of which eight lie side by side.

Real numbers and sums of a tile are float64 [group, channel, row, column, lane], and bits are words
uint64 [group, row, column, word, lane] of 64 channels each with a border of zeros around them;
bits past the last channel are zero. A group is eight images, a lane one of them.
"""

from typing import Any

import numba as nb
import numpy as np
from numba.extending import intrinsic

from qhyper.machine import njit
from qhyper.targets.convolutional.block import (
    LANES,
    PLACES,
    UNITS,
    add,
    copy,
    keep_larger,
    products_of_places,
    put_if_at_least,
    put_if_at_most,
    signs_of_place,
    signs_of_places,
    sum_of_place,
    sum_of_places,
    sums_of_place,
    sums_of_places,
)

_compiled = njit(error_model="numpy", nogil=True)


@intrinsic
def _fused(typingctx, a, b, c):
    """a * b + c, rounded once: one instruction, which numba has no name for."""

    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    double = nb.types.float64
    return double(double, double, double), codegen


_multiply_and_add: Any = _fused
"""Called with three numbers alone, which a type checker cannot know."""


# -- in and out ------------------------------------------------------------------------------------


@_compiled
def load(images, numbers):
    """Copy images [image, channel, row, column] into a tile; lanes past the last are zeros."""
    for g in range(numbers.shape[0]):
        for channel in range(numbers.shape[1]):
            for row in range(numbers.shape[2]):
                line = numbers[g, channel, row]
                for lane in range(LANES):
                    image = g * LANES + lane
                    if image < len(images):
                        of_image = images[image, channel, row]
                        for column in range(len(line)):
                            line[column, lane] = of_image[column]
                    else:
                        line[:, lane] = 0


@_compiled
def load_bits(images, words, down, right):
    """The same of bits, into words, whose border is (down, right)."""
    words[:] = 0
    channels, rows, columns = images.shape[1:]
    places, flat = rows * columns, images.reshape(-1)
    found = np.empty(places, np.uint64)
    for image in range(len(images)):
        g, lane = image // LANES, image % LANES
        for word in range(words.shape[3]):
            found[:] = 0
            for position in range(min(64, channels - 64 * word)):
                first = (image * channels + 64 * word + position) * places
                of_image = flat[first : first + places]
                for place in range(places):
                    found[place] |= np.uint64(of_image[place]) << np.uint64(position)
            for row in range(rows):
                for column in range(columns):
                    one = found[row * columns + column]
                    words[g, row + down, column + right, word, lane] = one


@_compiled
def store(numbers, images):
    """What `load` read, written back."""
    for image in range(len(images)):
        g, lane = image // LANES, image % LANES
        for channel in range(images.shape[1]):
            for row in range(images.shape[2]):
                for column in range(images.shape[3]):
                    images[image, channel, row, column] = numbers[g, channel, row, column, lane]


@_compiled
def store_bits(words, down, right, images):
    """What `load_bits` read, written back."""
    for image in range(len(images)):
        g, lane = image // LANES, image % LANES
        for channel in range(images.shape[1]):
            word, position = channel >> 6, np.uint64(channel & 63)
            for row in range(images.shape[2]):
                for column in range(images.shape[3]):
                    found = words[g, row + down, column + right, word, lane] >> position
                    images[image, channel, row, column] = found & np.uint64(1)


@_compiled
def numbers_of(words, down, right, numbers):
    """Bits as the numbers -1 and +1."""
    groups, channels, rows, columns, _ = numbers.shape
    for g in range(groups):
        for channel in range(channels):
            word, position = channel >> 6, np.uint64(channel & 63)
            for row in range(rows):
                for column in range(columns):
                    for lane in range(LANES):
                        found = words[g, row + down, column + right, word, lane] >> position
                        one = 1.0 if found & np.uint64(1) else -1.0
                        numbers[g, channel, row, column, lane] = one


# -- binary convolutions ---------------------------------------------------------------------------


@_compiled
def gather(words, first, step, kernel, channels, found):
    """Put the channels of `kernel` neighbouring columns together: [group, row, place, word, lane].

    Place p begins at the column first + step * p.
    """
    found[:] = 0
    for g in range(found.shape[0]):
        for row in range(found.shape[1]):
            for place in range(found.shape[2]):
                for k in range(kernel):
                    column = first + step * place + k
                    for word in range(words.shape[3]):
                        bit = k * channels + 64 * word
                        to, shift = bit >> 6, np.uint64(bit & 63)
                        for lane in range(LANES):
                            some = words[g, row, column, word, lane]
                            found[g, row, place, to, lane] |= some << shift
                        if shift and to + 1 < found.shape[3]:
                            back = np.uint64(64) - shift
                            for lane in range(LANES):
                                some = words[g, row, column, word, lane]
                                found[g, row, place, to + 1, lane] |= some >> back


@_compiled
def signs(x, steps, size, weights, table, of_row, of_column, out, out_steps):
    """Bits of counts within limits, packed: ORed into words that begin as zeros.

    `x` and `out` are flat, and `steps` the distances in x: first, group, output row, output
    column, and kernel row. `size` is groups, output rows and columns, kernel rows, words of a
    kernel row, and units, a multiple of UNITS. `weights` [block, kernel row, word, unit in block],
    flat; `table` of limits, flat, begins for a row at `of_row` and for a column so much further.
    """
    first, to_group, to_row, to_place, x_row = steps
    groups, rows, columns, n_rows, n_words, units = size
    out_first, out_group, out_row, out_place = out_steps
    whole = columns - columns % PLACES
    for g in range(groups):
        for row in range(rows):
            at = first + g * to_group + row * to_row
            to = out_first + g * out_group + row * out_row
            for column in range(0, whole, PLACES):
                for unit in range(0, units, UNITS):
                    signs_of_places(
                        x, at + column * to_place, x_row, to_place, n_rows, n_words,
                        weights, unit * n_rows * n_words, table, of_row[row] + unit, of_column,
                        column, unit & 63, out, to + column * out_place + (unit >> 6) * LANES,
                        out_place,
                    )  # fmt: skip
            for column in range(whole, columns):
                for unit in range(0, units, UNITS):
                    signs_of_place(
                        x, at + column * to_place, x_row, to_place, n_rows, n_words,
                        weights, unit * n_rows * n_words, table, of_row[row] + unit, of_column,
                        column, unit & 63, out, to + column * out_place + (unit >> 6) * LANES,
                        out_place,
                    )  # fmt: skip


@_compiled
def sums(x, steps, size, weights, table, of_row, of_column, factors, adds, out):
    """Sums, times the factors, as numbers; added to what is there with adds = 1.

    Arguments as of `signs`; `table` is of the sums where nothing differs, and `out` [group, unit,
    row, column, lane].
    """
    first, to_group, to_row, to_place, x_row = steps
    groups, rows, columns, n_rows, n_words, _ = size
    units = out.shape[1]
    out_unit = rows * columns * LANES
    numbers = out.reshape(-1)
    whole, blocks = columns - columns % PLACES, units - units % UNITS
    for g in range(groups):
        for row in range(rows):
            at = first + g * to_group + row * to_row
            to = g * units * out_unit + row * columns * LANES
            for column in range(columns):
                if column < whole and column % PLACES:
                    continue
                patch, of_place = at + column * to_place, to + column * LANES
                for unit in range(0, blocks, UNITS):
                    w_at, t_at = unit * n_rows * n_words, of_row[row] + unit
                    place = of_place + unit * out_unit
                    if column < whole:
                        sums_of_places(
                            x, patch, x_row, to_place, n_rows, n_words, weights, w_at, table, t_at,
                            of_column, column, factors, unit, adds, numbers, place, LANES, out_unit,
                        )  # fmt: skip
                    else:
                        sums_of_place(
                            x, patch, x_row, to_place, n_rows, n_words, weights, w_at, table, t_at,
                            of_column, column, factors, unit, adds, numbers, place, LANES, out_unit,
                        )  # fmt: skip
                for unit in range(blocks, units):
                    w_at = blocks * n_rows * n_words + unit - blocks
                    t_at, place = of_row[row] + unit, of_place + unit * out_unit
                    if column < whole:
                        sum_of_places(
                            x, patch, x_row, to_place, n_rows, n_words, weights, w_at, table, t_at,
                            of_column, column, factors, unit, adds, numbers, place, LANES, out_unit,
                        )  # fmt: skip
                    else:
                        sum_of_place(
                            x, patch, x_row, to_place, n_rows, n_words, weights, w_at, table, t_at,
                            of_column, column, factors, unit, adds, numbers, place, LANES, out_unit,
                        )  # fmt: skip


# -- other steps on bits ---------------------------------------------------------------------------


@_compiled
def threshold(numbers, limit, above, words, down, right):
    """Signs of numbers, packed."""
    words[:] = 0
    groups, channels, rows, columns, _ = numbers.shape
    _, rows_there, columns_there, n_words, _ = words.shape
    x, out = numbers.reshape(-1), words.reshape(-1)
    for g in range(groups):
        for row in range(rows):
            line = (g * rows_there + row + down) * columns_there + right
            for channel in range(channels):
                at = ((g * channels + channel) * rows + row) * columns * LANES
                to = (line * n_words + (channel >> 6)) * LANES
                least, one = limit[channel], 1 << (channel & 63)
                if above[channel]:
                    for column in range(columns):
                        here = to + column * n_words * LANES
                        put_if_at_least(x, at + column * LANES, least, one, out, here)
                else:
                    for column in range(columns):
                        here = to + column * n_words * LANES
                        put_if_at_most(x, at + column * LANES, least, one, out, here)


@_compiled
def flip(words, down, right, mask):
    """Change the bits of a mask [word] within the border."""
    for g in range(words.shape[0]):
        for row in range(down, words.shape[1] - down):
            for column in range(right, words.shape[2] - right):
                for word in range(words.shape[3]):
                    for lane in range(LANES):
                        words[g, row, column, word, lane] ^= mask[word]


@_compiled
def or_pool(words, first, stride, kernel, found, border):
    """The OR of windows, the first of which begins at row and column `first`."""
    found[:] = 0
    down, right = border
    for g in range(found.shape[0]):
        for row in range(found.shape[1] - 2 * down):
            for column in range(found.shape[2] - 2 * right):
                to = found[g, row + down, column + right]
                for k in range(kernel[0]):
                    for m in range(kernel[1]):
                        some = words[
                            g, first[0] + row * stride[0] + k, first[1] + column * stride[1] + m
                        ]
                        for word in range(to.shape[0]):
                            for lane in range(LANES):
                                to[word, lane] |= some[word, lane]


# -- steps on numbers ------------------------------------------------------------------------------


@_compiled
def affine(numbers, scale, shift):
    """x * scale + shift, rounded once, in the place of x."""
    for g in range(numbers.shape[0]):
        for channel in range(numbers.shape[1]):
            line = numbers[g, channel].reshape(-1)
            a, b = scale[channel], shift[channel]
            for k in range(len(line)):
                line[k] = _multiply_and_add(line[k], a, b)


@_compiled
def max_pool(numbers, padding, stride, kernel, out):
    """The maximum of windows."""
    out[:] = -np.inf
    groups, channels, rows, columns, _ = numbers.shape
    x, found, to = numbers.reshape(-1), out.reshape(-1), 0
    for map_ in range(groups * channels):
        for row in range(out.shape[2]):
            top = row * stride[0] - padding[0]
            for column in range(out.shape[3]):
                left = column * stride[1] - padding[1]
                for k in range(max(0, top), min(rows, top + kernel[0])):
                    for m in range(max(0, left), min(columns, left + kernel[1])):
                        at = ((map_ * rows + k) * columns + m) * LANES
                        keep_larger(x, at, found, to)
                to += LANES


@_compiled
def avg_pool(numbers, stride, kernel, out):
    """The mean of windows."""
    out[:] = 0
    groups, channels, rows, columns, _ = numbers.shape
    x, found, to = numbers.reshape(-1), out.reshape(-1), 0
    for map_ in range(groups * channels):
        for row in range(out.shape[2]):
            for column in range(out.shape[3]):
                for k in range(row * stride[0], row * stride[0] + kernel[0]):
                    for m in range(column * stride[1], column * stride[1] + kernel[1]):
                        add(x, ((map_ * rows + k) * columns + m) * LANES, found, to)
                to += LANES
    size = np.float64(kernel[0] * kernel[1])
    for k in range(len(found)):
        found[k] /= size


@_compiled
def products(numbers, padding, stride, kernel, weights, bias, out):
    """A real convolution: products of patches [k, place] of a block of places, and weights.

    `weights` [block, k, unit in block], flat, with k over channels, kernel rows and kernel columns;
    `bias` [unit] with those that fill the last block. Sums are in the order of k.
    """
    groups, channels, rows, columns, _ = numbers.shape
    _, units, rows_out, columns_out, _ = out.shape
    size = channels * kernel[0] * kernel[1]
    x, to = numbers.reshape(-1), out.reshape(-1)
    patch = np.zeros(size * PLACES * LANES)
    block = np.empty(UNITS * PLACES * LANES)
    of_unit = rows_out * columns_out * LANES
    for g in range(groups):
        for row in range(rows_out):
            for column in range(0, columns_out, PLACES):
                places = min(PLACES, columns_out - column)
                at = 0
                for channel in range(channels):
                    of_channel = (g * channels + channel) * rows
                    for k in range(kernel[0]):
                        r = row * stride[0] + k - padding[0]
                        for m in range(kernel[1]):
                            for p in range(places):
                                c = (column + p) * stride[1] + m - padding[1]
                                if 0 <= r < rows and 0 <= c < columns:
                                    copy(x, ((of_channel + r) * columns + c) * LANES, patch, at)
                                else:
                                    patch[at : at + LANES] = 0
                                at += LANES
                            at += (PLACES - places) * LANES
                for unit in range(0, units, UNITS):
                    first = (g * units + unit) * of_unit + (row * columns_out + column) * LANES
                    if places == PLACES and unit + UNITS <= units:
                        products_of_places(
                            patch, size, weights, unit * size, bias, unit, to, first, LANES, of_unit
                        )
                        continue
                    products_of_places(
                        patch, size, weights, unit * size, bias, unit, block, 0, LANES,
                        PLACES * LANES,
                    )  # fmt: skip
                    for u in range(min(UNITS, units - unit)):
                        for p in range(places):
                            copy(
                                block, (u * PLACES + p) * LANES, to, first + u * of_unit + p * LANES
                            )
