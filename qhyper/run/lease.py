"""Leases: which process carries out a piece of work, on any machines that share a disk.

FOLDER/attempt-1, attempt-2, ... are the claims of the processes that began on it; the highest
holds. A claim is made exclusively, so that one process alone gets it, and removed when the work
ends in any way but with the death of its process: a claim that is left behind is one death. Its
holder adds a byte every few seconds; who waits for it counts these on a clock of its own, so that
no two machines need the same time. No lock of a file system is asked for.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qhyper.errors import StorageError
from qhyper.run.lock import exists
from qhyper.storage import storage, write_whole

BEAT = 5.0
"""Seconds between two signs of life."""
SILENCE = 60.0
"""Seconds without one after which a process is taken for dead."""
_SILENT_BY_CLOCKS = 600.0
"""The same where only the clocks of two machines tell."""


@dataclass(frozen=True, eq=False)
class Lease:
    """A claim of this process."""

    folder: Path
    number: int
    """1 for the first process that begins on the work; each one more is a death before it"""
    line: bytes
    """what its file begins with, and no other's does"""

    @property
    def path(self) -> Path:
        """Its file."""
        return _file(self.folder, self.number)

    @property
    def holds(self) -> bool:
        """Whether no other process has taken this one for dead."""
        try:
            own = self.path.read_bytes().startswith(self.line)
            return own and not _file(self.folder, self.number + 1).exists()
        except FileNotFoundError:
            return False
        except OSError:  # a disk that cannot be read just now takes no claim away
            return True

    def deaths(self) -> list[str]:
        """How the processes ended that had claims before, in words, as far as that is known."""
        known = []
        for number in range(1, self.number):
            with suppress(OSError, ValueError, LookupError, TypeError):
                line = _file(self.folder, number).read_bytes().partition(b"\n")[0]
                known.append(str(json.loads(line)["death"]))
        return known

    def beat(self) -> None:
        """Give a sign of life; none, if the claim is gone or the disk refuses."""
        if not self.holds:
            return
        with suppress(OSError):
            claim = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(claim, b".")
            finally:
                os.close(claim)


class Leases:
    """All claims of this process, which a thread gives signs of life of as long as they are held.

    Used as a context: on leaving, claims that are still held are released.
    """

    def __init__(self, *, beat: float = BEAT, silence: float = SILENCE) -> None:
        self._beat, self._silence = beat, silence
        self._held: set[Lease] = set()
        self._seen: dict[Path, tuple[bytes, float]] = {}
        """of each claim of others: what it was, and since when"""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._give_signs, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        self._thread.join()
        for lease in list(self._held):
            self.release(lease)

    def claim(self, folder: Path) -> Lease | None:
        """Claim the work of a folder, which is made; None if a process that is alive has it.

        The work may have ended just before: look once more. Raises StorageError if the folder
        cannot be written to.
        """
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            last = 0
            while _file(folder, last + 1).exists():
                last += 1
            if last and not self._is_dead(_file(folder, last)):
                return None
            lease = Lease(folder, last + 1, json.dumps(_this_process()).encode() + b"\n")
            try:
                claim = os.open(lease.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:  # another was quicker
                return None
            try:
                with os.fdopen(claim, "wb") as file:
                    file.write(lease.line)
            except OSError:  # nobody is to wait for a claim that says nothing
                _remove(lease.path)
                raise
        self._held.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Let another process go on with the work, which has not ended."""
        if self._let_go(lease):
            _remove(lease.path)

    def close(self, lease: Lease) -> None:
        """The work has ended, and that is on the disk: no claim to it is needed any more."""
        if self._let_go(lease):
            for number in range(lease.number, 0, -1):
                _remove(_file(lease.folder, number))

    def _let_go(self, lease: Lease) -> bool:
        """Hold a claim no longer; whether it was held, and is not another process's by now."""
        held = lease in self._held
        self._held.discard(lease)
        return held and lease.holds

    def died(self, lease: Lease, how: str) -> None:
        """Leave the claim behind: what carried the work out for this process has died."""
        self._held.discard(lease)
        with suppress(StorageError):  # the claim stays, and tells of the death by its silence
            write_whole(lease.path, json.dumps({"death": how}).encode() + b"\n")

    def _give_signs(self) -> None:
        while not self._done.wait(self._beat):
            for lease in list(self._held):
                lease.beat()

    def _is_dead(self, path: Path) -> bool:
        """Whether the process that made a claim is known to be dead, or silent for long."""
        try:
            data = path.read_bytes()
        except OSError:  # released just now, or NFS holds what it was
            return False
        if _is_gone(data.partition(b"\n")[0]):
            return True
        now = time.monotonic()
        # a claim may be empty for good: whoever made it was killed before it said anything
        before, since = self._seen.get(path, (None, now))
        if data != before:
            self._seen[path] = (data, now)
            return False
        return now - since > self._silence


def claimant(folder: Path) -> str | None:
    """The process that has claimed the work of a folder, in words; None if none is known to live.

    Of a process elsewhere that is as far as its signs of life tell by the clocks of both machines,
    with minutes to spare: this is for people to read, and decides nothing.
    """
    last = 0
    try:
        while _file(folder, last + 1).exists():
            last += 1
        path = _file(folder, last)
        line = path.read_bytes().partition(b"\n")[0]
        silent = time.time() - path.stat().st_mtime
        found = json.loads(line)
    except (OSError, ValueError):
        return None
    if _is_gone(line) or silent > _SILENT_BY_CLOCKS or not isinstance(found, dict):
        return None
    return f"Another process ({found.get('pid', '?')} on {found.get('host', '?')})"


def _file(folder: Path, number: int) -> Path:
    return folder / f"attempt-{number}"


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


# -- which process it is ---------------------------------------------------------------------------


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "space": _space(), "pid": os.getpid(),
            "began": _began(os.getpid()), "claim": uuid.uuid4().hex}  # fmt: skip


def _is_gone(line: bytes) -> bool:
    """Whether a process is known to be there no more; nothing is known of another machine's."""
    try:
        found = json.loads(line)
    except ValueError:  # not written yet
        return False
    if not isinstance(found, dict):
        return False
    if "death" in found:
        return True
    if (found.get("host"), found.get("space")) != (socket.gethostname(), _space()):
        return False
    pid = found.get("pid")
    # its number may be another process's by now; what cannot be asked is nothing known
    return not exists(pid) or _began(pid) not in (found.get("began"), None)


def _space() -> str:
    """Where numbers of processes mean the same: this boot of this machine, or of a container."""
    if sys.platform != "linux":
        return f"{uuid.getnode()}"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(pid: Any) -> str | None:
    """When a process began, in ticks since the boot; "ended" of one whose end nobody has asked for.

    None where that is not to be known, as of other people's.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    about = text.rpartition(")")[2].split()
    return "ended" if about[0] in "ZX" else about[19]
