import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from qhyper.data.samples import Dataset, Samples, Targets
from qhyper.data.scaling import Scaling
from qhyper.errors import ConfigurationError
from qhyper.run.comparison import execute, plan
from qhyper.run.config import Config
from qhyper.run.directory import Run
from qhyper.targets.layered.export import to_onnx
from qhyper.targets.layered.network import BinaryNetwork


def dataset(seed=0, rows=41):
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(rows, 3)) * [1, 1000, 0] + [5, -2, 7]  # the last is constant
    y = np.arange(rows) % 2
    return Dataset("own", Samples(x[:30], y[:30]), Samples(x[30:], y[30:]))


def expected(x, by):
    if by == "standard":
        shift, scale = x.mean(axis=0), x.std(axis=0)
    elif by == "median":
        low, shift, high = np.percentile(x, (25, 50, 75), axis=0)
        scale = high - low
    else:
        low, high = x.min(axis=0), x.max(axis=0)
        shift, scale = (low + high) / 2, (high - low) / 2
    return shift, np.where(scale == 0, 1, scale)


@pytest.mark.parametrize("by", ["standard", "median", "minmax"])
def test_features_are_scaled_as_the_training_rows_say(by):
    plain = dataset()
    scaled = plain.scaled(by)
    shift, scale = expected(plain.train.x, by)
    varying = slice(0, 2)
    for part in ("train", "test"):
        got, raw = getattr(scaled, part), getattr(plain, part)
        np.testing.assert_allclose(got.x[:, varying], ((raw.x - shift) / scale)[:, varying])
        assert np.unique(got.x[:, 2]).size == 1
        assert np.array_equal(got.y, raw.y)
    assert scaled.scaling is not None
    again = Scaling(**json.loads(json.dumps(vars(scaled.scaling))))
    np.testing.assert_array_equal(again(plain.test.x), scaled.test.x)
    assert f"scaled by {by}" in repr(scaled)


def test_without_scaling_nothing_changes():
    plain = dataset()
    assert plain.scaled("none") is plain


def test_numbers_to_predict_are_scaled_too():
    plain = dataset()
    data = Dataset("own", *(Targets(p.x, p.x[:, 1] * 3) for p in (plain.train, plain.test)))
    scaled = data.scaled("standard")
    np.testing.assert_allclose([scaled.train.y.mean(), scaled.train.y.std()], [0, 1], atol=1e-12)
    np.testing.assert_allclose(scaled.test.y, scaled.test.x[:, 1])


def test_an_unknown_way_is_refused():
    with pytest.raises(ConfigurationError, match="scale='zscore'; expected standard, median, min"):
        dataset().scaled("zscore")


@pytest.mark.parametrize("by", ["standard", "median", "minmax"])
@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_features_of_any_unit_are_scaled_alike(unit, by):
    plain = dataset()
    x = plain.train.x[:, :1]
    other = Dataset("own", Samples(x * unit, plain.train.y), Samples(x * unit, plain.train.y))
    np.testing.assert_allclose(
        other.scaled(by).test.x[:, 0], plain.scaled(by).train.x[:, 0], rtol=1e-9, atol=1e-9
    )


def test_exports_take_features_as_they_were(tmp_path):
    plain = dataset(seed=3)
    scaled = plain.scaled("standard")
    network = BinaryNetwork((3, 4, 2))
    bits = np.random.default_rng(1).integers(0, 2, network.n_bits)
    wanted = network.logits(bits, scaled.test.x)
    module = network.to_torch(bits, scaling=scaled.scaling)
    np.testing.assert_array_equal(module(torch.tensor(plain.test.x)).detach(), wanted)
    to_onnx(network, bits, tmp_path / "net.onnx", scaling=scaled.scaling)
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    np.testing.assert_array_equal(session.run(["logits"], {"x": plain.test.x})[0], wanted)
    other = Scaling("standard", (0.0,), (1.0,))
    with pytest.raises(ConfigurationError, match=r"scaling of 1 features .*expected 3"):
        network.to_torch(bits, scaling=other)
    with pytest.raises(ConfigurationError, match="scaling of 1 features"):
        to_onnx(network, bits, tmp_path / "other.onnx", scaling=other)


def test_a_run_keeps_what_its_file_said(tmp_path):
    rows = "".join(f"{i},{i * i % 7 + 5},{'cat' if i % 3 else 'dog'}\n" for i in range(30))
    path = Path(tmp_path / "mine.csv")
    path.write_text(f"a,b,kind\n?,1,cat\n{rows}")
    config = Config(
        data=str(path), data_options={"missing": "drop"}, scale="median", layers=[2, 2, 2],
        seeds=[0], evaluations=60, entries=[{"name": "random"}],
    )  # type: ignore[arg-type]  # fmt: skip
    made = plan(config)
    run = Run.create(tmp_path / "runs", "compare", made.config)
    outcome = execute(run, made)
    kept = json.loads((run.path / "data.json").read_text())
    assert (kept["features"], kept["classes"], kept["left_out"]) == (["a", "b"], ["cat", "dog"], 1)
    scaling = Scaling(**kept["scaling"])
    network = BinaryNetwork((2, 2, 2))
    best = [int(bit) for bit in outcome.results[0].best_bits[0] or ""]
    assert made.problem.dataset is not None
    raw = plan(config.model_copy(update={"scale": "none"})).problem.dataset
    assert raw is not None
    by_hand = Samples(scaling(raw.test.x), raw.test.y)
    assert outcome.results[0].test_accuracy == pytest.approx(network.accuracy([best], by_hand))
    assert (Run.open(run.path).config.scale, Run.open(run.path).complete) == ("median", True)
