"""A learning curve as a small picture, for a notebook: an SVG without styles of the page."""

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 360, 120
_LEFT, _BELOW, _ABOVE = 64, 20, 8


def curve_svg(curve: Sequence[Mapping[str, Any]]) -> str:
    """Mean losses over the steps, a line a replica; empty for a curve of fewer than two points.

    `curve` is that of a `Trainer`.
    """
    if len(curve) < 2:
        return ""
    steps = [point["step"] for point in curve]
    losses = [loss for point in curve for loss in point["mean_loss"]]
    low, high = min(losses), max(losses)
    across, up = WIDTH - _LEFT - 8, HEIGHT - _BELOW - _ABOVE

    def at(step: int, loss: float) -> str:
        x = _LEFT + across * (step - steps[0]) / (steps[-1] - steps[0])
        y = _ABOVE + up * ((high - loss) / (high - low) if high > low else 0.5)
        return f"{x:.1f},{y:.1f}"

    lines = "".join(
        f'<polyline fill="none" stroke="currentColor" stroke-opacity="0.6" points="'
        f'{" ".join(at(point["step"], point["mean_loss"][replica]) for point in curve)}"/>'
        for replica in range(len(curve[0]["mean_loss"]))
    )
    words = f"Mean loss from step {steps[0]:,} to {steps[-1]:,}, between {low:.4g} and {high:.4g}"
    labels = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
        for x, y, anchor, text in (
            (_LEFT - 6, _ABOVE + 8, "end", f"{high:.4g}"),
            (_LEFT - 6, _ABOVE + up, "end", f"{low:.4g}"),
            (_LEFT, HEIGHT - 4, "start", f"step {steps[0]:,}"),
            (WIDTH - 8, HEIGHT - 4, "end", f"{steps[-1]:,}"),
        )
    )
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-size="11" fill="currentColor"><title>{words}</title>'
        f"{lines}{labels}</svg>"
    )
