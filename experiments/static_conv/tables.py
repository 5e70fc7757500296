"""Tables 2 to 7 beside what was printed, what is noise, sizes, and the fall from block to block."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from experiments.markdown import table
from experiments.static_conv.settings import BINARY, BITS, BLOCKS, RATES, TITLES, VARIANTS
from qhyper.report.statistics import MIN_VALUES, median_interval

Results = Mapping[str, Any]

PRINTED: Mapping[str, Mapping[str, tuple[float, int]]] = {
    "mnist": {
        "conv": (98.67, 12_560), "4-4": (98.12, 4_244), "4-5": (98.67, 5_108),
        "4-6": (98.75, 5_972), "5-5": (98.79, 5_189), "6-6": (98.14, 6_166),
        "4-7": (98.61, 6_836), "4-8": (98.55, 7_700), "7-7": (98.24, 7_175),
    },
    "block1": {
        "conv": (71.05, 2_320), "4-4": (64.87, 1_044), "6-6": (63.82, 1_686),
        "4-5": (63.11, 1_268), "4-6": (58.06, 1_492),
    },
    "block2": {
        "conv": (74.76, 16_208), "4-4": (58.82, 1_056), "6-6": (56.66, 1_722),
        "8-8": (59.77, 2_504), "16-16": (67.02, 6_912),
    },
    "block3": {
        "conv": (75.06, 71_632), "8-8": (47.79, 2_696), "8-16": (56.66, 7_196),
        "16-16": (56.66, 7_196), "32-32": (57.98, 22_640),
    },
}  # fmt: skip
"""Best test accuracy in per cent, and parameters, of tables 2 to 5."""
NUMBER = {"mnist": 2, "block1": 3, "block2": 4, "block3": 5}
TUNED: Mapping[str, Sequence[tuple[float, float]]] = {
    "conv": ((98.98, 98.65), (98.88, 98.67), (98.64, 98.46)),
    "4-4": ((98.56, 98.12), (98.58, 98.06), (98.68, 97.62)),
    "4-5": ((98.64, 98.67), (98.72, 98.33), (98.76, 98.36)),
    "4-6": ((98.98, 98.75), (98.42, 97.97), (98.96, 98.61)),
    "4-7": ((98.88, 98.61), (98.38, 98.26), (97.26, 96.80)),
    "4-8": ((98.14, 97.52), (98.42, 98.17), (99.08, 98.55)),
    "5-5": ((98.64, 98.22), (99.02, 98.79), (98.70, 98.34)),
    "6-6": ((98.30, 98.14), (98.62, 98.11), (98.54, 98.05)),
    "7-7": ((98.70, 98.24), (98.58, 98.05), (98.54, 97.99)),
}
"""Validation and test accuracy at each rate, of tables 6 and 7."""
TEST_IMAGES = 10_000


def title(model: str) -> str:
    """A model in the report's words."""
    return "ConvModel" if model == "conv" else "Hyper" + model.replace("-", "_")


def seeds_of(results: Results, name: str) -> list[Mapping[str, Any]]:
    """What every seed of a part found."""
    return [found for part, found in results.items() if part.rpartition("-")[0] == name]


def chosen(results: Results, data: str, model: str) -> list[Mapping[str, Any]]:
    """Of each seed the training that is best on validation, with its `rate` where there are more.

    Of equal ones the smaller rate.
    """
    if data != "mnist":
        return seeds_of(results, f"{data}-{model}")
    each = [
        [found | {"rate": rate} for found in seeds_of(results, f"mnist-{model}-{1000 * rate:g}")]
        for rate in RATES
    ]
    return [max(same, key=validation) for same in zip(*each, strict=True)]


def validation(found: Mapping[str, Any]) -> float:
    """Accuracy on held-out images of the epoch chosen by it."""
    return max(found["held_out"])


def tests(found: Sequence[Mapping[str, Any]]) -> list[float]:
    """Test accuracies in per cent."""
    return [100 * one["test"] for one in found]


def best_hypernetwork(results: Results, data: str) -> str:
    """The model of generated kernels that is best on validation, in the mean over seeds.

    Of those with no more parameters than the one that is printed as the best.
    """
    counts = {m: chosen(results, data, m)[0]["parameters"] for m in BLOCKS[data] if m != "conv"}
    most = counts[max(counts, key=lambda model: PRINTED[data][model][0])]
    models = [model for model, count in counts.items() if count <= most]
    means = {m: np.mean([validation(found) for found in chosen(results, data, m)]) for m in models}
    return max(models, key=lambda model: means[model])


def tables(results: Results) -> str:
    """All of them."""
    each = [_accuracy(results, data) for data in BLOCKS]
    return "\n\n".join(
        [*each, _rates(results), _noise(results), _sizes(results), _fall(results),
         _binary(results), _bits(results)]
    )  # fmt: skip


def _mean(values: Sequence[float]) -> str:
    """Mean and range."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _accuracy(results: Results, data: str) -> str:
    rows = []
    for model, (printed, count) in PRINTED[data].items():
        found = chosen(results, data, model)
        values, parameters = tests(found), found[0]["parameters"]
        rows.append(
            [
                title(model), f"{parameters:,}",
                "as ours" if count == parameters else f"{count:,}, wrong",
                _mean(values), str(len(values)), f"{printed:.2f}",
                f"{np.mean(values) - printed:+.2f}", _mean([100 * validation(f) for f in found]),
                f"{np.mean([sum(f['epoch_seconds']) for f in found]):.0f}",
            ]
        )  # fmt: skip
    best = title(best_hypernetwork(results, data))
    head = ["model", "parameters of kernels", "printed", "test, %, mean (range)", "seeds",
            "printed", "difference", "validation, %", "s a training"]  # fmt: skip
    note = (
        "Best hypernetwork on validation, of those with no more parameters than the one that is "
        f"printed as the best: {best}.{_interval(results, data)}"
    )
    return f"{table(f'Table {NUMBER[data]}, {TITLES[data]}', head, rows)}\n\n{note}"


def _interval(results: Results, data: str) -> str:
    """Medians of the models with seeds enough, with their intervals, in words."""
    words = []
    for model in BLOCKS[data]:
        values = tests(chosen(results, data, model))
        if len(values) >= MIN_VALUES:
            found = median_interval(values)
            words.append(
                f" Median of {title(model)}: {found.median:.2f} % "
                f"({found.low:.2f} to {found.high:.2f}, BCa 95 %)."
            )
    return "".join(words)


def _rates(results: Results) -> str:
    rows = []
    for model, printed in TUNED.items():
        row = [title(model)]
        for rate, (on_validation, on_test) in zip(RATES, printed, strict=True):
            found = seeds_of(results, f"mnist-{model}-{1000 * rate:g}")
            ours = np.mean([100 * validation(one) for one in found]), np.mean(tests(found))
            row += [f"{ours[0]:.2f} / {ours[1]:.2f}", f"{on_validation:.2f} / {on_test:.2f}"]
        rows.append(row)
    head = ["model", *(word for rate in RATES for word in (f"rate {rate:g}", "printed"))]
    return table("Tables 6 and 7, MNIST: validation / test, %, means of the seeds", head, rows)


# -- noise -----------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """How far test accuracies of seeds spread, pooled over the models."""

    deviation: float
    """in points; 0 where no model has two seeds"""
    free: int
    """degrees of freedom"""


def between_seeds(results: Results, data: str) -> Spread:
    """The spread of the seeds of a table's models."""
    squares, free = 0.0, 0
    for model in BLOCKS[data]:
        values = np.array(tests(chosen(results, data, model)))
        squares += float(((values - values.mean()) ** 2).sum())
        free += len(values) - 1
    return Spread(float(np.sqrt(squares / free)) if free else 0.0, free)


def noise_of(accuracy: float, spread: Spread) -> float:
    """What two accuracies in per cent of one training each must differ by, at 95 %.

    By test images, of the normal distribution, and by seeds, of Student's: √2 times the root of
    (1.96 σ)² and (t s)².
    """
    of_images = 100**2 * (accuracy / 100) * (1 - accuracy / 100) / TEST_IMAGES
    t = float(student.ppf(0.975, spread.free)) if spread.free else 0.0
    return float(np.sqrt(2 * (1.96**2 * of_images + (t * spread.deviation) ** 2)))


def _noise(results: Results) -> str:
    rows = []
    for data, models in PRINTED.items():
        (own, _), spread = models["conv"], between_seeds(results, data)
        for model, (accuracy, _) in models.items():
            if model == "conv":
                continue
            difference, least = accuracy - own, noise_of(accuracy, spread)
            rows.append(
                [
                    f"table {NUMBER[data]}", title(model), f"{difference:+.2f}", f"{least:.2f}",
                    "noise" if abs(difference) < least else "more than noise",
                ]
            )  # fmt: skip
    head = ["table", "model", "printed difference from ConvModel", "noise", "it is"]
    seeds = all(between_seeds(results, data).free for data in BLOCKS)
    name = f"What is printed, against noise of test images{' and seeds' * seeds} (95 %), in points"
    among = "; ".join(_among(results, data) for data in BLOCKS)
    return f"{table(name, head, rows, words=2)}\n\nAmong the hypernetworks differ by more: {among}."


def _among(results: Results, data: str) -> str:
    """How many pairs of printed hypernetworks differ by more than noise, in words."""
    values = [accuracy for model, (accuracy, _) in PRINTED[data].items() if model != "conv"]
    spread, pairs = between_seeds(results, data), list(combinations(values, 2))
    far = sum(abs(a - b) >= noise_of((a + b) / 2, spread) for a, b in pairs)
    return f"{far} of {len(pairs)} pairs of table {NUMBER[data]}"


# -- sizes, and the fall ---------------------------------------------------------------------------


def _sizes(results: Results) -> str:
    rows = []
    for data in BLOCKS:
        for model in ("conv", best_hypernetwork(results, data)):
            found = chosen(results, data, model)[0]
            first = found["whole"] - found["parameters"] - found["dense"]
            rows.append(
                [
                    TITLES[data], title(model), f"{found['whole']:,}", f"{first:,}",
                    f"{found['parameters']:,}", f"{found['dense']:,}",
                    f"{100 * found['dense'] / found['whole']:.1f}",
                ]
            )  # fmt: skip
    head = ["network", "model", "parameters", "first convolution", "other kernels", "dense layers",
            "dense, %"]  # fmt: skip
    return table("Whole networks", head, rows, words=2)


def _fall(results: Results) -> str:
    names = {"4-4": "Hyper4_4, as in the tables"} | {n: v.title for n, v in VARIANTS.items()}
    rows = []
    for name, words in names.items():
        row = [words]
        for data in ("block1", "block2"):
            found = seeds_of(results, f"{data}-{name}")
            row += (
                [f"{found[0]['parameters']:,}", _mean(tests(found)),
                 _mean([100 * validation(one) for one in found])] if found else ["–"] * 3
            )  # fmt: skip
        rows.append(row)
    head = ["generator", *(["block 1, parameters", "test, %", "validation, %",
            "block 2, parameters", "test, %", "validation, %"])]  # fmt: skip
    heading = "From block 1 to block 2: is it the commonality of layers?"
    return f"{table(heading, head, rows)}\n\n{_one_seed(results, ('block1', 'block2'))}"


def _binary(results: Results) -> str:
    rows = []
    for data, models in BINARY.items():
        for model in models:
            real = chosen(results, data, model)
            binary = seeds_of(results, f"{data}-{model}-binary")
            rows.append(
                [
                    TITLES[data], title(model), f"{binary[0]['parameters']:,}",
                    _mean(tests(binary)), _mean(tests(real)),
                    f"{np.mean(tests(binary)) - np.mean(tests(real)):+.2f}",
                    str(sum(found["disagreements"] for found in binary)),
                ]
            )  # fmt: skip
    head = ["network", "model", "parameters", "binary, test, %", "real", "difference",
            "predictions of the packed network that differ"]  # fmt: skip
    heading = "The same generators with binary kernels and activations"
    return f"{table(heading, head, rows, words=2)}\n\n{_one_seed(results, list(BINARY))}"


def _one_seed(results: Results, names: Sequence[str]) -> str:
    """Which differences between two single trainings say something, in words."""
    least = [
        f"{noise_of(float(np.mean(tests(chosen(results, data, 'conv')))), spread):.1f} points "
        f"({TITLES[data]})"
        for data in names
        if (spread := between_seeds(results, data)).free
    ]
    return f"Single trainings differ by noise up to {', '.join(least)}." if least else "One seed."


def _bits(results: Results) -> str:
    rows = []
    for kind, about in BITS.items():
        for found in seeds_of(results, f"bits-{kind}"):
            rows.append(
                [
                    about.title, f"{found['parameters']:,}",
                    f"{100 * found['mode']:.1f}",
                    _mean([100 * share for share in found["draws"]]),
                    f"{100 * found['own']:.1f}",
                    _mean([100 * share for share in found["random"]]),
                    f"{found['steps']:,}", f"{found['rows']:,}", f"{found['seconds'] / 60:.0f}",
                ]
            )  # fmt: skip
    head = ["distribution of the 2,304 bits", "parameters", "mode, test, %", "draws",
            "straight through", "random bits", "steps", "rows", "minutes"]  # fmt: skip
    title = "One binary kernel as a distribution over bits, without a gradient through the network"
    return table(title, head, rows)


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name; accuracies as shares."""
    numbers = {"mnist-5-5-median": float(np.median(tests(chosen(results, "mnist", "5-5")))) / 100}
    for data in BLOCKS:
        best = best_hypernetwork(results, data)
        for name, model in (("conv", "conv"), ("best", best)):
            found = chosen(results, data, model)
            numbers[f"{data}-{name}"] = float(np.mean(tests(found))) / 100
            numbers[f"{data}-{name}-parameters"] = found[0]["parameters"]
        numbers[f"{data}-whole"] = chosen(results, data, "conv")[0]["whole"]
    for data, models in BINARY.items():
        for model in models:
            found = seeds_of(results, f"{data}-{model}-binary")
            numbers[f"{data}-{model}-binary"] = float(np.mean(tests(found))) / 100
    numbers["disagreements"] = sum(found.get("disagreements", 0) for found in results.values())
    for kind in BITS:
        found = seeds_of(results, f"bits-{kind}")
        numbers[f"bits-{kind}-draws"] = float(np.mean([one["draws"] for one in found]))
    return numbers
