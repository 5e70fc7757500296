"""Depolarising noise: its strengths, and the two conventions that they are given in.

Here p is that of Qiskit Aer: ρ → (1 - p) ρ + p I / 2^k on the k qubits of a gate, so that p = 1
forgets them. As I / 2^k is the mean of P ρ P over all 4^k Pauli strings P, this is: with
probability p a Pauli string, all of them equally likely, the identity among them. In the other
convention, that of PastaQ and Cirq, the number is the probability of a Pauli string other than the
identity, p (4^k - 1) / 4^k.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from qhyper.errors import ConfigurationError, unknown


def strength(error: float, n_qubits: int) -> float:
    """The strength p at which a Pauli string other than the identity has probability `error`.

    p = error · 4^k / (4^k - 1) with k = `n_qubits`, those of the gate: 4/3 or 16/15 times as much.
    Raises ConfigurationError if `error` is no probability, or more than p = 1 gives.
    """
    strings = 4**n_qubits
    limit = (strings - 1) / strings
    if probability("error", error) > limit:
        raise ConfigurationError(
            f"Got the error probability {error} for a gate of {n_qubits} qubits; expected at most "
            f"{limit:g}, at which nothing is left of their state. Lower it."
        )
    return min(1.0, error / limit)


def strengths(depolarising: Any) -> tuple[float, float]:
    """The strengths for gates of one and of two qubits: of one number, or {"one": p, "two": p}.

    One that is left out is 0. Raises ConfigurationError unless they are probabilities.
    """
    if not isinstance(depolarising, Mapping):
        depolarising = {"one": depolarising, "two": depolarising}
    for key in depolarising:
        if key not in ("one", "two"):
            raise unknown("kind of gate in depolarising", str(key), ("one", "two"))
    one, two = (probability("depolarising", depolarising.get(key, 0.0)) for key in ("one", "two"))
    return one, two


def probability(name: str, value: Any) -> float:
    """The value as a float; raises ConfigurationError, with its name, unless from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ConfigurationError(f"{name} must be a probability from 0 to 1; got {value!r}.")
    return float(value)


def described(one: float, two: float) -> str:
    """The strengths in words, for the name of a backend."""
    return f"depolarising {one:g}" + f" and {two:g}" * (one != two)
