"""Searches of settings: equal budgets, seeds apart, the same however they are interrupted."""

import json
import sys
import tomllib

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, Interrupted, MissingError, StorageError
from qhyper.run.comparison import compare, execute, plan, work
from qhyper.run.config import Config, Entry, to_toml
from qhyper.run.directory import Run
from qhyper.run.problem import Problem, build_problem
from qhyper.run.settings_search import Search, SearchFromText, Tried, proposed, title_of
from qhyper.run.spaces import settings_of, space_of, with_settings
from qhyper.run.work import Task
from qhyper.spending import Spending
from qhyper.targets.objective import Objective
from qhyper.training.space import TRAINED, Range, Space, Tuning

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

LINES = '''
import numpy as np
from qhyper.training.search import Evaluated
from qhyper.training.space import Range


class Bowl:
    """Its loss is 1 + (log10 p + 2)^2, whatever it draws: the best p is 0.01."""

    tuned = {"p": Range(low=1e-5, high=10.0, log=True)}

    def __init__(self, n_bits: int, *, p: float = 1.0) -> None:
        self.n_bits, self.p = n_bits, p

    def search(self, objective, *, evaluations, rng):
        bits = np.zeros((len(rng), evaluations, self.n_bits), np.uint8)
        losses = np.stack([objective(of_one) for of_one in bits])
        here = np.full((len(rng), 1), 1 + (np.log10(self.p) + 2) ** 2)
        yield Evaluated(bits, losses, current=here)


class Broken(Bowl):
    """It cannot work above p = 0.1, nor as it stands."""

    def __init__(self, n_bits: int, *, p: float = 1.0) -> None:
        super().__init__(n_bits, p=p)

    def search(self, objective, *, evaluations, rng):
        if self.p > 0.1:
            raise MemoryError("too large")
        yield from super().search(objective, evaluations=evaluations, rng=rng)


class Wrong(Bowl):
    """No setting of it can be tried."""

    def search(self, objective, *, evaluations, rng):
        yield from ()
        raise MemoryError("always")
'''


@pytest.fixture(autouse=True)
def _made_up(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("made-up")
    (folder / "made_up_searches.py").write_text(LINES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "made_up_searches", raising=False)


def quiet(*told: object) -> None:
    """Nothing is said."""


def never() -> bool:
    return False


def ones(bits: np.ndarray) -> np.ndarray:
    """The share of ones: its least value is 0."""
    return bits.mean(axis=1)


class Counting:
    """Any objective that counts the bitstrings that it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, bits: np.ndarray) -> np.ndarray:
        self.asked += len(bits)
        return ones(bits)


def config(*entries: str | Entry, evaluations: int = 640, seeds=(0, 1), **tune) -> Config:
    """A comparison with a search of its entries, their settings in full."""
    tune = {"seeds": [50, 51], "evaluations": 5 * 2 * evaluations, "sampler": "random"} | tune
    named = [Entry(name=e) if isinstance(e, str) else e for e in entries]
    return Config(seeds=list(seeds), evaluations=evaluations, entries=named, tune=Tuning(**tune))


def task_for(entry: Entry, folder) -> Task:
    return Task(title_of(entry), folder / entry.folder, folder / entry.folder / "search.jsonl")


def searched(made: Config, folder, problem=None, *, stop=never) -> list[list[dict]]:
    """What each entry's search tried, in this process."""
    problem = problem or Problem(Objective(ones, 8))
    search = Search(made, problem)
    data = [search(task_for(entry, folder), stop, quiet, quiet) for entry in made.entries or []]
    return [[json.loads(line) for line in one.splitlines()] for one in data]


# -- budgets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["annealing", "elite-evolution", "naive-perturbation"])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_of_a_control_spends_no_more_than_its_budget(name, sampler, tmp_path) -> None:
    counted = Counting()
    problem = Problem(Objective(counted, 8))
    made = config(name, sampler=sampler, evaluations=100, seeds=[0]).model_copy(
        update={"tune": Tuning(seeds=[50, 51], evaluations=2999, sampler=sampler)}
    )
    before = counted.asked
    (tried,) = searched(made, tmp_path, problem)
    assert len(tried) == 14  # of 200 each: 15 would be 3,000
    assert sum(one["spent"]["evaluations"] for one in tried) == 2800
    # all that was asked for, and nothing that was not counted; what failed counts in full
    failed = sum(one["error"] is not None for one in tried)
    assert counted.asked - before == 2800 - 200 * failed
    assert failed < 3
    assert not failed or name == "elite-evolution"  # of more children than evaluations


def test_a_search_of_a_generator_spends_no_more_than_its_budget(tmp_path) -> None:
    counted = Counting()
    problem = Problem(Objective(counted, 8))
    bernoulli = Entry(name="bernoulli", training={"final_draws": 2})
    draws = {"bernoulli": {"training": {"draws": {"low": 10, "high": 100}}}}
    before = counted.asked
    (tried,) = searched(config(bernoulli, evaluations=1000, space=draws), tmp_path, problem)
    spent = sum(one["spent"]["evaluations"] for one in tried)
    assert len(tried) == 5
    assert spent <= 5 * 2 * 1000
    fresh = 5 * 2 * 2  # draws of each seed at the end
    assert counted.asked - before == spent + fresh


def test_every_entry_tries_as_many_settings(tmp_path) -> None:
    entries = ["bernoulli", "product", "annealing", "elite-evolution"]
    found = searched(config(*entries), tmp_path)
    assert [len(tried) for tried in found] == [5] * 4
    limit = 5 * 2 * 640
    for tried in found:
        spent = sum(one["spent"]["evaluations"] for one in tried)
        assert 0.8 * limit < spent <= limit  # but for steps that are whole


def test_budgets_in_shots_circuits_and_rows_are_the_same_in_their_units() -> None:
    tuning = Tuning(seeds=[7, 8, 9], circuits=299, shots=10**6)
    assert tuning.settings(Config(circuits=10, shots=1000).budget) == 9
    assert tuning.settings(Config(circuits=1, shots=100_000).budget) == 3
    assert tuning.each(Config(rows=5).budget) == {"rows": 15}


def test_a_budget_below_one_start_says_how_much_one_takes() -> None:
    with pytest.raises(ConfigurationError, match=(
        r"Got a search budget of 1,279 evaluations for each entry; one start takes 1,280: 640 for "
        r"each of 2 tuning seeds\. Raise --tuning-evaluations \(tune\.evaluations\), take fewer "
        r"--tuning-seeds, or lower the budget of the comparison\."
    )):  # fmt: skip
        compare(Objective(ones, 8), ["annealing"], evaluations=640, seeds=[0, 1],
                tune=Tuning(seeds=[50, 51], evaluations=1279))  # fmt: skip


def test_a_budget_in_other_units_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=(
        "Got a search budget in circuits, and for the comparison one of 640 evaluations"
    )):  # fmt: skip
        Tuning(circuits=100).settings(Config(evaluations=640).budget)


def test_the_usual_budget_is_of_twenty_settings() -> None:
    made = plan(Config(data="digits", evaluations=500, entries=[Entry(name="annealing")],
                       tune=Tuning()), quiet)  # fmt: skip
    assert made.config.tune is not None
    assert made.config.tune.limits == {"evaluations": 20 * 3 * 500}
    assert made.outlook()[0]["settings that it tries"] == "20, each on 3 tuning seeds"


# -- seeds -----------------------------------------------------------------------------------------


def test_seeds_of_the_comparison_are_no_tuning_seeds() -> None:
    with pytest.raises(ConfigurationError, match=r"would be tried on the seeds 3, 4, on which"):
        Config(seeds=[1, 2, 3, 4], tune=Tuning(seeds=[3, 4, 5]))
    with pytest.raises(ConfigurationError, match="expected different seeds"):
        Tuning(seeds=[3, 3])


def test_settings_are_tried_on_the_tuning_seeds_alone(tmp_path) -> None:
    """What a search measured is what a comparison on its seeds measures."""
    made = config("annealing", seeds=[0, 1], evaluations=300)
    (tried,) = searched(made, tmp_path)
    for one in tried:
        entry = with_settings(Entry(name="annealing"), one["settings"])
        alone = compare(Objective(ones, 8), [entry], seeds=[50, 51], evaluations=300, warn=quiet)
        assert alone.results[0].final_loss == one["losses"]
        assert one["loss"] == np.mean(one["losses"])


# -- what is found ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sampler", "near"), [("tpe", 0.1), ("random", 0.5)])
def test_the_best_value_is_found_where_it_is_known(sampler, near) -> None:
    tune = Tuning(seeds=[50], evaluations=400, sampler=sampler)
    found = compare(Objective(ones, 8), ["made_up_searches:Bowl"], seeds=[0, 1], evaluations=10,
                    tune=tune, warn=quiet)  # fmt: skip
    assert found.summary.tuning is not None
    (one,) = found.summary.tuning.entries
    assert (one.settings, one.failed, one.spent.evaluations) == (40, 0, 400)
    assert abs(np.log10(one.found["options.p"]) + 2) < near
    assert one.loss_before == 5  # at p = 1
    # and on fresh seeds it is what was compared
    at = 1 + (np.log10(one.found["options.p"]) + 2) ** 2
    assert found.results[0].final_loss == pytest.approx([at, at], rel=1e-12)


def test_the_learning_rate_that_learns_is_found(tmp_path) -> None:
    """One that hardly moves in 40 steps, one that suits, and one that a flat start cannot leave."""
    rates = [1e-6, 0.3, 1e-4]
    space = {"bernoulli": {"training": {"learning_rate": rates}}}
    found = compare(
        Objective(ones, 8), [Entry(name="bernoulli", training={"learning_rate": 1e-6})],
        seeds=[0, 1], evaluations=2560,
        tune=Tuning(seeds=[50, 51], evaluations=10 * 2 * 2560, space=space, sampler="random"),
        warn=quiet,
    )  # fmt: skip
    assert found.summary.tuning is not None
    (one,) = found.summary.tuning.entries
    assert dict(one.found) == {"training.learning_rate": 0.3}
    assert one.loss_before == pytest.approx(0.5, abs=0.1)  # uniform draws, half of them ones
    assert one.loss is not None
    assert one.loss < 0.1
    assert max(found.results[0].final_loss) < 0.1


def test_settings_are_measured_by_the_best_loss_where_that_is_asked_for(tmp_path) -> None:
    made = config("annealing", measure="best_loss", evaluations=12)
    (tried,) = searched(made, tmp_path)
    for one in tried:
        entry = with_settings(Entry(name="annealing"), one["settings"])
        alone = compare(Objective(ones, 8), [entry], seeds=[50, 51], evaluations=12, warn=quiet)
        assert alone.results[0].best_loss == one["losses"]
    exact = Entry(name="bernoulli", training={"estimator": "exact"})
    rates = {"bernoulli": {"training": {"learning_rate": [0.1, 0.3]}}}
    with_exact = Config(
        seeds=[0], circuits=20, entries=[exact],
        tune=Tuning(seeds=[50, 51], circuits=80, measure="best_loss", space=rates),
    )  # fmt: skip
    ((first, *_),) = searched(with_exact, tmp_path)  # it draws nothing on its way
    assert first["error"] == "its best_loss is no number on every seed: [nan, nan]"


def test_of_equally_good_settings_the_entry_as_it_stands_is_kept() -> None:
    found = compare(
        Objective(lambda bits: np.ones(len(bits)), 8), ["annealing"], seeds=[0], evaluations=50,
        tune=Tuning(seeds=[50], evaluations=250), warn=quiet,
    )  # fmt: skip
    assert found.summary.tuning is not None
    assert dict(found.summary.tuning.of("annealing").found) == {
        "options.t_start": 1.0, "options.t_end": 0.01,
    }  # fmt: skip


def test_what_cannot_be_trained_is_a_bad_setting_and_not_the_end() -> None:
    tune = Tuning(seeds=[50], evaluations=300, sampler="tpe")
    found = compare(Objective(ones, 8), ["made_up_searches:Broken"], seeds=[0], evaluations=10,
                    tune=tune, warn=quiet)  # fmt: skip
    assert found.summary.tuning is not None
    (one,) = found.summary.tuning.entries
    assert one.settings == 30
    assert 1 <= one.failed < 15
    assert one.spent.evaluations == 300  # as if these had spent all that they could
    assert one.loss_before is None
    assert abs(np.log10(one.found["options.p"]) + 2) < 0.3


def test_draws_that_do_not_fit_are_a_bad_setting(tmp_path) -> None:
    space = {"bernoulli": {"training": {"draws": [64, 10_000]}}}
    made = config(Entry(name="bernoulli", training={"draws": 64}), space=space)
    (tried,) = searched(made, tmp_path)
    by_draws = {one["settings"]["training.draws"]: one for one in tried}
    assert set(by_draws) == {64, 10_000}
    assert by_draws[10_000]["loss"] is None
    assert "A budget of 640 evaluations has 0 steps" in by_draws[10_000]["error"]
    assert by_draws[64]["error"] is None


def test_an_entry_no_setting_of_which_works_stays_and_says_so() -> None:
    said: list[str] = []
    with pytest.raises(MemoryError, match="always"):  # the comparison itself
        compare(Objective(ones, 8), ["made_up_searches:Wrong"], seeds=[0], evaluations=10,
                tune=Tuning(seeds=[50], evaluations=30), warn=said.append)  # fmt: skip
    assert any(
        "made_up_searches:Wrong stays as it stands: no setting could be trained. The first one: "
        "MemoryError: always" in one
        for one in said
    )


# -- what is proposed ------------------------------------------------------------------------------

RANGES = {
    "training.learning_rate": Range(low=0.003, high=3.0, log=True),
    "training.draws": Range(low=16, high=256, log=True),
    "training.optimizer": Range(choices=["Adam", "SGD"]),
}


def tried(settings, loss) -> Tried:
    return Tried(settings=settings, loss=loss, losses=None, spent=Spending())


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_proposals_are_a_function_of_what_was_tried_and_lie_in_their_ranges(sampler) -> None:
    history = [tried({}, None)]  # the entry as it stood, elsewhere
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    for k in range(25):
        settings = proposed(RANGES, history, sampler=sampler, seed=7)
        assert proposed(RANGES, history, sampler=sampler, seed=7) == settings
        assert all(RANGES[name].holds(value) for name, value in settings.items())
        assert settings["training.learning_rate"] == float(
            f"{settings['training.learning_rate']:.3g}"
        )
        history.append(tried(settings, None if k % 4 == 0 else float(k)))
    assert len({json.dumps(one.settings) for one in history}) == 26
    assert proposed(RANGES, history[:1], sampler=sampler, seed=8) != history[1].settings
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_optuna_says_nothing_and_keeps_its_verbosity(capfd) -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    proposed(RANGES, [], sampler="tpe", seed=7)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_the_usual_spaces() -> None:
    usual = Tuning()
    assert space_of(Entry(name="bernoulli"), usual) == TRAINED
    assert space_of(Entry(name="random"), usual) == Space()
    assert set(space_of(Entry(name="elite-evolution"), usual).options) == {
        "p", "networks", "children",
    }  # fmt: skip
    own = Tuning(space={"bernoulli": {"training": {"draws": [16, 32]}}})
    assert set(space_of(Entry(name="bernoulli"), own).ranges) == {"training.draws"}
    assert space_of(Entry(name="bernoulli", label="other"), own) == TRAINED


def test_ranges_of_controls_hold_the_values_that_they_stand_at() -> None:
    for name in ("annealing", "counting-errors", "elite-evolution", "naive-perturbation"):
        ranges = space_of(Entry(name=name), Tuning()).ranges
        values = settings_of(Entry(name=name), ranges)
        assert all(ranges[key].holds(value) for key, value in values.items())


def test_a_dotted_name_is_one_of_a_table() -> None:
    entry = Entry(name="bernoulli", training={"estimator": "spsa"})
    changed = with_settings(entry, {"training.estimator_options.eps": 0.5})
    assert changed.training == {"estimator": "spsa", "estimator_options": {"eps": 0.5}}
    assert settings_of(changed, ["training.estimator_options.eps"]) == {
        "training.estimator_options.eps": 0.5
    }


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"learning_rate": {"low": 1}}, r"got low = 1 and high = None; expected low < high"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "above 0 with log = true"),
        ({"learning_rate": [0.1]}, "expected two choices or more"),
        ({"learning_rate": {"lo": 1, "high": 2}}, r"Unknown key in the range '.*lo'"),
        ({"learning_rat": [0.1, 0.2]}, "Did you mean 'learning_rate'"),
        ({"evaluations": [10, 20]}, "evaluations is what a training may spend, the same for all"),
        ({"minutes": [1, 2]}, "minutes is what a training may spend"),
        ({"draws": [0, 5]}, "draws = 0"),
        ({"learning_rate": {"low": -1.0, "high": 1.0}}, "learning_rate = -1"),
        ({"draws": {"low": 16.0, "high": 64.0}}, r"draws = 33\.8"),
        ({"draws": [16, 32, 16]}, "of which two are equal; expected each once"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(space, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Config(tune={"space": {"bernoulli": {"training": space}}})


def test_spaces_of_what_there_is_not_are_refused() -> None:
    def planned(space, name="annealing"):
        plan(Config(data="digits", evaluations=500, entries=[Entry(name=name)],
                    tune=Tuning(space=space)), quiet)  # fmt: skip

    with pytest.raises(ConfigurationError, match=(
        r"Unknown entry in the search space 'anealing'\. Did you mean 'annealing'"
    )):  # fmt: skip
        planned({"anealing": {"options": {"t_start": [1, 2]}}})
    with pytest.raises(ConfigurationError, match=r"control annealing: 't_begin'"):
        planned({"annealing": {"options": {"t_begin": [1.0, 2.0]}}})
    with pytest.raises(ConfigurationError, match=r"There is nothing to search: random have no"):
        planned({}, "random")
    with pytest.raises(ConfigurationError, match="'annealing' is a control: it has no training"):
        planned({"annealing": {"training": {"learning_rate": [0.1, 0.2]}}})
    with pytest.raises(ConfigurationError, match=r"Unknown optimiser of torch\.optim 'Sdg'"):
        planned({"bernoulli": {"training": {"optimizer": ["Adam", "Sdg"]}}}, "bernoulli")


def test_without_optuna_nothing_runs(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingError, match=r"needs Optuna.*pip install .* '\.\[tune\]'"):
        compare(Objective(lambda bits: pytest.fail("ran"), 8), ["annealing"], seeds=[0],
                evaluations=50, tune=Tuning(seeds=[50]))  # fmt: skip


# -- the same however it is carried out ------------------------------------------------------------

SPACE = {"bernoulli": {"training": {"learning_rate": {"low": 0.01, "high": 1.0, "log": True}}}}


def in_digits(**tune) -> Config:
    """A comparison on data, made of text alone."""
    tune = {"seeds": [50, 51], "evaluations": 12 * 2 * 640, "space": SPACE} | tune
    return Config(
        data="digits", layers=[4, 3, 2], seeds=[0, 1, 2], evaluations=640, tune=tune,
        entries=[Entry(name="bernoulli"), Entry(name="annealing"), Entry(name="random")],
    )  # fmt: skip


def files(run: Run) -> dict[str, bytes]:
    """What a run found; not when, nor where."""
    names = ("search.jsonl", "tried.jsonl", "result.json", "config.toml")
    found = {
        str(path.relative_to(run.path)): path.read_bytes()
        for name in names
        for path in run.path.rglob(name)
    }
    summary = json.loads((run.path / "summary.json").read_text())
    for entry in summary["generators"]:
        del entry["seconds_per_step"]
    return found | {"summary": json.dumps(summary).encode()}


def carried_out(folder, **how) -> Run:
    made = plan(in_digits(), quiet)
    run = Run.create(folder, "tune", made.config)
    execute(run, made, warn=quiet, **how)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """A run that nothing has disturbed, in this process."""
    return carried_out(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def undisturbed(whole) -> dict[str, bytes]:
    return files(whole)


def test_any_number_of_processes_finds_the_same(undisturbed, tmp_path) -> None:
    found = files(carried_out(tmp_path, processes=2))
    assert found == undisturbed
    assert len([name for name in found if name.endswith("search.jsonl")]) == 3
    assert len(found["tuning/random/search.jsonl"]) == 0
    assert len(found["tuning/bernoulli/search.jsonl"].splitlines()) == 12


@pytest.mark.parametrize("moments", [[3, 40, 77], [23, 24, 25]])
def test_a_search_that_is_interrupted_ends_as_if_it_never_had_been(
    moments, undisturbed, tmp_path
) -> None:
    made = plan(in_digits(), quiet)
    run = Run.create(tmp_path, "tune", made.config)
    for moment in moments:
        asked = iter(range(10**6))
        with pytest.raises(Interrupted, match="Stopped by a signal"):
            execute(run, warn=quiet, stop=lambda asked=asked, m=moment: next(asked) >= m)
    execute(run, warn=quiet)
    assert files(run) == undisturbed


@pytest.mark.parametrize("settings", [0, 1, 7, 11])
def test_a_search_goes_on_from_any_setting(settings, undisturbed, tmp_path) -> None:
    """What a process leaves behind that is killed: whole lines, and half a training."""
    made = plan(in_digits(), quiet)
    (entry, *_) = made.config.entries or []
    task = task_for(entry, tmp_path)
    task.folder.mkdir()
    lines = undisturbed["tuning/bernoulli/tried.jsonl"].splitlines(keepends=True)
    (task.folder / "tried.jsonl").write_bytes(b"".join(lines[:settings]))
    asked = iter(range(10**6))
    search = Search(made.config, made.problem)
    with pytest.raises(Interrupted, match="Stopped by a signal"):
        search(task, lambda: next(asked) >= 4, quiet, quiet)
    assert (task.folder / f"setting-{settings}" / "checkpoints").is_dir()
    found = search(task, never, quiet, quiet)
    assert found == undisturbed["tuning/bernoulli/search.jsonl"]


def test_helpers_search_and_compare_too(undisturbed, tmp_path) -> None:
    made = plan(in_digits(), quiet)
    run = Run.create(tmp_path, "tune", made.config)
    assert work(run, processes=2, warn=quiet) is not None
    assert files(run) == undisturbed


def test_a_search_that_is_made_of_text_is_the_same(undisturbed, tmp_path) -> None:
    made = plan(in_digits(), quiet).config
    (entry, *_) = made.entries or []
    found = SearchFromText(to_toml(made), "")(task_for(entry, tmp_path), never, quiet, quiet)
    assert found == undisturbed["tuning/bernoulli/search.jsonl"]


def test_a_search_that_is_made_of_text_looks_at_the_data(tmp_path) -> None:
    made = plan(config("bernoulli"), quiet).config
    entry = made.entries[0]
    with pytest.raises(StorageError, match=r"are not those of the run: got SHA-256 .* expected 00"):
        SearchFromText(to_toml(made), "00")(task_for(entry, tmp_path), never, quiet, quiet)


def test_the_configuration_of_the_run_has_what_was_found(whole) -> None:
    run = whole
    config = tomllib.loads((run.path / "config.toml").read_text())
    summary = run.read_summary()
    assert summary is not None
    assert summary.tuning is not None
    found = summary.tuning.of("bernoulli").found
    assert config["entries"][0]["training"]["learning_rate"] == found["training.learning_rate"]
    assert config["tune"]["seeds"] == [50, 51]
    again = compare(
        build_problem(run.config).objective, run.config.entries, seeds=[0, 1, 2], evaluations=640,
        warn=quiet,
    )  # fmt: skip
    stored = [run.read_result(name) for name in ("bernoulli", "annealing", "random")]
    assert [one.final_loss for one in again.results] == [one.final_loss for one in stored if one]
    assert not list(run.path.rglob("setting-*"))


def test_a_damaged_search_says_what_to_do(tmp_path) -> None:
    made = config("annealing")
    searched(made, tmp_path)
    path = tmp_path / "annealing" / "tried.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match=r"tried\.jsonl is damaged: .* Remove it, and"):
        searched(made, tmp_path)
