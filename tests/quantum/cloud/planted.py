"""Secrets of every kind, as services and packages repeat them; none of them is anybody's."""

import json

PASSWORD = "p@ss!w0rd#%5e"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmVkLWJ5LW5vYm9keQ"
PEM = "MIIEvQplanted1KYwggSiAgEAAoIBAQplanted2"
SAID = {
    "bare JWT": (f"401 for {JWT}.", (JWT, "c2lnbmVk")),
    "address": (f"proxy http://jane:{PASSWORD}@proxy.example:80/x is off", (PASSWORD, "jane:")),
    "token in an address": ("clone https://ghp5planted0@example.org/x", ("ghp5planted0",)),
    "list": ("headers {'api-key': ['planted6key', 'planted7']}", ("planted6key", "planted7")),
    "bytes": ("{b'X-Api-Key': b'planted8key'}", ("planted8key",)),
    "quoted": (f'{{"password": "{PASSWORD}"}}', (PASSWORD, "ss!w0")),
    "short": ("password: hunter2", ("hunter2",)),
    "JSON in JSON": (r"body {\"client_secret\": \"planted9 key\"}", ("planted9",)),
    "plain": (f"password={PASSWORD} for jane", (PASSWORD, "w0rd")),
    "signs": ("token=a!b@c$planted10", ("planted10",)),
    "PEM": (
        f"-----BEGIN PRIVATE KEY-----\n{PEM[:20]}\n{PEM[20:]}\n-----END PRIVATE KEY-----",
        (PEM[:20], PEM[20:]),
    ),
    "PEM cut off": (f"-----BEGIN RSA PRIVATE KEY-----\n{PEM[:20]}", (PEM[:20],)),
    "header": ('{"Authorization": "Bearer planted11 and more"}', ("planted11",)),
}
"""By kind: (what is said, what may not be seen of it)."""
SAVED = {
    ".qiskit/qiskit-ibm.json": json.dumps(
        {"mine": {"token": "planted12-ibm", "proxies": {"password_ntlm": "planted13-ntlm"}}}
    ),
    ".aws/credentials": "[default]\naws_access_key_id = planted14-id\n"
    "aws_secret_access_key = planted15%key\n",
}
"""Files of the home folder with saved accounts."""
OF_ACCOUNTS = ("planted12-ibm", "planted13-ntlm", "planted14-id", "planted15%key")
ENVIRONMENT = {
    "IONQ_API_KEY": "planted16-ionq",
    "AZURE_CLIENT_SECRET": "planted17-azure",
    "AZURE_QUANTUM_KEY": "planted18-azure",
}


def plant(home, setenv):
    """Save the accounts in a home folder, and set the environment."""
    for name, content in SAVED.items():
        path = home / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    for name, value in {"HOME": str(home), **ENVIRONMENT}.items():
        setenv(name, value)


def everything():
    """All of it in one message: (what is said, what may not be seen of it)."""
    bare = [*OF_ACCOUNTS, *ENVIRONMENT.values()]
    parts = [said for kind, (said, _) in SAID.items() if kind != "PEM cut off"]  # cuts off the rest
    hidden = [word for kind, (_, words) in SAID.items() for word in words]
    return "\n".join([*parts, *bare]), [*hidden, *bare]
