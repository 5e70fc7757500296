import io
import re
from itertools import pairwise

import pytest
from PIL import Image

from qhyper.report.figures import draw
from qhyper.report.paper import COLUMNS, DOTS, _fit, figure_files


def test_every_figure_is_there_in_both_widths_and_three_formats(ten_seeds, certified, spectrum):
    summary = certified(ten_seeds)
    files = figure_files(summary, ten_seeds, spectrum)
    assert set(files) == {
        f"{figure}-{columns}.{form}"
        for figure in ("learning", "hits", "draws")
        for columns in ("one-column", "two-columns")
        for form in ("svg", "pdf", "png")
    }
    for columns, inches in {"one-column": 3.35, "two-columns": 6.9}.items():
        for figure in ("learning", "hits", "draws"):
            name = f"{figure}-{columns}"
            with Image.open(io.BytesIO(files[f"{name}.png"])) as image:
                assert abs(image.width - inches * DOTS) <= 1
                assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
            points = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", files[f"{name}.pdf"])
            assert float(points[1]) == pytest.approx(72 * inches, abs=0.1)
            svg = files[f"{name}.svg"].decode()
            assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(72 * inches)
            assert b"/Type3" not in files[f"{name}.pdf"]


def test_figures_have_no_dates_and_nothing_random_in_them(result, certified, monkeypatch):
    monkeypatch.setattr("qhyper.report.paper.DOTS", 50)
    alone = [result("product", "quantum", [0, 1])]
    summary = certified(alone)
    assert figure_files(summary, alone, None) == figure_files(summary, alone, None)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("entries", [2, 9, 24])
def test_nothing_overlaps_and_nothing_is_cut_off(entries, columns, result, certified, spectrum):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    results = [
        result(f"{number} of long names", ("quantum", "classical", "control")[number % 3],
               [number % 3] * 6, shift=0.01 * number)
        for number in range(entries)
    ]  # fmt: skip
    for name, figure in draw(certified(results), results, spectrum).items():
        _fit(figure, COLUMNS[columns], 7.0)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        legends = [legend.get_window_extent() for legend in figure.legends]
        width, height = figure.get_size_inches() * figure.dpi
        for box in boxes + legends:
            assert box.x0 >= -1, name
            assert box.y0 >= -1, name
            assert box.x1 <= width + 6, name  # a marker at the last point
            assert box.y1 <= height + 6, name
        for legend in legends:
            assert all(legend.y1 <= box.y0 + 1 for box in boxes), name
        rows = [axes.get_window_extent() for axes in figure.axes]
        for above, below in pairwise(rows):
            assert below.y1 <= above.y0, name
        if name != "draws":  # the plot keeps its room, however long the legend is
            assert rows[0].height / figure.dpi > 1.2
        for text in figure.axes[-1].get_xticklabels():
            assert text.get_fontsize() == 7.0
