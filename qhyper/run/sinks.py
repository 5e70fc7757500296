"""Learning curves and results as they come, told to TensorBoard, MLflow or Weights & Biases.

A sink is told the lines of `metrics.jsonl` in the coordinating process, which reads them from the
run directory: so it makes no difference which process or machine carries an entry out.
"""

import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.registry import load_object
from qhyper.run.comparison import Comparison
from qhyper.run.directory import Run
from qhyper.run.work import Progress

Values = Mapping[str, float]
"""Numbers by what they are: `bernoulli/mean_loss/seed-0`."""

_MEASURED = (
    "best_loss", "best_regret", "hit", "evaluations_to_hit", "held_out_loss", "train_accuracy",
    "test_accuracy", "final_loss", "final_regret", "final_risk", "total_correlation",
)  # fmt: skip
"""Columns of tidy rows that sinks are told as numbers."""


class Sink(Protocol):
    """Where numbers go while a run is carried out; made with the run."""

    def line(self, entry: str, at: int, values: Values) -> None:
        """Take a point of an entry's learning curve, `at` so many evaluations, or circuits."""
        ...

    def end(self, outcome: Comparison) -> None:
        """Take the outcome, once all entries are done."""
        ...

    def close(self) -> None:
        """Nothing more comes, whether there was an outcome or not."""
        ...


class Followed:
    """A progress callback that tells a sink what trainings have written since the last call.

    Used as a context, which closes the sink. A resumed run is told from its first line. What goes
    wrong in a sink is a warning, and the last thing that is asked of it: the run goes on.
    """

    def __init__(
        self, run: Run, sink: Sink, progress: Progress, warn: Callable[[str], None]
    ) -> None:
        self.run, self._sink, self._progress, self._warn = run, sink, progress, warn
        self._entries = {entry.title: entry.folder for entry in run.config.entries or []}
        self._read: dict[str, tuple[int, int]] = {}
        """of each entry: bytes of its file when it was read last, and the last step in it"""
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell(self._sink.close)

    def __call__(self, title: str, spent: int, total: int) -> None:
        """Show progress, and tell the sink the new lines of that entry."""
        self._progress(title, spent, total)
        if title in self._entries:
            self._tell(self._tell_lines, title)

    def end(self, outcome: Comparison) -> None:
        """Tell the rest of all lines, the curves of what writes none, and the outcome."""
        self._entries = {entry.title: entry.folder for entry in self.run.config.entries or []}
        for result in outcome.results:
            self._tell(self._tell_lines, result.name)
            if result.name in self._read:
                continue
            for point, losses in enumerate(zip(*result.curve.mean_loss, strict=True)):
                spent = result.curve.evaluations or result.curve.circuits
                values = self._by_seed(result.name, "mean_loss", losses)
                self._tell(self._sink.line, result.name, spent[point], values)
        self._tell(self._sink.end, outcome)

    def _tell_lines(self, title: str) -> None:
        for line in self._new_lines(title):
            at = line["evaluations"] or line["circuits"]
            values = self._by_seed(title, "mean_loss", line["mean_loss"])
            values |= self._by_seed(title, "best_loss", line["best_loss"])
            self._tell(self._sink.line, title, at, values)

    def _new_lines(self, title: str) -> Iterator[dict[str, Any]]:
        """Whole lines of an entry's metrics that are later than the last one before."""
        path = self.run.path / self._entries[title] / "metrics.jsonl"
        size, last = self._read.get(title, (0, 0))
        try:
            if path.stat().st_size == size:
                return
            text = path.read_text(encoding="utf-8")
        except OSError:  # not there yet
            return
        whole = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        new = [line for line in whole if line["step"] > last]
        self._read[title] = (len(text.encode()), new[-1]["step"] if new else last)
        yield from new

    def _by_seed(self, title: str, name: str, values: Any) -> dict[str, float]:
        seeds = self.run.config.seeds
        return {
            f"{title}/{name}/seed-{seed}": value
            for seed, value in zip(seeds, values, strict=True)
            if value is not None
        }

    def _tell(self, call: Callable[..., None], *told: Any) -> None:
        if self._failed:
            return
        try:
            call(*told)
        except Exception as error:  # somebody's server can fail in any way
            self._failed = True
            self._warn(
                f"{type(self._sink).__name__} failed with {type(error).__name__}: {error}. Nothing "
                f"more is logged there; the run goes on, and all of it is in {self.run.path}."
            )


def _results(outcome: Comparison) -> Iterator[tuple[str, float, int]]:
    """What was measured of each seed: its name, the number, and what the entry has spent."""
    for row in outcome.tidy():
        for column in _MEASURED:
            if row[column] is not None:
                name = f"{row['entry']}/{column}/seed-{row['seed']}"
                yield name, float(row[column]), row["evaluations"] or row["circuits"]


class TensorBoard:
    """Event files in the run's folder `tensorboard`: tensorboard --logdir runs."""

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # what an interrupted run has told before is told again
        self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=0)

    def line(self, entry: str, at: int, values: Values) -> None:
        """As `Sink.line`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, at)

    def end(self, outcome: Comparison) -> None:
        """As `Sink.end`: scalars at what each entry has spent."""
        for name, value, spent in _results(outcome):
            self._writer.add_scalar(name, value, spent)

    def close(self) -> None:
        """As `Sink.close`."""
        self._writer.close()


class MLflow:
    """A run of MLflow, where its environment says: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, run: Run) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.start_run(run_name=run.path.name)
        self._mlflow.log_dict(run.config.model_dump(exclude_none=True), "config.json")

    def line(self, entry: str, at: int, values: Values) -> None:
        """As `Sink.line`."""
        self._mlflow.log_metrics({_named(name): v for name, v in values.items()}, step=at)

    def end(self, outcome: Comparison) -> None:
        """As `Sink.end`: metrics, and the tidy rows as an artifact."""
        self._mlflow.log_metrics({_named(name): value for name, value, _ in _results(outcome)})
        self._mlflow.log_dict({"results": outcome.tidy()}, "results.json")

    def close(self) -> None:
        """As `Sink.close`."""
        self._mlflow.end_run()


class WeightsAndBiases:
    """A run of Weights & Biases, where its environment says: WANDB_PROJECT, WANDB_MODE, ..."""

    def __init__(self, run: Run) -> None:
        settings = run.config.model_dump(exclude_none=True)
        self._wandb, self._axes = importlib.import_module("wandb"), set[str]()
        self._run = self._wandb.init(name=run.path.name, dir=str(run.path), config=settings)

    def line(self, entry: str, at: int, values: Values) -> None:
        """As `Sink.line`; entries that are side by side have an axis each."""
        axis = f"{entry}/spent"
        if axis not in self._axes:
            self._run.define_metric(f"{entry}/*", step_metric=axis)
            self._axes.add(axis)
        self._run.log({axis: at, **values})

    def end(self, outcome: Comparison) -> None:
        """As `Sink.end`: a table of the tidy rows."""
        rows = outcome.tidy()
        table = self._wandb.Table(list(rows[0]), [list(row.values()) for row in rows])
        self._run.log({"results": table})

    def close(self) -> None:
        """As `Sink.close`."""
        self._run.finish()


def _named(name: str) -> str:
    """A name with the letters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)


SINKS: Mapping[str, tuple[Callable[[Run], Sink], str]] = {
    "tensorboard": (TensorBoard, "tensorboard"),
    "mlflow": (MLflow, "mlflow"),
    "wandb": (WeightsAndBiases, "wandb"),
}
"""By name: the sink, and the package that it needs."""


def find_sink(name: str) -> Callable[[Run], Sink]:
    """What makes the sink called `name`, or one's own, `module:Class`, of a run.

    Raises ConfigurationError for an unknown name, MissingError where its package is not installed.
    """
    if ":" in name:
        return load_object(name)
    if name not in SINKS:
        raise unknown("sink", name, SINKS)
    sink, package = SINKS[name]
    if importlib.util.find_spec(package) is None:
        raise MissingError(
            f"The sink '{name}' needs a package that is not installed. Install it with: "
            f"pip install {package}"
        )
    return sink


def build_sink(name: str, run: Run) -> Sink:
    """The sink called `name`, made for a run; ConfigurationError, too, if it cannot begin."""
    make = find_sink(name)
    try:
        return make(run)
    except Exception as error:  # no login, no server, another version
        raise ConfigurationError(
            f"The sink '{name}' cannot begin: {type(error).__name__}: {error}. Mend that, or go on "
            f"without it: qhyper resume {run.path}"
        ) from error
