"""Numbers as figures and report both write them."""


def format_loss(value: float) -> str:
    """Four decimals tell the plateaus apart; smaller losses keep one digit, larger ones three."""
    if 0 < abs(value) < 5e-5:
        return f"{value:.0e}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"


def format_count(value: float) -> str:
    """950, 4.52k, 131k, 1.2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
