"""When the minimum is found, and what entries gain by a search of their own settings."""

from pathlib import Path

from experiments.drawing import TEXT, legend_below, new_panels, save
from experiments.main_comparison.outcome import (
    DATA,
    TUNED,
    Results,
    hits,
    result,
    summary,
    trials,
    tuned_part,
    within,
)
from qhyper.report.drawing import COLOURS, INK
from qhyper.report.plots import plots
from qhyper.storage import write_whole


def draw(results: Results, folder: Path) -> None:
    """Write hits.svg, of toy, and tuned.svg, of both data sets."""
    drawn = plots(summary(results, "toy"), trials(results, "toy"), None)["hits"].svg
    write_whole(folder / "hits.svg", drawn.replace("currentColor", TEXT).encode())
    _draw_tuned(results, folder / "tuned.svg")


def _draw_tuned(results: Results, path: Path) -> None:
    """Shares with recipes and tuned for the same, with their Wilson intervals, an entry a row."""
    from matplotlib.lines import Line2D

    figure, panels = new_panels((8.2, 6.2), 2, 2, sharex=True, sharey=True)
    figures_of_merit = {"mean": ("within 5 % of the minimum", within), "best": ("hit", hits)}
    for row, (data, title) in zip(panels, DATA.items(), strict=True):
        for axes, (measure, (merit, share)) in zip(row, figures_of_merit.items(), strict=True):
            for place, name in enumerate(TUNED):
                colour = COLOURS[result(results, f"{name}-{data}").kind][0]
                shown = [(f"{name}-{data}", INK, "none", -0.16)]
                shown.append((tuned_part(name, data, measure), colour, colour, 0.16))
                for part, edge, face, below in shown:
                    found = share(results, part)
                    axes.plot([found.low, found.high], [place + below] * 2, color=edge, linewidth=1)
                    axes.plot(
                        found.value, place + below, marker="o", markersize=5, color=edge,
                        markerfacecolor=face, clip_on=False, zorder=3,
                    )  # fmt: skip
            axes.set_title(f"{title}: {merit}")
            axes.set_xlim(0, 1)
    panels[0, 0].set_yticks(range(len(TUNED)), TUNED)
    panels[0, 0].set_ylim(len(TUNED) - 0.5, -0.5)
    for axes in panels[1]:
        axes.set_xlabel("share of seeds")
    kinds = {"quantum": "circuits", "classical": "classical", "control": "control"}
    dot = {"linestyle": "", "marker": "o", "markersize": 5}
    handles = [Line2D([], [], color=INK, markerfacecolor="none", label="with its recipe", **dot)]
    handles += [
        Line2D([], [], color=COLOURS[kind][0], label=f"tuned for it: {words}", **dot)
        for kind, words in kinds.items()
    ]
    legend_below(figure, handles, 4)
    save(figure, path, "Shares of seeds with recipes, and with settings found by a search")
