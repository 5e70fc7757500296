"""Running the parts of a study: side by side, each stored when it is done, never twice.

<out>/
  provenance.json     where the results come from, and the wall seconds that they took
  parts/<part>.json   seconds and result of each part
  claims/<part>/      the claim of the process that works on it, or why it was given up
  results.md, *.svg   the tables and pictures, made when all parts are there
"""

import hashlib
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import classical
import qhyper
from experiments.study import Study
from qhyper.errors import Interrupted, QhyperError, StorageError
from qhyper.run.directory import provenance, stop_on_signals, versions
from qhyper.run.processes import METHOD, Processes
from qhyper.run.work import Failure, Progress, Stop, Task, Warn, carry_out
from qhyper.storage import storage, write_whole
from qhyper.threads import one_blas_thread, one_torch_thread

BEGIN, END = "<!-- results -->", "<!-- /results -->"
"""Lines of a README.md between which the published tables stand."""

PACKAGES = tuple(Path(package.__file__ or "").parent for package in (qhyper, classical))
"""Folders of the sources that results depend on, beside the study's own."""

_SAME = {
    "study": "study",
    "quick": "setting (with or without --quick)",
    "sources": "state of the sources",
    "versions": "set of package versions",
}
"""What all results in a folder have in common, in provenance.json and in words."""
PRESENTATION = ("tables.py", "pictures.py")
"""Modules of a study that show results and do not make them: they may change after a run."""


def run(study: Study, out: Path, *, quick: bool, workers: int) -> dict[str, Any]:
    """Results of all parts, by name; those that `out` does not hold yet are worked out.

    Raises StorageError if `out` holds anything but results of the same study, setting, sources and
    packages, or something damaged; Interrupted after a signal; what the study's `prepare` raised,
    before any part; and what a part raised, once all others have ended. Whatever was finished is
    kept.
    """
    names, record = list(study.parts(quick)), _opened(study, out, quick)
    stored = _stored(out, names)
    missing = [name for name in names if name not in stored]
    if missing:
        _work_off(study, out, missing, record, min(workers, len(missing)))
        stored = _stored(out, names)
    return {name: stored[name]["result"] for name in names}


def report(study: Study, out: Path) -> str:
    """Tables of a complete run, under a line on where they come from; in results.md too.

    Draws the pictures in `out`. Raises StorageError if a part is missing or damaged.
    """
    record = _record(out)
    if record is None or record["study"] != study.name:
        raise StorageError(f"{out} holds no results of the study '{study.name}'. Use `run` first.")
    names = list(study.parts(record["quick"]))
    parts = _stored(out, names)
    missing = [name for name in names if name not in parts]
    if missing:
        raise StorageError(
            f"{out} is not complete: it lacks {', '.join(missing)}. Use `run` first."
        )
    results = {name: parts[name]["result"] for name in names}
    git = record["git"] or {"revision": "unknown", "dirty": False}
    seconds = record.get("prepare_seconds", 0.0) + sum(part["seconds"] for part in parts.values())
    line = (
        f"{seconds:,.0f} seconds of work in "
        f"{record['wall_seconds']:,.0f}{', quick setting' if record['quick'] else ''}; revision "
        f"{git['revision'][:10]}{' with changes' if git['dirty'] else ''}; {record['system']}, "
        f"{record['processor']}, {record['cores']} cores."
    )
    text = f"{line}\n\n{study.module.tables(results).strip()}\n"
    write_whole(out / "results.md", f"# {study.module.TITLE}\n\n{text}".encode())
    study.module.draw(results, out)
    return text


def publish(study: Study, out: Path) -> None:
    """Put the tables of a complete full run into the study's README.md, and its pictures beside.

    Raises StorageError if the run is quick, of other sources or not complete, or the README has no
    place for tables.
    """
    record = _record(out)
    if record is not None and record["quick"]:
        raise StorageError(f"{out} is a quick run. Publish a full one: `run` without --quick.")
    same = record is not None and record["study"] == study.name
    if same and record["sources"] != _source(study, False)["sources"]:
        raise StorageError(
            f"The sources have changed since {out} was run. `run` with another --out, and publish "
            "that."
        )
    readme = study.folder / "README.md"
    with storage(readme):
        lines = readme.read_text(encoding="utf-8").splitlines()
    if [line for line in lines if line in (BEGIN, END)] != [BEGIN, END]:
        raise StorageError(
            f"{readme} has no place for the tables. Put in the lines {BEGIN} and {END}, once each."
        )
    text = report(study, out)
    above, below = lines[: lines.index(BEGIN) + 1], lines[lines.index(END) :]
    write_whole(readme, "\n".join([*above, "", text, *below, ""]).encode())
    for picture in sorted(out.glob("*.svg")):
        write_whole(study.folder / picture.name, picture.read_bytes())


# -- the folder of results -------------------------------------------------------------------------


def sources(study: Study) -> str:
    """A digest of all sources that results of the study depend on."""
    digest = hashlib.sha256()
    for folder in (study.folder, *PACKAGES):
        for path in sorted(folder.rglob("*.py")):
            if folder == study.folder and path.name in PRESENTATION:
                continue
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in study.shared:
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _source(study: Study, quick: bool) -> dict[str, Any]:
    """What results of the parts depend on."""
    return {"study": study.name, "quick": quick, "sources": sources(study),
            "versions": versions()}  # fmt: skip


def _opened(study: Study, out: Path, quick: bool) -> dict[str, Any]:
    """The provenance of `out`, made if it is not there; StorageError if it is of something else."""
    source, record = _source(study, quick), _record(out)
    if record is None:
        with storage(out):
            out.mkdir(parents=True, exist_ok=True)
            foreign = any(out.iterdir())
        if foreign:
            raise StorageError(
                f"{out} holds files that are no results of a study. Choose another folder with "
                "--out."
            )
        record = provenance([]) | source | {"wall_seconds": 0.0}
        _write(out / "provenance.json", record)
    other = [what for key, what in _SAME.items() if record[key] != source[key]]
    if other:
        raise StorageError(
            f"{out} holds results of another {' and another '.join(other)}, and these are never "
            "mixed. Choose another folder with --out, or remove this one."
        )
    with storage(out):
        (out / "parts").mkdir(exist_ok=True)
    return record


def _record(out: Path) -> dict[str, Any] | None:
    path = out / "provenance.json"
    advice = "Remove the folder, or choose another with --out."
    return _read(path, {*_SAME, "wall_seconds"}, advice) if path.exists() else None


def _stored(out: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Seconds and results of the named parts that are there."""
    paths = {name: _path(out, name) for name in names}
    advice = "Remove it, and `run` works it out again."
    return {
        name: _read(path, {"seconds", "result"}, advice)
        for name, path in paths.items()
        if path.exists()
    }


def _path(out: Path, name: str) -> Path:
    return out / "parts" / f"{name}.json"


def _read(path: Path, keys: set[str], advice: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} is damaged: {error}. {advice}") from error
    if not isinstance(found, dict) or not keys <= set(found):
        raise StorageError(f"{path} is damaged: expected {', '.join(sorted(keys))}. {advice}")
    return found


def _write(path: Path, data: dict[str, Any]) -> None:
    write_whole(path, json.dumps(data, indent=2).encode())


# -- side by side ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Works a part of a study out, wherever that is."""

    study: Path
    quick: bool

    def __call__(self, task: Task, stop: Stop, progress: Progress, warn: Warn) -> bytes:
        """Seconds and result, as JSON."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # parts do not ask whether to stop
        warn(f"{task.name}: begun")
        work = Study(self.study).parts(self.quick)[task.name]
        with one_torch_thread():
            began = time.perf_counter()
            result = work()
            seconds = time.perf_counter() - began
        return json.dumps({"seconds": seconds, "result": result}).encode()


def _work_off(
    study: Study, out: Path, missing: list[str], record: dict[str, Any], workers: int
) -> None:
    """Work out and store the missing parts, so many at a time; `record` learns the wall seconds.

    A part that fails is told of; the others go on, and the first failure is raised at the end.
    """
    began, before, left = time.perf_counter(), record["wall_seconds"], len(missing)
    stopped = Interrupted(
        f"Stopped by a signal; finished parts are kept in {out}. Go on with the same command."
    )
    if METHOD == "fork" and study.prepare is not None:
        _say("what parts share: begun")
        try:
            with one_torch_thread(), one_blas_thread():  # as parts have
                study.prepare(missing)
        except KeyboardInterrupt:
            raise stopped from None
        taken = time.perf_counter() - began
        record["prepare_seconds"] = record.get("prepare_seconds", 0.0) + taken
    tasks = [Task(name, out / "claims" / name, _path(out, name)) for name in missing]
    for task in tasks:
        task.retry()
    failures: list[Failure] = []
    executor = Processes(workers, progress=lambda *told: None, warn=_say, confined=True)
    with stop_on_signals() as stop:
        try:
            for ended in carry_out(
                tasks, _Part(study.folder, record["quick"]), executor, stop=stop
            ):
                left -= 1
                if isinstance(ended, Failure):
                    _say(f"{ended.task.name}: {ended.reason}")
                    failures.append(ended)
                    continue
                seconds = _stored(out, [ended.name])[ended.name]["seconds"]
                _say(f"{ended.name}: done in {seconds:.1f} s, {left} left")
                record["wall_seconds"] = before + time.perf_counter() - began
                _write(out / "provenance.json", record)
        except Interrupted:
            raise stopped from None
    if failures:
        names = ", ".join(failure.task.name for failure in failures)
        raise failures[0].error or QhyperError(
            f"Given up: {names}. What is finished is kept in {out}; the same command tries again."
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
