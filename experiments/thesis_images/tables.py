"""Counts beside what was printed, bounds, and weights of an image's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.markdown import table

Results = Mapping[str, Any]

PAIRS = {"0-1": "0 and 1", "3-7": "3 and 7", "4-9": "4 and 9"}
SIDES = (2, 4)
DEPTHS = (2, 4, 6)
DATA = {"toy": "toy", "mnist": "MNIST, 0 and 1"}
CLASSES = {"toy": ("right above white", "left under white"), "mnist": ("digit 0", "digit 1")}
PRINTED_TRAINING = 0.9307
"""Accuracy of the hypernetwork's last epoch on toy, in the output of the published notebook."""


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    sections = [_counts(results), _bounds(results), _hardest(results), _own(results)]
    return "\n\n".join([*sections, _depths(results), _printed(results)])


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
    for pair, title in PAIRS.items():
        for side in SIDES:
            name = f"{pair}-{side}"
            circuit = results.get(f"depth-{DEPTHS[0]}-{name}")
            straight, classical = results[f"straight-{name}"], results[f"classical-{name}"]
            rows.append((
                title, f"{side}×{side}", f"{straight['test']['accuracy']:.4f}",
                _spread(straight["own_accuracy"]), _spread(classical["own_accuracy"]),
                _spread(circuit["own_accuracy"]) if circuit else "–",
            ))  # fmt: skip
    head = (
        "digits", "pixels", "best of any classifier", "hers, through both layers",
        "(a) classical, no gradients", "(a) circuit of depth 2",
    )  # fmt: skip
    return table("Test images classified by their own weights", head, rows, words=2)


def _depths(results: Results) -> str:
    rows = []
    for depth in DEPTHS:
        toy, mnist = (results[f"depth-{depth}-{data}"] for data in ("toy", "0-1-2"))
        rows.append((
            str(depth), str(depth - 1), f"{toy['parameters']}", _spread(toy["own_accuracy"]),
            _spread(mnist["own_accuracy"]),
        ))  # fmt: skip
    rows.append(("any classifier", "–", "–", "1", f"{mnist['test']['accuracy']:.4f}"))
    head = ("depth", "layers that the image enters", "parameters", "toy", "MNIST, 0 and 1")
    return table("Deeper circuits: test images classified by their own weights", head, rows)


def _printed(results: Results) -> str:
    found = results["as-printed"]
    rows = [
        ("toy, training images in the last epoch", f"{PRINTED_TRAINING:.4f}",
         _spread(found["training_accuracy"]), _each(found["training_accuracy"])),
        ("toy, test images", "–", _spread(found["own_accuracy"]), _each(found["own_accuracy"])),
    ]  # fmt: skip
    head = ("images classified by their own weights", "notebook", "here", "each training")
    return table("The thesis' hypernetwork as it was trained", head, rows)


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


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
        if name.split("-")[0] in ("straight", "classical", "depth"):
            found[f"{name}-own"] = float(np.mean(one["own_accuracy"]))
            found[f"{name}-below-bound"] = one["test"]["accuracy"] - max(one["own_accuracy"])
    return found
