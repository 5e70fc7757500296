"""What a search spends: evaluations, shots, circuits and rows, each by one seed."""

from dataclasses import dataclass, replace

from qhyper.errors import ConfigurationError


@dataclass(frozen=True)
class Spending:
    """What one seed has spent, or what one step of it costs."""

    evaluations: int = 0
    """bitstrings that the objective was asked for"""
    shots: int = 0
    """bitstrings that were drawn"""
    circuits: int = 0
    """parameter settings that were sampled or simulated, of classical generators too"""
    rows: int = 0
    """evaluations times the rows of data that each was scored on"""

    def __str__(self) -> str:
        spent = [
            f"{number:,} {name.removesuffix('s') if number == 1 else name}"
            for name, number in vars(self).items()
            if number or name != "rows"
        ]
        return f"{', '.join(spent[:-1])} and {spent[-1]}"

    @classmethod
    def of_circuits(cls, circuits: int, shots: int) -> "Spending":
        """Of so many circuits with so many shots each, all of them evaluated."""
        return cls(circuits * shots, circuits * shots, circuits)

    def __add__(self, other: "Spending") -> "Spending":
        return Spending(
            self.evaluations + other.evaluations,
            self.shots + other.shots,
            self.circuits + other.circuits,
            self.rows + other.rows,
        )

    def __mul__(self, times: int) -> "Spending":
        return Spending(*(number * times for number in vars(self).values()))

    def on_rows(self, n_rows: int) -> "Spending":
        """The same, with evaluations that are each scored on so many rows."""
        return replace(self, rows=self.evaluations * n_rows)


@dataclass(frozen=True)
class Budget:
    """What one seed may spend at the most; None is no limit.

    Raises ConfigurationError if there is no limit at all, or one below 1.
    """

    evaluations: int | None = None
    shots: int | None = None
    circuits: int | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        limits = self.limits()
        whole = all(isinstance(limit, int) for limit in limits.values())
        if not limits or not whole or min(limits.values()) < 1:
            raise ConfigurationError(
                f"Got the budget {limits}; expected at least one of evaluations, shots, "
                "circuits and rows, each a whole number of 1 or more."
            )

    def limits(self) -> dict[str, int]:
        """The limits that are set, by name."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    def steps(
        self, cost: Spending, *, every: int = 1, besides: Spending | None = None
    ) -> int | None:
        """How many steps of `cost` fit, with `besides` after `every` so many and after the last.

        None if the cost meets none of the limits.
        """
        fitting = []
        for name, limit in self.limits().items():
            each, more = getattr(cost, name), getattr(besides or Spending(), name)
            if each:
                rounds, left = divmod(limit, every * each + more)
                fitting.append(rounds * every + max(0, left - more) // each)
        return min(fitting) if fitting else None

    def __str__(self) -> str:
        return " and ".join(f"{limit:,} {name}" for name, limit in self.limits().items())
