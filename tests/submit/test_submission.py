"""Submissions and training on quantum computers, from the command line, on the stub service."""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch

from qhyper.errors import ConfigurationError
from qhyper.quantum.cloud import mthree_mitigation
from qhyper.run.comparison import execute, load_generator, plan
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")

STUB = Path(__file__).parents[1] / "quantum" / "cloud"
OWN = """
def loss(bits):
    return (bits != [1, 0, 0, 1, 1]).mean(axis=1)
"""
PROBLEM = ["--objective", "own:loss", "--bits", "5"]
CIRCUIT = ["--generator", "quantum", "--option", "depth=1"]


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """Make the stub service and an objective importable from where the command runs."""
    monkeypatch.syspath_prepend(str(STUB))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own.py").write_text(OWN)
    return ["--backend", "stub:StubService", "--option", f"folder={tmp_path / 'vendor'}"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The directory of a run with two seeds, trained on the simulator, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "own.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        entries = [Entry(name="quantum", options={"depth": 1})]
        config = Config(
            objective="own:loss", bits=5, seeds=[3, 8], evaluations=4000, entries=entries
        )
        made = plan(config)
        run = Run.create(folder, "finished", made.config)
        execute(run, made)
    return run.path


@pytest.fixture
def trained(stub, finished, tmp_path) -> Path:
    """A copy of the finished run, where the command runs."""
    return Path(shutil.copytree(finished, tmp_path / "runs" / "trained"))


def accepted(tmp_path) -> list[str]:
    """The tags of all jobs that the vendor has accepted."""
    if not (tmp_path / "vendor").is_dir():
        return []
    base = sqlite3.connect(tmp_path / "vendor" / "vendor.sqlite")
    tags = [tag for (tag,) in base.execute("SELECT tag FROM jobs").fetchall()]
    base.close()
    return tags


def test_a_submission_from_first_to_last(cli, stub, trained, tmp_path) -> None:
    code, out, err = cli("submit", str(trained), *stub, "--seeds", "all", "--dry-run", "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert (plan["circuits"], plan["shots"], plan["jobs"]) == (8, 2 * 1024 + 6 * 32, 2)
    assert plan["two-qubit gates"] == 2  # of a brickwork of depth 1 on five qubits
    assert plan["of these"] == "2,048 draws, 192 preflight"
    assert plan["price"] == f"{2 * 0.3 + (2 * 1024 + 6 * 32) * 0.001:.2f} stub dollars"
    assert accepted(tmp_path) == []
    assert not (trained / "jobs.sqlite").exists()

    code, out, err = cli("submit", str(trained), *stub, "--seeds", "all", "--option", "late=2.0")
    assert code == 0, err
    assert "Submission 1: 1 submitted" in err
    code, _, err = cli("fetch", str(trained))
    assert code == 5
    assert "not done" in err
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err
    code, out, err = cli("fetch", str(trained), "--json")
    assert code == 0, err
    (found,) = json.loads(out)["submissions"]
    assert found["number"] == 1
    draws = np.load(trained / "submissions" / "001" / "draws.npz")
    assert draws["bits"].shape == (2, 1024, 5)
    assert draws["seeds"].tolist() == [3, 8]
    losses = (draws["bits"] != [1, 0, 0, 1, 1]).mean(axis=2).mean(axis=1)
    shown = [replica["measured"]["mean_loss"] for replica in found["outcome"]["replicas"]]
    assert shown == pytest.approx(losses.tolist())
    assert len(accepted(tmp_path)) == 2  # preflight and draws
    assert "<svg" in (trained / "submissions" / "001" / "report.html").read_text()


def test_the_draws_are_those_of_the_trained_generator(cli, stub, trained) -> None:
    """Marginals within 5 sigma of the exact ones: 4,096 shots, tag-seeded, Bonferroni over 5."""
    code, _, err = cli("submit", str(trained), *stub, "--shots", "4096", "--seeds", "8")
    assert code == 0, err
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err
    bits = np.load(trained / "submissions" / "001" / "draws.npz")["bits"][0]
    generator = load_generator(trained)
    p = generator.probabilities()[1, 0].detach().numpy()
    strings = (np.arange(32)[:, None] >> np.arange(5)) & 1
    exact = p @ strings
    sigma = np.sqrt(exact * (1 - exact) / 4096) + 1e-3
    assert (np.abs(bits.mean(axis=0) - exact) < 5 * sigma).all()


def test_the_same_submission_is_not_paid_twice(cli, stub, trained, tmp_path) -> None:
    code, _, err = cli("submit", str(trained), *stub)
    assert code == 0, err
    before = accepted(tmp_path)
    code, _, err = cli("submit", str(trained), *stub)
    assert code == 2
    assert "Submission 1" in err
    assert "--again" in err
    assert accepted(tmp_path) == before
    code, _, err = cli("submit", str(trained), *stub, "--again")
    assert code == 0, err
    assert len(accepted(tmp_path)) == len(before) + 1  # the preflight is not repeated


def test_a_submission_that_was_cut_off_is_gone_on_with(cli, stub, trained, tmp_path) -> None:
    late = [*stub, "--option", "late=0.5"]
    code, _, err = cli("submit", str(trained), *late, "--wait", "0")
    assert code == 5, err  # the preflight is not back: nothing else was sent
    assert "Submission 1: its preflight on stub:StubService is not back after 0 s" in err
    assert "`qhyper fetch" in err
    assert len(accepted(tmp_path)) == 1
    code, _, err = cli("submit", str(trained), *late, "--wait", "20")
    assert code == 0, err
    assert len(accepted(tmp_path)) == 2
    assert [path.name for path in (trained / "submissions").iterdir()] == ["001"]


def test_the_shot_budget(cli, stub, trained, tmp_path) -> None:
    code, _, err = cli("submit", str(trained), *stub, "--shots", "200000")
    assert code == 2
    assert "would send 200,192 shots; the shot budget is 100,000" in err
    assert "--yes or --paid-shots 200192" in err
    assert accepted(tmp_path) == []
    code, _, err = cli("submit", str(trained), *stub, "--paid-shots", "1000")
    assert code == 2
    code, _, err = cli("submit", str(trained), *stub, "--paid-shots", "1000", "--yes")
    assert code == 0, err


def test_an_unknown_job_is_settled_by_the_user(cli, stub, trained, tmp_path) -> None:
    lossy = [*stub, "--option", "tags=false", "--option", 'faults=["none", "lost"]']
    code, _, err = cli("submit", str(trained), *lossy, "--wait", "20")
    assert code == 4
    assert "is unknown" in err
    code, out, _ = cli("jobs", "--json")
    assert code == 0
    (job,) = [job for job in json.loads(out) if job["state"] == "unknown"]
    code, _, err = cli("fetch", str(trained))
    assert code == 4
    assert "--adopt KEY JOB_ID" in err
    assert len(accepted(tmp_path)) == 2
    base = sqlite3.connect(tmp_path / "vendor" / "vendor.sqlite")
    (number,) = base.execute(
        "SELECT id FROM jobs WHERE tag = ?", (f"qhyper-{job['key']}",)
    ).fetchone()
    base.close()
    code, _, err = cli("jobs", "--adopt", job["key"][:8], number)
    assert code == 0, err
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err
    assert len(accepted(tmp_path)) == 2


def test_an_unknown_job_is_sent_again_on_the_users_word(cli, stub, trained, tmp_path) -> None:
    never = [*stub, "--option", "tags=false", "--option", 'faults=["none", "never"]']
    code, _, err = cli("submit", str(trained), *never, "--wait", "20")
    assert code == 4
    code, out, _ = cli("jobs", str(trained), "--json")
    (job,) = [job for job in json.loads(out) if job["state"] == "unknown"]
    code, _, err = cli("jobs", str(trained), "--resend", job["key"])
    assert code == 0, err
    assert "is planned again; it is sent by `qhyper fetch" in err
    assert len(accepted(tmp_path)) == 1


def test_training_on_a_quantum_computer(cli, stub, tmp_path) -> None:
    training = [*CIRCUIT, "--backend", "stub:StubService",
                "--option", f"backend_options.folder={tmp_path / 'vendor'}",
                "--estimator", "spsa", "--draws", "16", "--circuits", "30",
                "--training", "final_draws=64"]  # fmt: skip
    code, out, err = cli("train", *PROBLEM, *training, "--dry-run", "--json")
    assert code == 0, err
    (plan,) = json.loads(out)
    assert plan["steps"] == 10
    assert plan["jobs"] == 10 + 1 + 1  # one a gradient, the final draws, the preflight
    assert accepted(tmp_path) == []
    code, _, err = cli("train", *PROBLEM, *training)
    assert code == 0, err
    assert len(accepted(tmp_path)) == 12
    (run,) = (tmp_path / "runs").iterdir()
    code, _, err = cli("resume", str(run))
    assert code == 0, err
    assert len(accepted(tmp_path)) == 12
    code, _, err = cli("train", *PROBLEM, *training, "--paid-shots", "500")
    assert code == 2
    assert "would send 736 shots to quantum computers; the shot budget is 500" in err
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_training_waits_no_longer_than_its_deadline(cli, stub, tmp_path) -> None:
    options = [f"folder={tmp_path / 'vendor'}", "deadline=0.2", "late=1.5"]
    listed = [part for o in options for part in ("--option", f"backend_options.{o}")]
    code, _, err = cli("train", *PROBLEM, *CIRCUIT, "--backend", "stub:StubService", *listed,
                       "--estimator", "spsa", "--draws", "8", "--circuits", "3",
                       "--training", "final_draws=8")  # fmt: skip
    assert code == 5
    assert "Go on with: qhyper resume" in err
    assert len(accepted(tmp_path)) == 1  # the preflight


LEAKY = """
from stub import StubService
from planted import everything

class Leaky(StubService):
    measures = None

    def __init__(self, folder, spoiled=None):
        super().__init__(folder, spoiled=spoiled, says=everything()[0])

    def price(self, planned):
        if self.spoiled == "broken":
            raise RuntimeError(self.says)
        return super().price(planned)
"""


def test_no_secret_is_in_the_run(cli, stub, trained, monkeypatch, tmp_path) -> None:
    """Of a service that repeats secrets of all kinds in every message."""
    (tmp_path / "leaky.py").write_text(LEAKY)
    from planted import everything, plant

    plant(tmp_path / "home", monkeypatch.setenv)
    _, secrets = everything()
    leaky = ["--backend", "leaky:Leaky", "--option", f"folder={tmp_path / 'vendor'}"]
    printed = []
    for trouble, expected in (("failed", 4), ("unreachable", 3), ("broken", 1)):
        code, *words = cli(
            "submit", str(trained), *leaky, "--option", f"spoiled={trouble}", "--wait", "1"
        )
        assert code == expected, words
        printed += words
    assert "RuntimeError: 401 for [secret]" in printed[-1]
    for command in (["fetch", "--wait", "1"], ["jobs", "--json"], ["jobs"]):
        _, *words = cli(*command)
        printed += words
    assert "[secret]" in "".join(printed)
    assert not [secret for secret in secrets if secret in "".join(printed)]
    stored = [path.read_bytes() for path in trained.rglob("*") if path.is_file()]
    assert any(b"[secret]" in content for content in stored)
    assert not [s for s in secrets if any(s.encode() in content for content in stored)]


def test_an_option_is_no_secret(cli, stub, trained, tmp_path) -> None:
    secret = "planted-token-0123456789"
    code, _, err = cli("submit", str(trained), *stub, "--option", f"token={secret}")
    assert code == 2
    assert "Unknown option of the backend stub:StubService: 'token'" in err
    code, _, err = cli("submit", str(trained), *stub, "--option", f"says=token {secret}")
    assert code == 2
    assert "Got the option says of stub:StubService, which is or holds a secret" in err
    assert secret not in err
    assert not (trained / "submissions").exists()
    option = f"backend_options.says=token {secret}"
    code, _, err = cli("train", *PROBLEM, *CIRCUIT, "--backend", "stub:StubService", "--option",
                       option, "--estimator", "spsa", "--out", "others")  # fmt: skip
    assert code == 2
    assert "which is or holds a secret" in err
    assert secret not in err
    assert not [path for path in tmp_path.glob("others/*") if path.is_dir()]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--entry", "mlp"], 2, "Got --entry mlp; expected one of the generators of"),
        (["--seeds", "1"], 2, "Got --seeds 1; expected best, all, or some of the seeds"),
        (["--seeds", "x"], 2, "Got --seeds x; expected best"),
        (["--option", "level=7"], 2, "Got the level 7; expected one of 0, 1, 2 and 3."),
        (["--option", "layout=0"], 2, "expected 5 different qubits of the device"),
        (["--option", "layout=0;1"], 2, "such as layout=[1,2,3] or layout=1,2,3."),
        (["--option", "deadline=abc"], 2, "deadline must be a number of seconds from 0; got 'abc'"),
        (["--option", "layout=[0, 1]"], 2, "expected 5 different qubits of the device"),
        (["--option", "qubits=4"], 2, "The circuit has 5 qubits; "),
        (["--option", "wrong=1"], 2, "Unknown option of the backend stub:StubService: 'wrong'"),
        (["--option", "maintenance=calibrating"], 3, "takes no jobs now: calibrating"),
        (["--shots", "0"], 2, "shots must be at least 1; got 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_submitted(cli, stub, trained, arguments, code, message, tmp_path) -> None:
    got, _, err = cli("submit", str(trained), *stub, *arguments)
    assert got == code, err
    assert message in err
    assert accepted(tmp_path) == []


def test_a_classical_generator_has_nothing_to_submit(cli, stub, tmp_path) -> None:
    code, _, err = cli("train", *PROBLEM, "--generator", "bernoulli", "--evaluations", "500")
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    code, _, err = cli("submit", str(run), *stub)
    assert code == 2
    assert "no circuit: there is nothing to run on a quantum computer" in err
    code, _, err = cli("fetch", str(run))
    assert code == 2
    assert "has no submissions" in err


@pytest.mark.parametrize("backend", ["ibm", "nothing", "ibmq:torino"])
def test_unknown_backends_are_told_with_those_there_are(cli, stub, trained, backend) -> None:
    code, _, err = cli("submit", str(trained), "--backend", backend)
    assert code == 2
    assert backend.partition(":")[0] in err


def test_a_ledger_of_another_run_is_refused(cli, stub, trained, tmp_path) -> None:
    code, _, err = cli("submit", str(trained), *stub)
    assert code == 0, err
    code, _, err = cli("train", *PROBLEM, *CIRCUIT, "--evaluations", "500")
    assert code == 0, err
    (other,) = [path for path in (tmp_path / "runs").iterdir() if path != trained]
    (other / "jobs.sqlite").write_bytes((trained / "jobs.sqlite").read_bytes())
    code, _, err = cli("submit", str(other), *stub)
    assert code == 2
    assert "is the ledger of another run" in err
    assert len(accepted(tmp_path)) == 2


def test_what_was_never_sent_is_not_sent_by_fetch(cli, stub, trained, tmp_path) -> None:
    code, _, err = cli("submit", str(trained), *stub, "--option", "maintenance=calibrating")
    assert code == 3
    assert "Nothing was sent" in err
    code, _, err = cli("fetch", str(trained))
    assert code == 5
    assert "Submission 1: it was never sent. The `qhyper submit` that made it, said again" in err
    assert accepted(tmp_path) == []


def test_one_failed_submission_holds_up_no_other(cli, stub, trained, tmp_path) -> None:
    refused = [*stub, "--option", 'faults=["none", "refused"]']
    code, _, err = cli("submit", str(trained), *refused)
    assert code == 4
    assert "this circuit is not allowed" in err
    code, _, err = cli("submit", str(trained), *stub, "--shots", "100")
    assert code == 0, err
    code, out, err = cli("fetch", str(trained), "--wait", "20", "--json")
    assert code == 4
    first, second = json.loads(out)["submissions"]
    assert first["exit_code"] == 4
    assert second["outcome"]["replicas"][0]["measured"]["draws"] == 100


def test_a_copied_run_takes_the_jobs_that_the_vendor_has(cli, stub, trained, tmp_path) -> None:
    """Preflight and draws of a copy are those that the original has paid for."""
    copy = Path(shutil.copytree(trained, tmp_path / "runs" / "copy"))
    for run in (trained, copy):
        code, _, err = cli("submit", str(run), *stub)
        assert code == 0, err
    assert len(accepted(tmp_path)) == 2
    code, _, err = cli("fetch", str(copy), "--wait", "20")
    assert code == 0, err


def test_a_refused_submission_stays_refused_until_the_user_says_so(cli, stub, trained) -> None:
    code, _, err = cli("submit", str(trained), *stub)  # its preflight is good for the next
    assert code == 0, err
    other = [*stub, "--shots", "50"]
    code, _, err = cli("submit", str(trained), *other, "--option", 'faults=["refused"]')
    assert code == 4
    assert "this circuit is not allowed" in err
    code, _, err = cli("fetch", str(trained), "--submission", "2")
    assert code == 4
    assert "qhyper jobs --resend KEY" in err


def test_a_folder_that_a_crash_left_behind_is_not_used_again(cli, stub, trained) -> None:
    (trained / "submissions" / "001").mkdir(parents=True)
    (trained / "submissions" / "001" / "circuit.qpy").write_bytes(b"of another submission")
    code, _, err = cli("submit", str(trained), *stub)
    assert code == 0, err
    assert (trained / "submissions" / "002" / "submission.json").is_file()


def test_another_circuit_than_was_sent_is_refused(cli, stub, trained) -> None:
    code, _, err = cli("submit", str(trained), *stub, "--option", "late=30", "--wait", "0")
    assert code == 5, err
    generator = trained / "quantum" / "generator.pt"
    state = torch.load(generator, weights_only=True)
    torch.save({name: tensor + 1 for name, tensor in state.items()}, generator)
    code, _, err = cli("fetch", str(trained))
    assert code == 2
    assert "was for another circuit, other angles, shots or options" in err


def test_draws_are_not_scored_on_other_data(cli, stub, tmp_path) -> None:
    x = np.arange(40).reshape(20, 2) % 3
    rows = "\n".join(f"{a},{b},{int(a > b)}" for a, b in x)
    (tmp_path / "own.csv").write_text(rows)
    code, _, err = cli("train", "--data", "own.csv", "--layers", "2,2,2", "--generator", "quantum",
                       "--option", "depth=1", "--evaluations", "500")  # fmt: skip
    assert code == 0, err
    (run,) = (tmp_path / "runs").iterdir()
    (tmp_path / "own.csv").write_text(rows.replace("2,", "3,"))
    code, _, err = cli("submit", str(run), *stub, "--option", "qubits=8")
    assert code == 2
    assert "are not those that" in err
    assert accepted(tmp_path) == []


def test_draws_are_kept_where_mitigation_is_not_possible(cli, stub, trained, monkeypatch) -> None:
    pytest.importorskip("mthree")

    def fails(*arguments):
        raise ConfigurationError("too many strings")

    monkeypatch.setattr(mthree_mitigation, "quasi_probabilities", fails)
    code, _, err = cli("submit", str(trained), *stub, "--mitigate")
    assert code == 0, err
    code, out, err = cli("fetch", str(trained), "--wait", "20", "--json")
    assert code == 0, err
    (found,) = json.loads(out)["submissions"]
    assert found["not_mitigated"] == "too many strings"
    assert (trained / "submissions" / "001" / "draws.npz").is_file()


def test_a_service_that_gives_no_job_back_is_waited_for(cli, stub, trained) -> None:
    forgetful = [*stub, "--option", "retrievable=false", "--option", "late=0.3"]
    code, out, err = cli("submit", str(trained), *forgetful, "--wait", "0", "--json")
    assert code == 0, err
    assert "outcome" in json.loads(out)


def test_no_jobs(cli) -> None:
    code, out, _ = cli("jobs")
    assert (code, out) == (0, "No jobs in runs.\n")
