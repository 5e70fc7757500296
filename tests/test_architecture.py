"""The rules of the house: who may import whom, what `import qhyper` costs, docstrings."""

import ast
import functools
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SDKS = ("pennylane", "qiskit", "braket", "cirq", "perceval", "qsimcirq", "iqm", "pytket", "azure")
"""Top-level packages of quantum SDKs, and the beginnings of their relatives' names."""

VENDORS = {
    "ibm": ("qiskit",),
    "ibm_errors": ("qiskit",),
    "ibm_account": ("qiskit",),
    "ibm_job": ("qiskit",),
    "amazon_braket": ("braket", "qiskit"),
    "braket_programs": ("braket", "qiskit"),
    "ionq": ("qiskit",),
    "azure_quantum": ("azure", "qiskit"),
}
"""Modules named for a vendor, and the beginnings of the packages that are its SDK."""

# What each part of qhyper may import, besides itself: from the ground floor up. A part that is not
# named here fails, and so does one that no longer exists.
GROUND = {
    "errors",
    "progress",
    "threads",
    "machine",
    "registry",
    "storage",
    "streams",
    "arrays",
    "bits",
    "spending",
}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "machine": {"errors"},
    "progress": {"errors"},
    "threads": {"errors", "machine"},
    "registry": {"errors"},
    "storage": {"errors"},
    "streams": {"errors"},
    "arrays": {"errors"},
    "bits": {"errors", "arrays"},
    "spending": {"errors"},
    "hypernetwork": GROUND,
    "risk": GROUND | {"hypernetwork"},
    "data": GROUND,
    "targets": GROUND | {"data"},
    "compose": GROUND | {"hypernetwork", "targets"},
    "quantum": GROUND | {"hypernetwork", "targets"},
    "gradients": GROUND | {"hypernetwork", "risk", "targets"},
    "training": GROUND | {"hypernetwork", "risk", "targets", "gradients"},
    "checks": GROUND
    | {"hypernetwork", "risk", "data", "targets", "compose", "quantum", "gradients", "training"},
    "report": GROUND | {"targets"},
    "run": GROUND
    | {"hypernetwork", "risk", "data", "targets", "compose", "quantum", "gradients", "training"}
    | {"report"},
    "submit": GROUND
    | {"hypernetwork", "data", "targets", "compose", "quantum", "report", "training", "run"},
    "cli": GROUND | {"data", "targets", "quantum", "training", "checks", "report", "run", "submit"},
    "__main__": {"cli"},
}


def sources(*packages):
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert paths
    return [path for path in paths if "__pycache__" not in path.parts]


def ids(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@functools.cache
def imports(path):
    """(module, line, whether inside a function or for type checkers) of every import in a file."""
    found = []
    package = list(path.relative_to(ROOT).parts[:-1])

    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                above = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*above, *([child.module] if child.module else [])])
                found.append((module, child.lineno, inside))
                found.extend((f"{module}.{a.name}", child.lineno, inside) for a in child.names)
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            )
            visit(child, inside or deferred)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def part_of(path):
    """The part of qhyper that a file belongs to: its module or sub-package."""
    return path.relative_to(ROOT / "qhyper").parts[0].removesuffix(".py")


def is_sdk(top):
    return any(top == sdk or top.startswith((f"{sdk}_", f"{sdk}-")) for sdk in SDKS)


QHYPER, CLASSICAL = sources("qhyper"), sources("classical")


def qhyper_imports_neither_classical_nor_experiments(path):
    for module, line, _ in imports(path):
        assert module.split(".")[0] not in ("classical", "experiments", "tests"), (module, line)


def classical_imports_neither_experiments_nor_the_command_line(path):
    for module, line, _ in imports(path):
        assert module.split(".")[0] not in ("experiments", "tests"), (module, line)
        assert not f"{module}.".startswith("qhyper.cli."), (module, line)


def imports_go_one_way(path):
    part = part_of(path)
    if part == "__init__":  # lends names of all parts, when they are first used
        return
    assert part in ALLOWED, f"the part {part} is new: say in ALLOWED what it may import"
    for module, line, _ in imports(path):
        names = module.split(".")
        if names[0] == "qhyper" and len(names) > 1 and names[1] != part:
            assert names[1] in ALLOWED[part], f"{part} imports {module} in line {line}"


def test_the_table_names_the_parts_that_there_are():
    assert set(ALLOWED) == {part_of(path) for path in QHYPER} - {"__init__"}


def test_the_house_is_not_crowded():
    parts = {part_of(path) for path in QHYPER}
    assert len(parts) <= 25
    floors: dict[str, int] = {}
    for part in ALLOWED:  # from the ground up: a part stands above all that it may import
        floors[part] = 1 + max((floors[below] for below in ALLOWED[part]), default=0)
    assert max(floors.values()) <= 11


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_no_imports_go_in_circles():
    """Deferred ones too, and those for type checkers."""
    paths = {module_name(path): path for path in sources("qhyper", "classical", "experiments")}
    imported = {
        name: {m for m, _, _ in imports(path) if m in paths and m != name}
        for name, path in paths.items()
        if path.name != "__init__.py"
    }
    with pytest.raises(graphlib.CycleError):  # the search finds one
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    graphlib.TopologicalSorter(imported).prepare()


def sdks_are_imported_in_modules_named_for_them_and_inside_functions(path):
    for module, line, inside in imports(path):
        top = module.split(".")[0]
        if not is_sdk(top):
            continue
        own = VENDORS.get(path.stem, ())
        named = path.stem == "convert" or any(
            path.stem.startswith(sdk) or sdk in own for sdk in SDKS if top.startswith(sdk)
        )
        assert named, f"{module} is imported in line {line}, in a module not named for it"
        assert inside, f"{module} is imported outside a function, in line {line}"


def no_module_bears_the_name_of_a_package_that_it_imports(path):
    assert path.stem not in {module.split(".")[0] for module, _, _ in imports(path)}


def test_the_finder_of_imports_finds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    package = tmp_path / "qhyper" / "quantum"
    package.mkdir(parents=True)
    path = package / "one.py"
    path.write_text(
        "import a.b as c\nfrom ..gradients import score\n"
        "if True:\n    from . import two\ndef f():\n    import qiskit_aer\n"
    )
    assert imports(path) == [
        ("a.b", 1, False),
        ("qhyper.gradients", 2, False),
        ("qhyper.gradients.score", 2, False),
        ("qhyper.quantum", 4, False),
        ("qhyper.quantum.two", 4, False),
        ("qiskit_aer", 6, True),
    ]
    assert part_of(path) == "quantum"
    assert is_sdk("qiskit_aer")
    assert is_sdk("pennylane")
    assert not is_sdk("qhyper")


HEAVY = ["pennylane", "qiskit", "qiskit_aer", "numba"]


@pytest.mark.parametrize(
    "statement",
    [
        "import qhyper",
        "from qhyper import HyperNetwork, QuantumHyperNetwork, ScoreFunction, Brickwork, Streams",
        "from qhyper import Objective, BinaryNetwork, WeightSpace, Expectation",
    ],
    ids=["qhyper", "generators", "targets"],
)
def test_importing_loads_no_sdk_and_no_compiler(statement):
    program = f"{statement}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has no docstring"
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

    def missing(node, prefix=""):
        for child in node.body:
            if isinstance(child, definitions) and not child.name.startswith("_"):
                name = prefix + child.name
                if not ast.get_docstring(child):
                    yield f"{name} (line {child.lineno})"
                if isinstance(child, ast.ClassDef):
                    yield from missing(child, f"{name}.")

    assert not list(missing(tree))


RULES = (
    no_module_bears_the_name_of_a_package_that_it_imports,
    sdks_are_imported_in_modules_named_for_them_and_inside_functions,
    everything_public_has_a_docstring,
)
OF_QHYPER = (qhyper_imports_neither_classical_nor_experiments, imports_go_one_way)
OF_CLASSICAL = (classical_imports_neither_experiments_nor_the_command_line,)


@pytest.mark.parametrize("path", QHYPER + CLASSICAL, ids=ids(QHYPER + CLASSICAL))
def test_a_module_keeps_the_rules(path):
    for rule in RULES + (OF_QHYPER if path in QHYPER else OF_CLASSICAL):
        rule(path)


def project_files():
    """Files of the project, without what is generated."""
    generated = {
        "runs",
        "build",
        "_build",
        "dist",
        "__pycache__",
        ".git",
        ".hypothesis",
        "node_modules",
    }
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in generated
            and not name.endswith((".egg-info", "_cache"))
            and not Path(folder, name, "pyvenv.cfg").exists()  # no environment, whatever its name
        ]
        yield from (Path(folder, file) for file in files)


def test_no_file_knows_the_machine_that_it_was_written_on():
    places = ("/".join(["", "work", ""]), "/".join(["..", "shared"]))
    files = {str(path.relative_to(ROOT)): path for path in project_files()}
    assert {"pyproject.toml", "qhyper/bits.py", "classical/mlp.py"} <= set(files)
    guilty = [
        name
        for name, path in files.items()
        if name != ".ci/run"
        and any(place in path.read_text(encoding="utf-8", errors="ignore") for place in places)
    ]
    assert not guilty


def test_public_names_are_those_that_are_loaded_when_used():
    import qhyper

    assert sorted(qhyper.__all__) == sorted(qhyper._HOME)
    assert all(getattr(qhyper, name) is not None for name in qhyper.__all__)
    with pytest.raises(AttributeError, match="module 'qhyper' has no attribute 'nothing'"):
        qhyper.nothing  # noqa: B018
