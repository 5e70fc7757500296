"""The draws of a trained generator from a quantum computer compared with the simulator's, in words.

`table` shows that in the terminal, and `page` on one HTML page that needs nothing else. In tables
and figures what drew them is the device, also where it is a simulation.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qhyper.errors import StorageError
from qhyper.report.pairs import CERTIFICATE, certificate_pairs, flat_pairs
from qhyper.report.templates import rendered
from qhyper.report.words import format_loss
from qhyper.storage import as_utf8, write_whole
from qhyper.submit.draws import Mitigated, ScoredDraws
from qhyper.submit.figures import REPLICAS, submission_figures
from qhyper.submit.stored import OUTCOME, Found, Identity, SubmissionSettings, Written

if TYPE_CHECKING:
    from rich.table import Table

# -- words ----------------------------------------------------------------------------------------

HITS, RIGHT = "Hits", "Test accuracy"
"""Of draws beside a certificate, and of those without that classify: one column for either."""
COLUMNS = (
    "Draws",
    "Mean loss",
    "Best loss",
    HITS,
    "Marginals, mean difference",
    "Marginals, largest difference",
    "Loss histograms, difference",
)
NONE = ("–", "")


def _rows(
    found: Found, seeds: Sequence[int]
) -> list[tuple[tuple[str, str], list[tuple[str, str]]]]:
    """(name, cells) of device, simulator and mitigation of each seed; each cell has two lines."""
    rows = []
    for seed, replica in zip(seeds, found.outcome.replicas, strict=True):
        which = f"seed {seed}" if len(seeds) > 1 else ""
        marginals, losses = replica.marginals, replica.losses
        differences = [
            (f"{marginals.mean:.4f}", f"noise {marginals.mean_noise:.4f}"),
            (f"{marginals.largest:.4f}", f"noise {marginals.largest_noise:.4f}"),
            (f"{losses.variation:.3f}", f"noise {losses.noise:.3f}"),
        ]
        for name, side in (("device", replica.measured), ("simulator", replica.simulated)):
            cells = [
                (f"{side.draws:,}", ""),
                _mean(side),
                (format_loss(side.best_loss), ""),
                _hits_or_right(side),
                *(differences if side is replica.measured else [NONE] * 3),
            ]
            rows.append(((name, which), cells))
        if replica.mitigated is not None:
            covered = replica.mitigated.covered
            done = "no misreadings" if covered is None else f"{covered:.0%} corrected"
            name = ("mitigated", ", ".join(filter(None, (which, done))))
            rows.append((name, [NONE, _mean(replica.mitigated), *[NONE] * 5]))
    return rows


def _fourth(found: Found) -> str:
    """What the fourth column is of."""
    first = found.outcome.replicas[0].measured
    return RIGHT if first.hits is None and first.accuracy is not None else HITS


def _hits_or_right(side: ScoredDraws) -> tuple[str, str]:
    """The hits and their share, or how often the draws are right on test rows, and the best one."""
    if side.hits is not None:
        return f"{side.hits:,}", f"{side.share:.2%}" if side.hits else ""
    if side.accuracy is None:
        return NONE
    return f"{side.accuracy:.4f}", f"best {side.best_accuracy:.4f}"


def _mean(side: ScoredDraws | Mitigated) -> tuple[str, str]:
    error = side.standard_error
    return format_loss(side.mean_loss), "" if error is None else f"± {format_loss(error)}"


def _title(settings: SubmissionSettings) -> str:
    return f"{settings.entry} on {settings.backend}"


def _about(found: Found) -> str:
    return found.about.rstrip(".")


def _setting(found: Found, seeds: Sequence[int]) -> str:
    first, minimum = found.outcome.replicas[0], found.outcome.minimum
    each = " each" * (len(seeds) > 1)
    words = [
        f"{first.marginals.n_bits:,} bits",
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
        f"{first.measured.draws:,} draws{each} beside {first.simulated.draws:,} of the simulator",
    ]
    if minimum is not None:
        words.append(f"certified minimum {minimum:.6f}")
    return "; ".join(words)


def _answer(found: Found, backend: str) -> str:
    """What was found, in one paragraph written from the numbers."""
    replicas, minimum = found.outcome.replicas, found.outcome.minimum
    sides = [r.measured for r in replicas], [r.simulated for r in replicas]
    ours, theirs = map(_together, sides)
    sentences = [
        f"The draws from {backend} have a mean loss of {ours}, the simulator's {theirs}.",
        *_mitigation([r.mitigated for r in replicas if r.mitigated is not None]),
    ]
    if found.not_mitigated:
        sentences.append(
            "Readout mitigation was asked for, and could not be done: "
            f"{found.not_mitigated.rstrip('.')}."
        )
    if minimum is not None:
        (a, n), (b, m) = (
            (sum(each.hits or 0 for each in side), sum(each.draws for each in side))
            for side in sides
        )
        sentences.append(
            f"{a:,} of the {n:,} draws have the proven optimal loss ({format_loss(minimum)}), and "
            f"{b:,} of the simulator's {m:,}."
        )
    if _fourth(found) == RIGHT:
        a, b = (float(np.mean([each.accuracy or 0.0 for each in side])) for side in sides)
        sentences.append(f"Of the test rows they get {a:.2%} right, the simulator's {b:.2%}.")
    mean = float(np.mean([r.marginals.mean for r in replicas]))
    noise = float(np.mean([r.marginals.mean_noise for r in replicas]))
    sentences.append(
        f"On average P(bit = 1) differs by {mean:.4f}; shot noise alone would give {noise:.4f}."
    )
    return " ".join(sentences)


def _mitigation(mitigated: Sequence[Mitigated]) -> list[str]:
    """What it has changed, in a sentence where there was any."""
    if not mitigated:
        return []
    covered = [side.covered for side in mitigated if side.covered is not None]
    if not covered:
        return ["The calibration found no misreadings: there is nothing to mitigate."]
    return [
        f"Weighted by mthree's quasi-probabilities their mean loss is {_together(mitigated)}, with "
        f"{float(np.mean(covered)):.0%} of the misreadings corrected."
    ]


def _together(sides: Sequence[ScoredDraws | Mitigated]) -> str:
    """The mean over replicas, with its standard error."""
    mean = float(np.mean([side.mean_loss for side in sides]))
    errors = [side.standard_error for side in sides if side.standard_error is not None]
    if len(errors) < len(sides):
        return format_loss(mean)
    error = float(np.sqrt(np.sum(np.square(errors))) / len(errors))
    return f"{format_loss(mean)} ± {format_loss(error)}"


# -- terminal and page ----------------------------------------------------------------------------


def table(written: Written) -> "Table":
    """A finished submission as a rich table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    settings, found = written.settings, _found(written)
    told = (_about(found), _setting(found, settings.seeds), _answer(found, settings.backend))
    made = Table(
        box=box.SIMPLE_HEAD,
        title=Text(_title(settings)),
        caption=Text(". ".join(filter(None, told))),
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    made.add_column("Draws of", overflow="fold")
    fourth = _fourth(found).replace(" ", "\n")
    narrow = ("Draws", "Mean\nloss", "Best\nloss", fourth, "Marginals\nmean diff.\n(noise)",
              "Marginals\nlargest\n(noise)", "Loss\nhistogram\n(noise)")  # fmt: skip
    for title in narrow:
        made.add_column(title, justify="right", overflow="fold")
    for name, cells in _rows(found, settings.seeds):
        cells = [(value, re.sub("noise (.*)", r"(\1)", detail)) for value, detail in cells]
        name = (name[0], name[1].replace(", ", "\n"))
        texts = [
            Text.assemble(value, *([("\n" + detail, "dim")] if detail else []))
            for value, detail in (name, *cells)
        ]
        made.add_row(*texts)
    return made


def page(written: Written) -> str:
    """A finished submission as one HTML page that loads nothing from elsewhere.

    The circuit and the device are told from its outlook, and what was sent from its jobs.
    """
    settings, found = written.settings, _found(written)
    seeds, certificate = settings.seeds, found.certificate or {}
    return rendered(
        "submit/submission.html.j2",
        title=_title(settings),
        about=_about(found),
        setting=_setting(found, seeds),
        answer=_answer(found, settings.backend),
        columns=[_fourth(found) if name == HITS else name for name in COLUMNS],
        rows=_rows(found, seeds),
        hits=found.outcome.minimum is not None,
        right=_fourth(found) == RIGHT,
        mitigated=_any_mitigated(found),
        figures=submission_figures(found.outcome, seeds),
        left_out=max(0, len(seeds) - REPLICAS),
        sent=_sent(written, found),
        jobs=[
            (
                job["purpose"], job["job_id"] or "–", f"{job['rows']:,} × {job['shots']:,}",
                job["state"], _when(job["sent"]), _when(job["ended"]),
            )
            for job in found.jobs
        ],
        certificate=certificate_pairs(certificate) if set(certificate) & set(CERTIFICATE) else [],
    )  # fmt: skip


def write_page(submission: Identity) -> Path:
    """Write report.html of a finished submission anew, from the outcome.json in its folder.

    Raises StorageError if there is none, or it cannot be read.
    """
    written = submission.read()
    if written.found is None:
        raise StorageError(
            f"{submission.folder} has no {OUTCOME}: its submission is not finished. Get its draws "
            "with `qhyper fetch` first."
        )
    write_whole(submission.page, as_utf8(page(written)))
    return submission.page


def _found(written: Written) -> Found:
    assert written.found is not None, "only what is finished is shown"
    return written.found


PLANNED = ("circuits", "shots", "jobs", "price")
"""What an outlook says of all that is to be sent, and not of the circuit and the device."""


def _sent(written: Written, found: Found) -> list[tuple[str, str]]:
    """Pairs of words: the circuit and the device from the outlook, the counts from the jobs."""
    settings, outlook = written.settings, written.outlook
    told: dict[str, Any] = {
        "entry": settings.entry,
        "seeds": ", ".join(map(str, settings.seeds)),
        "backend": settings.backend,
    }
    if found.about:
        told["about"] = _about(found)
    sent = [job for job in found.jobs if job["attempts"]]
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
    pairs += [(f"option {key}", value) for key, value in flat_pairs(settings.options)]
    pairs.append(("readout mitigation", _mitigation_fact(found, settings.calibration_shots)))
    notes = dict.fromkeys(job["note"] for job in found.jobs)
    return pairs + [("note", note) for note in notes if note]


def _mitigation_fact(found: Found, shots: int) -> str:
    if found.not_mitigated:
        return f"could not be done: {found.not_mitigated}"
    if not _any_mitigated(found):
        return "none"
    return "mthree" + (f", {shots:,} shots of each calibration circuit" if shots else "")


def _any_mitigated(found: Found) -> bool:
    return any(replica.mitigated is not None for replica in found.outcome.replicas)


def _when(seconds: float | None) -> str:
    return "–" if seconds is None else time.strftime("%F %T UTC", time.gmtime(seconds))
