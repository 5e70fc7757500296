"""Configuration: unknown keys, bad values, TOML and back."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError, MissingError
from qhyper.run.comparison import plan
from qhyper.run.config import (
    BUDGETS,
    COMPARED,
    TARGET_CHOICES,
    Config,
    Entry,
    TrainingSettings,
    assign,
    read,
    to_toml,
)
from qhyper.run.problem import build_problem
from qhyper.spending import Budget
from qhyper.targets.layered.space import WeightSpace


def test_defaults_are_the_comparison_of_the_readme() -> None:
    made = plan(Config())
    config = made.config
    assert config.data == "toy"
    assert config.seeds == list(range(10))
    assert config.evaluations == 300_000
    assert [entry.title for entry in config.entries or []] == list(COMPARED)
    assert [trial.entry for trial in made.trials] == config.entries


def test_a_plan_has_every_training_setting_and_no_relative_path(tmp_path: Path) -> None:
    entries = [Entry(name="product", training={"learning_rate": 0.3}), Entry(name="random")]
    made = plan(Config(data="digits", entries=entries, evaluations=50_000))
    product, random = made.config.entries or []
    assert random.training == {}
    assert product.training["learning_rate"] == 0.3
    assert product.training["restarts"] == 5
    unset = {"batch", "minutes"}  # all rows, and no limit of time
    assert set(product.training) == set(TrainingSettings.model_fields) - set(BUDGETS) - unset
    again = plan(Config(data="digits", entries=[product], evaluations=50_000))
    assert again.config.entries == [product]


def test_what_is_not_made_for_the_target_is_left_out_unless_it_was_asked_for() -> None:
    heard: list[str] = []
    own = {"objective": "numpy:sum", "bits": 5}
    entries = plan(Config(**own), heard.append).config.entries or []
    assert [entry.title for entry in entries] == [n for n in COMPARED if n != "categorical"]
    refusal = "Categorical is for one hidden layer, .*; got layout bits 5. Use Bernoulli"
    assert re.match(f"Left out categorical: {refusal}", heard[0])
    with pytest.raises(ConfigurationError, match=refusal):
        plan(Config(**own, entries=[Entry(name="categorical")]))


def test_choices_that_were_not_made_leave_a_configuration_as_it_was() -> None:
    for config in (Config(), Config(data="digits", layers=[4, 3, 2], sign_of_zero=0)):
        chosen = {"sign_of_zero"} & config.model_fields_set
        assert set(TARGET_CHOICES) & set(tomllib.loads(to_toml(config))) == chosen
        assert build_problem(config).objective.network.space.plain
    digest = hashlib.sha256(to_toml(Config(seeds=[3], data="digits")).encode()).hexdigest()
    assert digest.startswith("c9c91181")  # part of the names of its runs


def test_choices_make_the_space_of_the_target() -> None:
    config = Config(
        data="digits", layers=[4, 4, 2], biases=True, values=[[0, 1], [-1, 1]], sign_of_zero=0,
        activation=["relu", "sigmoid"], optional=["layers", "units"],
    )  # fmt: skip
    objective = build_problem(config).objective
    assert objective.network.space == WeightSpace(
        (4, 4, 2), biases=True, values=((0, 1), (-1, 1)), activation=("relu", "sigmoid"),
        optional=("units", "layers"),
    )  # fmt: skip
    assert objective.network.sign_of_zero == 0
    assert objective.n_bits == 24 + 6 + 1 + 1 + 4 + 1
    one = build_problem(Config(data="digits", activation="relu", values=[-2, 1]))
    one = one.objective.network.space
    assert one == WeightSpace((4, 6, 2), activation="relu", values=(-2, 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"activation": ["relu", "sigmod"]}, "Unknown activation 'sigmod'. Did you mean 'sigmoid'"),
        ({"values": [0, 1, 2]}, r"Got values=\[0, 1, 2\]; expected the two numbers"),
        ({"values": [[0, 1], [1, 1]]}, "expected two different numbers"),
        ({"values": [{"low": 0}]}, "expected the two numbers"),
        ({"optional": ["biases"]}, "optional biases, but biases=False"),
        ({"optional": ["layers"]}, "no hidden layer has as many units as inputs"),
    ],
)
def test_choices_that_cannot_be_are_refused_before_anything_runs(values, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plan(Config(data="digits", **values))


def test_toml_round_trip(tmp_path: Path) -> None:
    entry = Entry(name="quantum", label="deep", options={"depth": 6}, training={"draws": 128})
    config = Config(
        data="digits", seeds=[4, 7], layers=[4, 3, 2], entries=[entry], biases=True,
        values=[[-0.5, 1], [0, 1]], activation=["tanh", "sign"], optional=["biases"],
    )  # fmt: skip
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert Config(**read(path)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dta": "toy"}, "Unknown key in the configuration 'dta'. Did you mean 'data'"),
        ({"entries": [{"nam": "mlp"}]}, "Unknown key in the entry 'nam'. Did you mean"),
        (
            {"entries": [{"name": "mlp", "training": {"drawz": 3}}]},
            "Unknown key in the training 'drawz'. Did you mean 'draws'",
        ),
        (
            {"entries": [{"name": "mlp", "training": {"draws": 0}}]},
            "draws = 0: .*at least|draws = 0: .*greater",
        ),
        ({"entries": [{"name": "mlp"}, {"name": "mlp"}]}, "'mlp' stands twice"),
        ({"entries": []}, "entries = .*at least 1 item"),
        ({"loss": "crossentropy"}, "Unknown loss 'crossentropy'. Did you mean 'cross_entropy'"),
        ({"seeds": [1, 1]}, "expected different seeds"),
        ({"seeds": []}, "seeds = .*at least 1 item"),
        ({"evaluations": 0}, "evaluations = 0: .*greater than or equal to 1"),
        ({"evaluations": True}, "evaluations: expected a number, but got True"),
        ({"seeds": [0, True]}, r"seeds: expected a number, but got \[0, True\]"),
        ({"sign_of_zero": 2}, "sign_of_zero = 2"),
        ({"entries": [{"name": "mlp", "training": {"evaluations": 9}}]}, "the whole run's"),
        ({"temperature": float("inf")}, "temperature = inf: Input should be a finite number"),
        ({"biases": "perhaps"}, "biases = 'perhaps': .*boolean"),
        ({"values": 3}, "values = 3: .*list"),
        ({"optional": "units"}, "optional = 'units': .*list"),
        ({"activation": 3}, "activation.* = 3: .*string"),
        ({"objective": "a:b", "bits": 5, "biases": True}, "biases would be ignored"),
        ({"objective": "a:b", "bits": 5, "optional": []}, "optional would be ignored"),
        ({"bits": 5}, "`bits` is for an own objective"),
        ({"objective": "a:b", "bits": 5, "loss": "accuracy"}, "loss would be ignored"),
    ],
)
def test_bad_values_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Config(**values)


def test_no_draws_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="draws = 0"):
        TrainingSettings(draws=0)


def test_a_budget_is_of_evaluations_unless_told() -> None:
    assert Config().budget == Budget(evaluations=300_000)
    assert Config(shots=5).budget == Budget(shots=5)
    assert Config(circuits=7, evaluations=9).budget == Budget(evaluations=9, circuits=7)
    assert TrainingSettings(circuits=3).evaluations is None


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no configuration file"):
        read(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("a = = 1")
    with pytest.raises(ConfigurationError, match="is not a readable TOML file"):
        read(broken)


TEXT = 'data = "toy"\r\nobjective = "mänge:loss"\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_have_a_byte_order_mark_or_none(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(TEXT.encode(encoding))
    assert read(path) == {"data": "toy", "objective": "mänge:loss"}


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "it is in UTF-16, as Windows PowerShell's > writes it.* save it as UTF-8"),
        ("utf-16-le", "it is in UTF-16"),
        ("utf-16-be", "it is in UTF-16"),
        ("cp1252", "line 2 has a character that is not in UTF-8, as TOML is; save the file as UTF"),
    ],
)
def test_files_of_another_encoding_are_refused(tmp_path: Path, encoding: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(ConfigurationError, match=f"is not a readable TOML file: .*{message}"):
        read(path)


def test_assignments() -> None:
    values: dict = {}
    for text in ("a.b=3", "a.c=[1, 2]", "name=toy", 'quoted="x"', "rate=1e-3"):
        assign(values, text)
    assert values == {"a": {"b": 3, "c": [1, 2]}, "name": "toy", "quoted": "x", "rate": 1e-3}
    entries: dict = {"entries": [{"name": "mlp"}]}
    assign(entries, "entries.0.training.optimizer=SGD")
    assert entries == {"entries": [{"name": "mlp", "training": {"optimizer": "SGD"}}]}
    with pytest.raises(ConfigurationError, match=r"'1'\. Entries go by .* \(mlp\) or are numbered"):
        assign(entries, "entries.1.training.optimizer=SGD")
    with pytest.raises(ConfigurationError, match="expected --set key=value"):
        assign(values, "nothing")
    with pytest.raises(ConfigurationError, match="name is not a table of settings"):
        assign(values, "name.x=1")
    assign(entries, "entries.mlp.options.hidden=8")
    assert entries["entries"][0]["options"] == {"hidden": 8}
    with pytest.raises(ConfigurationError, match=r"entries\.0, which names no setting of an entry"):
        assign(entries, "entries.0=1")


@pytest.mark.parametrize(
    ("title", "folder"),
    [
        ("product", "product"),
        ("a b/c:d", "a_b_c_d"),
        (r"C:\x", "C__x"),
        ("CON", "CON_"),
        ("lpt1", "lpt1_"),
        ("com10", "com10"),
        ("submissions", "submissions_"),
        ("Quantum depth 2.", "Quantum_depth_2_"),
    ],
)
def test_folders_of_entries_are_ones_that_every_system_can_have(title: str, folder: str) -> None:
    assert Entry(name="product", label=title).folder == folder


@pytest.mark.parametrize("titles", [("A", "a"), ("a b", "A.b"), ("con", "con_")])
def test_folders_that_some_system_takes_for_one_are_refused(titles: tuple[str, str]) -> None:
    entries = [{"name": "product", "label": title} for title in titles]
    with pytest.raises(ConfigurationError, match="stands twice, as the name of a folder; give"):
        Config(entries=entries)
