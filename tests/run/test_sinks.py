"""What is logged while a run is carried out, and that no sink can harm it."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from qhyper.errors import ConfigurationError, Interrupted, MissingError
from qhyper.run.comparison import execute, plan, stored
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.run.sinks import SINKS, Followed, build_sink, find_sink

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

TRAINING = {"draws": 10, "checkpoint_every": 7}
ENTRIES = [Entry(name="bernoulli", training=TRAINING), Entry(name="random")]


def quiet(*told: object) -> None:
    """Nothing is said."""


class Kept:
    """A sink that keeps what it is told."""

    def __init__(self, run: Run) -> None:
        self.lines, self.outcomes, self.closed = [], [], 0

    def line(self, entry, at, values) -> None:
        self.lines.append((entry, at, dict(values)))

    def end(self, outcome) -> None:
        self.outcomes.append(outcome)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = Config(data="digits", evaluations=400, seeds=[3, 1], entries=ENTRIES)
    return Run.create(tmp_path, "logged", plan(config, quiet).config)


def expected(run: Run) -> list[tuple]:
    """The lines of the file, and the curve of what has none."""
    text = (run.path / "bernoulli" / "metrics.jsonl").read_text()
    lines = []
    for line in map(json.loads, text.splitlines()):
        values = {
            f"bernoulli/{name}/seed-{seed}": line[name][index]
            for name in ("mean_loss", "best_loss")
            for index, seed in enumerate((3, 1))
        }
        lines.append(("bernoulli", line["evaluations"], values))
    (curve,) = [each.curve for each in stored(run).results if each.name == "random"]
    for point, at in enumerate(curve.evaluations):
        values = {f"random/mean_loss/seed-{s}": curve.mean_loss[i][point]
                  for i, s in enumerate((3, 1))}  # fmt: skip
        lines.append(("random", at, values))
    return lines


@pytest.mark.parametrize("processes", [1, 2])
def test_every_line_is_told_once_whoever_carries_the_entry_out(run: Run, processes: int) -> None:
    sink, shown = Kept(run), []
    with Followed(run, sink, lambda *told: shown.append(told), quiet) as followed:
        outcome = execute(run, processes=processes, progress=followed, warn=quiet)
        before = len(sink.lines)
        followed.end(outcome)
    assert sink.lines == expected(run)
    assert sink.outcomes == [outcome]
    assert sink.closed == 1
    assert ("bernoulli", 40, 40) in shown
    if processes == 1:
        assert before > 10  # on the way, not all at the end


def test_a_resumed_run_is_told_from_its_first_line(run: Run) -> None:
    stopped, again = Kept(run), Kept(run)
    calls = iter(range(1000))
    with (
        pytest.raises(Interrupted),
        Followed(run, stopped, quiet, quiet) as followed,
    ):
        execute(run, progress=followed, stop=lambda: next(calls) >= 25, warn=quiet)
    assert stopped.closed == 1
    assert stopped.outcomes == []
    with Followed(run, again, quiet, quiet) as followed:
        followed.end(execute(run, progress=followed, warn=quiet))
    assert again.lines == expected(run)
    assert again.lines[: len(stopped.lines)] == stopped.lines
    assert len(stopped.lines) > 10


@pytest.mark.parametrize("method", ["line", "end", "close"])
def test_a_sink_that_fails_is_asked_nothing_more_and_the_run_goes_on(run: Run, method) -> None:
    sink, said, calls = Kept(run), [], []

    def fail(*told: object) -> None:
        calls.append(told)
        raise OSError("the server is gone")

    setattr(sink, method, fail)
    with Followed(run, sink, quiet, said.append) as followed:
        outcome = execute(run, progress=followed, warn=quiet)
        followed.end(outcome)
    assert run.complete
    assert len(calls) == 1
    assert said == [
        "Kept failed with OSError: the server is gone. Nothing more is logged there; the run goes "
        f"on, and all of it is in {run.path}."
    ]
    assert sink.closed == 0


class Recorder:
    """Anything that can be called, which notes how."""

    def __init__(self, calls: list, name: str) -> None:
        self.calls, self.name = calls, name

    def __getattr__(self, name: str) -> "Recorder":
        return Recorder(self.calls, f"{self.name}.{name}")

    def __call__(self, *arguments: object, **named: object) -> "Recorder":
        self.calls.append((self.name, arguments, named))
        return Recorder(self.calls, f"{self.name}()")


@pytest.fixture
def stub(monkeypatch):
    """Puts a module in the place of a package, whose calls it notes."""

    def made(package: str) -> list:
        calls: list = []
        module = ModuleType(package)
        module.__spec__ = ModuleSpec(package, None)
        module.__getattr__ = lambda name: Recorder(calls, name)
        monkeypatch.setitem(sys.modules, package, module)
        return calls

    return made


def logged(run: Run, name: str) -> None:
    said: list[str] = []
    with Followed(run, build_sink(name, run), quiet, said.append) as followed:
        followed.end(execute(run, progress=followed, warn=quiet))
    assert said == []


def test_mlflow_has_metrics_results_and_the_configuration(run: Run, stub) -> None:
    calls = stub("mlflow")
    logged(run, "mlflow")
    names = [name for name, _, _ in calls]
    assert names[:2] == ["start_run", "log_dict"]
    assert names[-2:] == ["log_dict", "end_run"]
    assert calls[0][2] == {"run_name": run.path.name}
    assert calls[1][1][0]["data"] == "digits"
    told = [(a[0], n["step"]) for name, a, n in calls if name == "log_metrics" and n]
    assert told == [(values, at) for _, at, values in expected(run)]
    outcome = stored(run)
    (final,) = [a[0] for name, a, n in calls if name == "log_metrics" and not n]
    for row in outcome.tidy():
        assert final[f"{row['entry']}/final_loss/seed-{row['seed']}"] == row["final_loss"]
        assert final[f"{row['entry']}/hit/seed-{row['seed']}"] == float(row["hit"])
    assert calls[-2][1] == ({"results": outcome.tidy()}, "results.json")


def test_weights_and_biases_have_an_axis_of_each_entry_and_a_table(run: Run, stub) -> None:
    calls = stub("wandb")
    logged(run, "wandb")
    assert calls[0][0] == "init"
    assert calls[0][2]["name"] == run.path.name
    assert calls[-1][0] == "init().finish"
    axes = [(a, n) for name, a, n in calls if name == "init().define_metric"]
    assert axes == [((f"{e}/*",), {"step_metric": f"{e}/spent"}) for e in ("bernoulli", "random")]
    told = [a[0] for name, a, _ in calls if name == "init().log"]
    assert told[:-1] == [{f"{e}/spent": at, **values} for e, at, values in expected(run)]
    ((columns, rows),) = [a for name, a, _ in calls if name == "Table"]
    assert [dict(zip(columns, row, strict=True)) for row in rows] == stored(run).tidy()


def test_tensorboard_has_scalars_at_what_was_spent(run: Run) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(run, "tensorboard")
    events = EventAccumulator(str(run.path / "tensorboard"), {"scalars": 0}).Reload()
    wanted: dict[str, list] = {}
    for _, at, values in expected(run):
        for name, value in values.items():
            wanted.setdefault(name, []).append((at, pytest.approx(value)))
    for row in stored(run).tidy():
        at = row["evaluations"]
        for column in ("final_loss", "best_loss"):
            name = f"{row['entry']}/{column}/seed-{row['seed']}"
            wanted.setdefault(name, []).append((at, pytest.approx(row[column])))
    for name, points in wanted.items():
        assert [(event.step, event.value) for event in events.Scalars(name)] == points, name


@pytest.mark.parametrize("name", SINKS)
def test_a_package_that_is_missing_is_named(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingError, match=f"The sink '{name}' needs.*pip install {name}"):
        find_sink(name)


def test_a_sink_that_cannot_begin_is_an_error_that_says_how_to_go_on(run: Run, stub) -> None:
    stub("mlflow")
    sys.modules["mlflow"].__getattr__ = lambda name: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match=r"cannot begin: ZeroDiv.*qhyper resume .*logged"):
        build_sink("mlflow", run)


def test_an_unknown_sink_is_refused_before_anything_runs(cli, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Unknown sink 'tensorbord'\. Did you mean 'ten"):
        find_sink("tensorbord")
    code, _, err = cli("compare", "--data", "digits", "--log", "wandbb")
    assert code == 2
    assert "Did you mean 'wandb'?" in err
    assert list(tmp_path.iterdir()) == []


def test_a_sink_of_ones_own_is_named_as_module_and_class(cli, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mysink.py").write_text(
        "class Mine:\n"
        "    def __init__(self, run):\n        self.run, self.lines = run, 0\n"
        "    def line(self, entry, at, values):\n        self.lines += 1\n"
        "    def end(self, outcome):\n        print('LOGGED', self.lines, len(outcome.tidy()))\n"
        "    def close(self):\n        print('CLOSED')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = cli("train", "--data", "digits", "--generator", "bernoulli", "--draws", "10",
                         "--evaluations", "100", "--log", "mysink:Mine")  # fmt: skip
    assert code == 0, err
    assert "LOGGED 10 1\nCLOSED\n" in out
