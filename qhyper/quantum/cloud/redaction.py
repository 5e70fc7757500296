"""Secrets taken out of the words of others: no token goes to a screen, a log or the ledger.

Two kinds are taken out: values that are known to be secret here (of the environment, and of
accounts that IBM's and Amazon's packages have saved), and what looks like a secret.
"""

import configparser
import json
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qhyper.errors import ConfigurationError

_SECRET_NAMES = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|CONNECTION_?STRING|API_?KEY|ACCESS_?KEY|(^|_)KEY$",
    re.I,
)
_ALSO = re.compile(r"^(pwd|auth|passcode|pat|keys)$|authori[sz]ation", re.I)
"""Names of options alone: in an environment they mean other things."""
_NAMES_A_SECRET = re.compile(r"(_|\b)(variable|env|environment)$", re.I)
_SHORTEST = 8
_NAME = (
    r"(?:api[_-]?key|(?:access|account|private|shared)[_-]?key|token|password|passwd|passphrase"
    r"|secret|credentials?)"
)
_PATTERNS = (
    # private keys in PEM, their end cut off or not
    (r"(?s)-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", "[secret]"),
    # JSON web tokens: their parts are JSON in base64
    (r"(?<![\w-])eyJ[\w-]{8,}(?:\.[\w-]*){1,4}", "[secret]"),
    # what stands before the host in an address
    (r"(?<=://)[^\s/\"'<>]+@", "[secret]@"),
    # signed addresses open a store to whoever has them
    (r"(?i)([?&](?:sig|[\w-]*(?:signature|credential))=)[^&\s\"'<>]+", r"\1[secret]"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "[secret]"),
    # 'api-key': ['…', '…']
    (
        rf"(?i)({_NAME}\\*[\"']?\s*[:=]\s*[\[(]\s*)"
        r"(?:b?(\\*[\"'])(?:(?!\2)(?:\\.|[^\\\n]))++\2\s*+,?\s*+)++([\])])",
        r"\1[secret]\3",
    ),
    # "token": "…", password='…'
    (
        rf"(?i)((?:{_NAME}|authorization)\\*[\"']?\s*[:=]\s*b?(\\*[\"']))"
        r"(?:(?!\2)(?:\\.|[^\\\n]))++\2",
        r"\1[secret]\2",
    ),
    # password: …, to the next space
    (r"(?i)((?:password|passwd|passphrase)\s*[:=]\s*)[^\s\"']+", r"\1[secret]"),
    # Authorization: Bearer …
    (
        r"(?i)\b((?:bearer|basic)\s+)(?=\S*(?:[\d=_]|(?-i:[A-Z])))[^\s,;\"'<>]{8,}",
        r"\1[secret]",
    ),
    # QISKIT_IBM_TOKEN=…, X-Api-Key: …
    (rf"(?i)({_NAME}\s*[:=]\s*)[^\s&,;\"'<>\[\](){{}}]{{8,}}", r"\1[secret]"),
    # invalid token …; a word without a digit is none
    (
        r"(?i)((?:api[_-]?key|token|password|secret|access_?key)\W{1,4})"
        r"(?=[^\s&,;\"'<>\[\](){}]*\d)[^\s&,;\"'<>\[\](){}]{8,}",
        r"\1[secret]",
    ),
)
"""What looks like a secret, and what is written instead. They take linear time: parts that could
match in several ways are possessive."""
_COMPILED = tuple((re.compile(pattern), instead) for pattern, instead in _PATTERNS)


def redacted(text: str) -> str:
    """The text without what is known to be secret here, and without what looks like a secret."""
    known = {value for value in _known() if len(value) >= _SHORTEST}
    known |= {quote(value, safe="") for value in known}
    for value in sorted(known, key=len, reverse=True):  # one may be the beginning of another
        text = text.replace(value, "[secret]")
    for pattern, instead in _COMPILED:
        text = pattern.sub(instead, text)
    return text


def words_of(error: BaseException) -> str:
    """The kind and the words of an error as a sentence, redacted."""
    text = " ".join(redacted(str(error)).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if text.endswith((".", "!")) else f"{text}."


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, redacted."""
    return redacted("".join(traceback.format_exception(error)))


def check_no_secrets(service: str, options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an option that holds a secret, by its name or its looks.

    Options of services are written to run directories. One that names an environment variable,
    such as `token_variable`, is none.
    """
    for name, value in _items(options):
        named = (_SECRET_NAMES.search(name) or _ALSO.search(name)) and not _NAMES_A_SECRET.search(
            name
        )
        looks = isinstance(value, str) and redacted(value) != value
        if looks or (named and value is not None and not isinstance(value, bool)):
            raise ConfigurationError(
                f"Got the option {name} of {service}, which is or holds a secret; options are "
                "written to the run directory. Put it into an environment variable, and read that "
                "in the service; where its name may differ, take it as an option such as "
                f"{name}_variable."
            )


def _known() -> Iterator[str]:
    """Values that are secret: of environment variables, and of saved accounts."""
    yield from _secrets(os.environ.items())
    yield from _secrets(_items(_json(Path("~/.qiskit/qiskit-ibm.json"))))
    saved = configparser.ConfigParser(interpolation=None, strict=False)
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    try:
        saved.read(Path(credentials).expanduser(), encoding="utf-8")
    except (OSError, ValueError, RuntimeError, configparser.Error):
        return
    for section in saved.sections():
        yield from _secrets(saved.items(section))


def _secrets(pairs: Iterable[tuple[str, Any]]) -> Iterator[str]:
    return (value for name, value in pairs if isinstance(value, str) and _SECRET_NAMES.search(name))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # no file, no JSON, no home
        return {}


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    """All names and values within nested mappings and lists; what a list holds has its name."""
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        for each in _flat(value):
            yield str(name), each
            yield from _items(each)


def _flat(value: Any) -> Iterator[Any]:
    """What lists of any depth hold."""
    if not isinstance(value, list | tuple):
        yield value
        return
    for each in value:
        yield from _flat(each)
