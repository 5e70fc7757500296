"""What the thesis printed, and the tables that put this study beside it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qhyper.statistics import wilson

Results = Mapping[str, Any]

DATA = {"toy": "toy", "mnist": "MNIST 0/1 at 2×2"}

# -- printed ---------------------------------------------------------------------------------------

TABLE_1 = {
    ("full-precision", "toy"): (0.9997, 0.0004),
    ("full-precision", "mnist"): (0.8016, 0.0080),
    ("straight-through", "toy"): (0.8440, 0.0242),
    ("straight-through", "mnist"): (0.6336, 0.1680),
}
"""Mean test accuracy of ten runs and its standard deviation (table 1)."""
TOY_BY_CLASS = (
    {"mean": 0.7675, "sd": 0.1523, "median": 0.8343, "mode": 0.8177, "best": 0.9196},
    {"mean": 0.7377, "sd": 0.1407, "median": 0.7731, "mode": 0.8347, "best": 0.9196},
)
"""Test accuracies of the weights of 500 images of each class: figures 13 to 16, in the numbers of
the published notebook."""

# -- rows ------------------------------------------------------------------------------------------

BASELINES = {
    "full-precision": "full precision, pixels in [0, 1]",
    "full-precision-centred": "full precision, pixels in [-1, 1]",
    "straight-through": "binary, straight-through",
    "straight-through-fast": "binary, straight-through, learning rate 1e-3",
}
SEEING = {
    "oey": "as the thesis trained it: straight-through, own image",
    "classical-own": "(a) classical, drawn, own image",
    "classical-batch": "(b) classical, drawn, mini-batch",
    "quantum-own": "(a) quantum, own image",
    "quantum-batch": "(b) quantum, mini-batch",
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


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    sections = [_experiment_1(results)]
    for data in DATA:
        sections += [_experiment_2(results, data), _dependence(results, data)]
    sections += [_generators(results), _stuck(results), _working_units(results)]
    sections.append(_together(results))
    return "\n\n".join(sections)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return f"### {title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows(results: Results, data: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is judged on one data set: name and result of each generator."""
    for name, what in (SEEING | BLIND).items():
        found = results[f"{name}-{data}"]
        yield what, found
        if "as_trained" in found:
            yield AS_TRAINED, {**found, **found["as_trained"]}


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values):.4f}"


def _experiment_1(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        for name, what in BASELINES.items():
            printed = TABLE_1.get((name, data))
            right = results[f"{name}-{data}"]["test_accuracy"]
            rows.append((
                what, title, f"{printed[0]:.4f} ± {printed[1]:.4f}" if printed else "–",
                _spread(right), f"{min(right):.4f} to {max(right):.4f}",
                _within(np.mean(right), *printed) if printed else "–",
                f"{results[f'{name}-{data}']['seconds']:.1f}",
            ))  # fmt: skip
        optimum = results[f"landscape-{data}"]
        best = f"{optimum['test_accuracy']:.4f}"
        rows.append(("binary, certified minimum loss", title, "–", best, "–", "–", "–"))
    head = ("network", "data", "thesis", "here", "from … to", "within its spread", "s for all runs")
    return _table("Experiment 1: test accuracy, mean ± standard deviation of ten runs", head, rows)


def _within(mean: float, printed: float, spread: float) -> str:
    return "yes" if abs(mean - printed) <= spread else "no"


def _by_class(result: Mapping[str, Any]) -> list[np.ndarray]:
    """Accuracies [run, image] of the images of class 0 and of class 1."""
    return np.split(np.array(result["accuracy"]), 2, axis=1)


def _statistics(accuracy: np.ndarray) -> tuple[str, ...]:
    mode, _ = Counter(np.round(accuracy.ravel(), 4).tolist()).most_common(1)[0]
    return (
        f"{accuracy.mean():.3f} ± {accuracy.std():.3f}",
        f"{np.median(accuracy):.3f}",
        f"{mode:.3f}",
        f"{accuracy.max():.4f}",
    )


def _share_of_mode(accuracy: np.ndarray) -> float:
    """Of the images of a run, the share with its most frequent accuracy; mean of all runs."""
    counts = [Counter(np.round(run, 4).tolist()).most_common(1)[0][1] for run in accuracy]
    return float(np.mean(counts) / accuracy.shape[1])


def _experiment_2(results: Results, data: str) -> str:
    rows = []
    if data == "toy":
        printed = [
            (f"{one['mean']:.3f} ± {one['sd']:.3f}", f"{one['median']:.3f}", f"{one['mode']:.3f}",
             f"{one['best']:.4f}")
            for one in TOY_BY_CLASS
        ]  # fmt: skip
        rows.append(("*thesis, one run*", *printed[0], *printed[1], "–"))
    for what, found in _rows(results, data):
        zero, one = _by_class(found)
        means = np.mean(found["accuracy"], axis=1)
        each = f"{means.min():.3f} to {means.max():.3f}"
        rows.append((what, *_statistics(zero), *_statistics(one), each))
    best = f"{results[f'landscape-{data}']['test_accuracy']:.4f}"
    rows.append(("best constant weights (certified)", *[best, best, best, best] * 2, "–"))
    head = (
        "weights from", "images of class 0: mean ± sd", "median", "mode", "best",
        "of class 1: mean ± sd", "median", "mode", "best", "mean of each run",
    )  # fmt: skip
    title = (
        f"Experiment 2, {DATA[data]}: accuracy on the whole test set of the weights of 500 + 500"
    )
    return _table(f"{title} training images, all runs", head, rows)


def _dependence(results: Results, data: str) -> str:
    rows = []
    for what, found in _rows(results, data):
        halves = _by_class(found)
        rows.append((
            what,
            " / ".join(f"{(half < 0.6).mean():.3f}" for half in halves),
            " / ".join(f"{_share_of_mode(half):.3f}" for half in halves),
            f"{np.mean(found['at_optimum']):.3f}",
            f"{np.mean(found['within_5_percent']):.3f}",
            f"{np.mean(found['hamming_between_images']):.2f}",
            f"{np.mean(found['hamming_of_two_draws']):.2f}",
            f"{np.mean(found['own_accuracy']):.4f}",
            " / ".join("–" if a is None else f"{a:.3f}" for a in found["accuracy_by_corner"]),
            f"{found['parameters']:,}",
            f"{found['seconds']:.0f}",
        ))  # fmt: skip
    best = f"{results[f'landscape-{data}']['test_accuracy']:.4f}"
    rows.append(("best constant weights (certified)", *"011100", best, *"–––"))
    head = (
        "weights from", "share of images below 0.6: class 0 / 1",
        "share with the most frequent accuracy of a run", "share at the certified minimum",
        "share within 5 % of it", "bits that differ between two images",
        "… between two draws for one image", "test images classified by their own weights",
        "accuracy by the other corner: dark / middle / bright", "parameters", "s",
    )  # fmt: skip
    return _table(f"How far the weights depend on the image, {DATA[data]}", head, rows)


def _generators(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        minimum = results[f"landscape-{data}"]["certificate"]["minimum_loss"]
        for name, what in (BLIND | CONTROLS).items():
            found = results[f"{name}-{data}"]
            best, mean = np.array(found["best_loss"]), np.array(found["mean_loss"])
            rows.append((
                what, found["kind"], title, _share(best <= 1.05 * minimum),
                _share(mean <= 1.05 * minimum), _share(best <= minimum + 1e-9),
                f"{np.median(best - minimum):.5f}", f"{np.median(mean):.4f}",
                f"{np.median(found['best_test_accuracy']):.4f}", f"{found['seconds']:.0f}",
            ))  # fmt: skip
    seeds = len(results["product-toy"]["mean_loss"])
    head = (
        "generator", "kind", "data", "best weights within 5 % of the certified minimum",
        "mean loss within 5 %", "minimum itself", "median regret", "median mean loss",
        "test accuracy of the best", "s",
    )  # fmt: skip
    return _table(
        f"Generators that do not see the image, {seeds} seeds of equal budget", head, rows
    )


def _share(which: np.ndarray) -> str:
    share = wilson(int(which.sum()), len(which))
    return f"{which.sum()} ({share['low']:.2f}–{share['high']:.2f})"


def _stuck(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        found = results[f"straight-through-{data}"]
        runs = zip(
            found["test_accuracy"], found["loss"], found["levels_below"], found["share_below"],
            found["null_units"], found["patterns"], found["better_flips"], found["near_zero"],
            strict=True,
        )  # fmt: skip
        for run, (right, loss, levels, below, null, patterns, flips, near) in enumerate(runs):
            rows.append((
                title, str(run), f"{right:.4f}", f"{loss:.4f}", f"{levels:,}", f"{below:.2g}",
                str(null), str(patterns), f"{flips} of 36", f"{near} of 36",
            ))  # fmt: skip
        known = results[f"landscape-{data}"]
        certificate = known["certificate"]
        rows.append((
            title, "certified", f"{known['test_accuracy']:.4f}",
            f"{certificate['minimum_loss']:.4f}", f"0 of {certificate['levels']:,}", "0", "–",
            str(known["patterns"]), "0 of 36", "–",
        ))  # fmt: skip
    head = (
        "data", "run", "test accuracy", "training loss", "levels of the spectrum below",
        "share of all 2^36 below", "hidden units without effect", "pixel patterns in use",
        "single flips that lower the loss", "real weights within 1e-3 of zero",
    )  # fmt: skip
    return _table("Where each straight-through run ends", head, rows)


def _working_units(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        certificate = results[f"landscape-{data}"]["certificate"]
        levels = results[f"landscape-{data}"]["working_units"]
        rows.append((
            title, *(f"{level['loss']:.4f} ({level['accuracy']:.4f})" for level in levels),
            f"{certificate['optimal_bitstrings']:,}", f"{certificate['best_accuracy']:.4f}",
        ))  # fmt: skip
    head = ("data", *(f"{j} at work" for j in range(1, 7)), "bitstrings at the minimum",
            "best accuracy of any")  # fmt: skip
    title = "Certified least training loss (its accuracy) by hidden units that do something"
    return _table(title, head, rows)


def _together(results: Results) -> str:
    rows = []
    for name, found in results["together"].items():
        together, one = np.array(found["together"]), np.array(found["one at a time"])
        rows.append((name, f"{np.median(together):.2f}", f"{np.median(one):.2f}",
                     f"{np.median(one / together):.1f}×"))  # fmt: skip
    head = ("network", "ten runs together, s", "one at a time, s", "gain")
    return _table("Ten runs in the same tensors, one epoch of 16,000 toy images", head, rows)


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
        low = [(half < 0.6).mean() for half in _by_class(results[f"oey-{data}"])]
        found |= {f"{data}-oey-below-0.6-class-{label}": float(low[label]) for label in (0, 1)}
        for name in SEEING:
            of = results[f"{name}-{data}"]
            found[f"{data}-{name}"] = float(np.mean(of["accuracy"]))
            found[f"{data}-{name}-own"] = float(np.mean(of["own_accuracy"]))
            found[f"{data}-{name}-hamming"] = float(np.mean(of["hamming_between_images"]))
        for kind in ("classical", "quantum"):
            generators = [
                results[f"{name}-{data}"]
                for name in BLIND
                if results[f"{name}-{data}"]["kind"] == kind
            ]
            for what in ("best_loss", "mean_loss"):
                shares = [(np.array(g[what]) <= 1.05 * minimum).sum() for g in generators]
                name = f"{data}-{kind}-seeds-with-{what.replace('_', '-')}-within-5-percent"
                found[name] = float(max(shares))
    for name, of in results["together"].items():
        gain = np.array(of["one at a time"]) / np.array(of["together"])
        found[f"gain-together-{name.replace(' ', '-')}"] = float(np.median(gain))
    return found
