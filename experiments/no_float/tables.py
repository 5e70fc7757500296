"""What every way of training gives, and what it takes."""

from collections.abc import Mapping
from typing import Any

from experiments.markdown import table

Results = Mapping[str, Any]
MINUTE = 60


def tables(results: Results) -> str:
    """Results, costs and settings, a row for each way of training."""
    return "\n\n".join([_results(results), _costs(results), _settings(results)])


def _results(results: Results) -> str:
    rows = []
    for found in results.values():
        _, generations, _ = found["history"][-1]
        best = max(accuracy for _, _, accuracy in found["history"])
        printed = found["printed"]
        rows.append(
            [
                found["title"], "–" if printed is None else f"{100 * printed:.0f} %",
                f"{100 * found['accuracy']:.2f} %", f"{100 * best:.2f} %",
                f"{found['seconds'] / MINUTE:.1f}", f"{generations:,}",
            ]
        )  # fmt: skip
    head = ["training", "printed, at best", "test accuracy", "held out", "minutes",
            "generations, epochs or steps"]  # fmt: skip
    return table("Accuracy on MNIST, pixels as signs", head, rows)


def _costs(results: Results) -> str:
    rows = [
        [
            found["title"], _megabytes(found["memory_peak"]), _megabytes(found["memory_before"]),
            f"{1000 * found['inference']:.0f} ms", f"{found['bytes'] / 1000:,.0f} kB",
            _time_to(found, 0.6), _time_to(found, 0.7), _time_to(found, 0.8),
        ]
        for found in results.values()
    ]  # fmt: skip
    head = ["training", "peak memory", "before it", "10,000 predictions", "file", "60 % after",
            "70 % after", "80 % after"]  # fmt: skip
    return table("What it takes", head, rows)


def _settings(results: Results) -> str:
    rows = [
        [
            found["title"], "-".join(map(str, found["layers"])), str(found["label_bits"] or "–"),
            found["how"],
        ]
        for found in results.values()
    ]  # fmt: skip
    return table("Settings", ["training", "network", "bits a label", "how"], rows, words=4)


def _megabytes(size: float | None) -> str:
    return "–" if size is None else f"{size:.0f} MB"


def _time_to(found: Mapping[str, Any], accuracy: float) -> str:
    """When the rows held out were first classified so well."""
    times = [seconds for seconds, _, reached in found["history"] if reached >= accuracy]
    return f"{times[0]:.0f} s" if times else "–"


def measured(results: Results) -> dict[str, float]:
    """The numbers that can be checked, by name."""
    return {f"{name}-accuracy": found["accuracy"] for name, found in results.items()}
