"""Progress of what takes long, which a notebook shows by itself, without widgets.

A function that takes `progress` calls what it is given; False is silence. Without either a notebook
shows a line for each thing under way, in one place of the cell's output, and one line in their
place at the end. A script stays silent. IPython is asked only where it has been imported already.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from qhyper.errors import ConfigurationError

Progress = Callable[[str, int, int], None]
"""Called with the title of a thing under way, how much of its budget is spent, and all of it, in
steps or evaluations."""
Share = Callable[[float], None]
"""Called with the share that is done, up to 1."""

_AFTER = 0.5
"""Seconds before anything is shown: what is quicker leaves nothing behind."""
_EVERY = 0.3
"""Seconds between two changes of what is shown."""
_LINES = 12
"""Of things under way that are shown; of more, the last ones."""


@contextmanager
def shown(
    progress: Progress | Literal[False] | None, what: str, *, titles: Sequence[str] = ()
) -> Iterator[Progress]:
    """What to call with the progress of `what`: that which was given, a notebook's or nothing.

    `titles` are those that are counted: "entry 3 of 9". Raises ConfigurationError for what is no
    function, nor False or None.
    """
    display = None if _given(progress, "(title, spent, total)") else _display_of_notebook()
    if display is None or progress is False:
        yield progress or _silent
        return
    board = _Board(display, what, titles)
    try:
        yield board
    except BaseException as error:
        board.end(f"{what}: stopped by {type(error).__name__} after {board.seconds}", keep=True)
        raise
    board.end(f"{what}: done in {board.seconds}")


@contextmanager
def share_shown(progress: Share | Literal[False] | None, what: str) -> Iterator[Share]:
    """The same for what says which share is done."""
    if _given(progress, "the share that is done") and progress:
        yield progress
        return
    with shown(False if progress is False else None, what) as show:
        yield lambda share: show(what, int(100 * share), 100)


def _given(progress: Any, of: str) -> bool:
    """Whether a function was given; ConfigurationError for what is none, nor False or None."""
    if progress is None or progress is False or callable(progress):
        return callable(progress)
    raise ConfigurationError(
        f"Got progress={progress!r}; expected a function of {of}, False for silence, or nothing: "
        "then a notebook shows it by itself."
    )


def _silent(title: str, spent: int, total: int) -> None:
    pass


def _display_of_notebook() -> Any:
    """IPython.display where code runs in a notebook, else None."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:  # the shell of a terminal has none
        return None
    import IPython.display

    return IPython.display


class _Board:
    """The lines of what is under way, in one place of a cell's output."""

    def __init__(self, display: Any, what: str, titles: Sequence[str]) -> None:
        self._display, self._what, self._titles = display, what, list(titles)
        self._under_way: dict[str, int] = {}
        """in percent, by title"""
        self._id: str | None = None
        self._began = self._last = time.monotonic()

    def __call__(self, title: str, spent: int, total: int) -> None:
        """Take note, and show it if it is time to."""
        self._under_way[title] = 100 * spent // max(1, total)
        now = time.monotonic()
        if now - self._last >= (_AFTER if self._id is None else _EVERY):
            self._last = now
            self._show("\n".join(self._lines()))

    @property
    def seconds(self) -> str:
        """How long it has taken, in words."""
        seconds = time.monotonic() - self._began
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes:,} min {rest} s" if minutes else f"{seconds:.1f} s"

    def end(self, words: str, *, keep: bool = False) -> None:
        """Put one line in the place of all, or below them; nothing where nothing was shown."""
        if self._id is not None:
            self._show("\n".join([*(self._lines() if keep else []), words]))

    def _lines(self) -> list[str]:
        lines = [self._line(title, percent) for title, percent in self._under_way.items()]
        more = len(lines) - _LINES
        return [f"… {more} before", *lines[more:]] if more > 0 else lines

    def _line(self, title: str, percent: int) -> str:
        state = "done" if percent >= 100 else f"{percent} %"
        if title not in self._titles:
            return f"{title}: {state}"
        return f"entry {self._titles.index(title) + 1} of {len(self._titles)}: {title}, {state}"

    def _show(self, text: str) -> None:
        plain = {"text/plain": text}
        if self._id is None:
            self._id = uuid.uuid4().hex
            self._display.display(plain, raw=True, display_id=self._id)
        else:
            self._display.update_display(plain, raw=True, display_id=self._id)
