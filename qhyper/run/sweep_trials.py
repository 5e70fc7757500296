"""The trials of a sweep: what tells one from another, and a result that several points share.

A point is a whole comparison, and many of its entries do not have the setting that sets it apart
from another: their trials are the same, and are carried out once. So are those of points that a
sweep has gone over before under other names, as without an entry that was added.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from qhyper.errors import StorageError
from qhyper.run.config import OF_PROBLEM, Config, Entry, to_toml
from qhyper.run.directory import DATA, SECONDS, Run
from qhyper.run.lease import Leases
from qhyper.run.places import PROVENANCE, without_folders
from qhyper.run.trials import task_of
from qhyper.run.work import Task
from qhyper.storage import storage, write_whole


def tasks_of(run: Run, digest: str | None) -> dict[Task, str]:
    """The entries of a point's run, as tasks that any process can carry out.

    With each goes a digest of what its result depends on: tasks of one digest have the same.
    `digest` is that of the problem's data.
    """
    text, name = to_toml(run.found_config), f"{run.path.parent.name} {run.path.name} "
    code = run.read_json(PROVENANCE).get("code")
    return {
        task_of(run, entry, text, digest, before=name): alike(run.config, entry, digest, code)
        for entry in run.config.entries or []
    }


def done_in(run: Run) -> dict[str, Task]:
    """The trials of a run whose results are there, by their digests, wherever its data are now."""
    told, digest = run.read_json(PROVENANCE), (run.read_json(DATA) or {}).get("sha256")
    tasks = {entry.title: task_of(run, entry, "", digest) for entry in run.config.entries or []}
    return {
        alike(run.config, entry, digest, told.get("code")): tasks[entry.title]
        for entry in run.config.entries or []
        if tasks[entry.title].done
    }


def alike(config: Config, entry: Entry, digest: str | None, code: Mapping[str, str] | None) -> str:
    """A digest of what the result of an entry depends on, beside versions.

    `digest` is that of the problem's data, and `code` of modules of the user's own.
    """
    about: list[Any] = [
        without_folders(config).model_dump(include=OF_PROBLEM), digest, code,
        config.budget.limits(), config.seeds, config.device, entry.model_dump(exclude={"label"}),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def share(tasks: Mapping[Task, str], others: Iterable[Run]) -> None:
    """Give every task that is not done the result of one with the same digest, if one is.

    Looked for among `tasks`, and among the trials of `others`. What another process works on is
    left to it.
    """
    missing = {digest for task, digest in tasks.items() if not task.done}
    if not missing:
        return
    done = {digest: task for task, digest in tasks.items() if task.done}
    if not missing <= set(done):
        for run in others:
            done |= done_in(run)
    with Leases() as leases:
        for task, digest in tasks.items():
            if digest not in done or task.done:
                continue
            if (lease := leases.claim(task.folder)) is not None:
                if not task.done:
                    _copy(done[digest], task)
                leases.close(lease)


def firsts(tasks: Mapping[Task, str]) -> list[Task]:
    """Of those that are not done, one of each digest: the same whoever asks."""
    found: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda each: each.folder):
        if not task.done:
            found.setdefault(tasks[task], task)
    return [task for task in tasks if found.get(tasks[task]) is task]


def _copy(one: Task, other: Task) -> None:
    """Give a task the files of another, with its own name; the result last."""
    _, title, _ = other.about
    for path in (one.folder / name for name in ("metrics.jsonl", "generator.pt", SECONDS)):
        if path.is_file():
            with storage(path):
                write_whole(other.folder / path.name, path.read_bytes())
    with storage(one.result):
        text = one.result.read_bytes()
    try:
        result = {**json.loads(text), "name": title}
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{one.result} cannot be read as JSON: {error}. Remove it, and the same command works "
            "it out again."
        ) from error
    write_whole(other.result, json.dumps(result).encode())
