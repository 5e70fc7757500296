"""Shards of one comparison, each with seeds of its own, as one run.

Random numbers belong to a seed (`qhyper.streams`), so what a seed finds does not depend on which
others are in its run. The last digits of its losses may: sums over seeds side by side are rounded
in an order that their number decides.
"""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from qhyper.errors import ConfigurationError, StorageError
from qhyper.report.results import Correlation, Curve, Result
from qhyper.run import tune as tuning
from qhyper.run.comparison import CERTIFICATE, Comparison, Plan, execute, plan, stored
from qhyper.run.config import Config
from qhyper.run.directory import DATA, OF_SEARCHES, RESULT, Metrics, Run, begun_with
from qhyper.run.places import PROVENANCE, without_folders
from qhyper.storage import storage, write_whole
from qhyper.targets.target import SAME_LOSS

OF_THE_RUN = {
    "seeds", "paid_shots", "max_cost", "max_jobs", "max_cost_per_day", "max_jobs_per_day",
}  # fmt: skip
"""Settings that shards need not share: no result of a seed depends on them."""
_BY_SEED = (
    "best_loss", "best_bits", "improvements", "held_out_loss", "train_accuracy", "test_accuracy",
    "final_loss", "final_losses", "final_risk",
)  # fmt: skip
_OF_A_SHARD = ("id", "utc", "seed_entropy", "system", "processor", "cores", "argv")
"""What the provenance of a merged run keeps of each shard's."""
_SHOWN = 3
"""Differences that an error lists."""


def merge(
    runs: Sequence[Run],
    root: Path,
    name: str = "merge",
    *,
    warn: Callable[[str], None] = print,
) -> Comparison:
    """A new run under `root` with the seeds of all `runs`, in ascending order; these stay as found.

    The times of steps are left out: nobody has timed all seeds together. So are the ledgers of
    quantum computers. Raises StorageError for a run that is not complete, or was made with other
    versions or other data than the first, ConfigurationError for other settings and for seeds that
    stand twice, and MissingError if the data are not there.
    """
    if len(runs) < 2:
        raise ConfigurationError(f"Got {len(runs)} run to merge; expected two or more.")
    outcomes = [stored(run) for run in runs]
    first = runs[0]
    for other, outcome in zip(runs[1:], outcomes[1:], strict=True):
        _check_same_settings(first, other)
        _check_same_versions(first, other)
        _check_same_data(first, other)
        _check_same_searches(first, outcomes[0], other, outcome)
    seeds = _seeds(runs)
    order = np.argsort(seeds, kind="stable").tolist()
    results = [
        merged([outcome.results[index] for outcome in outcomes], order)
        for index in range(len(outcomes[0].results))
    ]
    made = plan(first.found_config, warn)
    allowed = dict.fromkeys(OF_THE_RUN, None) | {"seeds": sorted(seeds)}
    config = made.config.model_copy(update=allowed)
    run = Run.create(root, name, config)
    run.write(PROVENANCE, json.dumps(_provenance(run, runs), indent=2))
    for file in (DATA, CERTIFICATE):
        if (first.path / file).is_file():
            with storage(first.path / file):
                run.write(file, (first.path / file).read_text("utf-8"))
    tuned = outcomes[0].summary.tuning
    if tuned is not None and (first.path / tuning.FOLDER).is_dir():
        with storage(run.path):
            shutil.copytree(first.path / tuning.FOLDER, run.path / tuning.FOLDER)
    for trial, result in zip(made.trials, results, strict=True):
        folder = run.path / trial.entry.folder
        with storage(folder):
            folder.mkdir()
        if trial.generator is not None:
            parameters = {name for name, _ in trial.generator.named_parameters()}
            _merge_generators(runs, trial.entry.folder, order, parameters, folder)
            _merge_metrics(runs, trial.entry.folder, order, folder)
        told = result.to_json()
        del told["seconds_per_step"]
        write_whole(folder / RESULT, json.dumps(told).encode())
    # every result is there: nothing is carried out, all is summed up and written
    return execute(run, Plan(config, made.problem, made.trials, tuned), warn=warn)


def merged(results: Sequence[Result], order: Sequence[int]) -> Result:
    """The results of one entry as one; `order` puts the seeds, one shard after another, in order.

    Raises ConfigurationError if they differ in what all seeds share, as what they have spent.
    """
    first = results[0]
    apart = {"seeds", "curve", "correlation", "seconds_per_step", *_BY_SEED}
    shared = [field.name for field in fields(Result) if field.name not in apart]
    for other in results[1:]:
        _check_alike(first.name, {n: (getattr(first, n), getattr(other, n)) for n in shared})
    return replace(
        first,
        seeds=_concatenated(results, "seeds", order),
        seconds_per_step=[],
        curve=_merged_curve(first.name, [result.curve for result in results], order),
        correlation=_merged_correlation(
            first.name, [result.correlation for result in results], order
        ),
        **{name: _concatenated(results, name, order) for name in _BY_SEED},
    )


def _merged_curve(entry: str, curves: Sequence[Curve], order: Sequence[int]) -> Curve:
    first = curves[0]
    for other in curves[1:]:
        spent = {n: (list(v), list(getattr(other, n))) for n, v in vars(first).items()}
        del spent["mean_loss"]
        _check_alike(entry, spent)
    return replace(first, mean_loss=_concatenated(curves, "mean_loss", order))


def _merged_correlation(
    entry: str, found: Sequence[Correlation | None], order: Sequence[int]
) -> Correlation | None:
    if all(each is None for each in found):
        return None
    if any(each is None for each in found):
        raise ConfigurationError(
            f"'{entry}' has a total correlation in some of the runs and none in others."
        )
    names = (field.name for field in fields(Correlation))
    return Correlation(**{name: _concatenated(found, name, order) for name in names})


def _concatenated(parts: Sequence[Any], name: str, order: Sequence[int]) -> Any:
    """A field [seed] of all parts, in order; None where all have none."""
    values = [getattr(part, name) for part in parts]
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        raise ConfigurationError(
            f"Some of the runs have measured {name}, and others have not. They cannot be merged."
        )
    together = [one for value in values for one in value]
    return [together[index] for index in order]


def _check_alike(entry: str, pairs: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (one, other) in pairs.items():
        if one != other:
            raise ConfigurationError(
                f"'{entry}' differs between the runs in what all seeds share, {name}: got "
                f"{_short(one)} and {_short(other)}. Trainings that end by the clock cannot be "
                "merged; carry others out anew, with the same settings and versions."
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# -- what shards have to share ---------------------------------------------------------------------


def _check_same_settings(first: Run, other: Run) -> None:
    one, two = _settings(first.config), _settings(other.config)
    differing = [
        f"{key} {one.get(key, 'unset')!r} (there {two.get(key, 'unset')!r})"
        for key in dict.fromkeys([*one, *two])
        if one.get(key, ...) != two.get(key, ...)
    ]
    if differing:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise ConfigurationError(
            f"{first.path} has other settings than {other.path}: {', '.join(differing[:_SHOWN])}"
            f"{more}. Only runs that differ in nothing but their seeds can be merged."
        )


def _settings(config: Config) -> dict[str, Any]:
    """Every setting but the seeds by its path, with the names of files without their folders."""
    told = without_folders(config).model_dump(exclude=OF_THE_RUN | {"entries"})
    entries = {entry.title: entry.model_dump(exclude={"label"}) for entry in config.entries or []}
    return dict(_flat({**told, "entries": list(entries), **entries}, ""))


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif value is not None:
            yield f"{before}{key}", value


def _check_same_versions(first: Run, other: Run) -> None:
    for run in (first, other):
        if noted := run.read_json(PROVENANCE).get("gone_on_with"):
            raise StorageError(
                f"{run.path} was gone on with by other versions or sources than it began with "
                f"({noted[0]}). Results would not be comparable. Carry it out anew."
            )
    one, two = _versions(first), _versions(other)
    differing = [
        f"{name} {one.get(name)} (there {two.get(name)})"
        for name in dict.fromkeys([*one, *two])
        if one.get(name) != two.get(name)
    ]
    if differing:
        raise StorageError(
            f"{first.path} was made with other versions than {other.path}: {', '.join(differing)}. "
            "Results would not be comparable. Carry one of them out anew."
        )


def _versions(run: Run) -> dict[str, Any]:
    same = {name: one for name, one in begun_with(run).items() if name not in OF_SEARCHES}
    code = run.read_json(PROVENANCE).get("code") or {}
    return same | {f"the source of {name}": sha for name, sha in code.items()}


def _check_same_data(first: Run, other: Run) -> None:
    one, two = ((run.read_json(DATA) or {}).get("sha256") for run in (first, other))
    if one != two:
        raise StorageError(
            f"{first.path} has other data than {other.path}: got SHA-256 {one} and {two}."
        )
    certified = [(run.read_json(CERTIFICATE) or {}).get("certificate") for run in (first, other)]
    minima: list[Any] = [None if found is None else found["minimum_loss"] for found in certified]
    if minima[0] != minima[1] and (None in minima or abs(minima[0] - minima[1]) > SAME_LOSS):
        raise StorageError(
            f"{first.path} has another certified minimum than {other.path}: got {minima[0]} and "
            f"{minima[1]}. Their objectives are not the same."
        )


def _check_same_searches(first: Run, one: Comparison, other: Run, two: Comparison) -> None:
    if one.summary.tuning != two.summary.tuning:
        raise ConfigurationError(
            f"The entries of {first.path} have searched otherwise than those of {other.path}: "
            f"{_short(one.summary.tuning)} and {_short(two.summary.tuning)}. Search once, and give "
            "the shards the entries of that run's config.toml, without its table [tune]."
        )


def _seeds(runs: Sequence[Run]) -> list[int]:
    """The seeds of all runs, one after another."""
    found: dict[int, Run] = {}
    for run in runs:
        for seed in run.config.seeds:
            if seed in found:
                raise ConfigurationError(
                    f"The seed {seed} stands twice, in {found[seed].path} and {run.path}. Give "
                    "each shard seeds of its own: --seeds 0,1,2 and --seeds 3,4,5."
                )
            found[seed] = run
    return list(found)


# -- files -----------------------------------------------------------------------------------------


def _provenance(run: Run, runs: Sequence[Run]) -> dict[str, Any]:
    """Of a merged run: the versions are those that the shards were made with."""
    shards = [each.read_json(PROVENANCE) for each in runs]
    made, git = run.read_json(PROVENANCE), shards[0].get("git")
    if git is not None:
        git = git | {"dirty": any((shard.get("git") or {}).get("dirty") for shard in shards)}
    same = {key: shards[0].get(key) for key in ("versions", "python", "source", "code")}
    merged = {
        str(each.path.resolve()): {key: shard.get(key) for key in _OF_A_SHARD}
        for each, shard in zip(runs, shards, strict=True)
    }
    return {**made, **same, "git": git, "merged": merged}


def _merge_generators(
    runs: Sequence[Run], entry: str, order: Sequence[int], parameters: set[str], folder: Path
) -> None:
    """The trained generators of all shards as one, if every shard has its own.

    Parameters have a first axis of replicas; so have buffers that are not the same in all.
    """
    import torch

    files = [run.path / entry / "generator.pt" for run in runs]
    if not all(file.is_file() for file in files):
        return
    states = [torch.load(file, weights_only=True, map_location="cpu") for file in files]
    chosen = torch.tensor(order)
    together = {
        name: torch.cat([state[name] for state in states])[chosen]
        if name in parameters or any(not torch.equal(state[name], tensor) for state in states)
        else tensor
        for name, tensor in states[0].items()
    }
    buffer = io.BytesIO()
    torch.save(together, buffer)
    write_whole(folder / "generator.pt", buffer.getvalue())


def _merge_metrics(runs: Sequence[Run], entry: str, order: Sequence[int], folder: Path) -> None:
    """The points of learning curves of all shards as one file, if every shard has its own."""
    files = [run.path / entry / "metrics.jsonl" for run in runs]
    if not all(file.is_file() for file in files):
        return
    shards = []
    for file in files:
        with storage(file):
            shards.append([json.loads(line) for line in file.read_text("utf-8").splitlines()])
    rows = []
    for points in zip(*shards, strict=True):
        row = dict(points[0])
        for name in ("mean_loss", "best_loss"):
            together = [one for point in points for one in point[name]]
            row[name] = [together[index] for index in order]
        rows.append(row)
    Metrics(folder / "metrics.jsonl").write(rows)
