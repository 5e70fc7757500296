"""Counts beside what was printed, bounds, and weights of an image's own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table

Results = Mapping[str, Any]

PAIRS = {"0-1": "0 and 1", "3-7": "3 and 7", "4-9": "4 and 9"}
SIDES = (2, 4)
DEPTHS = (2, 4, 6)
DATA = {"toy": "toy", "mnist": "MNIST, 0 and 1"}
CLASSES = {"toy": ("right above white", "left under white"), "mnist": ("digit 0", "digit 1")}
OWN = {
    "hers": "hers, through both layers",
    "classical": "(a) classical, no gradients",
    "circuit": "(a) circuit of depth 2",
}
"""What gives every image weights of its own."""
PRINTED_TRAINING = 0.9307
"""Accuracy of the hypernetwork's last epoch on toy, in the output of the published notebook."""


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    sections = [_counts(results), _bounds(results), _hardest(results), _own(results)]
    return "\n\n".join([*sections, _own_each(results), _depths(results), _printed(results)])


def _counts(results: Results) -> str:
    zero, one = results["images-mnist"]["classes"]
    found = results["images-mnist"]["train"]
    toy = results["images-toy"]["train"]
    rows = [
        ("images of class 0 / class 1", "5,923 / 6,742", f"{zero['images']:,} / {one['images']:,}"),
        ("black images of class 0", "about 600", f"{zero['black']:,}"),
        ("images in the darkest of 50 bins, class 0", "–", f"{zero['counts'][0]:,}"),
        ("black images of class 1", "more than 5,000", f"{one['black']:,}"),
        ("images in the darkest of 50 bins, class 1", "–", f"{one['counts'][0]:,}"),
        ("different images", "–", f"{found['different']:,} of {found['images']:,}"),
        ("images with a twin of the other class", "a few", f"{found['of_both']:,}"),
        ("images that any classifier has wrong", "about 5 %",
         f"{found['wrong']:,} ({_percent(1 - found['accuracy'])})"),
        ("the same, of the test images", "–", _wrong(results["images-mnist"]["test"])),
        ("toy: images that any classifier has wrong", "–", f"{toy['wrong']:,}"),
    ]  # fmt: skip
    head = ("training images, MNIST in 2×2 pixels", "printed", "counted")
    return table("Figures 5 to 10 in numbers", head, rows)


def _wrong(of: Mapping[str, Any]) -> str:
    return f"{of['wrong']:,} ({_percent(1 - of['accuracy'])})"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def sides(results: Results) -> list[int]:
    """Sizes of which there are bounds."""
    return sorted({int(name.split("-")[2]) for name in results["bounds"]})


def _bounds(results: Results) -> str:
    rows = [
        (title, *(_both(results["bounds"][f"{pair}-{side}"]) for side in sides(results)))
        for pair, title in PAIRS.items()
    ]
    head = ("digits", *(f"{side}×{side}" for side in sides(results)))
    return table("Best accuracy of any classifier, training / test images", head, rows)


def _both(of: Mapping[str, Any]) -> str:
    return f"{of['train']['accuracy']:.4f} / {of['test']['accuracy']:.4f}"


def _hardest(results: Results) -> str:
    rows = []
    for side in sides(results):
        found = {
            name.rsplit("-", 1)[0]: one["train"]["accuracy"]
            for name, one in results["bounds"].items()
            if int(name.split("-")[2]) == side
        }
        order = sorted(found, key=found.__getitem__)
        rows.append((
            f"{side}×{side}", f"{np.median(list(found.values())):.4f}",
            *(f"{order[k].replace('-', '/')} {found[order[k]]:.4f}" for k in (0, 1, -1)),
        ))  # fmt: skip
    head = ("pixels", "median of 45 pairs", "hardest", "next", "easiest")
    return table("The same of all pairs of digits, training images", head, rows)


def _own(results: Results) -> str:
    rows = []
    for pair, title, side, of in _trained(results):
        shared = results[f"shared-{pair}-{side}"]
        constant = [f"{shared[name]:.4f}" for name in ("constant", "constant_0") if name in shared]
        rows.append((
            title, f"{side}×{side}", f"{of['hers']['test']['accuracy']:.4f}",
            f"{shared['one_class']:.4f}", f"{shared['logistic']:.4f}", " / ".join(constant) or "–",
            *(_spread(of[name]["own_accuracy"]) if name in of else "–" for name in OWN),
        ))  # fmt: skip
    head = (
        "digits", "pixels", "best of any classifier", "one class for all", "logistic regression",
        "constant weights of the least loss, sign(0) = +1 / 0", *OWN.values(),
    )  # fmt: skip
    return table("Test images classified by their own weights", head, rows, words=2)


def _trained(results: Results) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Pair, its title, size, and what gives images weights of their own there, by names of OWN."""
    for pair, title in PAIRS.items():
        for side in SIDES:
            parts = {"hers": "straight", "classical": "classical", "circuit": "depth-2"}
            found = {name: results.get(f"{part}-{pair}-{side}") for name, part in parts.items()}
            yield pair, title, side, {name: one for name, one in found.items() if one}


def _own_each(results: Results) -> str:
    rows = []
    for _, title, side, of in _trained(results):
        for name, one in of.items():
            loss = _each(one["loss"][-1], 3) if "loss" in one else "–"
            own = _each(one["own_accuracy"], 3)
            rows.append((title, f"{side}×{side}", OWN[name], own, loss))
    head = (
        "digits", "pixels", "weights from", "test images classified by their own weights",
        "training loss at the end",
    )  # fmt: skip
    return table("The same, each training", head, rows, words=3)


def _depths(results: Results) -> str:
    rows = []
    for data, title in DATA.items():
        part = "toy" if data == "toy" else "0-1-2"
        for depth in DEPTHS:
            found = results[f"depth-{depth}-{part}"]
            losses = np.mean(found["loss"], axis=1)
            rows.append((
                title, str(depth), str(depth - 1), f"{found['parameters']}",
                *(f"{loss:.3f}" for loss in losses), _spread(found["own_accuracy"]),
                _each(found["own_accuracy"], 3),
            ))  # fmt: skip
        shared = results[f"shared-{part}"]
        for what, right in (
            ("any classifier", found["test"]["accuracy"]),
            ("logistic regression", shared["logistic"]),
            ("constant weights of the least loss", shared["constant"]),
        ):
            rows.append((title, what, *"–––––", f"{right:.4f}", "–"))
    steps = found["steps"]
    head = (
        "data", "depth", "layers that the image enters", "parameters",
        *(f"training loss at step {steps * third // 3:,}" for third in (1, 2, 3)),
        "test images classified by their own weights", "each training",
    )  # fmt: skip
    return table(f"Deeper circuits, one start of {steps:,} steps", head, rows, words=2)


def _printed(results: Results) -> str:
    found = results["as-printed"]
    rows = [
        ("toy, training images in the last epoch", f"{PRINTED_TRAINING:.4f}",
         _spread(found["training_accuracy"]), _each(found["training_accuracy"])),
        ("toy, test images", "–", _spread(found["own_accuracy"]), _each(found["own_accuracy"])),
    ]  # fmt: skip
    head = ("images classified by their own weights", "notebook", "here", "each training")
    return table("The thesis' hypernetwork as it was trained", head, rows)


def _each(values: Sequence[float], digits: int = 4) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values):.4f}"


def measured(results: Results) -> dict[str, float]:
    """The numbers that `verify` checks, by name."""
    images = results["images-mnist"]
    found = {
        "black-of-class-0": images["classes"][0]["black"],
        "darkest-bin-of-class-0": images["classes"][0]["counts"][0],
        "black-of-class-1": images["classes"][1]["black"],
        "wrong": images["train"]["wrong"],
        "best-training-accuracy": images["train"]["accuracy"],
        "best-test-accuracy": images["test"]["accuracy"],
        "as-printed-training-accuracy": float(np.mean(results["as-printed"]["training_accuracy"])),
    }
    for name, one in results["bounds"].items():
        found[f"bound-{name}"] = one["train"]["accuracy"]
    for name, one in results.items():
        kind = name.split("-")[0]
        if kind in ("straight", "classical", "depth"):
            found[f"{name}-own"] = float(np.mean(one["own_accuracy"]))
            found[f"{name}-below-bound"] = one["test"]["accuracy"] - max(one["own_accuracy"])
        if kind == "shared":
            for what in ("logistic", "constant"):
                if what in one:
                    found[name.replace("shared", what)] = one[what]
    return found
