"""What the searches of settings before a comparison have spent and found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from qhyper.spending import Spending
from qhyper.storage import restored


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The search of one entry."""

    name: str
    settings: int
    """how many were tried; the first is the entry as it stood. 0 where there is nothing to choose
    """
    failed: int
    """of these, how many could not be trained: they count as spent in full"""
    spent: Spending
    """by all tuning seeds together"""
    found: Mapping[str, Any]
    """the settings that were searched, by name, at the least of the next"""
    loss: float | None
    """their measure with these, in the mean over the tuning seeds; None where nothing was tried"""
    loss_before: float | None
    """the same of the entry as it stood, None where it could not be trained"""


@dataclass(frozen=True, kw_only=True)
class Searches:
    """The searches of all entries, each within the same budget."""

    budget: Mapping[str, int]
    """of each entry, by all tuning seeds together: the limits that were set, by name"""
    settings: int
    """how many fit into it, each with the budget of the comparison on every tuning seed"""
    seeds: Sequence[int]
    """of the tuning"""
    sampler: str
    """tpe or random"""
    measure: str
    """final_loss or best_loss: what was to be low in the mean over the tuning seeds"""
    optuna: str
    """version of Optuna, whose samplers these are"""
    entries: Sequence[Tuned]

    def of(self, name: str) -> Tuned:
        """The search of the entry with this title."""
        (found,) = (entry for entry in self.entries if entry.name == name)
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any], where: str) -> Self:
        """The inverse of `asdict`; StorageError for what another version wrote."""
        values = dict(found)
        values["entries"] = [
            restored(Tuned, {**entry, "spent": restored(Spending, entry["spent"], where)}, where)
            for entry in found.get("entries", ())
        ]
        return restored(cls, values, where)
