"""What entries name, refused before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qhyper import registry
from qhyper.errors import ConfigurationError
from qhyper.run import named
from qhyper.run.config import Entry

KINDS = ("generator", "control", "estimator", "risk", "ansatz")
GIVEN = {
    "generator": ("seeds", "layout"),
    "estimator": ("shots", "value"),
    "ansatz": ("order", "layout"),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in registry.names(kind)]
)
def test_the_source_tells_what_the_signature_does(kind, name):
    factory = registry.find(kind, name)
    ours = ("n_bits", *GIVEN.get(kind, ()))
    known = registry.options_of(kind, name, factory, ours=ours)
    found = named.in_source(kind, name)
    assert found is not None
    assert list(found.options) == list(known)
    for key, parameter in known.items():
        told = found.options[key]
        assert (told.default is told.empty) == (parameter.default is parameter.empty), key
        assert (told.kind is told.VAR_KEYWORD) == (parameter.kind is parameter.VAR_KEYWORD)
        assert registry._number(told.annotation) == registry._number(parameter.annotation), key


MISTAKES = [
    ("boltzmann", {}, {}, "Unknown generator or control 'boltzmann'"),
    ("quantum-depth2", {"dept": 3}, {}, "option of the ansatz brickwork: 'dept'. Did you mean"),
    ("product", {"depth": 3}, {}, "option of the ansatz product: 'depth'"),
    ("quantum", {"ansatz": "brick"}, {}, "Unknown ansatz 'brick'. Did you mean 'brickwork'"),
    ("quantum", {"depth": "two"}, {}, r"Got depth='two' \(str\)"),
    ("quantum", {"ansatz": "ring", "phase": 1}, {}, "option of the ansatz ring: 'phase'"),
    ("quantum", {"backend": "mpss"}, {}, "Unknown backend 'mpss'. Did you mean 'mps'"),
    ("mlp", {"hiden": 3}, {}, "Unknown option of the generator mlp: 'hiden'"),
    ("annealing", {"t_begin": 3}, {}, "Unknown option of the control annealing: 't_begin'"),
    ("mlp", {}, {"estimator": "spsb"}, "Unknown estimator 'spsb'. Did you mean 'spsa'"),
    ("mlp", {}, {"estimator_options": {"base": 1}}, "option of the estimator score-function"),
    ("mlp", {}, {"risk": "var"}, "Unknown risk 'var'. Did you mean 'cvar'"),
    (
        "mlp",
        {},
        {"risk": "cvar", "risk_options": {"shere": 0.1}},
        "option of the risk cvar: 'shere'",
    ),
    ("mlp", {}, {"optimizer": "adam"}, "Unknown optimiser of torch.optim 'adam'. Did you"),
    ("mlp", {}, {"schedule": "cosine"}, "Unknown schedule of torch.optim.lr_scheduler 'cosine'"),
]


@pytest.mark.parametrize(("name", "options", "training", "message"), MISTAKES)
def test_a_mistake_is_refused(name, options, training, message):
    with pytest.raises(ConfigurationError, match=message):
        named.check_named([Entry(name=name, options=options, training=training)])


@pytest.mark.parametrize("name", sorted({*registry.names("generator"), *registry.names("control")}))
def test_what_is_registered_passes_without_options(name):
    needs = {"chunked": {"chunk": 4}, "joined": {"parts": []}}
    named.check_named([Entry(name=name, options=needs.get(name, {}))])


def test_names_of_torch_are_those_that_torch_has():
    with pytest.raises(ConfigurationError) as found:
        named._check_torch("optimiser", "none", "__init__.py")
    have = {n for n, c in vars(torch.optim).items() if isinstance(c, type)}
    known = str(found.value).partition("Known: ")[2].rstrip(".").split(", ")
    assert set(known) == have - {"Optimizer", "SparseAdam"}
    with pytest.raises(ConfigurationError) as found:
        named._check_torch("schedule", "none", "lr_scheduler.py")
    schedules = torch.optim.lr_scheduler
    kinds = {n: c for n, c in vars(schedules).items() if isinstance(c, type)}
    have = {n for n, c in kinds.items() if issubclass(c, schedules.LRScheduler) and n[0] != "_"}
    known = str(found.value).partition("Known: ")[2].rstrip(".").split(", ")
    assert set(known) == have - {"LRScheduler", "ReduceLROnPlateau"}


OTHERS = """
def decorated(function): return function

@decorated
def wrapped(n_bits): ...

class Inherits(dict): ...

def of_any_name(bits, *, seeds, width: int | None = None, **more): ...
"""


def test_what_a_source_does_not_tell_is_left_to_the_building(tmp_path: Path, monkeypatch):
    (tmp_path / "others_generators.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    for value in ("others_generators:wrapped", "others_generators:Inherits", "nowhere:Thing", None):
        monkeypatch.setattr(registry, "where", lambda kind, name, value=value: value)
        assert named.in_source("generator", "mine") is None
    monkeypatch.setattr(registry, "where", lambda kind, name: "others_generators:of_any_name")
    found = named.in_source("generator", "mine")
    assert found is not None
    assert list(found.options) == ["width", "more"]


REFUSED = [
    "compare --generators bolzmann",
    "compare --data nowhere.csv",
    "compare --layers 3,2,2 --data gaussians",
    "compare --seeds 0",
    "compare --set sedes=1",
    "compare --loss none",
    "compare --risks none",
    "compare --objective nowhere:loss --bits 4",
    "train --generator quantum-depth2 --option dept=3",
    "train --training optimizer=adm",
    "train --backend none",
    "certify --method none --data gaussians",
    "resume nowhere",
    "report nowhere",
    "submit nowhere --backend ibm:none",
    "fetch nowhere",
    "jobs nowhere",
]


def test_refusals_import_no_torch(tmp_path: Path):
    program = (
        "import sys\n"
        "from qhyper.cli.main import main\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    sys.argv = ['qhyper', *line.split()]\n"
        "    try:\n        main()\n"
        "    except SystemExit as ended:\n        print(ended.code, line, file=sys.stderr)\n"
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'qiskit') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="\n".join(REFUSED), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = [line for line in done.stderr.splitlines() if line[:2] in ("2 ", "3 ")]
    assert [line[2:] for line in ends] == REFUSED, done.stderr
    assert done.stdout.strip() == "[]"
    assert not list(tmp_path.iterdir())
