"""A submission as it is written down: its number, what was asked, and what was found.

Its files::

    runs/<run>/submissions/<number>/
      circuit.qpy       the transpiled circuit
      preparation.qpy   the one that readout errors are learnt from, if that was asked for
      submission.json   what was asked: written before anything is sent
      draws.npz         the draws in weight order, once all jobs are done
      outcome.json      the draws scored, with the simulator's: its presence means complete
      report.html

What was sent is in the run's ledger (`qhyper.quantum.cloud.ledger`) under the submission's scope.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.caps import NO_CAPS, Caps
from qhyper.quantum.cloud.scope import Scope
from qhyper.quantum.cloud.scope import submission as submission_scope
from qhyper.run.directory import Run
from qhyper.storage import storage, write_whole
from qhyper.submit.draws import DrawsComparison

FOLDER = "submissions"
SETTINGS, OUTCOME, PAGE = "submission.json", "outcome.json", "report.html"


@dataclass(frozen=True)
class SubmissionSettings:
    """What a submission asks for."""

    entry: str
    """title of the entry in the run"""
    seeds: tuple[int, ...]
    shots: int
    """of each seed"""
    backend: str
    options: Mapping[str, Any]
    """of the backend"""
    calibration_shots: int = 0
    """of each calibration circuit of readout mitigation; 0 is without"""

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise ConfigurationError(f"shots must be at least 1; got {self.shots}.")


@dataclass(frozen=True)
class Found:
    """What came of a submission, once all of its jobs are done."""

    certificate: Mapping[str, Any] | None
    about: str
    """a line on the backend"""
    not_mitigated: str
    """why mitigation was asked for and not done, or nothing"""
    jobs: Sequence[Mapping[str, Any]]
    """all that were sent for it, each with "purpose", "job_id", "rows", "shots" of each row,
    "state", "attempts", "note", and "sent" and "ended" in seconds since 1970"""
    outcome: DrawsComparison
    """the draws compared with the simulator's"""


@dataclass(frozen=True)
class Written:
    """The content of submission.json, and of outcome.json, which has what was found too."""

    number: int
    settings: SubmissionSettings
    paid_shots: int
    """so many it may be sent at the most"""
    content: str
    """what tells it from one that asks for something else"""
    outlook: Mapping[str, Any]
    """what it would take, in words, as it was told before"""
    found: Found | None = None
    caps: Caps = NO_CAPS
    """of the whole run, while this submission is sent"""

    def to_json(self) -> dict[str, Any]:
        """As one dict of plain values."""
        found = {}
        if self.found is not None:
            found = vars(self.found) | {"outcome": self.found.outcome.to_json()}
        return {
            "number": self.number,
            **vars(self.settings) | {"seeds": list(self.settings.seeds)},
            "paid_shots": self.paid_shots,
            "caps": vars(self.caps),
            "content": self.content,
            "outlook": self.outlook,
            **found,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises KeyError if a value is missing."""
        settings: dict[str, Any] = {
            field.name: values[field.name] for field in fields(SubmissionSettings)
        }
        settings["seeds"] = tuple(settings["seeds"])
        found = None
        if "outcome" in values:
            told: dict[str, Any] = {field.name: values[field.name] for field in fields(Found)}
            told["outcome"] = DrawsComparison.from_json(told["outcome"])
            found = Found(**told)
        return cls(
            number=values["number"],
            settings=SubmissionSettings(**settings),
            paid_shots=values["paid_shots"],
            content=values["content"],
            outlook=values["outlook"],
            found=found,
            caps=Caps(**values.get("caps", {})),  # earlier versions had none
        )


@dataclass(frozen=True)
class Identity:
    """A submission of a run by its number, and all that follows from it.

    `str` gives its title with the run, for messages. The number 0 is that of a plan.
    """

    run: Run
    number: int

    def __str__(self) -> str:
        return f"{self.title} of {self.run.path}"

    @property
    def title(self) -> str:
        """What it is called within the run."""
        return f"Submission {self.number}"

    @property
    def scope(self) -> Scope:
        """What its shots are counted with in the ledger."""
        return submission_scope(self.number)

    @property
    def folder(self) -> Path:
        """Its folder in the run directory."""
        return self.run.path / FOLDER / f"{self.number:03d}"

    @property
    def page(self) -> Path:
        """Its report."""
        return self.folder / PAGE

    def read(self) -> Written:
        """What it asks for, as written down, with what was found once it is complete.

        Raises StorageError if it is not there, or cannot be read.
        """
        remedies = {
            OUTCOME: "Remove it, and `qhyper fetch` makes it again.",
            SETTINGS: "Put the run's own file back: it says what was paid for.",
        }
        for name, remedy in remedies.items():
            path = self.folder / name
            if not path.is_file():
                continue
            try:
                with storage(path):
                    return Written.from_json(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, KeyError) as error:
                why = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
                raise StorageError(
                    f"{path} cannot be read as a submission: {why}. {remedy}"
                ) from error
        known = ", ".join(str(each.number) for each in submissions(self.run)) or "none"
        raise StorageError(f"{self.run.path} has no submission {self.number}; it has {known}.")

    def write(self, written: Written) -> None:
        """Write down what is asked, or what was found if `written` has it."""
        name = SETTINGS if written.found is None else OUTCOME
        write_whole(self.folder / name, json.dumps(written.to_json(), indent=1).encode())


def submissions(run: Run) -> list[Identity]:
    """The submissions of a run that are written down, by their numbers."""
    written = (run.path / FOLDER).glob(f"*/{SETTINGS}")
    return [Identity(run, number) for number in sorted(int(path.parent.name) for path in written)]


def next_identity(run: Run) -> Identity:
    """With the number after all that have a folder, written to its end or not."""
    taken = [int(path.name) for path in (run.path / FOLDER).glob("*") if path.name.isdigit()]
    return Identity(run, max(taken, default=0) + 1)
