"""Requests to IonQ, and what becomes of its replies."""

from collections.abc import Mapping
from typing import Any

from qhyper.quantum.cloud.door import Denied, NotFound, Unreachable
from qhyper.quantum.cloud.redaction import redacted, words_of

SECONDS = 30.0
"""For which a reply is waited for."""
_LONGEST = 200
"""Characters of an answer that are worth showing."""


def asked_of(
    method: str, address: str, headers: Mapping[str, str], params: Mapping[str, Any] | None = None
) -> Any:
    """IonQ's reply; raises NotFound, Denied or Unreachable."""
    import requests

    try:
        reply = requests.request(method, address, params=params, headers=headers, timeout=SECONDS)
    except requests.exceptions.RequestException as error:
        raise Unreachable(words_of(error)) from error
    place = redacted(address.split("?")[0])  # what follows may open the results to anybody
    if reply.status_code == 404:
        raise NotFound(f"IonQ knows nothing at {place}. Check the number and the key.")
    if reply.status_code in (401, 403):
        raise Denied(f"HTTP {reply.status_code}: {said_in(reply)}")
    if reply.status_code >= 400:
        raise Unreachable(f"HTTP {reply.status_code}: {said_in(reply)}")
    return reply


def json_of(reply: Any) -> Any:
    """The JSON of a reply; raises Unreachable if it is none."""
    try:
        return reply.json()
    except ValueError as error:
        raise Unreachable(f"no JSON from IonQ: {said_in(reply)}") from error


def said_in(reply: Any) -> str:
    """IonQ's own words in a reply, in short."""
    try:
        told = reply.json()
        text = str(told.get("message") or told.get("error") or told)
    except (AttributeError, ValueError):
        text = reply.text
    return " ".join(redacted(text).split())[:_LONGEST]  # cut last: half a key is one too


def never_connected(error: Any) -> bool:
    """Whether a request failed before there was a connection that it could have been sent by."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
