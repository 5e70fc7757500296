"""Counts of the bits in which words differ (numba): the part that compiled packed layers share.

A packed layer counts where inputs and weights differ: of n bits, XOR and a count of ones give
m, and the unit's sum of ±1 inputs times ±1 weights is n - 2 m. Its activation, the sum's sign, is
again a bit: whether m is at most a limit. Inputs of p bits a number are p planes of bits, and
m = Σ 2^b m_b over the planes stands for the sum of weights times 2 v - (2^p - 1).
"""

from typing import Any

import numba as nb
import numpy as np
from numba.extending import intrinsic

from qhyper.machine import njit

_part = njit(error_model="numpy", forceinline=True)


@intrinsic
def _count_ones(typingctx, word):
    """The number of ones in a uint64: one instruction, which numba has no name for."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return nb.types.uint64(nb.types.uint64), codegen


popcount: Any = _count_ones
"""The number of ones in a uint64. Called with the word alone, which a type checker cannot know."""


@_part
def count_differing(inputs, weight, shift, total):
    """Add 2^shift times the number of bits in which `weight` and each row differ to `total`.

    `inputs` [word, row], `weight` [word], `total` int64 [row].
    """
    n_words = len(weight)
    fours = n_words - n_words % 4  # so that a row's sum stays in a register for a while
    for j in range(0, fours, 4):
        a, b, c, d = weight[j], weight[j + 1], weight[j + 2], weight[j + 3]
        of_a, of_b, of_c, of_d = inputs[j], inputs[j + 1], inputs[j + 2], inputs[j + 3]
        for row in range(len(total)):
            ab = popcount(of_a[row] ^ a) + popcount(of_b[row] ^ b)
            cd = popcount(of_c[row] ^ c) + popcount(of_d[row] ^ d)
            total[row] += np.int64((ab + cd) << shift)
    for j in range(fours, n_words):
        a, of_a = weight[j], inputs[j]
        for row in range(len(total)):
            total[row] += np.int64(popcount(of_a[row] ^ a) << shift)
