"""Which pairs of entries are tested against one another.

By default these say what entanglement and circuits are worth: every entangled circuit stands
against the same circuit without entanglement, and against the best classical entry.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.errors import ConfigurationError, unknown
from qhyper.report.results import Result

if TYPE_CHECKING:
    from qhyper.run.trial import Trial

Pair = tuple[str, str]


def chosen_pairs(asked: Iterable[str], titles: Sequence[str], n_seeds: int) -> list[Pair]:
    """The pairs of entries that `asked`, texts such as "A:B", name.

    Raises ConfigurationError for a text that is no pair, an entry that is not in the run, with the
    nearest one that is, an entry against itself, a pair that stands twice, and for a single seed.
    """
    found: list[Pair] = []
    for text in asked:
        pair = _pair(text, titles)
        if pair[0] == pair[1]:
            raise ConfigurationError(
                f"Got the test '{text}' of an entry against itself; expected two different entries."
            )
        if pair in found or pair[::-1] in found:
            raise ConfigurationError(
                f"The test '{text}' stands twice: each pair counts in Holm's correction once. "
                "Leave one out."
            )
        found.append(pair)
    if found and n_seeds < 2:
        raise ConfigurationError(
            f"The test '{found[0][0]}:{found[0][1]}' pairs two entries seed by seed, and the run "
            "has 1 seed. Give it more seeds, or leave the test out."
        )
    return found


def _pair(text: str, titles: Sequence[str]) -> Pair:
    """The two entries; names may have colons themselves, module:Class."""
    parts = [part.strip() for part in text.split(":")]
    if len(parts) < 2 or not all(parts):
        raise ConfigurationError(
            f"Got the test '{text}'; expected two entries with a colon between, such as "
            "quantum-depth2:product."
        )
    splits = [(":".join(parts[:k]), ":".join(parts[k:])) for k in range(1, len(parts))]
    # of several ways to read it, the one that most entries of the run agree with
    pair = max(splits, key=lambda split: sum(name in titles for name in split))
    for name in pair:
        if name not in titles:
            raise unknown("entry of a test", name, titles)
    return pair


def default_pairs(trials: "Sequence[Trial]", results: Sequence[Result]) -> list[Pair]:
    """Every entangled circuit with the same without entanglement, and with the best classical.

    A circuit without entanglement that is not the same otherwise, such as `product`, stands in
    where that is not in the run, if what surrounds it is the same. The best classical entry has
    the lowest median of the final loss.
    """
    best = min(
        (result for result in results if result.kind == "classical"),
        key=lambda result: float(np.median(result.final_loss)), default=None,
    )  # fmt: skip
    found: list[Pair] = []
    for trial in filter(_entangled, trials):
        partner = _partner(trial, trials)
        against = [] if partner is None else [partner.entry.title]
        against += [] if best is None else [best.name]
        found += [(trial.entry.title, other) for other in against]
    return found


def _circuits(trial: "Trial") -> list[Any]:
    """The circuit generators that an entry is made of."""
    from qhyper.quantum.generator import QuantumHyperNetwork

    modules = () if trial.generator is None else trial.generator.modules()
    return [module for module in modules if isinstance(module, QuantumHyperNetwork)]


def _entangled(trial: "Trial") -> bool:
    able = None if trial.generator is None else trial.generator.capabilities
    if able is None or not able.quantum or able.independent:
        return False
    parts = _circuits(trial)
    return not parts or any(part.circuit.entangled for part in parts)


def _partner(trial: "Trial", trials: "Sequence[Trial]") -> "Trial | None":
    """The same circuit without entanglement, trained in the same way if there is one.

    Another circuit stands in where the same things surround it, or nothing does.
    """
    without = [
        other
        for other in trials
        if _circuits(other) and not _entangled(other) and _kinds(other) == _kinds(trial)
    ]
    same = [other for other in without if _same_without_entanglers(trial, other)]
    found = same or [other for other in without if _around(other) == _around(trial)]
    return max(found, key=lambda other: _likeness(trial, other), default=None)


def _kinds(trial: "Trial") -> list[type]:
    return [] if trial.generator is None else [type(part) for part in trial.generator.modules()]


def _same_without_entanglers(trial: "Trial", other: "Trial") -> bool:
    pairs = list(zip(_circuits(trial), _circuits(other), strict=True))
    return _shapes(trial) == _shapes(other) and all(
        one.circuit.unentangled == two.circuit and list(one.order) == list(two.order)
        for one, two in pairs
    )


def _around(trial: "Trial") -> tuple[list[tuple[Any, ...]], list[bool]]:
    """What surrounds the circuits of an entry, and which of the circuits are trained."""
    from qhyper.compose.chunked import Chunked
    from qhyper.compose.ordered import Ordered

    circuits = _circuits(trial)
    own = {id(parameter) for part in circuits for parameter in part.parameters()}
    assert trial.generator is not None
    cut: list[tuple[Any, ...]] = []
    for part in trial.generator.modules():
        if isinstance(part, Ordered):
            cut.append(("order", part.order.tobytes()))
        if isinstance(part, Chunked):
            told = part.field.describe() if part.field else part.generator.n_inputs
            cut.append(("chunks", part.chunks, part.generator.n_bits, told))
    outside = [
        (name, tuple(p.shape), p.requires_grad)
        for name, p in trial.generator.named_parameters()
        if id(p) not in own
    ]
    trained = [all(p.requires_grad for p in part.parameters()) for part in circuits]
    return [*outside, *cut], trained


def _shapes(trial: "Trial") -> list[tuple[Any, ...]]:
    assert trial.generator is not None
    named = trial.generator.named_parameters()
    return [(name, tuple(p.shape), p.requires_grad) for name, p in named]


def _likeness(trial: "Trial", other: "Trial") -> tuple[int, int]:
    """In how much of how they are trained two entries agree; then the smaller one first."""
    ways = [
        (str(one.backend), one.trainer.settings.estimator, one.trainer.settings.risk)
        for one in (trial, other)
    ]
    agreed = sum(one == two for one, two in zip(*ways, strict=True))
    return agreed, -sum(part.circuit.n_angles for part in _circuits(other))
