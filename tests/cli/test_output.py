"""What is printed never fails: streams of other encodings, closed ones, and pipes nobody reads."""

import io
import os
import subprocess
import sys

import pytest

from qhyper.cli.terminal import output, print_pairs, warn

pytestmark = pytest.mark.usefixtures("undrawn", "certified_before")


def printed_in(encoding: str, monkeypatch, errors: str = "strict") -> tuple[str, str]:
    """What a table and a warning are on streams of an encoding."""
    buffers = {"stdout": io.BytesIO(), "stderr": io.BytesIO()}
    for name, buffer in buffers.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(buffer, encoding=encoding, errors=errors))
    with output():
        print_pairs("Bitstrings", {"ansätze": "⟨C⟩ ≤ 0.5", "path": "/tmp/\udce9/runs"})
        warn("Näherung")
    sys.stderr.flush()
    out, err = (buffer.getvalue().decode(encoding) for buffer in buffers.values())
    monkeypatch.undo()
    return out, err


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [("ascii", "ans?tze"), ("latin-1", "ansätze"), ("cp1252", "ansätze"), ("cp437", "ansätze"),
     ("utf-8", "ansätze"), ("utf-16", "ansätze"), ("gb18030", "ansätze")],
)  # fmt: skip
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_letters_that_an_encoding_lacks_are_replaced(monkeypatch, encoding, seen, errors):
    out, err = printed_in(encoding, monkeypatch, errors)
    assert seen in out
    assert "0.5" in out
    assert "/runs" in out
    assert err.startswith("qhyper: N")


def test_a_users_own_way_with_other_letters_stays(monkeypatch):
    assert "ans\\xe4tze" in printed_in("ascii", monkeypatch, "backslashreplace")[0]


def test_closed_streams_take_everything(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with output():
        print_pairs("Bitstrings", {"a": 1})
        warn("nobody hears it")
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_a_pipe_that_nobody_reads_is_no_error(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", stream)
        with output():
            print("dropped")
        monkeypatch.undo()


def test_help_into_a_closed_pipe_is_quiet():
    with subprocess.Popen(
        [sys.executable, "-m", "qhyper", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""


def test_memory_that_is_not_there_is_said_in_words(cli, monkeypatch):
    def start(*arguments, **options):
        raise MemoryError("Unable to allocate 8.00 EiB")

    monkeypatch.setattr("qhyper.cli.main.start", start)
    code, _, err = cli("compare")
    assert code == 2
    assert err.startswith("qhyper: Out of memory: Unable to allocate 8.00 EiB. Lower the number of")
    assert "Traceback" not in err
