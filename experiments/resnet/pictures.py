"""The picture of the study: held-out accuracy by epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.drawing import legend_under, new_panels, save
from experiments.resnet.settings import ABLATIONS
from experiments.resnet.tables import PRINTED
from qhyper.report.drawing import COLOURS, INK

COLOUR = {
    "full-precision": COLOURS["control"][0],
    "recu": COLOURS["classical"][0],
    "adam": COLOURS["quantum"][0],
    "sgd": COLOURS["quantum"][1],
}
WITHOUT = dict(
    zip(
        [name for name in ABLATIONS if name.startswith("without")],
        (*COLOURS["classical"], COLOURS["quantum"][2], COLOURS["control"][1]),
        strict=True,
    )
)


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Write accuracy.svg: the main trainings, and beside them the ablations."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    figure, ((main, ablations),) = new_panels((8.2, 4.4), 1, 2)
    for name, colour in COLOUR.items():
        _line(main, results[name], colour)
    for name in ABLATIONS:
        _line(ablations, results[name], WITHOUT.get(name, INK))
    trained = {PRINTED[name].words: colour for name, colour in COLOUR.items()}
    removed = {"all options, two seeds": INK}
    removed |= {name.replace("-", " "): colour for name, colour in WITHOUT.items()}
    for axes, title, shown in (
        (main, "as the document has them", trained),
        (ablations, "each option removed", removed),
    ):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_title(title)
        handles = [Line2D([], [], color=colour, label=words) for words, colour in shown.items()]
        legend_under(axes, handles, 2)
    main.set_ylabel("held-out accuracy, %")
    save(figure, folder / "accuracy.svg", "Accuracy on held-out images by epoch")


def _line(axes: Any, found: Mapping[str, Any], colour: str) -> None:
    accuracy = [100 * share for share in found["held_out"]]
    axes.plot(range(1, len(accuracy) + 1), accuracy, color=colour, linewidth=1.3)
