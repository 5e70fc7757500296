"""Configuration: unknown keys, bad values, TOML and back."""

from pathlib import Path

import pytest

from qhyper.config import COMPARED, Config, Entry, TrainingSettings, assign, parse, read, to_toml
from qhyper.errors import ConfigurationError, MissingError


def test_defaults_are_the_comparison_of_the_readme() -> None:
    config = Config()
    assert config.data == "toy"
    assert config.seeds == list(range(10))
    assert config.evaluations == 300_000
    assert [entry.title for entry in config.entries] == list(COMPARED)


def test_toml_round_trip(tmp_path: Path) -> None:
    entry = Entry(name="quantum", label="deep", options={"depth": 6}, training={"draws": 128})
    config = Config(data="digits", seeds=[4, 7], layers=[4, 3, 2], entries=[entry])
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert parse(Config, read(path)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dta": "toy"}, "Unknown key in the configuration 'dta'. Did you mean 'data'"),
        ({"entries": [{"nam": "mlp"}]}, "Unknown key in the configuration 'nam'. Did you mean"),
        (
            {"entries": [{"name": "mlp", "training": {"drawz": 3}}]},
            "Unknown key in the training 'drawz'. Did you mean 'draws'",
        ),
        (
            {"entries": [{"name": "mlp", "training": {"draws": 1}}]},
            "draws = 1: .*at least|draws = 1: .*greater",
        ),
        ({"entries": [{"name": "mlp"}, {"name": "mlp"}]}, "'mlp' stands twice"),
        ({"entries": []}, "entries = .*at least 1 item"),
        ({"loss": "crossentropy"}, "Unknown loss 'crossentropy'. Did you mean 'cross_entropy'"),
        ({"seeds": [1, 1]}, "expected different seeds"),
        ({"seeds": []}, "seeds = .*at least 1 item"),
        ({"evaluations": 0}, "evaluations = 0: .*greater than or equal to 1"),
        ({"sign_of_zero": 2}, "sign_of_zero = 2"),
    ],
)
def test_bad_values_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(Config, values)


def test_fewer_than_two_draws_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="draws = 1"):
        parse(TrainingSettings, {"draws": 1}, "training")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no configuration file"):
        read(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = = 1")
    with pytest.raises(ConfigurationError, match="is not a readable TOML file"):
        read(broken)


def test_assignments() -> None:
    values: dict = {}
    for text in ("a.b=3", "a.c=[1, 2]", "name=toy", 'quoted="x"', "rate=1e-3"):
        assign(values, text)
    assert values == {"a": {"b": 3, "c": [1, 2]}, "name": "toy", "quoted": "x", "rate": 1e-3}
    with pytest.raises(ConfigurationError, match="expected --set key=value"):
        assign(values, "nothing")
    with pytest.raises(ConfigurationError, match="name is not a table"):
        assign(values, "name.x=1")
