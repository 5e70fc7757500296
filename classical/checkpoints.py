"""Checkpoints of a training: files with all that its next epoch depends on, and what it is of."""

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classical.image_classifier import ImageClassifier
from qhyper.data.images import Images
from qhyper.errors import ConfigurationError, StorageError
from qhyper.storage import storage, write_whole

_ADVICE = "Free some space, or choose a checkpoint in a folder that can be written to."


@dataclass(frozen=True)
class Checkpoint:
    """The file of a training, and whose state it keeps.

    `about` says what the training is of, in numbers and text: a file that says otherwise is
    refused.
    """

    path: Path
    about: Mapping[str, Any]
    network: ImageClassifier
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None

    def prepare(self) -> None:
        """Make the file's folder; StorageError if that fails, or nothing can be written there."""
        folder = self.path.parent
        with storage(folder, advice=_ADVICE):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()

    def keep(self, epochs: Sequence[Mapping[str, Any]], best: Mapping[str, torch.Tensor]) -> None:
        """Write the state after these epochs, whole or not at all; StorageError if it cannot be."""
        content = io.BytesIO()
        state = {
            "about": dict(self.about),
            "network": self.network.state_dict(),
            "draws": self.network.draws.get_state(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "epochs": list(epochs),
            "best": best,
        }
        torch.save(state, content)
        write_whole(self.path, content.getvalue(), advice=_ADVICE)

    def resume(self) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
        """Put everything into the state of the file: its epochs, and its best network.

        Raises StorageError for a file that is damaged or cannot be read, and ConfigurationError
        for one of another training.
        """
        path = self.path
        with storage(path, advice="Check its permissions, or choose another file."):
            content = path.read_bytes()
        try:
            _check_sums(content)
            state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            written, epochs, best = dict(state["about"]), list(state["epochs"]), dict(state["best"])
            network, optimiser, schedule, draws = (
                state[part] for part in ("network", "optimiser", "schedule", "draws")
            )
        except Exception as error:  # whatever an unpickler makes of foreign bytes
            raise StorageError(
                f"{path} is damaged or no checkpoint of a training ({type(error).__name__}). "
                "Choose another file, or remove it to begin anew."
            ) from error
        for key, value in self.about.items():
            if written.get(key) != value:
                raise ConfigurationError(
                    f"{path} is of another training: got {key} = {value!r}, and it has "
                    f"{written.get(key)!r}. Choose another file, or the same settings."
                )
        try:
            self.network.load_state_dict(network)
            self.optimiser.load_state_dict(optimiser)
            self.network.draws.set_state(draws)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"{path} is of another network: {str(error).splitlines()[-1].strip()} Choose "
                "another file, or the same network."
            ) from error
        if self.schedule is not None:
            self.schedule.load_state_dict(schedule)
        return epochs, best


def digest(images: Images) -> str:
    """Number and SHA-256 of images: of their shape, their labels and their pixels."""
    found = hashlib.sha256(repr((images.shape, images.pixels.shape)).encode())
    for numbers in (images.labels, images.pixels):
        found.update(np.ascontiguousarray(numbers).data)
    return f"{len(images)} of SHA-256 {found.hexdigest()}"


def described(value: Any) -> str:
    """A setting as text that is the same in every process.

    Functions and classes are their module and name, dictionaries are sorted, and objects without a
    text of their own are their class and attributes.
    """
    if isinstance(value, Mapping):
        items = sorted((described(key), described(each)) for key, each in value.items())
        return f"{{{', '.join(f'{key}: {each}' for key, each in items)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(described, value))}]"
    if isinstance(value, partial):
        return f"partial{described([value.func, value.args, value.keywords])}"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if type(value).__repr__ is object.__repr__:
        return described(type(value)) + described(getattr(value, "__dict__", {}))
    return repr(value)


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's, also in dictionaries, lists and tuples: files have those."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def _check_sums(content: bytes) -> None:
    """Raise BadZipFile unless every part of the archive has its checksum: torch looks at none."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if (part := archive.testzip()) is not None:
            raise zipfile.BadZipFile(part)
