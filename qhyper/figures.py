"""Figures as SVG, in the page's text colour: of a comparison, and of draws from hardware.

Matplotlib is imported where it is used, and without pyplot.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.search import first_hits
from qhyper.summary import KINDS, budget_of, drew
from qhyper.wording import format_count, format_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#0a0b0c"
"""Stands for the colour of the page's text: it becomes `currentColor`, so figures follow themes."""

POINTS_OF_A_CURVE = 160

FIGURES = {
    "learning": (
        "Learning",
        "Lowest mean loss of the draws so far, against {unit}: a training "
        "starts anew inside its budget, and the start kept at the end is the best one. The line is "
        "the median over the seeds, the band goes from the lower to the upper quartile.",
    ),
    "draws": (
        "Where the draws end",
        "The losses of fresh draws of each trained generator, from the start that was kept; all "
        "seeds together, each row to its own height.",
    ),
    "hits": (
        "When the optimum is found",
        "Share of the seeds that have drawn a network with the minimal loss by then. The thin "
        "line is the exact chance of uniform search; the table has the intervals.",
    ),
    "best": (
        "Best network so far",
        "The lowest loss drawn so far: the median over the seeds.",
    ),
}
UNITS = {
    "evaluations": "evaluations of the objective",
    "shots": "shots, the bitstrings drawn",
    "circuits": "circuits, the parameter settings sampled or simulated",
}
"""What the figure of learning counts along, in words for its caption."""
CONTROL_CAPTIONS = {
    "learning": " Controls are shown without that minimum: theirs is the mean loss at that time, "
    "for annealing of its state, for random search of its batch.",
    "draws": " A control's row is what it held last: for annealing its last state, for random "
    "search its last batch.",
}
"""What a figure's caption says besides where it shows a control."""
SPECTRUM_CAPTION = (
    "On top the exact spectrum: how many of all bitstrings have a loss in each bin (log scale). "
)


@dataclass(frozen=True)
class Style:
    """How one generator looks in every figure; line and marker tell kinds apart without colour."""

    colour: str
    line: Any
    dashes: str
    marker: str
    filled: bool

    def marks(self) -> dict[str, Any]:
        """Keyword arguments of a Matplotlib line."""
        return {
            "color": self.colour,
            "linestyle": self.line,
            "linewidth": 1.5,
            "marker": self.marker,
            "markersize": 4.5,
            "markerfacecolor": self.colour if self.filled else "none",
        }


# Mid-tones: three to one or better against a white page and a dark one.
COLOURS = {
    "quantum": ("#1c7ed6", "#7c5cd6", "#0c9488", "#4263eb"),
    "classical": ("#e8590c", "#d6336c", "#a87900", "#b5533c"),
    "control": ("#7a8490", "#5c8a3a", "#8c7a6b"),
}
LINES = {"quantum": "-", "classical": (0, (5, 2)), "control": (0, (1, 1.5))}
DASHES = {"quantum": "none", "classical": "7 3", "control": "1.5 2.5"}
MARKERS = {"quantum": "osD^", "classical": "osD^", "control": "x+1"}


def styles_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, Style]:
    """Styles by name; the n-th of a kind looks the same in every figure and in the table."""
    styles: dict[str, Style] = {}
    seen = dict.fromkeys(KINDS, 0)
    for entry in entries:
        kind = entry["kind"]
        colours, markers, nth = COLOURS[kind], MARKERS[kind], seen[kind]
        seen[kind] += 1
        styles[entry["name"]] = Style(
            colour=colours[nth % len(colours)],
            line=LINES[kind],
            dashes=DASHES[kind],
            # Past the last colour the markers move on by one, so that no pair repeats soon.
            marker=markers[(nth + nth // len(colours)) % len(markers)],
            filled=kind == "quantum",
        )
    return styles


def unit_of(comparison: Mapping[str, Any]) -> str:
    """What the figure of learning counts along: the first unit that the budget limits.

    It is circuits where they are limited and an entry has the exact gradient, which draws nothing.
    """
    limited = [unit for unit in UNITS if unit in budget_of(comparison)]
    exact = any(entry.get("estimator") == "exact" for entry in comparison["generators"])
    return "circuits" if exact and "circuits" in limited else limited[0]


def figures(
    comparison: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    spectrum: Mapping[str, Any] | None,
) -> dict[str, str]:
    """SVG elements by name: "learning", "draws", and "hits" or, without certificate, "best".

    They can stand inline in one page, where they take its text colour. A figure without anything
    to show is left out.
    """
    styles = styles_of(results)
    drawn = {"learning": _learning(comparison, results, styles)}
    if comparison["certificate"] is not None:
        drawn["hits"] = _hits(comparison, results, styles)
    else:
        drawn["best"] = _best(comparison, results, styles)
    drawn["draws"] = _draws(comparison, results, spectrum, styles)
    return {
        name: _svg(figure, name, FIGURES[name][0])
        for name, figure in drawn.items()
        if figure is not None
    }


def _learning(
    comparison: Mapping[str, Any], results: Sequence[Mapping[str, Any]], styles: dict[str, Style]
) -> "Figure | None":
    curves = {}
    unit = unit_of(comparison)
    for result in results:
        spent = np.asarray(_spent(result, unit), dtype=np.float64)
        if spent.size:
            losses = np.asarray(result["curve"]["mean_loss"], dtype=np.float64)
            keep = np.unique(np.linspace(0, len(spent) - 1, POINTS_OF_A_CURVE).astype(int))
            # Restarts, inside the budget, would draw teeth. Controls have none: the lowest of
            # their noisy means would fall, as if random search learned.
            if result["kind"] != "control":
                losses = np.minimum.accumulate(losses, axis=1)
            quartiles = np.quantile(losses[:, keep], [0.25, 0.5, 0.75], axis=0)
            curves[result["name"]] = spent[keep], quartiles
    if not curves:
        return None
    figure, axes = _figure(height=3.6)
    for index, (name, (spent, (low, median, high))) in enumerate(curves.items()):
        style = styles[name]
        # Markers every sixth of the curve, and not those of all curves at one place.
        every = max(1, len(spent) // 6)
        axes.plot(
            spent,
            median,
            clip_on=len(spent) > 1,  # one point alone may lie on the edge
            markevery=(index * every // len(curves), every),
            **style.marks(),
        )
        axes.fill_between(spent, low, high, color=style.colour, alpha=0.15, linewidth=0)
    bands = [quartiles for _, quartiles in curves.values()]
    reference = comparison["reference"]["loss"]
    _loss_axis(axes.yaxis, min(reference, *(b.min() for b in bands)), max(b.max() for b in bands))
    axes.axhline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    _text(axes, 0.995, reference, _reference_label(comparison), ha="right", va="top", side="y")
    axes.set_xlim(0, max(at[-1] for at, _ in curves.values()))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.set_xlabel(unit)
    axes.set_ylabel("mean loss")
    _legend(figure, {name: styles[name] for name in curves})
    return figure


def _spent(result: Mapping[str, Any], unit: str) -> Sequence[int]:
    """What each point of a learning curve had spent; [] where that is not known."""
    curve = result["curve"]
    if unit == "shots" and result["kind"] == "control":  # each bitstring is drawn and evaluated
        unit = "evaluations"
    return curve.get(unit, [])


def _draws(
    comparison: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    spectrum: Mapping[str, Any] | None,
    styles: dict[str, Style],
) -> "Figure | None":
    draws = {
        result["name"]: np.concatenate([np.ravel(losses) for losses in result["final_losses"]])
        for result in results
        if any(len(losses) for losses in result["final_losses"])
    }
    if not draws:
        return None
    reference = comparison["reference"]["loss"]
    low = min(reference, *(float(losses.min()) for losses in draws.values()))
    high = max(float(losses.max()) for losses in draws.values())
    if spectrum is not None:
        filled = np.flatnonzero(np.asarray(spectrum["bitstrings"], dtype=np.float64))
        high = max(high, float(spectrum["edges"][filled[-1] + 1]))
    heights = [4.0] * (spectrum is not None) + [1.0] * len(draws)
    # On a wide page it stands beside two others, and is about as high as both.
    row = min(max(6.4 / sum(heights), 0.32), 0.6)
    figure, *rows = _figure(height=0.75 + row * sum(heights), rows=heights)
    bottom = rows[-1]
    logarithmic = _loss_axis(bottom.xaxis, low, high)
    if spectrum is not None:
        top = rows.pop(0)
        counts = np.asarray(spectrum["bitstrings"], dtype=np.float64)
        top.stairs(counts, spectrum["edges"], fill=True, color=INK, alpha=0.45, linewidth=0)
        top.set_yscale("log")
        top.set_ylim(bottom=0.7)
        top.set_ylabel("bitstrings")
        top.grid(visible=False)
    low, high = bottom.get_xlim()
    edges = np.geomspace(low, high, 181) if logarithmic else np.linspace(low, high, 181)
    for axes, (name, losses) in zip(rows, draws.items(), strict=True):
        style = styles[name]
        counts, _ = np.histogram(losses, edges)
        # Each row to its own height: one row may sit on a plateau, another spread over all bins.
        share = counts / max(1, counts.max())
        axes.stairs(
            share,
            edges,
            fill=True,
            facecolor=(style.colour, 0.45),
            edgecolor=style.colour,
            linewidth=1.1,
        )
        axes.set_ylim(0, 1.15)
        axes.set_yticks([])
        axes.set_ylabel(_short(name), rotation=0, ha="right", va="center", parse_math=False)
        axes.yaxis.label.set_color(style.colour)
    for axes in figure.axes:
        axes.axvline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    for axes in figure.axes[:-1]:
        axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
    _text(figure.axes[0], reference, 1.0, _reference_label(comparison), va="bottom", side="x")
    bottom.set_xlabel("loss")
    return figure


def _hits(
    comparison: Mapping[str, Any], results: Sequence[Mapping[str, Any]], styles: dict[str, Style]
) -> "Figure | None":
    from matplotlib.ticker import MaxNLocator

    results = [result for result in results if drew(result)]
    if not results:
        return None
    reference = comparison["reference"]["loss"]
    hits = {
        result["name"]: sorted(
            at for at in first_hits(result["improvements"], reference) if at is not None
        )
        for result in results
    }
    budget = max(result["evaluations"] for result in results)
    earliest = min((at for found in hits.values() for at in found), default=budget)
    start = 10.0 ** np.floor(np.log10(max(1, min(earliest, budget / 100))))
    figure, axes = _figure(height=3.6)
    for result in results:
        found, seeds = hits[result["name"]], len(result["seeds"])
        shares = [0.0, *(np.arange(1, len(found) + 1) / seeds), len(found) / seeds]
        axes.step(
            [start, *found, result["evaluations"]],
            shares,
            where="post",
            clip_on=False,
            markevery=range(1, len(shares)),
            **styles[result["name"]].marks(),
        )
    chance = comparison["certificate"].get("uniform_hit_probability")
    if chance is not None:
        evaluations = np.geomspace(start, budget, 80)
        with np.errstate(divide="ignore"):  # every draw may be optimal
            shares = -np.expm1(evaluations * np.log1p(-chance))
        axes.plot(evaluations, shares, color=INK, linewidth=0.9)
    axes.set_xscale("log")
    axes.set_xlim(start, max(budget, start + 1))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.xaxis.set_minor_formatter("")
    highest = max(len(found) / len(comparison["seeds"]) for found in hits.values())
    axes.set_ylim(0, min(1.0, max(0.2, highest + 0.1)))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # whole per cents
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("seeds that have hit")
    extra = {} if chance is None else {"uniform (exact)": {"color": INK, "linewidth": 0.9}}
    _legend(figure, {result["name"]: styles[result["name"]] for result in results}, extra)
    return figure


def _best(
    comparison: Mapping[str, Any], results: Sequence[Mapping[str, Any]], styles: dict[str, Style]
) -> "Figure | None":
    results = [result for result in results if drew(result) and all(result["improvements"])]
    if not results:
        return None
    budget = max(result["evaluations"] for result in results)
    start = max(found[0][0] for result in results for found in result["improvements"])
    grid = np.unique(np.geomspace(start, budget, POINTS_OF_A_CURVE).astype(int))
    medians = {}
    for result in results:
        seeds = []
        for found in result["improvements"]:
            at, losses = np.asarray(found, dtype=np.float64).T
            seeds.append(losses[np.searchsorted(at, grid, side="right") - 1])
        medians[result["name"]] = np.median(seeds, axis=0)
    figure, axes = _figure(height=3.6)
    for index, (name, median) in enumerate(medians.items()):
        every = max(1, len(grid) // 6)
        axes.step(
            grid,
            median,
            where="post",
            markevery=(index * every // len(medians), every),
            **styles[name].marks(),
        )
    reference = comparison["reference"]["loss"]
    _loss_axis(axes.yaxis, reference, max(float(median.max()) for median in medians.values()))
    axes.axhline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    _text(axes, 0.005, reference, _reference_label(comparison), va="top", side="y")
    axes.set_xscale("log")
    axes.set_xlim(grid[0], max(budget, grid[0] + 1))
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("best loss so far")
    _legend(figure, {name: styles[name] for name in medians})
    return figure


# Draws from hardware beside the simulator's.

HARDWARE_REPLICAS = 8
"""So many are drawn, one below the other; the table has all."""
HARDWARE_FIGURES = {
    "losses": (
        "Losses of the draws",
        "Shares of the draws in bins of the loss (log scale): the line is the hardware, the grey "
        "area the simulator.",
    ),
    "marginals": (
        "Each bit",
        "P(bit = 1) on the hardware minus that of the simulator. The band is two standard errors "
        "of shot noise. Filled dots are bits that the simulator has mostly at 1, open ones mostly "
        "at 0: where filled ones lie low and open ones high, bits are misread or decay.",
    ),
}


def hardware_figures(
    outcome: Mapping[str, Any], seeds: Sequence[int]
) -> list[tuple[str, str, str]]:
    """(title, caption, SVG) of the losses and of the marginals, for what `beside` found."""
    replicas = outcome["replicas"][:HARDWARE_REPLICAS]
    names = [f"seed {seed}" for seed in seeds[: len(replicas)]]
    drawn = {
        "losses": _hardware_losses(outcome, replicas, names),
        "marginals": _hardware_marginals(replicas, names),
    }
    return [(*HARDWARE_FIGURES[n], _svg(f, n, HARDWARE_FIGURES[n][0])) for n, f in drawn.items()]


def _hardware_losses(
    outcome: Mapping[str, Any], replicas: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> "Figure":
    edges, minimum = np.asarray(outcome["edges"]), outcome["minimum"]
    figure, *rows = _figure(height=_hardware_height(replicas), rows=[1.0] * len(replicas))
    low = edges[0] if minimum is None else min(edges[0], minimum)
    _loss_axis(rows[-1].xaxis, float(low), float(edges[-1]))
    colour = COLOURS["quantum"][0]
    for axes, replica, name in zip(rows, replicas, names, strict=True):
        ours, theirs = (
            np.asarray(replica[key]["counts"]) / replica[key]["draws"]
            for key in ("measured", "simulated")
        )
        axes.stairs(theirs, edges, fill=True, color=INK, alpha=0.3, linewidth=0)
        axes.stairs(ours, edges, color=colour, linewidth=1.5)
        axes.set_yscale("log")
        axes.set_ylim(0.5 / replica["measured"]["draws"], 1.5 * max(ours.max(), theirs.max()))
        axes.yaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        if len(names) > 1:
            axes.set_ylabel(name)
        if minimum is not None:
            axes.axvline(minimum, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    if minimum is not None:
        label = f"certified minimum {format_loss(minimum)}"
        _text(rows[0], minimum, 1.0, label, va="bottom", side="x")
    _hardware_rows(rows)
    rows[-1].set_xlabel("loss")
    simulator = {"color": INK, "alpha": 0.3, "linewidth": 7}
    _legend(figure, {}, {"hardware": {"color": colour}, "simulator": simulator})
    return figure


def _hardware_marginals(replicas: Sequence[Mapping[str, Any]], names: Sequence[str]) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure, *rows = _figure(height=_hardware_height(replicas), rows=[1.0] * len(replicas))
    colour = COLOURS["quantum"][0]
    for axes, replica, name in zip(rows, replicas, names, strict=True):
        measured, simulated, error = (
            np.asarray(replica["marginals"][key]) for key in ("measured", "simulated", "error")
        )
        bits, difference = np.arange(len(error)), measured - simulated
        size = min(4.5, max(1.5, 200 / len(bits)))
        edges = np.append(bits - 0.5, len(bits) - 0.5)
        axes.stairs(2 * error, edges, baseline=-2 * error, fill=True, color=INK, alpha=0.2, lw=0)
        axes.axhline(0, color=INK, linewidth=0.8)
        for chosen, face in ((simulated >= 0.5, colour), (simulated < 0.5, "none")):
            axes.plot(bits[chosen], difference[chosen], "o", color=colour, markerfacecolor=face,
                      markersize=size)  # fmt: skip
        largest = max(float(np.abs(difference).max()), float(2 * error.max()), 1e-3)
        axes.set_ylim(-1.1 * largest, 1.1 * largest)
        axes.set_xlim(-0.8, len(bits) - 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        if len(names) > 1:
            axes.set_ylabel(name)
    _hardware_rows(rows)
    rows[-1].set_xlabel("bit")
    if len(names) == 1:
        rows[0].set_ylabel("hardware − simulator")
    dot = {"color": colour, "marker": "o", "linestyle": "none", "markersize": 4.5}
    band = {"color": INK, "alpha": 0.2, "linewidth": 7}
    _legend(
        figure,
        {},
        {"mostly 1": dot, "mostly 0": dot | {"markerfacecolor": "none"}, "shot noise": band},
    )
    return figure


def _hardware_height(replicas: Sequence[Mapping[str, Any]]) -> float:
    return 3.6 if len(replicas) == 1 else 0.9 + 1.25 * len(replicas)


def _hardware_rows(rows: "Sequence[Axes]") -> None:
    for axes in rows[:-1]:
        axes.tick_params(axis="x", which="both", labelbottom=False, length=0)


# The figures' common parts. Matplotlib's objects only: no pyplot, no settings changed.


def _figure(*, height: float, rows: Sequence[float] = (1.0,)) -> "tuple[Any, ...]":
    """A figure and its axes, one under another, `rows` their relative heights; x is shared."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, height), layout="constrained", facecolor="none")
    grid = figure.add_gridspec(len(rows), 1, height_ratios=list(rows), hspace=0)
    first: Axes | None = None
    for row in range(len(rows)):
        axes = figure.add_subplot(grid[row], sharex=first, facecolor="none")
        first = first or axes
        for spine in ("top", "right"):
            axes.spines[spine].set_visible(False)
        for spine in ("left", "bottom"):
            axes.spines[spine].set(color=INK, alpha=0.5, linewidth=0.8)
        axes.tick_params(which="both", color=INK, labelcolor=INK, labelsize=9, width=0.6)
        axes.grid(color=INK, alpha=0.12, linewidth=0.6)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(color=INK, fontsize=9.5)
    return figure, *figure.axes


def _loss_axis(axis: "Axis", low: float, high: float) -> bool:
    """Make an axis of losses from `low` to `high`: logarithmic where it helps; whether it is."""
    from matplotlib.ticker import LogLocator

    # A log axis over less than a decade would have too few labels.
    logarithmic = low > 0 and high / low > 10
    # On y there is room below the reference for its label.
    name, below = ("x", 0.04) if axis is axis.axes.xaxis else ("y", 0.1)
    if logarithmic:
        axis.axes.set(**{f"{name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_minor_locator(LogLocator(subs=(1.5, 4, 6, 7, 8, 9)))
        axis.set_minor_formatter("")
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        limits = low / (high / low) ** below, high * (high / low) ** 0.04
    else:
        spread = (high - low) or abs(low) or 1.0
        limits = low - below * spread, high + 0.04 * spread
    axis.axes.set(**{f"{name}lim": limits})
    return logarithmic


def _text(axes: "Axes", x: float, y: float, words: str, *, side: str, **where: Any) -> None:
    """Words at a place given on one axis (`side`) in data, on the other as a share of the axes."""
    axes.annotate(
        words,
        (x, y),
        xycoords=axes.get_yaxis_transform() if side == "y" else axes.get_xaxis_transform(),
        xytext=(0, -2 if side == "y" else 2),
        textcoords="offset points",
        color=INK,
        fontsize=8.5,
        parse_math=False,
        **where,
    )


def _reference_label(comparison: Mapping[str, Any]) -> str:
    reference = comparison["reference"]
    return f"{reference['kind']} {format_loss(reference['loss'])}"


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"


def _legend(
    figure: "Figure", styles: Mapping[str, Style], extra: Mapping[str, dict[str, Any]] | None = None
) -> None:
    from matplotlib.lines import Line2D

    marks = {name: style.marks() for name, style in styles.items()} | dict(extra or {})
    handles: list[Line2D] = [Line2D([], [], **mark) for mark in marks.values()]
    legend = figure.legend(
        handles,
        [_short(name) for name in marks],
        loc="outside lower center",
        ncols=3 if max(map(len, marks)) <= 16 else 2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=3,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _svg(figure: "Figure", name: str, title: str) -> str:
    """The figure as an SVG element that can share a page with others under its `name`."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    # A hundredth of a point is finer than any screen.
    svg = re.sub(r' d="[^"]+"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    # Matplotlib's ids are random or count from one in every figure. Those that are referred to
    # get the figure's name and a number; the others go.
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    names = {old: f"{name}-{number}" for number, old in enumerate(used)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", svg)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names[m[2]], svg)
