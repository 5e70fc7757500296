"""Compare generators and controls on one objective, at the same budget, over the same seeds."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qhyper.arrays import counted
from qhyper.data.samples import Samples, Targets
from qhyper.errors import ConfigurationError, StorageError, UnsuitableError
from qhyper.progress import Progress, shown
from qhyper.quantum.backends import is_cloud
from qhyper.report.page import fragment, page
from qhyper.report.plot import Plot
from qhyper.report.plots import plots
from qhyper.report.results import Result, Spectrum
from qhyper.report.summary import Summary, summarise
from qhyper.report.tidy import as_frame, tidy
from qhyper.report.tuning import Searches
from qhyper.run import cautions
from qhyper.run import tune as tuning
from qhyper.run.config import COMPARED, DEFAULT_PAID_SHOTS, FULL_SIZE, Config, Entry
from qhyper.run.directory import DATA, RESULT, SO_FAR, SUMMARY, Run, begun_with, identity
from qhyper.run.lock import alone, at_work, unless_others
from qhyper.run.own_code import code_of
from qhyper.run.places import PROVENANCE, absolute
from qhyper.run.problem import Problem, build_problem
from qhyper.run.tested import Pair, chosen_pairs, default_pairs
from qhyper.run.trials import Where, help_out, results_of
from qhyper.targets.exact.certificate import nearest_provable
from qhyper.targets.exact.unasked import UNASKED_BITS, certify_unasked
from qhyper.targets.layered.network import HIDDEN
from qhyper.targets.target import SAME_LOSS, Objective
from qhyper.training.search import is_control
from qhyper.training.settings import BUDGETS
from qhyper.training.space import Tuning

if TYPE_CHECKING:  # torch takes its time: what can be refused without it is
    from pandas import DataFrame

    from qhyper.hypernetwork import HyperNetwork
    from qhyper.run.trial import Trial

CERTIFICATE = "certificate.json"
_SHOWN = 9
"""Entries that are named when a plan is printed."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison."""

    summary: Summary
    """certificate, figures of merit of each entry, paired tests"""
    results: list[Result]
    """of each trial: every seed's losses, best bitstring, learning curve"""
    spectrum: Spectrum | None
    """the losses of all bitstrings, where there is a certificate"""
    run: Run | None = field(default=None, compare=False)
    """where it is kept"""

    def __repr__(self) -> str:
        kept = "" if self.run is None else f"\n  kept in {self.run.path}"
        return f"Comparison {self.summary.brief()}{kept}"

    def tidy(self) -> list[dict[str, Any]]:
        """One row a seed and entry; see `qhyper.report.tidy`."""
        if self.run is None:
            return tidy(self.summary, self.results)
        where = str(self.run.path.resolve())
        return tidy(self.summary, self.results, run=where, name=self.run.name)

    def to_pandas(self) -> "DataFrame":
        """The same as a data frame; MissingError without the extra `data`."""
        return as_frame(self.tidy())

    def to_json(self) -> dict[str, Any]:
        """The summary, with the run's path and every seed's values: what `--json` prints."""
        where = None if self.run is None else str(self.run.path.resolve())
        return self.summary.to_json() | {"run": where, "results": self.tidy()}

    def figures(self) -> dict[str, Plot]:
        """Figures by name: "learning", "hits" or, without certificate, "best", and "draws".

        A notebook draws one; `figure.svg` is it as text, and `figure.csv()` what it shows.
        """
        return plots(self.summary, self.results, self.spectrum)

    def _repr_html_(self) -> str:
        """The table, tested pairs and figures, as a notebook shows them."""
        return fragment(self.summary, self.results, self.spectrum)


@dataclass(frozen=True, eq=False)
class Plan:
    """A configuration in full, with the problem and the trials that are made of it, once."""

    config: Config
    problem: Problem
    trials: "list[Trial]"
    tuning: Searches | None = None
    """what the entries' settings were found by, once they are"""

    def __repr__(self) -> str:
        names = [trial.entry.title for trial in self.trials]
        more = ", …" * (len(names) > _SHOWN)
        return (
            f"Plan of {', '.join(names[:_SHOWN])}{more}\n"
            f"  on {self.problem.name}, {self.problem.objective.subject}; {self.config.budget} for "
            f"each of {counted(len(self.config.seeds), 'seed')}"
        )

    def outlook(self) -> list[dict[str, Any]]:
        """What each entry would spend, in words; nothing is run."""
        return [trial.outlook() | self.searched for trial in self.trials]

    @property
    def searched(self) -> dict[str, str]:
        """What each entry's search of settings would spend, in words; nothing without one."""
        return tuning.outlook(self.config)

    @property
    def times(self) -> float:
        """How many trainings as long as the comparison's an entry takes, its search with it."""
        return 1.0 + tuning.trainings(self.config)


def compare(
    objective: Objective,
    entries: Iterable[str | Entry] | None = None,
    *,
    seeds: Sequence[int] = tuple(range(10)),
    evaluations: int | None = None,
    shots: int | None = None,
    circuits: int | None = None,
    rows: int | None = None,
    device: str = "cpu",
    test: Samples | None = None,
    watch: Objective | None = None,
    name: str = "own data",
    temperature: float = 0.05,
    paid_shots: int | None = None,
    tests: Sequence[str] | None = None,
    tune: Tuning | None = None,
    run: Run | None = None,
    processes: int = 1,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | Literal[False] | None = None,
    warn: Callable[[str], None] = print,
) -> Comparison:
    """Train every entry on `objective` with the same budget and measure it.

    - entries: registered names, `module:Class`, or `Entry` with options and training settings;
      unless told, those of `COMPARED` that the objective admits
    - evaluations, shots, circuits, rows: the budget of each seed, in one of them or several; what
      is usual for the objective unless told
    - device: where generators compute, cpu or cuda
    - test: rows for the test accuracy
    - watch: the objective on held-out rows, by which networks are chosen where training sees
      mini-batches
    - name: what the data are called in tables
    - temperature: of the certificate's log Z, in the unit of the loss
    - paid_shots: how many shots quantum computers may be sent in all, 100,000 unless told
    - tests: pairs of entries, "A:B", that are tested against one another; every entangled circuit
      with the same without entanglement, and with the best classical entry, unless told
    - tune: how every entry searches its settings before, on other seeds; as they stand unless told
    - run: finished entries are taken from it, and the rest is checkpointed in it
    - processes: how many entries are carried out side by side, each by one thread; the results are
      the same for any number
    - stop: once it returns true, Interrupted is raised, after a checkpoint
    - progress: called with an entry's title, how much of its budget is spent, and all of it; unless
      told, a notebook shows it by itself and a script is silent; False is silent everywhere
    - warn: called with what a reader should know, in words; printed unless told, and kept in
      `summary.warnings` where it is about the results

    Raises ConfigurationError before anything runs if something cannot work.
    """
    if not hasattr(objective, "capabilities"):
        raise ConfigurationError(
            f"Got {type(objective).__name__} as the objective; expected an Objective, such as "
            "network.objective(data.train), or Objective(function, n_bits) of your own function."
        )
    if isinstance(entries, str):
        entries = [entries]
    if isinstance(tests, str):
        tests = [tests]
    if isinstance(seeds, int):
        raise ConfigurationError(f"Got seeds={seeds}; expected a list of them, or range({seeds}).")
    named = None if entries is None else [
        Entry(name=entry) if isinstance(entry, str) else entry for entry in entries
    ]  # fmt: skip
    config = Config(
        seeds=list(seeds), evaluations=evaluations, shots=shots, circuits=circuits, rows=rows,
        device=device, temperature=temperature, entries=named, paid_shots=paid_shots,
        tests=None if tests is None else list(tests), tune=tune,
    )  # fmt: skip
    problem = Problem(objective, watch, test, name)
    config = _with_budget(config, problem)
    trials = _trials(problem, config, warn)
    config = config if tune is None else tuning.checked(config, trials)
    _chosen_pairs(trials, config)
    _check_paid_shots(trials, config)
    made = Plan(config, problem, trials)
    with nullcontext() if run is None else alone(run.path):
        where = Where(processes)
        return _carry_out(made, run, where, stop=stop, progress=progress, warn=warn)


def _carry_out(
    plan: Plan,
    run: Run | None,
    where: Where,
    *,
    stop: Callable[[], bool],
    progress: Progress | Literal[False] | None,
    warn: Callable[[str], None],
) -> Comparison:
    """Train and search all that is not finished yet, and sum it up."""
    titles = [trial.entry.title for trial in plan.trials]
    with shown(progress, "compare", titles=titles) as show:
        return _worked_out(plan, run, where, stop=stop, progress=show, warn=warn)


def _worked_out(
    plan: Plan,
    run: Run | None,
    where: Where,
    *,
    stop: Callable[[], bool],
    progress: Progress,
    warn: Callable[[str], None],
) -> Comparison:
    problem = plan.problem
    warnings = cautions.before(problem) + ([] if run is None else _gone_on_with(run))
    for warning in warnings:
        warn(warning)
    plan = _tuned(plan, run, where, stop=stop, progress=progress, warn=warn)
    config = plan.config
    if run is not None and plan.tuning is not None:
        run.configure(run.config.model_copy(update={"entries": config.entries}))
    certified = _certificate(problem, config.temperature, run, progress, warn)
    results = results_of(config, plan.trials, run, where, stop=stop, progress=progress, warn=warn)
    outcome = _summed_up(plan, run, results, certified, warnings)
    if run is None:  # there is no command that prints the outcome, nor a page
        for warning in outcome.summary.warnings[len(warnings) :]:
            warn(warning)
    return outcome


def _summed_up(
    plan: Plan,
    run: Run | None,
    results: list[Result],
    certified: tuple[dict[str, Any] | None, Spectrum | None, str | None],
    warnings: list[str],
) -> Comparison:
    """The outcome of results: of all entries, or of those that there are."""
    (certificate, spectrum, reason), problem = certified, plan.problem
    if certificate is not None and (refuted := _refuted(certificate, results)):
        certificate, spectrum, reason = None, None, refuted
        if run is not None:
            (run.path / CERTIFICATE).unlink(missing_ok=True)
    summary = summarise(
        results, certificate=certificate, no_certificate=reason, data=problem.name,
        network=problem.objective.subject, loss=problem.objective.loss,
        budget=plan.config.budget.limits(),
        warnings=warnings + cautions.after(problem, results, certificate),
        pairs=_pairs(plan, results), tuning=plan.tuning,
    )  # fmt: skip
    return Comparison(summary, results, spectrum, run)


def _tuned(plan: Plan, run: Run | None, where: Where, *, again: bool = True, **told: Any) -> Plan:
    """The plan with the settings that its entries search first, if they are to."""
    if plan.config.tune is None or plan.tuning is not None:
        return plan
    with TemporaryDirectory(prefix="qhyper-") if run is None else nullcontext(run.path) as place:
        folder = Path(place) / tuning.FOLDER
        config, searches = tuning.tuned(
            plan.config, plan.problem, plan.trials, folder, where, again=again, **told
        )
    return replace(
        plan, config=config, trials=_trials(plan.problem, config, told["warn"]), tuning=searches
    )


def _chosen_pairs(trials: "Sequence[Trial]", config: Config) -> list[Pair] | None:
    """The pairs that were asked for; ConfigurationError for what is none."""
    if config.tests is None:
        return None
    return chosen_pairs(config.tests, [trial.entry.title for trial in trials], len(config.seeds))


def _pairs(plan: Plan, results: Sequence[Result]) -> list[Pair]:
    """Those that were asked for, or else the default ones; of entries with results."""
    asked, names = _chosen_pairs(plan.trials, plan.config), {result.name for result in results}
    if asked is not None:
        return [pair for pair in asked if names.issuperset(pair)]
    return default_pairs([t for t in plan.trials if t.entry.title in names], results)


def plan(
    config: Config,
    warn: Callable[[str], None] = print,
    *,
    problem: Problem | None = None,
    combined: bool = False,
    paid: bool = False,
) -> Plan:
    """What a configuration asks for, in full: which entries, each with every training setting.

    `problem` is the configuration's, if it is at hand.
    Entries that were `combined` from lists are left out where they cannot work, as the defaults
    are, and `warn` hears why. With `paid` the shot budget is as large as quantum computers need.
    Raises ConfigurationError or MissingError if something else cannot work, or if nothing is left.
    """
    config = absolute(config)  # found from wherever the run is resumed
    problem = build_problem(config) if problem is None else problem
    if problem.dataset is not None:  # said, if only by default
        config = config.model_copy(update={"data": config.data})
    config = _with_budget(config, problem)
    trials = _trials(problem, config, warn, combined)
    config = config if config.tune is None else tuning.checked(config, trials)
    _chosen_pairs(trials, config)
    if paid and any(trial.paid for trial in trials):
        needed = sum(trial.paid_shots for trial in trials)
        config = config.model_copy(update={"paid_shots": max(needed, config.paid_shots or 0)})
    _check_paid_shots(trials, config)
    config = config.model_copy(update={"entries": [trial.entry for trial in trials]})
    return Plan(config, problem, trials)


def _with_budget(config: Config, problem: Problem) -> Config:
    """With the budget that is usual for the objective, if none is set."""
    if any(getattr(config, name) is not None for name in BUDGETS):
        return config
    return config.model_copy(update=dict(problem.objective.usual_budget))


def execute(
    run: Run,
    made: Plan | None = None,
    *,
    processes: int = 1,
    scheduler: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | Literal[False] | None = None,
    warn: Callable[[str], None] = print,
) -> Comparison:
    """Carry out what a run directory's configuration asks for, from where it was left.

    `made` is the plan that the run directory was created with, if it is still at hand. `processes`,
    `progress` and `warn` are as for `compare`; `scheduler` is the address of one of
    dask.distributed, whose workers are to carry the entries out instead. Writes report.html and,
    last, summary.json. A complete run is read, not carried out again. Raises StorageError, too, if
    another process is at work on the run.
    """
    if run.complete:
        return stored(run)
    with alone(run.path):
        if run.complete:  # by now
            return stored(run)
        if made is None:
            made = plan(run.found_config, warn)
        if run.config.entries is None:  # made by hand, not by a plan
            run.configure(made.config)
        check_same_data(run, made.problem)
        where = Where(processes, scheduler)
        outcome = _carry_out(made, run, where, stop=stop, progress=progress, warn=warn)
        write_report(run, outcome)
        _write_summary(run, outcome)
    return outcome


def finish(
    run: Run,
    made: Plan,
    *,
    progress: Progress = lambda title, spent, total: None,
    warn: Callable[[str], None] = print,
) -> None:
    """Sum up what is done of a run; nothing is carried out, and no page written.

    Of a run of which every entry is done that is its end, as `execute` writes it.
    """
    with alone(run.path):
        check_same_data(run, made.problem)
        found = [run.read_result(trial.entry.folder) for trial in made.trials]
        results = [result for result in found if result is not None]
        if not results:
            return
        certified = _certificate(made.problem, made.config.temperature, run, progress, warn)
        outcome = _summed_up(made, run, results, certified, cautions.before(made.problem))
        if len(results) == len(found):
            _write_summary(run, outcome)
        else:
            run.write(SO_FAR, json.dumps(outcome.summary.to_json(), indent=1))


def check_same_code(run: Run) -> None:
    """Raise StorageError if a run began with another source of a module of the user's own."""
    if differing := _other_code(run):
        raise StorageError(
            f"{run.path} began with another source of {', '.join(differing)} than there is here: "
            "results would not be the same. Put it back as it was, or begin a new run."
        )


def _other_code(run: Run) -> list[str]:
    """Modules of the user's own whose source is not that with which a run began."""
    before, here = run.read_json(PROVENANCE).get("code") or {}, code_of(run.config)
    return [name for name in {**before, **here} if before.get(name) != here.get(name)]


def _gone_on_with(run: Run) -> list[str]:
    """Says so of a run that other versions or sources go on with, now or before; and notes it."""
    begun, missing = [], []
    for entry in run.config.entries or []:
        folder = run.path / entry.folder
        done = (folder / RESULT).is_file()
        begun += [entry.title] * (done or (folder / "checkpoints").is_dir())
        missing += [entry.title] * (not done)
    told = run.read_json(PROVENANCE)
    noted = told.get("gone_on_with", [])
    code = [f"another source of {name}" for name in _other_code(run)]
    if begun and missing and (now := [*_other_versions(run, identity(run.config)), *code]):
        words = f"{', '.join(now)}; begun before: {', '.join(begun)}"
        noted = [*noted, words] if words not in noted else noted
        run.write(PROVENANCE, json.dumps({**told, "gone_on_with": noted}, indent=2))
    return [
        f"The run was gone on with by other versions or sources than it began with ({words}). To "
        "compare like with like, begin a new run."
        for words in noted
    ]


def _write_summary(run: Run, outcome: Comparison) -> None:
    run.write(SUMMARY, json.dumps(outcome.summary.to_json(), indent=1))


def work(
    run: Run,
    *,
    processes: int = 1,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda title, spent, total: None,
    warn: Callable[[str], None] = print,
) -> Comparison | None:
    """Carry out, beside any other processes, the entries of a run that none of them has claimed.

    Returns once nothing is left: the outcome, if all is done; None if an entry was given up, or is
    for a quantum computer, or if another process is about to write the outcome. Raises StorageError
    if the run began with other versions or other data, and what a search of settings raised: no
    entry is compared before all of these are over.
    """
    check_same_versions(run, identity(run.config))
    check_same_code(run)
    if not run.complete:
        made = plan(run.found_config, warn)
        check_same_data(run, made.problem)
        told: dict[str, Any] = {"stop": stop, "progress": progress, "warn": warn}
        made = _tuned(made, run, Where(processes), again=False, **told)
        config = made.config
        if not help_out(config, made.trials, run, processes, **told):
            return None
        ended = unless_others(run.path, lambda: execute(run, made, **told))
        if ended is not None or not run.complete:
            return ended
    return stored(run)


def check_same_versions(run: Run, here: Mapping[str, str | None]) -> None:
    """Raise StorageError if a run began with other versions than are `here`, by `identity`."""
    if differing := _other_versions(run, here):
        raise StorageError(
            f"{run.path} began with other versions than there are here: {', '.join(differing)}. "
            "Results would not be the same. Go back to those, or begin anew in another folder."
        )


def _other_versions(run: Run, here: Mapping[str, str | None]) -> list[str]:
    """What differs, in words."""
    before = begun_with(run)
    return [
        f"{name} {now} (there {before.get(name)})"
        for name, now in here.items()
        if now != before.get(name)
    ]


def stored(run: Run) -> Comparison:
    """The outcome of a complete run, from its files alone; StorageError if it is not complete."""
    if not run.complete:
        raise StorageError(f"{run.path} is not complete. {_how_to_finish(run)}")
    summary = run.read_summary()
    found = [run.read_result(entry.folder) for entry in run.config.entries or []]
    results = [result for result in found if result is not None]
    if summary is None or len(results) < len(found):
        raise StorageError(
            f"{run.path} has lost the result.json of an entry. Put it back, or remove summary.json "
            f"there and `qhyper resume {run.path}` makes it again."
        )
    certified = run.read_json(CERTIFICATE)
    spectrum = None if certified is None else Spectrum(**certified["spectrum"])
    return Comparison(summary, results, spectrum, run)


def _how_to_finish(run: Run) -> str:
    who = at_work(run.path)
    if who is not None:
        return f"{who} is at work on it: wait until it is done."
    return f"Finish the run with `qhyper resume {run.path}`."


def write_report(run: Run, outcome: Comparison) -> Path:
    """Write the run's report.html, and return its path."""
    shown = page(
        outcome.summary,
        outcome.results,
        outcome.spectrum,
        config=run.config.model_dump(exclude_none=True),
        provenance=run.read_json(PROVENANCE),
    )
    return run.write("report.html", shown)


def load_generator(
    run: Run | Path | str,
    title: str | None = None,
    *,
    backend: str | None = None,
    problem: Problem | None = None,
) -> "HyperNetwork":
    """The trained generator of a finished entry of a run (its only one unless `title` is given).

    `backend` is where its circuit is to run instead. One that was trained on a quantum computer
    comes back on the simulator that suits it, unless told. `problem` is the run's, if it is at
    hand. Raises ConfigurationError if there is no such entry, StorageError if it is not finished.
    """
    import torch

    from qhyper.hypernetwork import build_generator

    if not isinstance(run, Run):
        run = Run.open(Path(run))
    entries = {entry.title: entry for entry in run.config.entries or []}
    if title is None and len(entries) == 1:
        (title,) = entries
    if title not in entries:
        raise ConfigurationError(
            f"Got title={title!r}; expected one of the entries of {run.path}: {', '.join(entries)}."
        )
    entry = entries[title]
    if is_control(entry.name):
        raise ConfigurationError(f"'{title}' is a control: it has no generator to load.")
    file = run.path / entry.folder / "generator.pt"
    if not file.is_file():
        raise StorageError(f"{file} is not there: the entry is not finished. {_how_to_finish(run)}")
    options = dict(entry.options)
    name = options.get("backend")
    if backend is not None or (isinstance(name, str) and is_cloud(name)):
        options.pop("backend_options", None)
        options["backend"] = backend
    objective = (build_problem(run.found_config) if problem is None else problem).objective
    generator = build_generator(
        entry.name, objective.n_bits, seeds=run.config.seeds, layout=objective.layout,
        options=options,
    )  # fmt: skip
    generator.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return generator


def _check_paid_shots(trials: "Sequence[Trial]", config: Config) -> None:
    """Raise ConfigurationError if quantum computers need more shots than are allowed."""
    needed = sum(trial.paid_shots for trial in trials)
    allowed = DEFAULT_PAID_SHOTS if config.paid_shots is None else config.paid_shots
    if needed > allowed:
        raise ConfigurationError(
            f"This run would send {needed:,} shots to quantum computers; the shot budget is "
            f"{allowed:,}. Look at the plan with --dry-run, then allow it with --yes or "
            f"--paid-shots {needed}, or lower --circuits, --shots or --draws."
        )
    config.caps.check_plan([trial.outlay() for trial in trials if trial.paid])


def check_same_data(run: Run, problem: Problem) -> None:
    """Raise StorageError if data, or a table of costs, are not those that the run began with."""
    if problem.digest is None:
        return
    begun = run.read_json(DATA)
    if begun is None:
        run.write(DATA, json.dumps(about_data(problem)))
    elif begun["sha256"] != problem.digest:
        raise StorageError(
            f"The data '{problem.name}' are not those that {run.path} began with: got SHA-256 "
            f"{problem.digest}, expected {begun['sha256']}. Put the data back, or begin a new run."
        )


def about_data(problem: Problem) -> dict[str, Any] | None:
    """What a run directory keeps of the problem's data; None for a problem without any."""
    if problem.digest is None:
        return None
    said = {} if problem.dataset is None else problem.dataset.about()
    return {"sha256": problem.digest} | said


def _trials(
    problem: Problem, config: Config, warn: Callable[[str], None], combined: bool = False
) -> "list[Trial]":
    """The entries, built; one that was not asked for by name may refuse, and is left out."""
    from qhyper.run.trial import Trial

    entries, optional = config.entries, ConfigurationError if combined else ()
    if entries is None:
        usual = FULL_SIZE if "rows" in problem.objective.usual_budget else COMPARED
        entries, optional = [Entry(name=name) for name in usual], UnsuitableError
    trials, last, seeds = [], None, tuple(config.seeds)
    for entry in entries:
        try:
            trials.append(Trial(entry, problem, seeds, config.budget, device=config.device))
        except optional as refusal:
            last = refusal
            warn(f"Left out {entry.title}: {refusal}")
    if last is not None and not trials:
        raise last
    return trials


def _refuted(certificate: Mapping[str, Any], results: Sequence[Result]) -> str | None:
    """Why an enumeration of somebody's function is no proof: a search found what lies below."""
    found = [loss for result in results for loss in result.best_loss if loss is not None]
    least, minimum = min(found, default=np.inf), certificate["minimum_loss"]
    if "evaluations" not in certificate or least >= minimum - SAME_LOSS:
        return None
    return (
        f"a search found the loss {least:.6g}, and of all bitstrings the least was {minimum:.6g}: "
        "the objective gives a bitstring different losses. Make it a function of its bits alone"
    )


def _what_else(problem: Problem) -> str:
    """Which network of the same data could be certified, for a target that is not."""
    dataset = problem.dataset
    if dataset is None:
        return ""
    if isinstance(dataset.train, Targets):
        units = UNASKED_BITS // (dataset.n_features + 1)
        layers = (dataset.n_features, units, 1) if units else None
    else:
        layers = nearest_provable((dataset.n_features, HIDDEN, dataset.n_classes))
    if layers is None:
        return f", or other data: no layered network of {dataset.n_features} inputs can be"
    return f", or --target layered --layers {','.join(map(str, layers))}"


def _certificate(
    problem: Problem,
    temperature: float,
    run: Run | None,
    progress: Progress,
    warn: Callable[[str], None],
) -> tuple[dict[str, Any] | None, Spectrum | None, str | None]:
    """(certificate, spectrum, reason why there is none); stored in the run directory.

    That of an objective without one of its own has `evaluations`, what it took.
    """
    objective = problem.objective
    if run is not None and (certified := run.read_json(CERTIFICATE)) is not None:
        return certified["certificate"], Spectrum(**certified["spectrum"]), None

    def certifying(share: float) -> None:
        progress("certificate", int(100 * share), 100)

    own, before = objective.capabilities.certificate, objective.evaluations
    try:
        if own:
            exact = objective.certify(temperature=temperature, progress=certifying)
        else:
            exact = certify_unasked(objective, temperature=temperature, progress=certifying)
    except UnsuitableError as refusal:
        return None, None, str(refusal) if own else f"{refusal}{_what_else(problem)}"
    edges, counts = exact.histogram()
    certificate = {"data": problem.name, **exact.to_dict()}
    if not own:
        certificate["evaluations"] = objective.evaluations - before
        warn(
            f"The optimum of '{objective.subject}' is known from all its {exact.configurations:,} "
            f"bitstrings: {certificate['evaluations']:,} evaluations beside those of the seeds."
        )
    spectrum = Spectrum([float(edge) for edge in edges], [int(count) for count in counts])
    if run is not None:
        both = {"certificate": certificate, "spectrum": vars(spectrum)}
        run.write(CERTIFICATE, json.dumps(both, indent=1))
    return certificate, spectrum, None
