"""The trainer of image classifiers: epochs of mini-batches, checkpointed, the best one kept."""

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from classical.checkpoints import Checkpoint, described, digest, plain
from classical.image_classifier import ImageClassifier
from qhyper.arrays import as_number, is_whole
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError, unknown
from qhyper.streams import Streams
from qhyper.threads import torch_threads
from qhyper.training.optimisers import check_optimizer

_CHUNK = 500
"""Images that `accuracy` computes at once."""
_FUSED = ("Adam", "AdamW", "SGD")
_FORMAT = "qhyper training of an image classifier, version 2"

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

    - optimizer, optimizer_options: any of torch.optim that takes gradients; `learning_rate` is that
      of its steps after the warm-up
    - schedule: of the rate, step by step: `cosine` (to zero at the end), `constant`, or the name of
      a class of torch.optim.lr_scheduler with its `schedule_options`
    - warm_up: epochs in which the rate rises evenly to `learning_rate`, before the schedule
    - augmentation: what is done to each mini-batch, uint8 [image, channel, row, column], with
      random numbers of the network's seed
    - checkpoint: a file that is written after every epoch. If it is there, training goes on from
      it, and ends bit for bit as if it had not been interrupted.
    - autocast: the type in which steps compute products and convolutions, by torch.autocast, such
      as torch.bfloat16 where a device has it; accuracies are of the network's own type
    - threads: of torch on a CPU; more than one rounds otherwise

    The same seed, threads, type and device give the same numbers.
    Raises ConfigurationError unless 2 <= batch <= len(training), epochs are 1 or more,
    learning_rate is finite and above 0 and 0 <= warm_up < epochs, whole numbers all but the rate;
    if images do not fit the network; for an unknown optimiser or schedule, or options that it
    refuses, a schedule perhaps not before it comes to them; for a checkpoint of another training,
    be it of other images or options; once the loss or logits are no longer finite. Raises
    StorageError for a damaged checkpoint, and before training if none can be written.
    """
    _check(training, held_out, epochs, batch, learning_rate, warm_up, autocast)
    # NumPy's numbers as Python's: a checkpoint could not be read with them
    epochs, batch, warm_up, rate = int(epochs), int(batch), int(warm_up), float(learning_rate)
    of_optimizer: dict[str, Any] = plain(optimizer_options or {})
    of_schedule: dict[str, Any] = plain(schedule_options or {})
    steps = len(training) // batch
    optimiser = _optimiser(network, optimizer, rate, of_optimizer)
    decay = _schedule(optimiser, schedule, of_schedule, steps, epochs, warm_up)
    found: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    kept: Checkpoint | None = None
    if checkpoint is not None:
        about = {
            "format": _FORMAT, "network": network.describe(),
            "dtype": str(next(network.parameters()).dtype),
            "seeds": tuple(map(int, network.streams.seeds)),
            "training images": digest(training), "held-out images": digest(held_out),
            "epochs": epochs, "batch": batch, "learning_rate": rate, "optimizer": optimizer,
            "optimizer_options": described(of_optimizer), "schedule": schedule,
            "schedule_options": described(of_schedule), "warm_up": warm_up,
            "augmentation": described(augmentation), "autocast": str(autocast),
        }  # fmt: skip
        kept = Checkpoint(checkpoint, about, network, optimiser, decay)
        kept.prepare()
        if checkpoint.exists():
            past, best = kept.resume()
            found = [Epoch(**epoch) for epoch in past]
    advance = partial(_advance, decay, schedule, of_schedule)
    with torch_threads(threads):
        (x, y), chosen_by = _tensors(network, training), _tensors(network, held_out)
        for number in range(len(found) + 1, epochs + 1):
            began = time.perf_counter()
            network.train()
            network.begin_epoch(number, epochs)
            loss = _epoch(
                network, x, y, number, epochs, batch, optimiser, advance, augmentation, autocast
            )
            seconds = time.perf_counter() - began
            network.after_epoch(x)
            epoch = Epoch(number, loss, _share_right(network, *chosen_by), seconds)
            if not best or epoch.accuracy > max(past.accuracy for past in found):
                best = {name: value.clone() for name, value in network.state_dict().items()}
            found.append(epoch)
            if kept is not None:
                kept.keep([dataclasses.asdict(epoch) for epoch in found], best)
            progress(epoch)
    network.load_state_dict(best)
    network.eval()
    return found


def accuracy(network: ImageClassifier, images: Images, *, threads: int = 1) -> float:
    """Share of the images that the network classifies correctly in eval mode.

    Ties of logits go to the lower class. Leaves the network in eval mode.
    Raises ConfigurationError if the images do not fit the network, or its logits are not finite.
    """
    with torch_threads(threads):
        return _share_right(network, *_tensors(network, images))


@torch.no_grad()
def _share_right(network: ImageClassifier, x: torch.Tensor, y: torch.Tensor) -> float:
    network.eval()
    right = 0
    for rows, labels in zip(x.split(_CHUNK), y.split(_CHUNK), strict=True):
        logits = network(rows)
        if not bool(torch.isfinite(logits).all()):
            raise ConfigurationError(
                "Got logits that are not finite, which choose no class. Choose a smaller "
                "learning_rate, or look for weights that are not finite."
            )
        right += int((logits.argmax(1) == labels).sum())
    return right / len(y)


def _epoch(
    network: ImageClassifier,
    x: torch.Tensor,
    y: torch.Tensor,
    number: int,
    epochs: int,
    batch: int,
    optimiser: torch.optim.Optimizer,
    advance: Callable[[], None],
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
        advance()
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
    whole = is_whole(epochs, at_least=1) and is_whole(batch, at_least=2)
    if not whole or batch > len(training):
        raise ConfigurationError(
            f"Got epochs={epochs!r} and batch={batch!r}; expected 1 epoch or more, and batches of "
            f"2 images or more but no more than the {len(training)} of the training set."
        )
    if not 0 < as_number(learning_rate) < math.inf:
        raise ConfigurationError(
            f"learning_rate is a finite number above 0, such as 0.01; got {learning_rate!r}."
        )
    if not is_whole(warm_up, at_least=0) or warm_up >= epochs:
        raise ConfigurationError(
            f"Got warm_up={warm_up!r} epochs of {epochs}; expected 0 or more, and fewer than all."
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
    with _refusals(f"torch.optim.{name}", options):
        return getattr(torch.optim, name)(network.parameters(), lr=learning_rate, **options)


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
        if isinstance(c, type) and issubclass(c, schedules.LRScheduler) and n[0] != "_"
    } - {"LRScheduler", "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"}  # fmt: skip
    if name not in known:
        raise unknown("schedule of torch.optim.lr_scheduler", name, known | {"constant", "cosine"})
    with _refusals(f"torch.optim.lr_scheduler.{name}", options), warnings.catch_warnings():
        # a schedule begins by a step before the optimiser's first
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        after = getattr(schedules, name)(optimiser, **options)
        if not warm_up:
            return after
        before = schedules.LinearLR(optimiser, start_factor=1 / rising, total_iters=rising)
        return schedules.SequentialLR(optimiser, [before, after], milestones=[rising])


def _advance(
    decay: torch.optim.lr_scheduler.LRScheduler | None, name: str, options: dict[str, Any]
) -> None:
    """The schedule's next step; some refuse their options only then."""
    if decay is not None:
        with _refusals(f"The schedule {name}", options):
            decay.step()


@contextmanager
def _refusals(what: str, options: dict[str, Any]) -> Iterator[None]:
    """Turn errors of torch's optimisers and schedules into one that names them."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{what} refused its options {options}: {error}.") from error
