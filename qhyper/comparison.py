"""Compare generators and controls on one objective, at the same budget, over the same seeds."""

import io
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qhyper.bits import to_string
from qhyper.config import COMPARED, Config, Entry, settings_for
from qhyper.data import Dataset, Samples, load
from qhyper.errors import ConfigurationError, StorageError
from qhyper.hypernetwork import HyperNetwork
from qhyper.registry import build_control, build_generator, is_control, load_object
from qhyper.runs import Checkpoints, Interrupted, Metrics, Run, storage, write_whole
from qhyper.search import SearchRecord
from qhyper.streams import Streams
from qhyper.summary import summarise
from qhyper.target.network import BinaryNetwork
from qhyper.target.objective import NetworkObjective, Objective
from qhyper.threads import one_torch_thread
from qhyper.training import CURVE_POINTS, Trainer

DRAWN = 256
"""Final draws of each seed whose losses are kept for the figures."""

Progress = Callable[[str, int, int], None]
"""Called with an entry's title, evaluations spent and evaluations in all."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison, in plain numbers, lists and dictionaries."""

    summary: dict[str, Any]
    """certificate, generators with their figures, paired tests: what `--json` prints"""
    results: list[dict[str, Any]]
    """one an entry: every seed's losses, best bitstring, learning curve"""
    spectrum: dict[str, Any] | None
    """histogram of the losses of all bitstrings, where there is a certificate"""


def problem(config: Config) -> tuple[Objective, Dataset | None]:
    """The objective that a configuration asks for, and its data set unless it is a callable."""
    if config.objective is not None:
        if config.bits is None:
            raise ConfigurationError(
                f"The objective '{config.objective}' needs the number of bits: set `bits` (--bits)."
            )
        return Objective(load_object(config.objective), config.bits, name=config.objective), None
    dataset = load(config.data, seed=config.data_seed, test=config.test)
    layers = config.layers or (dataset.n_features, 6, dataset.n_classes)
    network = BinaryNetwork(layers, sign_of_zero=config.sign_of_zero)
    network.check(dataset.test)
    return network.objective(dataset.train, config.loss), dataset


def compare(
    objective: Objective,
    entries: Iterable[str | Entry] = COMPARED,
    *,
    seeds: Sequence[int] = tuple(range(10)),
    evaluations: int = 300_000,
    test: Samples | None = None,
    name: str = "",
    temperature: float = 0.05,
    run: Run | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda title, spent, total: None,
    warn: Callable[[str], None] = print,
) -> Comparison:
    """Train every entry on `objective` with the same budget and measure it.

    entries: registered names, `module:Class`, or `Entry` with options and training settings.
    `evaluations` is the budget of each seed. With `run`, finished entries are taken from it and
    the rest is checkpointed in it. When `stop()` becomes true, Interrupted is raised after a
    checkpoint. Raises ConfigurationError before anything runs if an entry cannot work.
    """
    chosen = [Entry(name=entry) if isinstance(entry, str) else entry for entry in entries]
    jobs = [_Job(entry, objective, tuple(seeds), evaluations) for entry in chosen]
    certificate, spectrum, reason = _certificate(objective, name, temperature, run)
    results = []
    for job in jobs:
        folder = None if run is None else run.path / job.entry.folder
        result = None if run is None else run.read_json(f"{job.entry.folder}/result.json")
        if result is None:
            result = job.execute(folder, test, stop, progress, warn)
            if run is not None:
                run.write(f"{job.entry.folder}/result.json", json.dumps(result))
        results.append(result)
    network = str(objective.network) if isinstance(objective, NetworkObjective) else objective.name
    summary = summarise(
        results, certificate=certificate, no_certificate=reason, data=name, network=network,
        loss=objective.loss if isinstance(objective, NetworkObjective) else objective.name,
    )  # fmt: skip
    return Comparison(summary, results, spectrum)


def check(config: Config) -> None:
    """Raise what `execute` would raise at once: a configuration, name or file that cannot work."""
    objective, _ = problem(config)
    for entry in config.entries:
        _Job(entry, objective, tuple(config.seeds), config.evaluations)


def execute(
    run: Run,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda title, spent, total: None,
    warn: Callable[[str], None] = print,
) -> Comparison:
    """Carry out what a run directory's configuration asks for, from where it was left."""
    config = run.config
    objective, dataset = problem(config)
    return compare(
        objective, config.entries, seeds=config.seeds, evaluations=config.evaluations,
        test=None if dataset is None else dataset.test,
        name=config.objective if dataset is None else dataset.name,  # type: ignore[arg-type]
        temperature=config.temperature, run=run, stop=stop, progress=progress, warn=warn,
    )  # fmt: skip


def load_generator(run: Run, title: str | None = None) -> HyperNetwork:
    """The trained generator of a finished entry of a run (its only one unless `title` is given).

    Raises ConfigurationError if there is no such entry, StorageError if it is not finished.
    """
    titles = [entry.title for entry in run.config.entries]
    if title is None and len(titles) == 1:
        title = titles[0]
    if title not in titles:
        raise ConfigurationError(f"Got entry '{title}'; {run.path} has {', '.join(titles)}.")
    entry = run.config.entries[titles.index(title)]
    file = run.path / entry.folder / "generator.pt"
    if not file.is_file():
        raise StorageError(
            f"{file} is not there: the entry is not finished, or is a control. Finish the run with "
            f"`qhyper resume {run.path}`."
        )
    objective, _ = problem(run.config)
    generator = _Job(entry, objective, tuple(run.config.seeds), run.config.evaluations).generator
    assert generator is not None
    generator.load_state_dict(torch.load(file, weights_only=True))
    return generator


class _Job:
    """One entry of a comparison: built and checked at once, executed later."""

    def __init__(
        self, entry: Entry, objective: Objective, seeds: tuple[int, ...], evaluations: int
    ) -> None:
        self.entry, self.objective, self.seeds = entry, objective, seeds
        self.evaluations = evaluations
        self.generator: HyperNetwork | None = None
        n_bits = objective.n_bits
        if is_control(entry.name):
            if entry.training:
                raise ConfigurationError(f"'{entry.name}' is a control: it has no training.")
            self.control = build_control(entry.name, n_bits, entry.options)
            return
        space = objective.network.space if isinstance(objective, NetworkObjective) else None
        self.generator = build_generator(
            entry.name, n_bits, seeds=seeds, space=space, options=entry.options
        )
        settings = settings_for(self.generator.recipe, entry.training, evaluations)
        self.trainer = Trainer(self.generator, objective, settings)

    def execute(
        self,
        folder: Path | None,
        test: Samples | None,
        stop: Callable[[], bool],
        progress: Progress,
        warn: Callable[[str], None],
    ) -> dict[str, Any]:
        if folder is not None:
            with storage(folder):
                folder.mkdir(parents=True, exist_ok=True)
        if self.generator is not None:
            with one_torch_thread():
                measured = self._train(folder, stop, progress, warn)
        else:
            measured = self._search(stop, progress)
        record: SearchRecord = measured.pop("record")
        return {
            "name": self.entry.title,
            "seeds": list(self.seeds),
            "evaluations": record.evaluations,
            "best_loss": record.best_loss.tolist(),
            "best_bits": [to_string(bits) for bits in record.best_bits],
            "improvements": record.improvements,
            **self._accuracies(record, test),
            **measured,
        }

    def _train(
        self,
        folder: Path | None,
        stop: Callable[[], bool],
        progress: Progress,
        warn: Callable[[str], None],
    ) -> dict[str, Any]:
        assert self.generator is not None
        trainer, settings = self.trainer, self.trainer.settings
        keeper = None if folder is None else _Keeper(folder, trainer, warn)
        every = max(1, trainer.total_steps // CURVE_POINTS)
        while not trainer.done:
            trainer.advance()
            if keeper and trainer.step % settings.checkpoint_every == 0:
                keeper.save()
            if trainer.step % every == 0:
                progress(self.entry.title, trainer.record.evaluations, self.evaluations)
            if stop() and not trainer.done:
                if keeper:
                    keeper.save()
                raise Interrupted("Stopped by a signal.")
        if keeper:
            keeper.save()
            buffer = io.BytesIO()
            torch.save(self.generator.state_dict(), buffer)
            write_whole(keeper.folder / "generator.pt", buffer.getvalue())
        progress(self.entry.title, self.evaluations, self.evaluations)
        draw = self.generator.sample(settings.final_draws, rng=Streams(self.seeds)(0, "evaluate"))
        losses = self.objective(draw.bits).reshape(len(self.seeds), -1)
        return {
            "kind": "quantum" if self.generator.capabilities.quantum else "classical",
            "description": self.generator.describe(),
            "parameters": self.generator.n_parameters,
            "record": trainer.record,
            "final_loss": losses.mean(axis=1).tolist(),
            "final_losses": losses[:, :DRAWN].tolist(),
            "seconds_per_step": trainer.seconds / trainer.total_steps,
            "curve": _curve(trainer.curve),
        }

    def _search(self, stop: Callable[[], bool], progress: Progress) -> dict[str, Any]:
        record = SearchRecord.empty(len(self.seeds), self.objective.n_bits)
        rng = Streams(self.seeds)(0, "search")
        curve: list[dict[str, Any]] = []
        batch = None
        begun = time.perf_counter()
        for batch in self.control.search(self.objective, evaluations=self.evaluations, rng=rng):
            record.update(batch.bits, batch.losses)
            mean = batch.current.mean(axis=1).tolist()
            curve.append({"evaluations": record.evaluations, "mean_loss": mean})
            progress(self.entry.title, record.evaluations, self.evaluations)
            if stop():
                raise Interrupted("Stopped by a signal.")
        assert batch is not None
        describe = getattr(self.control, "describe", lambda: type(self.control).__name__)
        return {
            "kind": "control",
            "description": describe(),
            "parameters": 0,
            "record": record,
            "final_loss": batch.current.mean(axis=1).tolist(),
            "final_losses": batch.current[:, :DRAWN].tolist(),
            "seconds_per_step": None,
            "seconds": time.perf_counter() - begun,
            "curve": _curve(_thinned(curve)),
        }

    def _accuracies(self, record: SearchRecord, test: Samples | None) -> dict[str, Any]:
        """Accuracy of each seed's best bitstring, by training loss, on training and test rows."""
        if not isinstance(self.objective, NetworkObjective):
            return {"train_accuracy": None, "test_accuracy": None}
        best, network = record.best_bits, self.objective.network
        found = {}
        for part, samples in (("train", self.objective.data), ("test", test)):
            errors = None if samples is None else network.objective(samples, "accuracy")(best)
            found[f"{part}_accuracy"] = None if errors is None else (1 - errors).tolist()
        return found


class _Keeper:
    """Checkpoints and metrics of one training; goes on from the last whole checkpoint."""

    def __init__(self, folder: Path, trainer: Trainer, warn: Callable[[str], None]) -> None:
        self.folder, self.trainer = folder, trainer
        self.metrics = Metrics(folder / "metrics.jsonl")
        self.checkpoints = Checkpoints(folder / "checkpoints")
        state = self.checkpoints.load(warn)
        if state is not None:
            trainer.load_state_dict(state)
        self._written = len(trainer.curve)
        self.metrics.rewind(self._written)

    def save(self) -> None:
        """Metrics first: a checkpoint never knows more lines than the file has."""
        self.metrics.append(self.trainer.curve[self._written :])
        self._written = len(self.trainer.curve)
        self.checkpoints.save(self.trainer.step, self.trainer.state_dict())


def _certificate(
    objective: Objective, name: str, temperature: float, run: Run | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, str | None]:
    """(certificate, spectrum, reason why there is none); kept in the run directory."""
    if not isinstance(objective, NetworkObjective):
        return None, None, f"'{objective.name}' is a callable; only binary networks are certified"
    if run is not None and (kept := run.read_json("certificate.json")) is not None:
        return kept["certificate"], kept["spectrum"], None
    from qhyper.target.landscape import certify

    try:
        exact = certify(
            objective.network, objective.data, loss=objective.loss, temperature=temperature
        )
    except ConfigurationError as refusal:
        return None, None, str(refusal)
    edges, counts = exact.histogram()
    certificate = {"data": name, **exact.to_dict()}
    spectrum = {"edges": [float(edge) for edge in edges], "bitstrings": [int(c) for c in counts]}
    if run is not None:
        both = {"certificate": certificate, "spectrum": spectrum}
        run.write("certificate.json", json.dumps(both, indent=1))
    return certificate, spectrum, None


def _curve(points: list[dict[str, Any]]) -> dict[str, Any]:
    by_seed = np.array([point["mean_loss"] for point in points]).T
    return {
        "evaluations": [point["evaluations"] for point in points],
        "mean_loss": by_seed.tolist(),
    }


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = -(-len(points) // CURVE_POINTS)
    return points[step - 1 :: step] if step > 1 else points
