"""Static hypernetworks on quantum computers: the rows of one circuit, from first to last."""

import json
import re
import time

import numpy as np
import pytest
import torch

from classical.conditional import ConditionalBernoulli
from qhyper.compose.chunked import Chunked
from qhyper.compose.joined import Joined
from qhyper.compose.ordered import Ordered
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import build_generator
from qhyper.quantum.backends import build_cloud_backend
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.run.comparison import load_generator
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.run.problem import build_problem
from qhyper.submit.rows import rows_of
from qhyper.submit.stored import SubmissionSettings
from qhyper.submit.submission import Submission
from qhyper.targets.packed.target import PackedTarget
from tests.submit.test_submission import accepted, stub  # noqa: F401

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

SEEDS = (3, 8)
LAYOUT = PackedTarget((16, 4, 2)).layout
"""72 bits: 16 patches of an image of 4 × 4 pixels, and two chunks of the readout."""


def circuit(n_bits=4, **options):
    """One that sees an input, with its bits in an order of their own."""
    given = {"n_inputs": n_bits, "order": [2, 0, 3, 1][:n_bits], "backend": "statevector"}
    return build_generator("quantum", n_bits, seeds=SEEDS, options=given | options)


GENERATORS = {
    "a plain circuit": lambda: circuit(n_inputs=0),
    "chunked": lambda: Chunked(circuit(), 3),
    "in another order": lambda: Ordered(Chunked(circuit(), 3), np.arange(12)[::-1].tolist()),
    "whose chunks are ordered": lambda: Chunked(Ordered(circuit(), [1, 3, 0, 2]), 3),
    "static-product": lambda: static("static-product"),
    "static-entangled": lambda: static("static-entangled"),
}


def static(name, **options):
    return build_generator(
        name, LAYOUT.n_bits, seeds=SEEDS, layout=LAYOUT, options={"chunk": 4, "kept": 2} | options
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_rows_are_the_chunks_and_every_bit_is_measured_in_its_place(name):
    """The exact marginals of the circuit at its rows are those of the generator, at their bits."""
    generator = GENERATORS[name]()
    rows = rows_of(generator)
    assert rows.n_rows * rows.circuit.n_qubits == generator.n_bits
    p = StateVectorBackend().compile(rows.circuit).at(rows.angles).probabilities()
    n = rows.circuit.n_qubits
    by_qubit = p @ (np.arange(1 << n)[:, None] >> np.arange(n) & 1)  # [replica, row, qubit]
    exact = generator.marginals().detach().numpy()[:, 0]
    np.testing.assert_allclose(by_qubit, exact[:, rows.places], atol=1e-12)
    assert sorted(rows.places.ravel().tolist()) == list(range(generator.n_bits))


@pytest.mark.parametrize("name", GENERATORS)
def test_measured_bits_become_draws_shot_by_shot(name):
    rows = rows_of(GENERATORS[name]())
    rng = np.random.default_rng(0)
    measured = rng.integers(0, 2, (2, rows.n_rows, 5, rows.circuit.n_qubits), dtype=np.uint8)
    draws = rows.draws(measured)
    assert draws.shape == (2, 5, rows.places.size)
    for (row, qubit), bit in np.ndenumerate(rows.places):
        np.testing.assert_array_equal(draws[..., bit], measured[:, row, :, qubit])


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (
            lambda: Joined([circuit(n_inputs=0), circuit(n_inputs=0)]),
            "expected one circuit for all bits: a submission sends rows of one circuit, and what "
            "is joined has a generator for each block. Train one for all of them, such as "
            "static-product or chunked.",
        ),
        (lambda: circuit(), "which depends on inputs; only unconditional circuits are submitted"),
        (
            lambda: Chunked(ConditionalBernoulli(4, n_inputs=2, seeds=SEEDS), 3),
            "and no circuit: there is nothing to run on a quantum computer",
        ),
    ],
)  # fmt: skip
def test_what_has_no_rows_says_so(generator, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        rows_of(generator())


# -- submissions ----------------------------------------------------------------------------------


def write_data(folder, n_rows, layers):
    """own.csv, of rows whose classes differ in the mean."""
    rng = np.random.default_rng(1)
    labels = np.arange(n_rows) % layers[-1]
    x = rng.integers(-5, 6, (n_rows, layers[0])) + 4 * labels[:, None]
    np.savetxt(folder / "own.csv", np.column_stack([x, labels]), fmt="%d", delimiter=",")


def made(folder, entry, n_rows, layers, seeds) -> Run:
    """A run directory as a training leaves it, of a generator at its start."""
    write_data(folder, n_rows, layers)
    config = Config(
        data=str(folder / "own.csv"), layers=list(layers), target="packed", seeds=list(seeds),
        entries=[entry],
    )  # fmt: skip
    run = Run.create(folder / "runs", "static", config)
    problem = build_problem(run.found_config, tested=False)
    generator = build_generator(
        entry.name, problem.objective.n_bits, seeds=seeds, layout=problem.objective.layout,
        options=entry.options,
    )  # fmt: skip
    (run.path / entry.folder).mkdir()
    torch.save(generator.state_dict(), run.path / entry.folder / "generator.pt")
    return run


@pytest.fixture
def small(tmp_path) -> Run:
    entry = Entry(name="static-entangled", options={"chunk": 4, "kept": 2})
    return made(tmp_path, entry, 40, (16, 4, 2), SEEDS)


def exact_marginals(run, seeds):
    generator = load_generator(run)
    chosen = [generator.seeds.index(seed) for seed in seeds]
    return generator.marginals().detach().numpy()[chosen, 0]


def test_a_static_hypernetwork_from_first_to_last(cli, stub, small, tmp_path):  # noqa: F811
    """18 rows of each seed in jobs of 10 rows; 4,096 shots, tag-seeded.

    Marginals within 5 sigma of the exact ones, Bonferroni over 144.
    """
    sent = [*stub, "--option", "rows=10", "--seeds", "all", "--shots", "4096"]
    code, out, err = cli("submit", str(small.path), *sent, "--dry-run", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["rows of a draw"] == 18
    assert told["circuits"] == 36 + 4  # of the preflight
    assert told["of these"] == "147,456 draws, 128 preflight"
    assert told["jobs"] == 4 + 1
    assert told["two-qubit gates"] == 8  # two rings of CZ on four qubits
    code, _, err = cli("submit", str(small.path), *sent)
    assert code == 2
    assert "would send 147,584 shots; the shot budget is 100,000" in err
    assert accepted(tmp_path) == []
    code, _, err = cli("submit", str(small.path), *sent, "--yes")
    assert code == 0, err
    code, out, err = cli("fetch", str(small.path), "--wait", "20", "--json")
    assert code == 0, err
    assert len(accepted(tmp_path)) == 5
    (found,) = json.loads(out)["submissions"]
    bits = np.load(small.path / "submissions" / "001" / "draws.npz")["bits"]
    assert bits.shape == (2, 4096, 72)
    exact = exact_marginals(small, SEEDS)
    sigma = np.sqrt(exact * (1 - exact) / 4096) + 1e-3
    assert (np.abs(bits.mean(axis=1) - exact) < 5 * sigma).all()
    problem = build_problem(small.config)
    for replica, own in zip(found["outcome"]["replicas"], bits, strict=True):
        scored, losses = replica["measured"], problem.objective(own)
        assert scored["mean_loss"] == pytest.approx(losses.mean())
        assert scored["best_loss"] == losses.min()
        right = problem.objective.accuracy(own, problem.test)
        assert scored["accuracy"] == pytest.approx(right.mean())
        assert scored["best_accuracy"] == right[losses.argmin()]
        assert replica["simulated"]["draws"] == 16_384
    page = (small.path / "submissions" / "001" / "report.html").read_text()
    assert "Test accuracy" in page
    assert "Of the test rows they get" in page


def test_chunks_that_a_crash_left_open_are_not_paid_twice(cli, stub, small, tmp_path):  # noqa: F811
    """Of two jobs one has lost its reply; the vendor finds it by its tag."""
    sent = [*stub, "--option", "rows=10", "--seeds", "3", "--shots", "32"]
    lost = [*sent, "--option", 'faults=["none", "none", "lost"]']
    code, _, err = cli("submit", str(small.path), *lost)
    assert code == 0, err
    code, _, err = cli("submit", str(small.path), *sent)
    assert code == 2
    assert "has sent the same already" in err
    code, _, err = cli("fetch", str(small.path), "--wait", "20")
    assert code == 0, err
    assert len(accepted(tmp_path)) == len(set(accepted(tmp_path))) == 3


def test_rows_that_were_not_run_are_sent_alone(cli, stub, small, tmp_path):  # noqa: F811
    """The vendor has run the first of 18 rows; the shot budget covers what is left, once."""
    sent = [*stub, "--seeds", "3", "--shots", "64", "--paid-shots", str(18 * 64 + 4 * 32)]
    code, _, err = cli("submit", str(small.path), *sent, "--option", 'spoiled={1 = "part"}')
    assert code == 0, err
    assert "did not run 17 of the 18 rows" in err
    code, _, err = cli("fetch", str(small.path), "--wait", "20")
    assert code == 0, err
    assert len(accepted(tmp_path)) == 3
    bits = np.load(small.path / "submissions" / "001" / "draws.npz")["bits"][0]
    exact = exact_marginals(small, [3])[0]
    sigma = np.sqrt(exact * (1 - exact) / 64) + 0.02
    assert (np.abs(bits.mean(axis=0) - exact) < 5 * sigma).all()


def test_mitigation_of_chunks_is_refused_before_anything_is_paid(cli, stub, small, tmp_path):  # noqa: F811
    code, _, err = cli("submit", str(small.path), *stub, "--seeds", "3", "--mitigate")
    assert code == 2
    assert (
        "Got --mitigate for 'static-entangled', whose draws are put together from 18 rows: mthree "
        "weights the strings of one row, and no draws of all of them. Leave --mitigate out."
    ) in " ".join(err.split())
    assert accepted(tmp_path) == []
    assert not (small.path / "submissions").exists()


def test_joined_circuits_are_refused_before_anything_is_paid(cli, stub, tmp_path):  # noqa: F811
    entry = Entry(name="joined", options={"parts": {"0.weight": "product"}, "rest": "product"})
    run = made(tmp_path, entry, 40, (4, 3, 2), [0])
    code, _, err = cli("submit", str(run.path), *stub, "--seeds", "0")
    assert code == 2
    assert "'joined' cannot be submitted. Got joined: 0.weight by" in " ".join(err.split())
    assert "Choose another entry with --entry." in " ".join(err.split())
    assert accepted(tmp_path) == []


def test_a_rehearsal_on_a_snapshot_with_its_readout_errors(cli, tmp_path):
    """Trained for some steps, then 18 rows of 512 shots, seed 1, on ibm:fake_torino.

    Marginals within 5 sigma of the exact ones, and a bias of 0.1 that the errors may cause; a mean
    loss within 5 sigma of the simulator's, and a tenth of it. All of the snapshot's errors take
    three times as long.
    """
    pytest.importorskip("qiskit_ibm_runtime")
    write_data(tmp_path, 40, (16, 4, 2))
    code, _, err = cli(
        "train", "--data", "own.csv", "--layers", "16,4,2", "--target", "packed", "--generator",
        "static-entangled", "--option", "chunk=4", "--option", "kept=2", "--rows", "40000",
    )  # fmt: skip
    assert code == 0, err
    (path,) = (tmp_path / "runs").iterdir()
    snapshot = ["--backend", "ibm:fake_torino", "--option", "seed=1", "--option", "noise=readout"]
    code, out, err = cli("submit", str(path), *snapshot, "--shots", "512", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert "readout errors alone" in found["about"]
    (replica,) = found["outcome"]["replicas"]
    bits = np.load(path / "submissions" / "001" / "draws.npz")["bits"][0]
    exact = exact_marginals(path, found["seeds"])[0]
    assert np.abs(exact - 0.5).mean() > 0.2  # trained: bits that are swapped would be seen
    sigma = np.sqrt(exact * (1 - exact) / 512)
    assert (np.abs(bits.mean(axis=0) - exact) < 5 * sigma + 0.1).all()
    ours, theirs = replica["measured"], replica["simulated"]
    error = np.hypot(ours["standard_error"], theirs["standard_error"])
    assert abs(ours["mean_loss"] - theirs["mean_loss"]) < 5 * error + 0.1 * theirs["mean_loss"]


def test_a_dry_run_at_full_size(stub, tmp_path):  # noqa: F811
    """784-128-10: 12,704 rows of 8 qubits; one job where the limits allow it, some seconds."""
    pytest.importorskip("qiskit_ibm_runtime")
    entry = Entry(name="static-entangled", options={"kept": 3})
    run = made(tmp_path, entry, 20, (784, 128, 10), [0])
    settings = SubmissionSettings(
        entry=entry.title, seeds=(0,), shots=16, backend="ibm:fake_torino", options={}
    )
    began = time.perf_counter()
    told = Submission(run, settings).outlook()
    assert time.perf_counter() - began < 30  # 2 s on two cores, and what is imported
    assert told["rows of a draw"] == 12_704
    assert told["circuits"] == 12_704 + 6
    assert told["shots"] == 203_264 + 6 * 32
    assert told["jobs"] == 1 + 1
    assert told["two-qubit gates"] >= 16  # two rings of eight, and what routing takes
    assert "price" in told
    options = {"folder": str(tmp_path / "vendor"), "qubits": 8, "rows": 300}
    limited = SubmissionSettings(
        entry=entry.title, seeds=(0,), shots=16, backend="stub:StubService", options=options
    )
    planned = Submission(run, limited).outlook()
    assert planned["jobs"] == -(-12_704 // 300) + 1
    assert planned["price"] == f"{44 * 0.3 + (203_264 + 192) * 0.001:.2f} stub dollars"


def test_what_a_device_would_need_is_told_without_a_run():
    rows = rows_of(static("static-entangled"))
    pytest.importorskip("qiskit_ibm_runtime")
    backend = build_cloud_backend("ibm:fake_torino")
    told = backend.plan(backend.compile(rows.circuit).isa, {"draws": (1, rows.n_rows, 16)})
    assert told["of these"] == "288 draws, 128 preflight"
    assert told["two-qubit gates"] >= 8
