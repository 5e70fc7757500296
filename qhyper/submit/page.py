"""The draws of a trained generator from a quantum computer, beside the simulator's.

`beside` compares them; `table` shows that in the terminal, and `page` on one HTML page that needs
nothing else. In tables and figures what drew them is the device, also where it is a simulation.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.mthree_mitigation import QuasiProbabilities
from qhyper.report.page import rendered
from qhyper.report.pairs import CERTIFICATE, certificate_pairs, flat_pairs
from qhyper.report.words import format_loss
from qhyper.storage import storage, write_whole
from qhyper.submit.figures import REPLICAS, submission_figures
from qhyper.submit.written import OUTCOME, PAGE
from qhyper.targets.target import SAME_LOSS, Losses

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
) -> dict[str, Any]:
    """Measured draws compared with simulated ones, as plain numbers and lists, ready for JSON.

    - measured, simulated: [replica, shot, bit] in weight order; numbers of shots may differ
    - objective: bits [..., bit] to losses [...]
    - minimum: the certified minimum; a hit is a draw with a loss within 1e-9 of it
    - quasi: for each replica the quasi-probabilities of its measured strings, in weight order.
      They weight the loss and are no draws: a mean comes from them, but no hits and no best loss.

    The result has "minimum", "edges" [bin + 1] of the losses' bins, shared by all replicas, and
    "replicas", for each a dict with

    - "measured" and "simulated", each with "draws", "mean_loss" and its "standard_error",
      "best_loss", "hits" and their "share" of the draws (None without minimum), and "counts" [bin]
      of the losses
    - "mitigated": None, or "mean_loss", "standard_error" (of the shots alone) and "covered", the
      share of the misreadings that were corrected, None if the calibration found none
    - "marginals": "measured" and "simulated" P(bit = 1) [bit]; "error" [bit], the standard error
      of their difference from shot noise alone; and of the total variation |p - q| of each bit
      the "mean" and "largest" over the bits, with what shot noise alone would give on average
      ("mean_noise", "largest_noise", taking bits as independent and counts as normal)
    - "losses": the total variation between the two histograms ("variation"), in 0 to 1, and what
      shot noise alone would give on average ("noise"). It depends on the bins.

    Standard errors are None for a single shot. Raises ConfigurationError for other shapes, and for
    a loss below the certified minimum.
    """
    _check(measured, simulated, quasi)
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
        replicas.append(
            {
                "measured": ours,
                "simulated": theirs,
                "mitigated": None if quasi is None else _mitigated(quasi[replica], objective),
                "marginals": _marginals(measured[replica], simulated[replica]),
                "losses": _variation(ours["counts"], theirs["counts"]),
            }
        )
    return {
        "minimum": None if minimum is None else float(minimum),
        "edges": edges.tolist(),
        "replicas": replicas,
    }


def _check(measured: Bits, simulated: Bits, quasi: Sequence[QuasiProbabilities] | None) -> None:
    for name, bits in (("measured", measured), ("simulated", simulated)):
        if bits.ndim != 3 or not bits.size:
            raise ConfigurationError(
                f"Got {name} draws of shape {bits.shape}; expected [replica, shot, bit], of 1 or "
                "more each."
            )
    replicas, _, bits = measured.shape
    if (replicas, bits) != (simulated.shape[0], simulated.shape[2]):
        raise ConfigurationError(
            f"Got measured draws of shape {measured.shape} and simulated ones of shape "
            f"{simulated.shape}; expected the same replicas and bits [replica, shot, bit]."
        )
    if quasi is not None and len(quasi) != replicas:
        raise ConfigurationError(
            f"Got quasi-probabilities of {len(quasi)} replicas; expected {replicas}, one for each."
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


def _marginals(measured: Bits, simulated: Bits) -> dict[str, Any]:
    p, q = measured.mean(axis=0), simulated.mean(axis=0)
    error = _difference_error(p, len(measured), q, len(simulated))
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
    "Marginals, largest difference",
    "Loss histograms, difference",
)
NONE = ("–", "")


def _rows(shown: Mapping[str, Any]) -> list[tuple[tuple[str, str], list[tuple[str, str]]]]:
    """(name, cells) of device, simulator and mitigation of each seed; each cell has two lines."""
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
        for key, name in (("measured", "device"), ("simulated", "simulator")):
            side = replica[key]
            cells = [
                (f"{side['draws']:,}", ""),
                _mean(side),
                (format_loss(side["best_loss"]), ""),
                NONE if side["hits"] is None else (f"{side['hits']:,}", _share(side)),
                *(differences if key == "measured" else [NONE] * 3),
            ]
            rows.append(((name, which), cells))
        if replica["mitigated"] is not None:
            covered = replica["mitigated"]["covered"]
            done = "no misreadings" if covered is None else f"{covered:.0%} corrected"
            name = ("mitigated", ", ".join(filter(None, (which, done))))
            rows.append((name, [NONE, _mean(replica["mitigated"]), *[NONE] * 5]))
    return rows


def _share(side: Mapping[str, Any]) -> str:
    return f"{side['share']:.2%}" if side["hits"] else ""


def _mean(side: Mapping[str, Any]) -> tuple[str, str]:
    error = side["standard_error"]
    return format_loss(side["mean_loss"]), "" if error is None else f"± {format_loss(error)}"


def _title(shown: Mapping[str, Any]) -> str:
    return f"{shown['entry']} on {shown['backend']}"


def _about(shown: Mapping[str, Any]) -> str:
    return (shown.get("about") or "").rstrip(".")


def _setting(shown: Mapping[str, Any]) -> str:
    outcome, seeds = shown["outcome"], shown["seeds"]
    first, minimum = outcome["replicas"][0], outcome["minimum"]
    each = " each" * (len(seeds) > 1)
    words = [
        f"{len(first['marginals']['measured'])} bits",
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
        f"{first['measured']['draws']:,} draws{each} beside {first['simulated']['draws']:,} of "
        "the simulator",
    ]
    if minimum is not None:
        words.append(f"certified minimum {minimum:.6f}")
    return "; ".join(words)


def _answer(shown: Mapping[str, Any]) -> str:
    """What was found, in one paragraph written from the numbers."""
    replicas, minimum = shown["outcome"]["replicas"], shown["outcome"]["minimum"]
    ours, theirs = (_together([r[key] for r in replicas]) for key in ("measured", "simulated"))
    sentences = [
        f"The draws from {shown['backend']} have a mean loss of {ours}, the simulator's {theirs}.",
        *_mitigation([r["mitigated"] for r in replicas if r["mitigated"] is not None]),
    ]
    if shown.get("not_mitigated"):
        sentences.append(
            "Readout mitigation was asked for, and could not be done: "
            f"{shown['not_mitigated'].rstrip('.')}."
        )
    if minimum is not None:
        (a, n), (b, m) = (
            (sum(r[key]["hits"] for r in replicas), sum(r[key]["draws"] for r in replicas))
            for key in ("measured", "simulated")
        )
        sentences.append(
            f"{a:,} of the {n:,} draws have the proven optimal loss ({format_loss(minimum)}), and "
            f"{b:,} of the simulator's {m:,}."
        )
    mean, noise = (
        float(np.mean([r["marginals"][key] for r in replicas])) for key in ("mean", "mean_noise")
    )
    sentences.append(
        f"On average P(bit = 1) differs by {mean:.4f}; shot noise alone would give {noise:.4f}."
    )
    return " ".join(sentences)


def _mitigation(mitigated: Sequence[Mapping[str, Any]]) -> list[str]:
    """What it has changed, in a sentence where there was any."""
    if not mitigated:
        return []
    covered = [side["covered"] for side in mitigated if side["covered"] is not None]
    if not covered:
        return ["The calibration found no misreadings: there is nothing to mitigate."]
    return [
        f"Weighted by mthree's quasi-probabilities their mean loss is {_together(mitigated)}, with "
        f"{float(np.mean(covered)):.0%} of the misreadings corrected."
    ]


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
        caption=Text(". ".join(filter(None, (_about(shown), _setting(shown), _answer(shown))))),
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
        cells = [(value, re.sub("noise (.*)", r"(\1)", detail)) for value, detail in cells]
        name = (name[0], name[1].replace(", ", "\n"))
        texts = [
            Text.assemble(value, *([("\n" + detail, "dim")] if detail else []))
            for value, detail in (name, *cells)
        ]
        made.add_row(*texts)
    return made


def page(shown: Mapping[str, Any]) -> str:
    """The comparison as one HTML page that loads nothing from elsewhere.

    `shown` holds "entry" (what was trained), "backend", "seeds" [replica] and "outcome" (of
    `beside`). Where they are there it also shows

    - "about": a line on the backend, such as how it simulates a device
    - "outlook": the circuit and the device, as a dict; the counts in it are those of the plan, and
      the ones shown are those of the jobs
    - "jobs": all that were sent for this submission, as dicts with "purpose", "job_id", "rows",
      "shots" of each row, "state", "attempts", "note", and "sent" and "ended" in seconds since 1970
    - "options" of the backend, and "certificate"
    - "calibration_shots", and "not_mitigated": why mitigation was asked for and not done
    """
    from markupsafe import Markup

    certificate = shown.get("certificate") or {}
    return rendered(
        "submit/submission.html.j2",
        title=_title(shown),
        about=_about(shown),
        setting=_setting(shown),
        answer=_answer(shown),
        columns=COLUMNS,
        rows=_rows(shown),
        hits=shown["outcome"]["minimum"] is not None,
        mitigated=_mitigated_any(shown),
        figures=[
            {"title": title, "caption": caption, "svg": Markup(svg)}
            for title, caption, svg in submission_figures(shown["outcome"], shown["seeds"])
        ],
        left_out=max(0, len(shown["seeds"]) - REPLICAS),
        sent=_sent(shown),
        jobs=[
            (
                job["purpose"], job["job_id"] or "–", f"{job['rows']:,} × {job['shots']:,}",
                job["state"], _when(job["sent"]), _when(job["ended"]),
            )
            for job in shown.get("jobs") or []
        ],
        certificate=certificate_pairs(certificate) if set(certificate) & set(CERTIFICATE) else [],
    )  # fmt: skip


def write_page(folder: Path) -> Path:
    """Write report.html of a finished submission anew, from the outcome.json in its folder.

    Raises StorageError if there is none, or it cannot be read.
    """
    path = folder / OUTCOME
    if not path.is_file():
        raise StorageError(
            f"{folder} has no {OUTCOME}: its submission is not finished. Get its draws with "
            "`qhyper fetch` first."
        )
    try:
        with storage(path):
            shown = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(
            f"{path} cannot be read as JSON: {error}. Remove it, and `qhyper fetch` makes it again."
        ) from error
    report = folder / PAGE
    write_whole(report, page(shown).encode())
    return report


PLANNED = ("circuits", "shots", "jobs", "price")
"""What an outlook says of all that is to be sent, and not of the circuit and the device."""


def _sent(shown: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of words: the circuit and the device from the outlook, the counts from the jobs."""
    outlook, jobs = shown.get("outlook") or {}, shown.get("jobs") or []
    told: dict[str, Any] = {
        "entry": shown["entry"],
        "seeds": ", ".join(map(str, shown["seeds"])),
        "backend": shown["backend"],
    }
    if shown.get("about"):
        told["about"] = _about(shown)
    sent = [job for job in jobs if job["attempts"]]
    if sent:
        again = sum(job["attempts"] > 1 for job in sent)
        told |= {
            "jobs": f"{len(sent):,}" + f", {again:,} of them sent more than once" * bool(again),
            "circuits": sum(job["rows"] for job in sent),
            "shots": sum(job["rows"] * job["shots"] for job in sent),
        }
    told |= {key: v for key, v in outlook.items() if key not in (*told, *PLANNED)}
    if "price" in outlook:
        told["price, estimated before"] = outlook["price"]
    pairs = flat_pairs({key: f"{v:,}" if type(v) is int else v for key, v in told.items()})
    pairs += [(f"option {key}", value) for key, value in flat_pairs(shown.get("options") or {})]
    pairs.append(("readout mitigation", _mitigation_fact(shown)))
    return pairs + [("note", note) for note in dict.fromkeys(j["note"] for j in jobs) if note]


def _mitigation_fact(shown: Mapping[str, Any]) -> str:
    if shown.get("not_mitigated"):
        return f"could not be done: {shown['not_mitigated']}"
    if not _mitigated_any(shown):
        return "none"
    shots = shown.get("calibration_shots")
    return "mthree" + (f", {shots:,} shots of each calibration circuit" if shots else "")


def _mitigated_any(shown: Mapping[str, Any]) -> bool:
    return any(replica["mitigated"] is not None for replica in shown["outcome"]["replicas"])


def _when(seconds: float | None) -> str:
    return "–" if seconds is None else time.strftime("%F %T UTC", time.gmtime(seconds))
