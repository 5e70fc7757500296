import numpy as np
import pytest

from qhyper.bits import all_bitstrings
from qhyper.data.samples import Dataset, Samples, Targets
from qhyper.errors import ConfigurationError
from qhyper.run.comparison import compare
from qhyper.run.config import Config
from qhyper.run.problem import build_problem
from qhyper.targets.layered.network import BinaryNetwork, layered
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.packed.target import PackedTarget


def targets(rows=50, inputs=2, seed=0):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(rows, inputs)), 1)
    return Targets(x, 3 * x[:, 0] - x[:, 1] + rng.normal(size=rows))


@pytest.mark.parametrize(
    "space",
    [
        WeightSpace((2, 3, 1)),
        WeightSpace((2, 1)),
        WeightSpace((2, 2, 1), biases=True, values=(-0.5, 0.5)),
        WeightSpace((2, 2, 1), activation="tanh"),
    ],
    ids=str,
)
def test_the_loss_is_the_mean_squared_error_of_the_output(space):
    network, data = BinaryNetwork(space), targets()
    bits = all_bitstrings(network.n_bits)
    wanted = ((network.logits(bits, data.x)[..., 0] - data.y) ** 2).mean(axis=-1)
    objective = network.objective(data, "squared_error")
    np.testing.assert_allclose(objective(bits), wanted, rtol=1e-12)
    losses, flips = objective.flips(bits[:3])
    np.testing.assert_allclose(losses, wanted[:3], rtol=1e-12)
    flipped = bits[:3, None] ^ np.eye(network.n_bits, dtype=np.uint8)
    np.testing.assert_allclose(losses[:, None] + flips, objective(flipped), rtol=1e-12)
    assert objective.rows == objective.evaluations * 50


def test_it_trains_like_any_objective():
    objective = BinaryNetwork((2, 2, 1)).objective(targets(), "squared_error")
    least = objective(all_bitstrings(6)).min()
    outcome = compare(objective, ["bernoulli", "random"], seeds=range(2), evaluations=2_000)
    for result in outcome.results:
        assert min(result.best_loss) == pytest.approx(least)


def test_a_network_no_better_than_one_number_is_told():
    rng = np.random.default_rng(0)
    data = Targets(rng.normal(size=(60, 2)), 0.01 * rng.normal(size=60))
    objective = BinaryNetwork((2, 2, 1)).objective(data, "squared_error")
    assert objective.constant_loss == pytest.approx(data.y.var())
    outcome = compare(objective, ["random", "bernoulli"], seeds=[0], evaluations=600)
    assert any("no better than one number for all" in said for said in outcome.summary.warnings)
    easy = BinaryNetwork((2, 2, 1)).objective(targets(), "squared_error")
    outcome = compare(easy, ["random", "bernoulli"], seeds=[0], evaluations=600)
    assert not any("one number for all" in said for said in outcome.summary.warnings)


def test_numbers_are_no_classes():
    data, network = targets(), BinaryNetwork((2, 2, 1))
    classes = "which are no classes. Predict them with --loss squared_error.*--layers 2,6,1"
    for refused in (
        lambda: network.objective(data),
        lambda: network.objective(data, "accuracy"),
        lambda: network.losses(np.zeros(6, int), data),
        lambda: network.batches(data, size=2, scored_on="own"),  # type: ignore[arg-type]
        lambda: PackedTarget((2, 4, 2)).objective(data),
    ):
        with pytest.raises(ConfigurationError, match=classes):
            refused()
    with pytest.raises(ConfigurationError, match=r"network \(2, 2, 2\) of 2 outputs for numbers"):
        BinaryNetwork((2, 2, 2)).objective(data, "squared_error")
    with pytest.raises(ConfigurationError, match="2 features, but the network"):
        BinaryNetwork((3, 2, 1)).objective(data, "squared_error")
    with pytest.raises(ConfigurationError, match="target nan in row 1"):
        Targets(np.zeros((2, 1)), np.array([0, np.nan]))


def test_a_network_for_a_regression_has_one_output():
    data = targets()
    assert layered(Dataset("own", data, data)).layers == (2, 6, 1)


def test_a_file_of_numbers_to_predict(tmp_path):
    data = targets(rows=40)
    lines = [f"{a:g},{b:g},{y:.4f}" for (a, b), y in zip(data.x, data.y, strict=True)]
    path = tmp_path / "mine.csv"
    path.write_text("a,b,price\n" + "\n".join(lines))
    with pytest.raises(ConfigurationError, match=r"which are no classes.*--loss squared_error"):
        build_problem(Config(data=str(path)))
    problem = build_problem(Config(data=str(path), loss="squared_error", scale="standard"))
    assert problem.objective.layout is not None
    assert problem.objective.layout.layers == (2, 6, 1)
    assert problem.dataset is not None
    train = problem.dataset.train
    bits = np.random.default_rng(0).integers(0, 2, (5, problem.objective.n_bits))
    z = BinaryNetwork((2, 6, 1)).logits(bits, train.x)[..., 0]
    np.testing.assert_allclose(problem.objective(bits), ((z - train.y) ** 2).mean(axis=-1))
    assert isinstance(train.take(np.array([0, 1])), Targets)
    assert type(Samples(train.x, np.zeros(len(train))).take(np.array([0]))) is Samples  # type: ignore[arg-type]
