"""Running, verifying and publishing a study: a made-up one, in worker processes as real ones are.

Its parts keep a list of calls, and do what a file beside them says: so they can be made to fail.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from experiments import runner
from experiments import study as studies
from experiments.__main__ import main
from experiments.study import Expectation, Study
from qhyper.errors import ConfigurationError
from qhyper.run.processes import METHOD, WorkerError
from qhyper.threads import n_threads

forked = pytest.mark.skipif(METHOD != "fork", reason="workers are forked on Linux alone")

ROOT = Path(__file__).parents[2]
STUDY = """
import os
from pathlib import Path

from qhyper.threads import n_threads

HERE = Path(__file__).parent
TITLE = "Squares of small numbers"


def square(name, k):
    with (HERE / "calls").open("a") as calls:
        calls.write(name + "\\n")
    if (HERE / f"{name}.hook").exists():
        exec((HERE / f"{name}.hook").read_text())
    import torch

    return {"square": k * k, "cores": n_threads(), "threads": torch.get_num_threads()}


def parts(quick):
    numbers = {"nine": 9, "four": 4, "one": 1} if not quick else {"two": 2}
    return {f"of-{name}": lambda n=f"of-{name}", k=k: square(n, k) for name, k in numbers.items()}


def tables(results):
    return "| of | square |\\n|---|--:|\\n" + "".join(
        f"| {name} | {found['square']} |\\n" for name, found in results.items()
    )


def draw(results, folder):
    (folder / "squares.svg").write_text("<svg/>")


def measured(results):
    return {"nine": float(results["of-nine"]["square"]), "hole": float("nan")}
"""
TABLE = "| of | square |\n|---|--:|\n| of-nine | 81 |\n| of-four | 16 |\n| of-one | 1 |\n"
README = "# Squares\n\nBefore.\n\n<!-- results -->\nold\n<!-- /results -->\n\nAfter.\n"


@dataclass
class Place:
    """A folder of studies with one in it, a folder to stand in, and the command."""

    root: Path
    call: Callable[..., tuple[int, str, str]]

    @property
    def study(self) -> Path:
        return self.root / "studies" / "some_squares"

    @property
    def out(self) -> Path:
        return self.root / "runs" / "some-squares"

    def part(self, name: str) -> Path:
        return self.out / "parts" / f"of-{name}.json"

    def provenance(self) -> dict[str, Any]:
        return json.loads((self.out / "provenance.json").read_text())

    def calls(self) -> list[str]:
        path = self.study / "calls"
        return path.read_text().split() if path.exists() else []

    def hook(self, name: str, code: str) -> None:
        (self.study / f"of-{name}.hook").write_text(code)


@pytest.fixture
def place(tmp_path, monkeypatch, capsys) -> Place:
    """A study of which nothing has been run."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["experiments", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        code = stopped.value.code or 0
        assert isinstance(code, int)
        return code, out, err

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(studies, "FOLDER", tmp_path / "studies")
    monkeypatch.setattr(runner, "PACKAGES", (tmp_path / "package",))
    made = Place(tmp_path, call)
    make_study(made.study)
    return made


def make_study(folder: Path) -> None:
    """The study, and a package that it depends on: ours may be edited while the tests run."""
    folder.mkdir(parents=True)
    (folder.parents[1] / "package").mkdir()
    (folder.parents[1] / "package" / "module.py").write_text("")
    (folder / "study.py").write_text(STUDY)
    (folder / "README.md").write_text(README)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str, str]:
    """The folder of a full run on two workers, and its stdout and stderr: a user's own command."""
    root = tmp_path_factory.mktemp("finished")
    make_study(root / "studies" / "some_squares")
    done = subprocess.run(
        [*command(root), "run", "some-squares", "--workers", "2"],
        cwd=root, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root, done.stdout, done.stderr


def command(root: Path) -> list[str]:
    program = f"""
from pathlib import Path
from experiments import __main__, runner, study
study.FOLDER = Path({str(root / "studies")!r})
runner.PACKAGES = (Path({str(root / "package")!r}),)
__main__.main()
"""
    return [sys.executable, "-c", program]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def complete(place, finished) -> Place:
    """A copy of the finished run, whose calls are forgotten: nothing is left to work out."""
    shutil.copytree(finished[0], place.root, dirs_exist_ok=True)
    (place.study / "calls").unlink()
    return place


# -- running ---------------------------------------------------------------------------------------


def test_a_run_stores_its_parts_and_reports_them(finished) -> None:
    root, out, err = finished
    folder = root / "runs" / "some-squares"
    assert sorted((root / "studies" / "some_squares" / "calls").read_text().split()) == [
        "of-four", "of-nine", "of-one",
    ]  # fmt: skip
    parts = {path.stem: json.loads(path.read_text()) for path in (folder / "parts").iterdir()}
    assert {name: part["result"]["square"] for name, part in parts.items()} == {
        "of-nine": 81, "of-four": 16, "of-one": 1,
    }  # fmt: skip
    for part in parts.values():
        assert set(part) == {"seconds", "result"}
        assert part["seconds"] >= 0
        if hasattr(os, "sched_setaffinity"):
            assert part["result"]["cores"] <= (n_threads() + 1) // 2
        assert part["result"]["threads"] == 1
    assert out.endswith(f"\n\n{TABLE}")
    assert re.match(r"\d+ seconds of work in \d+; revision .*, \d+ cores\.\n\n", out)
    results = (folder / "results.md").read_text()
    assert results == f"# Squares of small numbers\n\n{out}"
    assert (folder / "squares.svg").read_text() == "<svg/>"
    provenance = json.loads((folder / "provenance.json").read_text())
    assert (provenance["study"], provenance["quick"]) == ("some-squares", False)
    assert len(provenance["sources"]) == 64
    assert provenance["wall_seconds"] > 0
    lines = err.splitlines()
    assert lines[0] in ("of-nine: begun", "of-four: begun")  # side by side
    assert len([line for line in lines if line.endswith(": begun")]) == 3
    assert [line[-6:] for line in lines if ": done in " in line] == ["2 left", "1 left", "0 left"]


def test_run_again_it_works_out_what_is_missing_alone(complete) -> None:
    complete.part("four").unlink()
    kept = complete.part("nine").read_bytes()
    before = complete.provenance()
    code, out, err = complete.call("run", "some-squares")
    assert code == 0
    assert complete.calls() == ["of-four"]
    assert "of-four: begun" in err
    assert "0 left" in err
    assert out.endswith(TABLE)
    assert complete.part("nine").read_bytes() == kept
    after = complete.provenance()
    assert after.pop("wall_seconds") > before.pop("wall_seconds")
    assert after == before
    assert complete.call("run", "some-squares")[:2] == (0, out)
    assert complete.calls() == ["of-four"]


PREPARE = """
from qhyper.errors import ConfigurationError

MADE = []


def prepare(names):
    MADE.append(sorted(names))
    %s
"""


@pytest.fixture
def preparing(complete) -> Callable[[str], None]:
    """Lets the study make something that its parts share, by a line of code; no part is done."""

    def define(line: str) -> None:
        with (complete.study / "study.py").open("a") as file:
            file.write(PREPARE % line)
        shutil.rmtree(complete.out)

    return define


@forked
def test_what_parts_share_is_made_once_before_them(complete, preparing) -> None:
    preparing("pass")
    for name in ("four", "nine"):
        complete.hook(name, "assert MADE == [['of-four', 'of-nine', 'of-one']], MADE")
    code, out, err = complete.call("run", "some-squares", "--workers", "2")
    assert (code, out.endswith(TABLE)) == (0, True)
    assert err.startswith("what parts share: begun\n")
    before = complete.provenance()["prepare_seconds"]
    complete.part("four").unlink()
    complete.hook("four", "assert MADE[1:] == [['of-four']], MADE")
    assert complete.call("run", "some-squares")[0] == 0
    assert complete.provenance()["prepare_seconds"] > before > 0
    _, _, err = complete.call("run", "some-squares")
    assert "what parts share" not in err  # as nothing is left to work out


def test_where_workers_are_not_forked_parts_make_it_themselves(complete, preparing, monkeypatch):
    preparing("raise AssertionError('called')")
    monkeypatch.setattr(runner, "METHOD", "spawn")
    code, out, err = complete.call("run", "some-squares")
    assert (code, out.endswith(TABLE)) == (0, True)
    assert "what parts share" not in err


@forked
def test_what_cannot_be_shared_ends_the_run_before_any_part(complete, preparing) -> None:
    preparing("raise ConfigurationError('no such data')")
    code, _, err = complete.call("run", "some-squares")
    assert (code, err) == (2, "what parts share: begun\nexperiments: no such data\n")
    assert complete.calls() == []


@forked
def test_ctrl_c_while_it_is_made_says_how_to_go_on(complete, preparing) -> None:
    preparing("raise KeyboardInterrupt")
    code, _, err = complete.call("run", "some-squares")
    assert code == 130
    assert "Stopped by a signal; finished parts are kept in runs/some-squares." in err
    assert complete.calls() == []


def test_quick_and_full_runs_have_folders_of_their_own(complete) -> None:
    code, out, _ = complete.call("run", "some-squares", "--quick", "--workers", "1")
    assert code == 0
    assert "quick setting" in out
    assert out.endswith("| of-two | 4 |\n")
    assert [p.name for p in (complete.root / "runs/some-squares-quick/parts").iterdir()] == [
        "of-two.json"
    ]
    code, out, err = complete.call("publish", "some-squares", "--out", "runs/some-squares-quick")
    assert (code, out) == (2, "")
    assert "is a quick run" in err
    assert (complete.study / "README.md").read_text() == README


def changed_sources(place: Place) -> list[str]:
    (place.study / "helper.py").write_text("")
    return []


def changed_package(place: Place) -> list[str]:
    (place.root / "package" / "module.py").write_text("pass")
    return []


def quick_there(place: Place) -> list[str]:
    return ["--quick", "--out", str(place.out)]


def other_packages(place: Place) -> list[str]:
    path = place.out / "provenance.json"
    record = json.loads(path.read_text())
    record["versions"]["torch"] = "0.1"
    path.write_text(json.dumps(record))
    return []


def other_study(place: Place) -> list[str]:
    path = place.out / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"study": "cubes"}))
    return []


def foreign_folder(place: Place) -> list[str]:
    return ["--out", "studies"]


def not_json(place: Place) -> list[str]:
    place.part("four").write_text('{"seconds": 1, "res')
    return []


def no_result(place: Place) -> list[str]:
    place.part("four").write_text('{"seconds": 1}')
    return []


def damaged_provenance(place: Place) -> list[str]:
    (place.out / "provenance.json").write_text("[]")
    return []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed_sources, "results of another state of the sources, and these are never mixed"),
        (changed_package, "results of another state of the sources, and these are never mixed"),
        (quick_there, "results of another setting (with or without --quick), and"),
        (other_packages, "results of another set of package versions, and"),
        (other_study, "results of another study, and"),
        (foreign_folder, "studies holds files that are no results of a study. Choose another"),
        (not_json, "of-four.json is damaged: Unterminated string"),
        (no_result, "of-four.json is damaged: expected result, seconds. Remove it, and `run`"),
        (damaged_provenance, "provenance.json is damaged: expected quick, sources, study, ver"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(complete, spoil, message: str) -> None:
    arguments = spoil(complete)
    complete.part("nine").unlink()
    before = {path: path.read_bytes() for path in complete.root.rglob("*") if path.is_file()}
    code, out, err = complete.call("run", "some-squares", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert complete.calls() == []
    assert {p: p.read_bytes() for p in complete.root.rglob("*") if p.is_file()} == before


def test_after_a_failure_the_others_go_on(place) -> None:
    place.hook("nine", "raise ValueError('no such square')")
    place.hook("four", "os._exit(7)")
    with pytest.raises(WorkerError, match="ValueError: no such square"):
        place.call("run", "some-squares", "--workers", "2")
    assert sorted(place.calls()) == ["of-four"] * 3 + ["of-nine", "of-one"]
    assert [path.name for path in (place.out / "parts").iterdir()] == ["of-one.json"]
    assert not (place.out / "results.md").exists()
    (place.study / "of-nine.hook").unlink()
    code, out, err = place.call("run", "some-squares", "--workers", "2")
    assert (code, out) == (2, "")
    assert "of-four: 3 processes that carried it out ended with no word (exit code 7)" in err
    assert err.endswith(
        "experiments: Given up: of-four. What is finished is kept in runs/some-squares; the same "
        "command tries again.\n"
    )
    (place.study / "of-four.hook").unlink()
    assert place.call("run", "some-squares")[:2] == (0, place.call("run", "some-squares")[1])


def test_a_failure_on_purpose_has_its_exit_code_and_its_part(complete) -> None:
    complete.part("four").unlink()
    complete.hook("four", "from qhyper.errors import MissingError; raise MissingError('no data')")
    code, out, err = complete.call("run", "some-squares")
    assert (code, out) == (3, "")
    assert "of-four: it failed with MissingError: no data\nexperiments: no data\n" in err
    code, _, err = complete.call("publish", "some-squares")
    assert code == 2
    assert "is not complete: it lacks of-four. Use `run` first" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_it_keeps_finished_parts_and_leaves_no_worker(place, number, code: int) -> None:
    """Ctrl-C, which a terminal sends to all processes; SIGKILL, of the first process alone."""
    pid = place.study / "pid"
    place.hook("four", f"Path({str(pid)!r}).write_text(str(os.getpid()))\nwhile True: pass")
    process = subprocess.Popen(
        [*command(place.root), "run", "some-squares", "--workers", "2"],
        cwd=place.root, env=environment(), stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    others = [place.part("nine"), place.part("one")]  # one worker is at work, one waits
    while not (pid.exists() and pid.read_text() and all(path.exists() for path in others)):
        assert time.monotonic() < deadline, "the parts have not come so far after 60 s"
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.kill()
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    worker, deadline = int(pid.read_text()), time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and "Z" not in state(worker):
        assert time.monotonic() < deadline, "the worker is still there after 20 s"
        time.sleep(0.02)
    assert sorted((place.out / "parts").iterdir()) == others
    if number == signal.SIGINT:
        last = err.splitlines()[-1]
        assert last.startswith("experiments: Stopped by a signal; finished parts are kept in ")
        assert last.endswith("Go on with the same command.")
        assert "Traceback" not in err


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_results_depend_on_the_packages_of_the_checkout() -> None:
    assert runner.PACKAGES == (ROOT / "qhyper", ROOT / "classical")


# -- verifying -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "shown", "ok"),
    [
        ("nine = { value = 80, tolerance = 1 }", "| nine | 81 | 80 ± 1 |", True),
        ("nine = { value = 80, tolerance = 0.9, source = 'Euclid' }", "80 ± 0.9 |", False),
        ("nine = { at_least = 81 }", "| nine | 81 | ≥ 81 |", True),
        ("nine = { at_least = 81.5 }", "| ≥ 81.5 |", False),
        ("nine = { at_most = 81 }", "| ≤ 81 |", True),
        ("nine = { at_most = -1e3 }", "| ≤ -1000 |", False),
        ("nine = { at_least = 0, at_most = 90 }", "| ≥ 0, ≤ 90 |", True),
        ("nine = { value = 81, tolerance = 0, at_most = 80 }", "| 81 ± 0, ≤ 80 |", False),
        ("hole = { at_least = -1e300 }", "| hole | nan | ≥ -1e+300 |", False),
        ("hole = { value = 0, tolerance = 1e300 }", "| hole | nan | 0 ± 1e+300 |", False),
    ],
)
def test_verify_holds_measured_numbers_against_expected_ones(complete, entry, shown, ok) -> None:
    (complete.study / "expected.toml").write_text(f"[full]\n{entry}\n")
    code, out, _ = complete.call("verify", "some-squares")
    assert code == (0 if ok else 1)
    assert f"{shown} {'ok' if ok else 'OFF'} |" in out
    assert complete.calls() == []


def test_one_number_that_is_off_is_enough(complete) -> None:
    lines = "[full]\nnine = { at_least = 81 }\nhole = { at_most = 1 }\n"
    (complete.study / "expected.toml").write_text(lines)
    code, out, _ = complete.call("verify", "some-squares")
    assert code == 1
    assert [line.split("|")[-2].strip() for line in out.splitlines()[2:]] == ["ok", "OFF"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'some-squares' has no expected numbers for the full setting"),
        ("[quick]\nnine = { at_most = 1 }", "has no expected numbers for the full setting"),
        ("[full]\nnina = { at_most = 1 }", "number in expected.toml: 'nina'. Did you mean 'nine'"),
        ("[ful]\nnine = { at_most = 1 }", "expected.toml 'ful'. Did you mean 'full'?"),
        ("[full\n", "expected.toml is not TOML"),
        ("[full]\nnine = 81", "Got nine = 81 in"),
        ("[full]\nnine = { source = 'Euclid' }", "Got nine = {'source': 'Euclid'} in"),
        ("[full]\nnine = { value = 81 }", "expected value and tolerance, at_least or at_most"),
        ("[full]\nnine = { tolerance = 81 }", "expected value and tolerance"),
        ("[full]\nnine = { value = 81, tolerance = -1 }", "expected value and tolerance"),
        ("[full]\nnine = { at_last = 81 }", "Got nine = {'at_last': 81} in"),
        ("[full]\nnine = { at_least = nan }", "finite numbers all of them. Mend it."),
        ("[full]\nnine = { value = 1, tolerance = inf }", "finite numbers"),
        ("[full]\nnine = { at_least = '81' }", "finite numbers"),
        ("[full]\nnine = { at_least = true }", "finite numbers"),
    ],
)
def test_expected_numbers_that_make_no_sense_are_refused(complete, text, message: str) -> None:
    (complete.study / "expected.toml").write_text(text)
    code, out, err = complete.call("verify", "some-squares")
    assert (code, out) == (2, "")
    assert message in err
    if "nina" not in text:  # said before anything runs
        with pytest.raises(ConfigurationError):
            Study(complete.study).expectations(quick=False)


def test_an_expectation_is_wholly_shown() -> None:
    assert str(Expectation(0.5, 0.01, at_least=0.4, at_most=0.6)) == "0.5 ± 0.01, ≥ 0.4, ≤ 0.6"


# -- publishing and listing ------------------------------------------------------------------------


def test_publish_replaces_what_stands_between_the_marks(complete) -> None:
    (complete.study / "tables.py").write_text("")  # what is only shown may change
    assert complete.call("publish", "some-squares")[:2] == (0, "")
    published = (complete.study / "README.md").read_text()
    line = (complete.out / "results.md").read_text().split("\n")[2]
    assert published == README.replace("\nold\n", f"\n\n{line}\n\n{TABLE}\n")
    assert (complete.study / "squares.svg").read_text() == "<svg/>"
    complete.call("publish", "some-squares")
    assert (complete.study / "README.md").read_text() == published
    changed_sources(complete)
    code, _, err = complete.call("publish", "some-squares")
    assert code == 2
    assert "The sources have changed since runs/some-squares was run. `run` with another" in err


@pytest.mark.parametrize(
    "readme",
    [
        "# Squares\n",
        "<!-- results -->\n",
        "<!-- /results -->\n<!-- results -->\n",
        README + README,
        "Put <!-- results --> and <!-- /results -->\n",
    ],
)
def test_publish_needs_the_marks_once_each(complete, readme: str) -> None:
    (complete.study / "README.md").write_text(readme)
    code, _, err = complete.call("publish", "some-squares")
    assert code == 2
    assert "README.md has no place for the tables. Put in the lines <!-- results --> and" in err
    assert (complete.study / "README.md").read_text() == readme


def test_publish_needs_a_run(place) -> None:
    code, _, err = place.call("publish", "some-squares")
    assert code == 2
    assert "runs/some-squares holds no results of the study 'some-squares'" in err
    assert not (place.root / "runs").exists()


def test_list_names_titles_and_what_can_be_done(place) -> None:
    other = place.root / "studies" / "cubes"
    other.mkdir()
    (other / "README.md").write_text("# Cubes [of] numbers\n")
    (place.root / "studies" / "__pycache__").mkdir()
    (place.study / "expected.toml").write_text("")
    code, out, _ = place.call("list")
    assert code == 0
    rows = [re.split(r" *│ *", line.strip("│ \n")) for line in out.splitlines() if "│" in line]
    assert rows == [
        ["cubes", "Cubes [of] numbers", "see its README.md", "no"],
        ["some-squares", "Squares of small numbers", "yes", "no"],
    ]
    (place.study / "expected.toml").write_text("[full]\nnine = { at_most = 1 }")
    assert re.search(r"Squares .* │ yes +│ yes +│", place.call("list")[1])
    for command in ("run", "verify", "publish"):
        code, _, err = place.call(command, "cubes")
        assert code == 2
        assert "The study 'cubes' has no parts to run; " in err
        assert "cubes/README.md tells how it is run" in err


def test_names_that_are_none_are_refused(place) -> None:
    code, _, err = place.call("run", "some-square")
    assert code == 2
    assert "Unknown study 'some-square'. Did you mean 'some-squares'?" in err
    text = STUDY.replace('f"of-{name}": lambda', 'f"of/{name}": lambda')
    (place.study / "study.py").write_text(text)
    code, _, err = place.call("run", "some-squares")
    assert code == 2
    assert "Got the part 'of/nine' of the study 'some-squares'; expected small letters" in err


def test_the_studies_of_the_checkout_are_listed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "list"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gradients" in done.stdout
    assert "main-comparison" in done.stdout
