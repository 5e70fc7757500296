"""Scope: what the shots of a job are counted with, and have a budget of.

A training, a submission by its number, or a study of one's own by any words. It is stored as the
words that a user sees, which are part of a job's key: other words would pay for the job again.
"""

import re
from dataclasses import dataclass
from typing import Self

from qhyper.errors import ConfigurationError

_SUBMISSION = "submission"
_WORDS = re.compile(f"{_SUBMISSION} (0|[1-9][0-9]{{0,8}})")


@dataclass(frozen=True)
class Scope:
    """What shots are counted with; `str` gives its words, and `read` gets it back from them.

    Raises ConfigurationError for words that would be taken for something else: none at all, and
    those that begin with the word "submission" without being a submission's.
    """

    kind: str
    """training, submission, or words of one's own"""
    number: int | None = None
    """of a submission; 0 of one that is planned, and not written down"""

    def __post_init__(self) -> None:
        reserved = self.kind.partition(" ")[0] in ("", _SUBMISSION) or self.number is not None
        if reserved and not _WORDS.fullmatch(str(self)):
            raise ConfigurationError(
                f"Got the scope '{self}'; expected training, submission N with a number of at most "
                "nine digits, or words of your own that begin with another word. Name it otherwise."
            )

    def __str__(self) -> str:
        return self.kind if self.number is None else f"{self.kind} {self.number}"

    @classmethod
    def read(cls, words: str) -> Self:
        """The scope that has these words."""
        if found := _WORDS.fullmatch(words):
            return cls(_SUBMISSION, int(found[1]))
        return cls(words)


TRAINING = Scope("training")


def submission(number: int) -> Scope:
    """The scope of a submission."""
    return Scope(_SUBMISSION, number)
