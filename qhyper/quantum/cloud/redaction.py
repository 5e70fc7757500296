"""Secrets taken out of the words of others: no token goes to a screen, a log or the ledger."""

import os
import re

_SECRET_NAMES = re.compile(
    r"TOKEN|SECRET|PASSWORD|CREDENTIAL|CONNECTION_STRING|API_?KEY|ACCESS_?KEY", re.I
)
_SHORTEST = 8
_IN_TEXT = re.compile(
    r"(?i)\b(bearer|basic|[\w-]*(?:api[_-]?key|token|authorization|password|secret|access_?key))"
    r"(\W{1,4})([\w\-.~+/=]{8,})"
)
_IN_ADDRESS = re.compile(r"(?i)([?&](?:sig|[\w-]*(?:signature|credential))=)[^&\s\"'<>]+")
"""Signed addresses open a store to whoever has them."""
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")


def redacted(text: str) -> str:
    """The text without values of secret environment variables, and without what looks like one."""
    values = [value for name, value in os.environ.items() if _SECRET_NAMES.search(name)]
    for value in sorted(values, key=len, reverse=True):  # one may be the beginning of another
        if len(value) >= _SHORTEST:
            text = text.replace(value, "[secret]")
    text = _IN_ADDRESS.sub(r"\1[secret]", _AWS_KEY.sub("[secret]", text))
    return _IN_TEXT.sub(r"\1\2[secret]", text)


def words_of(error: BaseException) -> str:
    """The kind and the words of an error as a sentence, redacted."""
    text = " ".join(redacted(str(error)).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if text.endswith((".", "!")) else f"{text}."
