"""An Azure Quantum workspace and its store of blobs, as Microsoft's own packages need them.

What it is sent it measures itself, by running the QIR on Microsoft's simulator.
"""

import json
import re
import urllib.parse

import numpy as np

from tests.quantum.cloud.servers.local_https import Breaking

KEY = "PLANTEDkeyPLANTEDkey"
HOSTS = ("westeurope.quantum.azure.com", "store.blob.core.windows.net")
ACCOUNT = (
    "SubscriptionId=00000000-0000-0000-0000-000000000000;ResourceGroupName=group;"
    f"WorkspaceName=desk;ApiKey={KEY};QuantumEndpoint=https://{HOSTS[0]}/;"
)
TARGET, QUBITS = "acme.qpu", 6
TARGETS = {TARGET: "acme", "acme.sim": "acme", "light": "pasqal", "ionq.qpu.forte-1": "ionq",
           "ionq.simulator": "ionq"}  # fmt: skip
FORMATS = {"v1": "microsoft.quantum-results.v1", "v2": "microsoft.quantum-results.v2"}


class Azure(Breaking):
    """A workspace with several targets; what it took is in `jobs`, every PUT in `posted`.

    `gone` jobs are not known; `spoil` changes the shots that are returned.
    """

    def __init__(self):
        super().__init__()
        self.jobs, self.blobs, self.posted, self.gone = {}, {}, [], False
        self.status, self.error, self.availability = "Succeeded", None, "Available"
        self.form, self.target, self.cost = FORMATS["v2"], None, None
        self.targets, self.spoil = dict(TARGETS), lambda shots: shots

    def refusal(self, status):
        return json.dumps({"error": {"code": "Unlucky", "message": self.says}}).encode()

    def answer(self, method, path, query, headers, body):
        if "/workspaces/desk/" not in path:
            return self.blob(method, urllib.parse.unquote(path).strip("/"), headers, body)
        if headers["x-ms-quantum-api-key"] != KEY:
            return 401, {}, self.refusal(401)
        told = self.tell(method, path.rsplit("/workspaces/desk/", 1)[1].split("/"), body)
        if told is None:
            return 404, {}, self.refusal(404)
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()

    def tell(self, method, parts, body):
        if parts[0] == "providerStatus":
            return {"value": [self.provider(*entry) for entry in self.targets.items()]}
        if parts[0] == "storage":
            blob = json.loads(body)
            name = "/".join(filter(None, (blob["containerName"], blob.get("blobName"))))
            return {"sasUri": f"https://{HOSTS[1]}/{name}?sig=x&se=2999-01-01T00:00:00Z"}
        number, _, action = parts[1].partition(":")
        if method == "PUT":
            job = json.loads(body)
            self.posted.append(job)
            self.jobs.setdefault(number, {**job, "id": number, "status": self.status})
        job = None if self.gone and method != "PUT" else self.jobs.get(number)
        if job is None:
            return None
        if action == "cancel":
            job["status"] = "Cancelled"
        status = self.status if self.status != "Succeeded" else job["status"]
        return {
            **job,
            "status": status,
            "errorData": self.error,
            "target": self.target or job["target"],
            "costEstimate": self.cost,
            "outputDataFormat": self.form,
            "outputDataUri": f"https://{HOSTS[1]}/job-{number}/output",
        }

    def provider(self, name, provider):
        target = {
            "id": name,
            "currentAvailability": self.availability,
            "averageQueueTime": 300,
            "statusPage": "https://acme.example/status",
            "numQubits": QUBITS,
            "targetProfile": "Base",
        }
        return {"id": provider, "currentAvailability": "Available", "targets": [target]}

    def blob(self, method, place, headers, body):
        """The store: a PUT of a new blob, and a GET of a range of one."""
        common = {"ETag": '"1"', "Last-Modified": "Sun, 29 Nov 2026 00:00:00 GMT",
                  "x-ms-version": "2025-01-05", "x-ms-blob-type": "BlockBlob"}  # fmt: skip
        if method == "PUT":
            if place in self.blobs:
                return 409, {"x-ms-error-code": "BlobAlreadyExists"}, b""
            self.blobs[place] = bytes(body)
            return 201, common, b""
        number = place.split("/")[0].removeprefix("job-")
        if number not in self.jobs:
            return 404, {"x-ms-error-code": "BlobNotFound"}, b""
        data = self.output(self.jobs[number])
        first, last = map(int, re.search(r"(\d+)-(\d+)", headers["x-ms-range"]).groups())
        part = data[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        common |= {"Content-Range": span, "Content-Type": "application/json"}
        return 206, common, part

    def output(self, job):
        """The job's QIR is measured when its results are asked for, always with the same shots."""
        values, times = np.unique([str(s) for s in self.shots(job)], return_counts=True)
        shots = self.spoil(self.shots(job))
        if self.form == FORMATS["v1"]:
            shares = [
                x for v, t in zip(values, times, strict=True) for x in (v, t / int(times.sum()))
            ]
            return json.dumps({"Histogram": shares}).encode()
        return json.dumps(
            {"DataFormat": self.form, "Results": [{"Histogram": [], "Shots": shots}]}
        ).encode()

    def shots(self, job):
        """[shot][bit] of the register that the job has."""
        from qdk.simulation import run_qir

        place = urllib.parse.urlsplit(job["inputDataUri"]).path.strip("/")
        program = self.blobs[urllib.parse.unquote(place)].decode()
        measured = run_qir(program, shots=job["inputParams"]["shots"], seed=5, type="cpu")
        return [[int(str(bit) == "One") for bit in shot] for shot in measured]
