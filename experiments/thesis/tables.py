"""What the thesis printed, and the tables that put this study beside it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table
from qhyper.report.statistics import wilson
from qhyper.targets.target import SAME_LOSS

Results = Mapping[str, Any]

DATA = {"toy": "toy", "mnist": "MNIST"}
CLOSE = 1.05
"""A loss within 5 % of the certified minimum."""

# -- printed ---------------------------------------------------------------------------------------

TABLE_1 = {
    ("full-precision", "toy"): (0.9997, 0.0004),
    ("full-precision", "mnist"): (0.8016, 0.0080),
    ("straight-through", "toy"): (0.8440, 0.0242),
    ("straight-through", "mnist"): (0.6336, 0.1680),
}
"""Mean test accuracy of ten runs and its standard deviation (table 1)."""
BY_CLASS = {
    "toy": (
        ("0.767 ± 0.152", "0.834", "0.818", "0.9196"),
        ("0.738 ± 0.141", "0.773", "0.835", "0.9196"),
    ),
    "mnist": (("–", "–", "–", "0.86"), ("–", "–", "–", "0.86")),
}
"""Test accuracies of the weights of 500 images of each class: mean, median, mode and best of
figures 13 to 16, in the numbers of the published notebook, and of figures 17 to 20, by eye."""
BELOW = {"toy": "about 0.2", "mnist": "about 0.8 / –"}
"""Share of the images whose weights are poor, in the words of sections 5.2.1 and 5.2.2."""

# -- rows ------------------------------------------------------------------------------------------

BASELINES = {
    "full-precision": "full precision, pixels in [0, 1]",
    "full-precision-centred": "full precision, pixels in [-1, 1]",
    "straight-through": "binary, straight-through",
    "straight-through-fast": "binary, straight-through, learning rate 1e-3",
}
SEEING = {
    "oey": "as the thesis trained it",
    "oey-both-layers": "the same, gradients through both layers of the target",
    "classical-own": "(a) classical, on its own image",
    "classical-batch": "(b) classical, on the mini-batch",
    "quantum-own": "(a) quantum, on its own image",
    "quantum-batch": "(b) quantum, on the mini-batch",
}
"""Hypernetworks that see the image."""
AS_TRAINED = "the same, judged with sign(0) = 0 as in its training"
BLIND = {
    "product": "product circuit",
    "quantum-depth2": "circuit of depth 2",
    "quantum-depth4": "circuit of depth 4",
    "bernoulli": "Bernoulli",
    "categorical": "categorical",
    "mlp": "MLP",
    "autoregressive": "autoregressive",
}
"""Generators that do not."""
CONTROLS = {"annealing": "simulated annealing", "random": "random search"}
CONSTANT = "constant weights of the certified least loss"


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    sections = [_experiment_1(results), _epochs(results), _stuck(results), _working_units(results)]
    for data in DATA:
        sections += [_experiment_2(results, data), _dependence(results, data)]
    sections += [_corners(results), _generators(results), _costs(results), _together(results)]
    return "\n\n".join(sections)


def _spread(values: Sequence[float] | np.ndarray, digits: int = 4) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


# -- experiment 1 ----------------------------------------------------------------------------------


def _experiment_1(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        for name, what in BASELINES.items():
            printed = TABLE_1.get((name, data))
            right = results[f"{name}-{data}"]["test_accuracy"]
            rows.append((
                title, what, f"{printed[0]:.4f} ± {printed[1]:.4f}" if printed else "–",
                _spread(right), f"{min(right):.4f} to {max(right):.4f}",
                _within(float(np.mean(right)), *printed) if printed else "–",
            ))  # fmt: skip
        best = f"{results[f'landscape-{data}']['test_accuracy']:.4f}"
        rows.append((title, CONSTANT, "–", best, "–", "–"))
    head = ("data", "network", "thesis", "here", "lowest and highest run", "within its spread")
    runs = len(results["straight-through-toy"]["test_accuracy"])
    title = f"Experiment 1: test accuracy, mean ± standard deviation of {runs} runs"
    return table(title, head, rows, words=2)


def _within(mean: float, printed: float, spread: float) -> str:
    return "yes" if abs(mean - printed) <= spread else "no"


def _epochs(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        for name, rate in (("straight-through", "1e-4"), ("straight-through-fast", "1e-3")):
            found = results[f"{name}-{data}"]
            last, means = found["last_epoch"], np.array(found["last_epoch"]["mean_of_runs"])
            rows.append((
                title, rate, f"{np.mean(last['sd']):.3f}", f"{np.std(found['test_accuracy']):.3f}",
                f"{means.min():.3f} to {means.max():.3f}", f"{np.mean(last['flips_a_step']):.2f}",
                f"{np.mean(found['null_units']):.1f} of 6",
                f"{np.median(found['loss']):.3f}", f"{np.median(last['least_loss']):.3f}",
                f"{results[f'landscape-{data}']['certificate']['minimum_loss']:.3f}",
            ))  # fmt: skip
    head = (
        "data", "learning rate", "sd of one run's accuracy over its last epoch",
        "sd between runs at the end", "mean of all runs, over the steps of the last epoch",
        "bits that flip in a step", "hidden units without effect at the end",
        "training loss at the end (median run)", "least loss in the last epoch (median run)",
        "certified minimum",
    )  # fmt: skip
    return table("Straight-through networks in their last epoch", head, rows)


def _stuck(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        found, known = results[f"straight-through-{data}"], results[f"landscape-{data}"]
        last = found["last_epoch"]
        for run, right in enumerate(found["test_accuracy"]):
            rows.append((
                title, str(run), f"{right:.4f}", f"{last['mean'][run]:.3f} ± {last['sd'][run]:.3f}",
                f"{found['loss'][run]:.4f}", f"{found['levels_below'][run]:,}",
                f"{found['share_below'][run]:.2g}", str(found["null_units"][run]),
                str(found["patterns"][run]), f"{found['better_flips'][run]} of 36",
            ))  # fmt: skip
        certificate = known["certificate"]
        rows.append((
            title, "certified", f"{known['test_accuracy']:.4f}", "–",
            f"{certificate['minimum_loss']:.4f}", f"0 of {certificate['levels']:,}", "0", "–",
            str(known["patterns"]), "0 of 36",
        ))  # fmt: skip
    head = (
        "data", "run", "test accuracy", "over the last epoch", "training loss",
        "levels of the spectrum below", "share of all 2^36 below", "units without effect",
        "pixel patterns in use", "single flips that lower the loss",
    )  # fmt: skip
    return table("Where each straight-through run of learning rate 1e-4 ends", head, rows)


def _working_units(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        known = results[f"landscape-{data}"]
        certificate, levels = known["certificate"], known["working_units"]
        rows.append((
            title, *(f"{level['loss']:.4f} ({level['test_accuracy']:.4f})" for level in levels),
            f"{certificate['optimal_bitstrings']:,}",
        ))  # fmt: skip
    head = ("data", *(f"at most {j}" for j in range(1, 7)), "bitstrings at the minimum")
    title = "Certified least training loss, and its test accuracy, by hidden units with an effect"
    return table(title, head, rows)


# -- experiment 2 ----------------------------------------------------------------------------------


def _rows(results: Results, data: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is judged on one data set: name and result of each generator."""
    for name, what in (SEEING | BLIND).items():
        found = results[f"{name}-{data}"]
        yield what, found
        if name == "oey":
            yield AS_TRAINED, {**found, **found["as_trained"]}


def by_class(result: Mapping[str, Any]) -> list[np.ndarray]:
    """Accuracies [run, image] of the images of class 0 and of class 1."""
    return np.split(np.array(result["accuracy"]), 2, axis=1)


def _statistics(accuracy: np.ndarray) -> tuple[str, ...]:
    (mode, _), *_ = Counter(np.round(accuracy.ravel(), 4).tolist()).most_common(1)
    return (
        _spread(accuracy, 3), f"{np.median(accuracy):.3f}", f"{mode:.3f}", f"{accuracy.max():.4f}",
    )  # fmt: skip


def _experiment_2(results: Results, data: str) -> str:
    rows = [("*thesis, one run*", *BY_CLASS[data][0], *BY_CLASS[data][1], "–")]
    for what, found in _rows(results, data):
        zero, one = by_class(found)
        means = np.mean(found["accuracy"], axis=1)
        each = f"{means.min():.3f}, {means.max():.3f}"
        rows.append((what, *_statistics(zero), *_statistics(one), each))
    best = f"{results[f'landscape-{data}']['test_accuracy']:.4f}"
    rows.append((CONSTANT, best, *"–––", best, *"–––", "–"))
    head = (
        "weights from", "class 0: mean ± sd", "median", "mode", "best",
        "class 1: mean ± sd", "median", "mode", "best", "means of lowest and highest run",
    )  # fmt: skip
    each, runs = len(zero[0]), len(zero)
    title = f"Experiment 2, {DATA[data]}: accuracy on the whole test set of the weights of"
    return table(f"{title} {each} training images of each class, {runs} runs", head, rows)


def _dependence(results: Results, data: str) -> str:
    rows = [("*thesis*", BELOW[data], *"––––––")]
    for what, found in _rows(results, data):
        halves = by_class(found)
        rows.append((
            what,
            " / ".join(f"{(half < 0.6).mean():.2f}" for half in halves),
            " / ".join(f"{_share_of_mode(half):.2f}" for half in halves),
            f"{np.mean(found['at_optimum']):.3f}",
            f"{np.mean(found['within_5_percent']):.3f}",
            f"{np.mean(found['hamming_between_images']):.2f}",
            f"{np.mean(found['hamming_of_two_draws']):.2f}",
            f"{np.mean(found['own_accuracy']):.4f}",
        ))  # fmt: skip
    own = f"{results[f'landscape-{data}']['own_accuracy']:.4f}"
    rows.append((CONSTANT, "0 / 0", "1 / 1", *"1100", own))
    head = (
        "weights from", "images below 0.6: class 0 / 1", "with the most frequent accuracy of a run",
        "at the certified minimum", "within 5 % of it", "bits that differ between two images",
        "… between two draws for one image", "test images classified by their own weights",
    )  # fmt: skip
    title = f"Shares of the images, and how far the weights depend on them, {DATA[data]}"
    return table(title, head, rows)


def _share_of_mode(accuracy: np.ndarray) -> float:
    """Of the images of a run, the share with its most frequent accuracy; mean of all runs."""
    counts = [Counter(np.round(run, 4).tolist()).most_common(1)[0][1] for run in accuracy]
    return float(np.mean(counts) / accuracy.shape[1])


def _corners(results: Results) -> str:
    rows = []
    for name, what in SEEING.items():
        found = results[f"{name}-toy"]["accuracy_by_corner"]
        rows.append((what, *("–" if share is None else f"{share:.3f}" for share in found)))
    head = ("weights from", "dark", "middle", "bright")
    title = "Toy: accuracy of the weights, by the corner that is white in images of the other class"
    return table(title, head, rows)


# -- generators that do not see the image ----------------------------------------------------------


def _generators(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        minimum = results[f"landscape-{data}"]["certificate"]["minimum_loss"]
        for name, what in (BLIND | CONTROLS).items():
            found = results[f"{name}-{data}"]
            best, mean = np.array(found["best_loss"]), np.array(found["mean_loss"])
            rows.append((
                title, what, found["kind"], _share(mean <= CLOSE * minimum),
                f"{np.median(mean):.4f}", _share(best <= CLOSE * minimum),
                _share(best <= minimum + SAME_LOSS), f"{np.median(best - minimum):.5f}",
                f"{np.median(found['best_test_accuracy']):.4f}",
            ))  # fmt: skip
    seeds = len(results["product-toy"]["mean_loss"])
    head = (
        "data", "generator", "kind", "mean loss within 5 % of the certified minimum",
        "median mean loss", "best weights within 5 %", "best weights at the minimum",
        "median regret", "test accuracy of the best",
    )  # fmt: skip
    title = f"Generators that do not see the image, {seeds} seeds of equal budget"
    return table(title, head, rows, words=3)


def _share(which: np.ndarray) -> str:
    share = wilson(int(which.sum()), len(which))
    return f"{which.sum()} ({share.low:.2f}–{share.high:.2f})"


# -- costs -----------------------------------------------------------------------------------------


def _costs(results: Results) -> str:
    rows = []
    for name, what in (BASELINES | SEEING | BLIND | CONTROLS).items():
        found = [results[f"{name}-{data}"] for data in DATA]
        seeds = len(found[0].get("mean_loss") or found[0].get("test_accuracy")
                    or found[0]["accuracy"])  # fmt: skip
        rows.append((
            what, f"{found[0].get('parameters', 36):,}", str(seeds),
            *(f"{one['seconds']:.0f}" for one in found),
        ))  # fmt: skip
    head = ("training", "parameters", "seeds at once", "seconds, toy", "seconds, MNIST")
    return table("Parameters of each seed, and time of all of them on one core", head, rows)


def _together(results: Results) -> str:
    rows = []
    for name, found in results["together"].items():
        if name == "images":
            continue
        together, one = np.array(found["together"]), np.array(found["one at a time"])
        rows.append((name, f"{np.median(together):.2f}", f"{np.median(one):.2f}",
                     f"{np.median(one / together):.1f}×"))  # fmt: skip
    head = ("network", "ten runs together, s", "one at a time, s", "gain")
    images = f"{results['together']['images']:,}"
    return table(f"Ten runs in the same tensors, one epoch of {images} toy images", head, rows)


# -- numbers that are verified ---------------------------------------------------------------------


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    found: dict[str, float] = {}
    for data in DATA:
        certificate = results[f"landscape-{data}"]["certificate"]
        minimum = certificate["minimum_loss"]
        found[f"{data}-minimum-loss"] = minimum
        found[f"{data}-accuracy-at-minimum"] = certificate["accuracy_at_minimum"]
        for name in BASELINES:
            found[f"{data}-{name}"] = float(np.mean(results[f"{name}-{data}"]["test_accuracy"]))
        low = [(half < 0.6).mean() for half in by_class(results[f"oey-{data}"])]
        found |= {f"{data}-oey-poor-class-{label}": float(low[label]) for label in (0, 1)}
        for name in SEEING:
            of = results[f"{name}-{data}"]
            found[f"{data}-{name}"] = float(np.mean(of["accuracy"]))
            found[f"{data}-{name}-self"] = float(np.mean(of["own_accuracy"]))
            found[f"{data}-{name}-hamming"] = float(np.mean(of["hamming_between_images"]))
        for kind in ("classical", "quantum"):
            generators = [
                results[f"{name}-{data}"]
                for name in BLIND
                if results[f"{name}-{data}"]["kind"] == kind
            ]
            for what in ("best_loss", "mean_loss"):
                shares = [(np.array(g[what]) <= CLOSE * minimum).sum() for g in generators]
                name = f"{data}-{kind}-seeds-with-{what.replace('_', '-')}-within-5-percent"
                found[name] = float(max(shares))
    return found
