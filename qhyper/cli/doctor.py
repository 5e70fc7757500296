"""The command `doctor`: what is installed, and what can be named."""

import json
from typing import Any

from qhyper.cli.options import Json
from qhyper.cli.terminal import print_pairs

EXTRAS = {
    "qiskit-ibm-runtime": "ibm",
    "qiskit-braket-provider": "braket",
    "qiskit-ionq": "ionq",
    "azure-quantum": "azure",
    "mthree": "mitigate",
    "onnx": "onnx",
    "pandas": "data",
    "pyarrow": "data",
    "optuna": "tune",
    "distributed": "cluster",
}
"""Optional packages, and the extras that bring them."""


def doctor(as_json: Json = False) -> None:
    """Show what is installed, what has a name, and what data there are."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from qhyper.data.sets import availability
    from qhyper.machine import GIB, environment_threads, memory
    from qhyper.quantum.ansatz import STARTS
    from qhyper.quantum.backends import forms, installed
    from qhyper.registry import names
    from qhyper.run.directory import versions
    from qhyper.targets.packed.popcount import count_differing
    from qhyper.threads import n_threads

    packages = versions()
    for package in EXTRAS:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    found = {
        "python": platform.python_version(),
        "versions": packages,
        "threads": n_threads(),
        "memory in GiB": round(memory() / GIB, 2),
        "kernel cache": count_differing.stats.cache_path or "none: NUMBA_CACHE_DIR can name one",
        "devices": ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"],
        "generators": names("generator"),
        "controls": names("control"),
        "estimators": names("estimator"),
        "risks": names("risk"),
        "losses": names("loss"),
        "targets": names("target"),
        "data sets": names("data set"),
        "backends": installed(),
        "quantum computers": forms("service"),
        "ansätze": names("ansatz"),
        "starts": list(STARTS),
        "data": availability(),
    }
    if as_json:
        print(json.dumps(found))
        return
    flat: dict[str, Any] = {
        key: found[key] for key in ("python", "threads", "memory in GiB", "kernel cache")
    }
    if told := environment_threads():
        listed = ", ".join(f"{name}={number}" for name, number in told.items())
        flat["threads"] = f"{flat['threads']} ({listed})"
    flat |= {
        package: number or f"missing: the extra {EXTRAS[package]}"
        if package in EXTRAS
        else number or "missing"
        for package, number in packages.items()
    }
    flat |= {part: ", ".join(all_) for part, all_ in found.items() if isinstance(all_, list)}
    flat |= {f"data: {name}": where for name, where in found["data"].items()}
    print_pairs("qhyper doctor", flat)
