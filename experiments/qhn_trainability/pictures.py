"""Mean squared derivatives against the qubits, and against the depth."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.drawing import legend_below, new_panels, save
from experiments.qhn_trainability.tables import COSTS, qubits, sublayers
from qhyper.report.drawing import COLOURS, INK

STARTS = {
    "near-product": COLOURS["quantum"][0],
    "uniform": COLOURS["classical"][0],
    "identity-block": COLOURS["quantum"][2],
}
SHALLOW, DEEP = (0, (1, 1.5)), "-"
"""Lines of the smaller and of the larger value of what is not on the axis."""


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write qubits.svg and depth.svg."""
    n, depths = qubits(results), sublayers(results)
    against_qubits = _panels(
        results, "qubits", n, [f"{depth} sublayers" for depth in (depths[0], depths[-1])],
        lambda start, row, x: f"{start}-{x}-{depths[-row]}",
    )  # fmt: skip
    for axes in against_qubits.axes:
        axes.set_xscale("log", base=2)
        axes.set_xticks(n, [str(x) for x in n])
        axes.minorticks_off()
    title = "Mean squared derivative against the number of qubits"
    save(against_qubits, folder / "qubits.svg", title)
    against_depth = _panels(
        results, "sublayers", depths, [f"{x} qubits" for x in (n[0], n[-1])],
        lambda start, row, x: f"{start}-{n[-row]}-{x}",
    )  # fmt: skip
    for axes in against_depth.axes:
        axes.set_xticks(depths)
    save(against_depth, folder / "depth.svg", "Mean squared derivative against the depth")


def _panels(
    results: Mapping[str, Any], label: str, ticks: Sequence[int], ends: Sequence[str], part: Any
) -> Any:
    """A panel for each cost; `part` names the result of a start, end (0 or 1) and tick."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    figure, panels = new_panels((8.2, 5.6), 2, 2, sharex=True)
    for axes, (cost, title) in zip(panels.flat, COSTS.items(), strict=True):
        for start, colour in STARTS.items():
            for end, line in enumerate((SHALLOW, DEEP)):
                found = [results[part(start, end, x)][cost]["mean_square"] for x in ticks]
                log10 = {
                    key: [one[key] * math.log10(2) for one in found]
                    for key in ("log2", "low", "high")
                }
                axes.plot(
                    ticks, log10["log2"], color=colour, linestyle=line, marker="o", markersize=3,
                    linewidth=1.4,
                )  # fmt: skip
                axes.fill_between(
                    ticks, log10["low"], log10["high"], color=colour, alpha=0.15, linewidth=0
                )
        axes.yaxis.set_major_formatter(lambda value, _: f"$10^{{{value:g}}}$")
        low, high = axes.get_ylim()
        axes.set_ylim(math.floor(low), math.ceil(high))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.set_title(title)
    for axes in panels[:, 0]:
        axes.set_ylabel("mean squared derivative")
    for axes in panels[1]:
        axes.set_xlabel(label)
    handles = [Line2D([], [], color=colour, label=start) for start, colour in STARTS.items()]
    handles += [
        Line2D([], [], color=INK, linestyle=line, label=end)
        for end, line in zip(ends, (SHALLOW, DEEP), strict=True)
    ]
    legend_below(figure, handles, 5)
    return figure
