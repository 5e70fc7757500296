"""The draws of a trained generator from a quantum computer, beside the simulator's.

`beside` compares them; `table` shows that in the terminal, and `page` on one HTML page that needs
nothing else.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.figures import HARDWARE_REPLICAS, hardware_figures
from qhyper.quantum.cloud.mthree_mitigation import QuasiProbabilities
from qhyper.report import CERTIFICATE, certificate_facts, facts, rendered
from qhyper.search import SAME_LOSS, Losses
from qhyper.wording import format_loss

if TYPE_CHECKING:
    from rich.table import Table

Float = npt.NDArray[np.float64]

BINS = 40


def beside(
    measured: Bits,
    simulated: Bits,
    objective: Losses,
    *,
    minimum: float | None = None,
    quasi: Sequence[QuasiProbabilities] | None = None,
    marginals: Float | None = None,
) -> dict[str, Any]:
    """Measured draws compared with simulated ones, as plain numbers and lists, ready for JSON.

    - measured, simulated: [replica, shot, bit] in weight order; numbers of shots may differ
    - objective: bits [..., bit] to losses [...]
    - minimum: the certified minimum; a hit is a draw with a loss within 1e-9 of it
    - quasi: for each replica the quasi-probabilities of its measured strings, in weight order.
      They weight the loss and are no draws: a mean comes from them, but no hits and no best loss.
    - marginals: the simulator's exact P(bit = 1), [replica, bit]; else its draws' shares

    The result has "minimum", "edges" [bin + 1] of the losses' bins, shared by all replicas, and
    "replicas", for each a dict with

    - "measured" and "simulated", each with "draws", "mean_loss" and its "standard_error",
      "best_loss", "hits" and their "share" of the draws (None without minimum), and "counts" [bin]
      of the losses
    - "mitigated": None, or "mean_loss", "standard_error" (of the shots alone) and "covered", the
      share of the misreadings that were corrected
    - "marginals": "measured" and "simulated" P(bit = 1) [bit]; "error" [bit], the standard error
      of their difference from shot noise alone; and of the total variation |p - q| of each bit
      the "mean" and "largest" over the bits, with what shot noise alone would give on average
      ("mean_noise", "largest_noise", taking bits as independent and counts as normal)
    - "losses": the total variation between the two histograms ("variation"), in 0 to 1, and what
      shot noise alone would give on average ("noise"). It depends on the bins.

    Standard errors are None for a single shot. Raises ConfigurationError for other shapes, and for
    a loss below the certified minimum.
    """
    _check(measured, simulated, quasi, marginals)
    losses = [np.asarray(objective(bits), dtype=np.float64) for bits in (measured, simulated)]
    lowest = min(float(values.min()) for values in losses)
    if minimum is not None and lowest < minimum - SAME_LOSS:
        raise ConfigurationError(
            f"A draw has the loss {lowest}, below the certified minimum {minimum}: this "
            "certificate belongs to another objective. Compare with the certificate of this data "
            "and loss."
        )
    edges = _edges(lowest, max(float(values.max()) for values in losses))
    replicas = []
    for replica in range(len(measured)):
        ours, theirs = (_draws(values[replica], edges, minimum) for values in losses)
        known = None if marginals is None else marginals[replica]
        replicas.append(
            {
                "measured": ours,
                "simulated": theirs,
                "mitigated": None if quasi is None else _mitigated(quasi[replica], objective),
                "marginals": _marginals(measured[replica], simulated[replica], known),
                "losses": _variation(ours["counts"], theirs["counts"]),
            }
        )
    return {
        "minimum": None if minimum is None else float(minimum),
        "edges": edges.tolist(),
        "replicas": replicas,
    }


def _check(
    measured: Bits,
    simulated: Bits,
    quasi: Sequence[QuasiProbabilities] | None,
    marginals: Float | None,
) -> None:
    for name, bits in (("measured", measured), ("simulated", simulated)):
        if bits.ndim != 3 or not bits.size:
            raise ConfigurationError(
                f"Got {name} draws of shape {bits.shape}; expected [replica, shot, bit], of 1 or "
                "more each."
            )
    replicas, _, n = measured.shape
    if (replicas, n) != (simulated.shape[0], simulated.shape[2]):
        raise ConfigurationError(
            f"Got measured draws of shape {measured.shape} and simulated ones of shape "
            f"{simulated.shape}; expected the same replicas and bits [replica, shot, bit]."
        )
    if quasi is not None and len(quasi) != replicas:
        raise ConfigurationError(
            f"Got quasi-probabilities of {len(quasi)} replicas; expected {replicas}, one for each."
        )
    if marginals is not None and marginals.shape != (replicas, n):
        raise ConfigurationError(
            f"Got marginals of shape {marginals.shape}; expected {(replicas, n)}: [replica, bit]."
        )


def _edges(low: float, high: float) -> Float:
    """Of the bins, evenly spaced on the axis that the figure will have."""
    if high - low <= SAME_LOSS:
        return np.array([low - 0.5, low + 0.5])
    if low > 0 and high / low > 10:
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high  # rounding would leave out the extremes
    return edges


def _draws(losses: Float, edges: Float, minimum: float | None) -> dict[str, Any]:
    shots = len(losses)
    hits = None if minimum is None else int((losses <= minimum + SAME_LOSS).sum())
    return {
        "draws": shots,
        "mean_loss": float(losses.mean()),
        "standard_error": float(losses.std(ddof=1) / np.sqrt(shots)) if shots > 1 else None,
        "best_loss": float(losses.min()),
        "hits": hits,
        "share": None if hits is None else hits / shots,
        "counts": np.histogram(losses, edges)[0].tolist(),
    }


def _mitigated(quasi: QuasiProbabilities, objective: Losses) -> dict[str, Any]:
    mean, error = quasi.mean(objective(quasi.strings))
    return {"mean_loss": mean, "standard_error": error, "covered": quasi.covered}


def _marginals(measured: Bits, simulated: Bits, exact: Float | None) -> dict[str, Any]:
    p, q = measured.mean(axis=0), simulated.mean(axis=0)
    if exact is None:
        error = _difference_error(p, len(measured), q, len(simulated))
    else:
        q = np.asarray(exact, dtype=np.float64)
        error = np.sqrt(q * (1 - q) / len(measured))
    difference = np.abs(p - q)
    return {
        "measured": p.tolist(),
        "simulated": q.tolist(),
        "error": error.tolist(),
        "mean": float(difference.mean()),
        "mean_noise": _expected_magnitude(error, len(error)),
        "largest": float(difference.max()),
        "largest_noise": _expected_largest(error),
    }


def _variation(measured: Sequence[int], simulated: Sequence[int]) -> dict[str, float]:
    p, q = np.array(measured, dtype=np.float64), np.array(simulated, dtype=np.float64)
    ours, theirs = int(p.sum()), int(q.sum())
    p, q = p / ours, q / theirs
    return {
        "variation": float(np.abs(p - q).sum() / 2),
        "noise": _expected_magnitude(_difference_error(p, ours, q, theirs), 2),
    }


def _difference_error(p: Float, ours: int, q: Float, theirs: int) -> Float:
    """The standard error of p - q if both are shares of one distribution: that of all draws."""
    pooled = (p * ours + q * theirs) / (ours + theirs)
    return np.sqrt(pooled * (1 - pooled) * (1 / ours + 1 / theirs))


def _expected_magnitude(error: Float, parts: int) -> float:
    """Σ E|x| / parts of normal x with mean zero and these standard deviations."""
    return float(np.sqrt(2 / np.pi) * error.sum() / parts)


def _expected_largest(error: Float) -> float:
    """E max |x| of independent normal x with mean zero and these standard deviations."""
    from scipy.special import erf

    error = error[error > 0]
    if not error.size:
        return 0.0
    x = np.linspace(0, 8 * error.max(), 2001)
    below = erf(x[:, None] / (np.sqrt(2) * error)).prod(axis=1)
    return float(np.trapezoid(1 - below, x))


# -- words ----------------------------------------------------------------------------------------

COLUMNS = (
    "Draws",
    "Mean loss",
    "Best loss",
    "Hits",
    "Marginals, mean difference",
    "Marginals, largest",
    "Loss histogram",
)
NONE = ("–", "")


def _rows(shown: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(name, cells) of hardware, simulator and mitigation of each seed; a cell has two lines."""
    rows = []
    replicas, seeds = shown["outcome"]["replicas"], shown["seeds"]
    for seed, replica in zip(seeds, replicas, strict=True):
        which = f"seed {seed}" if len(seeds) > 1 else ""
        marginals, losses = replica["marginals"], replica["losses"]
        differences = [
            (f"{marginals['mean']:.4f}", f"noise {marginals['mean_noise']:.4f}"),
            (f"{marginals['largest']:.4f}", f"noise {marginals['largest_noise']:.4f}"),
            (f"{losses['variation']:.3f}", f"noise {losses['noise']:.3f}"),
        ]
        for key, name in (("measured", "hardware"), ("simulated", "simulator")):
            side = replica[key]
            cells = [
                (f"{side['draws']:,}", ""),
                _mean(side),
                (format_loss(side["best_loss"]), ""),
                NONE if side["hits"] is None else (f"{side['hits']:,}", _share(side)),
                *(differences if key == "measured" else [NONE] * 3),
            ]
            rows.append((f"{name}\n{which}".strip(), cells))
        if replica["mitigated"] is not None:
            corrected = ("–", f"{replica['mitigated']['covered']:.0%} corrected")
            cells = [corrected, _mean(replica["mitigated"]), *[NONE] * 5]
            rows.append((f"mitigated\n{which}".strip(), cells))
    return rows


def _share(side: Mapping[str, Any]) -> str:
    return f"{side['share']:.2%}" if side["hits"] else ""


def _mean(side: Mapping[str, Any]) -> tuple[str, str]:
    error = side["standard_error"]
    return format_loss(side["mean_loss"]), "" if error is None else f"± {format_loss(error)}"


def _title(shown: Mapping[str, Any]) -> str:
    return f"{shown['entry']} on {shown['backend']}"


def _setting(shown: Mapping[str, Any]) -> str:
    outcome, seeds = shown["outcome"], shown["seeds"]
    first, minimum = outcome["replicas"][0], outcome["minimum"]
    each = " each" * (len(seeds) > 1)
    words = [
        f"{len(first['marginals']['measured'])} bits",
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
        f"{first['measured']['draws']:,} draws{each} of the hardware beside "
        f"{first['simulated']['draws']:,} of the simulator",
    ]
    if minimum is not None:
        words.append(f"certified minimum {minimum:.6f}")
    return "; ".join(words)


def _answer(shown: Mapping[str, Any]) -> str:
    """What was found, in one paragraph written from the numbers."""
    replicas, minimum = shown["outcome"]["replicas"], shown["outcome"]["minimum"]
    ours, theirs = (_together([r[key] for r in replicas]) for key in ("measured", "simulated"))
    sentences = [f"The hardware's draws have a mean loss of {ours}, the simulator's {theirs}."]
    if replicas[0]["mitigated"] is not None:
        weighted = _together([r["mitigated"] for r in replicas])
        covered = float(np.mean([r["mitigated"]["covered"] for r in replicas]))
        sentences.append(
            f"Weighted by mthree's quasi-probabilities the hardware's is {weighted}, with "
            f"{covered:.0%} of the misreadings corrected."
        )
    if minimum is not None:
        hits = {
            key: (sum(r[key]["hits"] for r in replicas), sum(r[key]["draws"] for r in replicas))
            for key in ("measured", "simulated")
        }
        (a, n), (b, m) = hits["measured"], hits["simulated"]
        sentences.append(
            f"{a:,} of {n:,} draws of the hardware have the proven optimal loss "
            f"({format_loss(minimum)}), of the simulator {b:,} of {m:,}."
        )
    mean, noise = (
        float(np.mean([r["marginals"][key] for r in replicas])) for key in ("mean", "mean_noise")
    )
    sentences.append(
        f"On average P(bit = 1) differs by {mean:.4f}; shot noise alone would give {noise:.4f}."
    )
    return " ".join(sentences)


def _together(sides: Sequence[Mapping[str, Any]]) -> str:
    """The mean over replicas, with its standard error."""
    mean = float(np.mean([side["mean_loss"] for side in sides]))
    errors = [side["standard_error"] for side in sides]
    if any(error is None for error in errors):
        return format_loss(mean)
    error = float(np.sqrt(np.sum(np.square(errors))) / len(errors))
    return f"{format_loss(mean)} ± {format_loss(error)}"


# -- terminal and page ----------------------------------------------------------------------------


def table(shown: Mapping[str, Any]) -> "Table":
    """The comparison as a rich table; `shown` as for `page`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=box.SIMPLE_HEAD,
        title=Text(_title(shown)),
        caption=Text(f"{_setting(shown)}. {_answer(shown)}"),
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    made.add_column("Draws of", overflow="fold")
    narrow = ("Draws", "Mean\nloss", "Best\nloss", "Hits", "Marginals\nmean diff.\n(noise)",
              "Marginals\nlargest\n(noise)", "Loss\nhistogram\n(noise)")  # fmt: skip
    for title in narrow:
        made.add_column(title, justify="right", overflow="fold")
    for name, cells in _rows(shown):
        name, _, which = name.partition("\n")
        cells = [(value, re.sub("noise (.*)", r"(\1)", detail)) for value, detail in cells]
        texts = [
            Text.assemble(value, *([("\n" + detail, "dim")] if detail else []))
            for value, detail in ((name, which), *cells)
        ]
        made.add_row(*texts)
    return made


def page(shown: Mapping[str, Any]) -> str:
    """The comparison as one HTML page that loads nothing from elsewhere.

    `shown` holds "entry" (what was trained), "backend", "seeds" [replica] and "outcome" (of
    `beside`). Where they are there it also shows "outlook" (what was sent, as a dict), "options"
    of the backend, "calibration_shots", "jobs" (dicts with "purpose", "job_id", "rows", "shots",
    "state", "sent" and "ended" in seconds since 1970, and "note"), and "certificate".
    """
    from markupsafe import Markup

    certificate = shown.get("certificate") or {}
    jobs = shown.get("jobs") or []
    outlook = shown.get("outlook") or {}
    sent = facts({key: f"{v:,}" if type(v) is int else v for key, v in outlook.items()})
    sent += [(f"option {key}", value) for key, value in facts(shown.get("options") or {})]
    calibrated = shown.get("calibration_shots")
    mitigated = any(r["mitigated"] is not None for r in shown["outcome"]["replicas"])
    sent.append(
        (
            "readout mitigation",
            "mthree" + (f", {calibrated:,} shots of each calibration circuit" * bool(calibrated))
            if mitigated
            else "none",
        )
    )
    sent += [("note", note) for note in dict.fromkeys(job["note"] for job in jobs) if note]
    return rendered(
        "hardware.html.j2",
        title=_title(shown),
        setting=_setting(shown),
        answer=_answer(shown),
        columns=COLUMNS,
        rows=[(*name.partition("\n")[::2], cells) for name, cells in _rows(shown)],
        hits=shown["outcome"]["minimum"] is not None,
        mitigated=mitigated,
        figures=[
            {"title": title, "caption": caption, "svg": Markup(svg)}
            for title, caption, svg in hardware_figures(shown["outcome"], shown["seeds"])
        ],
        left_out=max(0, len(shown["seeds"]) - HARDWARE_REPLICAS),
        sent=sent,
        jobs=[
            (
                job["purpose"], job["job_id"] or "–", f"{job['rows']:,} × {job['shots']:,}",
                job["state"], _when(job["sent"]), _when(job["ended"]),
            )
            for job in jobs
        ],
        certificate=certificate_facts(certificate) if set(certificate) & set(CERTIFICATE) else [],
    )  # fmt: skip


def _when(seconds: float | None) -> str:
    return "–" if seconds is None else time.strftime("%F %T UTC", time.gmtime(seconds))
