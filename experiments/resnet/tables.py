"""The tables of the study, beside the numbers that the document printed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.markdown import table
from experiments.resnet.settings import ABLATIONS, MAIN

Results = Mapping[str, Any]


class Printed(NamedTuple):
    """What the document prints of a training at full width, for CIFAR-10."""

    words: str
    accuracy: float
    """in percent, of test images, which it calls validation"""
    speed: str = "x1"
    """of training, in its words"""
    memory: str = "x1"
    """saved in training, in its words"""


PRINTED = {
    "full-precision": Printed("full precision", 93.0),
    "recu": Printed("ReCU", 92.8),
    "adam": Printed("proposed, Adam", 90.6, "x12.3", "x4"),
    "sgd": Printed("proposed, SGD", 92.09, "x5.2", "x4"),
}
"""Its table 5.1."""
INFERENCE = ("x58", "x32")
"""Speed-up and memory saved of packed inference, in its words, for all binary networks."""


def tables(results: Results) -> str:
    """Accuracy, ablation, a step of training, and inference."""
    return "\n\n".join(
        [_accuracy(results), _ablation(results), _step(results), _inference(results)]
    )


def _accuracy(results: Results) -> str:
    rows = []
    for name, printed in PRINTED.items():
        found = results[name]
        seconds = sum(found["epoch_seconds"])
        rows.append(
            [
                printed.words, f"{100 * found['accuracy']:.2f}",
                f"{100 * max(found['held_out']):.2f}", f"{printed.accuracy:g}",
                f"{found['chosen']} of {len(found['losses'])}", f"{found['parameters']:,}",
                f"{np.median(found['epoch_seconds']):.0f}", f"{seconds / 60:.0f}",
            ]
        )  # fmt: skip
    head = ["training", "test accuracy, %", "held-out, %", "printed, full width", "epoch chosen",
            "parameters", "s an epoch", "minutes"]  # fmt: skip
    return table("Accuracy", head, rows)


def _ablation(results: Results) -> str:
    whole = results["all-options"]
    rows = []
    for name in ABLATIONS:
        found = results[name]
        rows.append(
            [
                name.replace("-", " "), f"{100 * found['accuracy']:.2f}",
                f"{100 * (found['accuracy'] - whole['accuracy']):+.2f}",
                f"{100 * max(found['held_out']):.2f}",
                f"{100 * (max(found['held_out']) - max(whole['held_out'])):+.2f}",
                f"{found['losses'][-1]:.3f}", f"{np.median(found['epoch_seconds']):.0f}",
            ]
        )  # fmt: skip
    head = ["training", "test accuracy, %", "difference", "held-out, %", "difference",
            "last loss", "s an epoch"]  # fmt: skip
    return table(f"Each option removed, {len(whole['losses'])} epochs with Adam", head, rows)


def _step(results: Results) -> str:
    found = results["step-time"]
    seconds, memory = dict(found["seconds"]), dict(found["memory"])
    shares = {f"binary, {bits} bits": share for bits, share in found["shares"].items()}
    cyclic = "binary, cyclic 3 to 8 bits"
    seconds[cyclic] = sum(share * seconds[kind] for kind, share in shares.items())
    sizes = [memory[kind] for kind in shares]
    memory[cyclic] = None if None in sizes else max(sizes)
    base_seconds, base_memory = seconds["full precision"], memory["full precision"]
    in_fewer_epochs = f"{PRINTED['adam'].speed} with 254 epochs for 600"
    claimed = {cyclic: (f"{PRINTED['sgd'].speed}; {in_fewer_epochs}", PRINTED["sgd"].memory)}
    rows = []
    for kind in seconds:
        bits = kind.startswith("binary, ") and kind not in claimed
        speed, saved = claimed.get(kind, ("x4", "x4") if kind == "binary, 8 bits" else ("–", "–"))
        megabytes = memory[kind]
        known = megabytes and base_memory
        rows.append(
            [
                kind + (", emulated" if bits or kind in claimed else ""),
                f"{1000 * seconds[kind]:.0f}", f"×{base_seconds / seconds[kind]:.2f}", speed,
                f"{megabytes:.0f}" if megabytes is not None else "–",
                f"×{base_memory / megabytes:.2f}" if known else "–", saved,
            ]
        )  # fmt: skip
    head = ["training", "ms a step", "speed-up", "printed", "peak memory, MB", "saved", "printed"]
    title = f"A step of training, {found['batch']} images at width {found['width']:g}, one core"
    return table(title, head, rows)


def _inference(results: Results) -> str:
    ways = {
        f"{PRINTED[name].words}, trained": results[name]
        for name in MAIN
        if "packed" in results[name]
    }
    ways = {words: found["packed"] for words, found in ways.items()}
    ways |= {f"width {found['width']:g}, untrained": found for found in results["packed"]}
    rows = [
        [
            words, f"{found['images']:,}", f"{found['disagreements']}", f"{found['threads']}",
            f"{1000 * found['torch_seconds'] / found['timed']:.3f}",
            f"{1000 * found['packed_seconds'] / found['timed']:.3f}",
            f"×{found['torch_seconds'] / found['packed_seconds']:.1f}", INFERENCE[0],
            f"{found['torch_bytes']:,}", f"{found['packed_bytes']:,}",
            f"×{found['torch_bytes'] / found['packed_bytes']:.1f}", INFERENCE[1],
        ]
        for words, found in ways.items()
    ]  # fmt: skip
    head = ["network", "images", "predictions that differ", "threads", "torch, ms an image",
            "packed", "speed-up", "printed", "torch, bytes", "packed", "saved",
            "printed"]  # fmt: skip
    return table("Packed inference", head, rows)
