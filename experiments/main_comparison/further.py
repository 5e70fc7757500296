"""What the searches found against the recipes, on both data sets and on seeds that decide alone.

python -m experiments.main_comparison.further [FOLDER]

FOLDER is a finished run of the study (runs/main-comparison). Prints two tables; some fifteen
minutes of one core. What is done is kept in FOLDER/further.
"""

import json
import sys
from pathlib import Path
from typing import Any

from experiments.main_comparison.outcome import (
    DATA,
    NETWORK,
    TUNED,
    Results,
    hits,
    result,
    tuned_part,
    within,
)
from experiments.main_comparison.study import FULL
from experiments.main_comparison.tables import circuits
from experiments.markdown import table
from qhyper import load
from qhyper.report.statistics import paired_tests
from qhyper.run.comparison import compare
from qhyper.run.config import Entry
from qhyper.run.spaces import with_settings
from qhyper.storage import write_whole
from qhyper.threads import one_torch_thread

SEEDS = range(3000, 3000 + FULL.seeds)
"""That neither the searches nor the study have seen."""


def main(folder: Path) -> None:
    """Compare, or read what is there, and print the tables."""
    (folder / "further").mkdir(exist_ok=True)
    found = {}
    with one_torch_thread():
        for name in TUNED:
            for data in DATA:
                for source in (None, *DATA):
                    part = _part(name, source, data)
                    found[part] = _compared(folder, name, source, data)
                    print(f"{part}: done", file=sys.stderr, flush=True)
    print(_against_recipes(found))
    print(_circuits(found))


def _part(name: str, source: str | None, data: str) -> str:
    """An entry with what its search for the mean found on `source`, or its recipe, on `data`."""
    return f"{name}-{source}-on-{data}" if source else f"{name}-on-{data}"


def _compared(folder: Path, name: str, source: str | None, data: str) -> dict[str, Any]:
    file = folder / "further" / f"{_part(name, source, data)}.json"
    if not file.is_file():
        entry = Entry(name=name)
        if source is not None:
            part = folder / "parts" / f"{tuned_part(name, source, 'mean')}.json"
            entry = with_settings(entry, json.loads(part.read_text())["result"]["search"]["found"])
        dataset = load(data)
        outcome = compare(
            NETWORK.objective(dataset.train), [entry], seeds=SEEDS, evaluations=FULL.evaluations,
            test=dataset.test, name=data,
        )  # fmt: skip
        told = {"certificate": outcome.summary.certificate, "result": outcome.results[0].to_json()}
        write_whole(file, json.dumps(told).encode())
    return json.loads(file.read_text())


def _against_recipes(found: Results) -> str:
    """Differences of what was found from the recipe, on both data sets, with Holm over all."""
    losses = {part: result(found, part).final_loss for part in found}
    pairs = [
        (_part(name, source, data), _part(name, None, data))
        for name in TUNED
        for source in DATA
        for data in DATA
    ]
    tests = {test.one: test for test in paired_tests(losses, pairs)}
    rows = []
    for name in TUNED:
        for source, title in DATA.items():
            row = [name, title]
            for data in DATA:
                part, recipe = _part(name, source, data), _part(name, None, data)
                test = tests[part]
                row.append(f"{test.median_difference:+.4f} ({test.p_holm:.2g})")
                for share in (within, hits):
                    before, now = (share(found, each).value for each in (recipe, part))
                    row.append(f"{before:.3f} → {now:.3f}")
            rows.append(row)
    head = ["generator", "found on"]
    for title in DATA.values():
        head += [f"{title}: minus recipe (p after Holm)", "within 5 %", "hit"]
    return table("Found for the mean, against the recipe", head, rows, words=2)


def _circuits(found: Results) -> str:
    """Circuits against classical models on MNIST, each as it was tuned there."""
    names: dict[str, list[str]] = {"quantum": [], "classical": [], "control": []}
    for name in TUNED:
        names[result(found, _part(name, None, "mnist")).kind].append(name)
    losses = {name: result(found, _part(name, "mnist", "mnist")).final_loss for name in TUNED}
    pairs = [(one, other) for one in names["quantum"] for other in names["classical"]]
    title = f"{DATA['mnist']}, seeds {SEEDS[0]} to {SEEDS[-1]}, tuned for the mean"
    return circuits(paired_tests(losses, pairs), title)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/main-comparison"))
