"""Accuracy against depth by reading, and ties against label bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.counting_errors.tables import RULES, by_depth
from experiments.drawing import legend_below, new_panels, save
from qhyper.report.drawing import COLOURS, INK

STYLES = {
    "all-weights": (COLOURS["control"][0], "-"),
    "contributions": (COLOURS["classical"][0], "-"),
    "wrong-bits": (COLOURS["quantum"][0], "-"),
    "contributions-voters": (COLOURS["classical"][0], "--"),
    "wrong-bits-voters": (COLOURS["quantum"][0], "--"),
}
"""Dashed where hidden weights have to vote to be wrong."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write depth.svg and bits.svg."""
    _depth(results, folder / "depth.svg")
    _bits(results, folder / "bits.svg")


def _depth(results: Mapping[str, Any], path: Path) -> None:
    figure, panels = new_panels((6.4, 3.8), 1, 1)
    axes, lines = panels[0][0], []
    for rule, of in by_depth(results).items():
        colour, style = STYLES[rule]
        lines += axes.plot(
            list(of), [100 * found["test"] for found in of.values()], color=colour,
            linestyle=style, marker="o", markersize=4, linewidth=1.4, label=RULES[rule],
        )  # fmt: skip
    axes.axhline(10, color=INK, linewidth=0.7, linestyle=":")
    axes.set_xticks(sorted({depth for of in by_depth(results).values() for depth in of}))
    axes.set_xlabel("layers of weights")
    axes.set_ylabel("accuracy on test images, %")
    axes.set_ylim(0, 60)
    legend_below(figure, lines, 2)
    save(figure, path, "Accuracy against depth, by reading")


def _bits(results: Mapping[str, Any], path: Path) -> None:
    figure, panels = new_panels((6.4, 3.6), 1, 1)
    axes, found = panels[0][0], results["bits"]
    bits = [part["bits"] for part in found]
    lines = []
    for key, label, colour, style in (
        ("fair", "ties of fair bits, exactly", COLOURS["control"][0], ":"),
        ("ties", "ties when trained", COLOURS["classical"][0], "-"),
        ("test", "accuracy, ties to the lower class", COLOURS["quantum"][0], "-"),
        ("by_lot", "accuracy, ties by lot", COLOURS["quantum"][0], "--"),
    ):
        lines += axes.plot(
            bits, [100 * part[key] for part in found], color=colour, linestyle=style, marker="o",
            markersize=4, linewidth=1.4, label=label,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(bits, [str(n) for n in bits])
    axes.minorticks_off()
    axes.set_xlabel("bits a label")
    axes.set_ylabel("test images, %")
    axes.set_ylim(0, 100)
    legend_below(figure, lines, 2)
    save(figure, path, "Ties and accuracy against label bits")
