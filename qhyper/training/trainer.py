"""The training loop: one generator, one objective, one budget, restarts inside it.

There is one, whatever the generator, the target and the estimator: on all data or on mini-batches
that the step's random stream chooses, watched on held-out rows or not.
"""

import copy
import html
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import brief, counted
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.gradients.estimator import GradientEstimator, build_estimator
from qhyper.hypernetwork import HyperNetwork
from qhyper.progress import Progress, shown
from qhyper.risk import Risk, build_risk
from qhyper.spending import Budget, Spending
from qhyper.streams import Purpose, Rngs, Streams
from qhyper.targets.target import Losses, MiniBatches, Objective
from qhyper.threads import one_torch_thread
from qhyper.training.curve import curve_svg
from qhyper.training.log_prob import check_log_prob
from qhyper.training.optimisers import build_optimizer, build_schedule, check_optimizer
from qhyper.training.randomness import check_streams
from qhyper.training.search import SearchRecord
from qhyper.training.settings import TrainingSettings

TAIL = 0.1
"""Share of a start, at its end, over which its risk is taken to compare starts."""
CURVE_POINTS = 200


Randomness = Callable[[int, Purpose], Rngs]
"""One random generator a replica, by step and purpose: `Streams`, unless told."""


@dataclass(frozen=True)
class Look:
    """A look at the held-out rows: the `losses` [replica] of the network that was tried."""

    step: int
    seconds: float
    """since the training began"""
    losses: npt.NDArray[np.float64]


class Trainer:
    """Trains all replicas of a generator together, step by step, within a budget.

    The first start begins at the parameters that `generator` has, every further one at fresh ones.
    After the last step `generator` holds, replica by replica, the parameters of the start with the
    lowest risk over its last tenth of steps. The state is complete: a trainer that loads the
    `state_dict` of another goes on exactly as that one would have.

    With `batch`, and for a generator that depends on inputs, every step has fresh mini-batches, one
    of each replica. Losses on different mini-batches do not compare, so that the record takes
    none of them. It takes those of `watch`, an objective on held-out rows or on all: every
    `watch_every` steps and after the last one network is tried there, the most probable one where
    that is known, else the best of the step's draws. These evaluations count.

    The `objective` takes bits [..., bit] to losses [...]. `streams` is where random numbers come
    from. Raises ConfigurationError if generator, objective, optimiser, schedule and budget do not
    go together.
    """

    def __init__(
        self,
        generator: HyperNetwork,
        objective: Losses | MiniBatches,
        settings: TrainingSettings,
        *,
        watch: Objective | None = None,
        streams: Randomness | None = None,
    ) -> None:
        _check_trained(generator)
        self.generator, self.settings = generator, settings
        self.estimator, self.risk = _estimator_and_risk(generator, settings)
        self.objective = _in_batches(objective, settings)
        # on all rows, losses of draws compare, and one criterion is enough
        self.watch = watch = watch if isinstance(self.objective, MiniBatches) else None
        self.cost, self.look_cost = _checked_costs(
            generator, self.objective, self.estimator, self.risk, watch
        )
        once = self.estimator.cost_once(generator).on_rows(_n_rows(self.objective))
        self.total_steps = _steps(settings, self.cost, once, self.look_cost)
        if self.total_steps < settings.restarts:
            raise ConfigurationError(
                f"A budget of {settings.budget} has {self.total_steps} steps of {self.cost}, too "
                f"few for {settings.restarts} start(s). Raise the budget, or lower draws or "
                "restarts."
            )
        check_optimizer(settings.optimizer, generator.replicas)
        _check_replica_axis(generator)
        self.streams: Randomness = Streams(generator.seeds) if streams is None else streams
        replicas = generator.replicas
        self.step = 0
        self.spent = Spending()
        self.record = SearchRecord.empty(replicas, generator.n_bits)
        self.curve: list[dict[str, Any]] = []
        self.looks: list[Look] = []
        self._elapsed, self._going_on_since = 0.0, 0.0
        self._seconds: list[float] = []
        self._tail = np.zeros(replicas)
        self._curve_sum, self._curve_steps = np.zeros(replicas), 0
        self._champion_loss = np.full(replicas, np.inf)
        self._champion = _copy(generator)
        self._begin_start(0)

    def __repr__(self) -> str:
        of, replicas = self.generator, counted(self.generator.replicas, "replica")
        lines = [
            f"Trainer of {type(of).__name__}, {counted(of.n_bits, 'bit')}, {replicas}: "
            f"{self.settings.estimator}, {self.settings.risk}",
            f"  step {self.step:,} of {self.total_steps:,}, start {self.restart + 1} of "
            f"{self.settings.restarts}",
            f"  spent {self.spent}",
        ]
        if self.curve:
            lines.append(f"  mean loss {brief(self.curve[-1]['mean_loss'])}")
        if np.isfinite(self.record.best_loss).any():
            lines.append(f"  best loss {brief(self.record.best_loss)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same with the learning curve of every replica, for notebooks."""
        return f"<pre>{html.escape(repr(self))}</pre>{curve_svg(self.curve)}"

    @property
    def in_batches(self) -> bool:
        """Whether every step sees a mini-batch alone."""
        return isinstance(self.objective, MiniBatches)

    @property
    def done(self) -> bool:
        """Whether the budget is spent."""
        return self.step >= self.total_steps

    def spends(self) -> Spending:
        """What a replica spends in all of its steps and looks."""
        once = self.estimator.cost_once(self.generator).on_rows(_n_rows(self.objective))
        looks = 0 if self.watch is None else -(-self.total_steps // self.settings.watch_every)
        return self.cost * self.total_steps + once + self.look_cost * looks

    @property
    def step_seconds(self) -> list[float]:
        """Seconds of wall time of some 200 steps of all replicas, of those that it made itself.

        Without its first step, which may load or compile kernels.
        """
        times = self._seconds[1:]
        return times[:: 1 + len(times) // CURVE_POINTS]

    @one_torch_thread()  # in loops of one's own too
    def advance(self) -> None:
        """One step of every replica.

        Raises ConfigurationError if the estimator measures no value, the optimiser or its schedule
        fails, or parameters are no longer finite.
        """
        begun = time.perf_counter()
        if not self._going_on_since:  # a trainer may wait long before it is run
            self._going_on_since = time.monotonic() - self._elapsed
        self._keep_time()
        if self.step == self._bound(self.restart + 1):
            self._begin_start(self.restart + 1)
        self.optimizer.zero_grad()
        begin, end = self._bound(self.restart), self._bound(self.restart + 1)
        risk = self.risk.at((self.step - begin) / max(1, end - begin - 1))
        objective, inputs = self.objective, None
        if isinstance(objective, MiniBatches):
            objective = objective.draw(self.streams(self.step, "batch"))
            inputs = objective.inputs
        if self.step == 0:
            check_streams(self.generator, inputs)
            check_log_prob(self.generator, inputs)
        rng = self.streams(self.step, "draw")
        estimate = self.estimator(self.generator, objective, risk, rng=rng, inputs=inputs)
        if estimate.value is None or estimate.mean_loss is None:
            raise ConfigurationError(
                f"{self.settings.estimator} did not measure `value` and `mean_loss` at the "
                "parameters, which the choice between starts and the learning curve need. Let it "
                "draw there too."
            )
        try:
            self.optimizer.step()
            self.step += 1
            if self.schedule is not None:
                self.schedule.step()
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"At step {self.step}, torch.optim.{self.settings.optimizer} or its schedule "
                f"{self.settings.schedule} failed: {error}. Choose others, or mend their options."
            ) from error
        self.spent += estimate.spent.on_rows(_n_rows(self.objective))
        if estimate.draw is not None and estimate.losses is not None:
            replicas = self.generator.replicas
            bits = estimate.draw.bits.reshape(replicas, -1, self.generator.n_bits)
            losses = estimate.losses.reshape(replicas, -1)
            if objective is self.objective:  # losses on different mini-batches do not compare
                self.record.update(bits, losses)
            if self.watch is not None and (self.done or self.step % self.settings.watch_every == 0):
                self._look(bits, losses)
        self._extend_curve(estimate.mean_loss)
        self._compare_starts(estimate.value)
        self._seconds.append(time.perf_counter() - begun)

    def run(self, on_step: "Callable[[Trainer], None] | None" = None) -> None:
        """Go on to the end of the budget; `on_step` is called after every step."""
        with one_torch_thread():
            while not self.done:
                self.advance()
                if on_step is not None:
                    on_step(self)

    # -- held-out rows, and time ---------------------------------------------------------------

    def _look(self, bits: Bits, losses: npt.NDArray[np.float64]) -> None:
        """Try one network of each replica on the held-out rows, and record the best."""
        assert self.watch is not None
        tried = self.generator.mode()
        if tried is None:
            tried = bits[np.arange(len(bits)), losses.argmin(axis=1)]
        found = np.asarray(self.watch(tried))
        self.spent += self.look_cost
        self.looks.append(Look(self.step, time.monotonic() - self._going_on_since, found))
        self.record.note(tried, found, self.spent.evaluations)

    def _share(self) -> float:
        """How much of the current start is over, by steps or by time, from 0 to 1."""
        begin, end = self._bound(self.restart), self._bound(self.restart + 1)
        of_steps = (self.step - begin) / (end - begin)
        if self.settings.minutes is None:
            return of_steps
        return max(of_steps, self._seconds_so_far / (60 * self.settings.minutes))

    @property
    def _seconds_so_far(self) -> float:
        """Seconds of training, those before a checkpoint too."""
        running = self._going_on_since != 0
        return time.monotonic() - self._going_on_since if running else self._elapsed

    def _keep_time(self) -> None:
        """Make this step the last one if the time is up."""
        if self.settings.minutes is not None and self._share() >= 1:
            self.total_steps = self.step + 1  # there is one start, whose end it is

    # -- starts -------------------------------------------------------------------------------

    def _bound(self, start: int) -> int:
        """The step at which start number `start` begins: the budget in equal parts."""
        return self.total_steps * start // self.settings.restarts

    def _begin_start(self, restart: int) -> None:
        self.restart = restart
        if restart > 0:
            self.generator.initialise(restart)
        self._tail[:] = 0.0
        steps = self._bound(restart + 1) - self._bound(restart)
        self.optimizer = build_optimizer(self.generator, self.settings)
        self.schedule = build_schedule(self.optimizer, self.settings, steps, self._share)

    def _extend_curve(self, mean_loss: npt.NDArray[np.float64]) -> None:
        """Take the mean losses of a step into the learning curve."""
        self._curve_sum += mean_loss
        self._curve_steps += 1
        if self._curve_steps < max(1, self.total_steps // CURVE_POINTS) and not self.done:
            return
        self._check_parameters()
        self.curve.append(
            {
                "step": self.step,
                "restart": self.restart,
                "evaluations": self.spent.evaluations,
                "shots": self.spent.shots,
                "circuits": self.spent.circuits,
                "rows": self.spent.rows,
                "mean_loss": (self._curve_sum / self._curve_steps).tolist(),
                # None where nothing was drawn, as by the exact gradient
                "best_loss": [
                    best if np.isfinite(best) else None for best in self.record.best_loss.tolist()
                ],
            }
        )
        self._curve_sum, self._curve_steps = np.zeros_like(self._curve_sum), 0

    def _compare_starts(self, value: npt.NDArray[np.float64]) -> None:
        """Take the risks of a step into the comparison of starts, and end a start."""
        begin, end = self._bound(self.restart), self._bound(self.restart + 1)
        tail_steps = max(1, int(TAIL * (end - begin)))
        if self.step > end - tail_steps:
            self._tail += value / tail_steps
        if self.step == end:
            self._keep_better()
        if self.done:
            self.generator.load_state_dict(self._champion)

    def _keep_better(self) -> None:
        better = self._tail < self._champion_loss
        self._champion_loss[better] = self._tail[better]
        chosen = torch.from_numpy(better)
        parameters = {name for name, _ in self.generator.named_parameters()}
        for name, tensor in self.generator.state_dict().items():
            if name in parameters:
                self._champion[name][chosen] = tensor[chosen]

    def _check_parameters(self) -> None:
        try:
            self.generator.check_parameters()
        except ConfigurationError as error:
            raise ConfigurationError(f"After step {self.step}: {error}") from error

    # -- checkpoints --------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on: tensors, numbers, lists."""
        return {
            "step": self.step,
            "restart": self.restart,
            "generator": _copy(self.generator),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "schedule": None if self.schedule is None else dict(self.schedule.state_dict()),
            "best_loss": torch.from_numpy(self.record.best_loss.copy()),
            "best_bits": torch.from_numpy(self.record.best_bits.copy()),
            "spent": list(vars(self.spent).values()),
            "looks": [(look.step, look.seconds, look.losses.tolist()) for look in self.looks],
            "evaluated": self.record.evaluations,
            "total_steps": self.total_steps,
            "seconds": self._seconds_so_far,
            "improvements": [list(found) for found in self.record.improvements],
            "curve": list(self.curve),
            "curve_sum": torch.from_numpy(self._curve_sum.copy()),
            "curve_steps": self._curve_steps,
            "tail": torch.from_numpy(self._tail.copy()),
            "champion_loss": torch.from_numpy(self._champion_loss.copy()),
            "champion": {name: tensor.clone() for name, tensor in self._champion.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where the trainer that gave `state` was."""
        self._begin_start(state["restart"])
        self.step = state["step"]
        self.generator.load_state_dict(state["generator"])
        self._load_optimizer(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.spent = Spending(*state["spent"])
        self._elapsed, self._going_on_since = state["seconds"], 0.0
        self.total_steps = state["total_steps"]
        self.looks = [Look(step, took, np.array(found)) for step, took, found in state["looks"]]
        if self.step and not isinstance(self.objective, MiniBatches):
            self.estimator.resume(self.generator, self.objective)
        self.record = SearchRecord(
            best_loss=state["best_loss"].numpy().copy(),
            best_bits=state["best_bits"].numpy().copy(),
            evaluations=state["evaluated"],
            improvements=[[(at, loss) for at, loss in found] for found in state["improvements"]],
        )
        self.curve = list(state["curve"])
        self._curve_sum = state["curve_sum"].numpy().copy()
        self._curve_steps = state["curve_steps"]
        self._tail = state["tail"].numpy().copy()
        self._champion_loss = state["champion_loss"].numpy().copy()
        own = self.generator.state_dict()
        self._champion = {
            name: tensor.clone().to(own[name].device) for name, tensor in state["champion"].items()
        }

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Load an optimiser's state bit by bit: torch casts some of its numbers, of NAdam say."""
        self.optimizer.load_state_dict(copy.deepcopy(state))
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for index, saved in state["state"].items():
            own = self.optimizer.state[parameters[index]]
            for name, value in saved.items():
                tensor = isinstance(value, torch.Tensor)
                own[name] = value.clone().to(own[name].device) if tensor else value


def train(
    generator: HyperNetwork,
    objective: Losses | MiniBatches,
    settings: TrainingSettings,
    *,
    watch: Objective | None = None,
    on_step: Callable[[Trainer], None] | None = None,
    progress: Progress | Literal[False] | None = None,
) -> Trainer:
    """Train `generator`, from the parameters it has, to the end of its budget.

    `objective` takes bits [..., bit] to losses [...], or draws mini-batches that do.

    Returns the trainer with its record. `watch` is the objective on held-out rows, if there are
    any. `on_step` is called after every step; what it raises ends the training. `progress` is
    called with a title, the steps done and all steps; unless told, a notebook shows it by itself,
    and False is silent. See `Trainer` for what the generator holds at the end.
    """
    trainer = Trainer(generator, objective, settings, watch=watch)
    with shown(progress, "train") as show:

        def after_step(trainer: Trainer) -> None:
            if on_step is not None:
                on_step(trainer)
            show("train", trainer.step, trainer.total_steps)

        trainer.run(after_step)
    return trainer


def settings_for(
    generator: HyperNetwork,
    training: Mapping[str, Any],
    budget: Budget,
    *,
    objective: Losses | MiniBatches | None = None,
    watch: Objective | None = None,
    n_inputs: int = 1,
) -> TrainingSettings:
    """Training settings: the generator's recipe, then what `training` says, within the budget.

    A recipe's `start_steps` says how many steps one start needs: the budget has as many starts as
    fit, at least one, unless `training` gives `restarts`. Mini-batches are as large as suits the
    `objective`, unless `training` gives `batch`. `n_inputs` is how many inputs a step has, of a
    generator that sees them. Raises ConfigurationError if generator, estimator, risk and budget do
    not go together.
    """
    recipe = dict(generator.recipe)
    each = recipe.pop("start_steps", None)
    usual = getattr(objective, "usual_training", {})
    settings = TrainingSettings(**{**usual, **recipe, **training, **budget.limits()})
    if each is None or "restarts" in training or settings.minutes is not None:
        return settings
    estimator, risk = _estimator_and_risk(generator, settings)
    cost = estimator.cost(generator, risk, n_inputs=n_inputs, objective=objective)
    once, look = estimator.cost_once(generator), Spending()
    if objective is not None:
        seen = _in_batches(objective, settings)
        cost, once = cost.on_rows(_n_rows(seen)), once.on_rows(_n_rows(seen))
        look = _look_cost(watch) if isinstance(seen, MiniBatches) else look
    starts = _steps(settings, cost, once, look) // each
    return settings.model_copy(update={"restarts": max(1, starts)})


def _estimator_and_risk(
    generator: HyperNetwork, settings: TrainingSettings
) -> tuple[GradientEstimator, Risk]:
    """The estimator and the risk that the settings name, checked against the generator."""
    estimator = build_estimator(settings.estimator, settings.draws, settings.estimator_options)
    risk = build_risk(settings.risk, settings.risk_options)
    estimator.check(generator, risk)
    return estimator, risk


def _in_batches(
    objective: Losses | MiniBatches, settings: TrainingSettings
) -> Losses | MiniBatches:
    """The objective, in the mini-batches that the settings ask for."""
    if isinstance(objective, MiniBatches) or settings.batch in (None, "all"):
        return objective
    if not hasattr(objective, "mini_batches"):
        raise ConfigurationError(
            f"Got batch={settings.batch} for a callable, which has no rows. Leave it out."
        )
    return objective.mini_batches(settings.batch)  # type: ignore[attr-defined]


def _checked_costs(
    generator: HyperNetwork,
    objective: Losses | MiniBatches,
    estimator: GradientEstimator,
    risk: Risk,
    watch: Objective | None,
) -> tuple[Spending, Spending]:
    """What a step and a look cost; ConfigurationError where things do not go together."""
    _check_inputs(generator, objective)
    estimator.check_objective(objective)
    if watch is not None and watch.n_bits != generator.n_bits:
        raise ConfigurationError(
            f"Got held-out rows for networks of {watch.n_bits} bits, and a generator of "
            f"{generator.n_bits}. Take both objectives from one target."
        )
    sees = isinstance(objective, MiniBatches) and objective.n_features
    n_inputs = objective.size if sees else 1  # type: ignore[union-attr]
    cost = estimator.cost(generator, risk, n_inputs=n_inputs, objective=objective)
    return cost.on_rows(_n_rows(objective)), _look_cost(watch)


def _look_cost(watch: Objective | None) -> Spending:
    """What one look at the held-out rows costs each replica."""
    return Spending() if watch is None else Spending(evaluations=1).on_rows(watch.n_rows)


def _check_inputs(generator: HyperNetwork, objective: Losses | MiniBatches) -> None:
    """Raise ConfigurationError unless there are inputs exactly where they are needed."""
    features = objective.n_features if isinstance(objective, MiniBatches) else 0
    if generator.n_inputs and not features:
        raise ConfigurationError(
            f"{generator.describe()} depends on inputs of {generator.n_inputs} features, and the "
            "objective has none. Train it on mini-batches: network.batches(data, size=32, "
            "scored_on='batch')."
        )
    if features and not generator.n_inputs:
        raise ConfigurationError(
            f"{generator.describe()} does not depend on inputs, and these mini-batches have them. "
            "Train it on network.objective(data), with `batch` for mini-batches, or take a "
            "generator that sees the input, such as a circuit of the ansatz Reuploading."
        )
    if features != generator.n_inputs:
        raise ConfigurationError(
            f"{generator.describe()} depends on inputs of {generator.n_inputs} features, and the "
            f"mini-batches have {features}. Make it with n_inputs={features}."
        )


def _n_rows(objective: Losses | MiniBatches) -> int:
    """Rows that one evaluation reads; 1 for any callable."""
    return getattr(objective, "n_rows", 1)


def _steps(settings: TrainingSettings, cost: Spending, once: Spending, look: Spending) -> int:
    """How many steps of `cost` the budget has, with `once` for the first one besides."""
    steps = settings.budget.steps(cost, every=settings.watch_every, besides=look)
    if steps is None:
        raise ConfigurationError(
            f"A step of {settings.estimator} spends {cost}, and nothing that the budget of "
            f"{settings.budget} limits. Give the budget in circuits."
        )
    for name in ("evaluations", "rows"):
        needed, limit = getattr(once, name), getattr(settings, name)
        if limit is not None and limit < needed:
            raise ConfigurationError(
                f"{settings.estimator} evaluates {once.evaluations:,} bitstrings once, which "
                f"are {needed:,} {name}, more than the budget of {settings.budget}. Raise {name}, "
                "or leave them out and give circuits alone."
            )
    return steps


def _copy(generator: HyperNetwork) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in generator.state_dict().items()}


def _check_trained(generator: HyperNetwork) -> None:
    if not generator.trained_parameters:
        raise ConfigurationError(
            f"{generator.describe()} has nothing to train: all its parameters are frozen. Train "
            "what surrounds a frozen circuit, such as the embeddings of chunked, "
            "embeddings=learned, or leave frozen out."
        )


def _check_replica_axis(generator: HyperNetwork) -> None:
    for name, parameter in generator.named_parameters():
        if parameter.ndim == 0 or len(parameter) != generator.replicas:
            raise ConfigurationError(
                f"The parameter '{name}' of {generator.describe()} has shape "
                f"{tuple(parameter.shape)}; expected [replica, ...] with {generator.replicas} "
                "replicas, so that each seed trains by itself."
            )
