"""A packed network as one file in C99: weights as words, counts of bits, and integers alone.

Scaled sums are real numbers, of which a class has one for each count of differing bits. The file
has their ranks among all of them, worked out here: larger numbers have larger ranks, and equal ones
the same, so that classes and ties are exactly those of `predict`.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from qhyper.bits import n_words
from qhyper.errors import ConfigurationError
from qhyper.storage import check_new, write_whole
from qhyper.targets.fused import multiply_and_add
from qhyper.targets.packed.shape import Packed

_RANKS = 2**20
"""Ranks that a file may have: some 8 MB of text."""
_COLUMNS = 100
"""Of a line of numbers."""


def to_c(network: Packed, path: Path | str) -> None:
    """Write a network to a new file in C99: `int qhyper_predict(const uint8_t *x)`.

    The function takes one row of inputs as `network.predict` does, bits 0 and 1, or whole numbers
    of `planes` bits, as uint16_t for more than 8 planes; and returns the row's class, exactly that
    of `predict`. There are neither floating point numbers nor calls of a library. Arrays are
    constant, and what changes is on the stack.

    Raises ConfigurationError for scaled sums of a single layer with so many values that their ranks
    would be larger than the network: more than 2^20. Raises StorageError if the file is there
    already, or cannot be written.
    """
    path = Path(path)
    check_new(path)
    write_whole(path, _text(network).encode())


def _text(network: Packed) -> str:
    """The whole file."""
    layers, planes = network.shape.layers, network.planes
    kind = "uint8_t" if planes <= 8 else "uint16_t"
    head = _HEAD.format(
        layers="-".join(map(str, layers)), kind=kind, n=layers[0], planes=planes,
        takes=f"numbers from 0 to {2**planes - 1}" if planes > 1 else "bits, 1 for +1 and 0 for -1",
        last=layers[-1] // (network.label_bits or 1) - 1,
    )  # fmt: skip
    arrays, lines = _layers(network)
    pack = _PACK.format(planes=planes, words=n_words(layers[0]), n=layers[0])
    body = "".join([pack, *lines])
    functions = [_COUNTS, *[_LAYERS] * ("layer(" in body), _PREDICT.format(kind=kind, body=body)]
    return "\n".join([head, *arrays, *functions])


def _layers(network: Packed) -> tuple[list[str], list[str]]:
    """The arrays of all layers, and what is done with them."""
    arrays, lines = [], []
    word = unit = 0
    last = len(network.shape.matrices) - 1
    for k, (n_out, n_in) in enumerate(network.shape.matrices):
        width, planes = n_words(n_in), 1 if k else network.planes
        words = network.words[word : word + n_out * width]
        word += n_out * width
        arrays.append(_array("uint64_t", f"weights_{k}", [f"0x{w:016x}" for w in words.tolist()]))
        of_layer = {"k": k, "planes": planes, "words": width, "units": n_out}
        if k == last and network.label_bits is None:
            scores = _scores(network)
            arrays.append(_array("int32_t", "scores", scores.ravel().tolist()))
            ranks = f"scores[c * {scores.shape[1]} + differing]"
            score = "scores[c] - differing" if scores.shape[1] == 1 else ranks
            lines.append(_SUMS.format(score=score, **of_layer))
            continue
        limits = network.limits[unit : unit + n_out]
        unit += n_out
        arrays.append(_array("int32_t", f"limits_{k}", limits.tolist()))
        lines.append(_LAYER.format(next=k + 1, out=n_words(n_out), **of_layer))
    if network.label_bits is not None:
        group = network.label_bits
        classes = network.shape.layers[-1] // group
        lines.append(_VOTES.format(k=last + 1, classes=classes, group=group))
    return arrays, lines


def _scores(network: Packed) -> npt.NDArray[np.int64]:
    """What a class is worth, int64 [class, 1] less the bits that differ, or [class, differing].

    Sums are as large as the first, but for a factor and a number that all classes share.
    """
    bits = network.shape.unpack(network.words)[-1]
    planes = network.planes if len(network.shape.layers) == 2 else 1
    high, n_in = (1 << planes) - 1, bits.shape[1]
    # a sum of numbers is `high` times its +1s, less the bits that differ; one of signs, twice this
    plus = high * bits.sum(axis=1, dtype=np.int64) if planes > 1 else np.zeros(len(bits), np.int64)
    if network.scale is None or network.shift is None:
        return plus[:, None]
    if len(bits) * (high * n_in + 1) > _RANKS:
        raise ConfigurationError(
            f"Got scaled sums with {high * n_in + 1:,} values for each of {len(bits)} classes; a "
            f"file in C takes {_RANKS:,} in all. Leave out scale and shift, or add a hidden layer."
        )
    differing = np.arange(high * n_in + 1)[:, None]
    sums = plus - differing if planes > 1 else np.tile(n_in - 2 * differing, len(bits))
    outputs = multiply_and_add(sums, network.scale, network.shift)  # [differing, class]
    return np.unique(outputs.T, return_inverse=True)[1].reshape(len(bits), -1)


def _array(kind: str, name: str, numbers: list[str] | list[int]) -> str:
    """A constant array, in lines."""
    lines, line = [], "   "
    for number in numbers:
        if len(line) + len(str(number)) > _COLUMNS - 3:
            lines.append(line)
            line = "   "
        line += f" {number},"
    return "\n".join([f"static const {kind} {name}[{len(numbers)}] = {{", *lines, line, "};\n"])


_HEAD = """\
/* A packed binary network of {layers} units, written by qhyper.

       int qhyper_predict(const {kind} *x);

   x: the {n} inputs of one row, {takes}.
   Returns the class of the row, 0 to {last}: the one with the largest output, the lowest if several
   have it. C99 and integers alone; it keeps nothing, so that threads may call it at once.

   Declare the function where you call it, and compile this file along: cc -std=c99 -O2 ...
   Of several networks in one program give each a name: -Dqhyper_predict=name_of_this_one */

#include <stdint.h>

int qhyper_predict(const {kind} *x);
"""

_COUNTS = """\
/* The number of ones among the bits of x. */
static int32_t ones(uint64_t x)
{
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int32_t)((x * 0x0101010101010101u) >> 56);
}

/* How many bits of x differ from the weights; those of plane p count 2^p times. */
static int32_t count(const uint64_t *x, int planes, int32_t words, const uint64_t *weights)
{
    int32_t total = 0;
    for (int plane = 0; plane < planes; plane++)
        for (int32_t i = 0; i < words; i++)
            total += ones(x[plane * words + i] ^ weights[i]) << plane;
    return total;
}
"""

_LAYERS = """\
/* Bits of units: 1 where no more inputs than the unit's limit differ from its weights. */
static void layer(const uint64_t *x, int planes, int32_t words, const uint64_t *weights,
                  const int32_t *limits, int32_t units, uint64_t *out)
{
    for (int32_t unit = 0; unit < units; unit++)
        if (count(x, planes, words, weights + unit * words) <= limits[unit])
            out[unit / 64] |= (uint64_t)1 << unit % 64;
}
"""

_PREDICT = """\
int qhyper_predict(const {kind} *x)
{{
    int best = 0;
    int32_t most = INT32_MIN;
{body}    return best;
}}
"""

_PACK = """\
    uint64_t x_0[{planes} * {words}] = {{0}};
    for (int plane = 0; plane < {planes}; plane++)
        for (int32_t i = 0; i < {n}; i++)
            x_0[plane * {words} + i / 64] |= (uint64_t)(x[i] >> plane & 1) << i % 64;
"""

_LAYER = """\
    uint64_t x_{next}[{out}] = {{0}};
    layer(x_{k}, {planes}, {words}, weights_{k}, limits_{k}, {units}, x_{next});
"""

_SUMS = """\
    for (int c = 0; c < {units}; c++) {{
        int32_t differing = count(x_{k}, {planes}, {words}, weights_{k} + c * {words});
        int32_t score = {score};
        if (score > most) {{
            most = score;
            best = c;
        }}
    }}
"""

_VOTES = """\
    for (int c = 0; c < {classes}; c++) {{
        int32_t score = 0;
        for (int32_t unit = c * {group}; unit < (c + 1) * {group}; unit++)
            score += (int32_t)(x_{k}[unit / 64] >> unit % 64 & 1);
        if (score > most) {{
            most = score;
            best = c;
        }}
    }}
"""
