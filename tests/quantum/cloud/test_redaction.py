"""Secrets in the words of others."""

import importlib.util
from pathlib import Path

import pytest

from qhyper.errors import ConfigurationError, JobError, MissingError
from qhyper.quantum.cloud.door import Rejected, Unreachable
from qhyper.quantum.cloud.redaction import check_no_secrets, redacted, traceback_of
from qhyper.registry import names

_spec = importlib.util.spec_from_file_location(
    "qhyper_tests_planted", Path(__file__).with_name("planted.py")
)
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

SECRET = "planted-5ecret/With+odd=chars"
NAMES = (
    "QISKIT_IBM_TOKEN",
    "IONQ_API_KEY",
    "IONQ_API_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_QUANTUM_CONNECTION_STRING",
    "MY_PASSWORD",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "vendor_apikey",
)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_secret_variables_are_taken_out(monkeypatch, name):
    monkeypatch.setenv(name, SECRET)
    assert redacted(f"401: {SECRET} or '{SECRET}'") == "401: [secret] or '[secret]'"


def test_a_secret_that_begins_with_another_one_is_taken_out_whole(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "abcdefgh")
    monkeypatch.setenv("B_TOKEN", "abcdefgh-and-more")
    assert redacted("got abcdefgh-and-more, abcdefgh") == "got [secret], [secret]"


SAID = {
    "Authorization: Bearer eyJhbGciOi.J9-x_y": "Authorization: Bearer [secret]",
    "Authorization: Basic dXNlcjpwYXNzd29yZA==": "Authorization: Basic [secret]",
    "authorization: apiKey 0123456789abcdef": "authorization: apiKey [secret]",
    '{"access_token": "eyJhbGciOi", "a": 1}': '{"access_token": "[secret]", "a": 1}',
    '{"refresh_token":"eyJhbGciOi"}': '{"refresh_token":"[secret]"}',
    "url?apikey=0123456789&x=1": "url?apikey=[secret]&x=1",
    "X-Api-Key: 0123456789": "X-Api-Key: [secret]",
    "SharedAccessKey=AbC0123456789+/=": "SharedAccessKey=[secret]",
    "QISKIT_IBM_TOKEN=0123456789": "QISKIT_IBM_TOKEN=[secret]",
    "invalid token 0123456789abc": "invalid token [secret]",
    "https://a.example/b?sig=ab%2Bc&x=1": "https://a.example/b?sig=[secret]&x=1",
    "https://a.example/b?X-Amz-Signature=ab": "https://a.example/b?X-Amz-Signature=[secret]",
    "key AKIAIOSFODNN7EXAMPLE is off": "key [secret] is off",
    "key ASIAIOSFODNN7EXAMPLE is off": "key [secret] is off",
}


@pytest.mark.parametrize("said", SAID)
def test_what_looks_like_a_secret_is_taken_out(said):
    assert redacted(said) == SAID[said]


@pytest.mark.parametrize("kind", planted.SAID)
def test_secrets_of_every_kind_are_taken_out(kind):
    said, secrets = planted.SAID[kind]
    found = redacted(f"It says: {said}")
    assert "[secret]" in found
    assert found.startswith("It says: ")
    assert not [secret for secret in secrets if secret in found]


@pytest.mark.parametrize(
    "text",
    ["password='" + "\\" * 301, "token=[" + "'a'  " * 300, "-token" * 3000, "eyJ-" * 3000],
    ids=["quote", "list", "names", "tokens"],
)
def test_unfinished_text_is_read_in_no_time(text):
    """With patterns that can match in several ways it would be read for years."""
    assert redacted(text)


def test_keys_of_saved_accounts_are_taken_out(monkeypatch, tmp_path):
    planted.plant(tmp_path, monkeypatch.setenv)
    known = [*planted.OF_ACCOUNTS, *planted.ENVIRONMENT.values()]
    assert redacted(" ".join(known)) == " ".join(["[secret]"] * len(known))
    assert redacted("?key=planted15%25key&") == "?key=[secret]&"  # as an address has it
    for name in planted.SAVED:  # damaged ones are no trouble
        (tmp_path / name).write_bytes(b"\xff{[")
    assert redacted("planted15%key") == "planted15%key"


def test_a_traceback_is_redacted(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise RuntimeError(f"password={planted.PASSWORD}") from error
    except RuntimeError as error:
        found = traceback_of(error)
    assert found.startswith("Traceback (most recent call last):")
    assert found.endswith("RuntimeError: password=[secret]\n")
    assert "KeyError: '[secret]'" in found
    assert SECRET not in found


@pytest.mark.parametrize(
    "options",
    [
        {"token": "x"},
        {"api_key": "x"},
        {"apikey": "x"},
        {"key": "x"},
        {"password": 1234},
        {"client_secret": "x"},
        {"credentials": {"user": "jane", "secret": "x"}},
        {"login": {"password": "x"}},
        {"logins": [{"password": "x"}]},
        {"address": "https://jane:x@example.org"},
        {"header": planted.JWT},
    ],
)
def test_options_that_hold_secrets_are_refused(options):
    message = r"option .* of my:Service, which is or holds a secret; .* environment variable, and"
    with pytest.raises(ConfigurationError, match=message) as refused:
        check_no_secrets("my:Service", options)
    assert planted.JWT not in str(refused.value)


def test_other_options_are_not():
    check_no_secrets(
        "my:Service",
        {"token_variable": "MY_TOKEN", "key_env": "MY_KEY", "token": None, "keyword": "x",
         "instance": "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef::",
         "twirling": {"gates": True}, "layout": [1, 2], "seed": 3,
         "resource_id": "/subscriptions/01234567/resourceGroups/x/Workspaces/y"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        "The circuit has 36 qubits; ibm_torino has 27.",
        "Job d1a2b3c4e5f6 was cancelled",
        "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
        "no job with the tag qhyper-0123456789abcdef0123456789abcdef",
        "The token has expired.",
        "No credentials available, and basic authentication is off.",
        "Password authentication certainly failed",
        "https://quantum.cloud.ibm.com/workloads?x=a@b",
        "",
    ],
)
def test_other_words_stay(said):
    assert redacted(said) == said


def test_a_short_value_is_not_worth_a_torn_message(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "1")
    assert redacted("1 job of 11 failed") == "1 job of 11 failed"


@pytest.mark.parametrize(
    "day",
    [
        {"faults": ["lost", "never", "never"]},
        {"faults": ["refused"]},
        {"spoiled": "failed"},
        {"spoiled": {0: "cancelled"}},
        {"away": True},
        {"away_after": 1},
        {"maintenance": f"Down for {SECRET}."},
    ],
)
def test_a_token_that_the_service_repeats_is_nowhere(monkeypatch, bench, day):
    """Not in a message, a warning, or a byte of the run directory."""
    monkeypatch.setenv("QISKIT_IBM_TOKEN", SECRET)
    with pytest.raises((JobError, MissingError)) as trouble:
        bench.measure(says=f"unauthorised: {SECRET}", **day)
    words = " ".join([str(trouble.value), *bench.heard])
    assert SECRET not in words
    assert "[secret]" in words or "lost" in str(day)
    whole = bench.bytes()
    assert b"training" in whole  # the ledger is there
    for piece in (SECRET, SECRET[:12]):
        assert piece.encode() not in whole


def imitation_of(name):
    """The module with a vendor of the tests' own; None without the vendor's packages."""
    spec = importlib.util.spec_from_file_location(
        f"qhyper_imitation_{name}", Path(__file__).with_name(f"test_{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except pytest.skip.Exception:
        return None
    return module


IMITATIONS = {
    "ibm": ("ibm", "client"),
    "braket": ("amazon_braket", "aws"),
    "ionq": ("ionq", "ionq"),
    "azure": ("azure_quantum", "azure"),
    "qiskit": ("qiskit_backend", "imitation"),
}
"""By vendor: the module with its imitation, and the fixture that is it."""
MODULES = {vendor: imitation_of(module) for vendor, (module, _) in IMITATIONS.items()}
for _vendor, (_, _fixture) in IMITATIONS.items():
    if MODULES[_vendor] is not None:
        globals()[_fixture] = getattr(MODULES[_vendor], _fixture)
models = getattr(MODULES["braket"], "models", None)


def test_every_vendor_is_imitated():
    assert set(IMITATIONS) == set(names("service"))


@pytest.mark.parametrize("vendor", IMITATIONS)
def test_a_key_that_the_vendor_repeats_is_in_no_message(vendor, request, monkeypatch, tmp_path):
    if MODULES[vendor] is None:
        pytest.skip(f"needs the packages of {vendor}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)
    imitation = request.getfixturevalue(IMITATIONS[vendor][1])
    imitation.says = f"unauthorised: {SECRET}"
    kinds = set()
    for number, ask in enumerate(MODULES[vendor].troubles(imitation)):
        try:
            said = ask()
        except (Rejected, Unreachable, JobError, MissingError, ConnectionError) as error:
            said = str(error)
            kinds.add(type(error))
        assert SECRET[:12] not in str(said), number
        assert "[secret]" in str(said), number
    assert {Rejected, Unreachable} <= kinds
    assert kinds & {JobError, MissingError}
