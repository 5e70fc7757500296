"""What whoever has an account does on a bad day, from the command line, on the stub service."""

import json
import sqlite3

import pytest

from tests.submit.test_submission import accepted, finished, stub, trained  # noqa: F401

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")


def listed(cli, *arguments):
    code, out, err = cli("jobs", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def sent(cli, stub, trained, *options):  # noqa: F811
    """The options of a submission whose draws are submitted, and not done."""
    told = [*stub, *(part for option in options for part in ("--option", option))]
    code, _, err = cli("submit", str(trained), *told, "--wait", "20")
    return code, err


def rewrite(trained, **values):  # noqa: F811
    """Other options in the submission, as if the service had changed since."""
    path = trained / "submissions" / "001" / "submission.json"
    written = json.loads(path.read_text())
    written["options"] |= values
    path.write_text(json.dumps(written))


def test_the_price_and_what_is_sent_are_told_before(cli, stub, trained):  # noqa: F811
    code, err = sent(cli, stub, trained)
    assert code == 0
    assert "Price of Submission 1: 1.82 stub dollars." in err


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        (["--max-cost", "1.0"], "The cap of the run is 1.00 US dollars; jobs of 0.00 were sent"),
        (["--max-jobs", "1"], "The cap of the run is 1 jobs; 0 were sent, and 2 more would be"),
        (["--max-jobs-per-day", "0"], "of all runs in"),
        (["--max-cost", "-1"], "Got --max-cost -1.0; expected US dollars from 0"),
        (["--paid-shots", "-5"], "Got --paid-shots -5; expected shots from 0"),
    ],
)  # fmt: skip
def test_a_cap_below_the_plan_sends_nothing(cli, stub, trained, tmp_path, caps, message):  # noqa: F811
    code, _, err = cli("submit", str(trained), *stub, *caps)
    assert code == 2
    assert message in " ".join(err.split())
    assert accepted(tmp_path) == []


def test_shots_are_stored_though_the_data_and_the_device_are_gone(
    cli, stub, trained, tmp_path, monkeypatch,  # noqa: F811
):  # fmt: skip
    code, err = sent(cli, stub, trained, "late=0.1")
    assert code == 0, err
    rewrite(trained, retired=True)
    (tmp_path / "own.py").rename(tmp_path / "moved.py")
    monkeypatch.delitem(__import__("sys").modules, "own", raising=False)
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 2
    assert "What was measured so far is stored in" in " ".join(err.split())
    assert {job["state"] for job in listed(cli, str(trained))} == {"done"}
    (tmp_path / "moved.py").rename(tmp_path / "own.py")
    code, _, err = cli("fetch", str(trained))
    assert code == 0, err
    assert len(accepted(tmp_path)) == 2


def test_an_expired_login_fails_no_job(cli, stub, trained, tmp_path):  # noqa: F811
    sent(cli, stub, trained, "late=0.1")
    before = listed(cli, str(trained))
    rewrite(trained, denied=True)
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 3
    assert "does not let this account in: the login is too old. Log in again" in " ".join(
        err.split()
    )
    assert listed(cli, str(trained)) == before
    rewrite(trained, denied=False)
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err


def test_options_that_change_no_shot_are_no_other_submission(cli, stub, trained, tmp_path):  # noqa: F811
    """`late` is such an option of the stub."""
    code, err = sent(cli, stub, trained, "late=0.5")
    assert code == 0, err
    code, err = sent(cli, stub, trained)  # it is gone on with by the new options
    assert code == 0, err
    assert len(accepted(tmp_path)) == 2
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err
    code, err = sent(cli, stub, trained, "late=0.5")
    assert code == 2
    assert "has sent the same already" in err
    assert len(accepted(tmp_path)) == 2


def test_a_job_that_is_adopted_has_its_tag(cli, stub, trained, tmp_path):  # noqa: F811
    code, err = sent(cli, stub, trained, "tags=false", 'faults=["none", "lost"]')
    assert code == 4, err
    (unknown,) = [job for job in listed(cli) if job["state"] == "unknown"]
    (other,) = [job for job in listed(cli) if job["state"] == "done"]
    code, _, err = cli("jobs", "--adopt", unknown["key"], other["job_id"])
    assert code == 2
    assert f"calls the job {other['job_id']} 'qhyper-{other['key']}'; expected" in " ".join(
        err.split()
    )
    base = sqlite3.connect(tmp_path / "vendor" / "vendor.sqlite")
    (number,) = base.execute(
        "SELECT id FROM jobs WHERE tag = ?", (f"qhyper-{unknown['key']}",)
    ).fetchone()
    base.close()
    (tmp_path / "found.txt").write_text(f"{unknown['key'][:8]} {number}\n\n")
    code, _, err = cli("jobs", "--adopt-from", str(tmp_path / "found.txt"))
    assert code == 0, err
    assert f"{unknown['key']} is {number}. Get it with" in err
    (tmp_path / "bad.txt").write_text("one two three")
    code, _, err = cli("jobs", "--adopt-from", str(tmp_path / "bad.txt"))
    assert code == 2
    assert "got 'one two three'; expected KEY JOB_ID, one pair a line" in " ".join(err.split())


def test_what_is_in_the_queue_is_asked_for_and_cancelled(cli, stub, trained):  # noqa: F811
    code, err = sent(cli, stub, trained, "late=2.0")
    (job,) = [job for job in listed(cli, "--refresh") if job["purpose"] == "draws"]
    assert job["queue"] == "queued, third in the queue"
    code, _, err = cli("jobs", "--cancel", job["key"][:8])
    assert code == 0, err
    assert "asked stub:StubService to cancel it; it is failed." in err
    code, _, err = cli("jobs", "--cancel", job["key"][:8])
    assert code == 2
    assert "is failed; only submitted jobs can be cancelled" in " ".join(err.split())


def test_all_that_failed_is_sent_again(cli, stub, trained, tmp_path):  # noqa: F811
    code, err = sent(cli, stub, trained, "spoiled={1 = 'failed'}")
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 4, err
    rewrite(trained, spoiled={"1": "failed"})
    code, _, err = cli("jobs", "--resend", "all")
    assert code == 0, err
    assert "is planned again; it is sent by `qhyper fetch" in err
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err
    assert len(accepted(tmp_path)) == 3
    code, _, err = cli("jobs", "--resend", "all")
    assert code == 2
    assert "nothing is to be sent again" in err
    code, _, err = cli("jobs", "--resend", "all", "--cancel", "x")
    assert code == 2
    assert "Got --resend and --cancel; expected one of them at a time" in err


def test_a_preflight_that_came_back_wrong_is_sent_again(cli, stub, trained, tmp_path):  # noqa: F811
    code, err = sent(cli, stub, trained, "spoiled=reversed")
    assert code == 4
    assert "reversed" in err
    (job,) = listed(cli)
    rewrite(trained, spoiled={"0": "reversed"})
    code, _, err = cli("jobs", "--resend", job["key"])
    assert code == 0, err
    assert "is planned again" in err
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 0, err
    assert len(accepted(tmp_path)) == 3


def test_what_cannot_be_read_is_sent_again_by_its_key_alone(cli, stub, trained, tmp_path):  # noqa: F811
    sent(cli, stub, trained, "spoiled={1 = 'counts'}")
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 4
    assert "It is done and paid for: do not send it again" in " ".join(err.split())
    (job,) = [job for job in listed(cli) if job["state"] == "unreadable"]
    assert cli("jobs", "--resend", "all")[0] == 2
    code, _, err = cli("jobs", "--resend", job["key"])
    assert code == 0, err
    assert "is done and paid for: sent again, it is paid for once more" in " ".join(err.split())


def test_jobs_of_another_account_are_not_sent_again_all_at_once(
    cli, stub, trained, tmp_path,  # noqa: F811
):  # fmt: skip
    sent(cli, stub, trained, "late=0.1", "grace=0")
    rewrite(trained, spoiled={"1": "forgotten"})
    code, _, err = cli("fetch", str(trained), "--wait", "20")
    assert code == 4
    assert "is unknown" in err
    (job,) = [job for job in listed(cli) if job["state"] == "unknown"]
    code, _, err = cli("jobs", "--resend", "all")
    assert code == 2
    told = " ".join(err.split())
    assert f"{job['key'][:8]}: the vendor gave a number to each, and does not know it for" in told
    assert len(accepted(tmp_path)) == 2


def test_one_gradient_is_shown_before_it_is_sent(cli, stub, tmp_path):  # noqa: F811
    (tmp_path / "shown.py").write_text(
        "from stub import StubService\n"
        "class Shown(StubService):\n"
        "    def preview(self, pubs, shots, *, tag):\n"
        "        return f'{sum(len(rows) for _, rows in pubs)} rows of {shots} as {tag}'\n"
    )
    code, out, err = cli(
        "train", "--objective", "own:loss", "--bits", "5", "--generator", "quantum", "--option",
        "depth=1", "--backend", "shown:Shown", "--option",
        f"backend_options.folder={tmp_path / 'vendor'}", "--estimator", "spsa", "--draws", "16",
        "--circuits", "30", "--dry-run", "--json",
    )  # fmt: skip
    assert code == 0, err
    (plan,) = json.loads(out)
    assert plan["what is sent for one gradient"] == "3 rows of 16 as qhyper-KEY"
    assert accepted(tmp_path) == []
