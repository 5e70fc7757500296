"""IonQ's service (v0.4 of its interface), as its own client needs it.

What it is sent it measures itself, from IonQ's own description of the circuits.
"""

import json

import numpy as np

from tests.quantum.cloud.servers.local_https import Breaking

TOKEN = "PLANTEDtokenPLANTEDtoken"
QUBITS = 7
PAGE = 2
RATES = {"minimum": 25.79, "1q": 0.000164, "2q": 0.001121}
"""US dollars, of a job and of a gate of a shot."""


class IonQ(Breaking):
    """A service with two backends; what it took is in `jobs`, oldest first.

    `kinds` are the results that it offers; `late` jobs are not listed yet, so many requests long;
    `gone` jobs are not known. `backend` is where jobs run, if not where they were sent.
    """

    def __init__(self):
        super().__init__()
        self.jobs, self.bodies, self.late, self.gone, self.broken = {}, [], 0, False, set()
        self.status, self.listed, self.backend, self.failure = "completed", "available", None, None
        self.kinds, self.named, self.shuffled, self.short = ("shots", "probabilities"), True, 0, 0
        self.wait, self.cost = 120_000, {"value": 24.83, "unit": "usd"}
        self.modern = True

    def refusal(self, status):
        return json.dumps({"statusCode": status, "error": "Error", "message": self.says}).encode()

    def answer(self, method, path, query, headers, body):
        parts = path.removeprefix("/v0.4").strip("/").split("/")
        if parts[0] != "backends" and headers["Authorization"] != f"apiKey {TOKEN}":
            return 401, {}, self.refusal(401)
        if method == "POST":
            return 201, {}, json.dumps(self.take(body)).encode()
        told = self.change(parts) if method == "PUT" else self.tell(parts, query)
        if told is None:
            return 404, {}, self.refusal(404)
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()

    def take(self, body):
        self.bodies.append(bytes(body))
        body = json.loads(body)
        number = f"job-{len(self.jobs)}"
        single = body["type"] == "ionq.circuit.v1"
        circuits = (
            [{"name": body["name"], "circuit": body["input"]["circuit"]}]
            if single
            else body["input"]["circuits"]
        )
        shots = [simulated(c["circuit"], body["shots"], k) for k, c in enumerate(circuits)]
        names = [number] if single else [f"{number}-{k}" for k in range(len(circuits))]
        self.jobs[number] = {
            "body": body,
            "status": self.status,
            "shots": dict(zip(names, shots, strict=True)),
            "names": dict(zip(names, [c["name"] for c in circuits], strict=True)),
        }
        return {"id": number, "status": "submitted", "session_id": None}

    def change(self, parts):
        number, *rest = parts[1:]
        if number not in self.jobs or rest != ["status", "cancel"]:
            return None
        self.jobs[number]["status"] = "canceled"
        return {"id": number, "status": "canceled"}

    def tell(self, parts, query):
        if parts[0] == "backends":
            listed = [
                {"backend": "qpu.forte-1", "status": self.listed, "qubits": QUBITS},
                {"backend": "simulator", "status": "available", "qubits": QUBITS},
            ]
            if len(parts) == 1:
                return listed
            return next((entry for entry in listed if entry["backend"] == parts[1]), None)
        if len(parts) == 1:
            return self.page(query.get("next"))
        if parts[1] == "estimate":
            return self.estimate(query)
        job = self.jobs.get("-".join(parts[1].split("-")[:2]))
        if job is None or self.gone:
            return None
        if parts[2:] == ["cost"]:
            estimate = {"value": 25.79, "unit": "usd"}
            return {"dry_run": False, "estimated_cost": estimate} | (
                {"cost": self.cost} if self.cost else {}
            )
        if parts[-1] == "aggregated":
            return {c: self.result(shots, "probabilities") for c, shots in job["shots"].items()}
        if parts[2:]:
            return self.result(job["shots"][parts[1]], parts[-1])
        return self.describe(parts[1], job)

    def result(self, shots, kind):
        shots = shots[: len(shots) - self.short]
        values, times = np.unique(shots, return_counts=True)
        counts = {str(v): int(t) for v, t in zip(values, times, strict=True)}
        if kind == "shots-v2":
            bits = (shots[:, None] >> np.arange(QUBITS) & 1).tolist()
            return {"shots": [{"registers": {"output_all": row}} for row in bits]}
        return {
            "shots": [str(outcome) for outcome in shots],
            "histogram": counts,
            "probabilities": {v: t / len(shots) for v, t in counts.items()},
        }.get(kind, {"shots": "levitated"})

    def describe(self, number, job):
        body, children = job["body"], list(job["shots"])
        single = children == [number]
        circuit = number in children
        status = "failed" if number in self.broken else job["status"]
        about = {
            "id": number,
            "type": body["type"],
            "status": self.status if self.status != "completed" else status,
            "backend": self.backend or body["backend"],
            "dry_run": False,
            "failure": self.failure,
            "metadata": body["metadata"],
            "noise": body.get("noise"),
            "predicted_wait_time_ms": self.wait,
            "shots": body["shots"],
            "stats": {"qubits": QUBITS},
            "name": body["name"] if single else (job["names"].get(number, body["name"])),
            "parent_job_id": None if single or not circuit else number.rsplit("-", 1)[0],
            "child_job_ids": None,
            "results": None,
            "submitted_at": f"2026-11-29T00:00:{list(self.jobs.values()).index(job):02d}.000Z",
        }
        if circuit:
            about["results"] = {kind: self.link(number, kind) for kind in self.kinds}
            about["name"] = about["name"] if self.named or single else None
        else:
            about["child_job_ids"] = children[::-1] if self.shuffled else children
            about["results"] = {"probabilities": self.link(number, "aggregated")}
        return about

    def link(self, number, kind):
        """A link as IonQ gives them: by address, or by the format's name."""
        if "." not in kind:
            return {"url": f"/v0.4/jobs/{number}/results/{kind}"}
        name = kind.split(".")[2] + ("-v2" if kind.endswith("v2") else "")
        return {"id": name, "format": kind, "media_type": "application/json"}

    def page(self, after):
        """So many jobs at a time, newest first, circuits of jobs among them."""
        listed = [self.describe(number, job) for number, job in self.jobs.items()]
        for job in self.jobs.values():
            listed += [self.describe(c, job) for c in job["shots"] if len(job["shots"]) > 1]
        listed.sort(key=lambda about: about["submitted_at"], reverse=True)
        if self.late and self.jobs:
            self.late -= 1
            newest = list(self.jobs)[-1]
            listed = [about for about in listed if not about["id"].startswith(newest)]
        first = int(after or 0)
        more = first + PAGE < len(listed)
        return {"jobs": listed[first : first + PAGE], "next": str(first + PAGE) if more else None}

    def estimate(self, query):
        gates = {name: int(query[f"{name}_gates"]) for name in ("1q", "2q")}
        cost = int(query["shots"]) * sum(RATES[name] * n for name, n in gates.items())
        cost = max(RATES["minimum"], cost) * (query["backend"] != "simulator")
        cost *= 6.5 if query["error_mitigation"] == "true" else 1
        if self.modern:
            return {"estimated_total_cost": cost, "estimated_unit": "usd", "rate_card": {}}
        return {"estimated_cost": cost, "cost_unit": "USD", "rate_information": {}}


def simulated(gates, shots, seed):
    """Outcomes whose binary digit q is qubit q, by matrices written out for this test."""
    state = np.zeros((2,) * QUBITS, dtype=complex)
    state[(0,) * QUBITS] = 1
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
    v = 0.5 * np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]])
    fixed = {
        "x": x, "y": y, "z": z, "h": (x + z) / np.sqrt(2), "v": v, "vi": v.conj().T,
        "s": np.diag([1, 1j]), "si": np.diag([1, -1j]), "t": np.diag([1, np.exp(0.25j * np.pi)]),
        "ti": np.diag([1, np.exp(-0.25j * np.pi)]),
    }  # fmt: skip
    for gate in gates:
        (target,) = gate["targets"]
        if "rotation" in gate:
            half = gate["rotation"] / 2
            axis = {"rx": x, "ry": y, "rz": z}[gate["gate"]]
            matrix = np.cos(half) * np.eye(2) - 1j * np.sin(half) * axis
        else:
            matrix = fixed["x" if gate["gate"] == "not" else gate["gate"]]
        turned = np.moveaxis(np.tensordot(matrix, state, axes=(1, target)), 0, target)
        for control in gate.get("controls", []):
            off = [slice(None)] * QUBITS
            off[control] = 0
            turned[tuple(off)] = state[tuple(off)]
        state = turned
    p = np.abs(state.transpose(range(QUBITS)[::-1]).ravel()) ** 2  # qubit 0 is the last digit
    return np.random.default_rng([11, seed]).choice(p.size, shots, p=p / p.sum())
