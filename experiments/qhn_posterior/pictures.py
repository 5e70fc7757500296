"""The pictures of the study: KL of every model, and calibration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.drawing import legend_below, new_panels, save
from experiments.qhn_posterior.models import MODELS, TEMPERATURE
from experiments.qhn_posterior.tables import title
from qhyper.report.drawing import COLOURS, INK

CALIBRATED = ("chain", "chain-signs", "product", "categorical", "autoregressive")


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write kl.svg and calibration.svg."""
    save(_kl(results), folder / "kl.svg", "KL to the exact posterior")
    save(_calibration(results), folder / "calibration.svg", "Calibration of averaged networks")


def _colour(name: str) -> str:
    return COLOURS["quantum" if MODELS[name].quantum else "classical"][0]


def _kl(results: Mapping[str, Any]) -> Any:
    figure, panels = new_panels((8.4, 4.8), 1, 2, sharey=False)
    for axes, data in zip(panels[0], TEMPERATURE, strict=True):
        medians = {name: np.median(results[f"{data}-{name}"]["kl"]) for name in MODELS}
        names = sorted(MODELS, key=lambda name: -medians[name])
        for y, name in enumerate(names):
            kl = results[f"{data}-{name}"]["kl"]
            axes.plot(kl, np.full(len(kl), y), color=_colour(name), alpha=0.5, linestyle="none",
                      marker="o", markersize=4, markeredgewidth=0)  # fmt: skip
            axes.plot([medians[name]] * 2, [y - 0.35, y + 0.35], color=INK, linewidth=1.4)
        axes.set_yticks(range(len(names)), [MODELS[name].title for name in names])
        axes.set_xlabel("KL to the posterior (nats)")
        axes.set_xlim(left=0)
        axes.set_title(title(data))
    return figure


def _calibration(results: Mapping[str, Any]) -> Any:
    from matplotlib.lines import Line2D

    figure, panels = new_panels((8.2, 3.8), 1, 2, sharey=True)
    styles = dict(zip(CALIBRATED, ("o", "D", "s", "^", "v"), strict=True))
    for axes, data in zip(panels[0], TEMPERATURE, strict=True):
        axes.plot([0.5, 1], [0.5, 1], color=INK, linewidth=0.7, linestyle=":")
        shown = {name: results[f"{data}-{name}"]["predictive"][0] for name in CALIBRATED}
        shown["exact"] = results[f"{data}-posterior"]["predictive"]
        for name, found in shown.items():
            bins = np.array([b for b in found["bins"] if b[0] > 0])
            exact = name == "exact"
            axes.plot(
                bins[:, 2], bins[:, 1], color=INK if exact else _colour(name), linewidth=1.0,
                alpha=0.8, marker="x" if exact else styles[name], markersize=4,
            )  # fmt: skip
        axes.set_xlabel("confidence")
        axes.set_title(title(data))
    panels[0][0].set_ylabel("accuracy")
    handles = [
        Line2D([], [], color=_colour(name), marker=styles[name], label=MODELS[name].title)
        for name in CALIBRATED
    ]
    handles.append(Line2D([], [], color=INK, marker="x", label="exact posterior"))
    legend_below(figure, handles, 3)
    return figure
