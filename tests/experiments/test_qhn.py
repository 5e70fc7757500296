"""What qhn-gaussian and qhn-mnist share, on a problem of seven bits; and the paper's problems."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from experiments import qhn, qhn_tables
from experiments.qhn import Problem, Size
from experiments.qhn_gaussian import study as gaussian_study
from experiments.qhn_mnist import study as mnist_study
from experiments.study import find
from qhyper import BinaryNetwork, Samples, WeightSpace
from qhyper.bits import all_bitstrings
from qhyper.data.sets import availability

needs_mnist = pytest.mark.skipif(
    not availability()["mnist"].startswith("found"),
    reason="MNIST: QHYPER_DATA is not set",
)


def samples():
    rng = np.random.default_rng(0)
    return Samples(rng.normal(size=(30, 6)), rng.integers(0, 2, 30))


TINY = Problem(
    "tiny", BinaryNetwork(WeightSpace((6, 1), biases=True)), samples, order=(2, 0, 1, 3, 6, 5, 4)
)
SIZE = Size({"tiny": {("uniform", 0): 4, ("uniform", 2): 4, ("near", 2): 3}}, seeds=2)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(qhn, "PROBLEMS", {"tiny": TINY})
    monkeypatch.setattr(qhn_tables, "PROBLEMS", {"tiny": TINY})
    qhn.cost_table.cache_clear()
    yield {name: work() for name, work in qhn.parts(SIZE).items()}
    qhn.cost_table.cache_clear()


def test_tables_pictures_and_numbers_of_a_small_problem(tiny, tmp_path):
    losses = TINY.network.losses(all_bitstrings(7), samples())
    known = tiny["landscape-tiny"]
    assert known["minimum"] == pytest.approx(losses.min(), abs=1e-12)
    assert known["next"] == pytest.approx(np.sort(losses)[1], abs=1e-12)
    assert sum(known["body_shares"]) == pytest.approx(1)
    for name, found in tiny.items():
        if name.startswith(("uniform", "near")):
            gap = np.array(found["value"]) - known["minimum"]
            assert (gap > -1e-12).all()
            assert (np.array(found["p_near"]) >= found["p_optimum"]).all()
            # ⟨C⟩ above the minimum is at least what the other strings must bring
            missed = (1 - np.array(found["p_optimum"])) * (known["next"] - known["minimum"])
            assert (gap >= missed - 1e-9).all()
            for rank, p in zip(found["rank"], found["p_optimum"], strict=True):
                assert rank == 1 or p <= 0.5
    text = qhn_tables.tables(tiny, SIZE)
    assert "nan" not in text
    assert "| random angles | product | 4 |" in text
    assert "2 seeds, 128 evaluations each" in text
    qhn_tables.draw_depths(tiny, SIZE, tmp_path / "depth.svg")
    qhn_tables.draw_spectrum(tiny, ["tiny"], tmp_path / "spectrum.svg")
    for path in tmp_path.iterdir():
        ElementTree.parse(path)
    numbers = qhn_tables.measured(tiny, SIZE)
    assert numbers["tiny-near-2-within"] == 1.0


@pytest.mark.parametrize("study", [gaussian_study, mnist_study])
def test_costs_that_parts_need_are_enumerated_beforehand(study, monkeypatch):
    made = []
    monkeypatch.setattr(qhn, "cost_table", made.append)
    study.prepare(list(study.parts(quick=False)))
    assert sorted(made) == sorted(study.FULL.restarts)
    made.clear()
    problem, *_ = study.FULL.restarts
    study.prepare([f"uniform-4-{problem}", f"landscape-{problem}"])
    assert made == [problem]


def test_the_near_product_start_is_near_the_uniform_product_state(monkeypatch):
    monkeypatch.setattr(qhn, "PROBLEMS", {"tiny": TINY})
    for depth in (0, 2, 4):
        generator = qhn.circuit("tiny", depth, range(3), start="near")
        # a deviation of 0.01 of each angle moves log p by a few hundredths
        p = generator.probabilities().detach().numpy()
        np.testing.assert_allclose(p, 1 / 128, rtol=0.3)
        spread = generator.theta.detach().numpy() % (np.pi / 2)
        assert np.minimum(spread, np.pi / 2 - spread).max() < 0.02


@needs_mnist
@pytest.mark.parametrize("name", ["digits-01", "digits-37", "values-01", "values-37"])
def test_the_papers_logistic_regressions(name):
    # Carrasquilla et al. (2023): p = sigmoid(x · w + b), pixels 3, 10, 17, 24 of x / 255; the last
    # two bits of 19 choose {0,1}, {-1,1}, {-2,1}, {-3,1}. Seed 0, 20 bitstrings.
    problem = qhn.PROBLEMS[name]
    data = problem.samples()
    assert data.x.shape == ((12_665, 12_396)[name.endswith("37")], 16)
    bits = np.random.default_rng(0).integers(0, 2, (20, problem.n_bits), dtype=np.uint8)
    bits = bits.astype(np.int64)
    low = -np.ones(20) if problem.n_bits == 17 else -(2 * bits[:, 17] + bits[:, 18])
    values = np.where(bits[:, :17] == 1, 1, low[:, None])
    z = data.x @ values[:, :16].T + values[:, 16]
    expected = np.logaddexp(0, np.where(data.y[:, None] == 1, -z, z)).mean(axis=0)
    found = problem.network.objective(data, problem.loss)(bits)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_papers_gaussian_network():
    # bits in the paper's order: W1 (2, 4), W2, b2, b1, and a last one: 1 sigmoid, 0 ReLU
    problem = qhn.PROBLEMS["gaussian"]
    data = problem.samples()
    papers = np.random.default_rng(0).integers(0, 2, (20, 18), dtype=np.uint8)
    bits = np.empty_like(papers)
    bits[:, list(problem.order)] = papers
    for given, loss in zip(
        papers, problem.network.objective(data, problem.loss)(bits), strict=True
    ):
        w = 2.0 * given - 1
        hidden = data.x @ w[:8].reshape(2, 4) + w[13:17]
        hidden = 1 / (1 + np.exp(-hidden)) if given[17] else np.maximum(hidden, 0)
        out = 1 / (1 + np.exp(-(hidden @ w[8:12] + w[12])))
        # ours is the Brier score over both classes: twice the square
        assert loss == pytest.approx(2 * ((out - data.y) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize("study", [gaussian_study, mnist_study])
def test_every_number_that_is_expected_is_measured(study):
    name = study.__name__.split(".")[1].replace("_", "-")
    for quick, size in ((True, study.QUICK), (False, study.FULL)):
        measured = {
            f"{problem}-{start}-{depth}-{what}"
            for problem, of in size.restarts.items()
            for start, depth in of
            for what in ("within", "p-optimum")
        } | {f"{problem}-{what}" for problem in size.restarts for what in ("minimum", "one-body")}
        assert set(find(name).expectations(quick)) <= measured
        assert len(study.parts(quick)) == len(set(study.parts(quick)))
    every = [size for of in study.FULL.restarts.values() for size in of.values()]
    assert min(every) >= 30
