"""The command line: what it prints, where, and how it exits."""

import html
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from qhyper.data.sets import load
from qhyper.errors import ConfigurationError
from qhyper.run.comparison import compare
from qhyper.run.config import COMPARED
from qhyper.run.directory import Run
from qhyper.run.problem import build_problem
from qhyper.targets.layered.space import WeightSpace

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

SMALL = ["--data", "digits", "--evaluations", "2000", "--seeds", "3"]


def test_compare_prints_one_json_object_and_leaves_a_page(cli, tmp_path: Path) -> None:
    code, out, err = cli("compare", *SMALL, "--json")
    assert code == 0, err
    found = json.loads(out)
    names = ["product", "quantum-depth2", "quantum-depth4", "bernoulli", "categorical", "mlp",
             "autoregressive", "random", "annealing"]  # fmt: skip
    assert [g["name"] for g in found["generators"]] == names
    assert found["certificate"]["configurations"] == 2**36
    for entry in found["generators"]:
        assert entry["seeds"] == 3
        assert set(entry["regret"]) == {"median", "low", "high"}
        assert set(entry["hit_share"]) == {"value", "low", "high"}
        assert entry["regret"]["median"] >= 0
        assert entry["regret"]["low"] is None  # of three seeds
        assert entry["final_loss"]["median"] >= found["certificate"]["minimum_loss"]
    assert "NaN" not in out
    (run,) = (tmp_path / "runs").iterdir()
    assert {"config.toml", "provenance.json", "summary.json", "report.html"} <= {
        path.name for path in run.iterdir()
    }
    code, again, _ = cli("report", str(run), "--json")
    assert (code, json.loads(again)) == (0, found)
    code, table, _ = cli("report", str(run))
    assert code == 0
    assert "annealing" in table


def test_train_and_resume_of_a_finished_run(cli, tmp_path: Path) -> None:
    code, out, err = cli("train", "--generator", "quantum", "--option", "depth=3", "--data",
                         "digits", "--evaluations", "1000", "--draws", "20", "--seed", "5",
                         "--json")  # fmt: skip
    assert code == 0, err
    (entry,) = json.loads(out)["generators"]
    assert entry["parameters"] == 2 * 36 * 3
    (run,) = (tmp_path / "runs").iterdir()
    assert "seeds = [\n    5,\n]" in (run / "config.toml").read_text()
    assert cli("resume", str(run), "--json")[1] == out


def test_a_report_needs_neither_the_data_nor_the_folder(cli, tmp_path: Path) -> None:
    np.savez("mine.npz", x=np.random.default_rng(0).normal(size=(50, 3)), y=np.arange(50) % 2)
    run = ["--evaluations", "500", "--seeds", "2", "--generators", "bernoulli", "--json"]
    out = cli("compare", "--data", "mine.npz", *run)[1]
    (path,) = (tmp_path / "runs").iterdir()
    (tmp_path / "mine.npz").unlink()
    (path / "report.html").unlink()
    assert cli("report", str(path), "--json")[1] == out
    assert (path / "report.html").is_file()


def test_entries_of_a_configuration_keep_their_settings(cli, tmp_path: Path) -> None:
    Path("mine.toml").write_text(
        'data = "digits"\nevaluations = 500\nseeds = [1]\n'
        '[[entries]]\nname = "quantum"\nlabel = "deep"\noptions = {depth = 3}\n'
        'training = {optimizer = "SGD"}\n[[entries]]\nname = "random"\n'
    )
    code, out, err = cli("compare", "--config", "mine.toml", "--generators", "deep", "--json")
    assert code == 0, err
    assert [entry["parameters"] for entry in json.loads(out)["generators"]] == [216]
    (path,) = (tmp_path / "runs").iterdir()
    assert 'optimizer = "SGD"' in (path / "config.toml").read_text()


TINY = ["--data", "digits", "--shots", "1000", "--seeds", "2"]


@pytest.fixture
def only_planned(monkeypatch) -> None:
    """A run directory is made, and nothing carried out."""
    monkeypatch.setattr("qhyper.cli.carry_out.finish", lambda *told: None)


def planned(folder: Path) -> dict[str, dict]:
    """The entries of the one run in a folder, by what they are called."""
    (run,) = (folder / "runs").iterdir()
    entries = tomllib.loads((run / "config.toml").read_text())["entries"]
    return {entry.get("label", entry["name"]): entry for entry in entries}


def test_combinations_that_mean_something_run_and_the_others_are_left_out(cli, tmp_path) -> None:
    code, _, err = cli("compare", *TINY, "--generators", "product,mlp,random", "--backends",
                       "mps,aer", "--estimators", "score-function,spsa", "--json")  # fmt: skip
    assert code == 0, err
    entries = planned(tmp_path)
    assert list(entries) == [
        "product mps score-function", "product mps spsa", "product aer spsa",
        "mlp score-function", "mlp spsa", "random",
    ]  # fmt: skip
    assert entries["product aer spsa"]["options"]["backend"] == "aer"
    assert entries["product aer spsa"]["training"]["estimator"] == "spsa"
    assert entries["mlp spsa"]["options"] == {}
    assert entries["random"]["options"] == entries["random"]["training"] == {}
    left_out = [line for line in err.splitlines() if "Left out" in line]
    assert len(left_out) == 1
    assert "Left out product aer score-function: The score function needs log p" in left_out[0]


def test_combinations_are_of_the_defaults_unless_told(cli, tmp_path, only_planned) -> None:
    Path("mine.py").write_text("def loss(bits):\n    return 1 - bits.mean(axis=1)\n")
    code, _, err = cli("compare", "--objective", "mine:loss", "--bits", "6", "--circuits", "12",
                       "--seeds", "2", "--risks", "expectation,mmd", "--json")  # fmt: skip
    assert code == 0, err
    trained = [name for name in COMPARED if name not in ("categorical", "random", "annealing")]
    assert list(planned(tmp_path)) == [
        f"{name} {risk}" for name in trained for risk in ("expectation", "mmd")
    ]
    for refusal in ("Left out categorical mmd: Cat", "Left out random: 'random' is a control"):
        assert refusal in err


def test_options_of_a_choice_go_with_it(cli, tmp_path: Path, only_planned) -> None:
    Path("mine.toml").write_text(
        'data = "digits"\nshots = 400\nseeds = [1]\n[[entries]]\nname = "product"\n'
        'label = "p"\noptions = {backend = "aer", backend_options = {readout = 0.1}}\n'
        'training = {draws = 8, optimizer_options = {betas = [0.5, 0.9]}, estimator = "spsa", '
        'estimator_options = {directions = 2}, risk = "cvar", risk_options = {alpha = 0.3}}\n'
    )
    code, _, err = cli("compare", "--config", "mine.toml", "--backends", "aer,mps", "--estimators",
                       "spsa,score-function", "--risks", "cvar,expectation", "--json")  # fmt: skip
    assert code == 0, err
    found = planned(tmp_path)
    assert len(found) == 6  # no score function on Aer
    for name, entry in found.items():
        options, training = entry["options"], entry["training"]
        assert options.get("backend_options") == ({"readout": 0.1} if "aer" in name else None)
        assert training["estimator_options"] == ({"directions": 2} if "spsa" in name else {})
        assert training["risk_options"] == ({"alpha": 0.3} if "cvar" in name else {})
        assert training["optimizer_options"] == {"betas": [0.5, 0.9]}


@pytest.mark.parametrize(
    ("arguments", "part", "settings"),
    [
        (["--risk", "expectation"], "training", {"risk_options": {}}),
        (["--risk", "cvar"], "training", {"risk_options": {"alpha": 0.3}}),
        (["--training", "risk=expectation"], "training", {"risk_options": {}}),
        (
            ["--training", "risk_options.temperature=0.1", "--risk", "free-energy"],
            "training",
            {"risk_options": {"temperature": 0.1}},
        ),
        (["--training", "risk_options.alpha=0.5"], "training", {"risk_options": {"alpha": 0.5}}),
        (
            ["--estimator", "score-function"],
            "training",
            {"estimator_options": {"baseline": "none"}},
        ),
        (["--estimator", "spsa"], "training", {"estimator_options": {}}),
        (
            ["--training", "optimizer=SGD"],
            "training",
            {"optimizer_options": {}, "risk_options": {"alpha": 0.3}},
        ),
        (["--backend", "mps"], "options", {"backend": "mps"}),
        (
            ["--option", "backend=aer", "--estimator", "spsa"],
            "options",
            {"backend": "aer"},
        ),
        (
            ["--option", "backend_options.depolarising=0.01", "--backend", "aer", "--estimator",
             "spsa"],
            "options",
            {"backend": "aer", "backend_options": {"depolarising": 0.01}},
        ),
        (["--generator", "mlp"], "options", {}),
    ],
)  # fmt: skip
def test_train_drops_the_options_of_what_is_replaced(
    cli, tmp_path: Path, only_planned, arguments: list[str], part: str, settings: dict
) -> None:
    Path("mine.toml").write_text(
        'data = "digits"\nshots = 200\nseeds = [1]\n[[entries]]\nname = "product"\nlabel = "p"\n'
        'options = {backend = "mps", backend_options = {device = "cpu"}}\n'
        "training = {draws = 8, optimizer_options = {betas = [0.5, 0.9]}, "
        'estimator_options = {baseline = "none"}, risk = "cvar", risk_options = {alpha = 0.3}}\n'
    )
    code, _, err = cli("train", "--config", "mine.toml", *arguments, "--json")
    assert code == 0, err
    ((name, entry),) = planned(tmp_path).items()
    assert name == ("mlp" if "mlp" in arguments else "p")
    if part == "options":
        kept = {"backend_options": {"device": "cpu"}} if "mps" in arguments else {}
        assert entry["options"] == settings | kept
    else:
        assert entry["training"] == entry["training"] | settings


def test_certify(cli) -> None:
    code, out, _ = cli("certify", "--data", "digits", "--json")
    assert code == 0
    found = json.loads(out)
    keys = {"data", "bits", "configurations", "functions", "minimum_loss", "accuracy_at_minimum",
            "best_accuracy", "optimal_bitstrings", "optimum", "temperature", "log_Z"}  # fmt: skip
    assert keys <= set(found)
    assert (found["data"], found["bits"], found["temperature"]) == ("digits", 36, 0.05)
    assert len(found["optimum"]) == 36
    assert cli("certify", "--data", "digits")[0] == 0


def test_own_data_and_own_objective(cli, tmp_path: Path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    np.savez("mine.npz", x=rng.normal(size=(50, 3)), y=rng.integers(0, 2, 50))
    code, out, err = cli("compare", "--data", "mine.npz", "--evaluations", "500", "--seeds", "2",
                         "--generators", "product,random", "--json")  # fmt: skip
    assert code == 0, err
    Path("mine.py").write_text("def loss(bits):\n    return 1 - bits.mean(axis=1)\n")
    code, out, err = cli("compare", "--objective", "mine:loss", "--bits", "12", "--evaluations",
                         "500", "--seeds", "2", "--generators", "bernoulli,random",
                         "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["certificate"]["minimum_loss"] == 0
    assert found["certificate"]["configurations"] == 2**12
    assert "all its 4,096 bitstrings: 4,226 evaluations beside those of the seeds" in err
    code, out, err = cli("compare", "--objective", "mine:loss", "--bits", "24", "--evaluations",
                         "500", "--seeds", "2", "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["certificate"] is None
    assert found["reference"]["kind"] == "best loss seen"
    assert "'mine:loss' has 2^24 bitstrings: up to 2^20 are all" in found["no_certificate"]
    for entry in found["generators"]:
        for key in ("regret", "hit_share", "evaluations_to_hit"):
            assert entry[key] is None
        assert entry["above_best_seen"]["median"] >= 0
    assert "categorical" not in {entry["name"] for entry in json.loads(out)["generators"]}
    assert "Left out categorical" in err


def test_a_table_of_ones_own_from_end_to_end(cli, tmp_path: Path) -> None:
    rows = "".join(
        f"No {i},{'dog' if i % 3 else 'cat'},{i * i % 11},{i % 3 + 20}\n" for i in range(60)
    )
    Path("mine.csv").write_text("who,label,a,b\n" + rows + "No 60,cat,?,1\n")
    budget = ["--evaluations", "300", "--seeds", "2", "--generators", "random,bernoulli", "--json"]
    code, _, err = cli("compare", "mine.csv", *budget)
    assert (code, "--label label" in err) == (2, True)
    options = ["--label", "label", "--drop", "who", "--missing", "drop", "--scale", "minmax"]
    code, out, err = cli("compare", "mine.csv", *options, *budget)
    assert code == 0, err
    assert "2 classes of 'label' (cat, dog), scaled by minmax, 1 rows" in err
    assert [len(entry["test_accuracy"]) for entry in json.loads(out)["generators"]] == [3, 3]
    (run,) = (tmp_path / "runs").iterdir()
    assert cli("compare", "--config", str(run / "config.toml"), "--json")[1]
    code, _, err = cli("certify", "mine.csv", "--data", "toy")
    assert (code, "Got mine.csv and --data toy; expected one of them" in err) == (2, True)


CHOICES = ["--layers", "2,4,1", "--biases", "--activation", "relu,sigmoid"]


@pytest.fixture
def few_gaussians(tmp_path: Path) -> str:
    """So few rows that all strings of some bits are enumerated at once."""
    rows = load("gaussians").train
    np.savez(tmp_path / "few.npz", x=rows.x[:40], y=rows.y[:40])
    return str(tmp_path / "few.npz")


def test_choices_of_the_target_from_end_to_end(cli, tmp_path: Path, few_gaussians: str) -> None:
    code, out, err = cli("compare", "--data", few_gaussians, *CHOICES, "--evaluations", "1000",
                         "--seeds", "2", "--generators", "product,annealing", "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    name = "BinaryNetwork(WeightSpace((2, 4, 1), biases=True, activation=('relu', 'sigmoid')))"
    assert found["network"] == name
    assert found["certificate"]["bits"] == 18
    assert found["certificate"]["method"] == "enumeration"
    assert [entry["regret"]["median"] >= 0 for entry in found["generators"]] == [True, True]
    (run,) = (tmp_path / "runs").iterdir()
    assert html.escape(name, quote=False) in html.unescape((run / "report.html").read_text())
    assert cli("resume", str(run), "--json")[1] == out
    code, out, err = cli("certify", "--data", few_gaussians, *CHOICES, "--json")
    assert code == 0, err
    assert json.loads(out).items() >= (found["certificate"] | {"temperature": 0.05}).items()


def test_choices_can_stand_anywhere(cli, tmp_path: Path, only_planned) -> None:
    Path("mine.toml").write_text(
        'data = "digits"\nlayers = [4, 4, 2]\nbiases = true\nvalues = [[0, 1], [-1, 1]]\n'
        'activation = ["relu", "tanh"]\noptional = ["units", "layers"]\n'
    )
    written = ["--set", "layers=[4,4,2]", "--set", "biases=true", "--set", "values=[[0,1],[-1,1]]",
               "--set", "activation=['relu','tanh']",
               "--set", "optional=['units','layers']"]  # fmt: skip
    spelt = ["--layers", "4,4,2", "--biases", "--values", "0,1", "--values", "-1,1",
             "--activation", "relu,tanh", "--optional", "units,layers"]  # fmt: skip
    spaces = []
    for number, where in enumerate((["--config", "mine.toml"], written, spelt)):
        command = "compare" if number < 2 else "train"
        which = ["--generators", "product"] if number < 2 else ["--generator", "product"]
        code, _, err = cli(command, "--data", "digits", *where, *which, "--out", f"runs{number}")
        assert code == 0, err
        (path,) = (tmp_path / f"runs{number}").iterdir()
        spaces.append(build_problem(Run.open(path).config).objective.network.space)
    assert spaces[0] == spaces[1] == spaces[2]
    assert spaces[0] == WeightSpace(
        (4, 4, 2), biases=True, values=((0, 1), (-1, 1)), activation=("relu", "tanh"),
        optional=("units", "layers"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compare", "--data", "tooy"], 2, "Unknown data set 'tooy'. Did you mean 'toy'"),
        (["compare", "--generators", "prodct"], 2, "Did you mean 'product'"),
        (["compare", "--set", "evaluatons=3"], 2, "Did you mean 'evaluations'"),
        (["compare", "--loss", "crossentropy"], 2, "Did you mean 'cross_entropy'"),
        (["compare", "--evaluations", "0"], 2, "evaluations = 0"),
        (["compare", "--evaluations", "10"], 2, "10 evaluations has 0 steps"),
        (["compare", "--seeds", "many"], 2, "Got --seeds many"),
        (["compare", "--layers", "3,6,2"], 2, "3 inputs"),
        (["compare", "--activation", "relu,sigmod"], 2, "Did you mean 'sigmoid'"),
        (["compare", "--values", "0,one"], 2, "Got --values 0,one; expected two numbers"),
        (["compare", "--values", "0,1", "--values", "2"], 2, "expected the two numbers"),
        (["compare", "--optional", "biases"], 2, "optional biases, but biases=False"),
        (["train", "--optional", "layers"], 2, "no hidden layer has as many units as inputs"),
        (["certify", "--biases", "--method", "classes"], 2, "between signs, and its bits are more"),
        (["compare", "--objective", "os:getcwd", "--biases"], 2, "biases would be ignored"),
        (["compare", "--objective", "os:getcwd"], 2, "needs the number of bits"),
        (["compare", "--seeds", "-1"], 2, "expected at least 1 seed"),
        (["compare", "--bits", "7"], 2, "`bits` is for an own objective"),
        (["train", "--set", "entries=5"], 2, "expected tables, [[entries]]"),
        (["compare", "--set", "entries=['x']", "--generators", "mlp"], 2, "expected tables"),
        (["train", "--set", "entries=[{name='mlp', training=5}]"], 2, "Got training = 5"),
        (["train", "--generator", "quantum", "--option", "depth=abc"], 2, "'abc'"),
        (["compare", "--config", "none.toml"], 3, "There is no configuration file"),
        (["train", "--generator", "mlp", "--option", "latent_bits=9"], 2, "latent"),
        (["train", "--generator", "mlp", "--draws", "1"], 2, "at least 2 shots"),
        (["train", "--generator", "quantum", "--option", "depth=60"], 2, "GiB"),
        (["certify", "--data", "digits", "--layers", "4,9,9,2"], 2, "26"),
        (["compare", "--estimators", "spsa,spas"], 2, "estimator 'spas'. Did you mean 'spsa'"),
        (["compare", "--risks", "cvra"], 2, "Unknown risk 'cvra'. Did you mean 'cvar'"),
        (["compare", "--backends", "mps,are"], 2, "Unknown backend 'are'. Did you mean 'aer'"),
        (["compare", "--generators", "prodct", "--risks", "mmd"], 2, "Did you mean 'product'"),
        (["compare", "--data", "digits", "--generators", "mlp,bernoulli", "--estimators",
          "parameter-shift"], 2, "qhyper: Parameter shift shifts the angles of a circuit"),
        (["train", "--risk", "cvar", "--training", "risk_options.alpha=abc"], 2, "'abc' (str)"),
        (["resume", "."], 2, "is not a run directory"),
        (["report", "."], 2, "is not a run directory"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_clear_error(cli, arguments, code: int, message: str) -> None:
    got, out, err = cli(*arguments)
    assert got == code
    assert message in err
    assert out == ""
    assert not Path("runs").exists()


def test_missing_data_exits_with_3(cli, monkeypatch) -> None:
    def no_network(*arguments, **options):
        raise OSError("no network")

    import pooch

    monkeypatch.setenv("QHYPER_DATA", ".")
    monkeypatch.setattr(pooch, "retrieve", no_network)
    monkeypatch.setattr(pooch, "os_cache", lambda name: Path("cache"))
    code, _, err = cli("compare", "--data", "mnist")
    assert code == 3
    assert "SHA-256" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_130(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "qhyper"]
    training = ["train", "--generator", "quantum-depth2", "--data", "digits", "--draws", "16"]
    process = subprocess.Popen(
        [*command, *training, "--evaluations", "100000000", "--set",
         "entries=[{name='quantum-depth2', training={checkpoint_every=10}}]"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/quantum-depth2/checkpoints/*.pt")):
        assert time.monotonic() < deadline, "no checkpoint after 120 s"
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Go on with: qhyper resume" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 3}, r"Got seeds=3; expected a list of them, or range\(3\)"),
        ({"test": 5}, "Got int as test; expected Samples"),
        ({"evaluations": 0}, "evaluations = 0"),
        ({"entries": ["mlp", "mlp"]}, "'mlp' stands twice"),
        ({"temperature": 0}, "temperature = 0"),
    ],
)
def test_compare_in_python_checks_before_it_runs(objective, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compare(objective, **arguments)
    assert objective.evaluations == 0


def test_compare_in_python_wants_an_objective(digits) -> None:
    with pytest.raises(ConfigurationError, match="Got function as the objective; expected an Obj"):
        compare(lambda bits: bits.sum(axis=1))


def test_pairs_are_tested_and_what_bits_are_worth_together_is_printed(cli, tmp_path: Path) -> None:
    searches = ["--generators", "product,quantum-depth2,random", *SMALL]
    code, out, err = cli("compare", *searches, "--json")
    assert code == 0, err
    found = json.loads(out)
    (test,) = found["tests"]  # by default against the circuit without entanglement
    assert (test["one"], test["other"], test["quantum"]) == ("quantum-depth2", "product", None)
    assert test["effect"] in ("negligible", "small", "medium", "large")
    product, circuit, control = found["generators"]
    assert product["total_correlation"]["median"] == 0
    assert circuit["total_correlation_error"] > 0
    assert circuit["product_loss"]["median"] > 0
    assert control["total_correlation"] is None
    code, out, err = cli("compare", *searches, "--test", "random:product", "--test",
                         "quantum-depth2:random")  # fmt: skip
    assert code == 0, err
    words = " ".join(out.split())
    assert "random product" in words
    assert "Total correlation" in words
    assert "standard error of a seed" in words
    (run,) = (path for path in (tmp_path / "runs").iterdir() if "tests" in
              tomllib.loads((path / "config.toml").read_text()))  # fmt: skip
    page = html.unescape((run / "report.html").read_text(encoding="utf-8"))
    assert "Is it the entanglement?" in page
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["tests"] == ["random:product", "quantum-depth2:random"]


def test_pairs_of_unknown_entries_are_refused_and_files_of_test_rows_are_still_files(cli) -> None:
    code, _, err = cli("compare", "--generators", "product,mlp", *SMALL, "--test", "product:mpl")
    assert code == 2
    assert "Unknown entry of a test 'mpl'. Did you mean 'mlp'?" in err
    code, _, err = cli("compare", *SMALL, "--test", "a.csv", "--test", "C:\\b.csv")
    assert code == 2
    assert "expected one file of test rows" in err
    code, _, err = cli("compare", "none.csv", "--test", "C:\\b.csv", "--generators", "product")
    assert code == 3
    assert "none.csv" in err
