"""Shards of a comparison are one run, and what cannot be one is refused with the reason."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qhyper.errors import ConfigurationError, StorageError
from qhyper.report.results import Correlation
from qhyper.run.comparison import execute, load_generator, plan, stored
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.run.merge import merge, merged

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

ENTRIES = [
    Entry(name="quantum-depth2", training={"draws": 16, "restarts": 2}),
    Entry(name="mlp", training={"draws": 16}),
    Entry(name="annealing"),
]


def quiet(message: str) -> None:
    """Nothing is said."""


def carried_out(root: Path, name: str, seeds: list[int], **changes) -> Run:
    base = {"data": "digits", "evaluations": 800, "entries": ENTRIES}
    made = plan(Config(seeds=seeds, **{**base, **changes}), quiet)
    run = Run.create(root, name, made.config)
    execute(run, made, warn=quiet)
    return run


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> list[Run]:
    root = tmp_path_factory.mktemp("shards")
    return [carried_out(root, "a", [5, 1]), carried_out(root, "b", [3])]


@pytest.fixture
def copies(shards, tmp_path) -> list[Run]:
    """The same, to be changed."""
    for shard in shards:
        shutil.copytree(shard.path, tmp_path / shard.path.name)
    return [Run.open(tmp_path / shard.path.name) for shard in shards]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_merged_shards_are_the_run_over_all_their_seeds_byte_for_byte(shards, tmp_path):
    before = [content(shard.path) for shard in shards]
    outcome = merge(shards, tmp_path, "both", warn=quiet)
    assert [content(shard.path) for shard in shards] == before
    both, whole = outcome.run, carried_out(tmp_path, "whole", [1, 3, 5])
    assert both is not None
    assert both.name == "both"
    assert both.path.name.endswith(whole.path.name.rpartition("-")[2])  # the same configuration
    one, other = content(both.path), content(whole.path)
    for name in ("config.toml", "certificate.json", "data.json"):
        assert one[name] == other[name]
    for entry in ENTRIES:
        assert one[f"{entry.folder}/result.json"] == other[f"{entry.folder}/result.json"]
    for name in ("quantum-depth2", "mlp"):
        assert one[f"{name}/metrics.jsonl"] == other[f"{name}/metrics.jsonl"]
        states = [load_generator(run, name).state_dict() for run in (both, whole)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    expected = stored(whole)
    for row, right in zip(outcome.tidy(), expected.tidy(), strict=True):
        assert {**row, "run": "", "name": ""} == {**right, "run": "", "name": ""}
    untimed = [replace(each, seconds_per_step=None) for each in expected.summary.generators]
    assert outcome.summary == replace(expected.summary, generators=untimed)
    assert "report.html" in one
    assert outcome == stored(Run.open(both.path))


def test_the_order_of_the_shards_makes_no_difference(shards, tmp_path):
    one, other = (merge(order, tmp_path, warn=quiet) for order in (shards, shards[::-1]))
    assert one.results == other.results
    assert one.summary == other.summary


def test_provenance_tells_of_the_shards(copies, tmp_path):
    for copy, dirty in zip(copies, (False, True), strict=True):
        told = copy.read_json("provenance.json")
        told["versions"]["numpy"], told["git"] = "2.0.0", {"revision": "abc", "dirty": dirty}
        copy.write("provenance.json", json.dumps(told))
    run = merge(copies, tmp_path, warn=quiet).run
    assert run is not None
    told = run.read_json("provenance.json")
    assert list(told["merged"]) == [str(copy.path.resolve()) for copy in copies]
    for copy, shard in zip(copies, told["merged"].values(), strict=True):
        assert shard.items() <= copy.read_json("provenance.json").items()
    assert [shard["seed_entropy"] for shard in told["merged"].values()] == [[5, 1], [3]]
    assert told["versions"]["numpy"] == "2.0.0"  # which its results were made with
    assert told["git"] == {"revision": "abc", "dirty": True}
    assert told["seed_entropy"] == [1, 3, 5]
    assert told["id"] not in [copy.identity for copy in copies]


def refused(runs, error, match, tmp_path):
    before = set(tmp_path.iterdir())
    with pytest.raises(error, match=match):
        merge(runs, tmp_path, warn=quiet)
    assert set(tmp_path.iterdir()) == before


def test_one_run_is_nothing_to_merge(shards, tmp_path):
    refused(shards[:1], ConfigurationError, "Got 1 run to merge; expected two or more", tmp_path)


def test_an_unfinished_shard_is_refused(copies, tmp_path):
    (copies[1].path / "summary.json").unlink()
    refused(copies, StorageError, "is not complete. Finish the run with `qhyper resume", tmp_path)


def test_seeds_that_stand_twice_are_refused(shards, tmp_path):
    match = r"The seed 5 stands twice, in .*-a-.* and .*-a-.*Give each shard seeds of its own"
    refused([*shards, shards[0]], ConfigurationError, match, tmp_path)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"temperature": 0.1}, r"temperature 0.05 \(there 0.1\)\. Only runs that differ in noth"),
        ({"evaluations": None, "shots": 800}, "evaluations 800 .there 'unset'., shots 'unset'"),
        ({"loss": "accuracy", "held_out": 0.1, "data_seed": 1, "device": "cuda"}, "and 1 more"),
    ],
)
def test_other_settings_are_refused_by_name(settings, match, copies, tmp_path):
    config = copies[1].config
    copies[1].configure(config.model_copy(update=settings))
    refused(copies, ConfigurationError, match, tmp_path)


def test_other_settings_of_an_entry_are_refused_by_name(copies, tmp_path):
    entries = copies[1].config.entries
    assert entries is not None
    changed = entries[1].model_copy(update={"training": entries[1].training | {"draws": 17}})
    update = {"entries": [entries[0], changed, entries[2]]}
    copies[1].configure(copies[1].config.model_copy(update=update))
    match = r"other settings than .*: mlp.training.draws 16 \(there 17\)\. Only runs"
    refused(copies, ConfigurationError, match, tmp_path)


def test_shot_budgets_and_caps_may_differ(copies, tmp_path):
    update = {"paid_shots": 7, "max_cost": 1.0}
    copies[1].configure(copies[1].config.model_copy(update=update))
    run = merge(copies, tmp_path, warn=quiet).run
    assert run is not None
    assert (run.config.paid_shots, run.config.max_cost) == (None, None)


def test_other_versions_are_refused_by_name(copies, tmp_path):
    told = copies[1].read_json("provenance.json")
    there, told["versions"]["numpy"] = told["versions"]["numpy"], "1.0"
    copies[1].write("provenance.json", json.dumps(told))
    match = rf"made with other versions than .*: numpy {there} \(there 1\.0\)\. Results"
    refused(copies, StorageError, match, tmp_path)


def test_other_data_are_refused(copies, tmp_path):
    told = copies[1].read_json("data.json") | {"sha256": "beef"}
    copies[1].write("data.json", json.dumps(told))
    refused(copies, StorageError, "has other data than .*got SHA-256 [0-9a-f]+ and beef", tmp_path)


def test_another_certified_minimum_is_refused(copies, tmp_path):
    told = copies[1].read_json("certificate.json")
    told["certificate"]["minimum_loss"] -= 0.1
    copies[1].write("certificate.json", json.dumps(told))
    refused(copies, StorageError, "has another certified minimum than", tmp_path)


def test_files_of_other_folders_are_the_same_settings(tmp_path):
    """As on two machines: the checksum of the data says whether they are the same."""
    runs = []
    for number in (0, 1):
        folder = tmp_path / f"machine{number}"
        folder.mkdir()
        rows = "\n".join(f"{k % 3 - 1},{k % 5 - 2},{k % 2}" for k in range(20))
        (folder / "mine.csv").write_text(f"a,b,label\n{rows}\n")
        runs.append(
            carried_out(folder, "part", [number], data=str(folder / "mine.csv"),
                        entries=[Entry(name="random")], evaluations=50)
        )  # fmt: skip
    outcome = merge(runs, tmp_path, warn=quiet)
    assert outcome.summary.seeds == [0, 1]


# -- results of one entry --------------------------------------------------------------------------


def test_a_result_that_ended_elsewhere_is_refused(result):
    one, other = result("mlp", "classical", [0, 1]), result("mlp", "classical", [1])
    later = replace(other, evaluations=2999)
    with pytest.raises(ConfigurationError, match=r"'mlp' differs.*evaluations: got 3000 and 2999"):
        merged([one, later], [0, 1, 2])
    curve = replace(other.curve, evaluations=other.curve.evaluations[:-1])
    with pytest.raises(ConfigurationError, match=r"'mlp' differs between the runs.*evaluations"):
        merged([one, replace(other, curve=curve)], [0, 1, 2])


def test_what_one_alone_has_measured_is_refused(result):
    one, other = result("mlp", "classical", [0, 1]), result("mlp", "classical", [1])
    with pytest.raises(ConfigurationError, match="have measured final_risk, and others have not"):
        merged([one, replace(other, final_risk=[0.1])], [0, 1, 2])
    bits = Correlation(total_correlation=[0.1], total_correlation_error=None, loss=[0.5],
                       product_loss=[0.7], loss_error=None)  # fmt: skip
    with pytest.raises(ConfigurationError, match="total correlation in some of the runs"):
        merged([one, replace(other, correlation=bits)], [0, 1, 2])
    both = merged([replace(other, correlation=bits), replace(other, correlation=bits)], [1, 0])
    assert both.correlation == replace(
        bits, total_correlation=[0.1] * 2, loss=[0.5] * 2, product_loss=[0.7] * 2
    )


def test_tuned_shards_are_merged_without_another_search(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    tune = {"seeds": [100], "evaluations": 600, "sampler": "random"}
    base = {"layers": [4, 3, 2], "evaluations": 200, "entries": [Entry(name="annealing")]}
    shards = [
        carried_out(tmp_path, name, seeds, tune=tune, **base)
        for name, seeds in (("a", [0]), ("b", [1, 2]))
    ]
    monkeypatch.setattr("qhyper.run.tune.tuned", pytest.fail)
    outcome = merge(shards, tmp_path, "both", warn=quiet)
    assert outcome.run is not None
    assert outcome.summary.tuning == stored(shards[0]).summary.tuning
    assert stored(Run.open(outcome.run.path)) == outcome
    searched = sorted(path.name for path in (outcome.run.path / "tuning" / "annealing").iterdir())
    assert "search.jsonl" in searched


def test_shards_that_have_searched_otherwise_are_refused(tmp_path):
    pytest.importorskip("optuna")
    tune = {"seeds": [100], "evaluations": 600, "sampler": "random"}
    base = {"layers": [4, 3, 2], "evaluations": 200, "entries": [Entry(name="annealing")]}
    shards = [
        carried_out(tmp_path, name, seeds, tune=tune, **base)
        for name, seeds in (("a", [0]), ("b", [1]))
    ]
    summary = shards[1].path / "summary.json"
    found = json.loads(summary.read_text())
    found["tuning"]["optuna"] = "0.1"
    summary.write_text(json.dumps(found))
    with pytest.raises(ConfigurationError, match="have searched otherwise than those of"):
        merge(shards, tmp_path, "both", warn=quiet)
