"""IBM Quantum on this machine: a TLS server that speaks its protocol as IBM's own client needs it.

What is posted is decoded by IBM's converters, run without noise, and encoded as IBM's schema; so
the client's whole way, out and back, is its own. Every job that a POST left behind is in `jobs`,
and would be paid for, whatever became of the reply.
"""

import base64
import json
import os
import re
import socket
import ssl
import threading
import time
import traceback
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from tests.quantum.cloud.servers.local_https import certificate as certificate_of

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
PREFIX = "/experimental"  # an address with this word is taken as it is
DEVICES = {"ibm_manila": "manila", "ibm_fractional": "fractional"}
"""By the name that a device has here: the snapshot that describes it."""


class Fault:
    """What befalls requests of a method whose path matches: `times` of them, after the first ones.

    `how` is a status and its text, "cut" (after the body was read and acted on), "cut before"
    (nothing was acted on), "shut" (acted on, and an orderly end of the connection) or "502 after"
    (acted on, and no gateway for the reply).
    """

    def __init__(self, method, path, how, *, times=10**9, after=0):
        self.method, self.path, self.how = method, re.compile(path), how
        self.times, self.after = times, after

    def befalls(self, method, path):
        if method != self.method or not self.path.fullmatch(path) or not self.times:
            return False
        self.after -= 1
        if self.after >= 0:
            return False
        self.times -= 1
        return True


class IBM:
    """The vendor behind the server: its records, and what is wrong with it.

    - instances: (CRN, name) of each
    - jobs: what was accepted, in its order: id, tags, body, session
    - troubles: errors of the server itself, of which there should be none
    - asked: (method, path) of every request, whatever became of it
    - faults: see Fault
    - state, reason, spoil: of all jobs; `spoil` changes a result (a dict) before it is sent
    - listed_after: questions for the list of jobs that are answered before a job is in it
    - at_once: jobs that may wait at a time; any number if None
    - short: shots that are missing in a result
    """

    def __init__(self):
        self.instances = [(CRN, "mine")]
        self.devices = dict(DEVICES)
        self.jobs, self.sessions, self.closed, self.cancelled = [], [], [], []
        self.asked, self.faults, self.troubles = [], [], []
        self.state, self.reason, self.spoil = "Completed", None, lambda result: result
        self.status = {"state": True, "status": "active", "length_queue": 0}
        self.usage, self.metrics = {}, {}
        self.listed_after, self.at_once, self.short = 0, None, 0
        self.says = "no such luck"
        self._results = {}

    def fault(self, method, path, how, **options):
        self.faults.append(Fault(method, path, how, **options))

    def count(self, method, path):
        """How many requests there were."""
        return sum(m == method and bool(re.fullmatch(path, p)) for m, p in self.asked)

    # -- what it answers: (status, JSON or text) ----------------------------------------------

    def answer(self, method, path, query, body):
        for pattern, name in ROUTES:
            if (m := re.fullmatch(pattern, f"{method} {path}")) is not None:
                return getattr(self, name)(query, body, *m.groups())
        return refused(404, f"no such address: {method} {path}")

    def token(self, query, body):
        now = int(time.time())
        claims = {"iat": now, "exp": now + 3600}
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        token = b".".join(base64.urlsafe_b64encode(p).rstrip(b"=") for p in (*parts, b"signed"))
        return 200, {"access_token": token.decode(), "refresh_token": "r", "token_type": "Bearer",
                     "expires_in": 3600, "expiration": now + 3600}  # fmt: skip

    def search(self, query, body):
        items = [
            {"crn": crn, "name": name, "service_plan_unique_id": "plan", "tags": [],
             "doc": {"extensions": ["something"]}}
            for crn, name in self.instances
        ]  # fmt: skip
        return 200, {"items": items}

    def catalog(self, query, body):
        return 200, {"overview_ui": {"en": {"display_name": "Open"}},
                     "metadata": {"pricing": {"type": "free"}}}  # fmt: skip

    def instance_usage(self, query, body):
        return 200, self.usage

    def backends(self, query, body):
        return 200, {"devices": [{"name": name} for name in self.devices]}

    def described(self, query, body, name, what):
        if name not in self.devices:
            return refused(404, f"{name} is retired")
        if what == "status":
            return 200, self.status
        return 200, described(self.devices[name], what) | {"backend_name": name}

    def post_job(self, query, body):
        waiting = sum(self.state_of(job) in ("Queued", "Running") for job in self.jobs)
        if self.at_once is not None and waiting >= self.at_once:
            return refused(403, "You have reached the limit of 3 pending jobs. Please wait for a "
                           "job to complete or cancel one before submitting anything new.",
                           3458)  # fmt: skip
        job = {"id": f"d{len(self.jobs)}", "body": body, "hidden": self.listed_after}
        self.jobs.append(job)
        return 200, {"id": job["id"], "backend": body["backend"]}

    def list_jobs(self, query, body):
        tags = set(query.get("tags", []))
        found = []
        for job in self.jobs:
            if tags <= set(job["body"].get("tags", [])):
                job["hidden"] -= 1
                found += [job] * (job["hidden"] < 0)
        found = found if query.get("sort") == ["ASC"] else found[::-1]
        skip, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["20"])[0])
        page = [self.shown(job) for job in found[skip : skip + limit]]
        return 200, {"jobs": page, "count": len(found)}

    def get_job(self, query, body, job_id):
        job = self.by_id(job_id)
        return refused(404, f"no job {job_id}") if job is None else (200, self.shown(job))

    def get_results(self, query, body, job_id):
        job = self.by_id(job_id)
        if job is None:
            return refused(404, f"no job {job_id}")
        if job_id not in self._results:
            self._results[job_id] = executed(job["body"])
        if self.short:
            return 200, executed(job["body"], self.short)
        spoilt = self.spoil(json.loads(self._results[job_id]))
        return 200, spoilt if isinstance(spoilt, str) else json.dumps(spoilt)

    def get_metrics(self, query, body, job_id):
        return 200, self.metrics

    def cancel_job(self, query, body, job_id):
        if self.state_of(self.by_id(job_id)) in ("Completed", "Failed", "Cancelled"):
            return refused(409, f"{job_id} has ended")
        self.cancelled.append(job_id)
        return 204, ""

    def post_session(self, query, body):
        self.sessions.append(body)
        return 200, {"id": f"s{len(self.sessions)}"}

    def close_session(self, query, body, session_id):
        assert body == {"accepting_jobs": False}
        self.closed.append(session_id)
        return 204, ""

    # -- its records --------------------------------------------------------------------------

    def by_id(self, job_id):
        return next((job for job in self.jobs if job["id"] == job_id), None)

    def state_of(self, job):
        state = self.state(job["id"]) if callable(self.state) else self.state
        return "Cancelled" if job["id"] in self.cancelled else state

    def shown(self, job):
        body = job["body"]
        return {"id": job["id"], "backend": body["backend"], "program": {"id": "executor"},
                "tags": body.get("tags", []), "session_id": body.get("session_id"),
                "created": "2026-01-01T00:00:00Z",
                "state": {"status": self.state_of(job), "reason": self.reason}}  # fmt: skip


ROUTES = (
    (r"POST /identity/token", "token"),
    (r"POST /v3/resources/search", "search"),
    (r"GET /plan", "catalog"),
    (r"GET /instances/usage", "instance_usage"),
    (r"GET /backends", "backends"),
    (r"GET /backends/(\w+)/(configuration|properties|status)", "described"),
    (r"POST /jobs", "post_job"),
    (r"GET /jobs", "list_jobs"),
    (r"GET /jobs/(\w+)", "get_job"),
    (r"GET /jobs/(\w+)/results", "get_results"),
    (r"GET /jobs/(\w+)/metrics", "get_metrics"),
    (r"POST /jobs/(\w+)/cancel", "cancel_job"),
    (r"POST /sessions", "post_session"),
    (r"PATCH /sessions/(\w+)", "close_session"),
)


def refused(status, message, code=1):
    return status, {"errors": [{"code": code, "message": message, "solution": "", "more_info": ""}]}


def described(snapshot, what):
    """The configuration or the properties of a snapshot, as IBM's package has them."""
    import qiskit_ibm_runtime.fake_provider as provider

    folder = Path(provider.__file__).parent / "backends" / snapshot
    prefix = {"configuration": "conf", "properties": "props"}[what]
    return json.loads((folder / f"{prefix}_{snapshot}.json").read_text(encoding="utf-8"))


def executed(body, short=0):
    """The result of a posted job without noise, in IBM's schema; `short` shots are left out."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor import version_2_0 as schema
    from ibm_quantum_schemas.executor.version_2_0 import models
    from qiskit_aer import AerSimulator
    from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
    from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
    from qiskit_ibm_runtime.quantum_program.params_converters import (
        QUANTUM_PROGRAM_PARAMS_CONVERTERS as CONVERTERS,
    )

    converter = CONVERTERS[body["params"]["schema_version"]]
    posted = converter.model.model_validate(body["params"])
    program, _ = converter.decoder(posted)
    program.shots -= short
    for item in program.items:
        if hasattr(item, "samplex"):  # of twirling
            item.samplex.finalize()
    simulator = AerSimulator(max_parallel_threads=1)
    result = run_quantum_program(simulator, program, SimulatorOptions(seed_simulator=1))
    data = [
        models.QuantumProgramResultItemModel(
            results={
                name: CompressedTensorModel.from_numpy(np.asarray(value))
                for name, value in item.items()
            },
            metadata=models.ItemMetadataModel(),
        )
        for item in result
    ]
    return schema.QuantumProgramResultModel(
        data=data,
        metadata=models.MetadataModel(chunk_timing=[]),
        passthrough_data=posted.quantum_program.passthrough_data,
        semantic_role=posted.quantum_program.semantic_role,
    ).model_dump_json()


# -- the server -----------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = 1 << 16, True  # else each answer takes 40 ms

    def _handle(self):
        url = urllib.parse.urlsplit(self.path)
        path = url.path.removeprefix(PREFIX).rstrip("/")
        ibm = self.server.ibm
        ibm.asked.append((self.command, path))
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = next((f.how for f in ibm.faults if f.befalls(self.command, path)), None)
        if fault == "cut before":
            return self._cut()
        if isinstance(fault, tuple):
            return self._send(*fault)
        json_sent = "json" in self.headers.get("Content-Type", "")
        body = json.loads(sent) if sent and json_sent else None
        try:
            status, answer = ibm.answer(self.command, path, urllib.parse.parse_qs(url.query), body)
        except Exception:
            ibm.troubles.append(traceback.format_exc())
            raise
        if fault == "cut":
            return self._cut()
        if fault == "shut":
            self.close_connection = True
            return None
        if fault == "502 after":
            return self._send(502, "bad gateway")
        return self._send(status, answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _send(self, status, answer):
        text = answer if isinstance(answer, str) else json.dumps(answer)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def _cut(self):
        """Break TLS itself: what follows is no record of it."""
        self.close_connection = True
        raw = socket.socket(fileno=os.dup(self.connection.fileno()))
        with raw:
            raw.sendall(b"\0" * 64)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """The server of an IBM; `url` is its address, `certificate` the file with its certificate."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.begin()
        self.certificate, key = certificate_of(folder, "127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.context = context
        self.url = f"https://127.0.0.1:{self.server_port}{PREFIX}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def begin(self):
        """An IBM without records and faults, from now on."""
        self.ibm = IBM()
        return self.ibm

    def stop(self):
        self.shutdown()
        self.server_close()

    def finish_request(self, request, client_address):
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request, client_address):
        pass  # the client's own breaks are no news

    def variables(self):
        """The environment in which IBM's client finds this server, and trusts it."""
        return {
            "QISKIT_IBM_TOKEN": "a-token-of-the-tests",
            "QISKIT_IBM_URL": self.url,
            "IAM_URL": self.url,
            "GLOBAL_SEARCH_URL": self.url,
            "GLOBAL_CATALOG_URL": self.url,
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "NO_PROXY": "127.0.0.1",
            "USAGE_DATA_OPT_OUT": "True",  # without the stack of every call, which takes a while
        }
