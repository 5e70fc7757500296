"""The run directory: configuration, provenance, metrics, checkpoints, results.

Its files::

    runs/<utc>-<name>-<hash8>/
      config.toml       what was asked, resolved
      provenance.json   name, versions, source, machine, seeds, git revision, arguments
      data.json         checksum of the data, so that a resumed run has the same
      certificate.json  the certificate and a histogram of the spectrum
      <entry>/          one folder for each generator or control
        metrics.jsonl   one line for each point of its learning curve
        checkpoints/    the last two
        result.json     written when the entry is complete: the same bytes, whoever worked it out
        seconds.json    what its steps took there
        attempt-1       the claim of the process that works on it, if one does
        failed.json     why it was given up, if it was
      summary.json      written last: its presence means that the run is complete
      report.html
      run.lock          which process is at work, if one is
      jobs.sqlite       the ledger of what was sent to quantum computers, if anything was
      samples/          what its jobs measured
      circuits/         the circuits of trainings on quantum computers, as transpiled
      submissions/      one folder for each `qhyper submit`: what was asked, draws, outcome, page
      tensorboard/      what `--log tensorboard` has written; wandb/ the same
"""

import datetime
import errno
import functools
import hashlib
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from qhyper.errors import ConfigurationError, StorageError
from qhyper.report.results import Result
from qhyper.report.summary import Summary
from qhyper.run.config import Config, read, to_toml
from qhyper.run.own_code import code_of
from qhyper.run.places import PROVENANCE, SWEEP, of_run
from qhyper.storage import as_utf8, storage, write_whole

RESULT, SECONDS = "result.json", "seconds.json"
"""Of an entry, in its folder."""
DATA = "data.json"
SUMMARY = "summary.json"
"""Its presence means that the run has ended."""
SO_FAR = "so-far.json"
"""The same of the entries that are done, of a run of which others were given up."""
_SHOWN = 9
"""Entries that are named when a run is printed."""
KEPT_CHECKPOINTS = 2
NAME_LENGTH = 48
PACKAGES = ("qhyper", "torch", "numpy", "numba", "scipy", "pennylane", "qiskit", "qiskit-aer")
"""That every result depends on."""
OF_SEARCHES = ("optuna",)
"""That the settings depend on that are searched."""


def check_name(name: str) -> None:
    """Raise ConfigurationError for a name of a run that is no part of a folder's on all systems."""
    if len(name) > NAME_LENGTH or not re.fullmatch(r"[^\W_][\w.-]*", name):
        raise ConfigurationError(
            f"Got {name!r} as the name of a run; expected up to {NAME_LENGTH} letters, digits, "
            "'-', '_' and '.', with a letter or digit first: it is part of the folder's name."
        )


class Run:
    """An existing run directory."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path, self.config = path, config

    def __repr__(self) -> str:
        entries = ", ".join(entry.title for entry in (self.config.entries or [])[:_SHOWN])
        entries += ", …" * (len(self.config.entries or []) > _SHOWN)
        state = "complete" if self.complete else "not complete"
        return f"Run({self.path}, {state}{': ' * bool(entries)}{entries})"

    @classmethod
    def create(cls, root: Path, name: str, config: Config) -> "Run":
        """Make a new run directory under `root`; nothing existing is ever overwritten.

        Raises ConfigurationError for a name that cannot be part of the folder's.
        """
        check_name(name)
        text = _text(config)
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        for attempt in range(1, 1000):
            suffix = "" if attempt == 1 else f"-{attempt}"
            path = root / f"{now}-{name}-{digest}{suffix}"
            with storage(path):
                try:
                    path.mkdir(parents=True, exist_ok=False)
                    break
                except FileExistsError:
                    if not path.is_dir():  # something else bars the way
                        raise
        return cls._begun(path, config, {"name": name, **provenance(config.seeds)})

    @classmethod
    def make(
        cls, path: Path, config: Config, made: Mapping[str, Any], data: Mapping[str, Any] | None
    ) -> "Run":
        """Make a new run directory at `path`, where none is yet, of what `provenance` said.

        `data` is what data.json is to hold, if the problem has data. Raises StorageError if there
        is one; what was killed while it made one is gone on with.
        """
        with storage(path):
            path.mkdir(parents=True, exist_ok=True)
            if (path / "config.toml").exists():
                raise FileExistsError(errno.EEXIST, "there is a run directory already")
        own = {"id": uuid.uuid4().hex, "seed_entropy": config.seeds}
        if data is not None:
            write_whole(path / DATA, json.dumps(data).encode())
        return cls._begun(path, config, {**made, **own})

    @classmethod
    def _begun(cls, path: Path, config: Config, made: Mapping[str, Any]) -> "Run":
        run = cls(path, config)
        made = {**made, "folder": str(path.resolve()), "code": code_of(config)}
        run.write(PROVENANCE, json.dumps(made, indent=2))
        run.write("config.toml", _text(config))  # last: it makes the folder a run directory
        return run

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """The run at `path`; raises StorageError if it is not a run directory."""
        path = Path(path)
        if (path / SWEEP).is_file():
            raise StorageError(
                f"{path} is a sweep: its page is {path / 'sweep.html'}, and each folder of "
                f"{path / 'points'} has runs. Go on with it by `qhyper work {path}`."
            )
        if not path.exists():
            raise StorageError(f"There is no folder {path}. `qhyper runs` lists those of runs/.")
        if not (path / "config.toml").is_file() or not (path / PROVENANCE).is_file():
            raise StorageError(
                f"{path} is not a run directory: expected a folder with config.toml and "
                "provenance.json, such as `qhyper compare` and `qhyper train` make under runs/."
            )
        return cls(path, Config(**read(path / "config.toml")))

    def configure(self, config: Config) -> None:
        """Replace the configuration, in the folder too."""
        self.write("config.toml", to_toml(config))
        self.config = config

    @property
    def found_config(self) -> Config:
        """The configuration, with paths of files where they are now, if the folder has moved.

        Raises MissingError for a file that is at none of the places where it may be.
        """
        return of_run(self.config, self.path)

    @property
    def name(self) -> str | None:
        """What it is called: its name, or else the command that made it; None if nobody said."""
        return self.read_json(PROVENANCE).get("name")

    @property
    def identity(self) -> str:
        """What tells this run from any other, whatever its folder is called."""
        found = self.read_json(PROVENANCE)
        return found.get("id") or hashlib.sha256(json.dumps(found).encode()).hexdigest()

    @property
    def complete(self) -> bool:
        """Whether the run has ended."""
        return (self.path / SUMMARY).is_file()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the run in one piece: it is there whole or not at all."""
        path = self.path / name
        write_whole(path, as_utf8(text))
        return path

    def read_result(self, folder: str) -> Result | None:
        """What the trial with this folder measured, None if it is not finished.

        Raises StorageError if another version wrote it.
        """
        name = f"{folder}/{RESULT}"
        found = self.read_json(name)
        if found is None:
            return None
        timed = self.read_json(f"{folder}/{SECONDS}") or {}
        steps = {k: v for k, v in timed.items() if k == "seconds_per_step"}
        return Result.from_json(found | steps, str(self.path / name))

    def read_summary(self, file: str = SUMMARY) -> Summary | None:
        """What the run found, None if it has not ended.

        Raises StorageError if another version wrote it.
        """
        found = self.read_json(file)
        return None if found is None else Summary.from_json(found, str(self.path / file))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of the run, None if it is not there.

        Raises StorageError if it cannot be read as JSON.
        """
        path = self.path / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{path} cannot be read as JSON: {error}. Remove it and, where there is one, "
                f"summary.json beside it or above, and `qhyper resume {self.path}` makes them "
                "again."
            ) from error


def _text(config: Config) -> str:
    """A configuration as TOML; ConfigurationError for what no file can hold."""
    text = to_toml(config)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"Got {text.splitlines()[text.count(chr(10), 0, error.start)]!r}, with bytes that "
            "are no text in this system's encoding. Set PYTHONUTF8=1 in the environment, or "
            "rename the file."
        ) from error
    return text


class Metrics:
    """metrics.jsonl: append only, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Write the file anew with the rows that a checkpoint knows; later or torn ones go."""
        write_whole(self.path, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add rows at the end."""
        with storage(self.path), self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


class Checkpoints:
    """A folder of checkpoints, the last two kept; a name holds its file's SHA-256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step`, then drop all but the last two."""
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        with storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(data).hexdigest()[:16]
        write_whole(self.folder / f"step-{step:09d}-{digest}.pt", data)
        for old in self._files()[KEPT_CHECKPOINTS:]:
            with suppress(OSError):  # Windows keeps a file that is open elsewhere
                old.unlink(missing_ok=True)

    def load(self, warn: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest state that is whole, None if there is no checkpoint.

        `warn` hears of every damaged one. Raises StorageError if all are damaged.
        """
        import torch

        files = self._files()
        for file in files:
            with storage(file):
                data = file.read_bytes()
            if hashlib.sha256(data).hexdigest()[:16] == file.stem.split("-")[-1]:
                return torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            warn(f"The checkpoint {file} is damaged: its content does not match its checksum. "
                 "Using the one before.")  # fmt: skip
        if files:
            raise StorageError(
                f"All checkpoints in {self.folder} are damaged. Remove that folder to begin this "
                "entry again from its start."
            )
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*-*.pt"), reverse=True)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within, the first SIGINT or SIGTERM only sets a flag, which the yielded function returns.

    A second one acts as it would have before: whatever is slow to stop can be ended. So does the
    break key of Windows. In another thread than the main one, which hears no signals, none is set.
    """
    received: list[int] = []
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    watched = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        watched = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for watched_number, handler in before.items():
            signal.signal(watched_number, handler)

    found = {number: signal.signal(number, remember) for number in watched}
    before = {  # None is a handler that is not Python's, and cannot be had back
        number: signal.SIG_DFL if handler is None else handler for number, handler in found.items()
    }
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Installed versions of packages, None where missing."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def identity(config: Config | None = None) -> dict[str, str | None]:
    """What makes results the same wherever they are worked out: versions, and our own source.

    Those of searches as well, where the configuration asks for them.
    """
    searches = config is not None and config.tune is not None
    return {
        **versions((*PACKAGES, *OF_SEARCHES) if searches else PACKAGES),
        "python": platform.python_version(),
        "source": _source(),
    }


def begun_with(run: Run) -> dict[str, str | None]:
    """What `identity` was when a run began; None for a source that was not noted yet."""
    found = run.read_json(PROVENANCE)
    return {**found["versions"], "python": found["python"], "source": found.get("source")}


def provenance(seeds: list[int]) -> dict[str, Any]:
    """What a result came from; no environment variables."""
    return {
        "id": uuid.uuid4().hex,
        "utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git": _git_revision(),
        "source": _source(),
        "versions": versions((*PACKAGES, *OF_SEARCHES)),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "seed_entropy": seeds,
        "argv": [os.fsencode(argument).decode(errors="replace") for argument in sys.argv],
    }


@functools.cache
def _source() -> str:
    """A digest of our Python files: other than a revision, it is the same after any other change.

    As they were when it was first asked for: that is what this process has loaded.
    """
    root, found = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in ("qhyper", "classical"):
        for path in sorted(each for each in (root / package).rglob("*.py") if each.is_file()):
            found.update(f"{path.relative_to(root).as_posix()}\n".encode())
            found.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()[:16]


def _git_revision() -> dict[str, Any] | None:
    """Revision of the checkout that this package runs from, None for an installed one."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, encoding="utf-8",
            errors="replace", check=True,
        ).stdout.strip()  # fmt: skip

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here.parents[1]:
            return None
        return {
            "revision": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain")),
        }
    except (OSError, subprocess.CalledProcessError):
        return None
