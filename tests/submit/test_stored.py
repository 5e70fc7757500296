"""Submissions as they are written down: numbers, folders, words, and the JSON files."""

import json
from dataclasses import replace

import pytest

from qhyper.errors import StorageError
from qhyper.quantum.cloud.scope import submission
from qhyper.run.config import Config, Entry
from qhyper.run.directory import Run
from qhyper.submit.draws import DrawsComparison
from qhyper.submit.stored import (
    Found,
    Identity,
    SubmissionSettings,
    Written,
    next_identity,
    submissions,
)

SETTINGS = SubmissionSettings("quantum", (3, 8), 100, "stub:StubService", {"late": 0.5}, 64)
WRITTEN = Written(3, SETTINGS, 1000, "a hash", {"jobs": 2})
FOUND = Found(None, "a stub", "", [{"key": "abc"}], DrawsComparison(None, [0.5, 1.5], []))
ASKED_KEYS = [
    "number", "entry", "seeds", "shots", "backend", "options", "calibration_shots", "paid_shots",
    "caps",
    "content", "outlook",
]  # fmt: skip
FOUND_KEYS = ["certificate", "about", "not_mitigated", "jobs", "outcome"]


@pytest.fixture
def run(tmp_path):
    config = Config(objective="own:loss", bits=5, seeds=[3, 8], entries=[Entry(name="quantum")])
    return Run.create(tmp_path, "a-run", config)


@pytest.fixture
def identity(run):
    made = Identity(run, 3)
    made.folder.mkdir(parents=True)
    return made


def test_the_number_gives_folder_scope_and_words(run):
    third = Identity(run, 3)
    assert third.folder == run.path / "submissions" / "003"
    assert third.page == run.path / "submissions" / "003" / "report.html"
    assert third.scope == submission(3)
    assert third.title == "Submission 3"
    assert str(third) == f"Submission 3 of {run.path}"
    assert Identity(run, 1234).folder.name == "1234"


def test_numbers_go_on_after_every_folder(run):
    assert submissions(run) == []
    assert next_identity(run).number == 1
    for number in (10, 2):
        made = Identity(run, number)
        made.folder.mkdir(parents=True)
        made.write(replace(WRITTEN, number=number))
    (run.path / "submissions" / "011").mkdir()  # of a crash
    assert submissions(run) == [Identity(run, 2), Identity(run, 10)]
    assert next_identity(run).number == 12


def test_the_keys_of_the_files(identity):
    identity.write(WRITTEN)
    asked = json.loads((identity.folder / "submission.json").read_text())
    assert list(asked) == ASKED_KEYS
    assert asked["seeds"] == [3, 8]
    identity.write(replace(WRITTEN, found=FOUND))
    found = json.loads((identity.folder / "outcome.json").read_text())
    assert list(found) == ASKED_KEYS + FOUND_KEYS
    assert found == asked | vars(FOUND) | {"outcome": FOUND.outcome.to_json()}
    assert json.loads((identity.folder / "submission.json").read_text()) == asked


def test_what_is_written_is_read(identity):
    identity.write(WRITTEN)
    assert identity.read() == WRITTEN
    complete = replace(WRITTEN, found=FOUND)
    identity.write(complete)
    assert identity.read() == complete
    assert Written.from_json(complete.to_json()) == complete


def test_a_submission_that_is_not_there(run, identity):
    identity.write(WRITTEN)
    with pytest.raises(StorageError) as caught:
        Identity(run, 4).read()
    assert str(caught.value) == f"{run.path} has no submission 4; it has 3."


@pytest.mark.parametrize("content", ["[]", "{", '{"number": 3}', '{"seeds": 1}'])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("submission.json", "Put the run's own file back: it says what was paid for."),
        ("outcome.json", "Remove it, and `qhyper fetch` makes it again."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(identity, name, remedy, content):
    path = identity.folder / name
    path.write_text(content)
    with pytest.raises(StorageError) as caught:
        identity.read()
    assert str(caught.value).startswith(f"{path} cannot be read as a submission: ")
    assert str(caught.value).endswith(f". {remedy}")


def test_a_missing_value_is_named(identity):
    values = WRITTEN.to_json()
    del values["content"]
    (identity.folder / "submission.json").write_text(json.dumps(values))
    with pytest.raises(StorageError, match=r"as a submission: it lacks 'content'. Put the run's"):
        identity.read()
