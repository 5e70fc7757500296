"""One entry of a comparison carried out: its training or search, checkpoints and result."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from qhyper.bits import to_string
from qhyper.errors import ConfigurationError, Interrupted, UnsuitableError
from qhyper.gradients.estimator import evaluate
from qhyper.hypernetwork import HyperNetwork, build_generator
from qhyper.machine import GIB, memory
from qhyper.registry import takes_option
from qhyper.report.results import Curve, Result
from qhyper.run.config import BUDGETS, Entry, TrainingSettings
from qhyper.run.correlation import correlation_of
from qhyper.run.directory import Checkpoints, Metrics
from qhyper.run.problem import Problem
from qhyper.run.work import Progress
from qhyper.spending import Budget, Spending
from qhyper.storage import storage, write_whole
from qhyper.streams import Streams
from qhyper.targets.target import MiniBatches, Objective
from qhyper.training.search import Evaluated, SearchRecord, build_control, is_control
from qhyper.training.trainer import CURVE_POINTS, Trainer, settings_for

LOOKS = 40
"""How often a control that works on mini-batches is tried on held-out rows."""
FEW_STEPS = 10
"""A start of fewer steps comes with a warning."""
DRAWN = 256
"""Final draws of each seed whose losses are kept for the figures."""


class Trial:
    """One entry of a comparison: built and checked at once, executed later.

    Raises ConfigurationError if the entry cannot work on the problem, or in this machine's memory.
    """

    def __init__(
        self,
        entry: Entry,
        problem: Problem,
        seeds: tuple[int, ...],
        budget: Budget,
        *,
        device: str = "cpu",
    ) -> None:
        self.problem, self.seeds, self.budget, self.device = problem, seeds, budget, device
        self.objective = objective = problem.objective
        self.entry = entry  # with every training setting in full, once they are known
        self.generator: HyperNetwork | None = None
        self.bytes = 0
        """memory that a step takes, about"""
        n_bits = objective.n_bits
        if is_control(entry.name):
            if entry.training:
                raise ConfigurationError(f"'{entry.name}' is a control: it has no training.")
            if budget.circuits is not None and len(budget.limits()) == 1:
                raise UnsuitableError(
                    f"'{entry.name}' is a control: it runs no circuits, so a budget of {budget} is "
                    "none for it. Give evaluations or shots as well, or leave it out."
                )
            options = dict(entry.options)
            if (rows := objective.usual_training.get("batch")) and takes_option(
                "control", entry.name, "batch"
            ):
                options.setdefault("batch", rows)
            self.entry = entry.model_copy(update={"options": options})
            self.control = build_control(entry.name, n_bits, options)
            self._check_control()
            return
        generator = self.generator = build_generator(
            entry.name, n_bits, seeds=seeds, layout=objective.layout, options=entry.options,
            device=device,
        )  # fmt: skip
        settings = settings_for(
            generator, entry.training, budget, objective=objective, watch=self._watch
        )
        self.bytes = _checked_bytes(generator, settings)
        self.trainer = Trainer(generator, objective, settings, watch=self._watch)
        self.entry = entry.model_copy(
            update={"training": settings.model_dump(exclude=set(BUDGETS), exclude_none=True)}
        )

    @property
    def _watch(self) -> Objective:
        """Where mini-batches are trained on, networks are chosen on held-out rows, or on all."""
        return self.objective if self.problem.watch is None else self.problem.watch

    @property
    def _batch(self) -> int | None:
        """Rows of a control's mini-batches; None where it works on all rows."""
        return getattr(self.control, "batch", None)

    @property
    def _evaluations(self) -> int:
        """How many bitstrings a control may try: each counts as one shot, and each look as well."""
        looks = 0 if self._batch is None else LOOKS
        limits = [n - looks for n in (self.budget.evaluations, self.budget.shots) if n is not None]
        if self.budget.rows is not None:
            each = self._batch or self.objective.n_rows
            limits.append((self.budget.rows - looks * self._watch.n_rows) // each)
        return min(limits)

    def _check_control(self) -> None:
        """Raise ConfigurationError unless a control can work on the objective and the budget."""
        if self._batch is not None:
            self.objective.mini_batches(self._batch)
        if self._evaluations < 1:
            reads = f"reads {self._batch or self.objective.n_rows:,} rows"
            if self._batch is not None:
                reads += f", after {LOOKS} looks at {self._watch.n_rows:,} rows each"
            raise ConfigurationError(
                f"A budget of {self.budget} is not one evaluation of {self.entry.title}, which "
                f"{reads}. Raise it."
            )
        self._searched()  # what a control checks at once, it refuses before anything runs

    @property
    def kind(self) -> str:
        """Whether it is a quantum or a classical generator, or a control."""
        if self.generator is None:
            return "control"
        return "quantum" if self.generator.capabilities.quantum else "classical"

    @property
    def backend(self) -> Any:
        """Where the generator's circuit runs; None for what has none."""
        return getattr(self.generator, "backend", None)

    @property
    def paid(self) -> bool:
        """Whether it sends jobs to a quantum computer."""
        return self.backend is not None and self.backend.capabilities.paid

    @property
    def paid_shots(self) -> int:
        """Shots that a quantum computer is sent, by all seeds together; 0 for simulators."""
        return self.backend.shots(len(self.circuit.qubits), self._batches()) if self.paid else 0

    def outlay(self) -> tuple[int, float | None]:
        """(jobs, their cost in US dollars or None if it is not known) on a quantum computer."""
        batches = self._batches()
        price = self.backend.price(self.circuit, batches)
        return self.backend.jobs(self.circuit, batches), None if price is None else price.amount

    @property
    def circuit(self) -> Any:
        """The generator's circuit as a quantum computer is sent it."""
        return cast(Any, self.generator).executable.isa

    def outlook(self) -> dict[str, Any]:
        """What it would spend, in words; on a quantum computer with jobs, limits and price."""
        if self.generator is None:
            return {"entry": self.entry.title, "budget of a seed": str(self.budget)}
        planned = {
            "entry": self.entry.title,
            "seeds": len(self.seeds),
            "steps": self.trainer.total_steps,
            "each step, by each seed": str(self.trainer.cost),
        }
        if self.paid:
            planned |= self.backend.plan(self.circuit, self._batches())
            if sent := self.backend.first_of(self._gradient):
                planned["what is sent for one gradient"] = sent
        return planned

    def spends(self) -> Spending:
        """What one seed spends by the end of its budget, looks at held-out rows with it."""
        if self.generator is None:
            looks = 0 if self._batch is None else LOOKS
            each = self._batch or self.objective.n_rows
            tried = self._evaluations + looks
            rows = self._evaluations * each + looks * self._watch.n_rows
            return Spending(tried, tried, 0, rows)
        return self.trainer.spends()

    @property
    def most_seconds(self) -> float | None:
        """After which its training ends by itself; None without such a limit."""
        minutes = None if self.generator is None else self.trainer.settings.minutes
        return None if minutes is None else 60 * minutes

    @property
    def steps(self) -> int:
        """Steps of the training of all starts, or what a control tries: time goes by them."""
        return self._evaluations if self.generator is None else self.trainer.total_steps

    def shares(self, evaluations: int | None = None) -> Iterator[float]:
        """Carry it out, with no record, and say after each step which share of it is done.

        A control is carried out with so many `evaluations`, all of them unless told.
        """
        if self.generator is None:
            tried = 0
            for found in self._searched(evaluations):
                tried += found.losses.shape[1]
                yield tried / self._evaluations
            return
        while not self.trainer.done:
            self.trainer.advance()
            yield self.trainer.step / self.trainer.total_steps

    def _gradient(self) -> None:
        """The first gradient of the training; no parameter moves."""
        trainer, objective, inputs = self.trainer, self.trainer.objective, None
        if isinstance(objective, MiniBatches):
            objective = objective.draw(trainer.streams(0, "batch"))
            inputs = objective.inputs
        trainer.estimator(
            trainer.generator, objective, trainer.risk.at(0.0), rng=trainer.streams(0, "draw"),
            inputs=inputs,
        )  # fmt: skip

    def price(self) -> str:
        """What it would cost on a quantum computer, in words."""
        price = self.backend.price(self.circuit, self._batches())
        return price.words if price else "the vendor's price model is not known here"

    def _batches(self) -> dict[str, tuple[int, int, int]]:
        """(times, circuits, shots of each) of what it samples, by all seeds together."""
        cost, replicas = self.trainer.cost, len(self.seeds)
        steps = (self.trainer.total_steps, cost.circuits * replicas, cost.shots // cost.circuits)
        return {
            "steps": steps,
            "final draws": (1, replicas, self.trainer.settings.final_draws),
        }

    def execute(
        self,
        folder: Path | None,
        stop: Callable[[], bool],
        progress: Progress,
        warn: Callable[[str], None],
    ) -> Result:
        """What was measured of the entry, over all seeds; checkpoints go to `folder`."""
        if folder is not None:
            with storage(folder):
                folder.mkdir(parents=True, exist_ok=True)
        if self.generator is not None:
            measured = self._train(folder, stop, progress, warn)
        else:
            measured = self._search(stop, progress)
        record: SearchRecord = measured.pop("record")
        found = {
            # None where nothing was drawn, as by the exact gradient
            "best_loss": [float(b) if np.isfinite(b) else None for b in record.best_loss],
            **self._accuracies(record),
            **self._chosen(record),
            **measured,
        }
        return Result(
            name=self.entry.title,
            seeds=list(self.seeds),
            best_bits=[
                to_string(bits) if np.isfinite(best) else None
                for bits, best in zip(record.best_bits, record.best_loss, strict=True)
            ],
            improvements=record.improvements,
            **found,
        )

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
        # a step that was paid for is never to be computed again
        kept = 1 if self.paid else settings.checkpoint_every
        steps = trainer.total_steps // settings.restarts
        if steps < FEW_STEPS:
            warn(
                f"{self.entry.title} has only {steps} step{'s' * (steps > 1)} in a start: raise "
                "the budget or lower draws."
            )

        def after_step(trainer: Trainer) -> None:
            if keeper and trainer.step % kept == 0:
                keeper.save()
            self._begin(f"step {trainer.step + 1}")
            if trainer.step % every == 0 and not trainer.done:
                progress(self.entry.title, trainer.step, trainer.total_steps)
            if stop() and not trainer.done:
                if keeper:
                    keeper.save()
                raise Interrupted("Stopped by a signal.")

        self._begin(f"step {trainer.step + 1}")
        if not trainer.done:
            progress(self.entry.title, trainer.step, trainer.total_steps)
        trainer.run(after_step)
        if keeper:
            keeper.save()
            buffer = io.BytesIO()
            torch.save(self.generator.state_dict(), buffer)
            write_whole(keeper.folder / "generator.pt", buffer.getvalue())
        progress(self.entry.title, trainer.total_steps, trainer.total_steps)
        self._begin("final draws")
        draw = self.generator.sample(settings.final_draws, rng=Streams(self.seeds)(0, "evaluate"))
        risk = trainer.risk.at(1.0)
        drawn = evaluate(self.generator, draw.bits, self.objective, risk)
        losses = drawn.losses.reshape(len(self.seeds), -1)
        own_risk = settings.risk != "expectation" and settings.final_draws >= risk.min_shots
        return {
            "kind": self.kind,
            "description": self.generator.describe() + _method(settings),
            "estimator": settings.estimator,
            "risk": settings.risk,
            "backend": None if self.backend is None else str(self.backend),
            "step": trainer.cost,
            "parameters": self.generator.n_parameters,
            "record": trainer.record,
            **vars(trainer.spent),
            "final_loss": losses.mean(axis=1).tolist(),
            "final_losses": losses[:, :DRAWN].tolist(),
            "final_risk": risk.value(drawn)[0].mean(axis=1).tolist() if own_risk else None,
            "seconds_per_step": trainer.step_seconds,
            "curve": _curve(trainer.curve),
            "correlation": correlation_of(
                self.generator, self.objective, draw.bits, drawn.losses,
                rng=Streams(self.seeds)(1, "evaluate"),
            ),
        }  # fmt: skip

    def _begin(self, purpose: str) -> None:
        """Say what is sampled next, where the ledger asks."""
        if self.paid:
            self.backend.begin(f"{self.entry.folder}: {purpose}")

    def _searched(self, evaluations: int | None = None) -> Iterator[Evaluated]:
        """The control's search, from its beginning, with all evaluations or so many."""
        rng, most = Streams(self.seeds)(0, "search"), evaluations or self._evaluations
        return self.control.search(self.objective, evaluations=most, rng=rng)

    def _search(self, stop: Callable[[], bool], progress: Progress) -> dict[str, Any]:
        record = SearchRecord.empty(len(self.seeds), self.objective.n_bits)
        curve: list[dict[str, Any]] = []
        found, looks = None, 0
        evaluations, watch = self._evaluations, self._watch
        progress(self.entry.title, 0, evaluations)
        for found in self._searched():
            if found.held is None:
                record.update(found.bits, found.losses)
            else:  # losses on different mini-batches do not compare
                record.evaluations += found.losses.shape[1]
                share = record.evaluations / evaluations
                if share == 1 or share * LOOKS >= looks + 1:
                    looks += 1
                    at = record.evaluations + looks
                    record.note(found.held, np.asarray(watch(found.held)), at)
            mean = found.current.mean(axis=1).tolist()
            spent = record.evaluations + looks
            curve.append({"evaluations": spent, "shots": spent, "mean_loss": mean})
            progress(self.entry.title, record.evaluations, evaluations)
            if stop():
                raise Interrupted("Stopped by a signal.")
        if found is None or record.evaluations != evaluations:
            raise ConfigurationError(
                f"The control '{self.entry.name}' spent {record.evaluations} evaluations of each "
                f"seed; expected exactly the budget of {evaluations}."
            )
        # on all rows, as those of generators
        current = found.current if found.held is None else self.objective(found.held)[:, None]
        describe = getattr(self.control, "describe", lambda: type(self.control).__name__)
        return {
            "kind": self.kind,
            "description": describe(),
            "parameters": 0,
            "record": record,
            "evaluations": record.evaluations + looks,
            "shots": record.evaluations + looks,
            "circuits": 0,
            "rows": record.evaluations * (self._batch or self.objective.n_rows)
            + looks * watch.n_rows,
            "final_loss": current.mean(axis=1).tolist(),
            "final_losses": current[:, :DRAWN].tolist(),
            "seconds_per_step": [],
            "curve": _curve(_thinned(curve)),
        }

    def _accuracies(self, record: SearchRecord) -> dict[str, Any]:
        """Accuracy of each seed's best bitstring on training and test rows."""
        found: dict[str, Any] = {"train_accuracy": None, "test_accuracy": None}
        if self.objective.capabilities.accuracy and np.isfinite(record.best_loss).all():
            best, test = record.best_bits, self.problem.test
            found["train_accuracy"] = self.objective.accuracy(best).tolist()
            if test is not None:
                found["test_accuracy"] = self.objective.accuracy(best, test).tolist()
        return found

    def _chosen(self, record: SearchRecord) -> dict[str, Any]:
        """Where best bitstrings were chosen on held-out rows: their training loss, and that one."""
        on_batches = self._batch if self.generator is None else self.trainer.in_batches
        if self.problem.watch is None or not on_batches:  # else chosen by the training loss
            return {}
        if not np.isfinite(record.best_loss).all():
            return {}
        return {
            "best_loss": self.objective(record.best_bits).tolist(),
            "held_out_loss": record.best_loss.tolist(),
        }


def _checked_bytes(generator: HyperNetwork, settings: TrainingSettings) -> int:
    """Memory of a step, about; UnsuitableError if this machine has less."""
    shots = max(settings.draws, settings.final_draws)
    needed, available = generator.step_bytes(shots), memory()
    if needed > available:
        raise UnsuitableError(
            f"{generator.describe()} with {generator.n_bits:,} bits would need about "
            f"{needed / GIB:,.1f} GiB for {shots:,} draws of each of {generator.replicas} seeds; "
            f"this machine has {available / GIB:,.1f} GiB. Lower draws and final_draws, take fewer "
            "seeds, or a smaller network."
        )
    return needed


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
        self.metrics.write(trainer.curve)

    def save(self) -> None:
        """Metrics first: a checkpoint never knows more lines than the file has."""
        self.metrics.append(self.trainer.curve[self._written :])
        self._written = len(self.trainer.curve)
        self.checkpoints.save(self.trainer.step, self.trainer.state_dict())


def _method(settings: TrainingSettings) -> str:
    """How a generator was trained, where that is not the score function of the mean loss."""
    words = ""
    if settings.estimator != "score-function" or settings.estimator_options:
        words += f"; by {settings.estimator}{_options(settings.estimator_options)}"
    if settings.risk != "expectation":
        words += f"; for {settings.risk}{_options(settings.risk_options)}"
    return words


def _options(options: dict[str, Any]) -> str:
    listed = ", ".join(f"{name}={value}" for name, value in options.items())
    return f" ({listed})" if listed else ""


def _curve(points: list[dict[str, Any]]) -> Curve:
    by_seed = np.array([point["mean_loss"] for point in points]).T
    spent = {
        unit: [point[unit] for point in points]
        for unit in BUDGETS
        if all(unit in point for point in points)  # controls have no circuits
    }
    return Curve(**spent, mean_loss=by_seed.tolist())


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = -(-len(points) // CURVE_POINTS)
    return points[::-step][::-1]  # the last one is always kept
