"""What a comparison found: `summarise` makes the numbers, the rest shows them.

`table` and `tests_table` are for the terminal, `figures` gives SVG, and `page` puts everything on
one HTML page that needs nothing else. All take the plain dicts that `summary.json` holds; the same
words and numbers reach terminal and page. Matplotlib, rich and jinja2 are imported where used.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.errors import ConfigurationError
from qhyper.search import SAME_LOSS
from qhyper.statistics import Figure, censored_median, median_interval, paired_tests, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Canvas
    from rich.table import Table

CERTIFIED = "certified minimum"
BEST_SEEN = "best loss seen"
SIGNIFICANT = 0.05
POINTS_OF_A_CURVE = 160

# -- numbers --------------------------------------------------------------------------------------


def summarise(
    results: Sequence[Mapping[str, Any]],
    *,
    certificate: Mapping[str, Any] | None,
    no_certificate: str | None,
    data: str,
    network: str,
    loss: str,
) -> dict[str, Any]:
    """Results of several searches over the same seeds as one comparison, ready for JSON.

    The reference is the certified minimum, or else the best loss that any of them saw; a hit is a
    loss within 1e-9 of it. Medians over the seeds come with bootstrap intervals, shares with
    Wilson's. Raises ConfigurationError if there are no results, names repeat, a kind is unknown,
    seeds differ, or a loss lies below the certified minimum.
    """
    _check(results)
    best = min(min(result["best_loss"]) for result in results)
    if certificate is None:
        reference, kind = float(best), BEST_SEEN
    else:
        reference, kind = float(certificate["minimum_loss"]), CERTIFIED
        if best < reference - SAME_LOSS:
            raise ConfigurationError(
                f"A search found the loss {best}, below the certified minimum {reference}: this "
                "certificate belongs to another objective. Certify this data and loss, or compare "
                "without a certificate."
            )
    final_losses = {result["name"]: result["final_loss"] for result in results}
    names = {
        kind: [result["name"] for result in results if result["kind"] == kind]
        for kind in ("quantum", "classical")
    }
    return {
        "data": data,
        "network": network,
        "loss": loss,
        "evaluations": max(result["evaluations"] for result in results),
        "seeds": list(results[0]["seeds"]),
        "certificate": None if certificate is None else dict(certificate),
        "no_certificate": no_certificate,
        "reference": {"loss": reference, "kind": kind},
        "generators": [_summary(result, reference) for result in results],
        "tests": paired_tests(final_losses, names["quantum"], names["classical"]),
    }


def _check(results: Sequence[Mapping[str, Any]]) -> None:
    if not results:
        raise ConfigurationError("There are no results to compare.")
    for result in results:
        if result["kind"] not in COLOURS:
            raise ConfigurationError(
                f"Unknown kind '{result['kind']}' of {result['name']}; known: {', '.join(COLOURS)}."
            )
    names = [result["name"] for result in results]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"Each result needs a name of its own; got {', '.join(names)}.")
    if any(list(result["seeds"]) != list(results[0]["seeds"]) for result in results):
        seeds = {result["name"]: result["seeds"] for result in results}
        raise ConfigurationError(f"A comparison needs the same seeds for all; got {seeds}.")


def _summary(result: Mapping[str, Any], reference: float) -> dict[str, Any]:
    regret = np.asarray(result["best_loss"], dtype=np.float64) - reference
    regret[np.abs(regret) < SAME_LOSS] = 0.0
    hits = _first_hits(result, reference)
    return {
        "name": result["name"],
        "kind": result["kind"],
        "description": result["description"],
        "parameters": result["parameters"],
        "seeds": len(result["seeds"]),
        "evaluations": result["evaluations"],
        "regret": median_interval(regret),
        "best_loss": median_interval(result["best_loss"]),
        "hit_share": wilson(sum(hit is not None for hit in hits), len(hits)),
        "evaluations_to_hit": censored_median(hits, result["evaluations"]),
        "final_loss": median_interval(result["final_loss"]),
        "train_accuracy": _accuracy(result["train_accuracy"]),
        "test_accuracy": _accuracy(result["test_accuracy"]),
        "seconds_per_step": result["seconds_per_step"],
    }


def _first_hits(result: Mapping[str, Any], reference: float) -> list[int | None]:
    """For each seed, the evaluations at its first loss within 1e-9 of the reference."""
    return [
        next((at for at, loss in found if loss <= reference + SAME_LOSS), None)
        for found in result["improvements"]
    ]


def _accuracy(values: Sequence[float | None] | None) -> Figure | None:
    known = [value for value in values or () if value is not None]
    return median_interval(known) if known else None


# -- words ----------------------------------------------------------------------------------------


def _loss(value: float) -> str:
    """Four decimals tell the plateaus apart; smaller losses keep one digit, larger ones three."""
    if 0 < abs(value) < 5e-5:
        return f"{value:.0e}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"


def _regret(value: float) -> str:
    return "0" if value == 0 else _loss(value)


def _share(value: float) -> str:
    return f"{100 * value:.0f}"


def _count(value: float) -> str:
    """950, 4.52k, 131k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listed(names: Sequence[str]) -> str:
    """Names in quotes: one may be called "quantum", and is not the whole kind."""
    words = [f"“{name}”" for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _interval(figure: Mapping[str, float | None], show: Callable[[float], str]) -> str:
    low, high = figure["low"], figure["high"]
    if low is None or high is None or low == high or show(low) == show(high):
        return ""
    return f"{show(low)}–{show(high)}"


COLUMNS = (
    ("parameters", "Parameters"),
    ("regret", "Regret"),
    ("hit_share", "Seeds that hit"),
    ("evaluations_to_hit", "Evaluations to hit"),
    ("final_loss", "Final mean loss"),
    ("train_accuracy", "Train accuracy"),
    ("test_accuracy", "Test accuracy"),
    ("seconds_per_step", "ms per step"),
)


def _cells(entry: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """One row as words: for each column the value and, in a second line, its interval or ""."""
    hits = round(entry["hit_share"]["value"] * entry["seeds"])
    seconds = entry["seconds_per_step"]
    cells = {
        "parameters": (f"{entry['parameters']:,}", ""),
        "regret": (_regret(entry["regret"]["median"]), _interval(entry["regret"], _regret)),
        "hit_share": (
            f"{hits} of {entry['seeds']}",
            _interval(entry["hit_share"], _share) + "\u00a0%",
        ),
        "evaluations_to_hit": _to_hit(entry["evaluations_to_hit"], entry["evaluations"]),
        "final_loss": (
            _loss(entry["final_loss"]["median"]),
            _interval(entry["final_loss"], _loss),
        ),
        "seconds_per_step": ("–" if seconds is None else f"{1000 * seconds:.3g}", ""),
    }
    for key in ("train_accuracy", "test_accuracy"):
        figure = entry[key]
        cells[key] = (
            ("–", "")
            if figure is None
            else (f"{figure['median']:.4f}", _interval(figure, "{:.4f}".format))
        )
    return cells


def _to_hit(figure: Figure, budget: int) -> tuple[str, str]:
    median, low, high = figure["median"], figure["low"], figure["high"]
    value = f"> {_count(budget)}" if median is None else _count(median)
    if low is not None and high is None:
        return value, f"> {_count(low)}"
    return value, _interval(figure, _count)


def _setting(comparison: Mapping[str, Any]) -> str:
    """What was compared, in one line."""
    seeds, evaluations = len(comparison["seeds"]), comparison["evaluations"]
    some_less = any(entry["evaluations"] < evaluations for entry in comparison["generators"])
    return (
        f"{comparison['data']}, {comparison['network']}, {comparison['loss'].replace('_', ' ')}; "
        f"{'up to ' * some_less}{evaluations:,} evaluations for each of {seeds} "
        f"seed{'s' if seeds > 1 else ''}; {comparison['reference']['kind']} "
        f"{comparison['reference']['loss']:.6f}"
    )


def _columns_shown(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that say something: without accuracies or steps theirs are left out."""
    optional = ("train_accuracy", "test_accuracy", "seconds_per_step")
    return [
        (key, title)
        for key, title in COLUMNS
        if key not in optional or any(entry[key] is not None for entry in comparison["generators"])
    ]


def _lower(test: Mapping[str, Any]) -> str | None:
    """Which kind has the lower losses, or None where the test cannot tell."""
    if test["p_holm"] >= SIGNIFICANT:
        return None
    return "quantum" if test["median_difference"] < 0 else "classical"


def _test_cells(test: Mapping[str, Any]) -> tuple[str, ...]:
    difference = f"{test['median_difference']:+.4f}".replace("-", "−")
    lower = _lower(test)
    return (
        test["quantum"],
        test["classical"],
        difference,
        _p(test["p"]),
        _p(test["p_holm"]),
        "not told apart" if lower is None else f"{test[lower]} is lower",
    )


TEST_COLUMNS = ("Quantum", "Classical", "Median difference", "p", "p (Holm)", "Final mean loss")

# -- the answer -----------------------------------------------------------------------------------


def _answer(comparison: Mapping[str, Any]) -> str:
    """What was found, in one paragraph written from the numbers."""
    sentences = [_who_hits(comparison), _how_far(comparison)]
    if comparison["tests"]:
        sentences.append(_what_tests_say(comparison["tests"]))
    certificate, reason = comparison["certificate"], comparison["no_certificate"]
    if certificate is not None:
        sentences.append(
            f"The optimum is proven: it is the lowest of all {certificate['configurations']:,} "
            "weight settings."
        )
    else:
        because = f": {reason.rstrip('.')}." if reason else "."
        sentences.append(f"Whether a better network exists is not known{because}")
    return " ".join(sentences)


def _goal(comparison: Mapping[str, Any]) -> str:
    reference = comparison["reference"]
    goal = "the proven optimal loss" if reference["kind"] == CERTIFIED else "the best loss seen"
    return f"{goal} ({_loss(reference['loss'])})"


def _who_hits(comparison: Mapping[str, Any]) -> str:
    entries = comparison["generators"]
    goal, budget = _goal(comparison), f"within {comparison['evaluations']:,} evaluations"
    share = max(entry["hit_share"]["value"] for entry in entries)
    if share == 0:
        return f"No run reached {goal} {budget}."
    first = [entry for entry in entries if entry["hit_share"]["value"] == share]
    names = _listed([entry["name"] for entry in first])
    if first[0]["seeds"] == 1:
        return f"{names} reached {goal} {budget}; one seed cannot tell how often."
    hits, interval = _cells(first[0])["hit_share"]
    reached = f"{hits} seeds reached {goal} {budget} (95\u00a0% interval {interval})."
    if len(entries) == 1:
        return f"{names}: {reached}"
    if len(first) > 1:
        return f"{names} find the best network equally often: for each, {reached}"
    answer = f"{names} finds the best network most often: {reached}"
    low = first[0]["hit_share"]["low"]
    near = [e["name"] for e in entries if e is not first[0] and e["hit_share"]["high"] >= low]
    if near:
        answer += f" The intervals of {_listed(near)} overlap with that."
    return answer


def _how_far(comparison: Mapping[str, Any]) -> str:
    """Median regrets, names with the same one together."""
    groups: dict[str, list[str]] = {}
    for entry in sorted(comparison["generators"], key=lambda entry: entry["regret"]["median"]):
        groups.setdefault(_regret(entry["regret"]["median"]), []).append(entry["name"])
    run = "of the run" if len(comparison["seeds"]) == 1 else "in the median run"
    far = "; ".join(f"{distance} for {_listed(names)}" for distance, names in groups.items())
    return f"Distance of the best network {run} from that loss: {far}."


def _what_tests_say(tests: Sequence[Mapping[str, Any]]) -> str:
    lower = [_lower(test) for test in tests]
    pairs = f"{len(tests)} pair{'s' if len(tests) > 1 else ''}"
    return (
        f"By final mean loss, of {pairs} of a quantum and a classical generator, the quantum one "
        f"is lower in {lower.count('quantum')} and the classical one in "
        f"{lower.count('classical')}; {lower.count(None)} cannot be told apart (paired tests with "
        "Holm's correction)."
    )


# -- terminal -------------------------------------------------------------------------------------


def table(comparison: Mapping[str, Any]) -> "Table":
    """The comparison as a rich table: one row a generator, 95 % intervals in the second line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Texts, not strings: a name in brackets is no markup.
    shown = Table(
        box=box.SIMPLE_HEAD,
        caption=Text(_setting(comparison)),
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    shown.add_column("Generator", overflow="fold", min_width=14)
    columns = dict(_columns_shown(comparison))
    accuracies = [key for key in ("train_accuracy", "test_accuracy") if columns.pop(key, "")]
    # Narrow headings, and no zero before the point in the small print: it fits 80 columns.
    narrow = {" ": "\n", "Parameters": "Param-\neters", "Evaluations": "Evalu-\nations"}
    for title in columns.values():
        for wide, lines in narrow.items():
            title = title.replace(wide, lines)
        shown.add_column(title, justify="right")
    if accuracies:
        shown.add_column("Accu-\nracy\ntrain\ntest", justify="right")
    for entry in comparison["generators"]:
        cells = _cells(entry)
        row = [_two_lines(entry["name"], entry["kind"])]
        row += [_two_lines(*cells[key]) for key in columns]
        if accuracies:
            row.append(Text(f"{cells['train_accuracy'][0]}\n{cells['test_accuracy'][0]}"))
        shown.add_row(*row)
    return shown


def _two_lines(value: str, detail: str) -> Any:
    from rich.text import Text

    return Text.assemble(
        value, *([("\n" + re.sub(r"\b0\.", ".", detail), "dim")] if detail else [])
    )


def tests_table(comparison: Mapping[str, Any]) -> "Table":
    """The paired tests as a rich table; no rows where there are none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = (
        "Wilcoxon signed-rank on final mean losses of the same seeds; p with Holm's correction"
    )
    shown = Table(box=box.SIMPLE_HEAD, caption=Text(caption), padding=(0, 1, 0, 0))
    for index, title in enumerate(TEST_COLUMNS):
        shown.add_column(title, justify="right" if index in (2, 3, 4) else "left")
    for test in comparison["tests"]:
        shown.add_row(*map(Text, _test_cells(test)))
    return shown


# -- figures --------------------------------------------------------------------------------------

INK = "#0a0b0c"
"""Stands for the colour of the page's text: it becomes `currentColor`, so figures follow themes."""


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


def _styles(entries: Sequence[Mapping[str, Any]]) -> dict[str, Style]:
    """Styles by name; the n-th of a kind looks the same in every figure and in the table."""
    styles: dict[str, Style] = {}
    seen = dict.fromkeys(COLOURS, 0)
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


def figures(
    comparison: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    spectrum: Mapping[str, Any] | None,
) -> dict[str, str]:
    """SVG elements by name: "learning", "draws", and "hits" or, without certificate, "best".

    They can stand inline in one page, where they take its text colour. A figure without anything
    to show is left out.
    """
    styles = _styles(results)
    drawn = {"learning": _learning(comparison, results, styles)}
    if comparison["certificate"] is not None:
        drawn["hits"] = _hits(comparison, results, styles)
    else:
        drawn["best"] = _best(comparison, results, styles)
    drawn["draws"] = _draws(comparison, results, spectrum, styles)
    return {name: _svg(canvas, name) for name, canvas in drawn.items() if canvas is not None}


def _learning(
    comparison: Mapping[str, Any], results: Sequence[Mapping[str, Any]], styles: dict[str, Style]
) -> "Canvas | None":
    curves = {}
    for result in results:
        evaluations = np.asarray(result["curve"]["evaluations"], dtype=np.float64)
        if evaluations.size:
            losses = np.asarray(result["curve"]["mean_loss"], dtype=np.float64)
            keep = np.unique(np.linspace(0, len(evaluations) - 1, POINTS_OF_A_CURVE).astype(int))
            quartiles = np.quantile(losses[:, keep], [0.25, 0.5, 0.75], axis=0)
            curves[result["name"]] = evaluations[keep], quartiles
    if not curves:
        return None
    canvas, axes = _canvas(height=3.6)
    for index, (name, (evaluations, (low, median, high))) in enumerate(curves.items()):
        style = styles[name]
        # Markers every sixth of the curve, and not those of all curves at one place.
        every = max(1, len(evaluations) // 6)
        axes.plot(
            evaluations, median, markevery=(index * every // len(curves), every), **style.marks()
        )
        axes.fill_between(evaluations, low, high, color=style.colour, alpha=0.15, linewidth=0)
    bands = [quartiles for _, quartiles in curves.values()]
    reference = comparison["reference"]["loss"]
    _loss_axis(axes.yaxis, min(reference, *(b.min() for b in bands)), max(b.max() for b in bands))
    axes.axhline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    _text(axes, 0.995, reference, _reference_label(comparison), ha="right", va="top", side="y")
    axes.set_xlim(0, comparison["evaluations"])
    axes.xaxis.set_major_formatter(lambda value, _: _count(value))
    axes.set_xlabel("evaluations")
    axes.set_ylabel("mean loss of the draws")
    _legend(canvas, {name: styles[name] for name in curves})
    return canvas


def _draws(
    comparison: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    spectrum: Mapping[str, Any] | None,
    styles: dict[str, Style],
) -> "Canvas | None":
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
    canvas, *rows = _canvas(height=0.75 + 0.32 * sum(heights), rows=heights)
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
    for axes in canvas.axes:
        axes.axvline(reference, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    for axes in canvas.axes[:-1]:
        axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
    _text(canvas.axes[0], reference, 1.0, _reference_label(comparison), va="bottom", side="x")
    bottom.set_xlabel("loss")
    return canvas


def _hits(
    comparison: Mapping[str, Any], results: Sequence[Mapping[str, Any]], styles: dict[str, Style]
) -> "Canvas":
    reference = comparison["reference"]["loss"]
    hits = {
        result["name"]: sorted(at for at in _first_hits(result, reference) if at is not None)
        for result in results
    }
    budget = comparison["evaluations"]
    earliest = min((at for found in hits.values() for at in found), default=budget)
    start = 10.0 ** np.floor(np.log10(max(1, min(earliest, budget / 100))))
    canvas, axes = _canvas(height=3.6)
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
    axes.xaxis.set_major_formatter(lambda value, _: _count(value))
    axes.xaxis.set_minor_formatter("")
    highest = max(len(found) / len(comparison["seeds"]) for found in hits.values())
    axes.set_ylim(0, min(1.0, max(0.2, highest + 0.1)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("seeds that have hit")
    extra = {} if chance is None else {"uniform (exact)": {"color": INK, "linewidth": 0.9}}
    _legend(canvas, styles, extra)
    return canvas


def _best(
    comparison: Mapping[str, Any], results: Sequence[Mapping[str, Any]], styles: dict[str, Style]
) -> "Canvas | None":
    results = [result for result in results if all(result["improvements"])]
    if not results:
        return None
    budget = comparison["evaluations"]
    start = max(found[0][0] for result in results for found in result["improvements"])
    grid = np.unique(np.geomspace(start, budget, POINTS_OF_A_CURVE).astype(int))
    medians = {}
    for result in results:
        seeds = []
        for found in result["improvements"]:
            at, losses = np.asarray(found, dtype=np.float64).T
            seeds.append(losses[np.searchsorted(at, grid, side="right") - 1])
        medians[result["name"]] = np.median(seeds, axis=0)
    canvas, axes = _canvas(height=3.6)
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
    axes.xaxis.set_major_formatter(lambda value, _: _count(value))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("evaluations")
    axes.set_ylabel("best loss so far")
    _legend(canvas, {name: styles[name] for name in medians})
    return canvas


# The figures' common parts. Matplotlib's objects only: no pyplot, no settings changed.


def _canvas(*, height: float, rows: Sequence[float] = (1.0,)) -> "tuple[Any, ...]":
    """A figure and its axes, one under another, `rows` their relative heights; x is shared."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.0, height), layout="constrained", facecolor="none")
    grid = canvas.add_gridspec(len(rows), 1, height_ratios=list(rows), hspace=0)
    first: Axes | None = None
    for row in range(len(rows)):
        axes = canvas.add_subplot(grid[row], sharex=first, facecolor="none")
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
    return canvas, *canvas.axes


def _loss_axis(axis: "Axis", low: float, high: float) -> bool:
    """Make an axis of losses from `low` to `high`: logarithmic where it helps; whether it is."""
    from matplotlib.ticker import LogLocator

    logarithmic = low > 0 and high / low > 3
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
    return f"{reference['kind']} {_loss(reference['loss'])}"


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"


def _legend(
    canvas: "Canvas", styles: Mapping[str, Style], extra: Mapping[str, dict[str, Any]] | None = None
) -> None:
    from matplotlib.lines import Line2D

    marks = {name: style.marks() for name, style in styles.items()} | dict(extra or {})
    handles: list[Line2D] = [Line2D([], [], **mark) for mark in marks.values()]
    legend = canvas.legend(
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


def _svg(canvas: "Canvas", name: str) -> str:
    """The figure as an SVG element that can share a page with others."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{FIGURES[name][0]}"', 1)
    # A hundredth of a point is finer than any screen.
    svg = re.sub(r' d="[^"]+"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    # Matplotlib's ids are random or count from one in every figure. Those that are referred to
    # get the figure's name and a number; the others go.
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    names = {old: f"{name}-{number}" for number, old in enumerate(used)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", svg)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names[m[2]], svg)


# -- page -----------------------------------------------------------------------------------------

FIGURES = {
    "learning": (
        "Learning",
        "Mean loss of the draws against evaluations of the objective: the median over the seeds, "
        "and a band from the lower to the upper quartile.",
    ),
    "draws": (
        "Where the draws end",
        "The losses of each generator's last draws, all seeds together, each row to its own "
        "height.",
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
SPECTRUM_CAPTION = (
    "On top the exact spectrum: how many of all bitstrings have a loss in each bin (log scale). "
)
CERTIFICATE = {
    "minimum_loss": "Minimum of the loss",
    "accuracy_at_minimum": "Accuracy at that minimum",
    "best_accuracy": "Best accuracy of any setting",
    "bits": "Bits",
    "configurations": "Weight settings",
    "functions": "Different functions among them",
    "optimal_bitstrings": "Settings that reach the minimum",
    "optimum": "One of them (bit 0 first)",
    "uniform_hit_probability": "Chance that a uniform draw hits",
    "expected_draws": "Uniform draws expected until a hit",
    "temperature": "Temperature T",
    "log_Z": "log Z(T)",
    "method": "Method",
}


def page(
    comparison: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    spectrum: Mapping[str, Any] | None,
) -> str:
    """The whole report as one HTML page that loads nothing from elsewhere.

    `spectrum` holds "edges" [n + 1] and "bitstrings" [n], or is None. Where `comparison` holds
    "config" or "provenance" they are shown too. Works for one result, one seed, no certificate.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    styles = _styles(comparison["generators"])
    drawn = figures(comparison, results, spectrum)
    shown = []
    for name, svg in drawn.items():
        title, caption = FIGURES[name]
        if name == "draws" and spectrum is not None:
            caption = SPECTRUM_CAPTION + "Below it, " + caption[0].lower() + caption[1:]
        shown.append({"title": title, "caption": caption, "svg": Markup(svg)})
    certificate = comparison["certificate"] or {}
    template = files("qhyper").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        title=_title(comparison),
        setting=_setting(comparison),
        answer=_answer(comparison),
        columns=_columns_shown(comparison),
        rows=[
            {"entry": entry, "style": styles[entry["name"]], "cells": _cells(entry)}
            for entry in comparison["generators"]
        ],
        reference=comparison["reference"]["kind"],
        figures=shown,
        test_columns=TEST_COLUMNS,
        tests=[_test_cells(test) for test in comparison["tests"]],
        too_few=_too_few(comparison),
        certificate=[
            (title, _fact(certificate[key]))
            for key, title in CERTIFICATE.items()
            if certificate.get(key) is not None
        ],
        no_certificate=comparison["no_certificate"],
        facts=[
            (title, _facts(comparison[key]))
            for key, title in (("config", "Configuration"), ("provenance", "Provenance"))
            if comparison.get(key)
        ],
    )


def _title(comparison: Mapping[str, Any]) -> str:
    names = [entry["name"] for entry in comparison["generators"]]
    what = names[0] if len(names) == 1 else f"{len(names)} searches"
    return f"{what} on {comparison['data']}"


def _too_few(comparison: Mapping[str, Any]) -> bool:
    """Whether no outcome at all could pass the corrected tests: 2 / 2^seeds is the smallest p."""
    tests = comparison["tests"]
    return bool(tests) and len(tests) * 2.0 ** (1 - len(comparison["seeds"])) >= SIGNIFICANT


def _fact(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value)) or "–"
    return str(value)


def _facts(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as flat (dotted name, value) pairs."""
    if not isinstance(values, Mapping):
        return [(prefix, str(values) if type(values) is int else _fact(values))]
    return [
        fact
        for key, value in values.items()
        for fact in _facts(value, f"{prefix}.{key}" if prefix else str(key))
    ]
