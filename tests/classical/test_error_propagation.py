"""Error propagation: every step against plain NumPy, and no float on the way."""

from typing import Any

import numba
import numpy as np
import pytest
from numba import types
from numba.core.compiler import run_frontend
from numba.core.registry import cpu_target
from numba.core.typed_passes import type_inference_stage

from classical import error_kernels, error_propagation
from classical.error_propagation import Learner, train_by_errors
from qhyper import threads
from qhyper.errors import ConfigurationError
from qhyper.targets.packed.inputs import pack_bits, pack_pixels
from qhyper.targets.packed.network import PackedNetwork

KERNELS = (
    "turn", "hidden", "scores", "output_errors", "errors_below", "update",
    "_turn_row", "_transpose", "_differing", "count_differing",
)  # fmt: skip
OPTIONS: dict[str, Any] = {"margin": 9, "window": 6, "limit": 60, "start": 50}


def plain_step(hidden, x, labels, *, margin, window, limit, rate, random_layers):
    """Hidden integers [unit, input] after a step on rows x of ±1, and the scores before it."""
    inputs, sums = [x], []
    for layer in hidden:
        sums.append(inputs[-1] @ np.where(layer >= 0, 1, -1).T)
        inputs.append(np.where(sums[-1] >= 0, 1, -1))
    error = np.zeros_like(sums[-1])
    for row, true in enumerate(labels):
        others = [c for c in range(error.shape[1]) if c != true]
        rival = max(others, key=lambda c, row=row: (sums[-1][row, c], -c))
        if sums[-1][row, true] - sums[-1][row, rival] < margin:
            error[row, true], error[row, rival] = 1, -1
    new = [layer.astype(np.int64) for layer in hidden]
    for k in reversed(range(random_layers, len(hidden))):
        below = np.sign(error @ np.where(hidden[k] >= 0, 1, -1))
        new[k] = np.clip(new[k] + rate * (error.T @ inputs[k]), -limit, limit)
        if k:
            error = np.where(np.abs(sums[k - 1]) <= window, below, 0)
    return new, sums[-1]


def problem(layers, rows, seed=0):
    rng = np.random.default_rng(seed)
    bits = rng.integers(2, size=(rows, layers[0]), dtype=np.uint8)
    return bits, rng.integers(layers[-1], size=rows)


@pytest.mark.parametrize("layers", [(70, 3), (65, 64, 2), (5, 129, 7, 3), (130, 63, 65, 70)])
@pytest.mark.parametrize("rows", [1, 64, 65])
@pytest.mark.parametrize("random_layers", [0, 1])
def test_steps_are_those_of_plain_numpy(layers, rows, random_layers):
    random_layers = min(random_layers, len(layers) - 2)
    learner = Learner(layers, seed=1, random_layers=random_layers, **OPTIONS)
    settings = {key: OPTIONS[key] for key in ("margin", "window", "limit")}
    for step in range(4):
        bits, labels = problem(layers, rows, seed=step)
        words = pack_bits(bits).words[0]
        expected, scores = plain_step(
            learner.hidden, 2 * bits.astype(int) - 1, labels, rate=step + 1,
            random_layers=random_layers, **settings,
        )  # fmt: skip
        np.testing.assert_array_equal(learner.scores(words), scores)
        moved = learner.step(words, labels, step + 1)
        others = np.where(np.eye(layers[-1], dtype=bool)[labels], -1000, scores).max(axis=1)
        assert moved == (scores[np.arange(rows), labels] - others < OPTIONS["margin"]).sum()
        for hidden, plain in zip(learner.hidden, expected, strict=True):
            np.testing.assert_array_equal(hidden, plain)
        np.testing.assert_array_equal(
            learner.network().outputs(bits), learner.scores(words)
        )  # by kernels of its own, from the hidden integers


def test_a_row_that_is_right_by_the_margin_changes_nothing():
    learner = Learner((70, 65, 3), seed=0, **{**OPTIONS, "margin": 0})
    bits, _ = problem((70, 3), 1)
    words = pack_bits(bits).words[0]
    before = [hidden.copy() for hidden in learner.hidden]
    assert learner.step(words, learner.scores(words).argmax(axis=1), 1) == 0
    for hidden, old in zip(learner.hidden, before, strict=True):
        np.testing.assert_array_equal(hidden, old)


def test_turning_is_a_transposition_of_bits():
    bits, _ = problem((130, 2), 67)
    words = np.ascontiguousarray(pack_bits(bits).words[0])
    out = np.zeros((2, 130), np.uint64)
    error_kernels.turn(words, out)
    np.testing.assert_array_equal(out, pack_bits(bits.T).words[0])


# -- training --------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"held_out": 100, "batch": 20, "margin": 8, "window": 10, "epochs": 30}


def patterns(rows=500):
    """Three patterns of 70 bits, each bit turned over with probability 0.1, and which it was."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=rows)
    bits = rng.integers(2, size=(3, 70))[labels] ^ (rng.random((rows, 70)) < 0.1)
    return bits.astype(np.uint8), labels


def test_learns_noisy_patterns_through_two_hidden_layers(tmp_path):
    bits, labels = patterns()
    told: list[error_propagation.Look] = []
    trained = train_by_errors(
        (70, 65, 33, 3), pack_bits(bits), labels, progress=told.append, **SMALL
    )
    assert told == trained.history
    assert [look.epoch for look in told] == list(range(1, 31))
    assert max(look.correct for look in told) == 100
    assert told[0].milliseconds <= told[-1].milliseconds
    trained.network.save(tmp_path / "network.npz")
    again = PackedNetwork.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(again.predict(bits), labels)


def test_the_best_network_on_held_out_rows_is_kept():
    bits, labels = patterns()
    labels[::3] = (labels[::3] + 1) % 3  # so that no network is right everywhere
    trained = train_by_errors((70, 20, 20, 3), pack_bits(bits), labels, **SMALL)
    correct = [look.correct for look in trained.history]
    assert correct[-1] < max(correct)
    assert (trained.network.predict(bits[-100:]) == labels[-100:]).sum() == max(correct)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_random_layers_keep_the_weights_that_they_begin_with(k):
    bits, labels = patterns()
    options = {"margin": 8, "window": 10, "limit": 100, "start": 20}
    began = Learner((70, 65, 33, 3), seed=0, **options)
    trained = train_by_errors(
        (70, 65, 33, 3), pack_bits(bits), labels, held_out=100, epochs=2, random_layers=k, **options
    ).network
    first, found = began.shape.unpack(began.network().words), trained.shape.unpack(trained.words)
    same = [bool((a == b).all()) for a, b in zip(first, found, strict=True)]
    assert same == [layer < k for layer in range(3)]


@pytest.mark.parametrize("cores", [2, 3])
def test_the_seed_decides_and_not_the_number_of_threads(monkeypatch, cores):
    bits, labels = patterns()

    def words(seed):
        trained = train_by_errors(
            (70, 200, 150, 3), pack_bits(bits), labels, seed=seed,
            **{**SMALL, "epochs": 2, "batch": 200, "margin": 40},
        )  # fmt: skip
        return trained.network.words

    monkeypatch.setattr(threads, "n_threads", lambda: 1)
    alone, other = words(0), words(1)
    threads._pool.cache_clear()
    monkeypatch.setattr(threads, "n_threads", lambda: cores)
    np.testing.assert_array_equal(words(0), alone)
    assert (other != alone).any()
    threads._pool().shutdown()
    threads._pool.cache_clear()


def inferred(kernel, signature):
    """The types of all variables of a kernel."""
    context = cpu_target.typing_context
    context.refresh()
    frontend = run_frontend(kernel.py_func)
    return type_inference_stage(
        context, cpu_target.target_context, frontend, signature, None
    ).typemap.values()


def test_no_number_is_a_float(monkeypatch):
    seen: set[str] = set()

    def watched(function):
        def call(*args, **options):
            seen.update(a.dtype.kind if hasattr(a, "dtype") else type(a).__name__ for a in args)
            return function(*args, **options)

        return call

    def in_threads(kernel, tasks, *args, at_least=1):
        threads.in_threads(watched(kernel), tasks, *args, at_least=at_least)

    monkeypatch.setattr(error_propagation, "in_threads", in_threads)
    for name in ("turn", "output_errors"):
        monkeypatch.setattr(error_kernels, name, watched(getattr(error_kernels, name)))
    bits, labels = patterns()
    trained = train_by_errors((70, 65, 33, 3), pack_bits(bits), labels, **{**SMALL, "epochs": 2})
    monkeypatch.undo()
    assert seen == {"i", "u", "int"}
    learner = Learner((70, 65, 33, 3), seed=0, **OPTIONS)
    assert {hidden.dtype for hidden in learner.hidden} == {np.dtype(np.int16)}
    for look in trained.history:
        assert {type(value) for value in vars(look).values()} == {int}


def test_no_variable_of_a_kernel_is_a_float():
    learner = Learner((70, 65, 33, 3), seed=0, **OPTIONS)
    bits, labels = problem((70, 3), 65)
    learner.step(pack_bits(bits).words[0], labels, 1)
    for name in KERNELS:  # parts come last, for they are compiled by what they are parts of
        kernel = getattr(error_kernels, name)
        assert kernel.signatures, name
        for signature in kernel.signatures:
            kinds = {getattr(kind, "dtype", kind) for kind in inferred(kernel, signature)}
            assert any(isinstance(kind, types.Integer) for kind in kinds), name
            assert not any(isinstance(kind, types.Float | types.Complex) for kind in kinds), name


def test_a_float_would_be_found():
    @numba.njit
    def divided(a, b):
        return a / b

    assert types.float64 in inferred(divided, (types.int64, types.int64))


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"held_out": 0}, "Got held_out=0, batch=20, rate=32, epochs=30 and seconds=None"),
        ({"epochs": None}, "epochs or seconds, or both, to end training"),
        ({"epochs": 1.5}, "epochs=1.5 and seconds=None; expected whole numbers of 1 or more"),
        ({"seconds": 0}, "seconds=0; expected whole numbers of 1 or more"),
        ({"batch": 401}, "Of 500 rows, 100 are to be held out, and 401 are needed"),
        ({"margin": 0.5}, "Got margin=0.5, window=10, limit=32000, start=16000 and seed=0"),
        ({"start": 20, "limit": 10}, "start at most the limit"),
        ({"limit": 2**15}, "limit=32768, start=16000 and seed=0; expected whole numbers, start"),
        ({"random_layers": 2}, "Got random_layers=2 of 2 layers; expected 0 to 1"),
        ({"layers": (70, 9, 1)}, "expected two outputs or more, one for each class"),
        ({"layers": (71, 9, 3)}, "Got rows of 70 inputs for layers (71, 9, 3); expected 71"),
        ({"layers": (70, 9, 2)}, "expected whole numbers from 0 to 1, one for each of 500 rows"),
        ({"labels": np.zeros(500)}, "Got labels of float64 and shape (500,)"),
        ({"labels": np.zeros(499, int)}, "Got labels of int64 and shape (499,)"),
        ({"inputs": np.zeros((500, 70))}, "Got inputs of ndarray; expected bits"),
        ({"inputs": pack_pixels(np.zeros((500, 70), int))}, "Got inputs of pixels; expected bits"),
    ],
)
def test_what_does_not_fit_is_refused(change, text):
    bits, labels = patterns()
    options = {"layers": (70, 9, 3), "inputs": pack_bits(bits), "labels": labels, **SMALL, **change}
    with pytest.raises(ConfigurationError) as caught:
        train_by_errors(options.pop("layers"), options.pop("inputs"), options.pop("labels"),
                        **options)  # fmt: skip
    assert text in str(caught.value)
