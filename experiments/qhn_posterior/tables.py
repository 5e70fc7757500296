"""The tables of the study."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.markdown import table
from experiments.qhn_posterior.models import MODELS, TEMPERATURE, WITH_MMD
from qhyper.report.statistics import holm, median_interval
from qhyper.report.words import with_interval

Results = Mapping[str, Any]

DATA = {"mnist": "2×2 MNIST", "toy": "toy"}


def tables(results: Results) -> str:
    """KL of every model, MMD, and the predictive."""
    parts = []
    for data in TEMPERATURE:
        parts += [_kl(results, data), _pairs(results, data), _mmd(results, data)]
    return "\n\n".join([_exact(results), *parts, *(_predictive(results, d) for d in TEMPERATURE)])


def title(data: str) -> str:
    """A data set with its temperature."""
    return f"{DATA[data]}, T = {TEMPERATURE[data]:g}"


def _interval(values: Any, form: str = ".2f") -> str:
    return with_interval(median_interval(values), form)


def _exact(results: Results) -> str:
    rows = []
    for data in TEMPERATURE:
        found = results[f"{data}-posterior"]
        rows.append(
            [
                title(data), f"{found['log_z']:.4f}", f"{found['minimum']:.5f}",
                f"{found['mean_loss']:.5f}", f"{found['uniform_kl']:.2f}",
            ]
        )  # fmt: skip
    head = ["posterior", "log Z", "least loss", "mean loss", "KL of the uniform distribution"]
    return table("The exact posterior", head, rows)


def _kl(results: Results, data: str) -> str:
    rows = []
    for name, model in MODELS.items():
        found = results[f"{data}-{name}"]
        kl = np.array(found["kl"])
        rows.append(
            [
                model.title, "circuit" if model.quantum else "classical",
                f"{found['parameters']:,}", f"{found['rate']:g}", f"{found['heat']:g}",
                _interval(kl), f"{kl.min():.2f}", f"{kl.max():.2f}",
                f"{np.max(found['kl_error']):.3f}", f"{np.median(found['mean_loss']):.4f}",
                f"{np.median(found['evidence_error']):+.2f}",
            ]
        )  # fmt: skip
    rows.sort(key=lambda row: float(row[5].split()[0]))
    head = ["model", "kind", "parameters", "rate", "heat", "KL: median", "best", "worst",
            "error", "mean loss", "evidence by draws"]  # fmt: skip
    return table(f"{title(data)}: KL to the posterior in nats", head, rows, words=2)


def _pairs(results: Results, data: str) -> str:
    """Circuits named beforehand against every classical model, as two samples of seeds."""
    from scipy.stats import bootstrap, mannwhitneyu

    classical = [name for name, model in MODELS.items() if not model.quantum]
    circuits = ("chain", "chain-signs", "depth-8-unit", "product")
    kl = {name: np.array(results[f"{data}-{name}"]["kl"]) for name in (*circuits, *classical)}
    pairs = [(one, other) for one in circuits for other in classical]
    p = dict(zip(pairs, holm([mannwhitneyu(kl[a], kl[b]).pvalue for a, b in pairs]), strict=True))
    rows = []
    for one in circuits:
        cells = []
        for other in classical:
            found = bootstrap(
                (kl[one], kl[other]), lambda a, b, axis: np.median(a, axis) - np.median(b, axis),
                n_resamples=2000, method="percentile", rng=np.random.default_rng(0),
            ).confidence_interval  # fmt: skip
            middle = np.median(kl[one]) - np.median(kl[other])
            cells.append(
                f"{middle:+.2f} ({found.low:+.2f} to {found.high:+.2f}), {p[one, other]:.2g}"
            )
        rows.append([MODELS[one].title, *cells])
    head = ["circuit minus", *(MODELS[name].title for name in classical)]
    return table(f"{title(data)}: difference of the median KL (p after Holm)", head, rows)


def _mmd(results: Results, data: str) -> str:
    rows = []
    for name in WITH_MMD:
        found, free = results[f"{data}-{name}-mmd"], results[f"{data}-{name}"]
        rows.append(
            [
                MODELS[name].title, f"{found['weight']:g}", _interval(found["kl"]),
                _interval(free["kl"]), f"{np.median(found['mean_loss']):.4f}",
                f"{np.median(free['mean_loss']):.4f}",
            ]
        )  # fmt: skip
    head = ["model", "weight", "KL: trained on MMD", "on the free energy", "mean loss: MMD",
            "free energy"]  # fmt: skip
    return table(f"{title(data)}: MMD in the place of the entropy", head, rows)


def _predictive(results: Results, data: str) -> str:
    known = results[f"{data}-posterior"]
    rows = [
        [label, *_judged([known[key]])]
        for label, key in (
            ("exact posterior", "predictive"), ("the best network", "optimum"),
            ("uniform networks", "uniform"),
        )
    ]  # fmt: skip
    for name, model in MODELS.items():
        found = results[f"{data}-{name}"]
        rows.append([f"{model.title}: average", *_judged(found["predictive"])])
        rows.append([f"{model.title}: best drawn", *_judged(found["single"])])
    head = ["test set", "accuracy", "-log p (nats)", "Brier", "calibration error"]
    return table(f"{title(data)}: average of 2,000 drawn networks, or one", head, rows)


def _judged(found: list[dict[str, Any]]) -> list[str]:
    return [
        _interval([one[key] for one in found], ".4f") for key in ("accuracy", "nll", "brier", "ece")
    ]
