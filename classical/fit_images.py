"""The trainer of image classifiers: epochs of mini-batches, checkpointed, the best one kept."""

import dataclasses
import io
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from classical.image_classifier import ImageClassifier
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError, StorageError, unknown
from qhyper.storage import storage, write_whole
from qhyper.streams import Streams
from qhyper.threads import torch_threads
from qhyper.training.optimisers import check_optimizer

_CHUNK = 500
"""Images that `accuracy` computes at once."""
_FUSED = ("Adam", "AdamW", "SGD")
_FORMAT = "qhyper training of an image classifier, version 1"

Augment = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]
"""Images uint8 [image, channel, row, column] of a mini-batch, changed at random, as such images."""


class Progress(Protocol):
    """What is told of every epoch."""

    def __call__(self, epoch: "Epoch", /) -> object:
        """An epoch is over."""
        ...


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training came to."""

    number: int
    """from 1"""
    loss: float
    """mean cross-entropy of its mini-batches, each before its step"""
    accuracy: float
    """of the held-out images after it"""
    seconds: float
    """of the steps, without statistics and accuracy"""


def fit_images(
    network: ImageClassifier,
    training: Images,
    held_out: Images,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    optimizer: str = "Adam",
    optimizer_options: Mapping[str, Any] | None = None,
    schedule: str = "cosine",
    schedule_options: Mapping[str, Any] | None = None,
    warm_up: int = 0,
    augmentation: Augment | None = None,
    checkpoint: Path | None = None,
    autocast: torch.dtype | None = None,
    threads: int = 1,
    progress: Progress = lambda epoch: None,
) -> list[Epoch]:
    """Train on the cross-entropy of mini-batches; the network ends as in the best epoch.

    The best epoch is the first of the highest accuracy on `held_out`. Each epoch goes through
    `training` in a new order; images that fill no mini-batch are left out of it. `progress` is
    called with each epoch; all of them are returned. Training ends in eval mode, on the device of
    the network's parameters.

    - optimizer, optimizer_options: any of torch.optim that takes gradients, with `learning_rate`
    - schedule: of the rate, step by step: `cosine` (to zero at the end), `constant`, or the name of
      a class of torch.optim.lr_scheduler with its `schedule_options`
    - warm_up: epochs in which the rate rises evenly to `learning_rate`, before the schedule
    - augmentation: what is done to each mini-batch, with random numbers of the network's seed
    - checkpoint: a file that is written after every epoch. If it is there, training goes on from
      it, and ends bit for bit as if it had not been interrupted.
    - autocast: the type in which steps compute products and convolutions, by torch.autocast, such
      as torch.bfloat16 where a device has it; accuracies are of the network's own type
    - threads: of torch on a CPU; more than one rounds otherwise

    The same seed, threads, type and device give the same numbers.
    Raises ConfigurationError unless 2 <= batch <= len(training), epochs are 1 or more,
    learning_rate is finite and above 0 and 0 <= warm_up < epochs; if images do not fit the network;
    for an unknown optimiser or schedule, or options that it refuses; for a checkpoint of another
    training; once the loss is no longer finite. Raises StorageError for a damaged checkpoint, and
    if it cannot be written.
    """
    _check(training, held_out, epochs, batch, learning_rate, warm_up, autocast)
    steps = len(training) // batch
    optimiser = _optimiser(network, optimizer, learning_rate, dict(optimizer_options or {}))
    decay = _schedule(optimiser, schedule, dict(schedule_options or {}), steps, epochs, warm_up)
    about = {
        "format": _FORMAT, "network": type(network).__name__, "seeds": network.streams.seeds,
        "images": (len(training), len(held_out)), "epochs": epochs, "batch": batch,
        "learning_rate": learning_rate, "optimizer": optimizer,
        "optimizer_options": repr(dict(optimizer_options or {})), "schedule": schedule,
        "schedule_options": repr(dict(schedule_options or {})), "warm_up": warm_up,
        "augmentation": repr(augmentation), "autocast": str(autocast),
    }  # fmt: skip
    found: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    if checkpoint is not None and checkpoint.exists():
        found, best = _resumed(checkpoint, about, network, optimiser, decay)
    with torch_threads(threads):
        (x, y), chosen_by = _tensors(network, training), _tensors(network, held_out)
        for number in range(len(found) + 1, epochs + 1):
            began = time.perf_counter()
            network.train()
            network.begin_epoch(number, epochs)
            loss = _epoch(
                network, x, y, number, epochs, batch, optimiser, decay, augmentation, autocast
            )
            seconds = time.perf_counter() - began
            network.after_epoch(x)
            epoch = Epoch(number, loss, _share_right(network, *chosen_by), seconds)
            if not best or epoch.accuracy > max(past.accuracy for past in found):
                best = {name: value.clone() for name, value in network.state_dict().items()}
            found.append(epoch)
            if checkpoint is not None:
                _keep(checkpoint, about, network, optimiser, decay, found, best)
            progress(epoch)
    network.load_state_dict(best)
    network.eval()
    return found


def accuracy(network: ImageClassifier, images: Images, *, threads: int = 1) -> float:
    """Share of the images that the network classifies correctly in eval mode.

    Ties of logits go to the lower class. Leaves the network in eval mode.
    Raises ConfigurationError if the images do not fit the network.
    """
    with torch_threads(threads):
        return _share_right(network, *_tensors(network, images))


@torch.no_grad()
def _share_right(network: ImageClassifier, x: torch.Tensor, y: torch.Tensor) -> float:
    network.eval()
    chunks = zip(x.split(_CHUNK), y.split(_CHUNK), strict=True)
    right = sum(int((network(rows).argmax(1) == labels).sum()) for rows, labels in chunks)
    return right / len(y)


def _epoch(
    network: ImageClassifier,
    x: torch.Tensor,
    y: torch.Tensor,
    number: int,
    epochs: int,
    batch: int,
    optimiser: torch.optim.Optimizer,
    decay: torch.optim.lr_scheduler.LRScheduler | None,
    augmentation: Augment | None,
    autocast: torch.dtype | None,
) -> float:
    """One epoch of steps; the mean loss."""
    parameters = list(network.parameters())
    (rng,) = network.streams(number, "draw")
    dtype, steps, total = parameters[0].dtype, len(y) // batch, 0.0
    for step, chosen in enumerate(_batches(network.streams, number, len(y), batch)):
        network.begin_step((number - 1) * steps + step, epochs * steps)
        # gathered as they are, and made numbers a mini-batch at a time: a fourth of the memory
        rows = chosen.to(x.device)
        images, labels = x.index_select(0, rows), y.index_select(0, rows)
        if augmentation is not None:
            images = augmentation(images, rng)
        with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
            logits = network(images)
        loss = cross_entropy(logits.to(dtype), labels)
        for parameter in parameters:  # quicker than zero_grad
            parameter.grad = None
        loss.backward()
        optimiser.step()
        if decay is not None:
            decay.step()
        network.after_step()
        total += loss.item()
    if not math.isfinite(total):
        raise ConfigurationError(
            f"The loss is no longer finite in epoch {number}. Choose a smaller learning_rate."
        )
    return total / steps


def _batches(streams: Streams, epoch: int, rows: int, batch: int) -> Iterator[torch.Tensor]:
    """Numbers of the rows of each whole mini-batch, in an order that the epoch draws anew."""
    (rng,) = streams(epoch, "batch")
    order = torch.from_numpy(rng.permutation(rows))
    return (chosen for chosen in order.split(batch) if len(chosen) == batch)


def _tensors(network: ImageClassifier, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels on the network's device, if they fit it."""
    if not len(images):
        raise ConfigurationError("Got no images; expected one or more. Pass some.")
    x = network.inputs_of(images)
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= network.classes:
        raise ConfigurationError(
            f"Got labels from {low} to {high}, but the network has {network.classes} outputs. Make "
            "one of an output a class, labels from 0."
        )
    device = next(network.parameters()).device
    return x.to(device), torch.tensor(images.labels, device=device)


def _check(
    training: Images, held_out: Images, epochs: int, batch: int, learning_rate: float, warm_up: int,
    autocast: torch.dtype | None,
) -> None:  # fmt: skip
    for images in (training, held_out):
        if not isinstance(images, Images):
            raise ConfigurationError(
                f"Got {type(images).__name__} to train on or to hold out; expected "
                "qhyper.data.images.Images."
            )
    if epochs < 1 or not 2 <= batch <= len(training):
        raise ConfigurationError(
            f"Got epochs={epochs} and batch={batch}; expected 1 epoch or more, and batches of 2 "
            f"images or more but no more than the {len(training)} of the training set."
        )
    if not 0 < learning_rate < math.inf:
        raise ConfigurationError(
            f"learning_rate is a finite number above 0, such as 0.01; got {learning_rate}."
        )
    if not 0 <= warm_up < epochs:
        raise ConfigurationError(
            f"Got warm_up={warm_up} epochs of {epochs}; expected 0 or more, and fewer than all."
        )
    if autocast not in (None, torch.bfloat16):
        raise ConfigurationError(
            f"Got autocast={autocast}; expected None or torch.bfloat16: gradients of other types "
            "underflow unless losses are scaled."
        )


def _optimiser(
    network: ImageClassifier, name: str, learning_rate: float, options: dict[str, Any]
) -> torch.optim.Optimizer:
    check_optimizer(name, 1)
    if name in _FUSED:
        options = {"fused": True, **options}
    try:
        return getattr(torch.optim, name)(network.parameters(), lr=learning_rate, **options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"torch.optim.{name} refused its options {options}: {error}."
        ) from error


def _schedule(
    optimiser: torch.optim.Optimizer,
    name: str,
    options: dict[str, Any],
    steps: int,
    epochs: int,
    warm_up: int,
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The schedule of the rate, stepped after every step; None if it is constant."""
    schedules = torch.optim.lr_scheduler
    rising, falling = steps * warm_up, steps * (epochs - warm_up)
    if name == "cosine":
        name, options = "CosineAnnealingLR", {"T_max": falling, **options}
    elif name == "constant":
        name, options = "ConstantLR", {"factor": 1.0, **options}
        if not warm_up:
            return None
    known = {
        n for n, c in vars(schedules).items()
        if isinstance(c, type) and issubclass(c, schedules.LRScheduler)
    } - {"LRScheduler", "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"}  # fmt: skip
    if name not in known:
        raise unknown("schedule of torch.optim.lr_scheduler", name, known | {"constant", "cosine"})
    try:
        with warnings.catch_warnings():  # a schedule begins by a step before the optimiser's first
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            after = getattr(schedules, name)(optimiser, **options)
            if not warm_up:
                return after
            before = schedules.LinearLR(optimiser, start_factor=1 / rising, total_iters=rising)
            return schedules.SequentialLR(optimiser, [before, after], milestones=[rising])
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"torch.optim.lr_scheduler.{name} refused its options {options}: {error}."
        ) from error


# -- checkpoints -----------------------------------------------------------------------------------


def _keep(
    path: Path,
    about: Mapping[str, Any],
    network: ImageClassifier,
    optimiser: torch.optim.Optimizer,
    decay: torch.optim.lr_scheduler.LRScheduler | None,
    found: list[Epoch],
    best: Mapping[str, torch.Tensor],
) -> None:
    """Write everything that the next epoch depends on, whole or not at all."""
    content = io.BytesIO()
    state = {
        "about": about,
        "network": network.state_dict(),
        "draws": network.draws.get_state(),
        "optimiser": optimiser.state_dict(),
        "schedule": None if decay is None else decay.state_dict(),
        "epochs": [dataclasses.asdict(epoch) for epoch in found],
        "best": best,
    }
    torch.save(state, content)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue(), advice="Free some space, or choose another file.")


def _resumed(
    path: Path,
    about: Mapping[str, Any],
    network: ImageClassifier,
    optimiser: torch.optim.Optimizer,
    decay: torch.optim.lr_scheduler.LRScheduler | None,
) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    """Put everything into the state of a checkpoint: its epochs, and its best network."""
    with storage(path, advice="Check its permissions."):
        content = path.read_bytes()
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        written, epochs = state["about"], [Epoch(**epoch) for epoch in state["epochs"]]
        best, draws = state["best"], state["draws"]
        network_state, optimiser_state = state["network"], state["optimiser"]
    except Exception as error:  # whatever an unpickler makes of foreign bytes
        raise StorageError(
            f"{path} is damaged or no checkpoint of a training ({type(error).__name__}). Choose "
            "another file, or remove it to begin anew."
        ) from error
    for key, value in about.items():
        if written.get(key) != value:
            raise ConfigurationError(
                f"{path} is of another training: got {key} = {value!r}, and it has "
                f"{written.get(key)!r}. Choose another file, or the same settings."
            )
    try:
        network.load_state_dict(network_state)
        optimiser.load_state_dict(optimiser_state)
        network.draws.set_state(draws)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{path} is of another network: {str(error).splitlines()[-1].strip()} Choose another "
            "file, or the same network."
        ) from error
    if decay is not None:
        decay.load_state_dict(state["schedule"])
    return epochs, best
