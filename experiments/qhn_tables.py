"""Tables and pictures of the studies that `qhn` serves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.markdown import table
from experiments.qhn import ENTRIES, NEAR, PROBLEMS, Size
from qhyper.report.drawing import COLOURS, INK
from qhyper.report.statistics import median_interval, wilson
from qhyper.report.words import with_interval
from qhyper.targets.target import SAME_LOSS

Results = Mapping[str, Any]

STARTS = {"uniform": "random angles", "near": "0.01 about the uniform product state"}
CLOSE = 1e-3
"""Restarts that end no closer are in another minimum; between this and 1e-4 some stop early."""
BODIES = 4
"""Columns of the Walsh spectrum; what has more bodies is summed."""


def tables(results: Results, size: Size) -> str:
    """All tables of a study."""
    names = list(size.restarts)
    return "\n\n".join(
        [
            landscapes(results, names),
            *(depths(results, name, list(of)) for name, of in size.restarts.items()),
            *(equal_budget(results, name) for name in names),
            found_networks(results, names),
        ]
    )


def measured(results: Results, size: Size) -> dict[str, float]:
    """The numbers of a study that can be checked, by name."""
    numbers: dict[str, float] = {}
    for name, of in size.restarts.items():
        known = results[f"landscape-{name}"]
        numbers[f"{name}-minimum"] = known["minimum"]
        numbers[f"{name}-one-body"] = known["body_shares"][0]
        for start, depth in of:
            found = results[f"{start}-{depth}-{name}"]
            hits = within(found, known["minimum"])
            numbers[f"{name}-{start}-{depth}-within"] = hits / len(found["value"])
            numbers[f"{name}-{start}-{depth}-p-optimum"] = max(found["p_optimum"])
    return numbers


def share(hits: int, n: int) -> str:
    """A share with its Wilson interval."""
    found = wilson(hits, n)
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"


def median(values: Sequence[float], form: str = ".3f") -> str:
    """A median with its bootstrap interval, where there are values enough for one."""
    return with_interval(median_interval(values), form)


def layers(depth: int) -> str:
    """A depth in the paper's words: two sublayers are one layer."""
    return "product" if depth == 0 else f"{depth // 2} layer{'s' * (depth > 2)}"


def within(found: Mapping[str, Any], minimum: float, room: float = NEAR) -> int:
    """How many restarts end so close to the minimum."""
    return int((np.array(found["value"]) <= minimum + room).sum())


def landscapes(results: Results, names: Sequence[str]) -> str:
    """What the tables of costs say: the optimum, and how many bodies the cost has."""
    rows, spectra = [], []
    for name in names:
        found = results[f"landscape-{name}"]
        title = PROBLEMS[name].title
        rows.append(
            [
                title, f"{found['bits']}", f"{found['minimum']:.5f}",
                f"{found['next'] - found['minimum']:.1e}", f"{found['mean']:.3f}",
                f"{found['deviation']:.3f}", f"{found['optimal']}", f"{found['near']:,}",
                f"{found['accuracy']:.4f}",
            ]
        )  # fmt: skip
        shares = found["body_shares"]
        spectra.append(
            [title, *(f"{s:.4f}" for s in shares[:BODIES]), f"{sum(shares[BODIES:]):.4f}"]
        )
    head = ["problem", "bits", "minimum", "to the next level", "mean", "std", "optima",
            "within 1e-4", "accuracy"]  # fmt: skip
    more = ["problem", *(f"{k}-body" for k in range(1, BODIES + 1)), "more"]
    return "\n\n".join(
        [
            table("All costs, enumerated", head, rows),
            table("Share of the variance of the cost by the bits of a term", more, spectra),
        ]
    )


def depths(results: Results, name: str, of: Sequence[tuple[str, int]]) -> str:
    """Exact training against depth, from each start."""
    known = results[f"landscape-{name}"]
    rows = []
    for start, depth in of:
        found = results[f"{start}-{depth}-{name}"]
        gap = np.array(found["value"]) - known["minimum"]
        rows.append(
            [
                STARTS[start], layers(depth), f"{len(gap)}",
                share(within(found, known["minimum"]), len(gap)),
                f"{within(found, known['minimum'], CLOSE) / len(gap):.2f}",
                f"{max(found['p_optimum']):.3f}", median(found["p_optimum"]),
                median(found["p_near"]),
                median(gap, ".5f"), f"{np.median(found['rank']):,.0f}",
                f"{np.max(found['rank']):,}", f"{np.median(found['evaluations']):,.0f}",
            ]
        )  # fmt: skip
    head = ["start", "circuit", "restarts", "within 1e-4", "1e-3", "P(optimum): best", "median",
            "P(within 1e-4): median", "gap: median", "rank: median", "worst",
            "evaluations of ⟨C⟩"]  # fmt: skip
    return table(f"{PROBLEMS[name].title}: exact training by L-BFGS", head, rows, words=2)


def equal_budget(results: Results, name: str) -> str:
    """What draws can do with as many evaluations as there are bitstrings."""
    known = results[f"landscape-{name}"]
    rows = []
    for entry in ENTRIES:
        found = results[f"budget-{entry}-{name}"]
        final = np.array(found["final"]) - known["minimum"]
        hits = sum(best <= known["minimum"] + SAME_LOSS for best in found["best"])
        rows.append(
            [
                entry.replace("-", " "), share(int((final <= NEAR).sum()), len(final)),
                share(int((final <= 0.05 * known["minimum"]).sum()), len(final)),
                median(final, ".5f"), share(hits, len(final)),
            ]
        )  # fmt: skip
    first = results[f"budget-{next(iter(ENTRIES))}-{name}"]
    title = (
        f"{PROBLEMS[name].title}: {len(first['final'])} seeds, "
        f"{first['evaluations']:,} evaluations each"
    )
    head = ["", "mean loss within 1e-4", "within 5 %", "gap: median", "optimum drawn"]
    return table(title, head, rows)


def found_networks(results: Results, names: Sequence[str]) -> str:
    """The optimal networks, as `describe` prints them, and the largest terms of the cost."""
    texts = []
    for name in names:
        known = results[f"landscape-{name}"]
        terms = "; ".join(
            f"{' '.join(term['bits'])}: {term['coefficient']:+.4f}"
            for term in known["largest_terms"]
        )
        texts.append(
            f"#### {PROBLEMS[name].title}\n\nLargest terms: {terms}\n\n```text\n"
            f"{known['network']}\n```"
        )
    return "### The optimal networks\n\n" + "\n\n".join(texts)


def draw_depths(results: Results, size: Size, path: Path) -> None:
    """P(within 1e-4) and gap of every restart from random angles, against depth."""
    names = list(size.restarts)
    of = sorted(depth for start, depth in size.restarts[names[0]] if start == "uniform")
    size_of = (max(4.6, 2.4 * len(names) + 1.2), 4.6)
    figure, panels = new_panels(size_of, 2, len(names), sharey="row", sharex=True)
    colour = COLOURS["quantum"][0]
    for column, name in enumerate(names):
        known = results[f"landscape-{name}"]
        above, below = panels[0][column], panels[1][column]
        rng = np.random.default_rng(0)
        for x, depth in enumerate(of):
            found = results[f"uniform-{depth}-{name}"]
            beside = x + rng.uniform(-0.18, 0.18, len(found["value"]))
            gap = np.maximum(np.array(found["value"]) - known["minimum"], 1e-9)
            for axes, values in ((above, found["p_near"]), (below, gap)):
                axes.plot(beside, values, color=colour, alpha=0.45, linestyle="none", marker="o",
                          markersize=3.5, markeredgewidth=0)  # fmt: skip
                axes.plot([x - 0.3, x + 0.3], [np.median(values)] * 2, color=INK, linewidth=1.6)
        above.set_title(PROBLEMS[name].title)
        above.set_ylim(-0.03, 1.03)
        below.set_yscale("log")
        below.axhline(NEAR, color=INK, linewidth=0.7, linestyle=":")
        below.set_xticks(range(len(of)), ["0", *(str(depth // 2) for depth in of[1:])])
        below.set_xlabel("layers")
    panels[0][0].set_ylabel("P(within 1e-4 of the minimum)")
    panels[1][0].set_ylabel("⟨C⟩ above the minimum")
    save(figure, path, "Exact training against depth")


def draw_spectrum(results: Results, names: Sequence[str], path: Path) -> None:
    """Share of the variance of each cost by the number of bits of a term."""
    from matplotlib.patches import Patch

    figure, ((axes,),) = new_panels((6.2, 2.8), 1, 1)
    palette = [*COLOURS["quantum"][:3], *COLOURS["classical"][:3]]
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        shares = results[f"landscape-{name}"]["body_shares"]
        at = np.arange(1, len(shares) + 1) + (k - (len(names) - 1) / 2) * width
        axes.bar(at, np.maximum(shares, 1e-12), width, color=palette[k])
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 1.5)
    axes.set_xlim(0.4, 8.6)
    axes.set_xlabel("bits of a term")
    axes.set_ylabel("share of the variance")
    legend_below(figure, [Patch(color=palette[k], label=PROBLEMS[name].title)
                          for k, name in enumerate(names)], 3)  # fmt: skip
    save(figure, path, "Walsh spectrum of the costs")
