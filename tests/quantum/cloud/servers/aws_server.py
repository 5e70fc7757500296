"""An account at AWS of the tests' own: Amazon Braket's REST interface, and what of S3 and STS it
needs.

`Account` keeps tasks as AWS does, and measures them on Braket's local simulator; `serving` puts it
behind TLS, for Amazon's own clients to speak to.
"""

import functools
import json
import socket
import ssl
import threading
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.quantum.cloud.servers.local_https import certificate as certificate_of

GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
OWNER = "123456789012"
BUCKET = f"amazon-braket-eu-north-1-{OWNER}"
LABELS = (2, 3, 5, 7, 11, 13)
"""The qubits of Garnet: a line, not numbered from 0."""
MILLISECONDS = 4_500
"""How long a simulation on SV1 takes."""


def _header(name):
    return {"name": f"braket.{name}", "version": "1"}


def _service(price, unit, most_shots):
    return {
        "braketSchemaHeader": _header("device_schema.device_service_properties"),
        "executionWindows": [
            {"executionDay": "Everyday", "windowStartHour": "09:00", "windowEndHour": "17:00"}
        ],
        "shotsRange": [1, most_shots],
        "deviceCost": None if price is None else {"price": price, "unit": unit},
    }


def _programs(operations):
    return {
        "braket.ir.openqasm.program": {
            "actionType": "braket.ir.openqasm.program",
            "version": ["1"],
            "supportedOperations": operations,
            "supportedResultTypes": [],
        }
    }


def garnet(*, sets=True, cost=0.00145, rows=100):
    """What a quantum computer says about itself."""
    action = _programs(["prx", "cz", "rx"])
    if sets:
        action["braket.ir.openqasm.program_set"] = {
            "actionType": "braket.ir.openqasm.program_set",
            "version": ["1"],
            "maximumExecutables": rows,
            "maximumTotalShots": 200_000,
        }
    graph = {
        str(q): [str(r) for r in LABELS if abs(LABELS.index(q) - LABELS.index(r)) == 1]
        for q in LABELS
    }
    return {
        "braketSchemaHeader": _header("device_schema.iqm.iqm_device_capabilities"),
        "service": _service(cost, "shot", 20_000),
        "action": action,
        "paradigm": {
            "braketSchemaHeader": _header("device_schema.gate_model_qpu_paradigm_properties"),
            "qubitCount": len(LABELS),
            "nativeGateSet": ["cz", "prx"],
            "connectivity": {"fullyConnected": False, "connectivityGraph": graph},
        },
        "deviceParameters": {},
    }


def sv1(*, unit="minute"):
    """What Amazon's simulator says about itself."""
    simulators = "device_schema.simulators.gate_model_simulator"
    return {
        "braketSchemaHeader": _header(f"{simulators}_device_capabilities"),
        "service": _service(0.075, unit, 100_000),
        "action": _programs(["rx", "ry", "rz", "h", "cz", "cnot", "x"]),
        "paradigm": {
            "braketSchemaHeader": _header(f"{simulators}_paradigm_properties"),
            "qubitCount": 34,
        },
        "deviceParameters": {},
    }


class Account:
    """An account with two devices.

    - tasks: what it took, and would charge for, by the ARN; `sent`: the last request for one
    - results: what is in the buckets, by (bucket, key)
    - asked: every request, as (operation, its last argument)
    - fail: what befalls the next calls of an operation: None, (status, error code), "lost" (it is
      done, and the connection ends without an answer), "cut" (it is not done either), "garbled"
      (somebody else answers)
    - hidden: how many lists a new task is not in
    - in_parts: whether results are kept in one file for each row
    - state, reason: what it says about every task
    """

    def __init__(self):
        self.devices = {GARNET: ("Garnet", "QPU", garnet()), SV1: ("SV1", "SIMULATOR", sv1())}
        self.status = "ONLINE"
        self.tasks, self.tokens, self.asked, self.results = {}, {}, [], {}
        self.sent = None
        self.says = "no such luck"
        self.fail, self.hidden, self.unlisted = {}, 0, {}
        self.in_parts = False
        self.state, self.reason = "COMPLETED", None

    def count(self, operation):
        return [name for name, _ in self.asked].count(operation)

    def respond(self, method, url, body):
        """(status, content type, headers, body) of an answer; None where the connection ends."""
        operation, argument = _operation(method, url, body)
        self.asked.append((operation, argument))
        fault = (self.fail.get(operation) or [None]).pop(0)
        if isinstance(fault, tuple):
            return _refusal(operation, *fault, self.says)
        if fault == "cut":
            return None
        if fault == "garbled":
            return 200, "text/html", {}, b"<html>Please log in to the hotel's network"
        answer = getattr(self, operation)(argument, body)
        if fault == "lost":
            return None
        if answer is None:
            code = "NoSuchKey" if operation == "GetObject" else "ResourceNotFoundException"
            return _refusal(operation, 404, code, "it is not there")
        if isinstance(answer, bytes):
            return 200, "application/octet-stream", {}, answer
        return 200, "application/json", {}, json.dumps(answer).encode()

    # -- devices ------------------------------------------------------------------------------

    def GetDevice(self, arn, _):  # noqa: N802 (as AWS calls it)
        return self._described(arn) if arn in self.devices else None

    def SearchDevices(self, _, body):  # noqa: N802
        return {"devices": [self._described(arn) for arn in self.devices]}

    def _described(self, arn):
        name, kind, capabilities = self.devices[arn]
        return {
            "deviceArn": arn,
            "deviceName": name,
            "providerName": "IQM",
            "deviceType": kind,
            "deviceStatus": self.status,
            "deviceCapabilities": json.dumps(capabilities),
        }

    # -- tasks --------------------------------------------------------------------------------

    def CreateQuantumTask(self, _, body):  # noqa: N802
        request = json.loads(body)
        if request["clientToken"] not in self.tokens:
            self.tokens[request["clientToken"]] = self._create(request)
        return {"quantumTaskArn": self.tokens[request["clientToken"]]}

    def GetQuantumTask(self, arn, _):  # noqa: N802
        task = self.tasks.get(arn)
        return task and {**task, "status": self.state, **self._why()}

    def SearchQuantumTasks(self, _, body):  # noqa: N802
        """Pages of two, newest first."""
        request = json.loads(body)
        wanted = {each["name"]: each["values"] for each in request["filters"]}
        listed = []
        for task in sorted(self.tasks.values(), key=lambda t: t["createdAt"], reverse=True):
            arn = task["quantumTaskArn"]
            if self.unlisted[arn] > 0:
                self.unlisted[arn] -= not request.get("nextToken")
            elif task["deviceArn"] in wanted.get("deviceArn", [task["deviceArn"]]):
                listed.append({**task, "status": self.state})
        at = int(request.get("nextToken") or 0)
        page = {"quantumTasks": listed[at : at + 2]}
        return {**page, "nextToken": str(at + 2)} if at + 2 < len(listed) else page

    def CancelQuantumTask(self, arn, _):  # noqa: N802
        if arn not in self.tasks:
            return None
        self.state = "CANCELLED"
        return {"quantumTaskArn": arn, "cancellationStatus": "CANCELLING"}

    def _why(self):
        return {"failureReason": self.reason} if self.reason else {}

    def _create(self, request):
        number = str(len(self.tasks))
        arn = f"arn:aws:braket:eu-north-1:{OWNER}:quantum-task/{number}"
        folder = f"{request['outputS3KeyPrefix']}/{number}"
        kind = json.loads(request["action"])["braketSchemaHeader"]["name"]
        self.sent = request
        self.unlisted[arn] = self.hidden
        self.tasks[arn] = {
            "quantumTaskArn": arn,
            "deviceArn": request["deviceArn"],
            "shots": request["shots"],
            "outputS3Bucket": request["outputS3Bucket"],
            "outputS3Directory": folder,
            "createdAt": f"2026-01-01T00:00:{int(number):02}Z",
            "deviceParameters": "{}",
            "tags": request.get("tags", {}),
            "actionMetadata": {"actionType": kind},
            "numSuccessfulShots": request["shots"],
            "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "3",
                          "queuePriority": "Normal"},
        }  # fmt: skip
        measured = _measured(request["action"], request["shots"])
        self._store(request["outputS3Bucket"], folder, measured)
        return arn

    def _store(self, bucket, folder, measured):
        result = json.loads(measured)
        parts = _parts(result, bucket, folder) if self.in_parts else {}
        for name, part in {**parts, "results.json": result}.items():
            self.results[bucket, f"{folder}/{name}"] = json.dumps(part).encode()

    # -- beside Braket ------------------------------------------------------------------------

    def GetObject(self, place, _):  # noqa: N802
        return self.results.get(place)

    def CreateBucket(self, *_):  # noqa: N802
        return b""

    def GetCallerIdentity(self, *_):  # noqa: N802
        return (
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>" + OWNER + "</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        ).encode()


def _operation(method, url, body):
    """(AWS's name of what is asked for, its argument)."""
    address = urllib.parse.urlsplit(url)
    parts = [urllib.parse.unquote(part) for part in address.path.strip("/").split("/")]
    if parts[0] == "quantum-task":
        names = {"POST": "CreateQuantumTask", "GET": "GetQuantumTask", "PUT": "CancelQuantumTask"}
        return names[method], parts[1] if method != "POST" else ""
    if parts[0] == "device":
        return "GetDevice", parts[1]
    if parts[0] in ("devices", "quantum-tasks"):
        return {"devices": "SearchDevices", "quantum-tasks": "SearchQuantumTasks"}[parts[0]], ""
    if b"GetCallerIdentity" in body:
        return "GetCallerIdentity", ""
    if ".s3." in address.netloc:  # the bucket is a part of the host's name
        parts.insert(0, address.netloc.partition(".s3.")[0])
    if method == "PUT":
        return "CreateBucket", parts[0]
    return "GetObject", (parts[0], "/".join(parts[1:]))


def _refusal(operation, status, code, words):
    error = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>"
    if operation == "GetCallerIdentity":
        error = f"<ErrorResponse>{error}</ErrorResponse>"
    if operation in ("GetObject", "CreateBucket", "GetCallerIdentity"):
        return status, "application/xml", {}, error.encode()
    return status, "application/json", {"x-amzn-ErrorType": code}, json.dumps(
        {"message": words}
    ).encode()  # fmt: skip


def _parts(result, bucket, folder):
    """Take the parts out of a program set's result, which names them by their paths then."""
    parts = {"metadata.json": result["taskMetadata"]}
    for number, program in enumerate(result["programResults"]):
        at, names = f"programs/{number}", []
        for row, executable in enumerate(program["executableResults"]):
            names.append(f"executables/{row}.json")
            parts[f"{at}/{names[-1]}"] = executable
        parts[f"{at}/program.json"] = program["source"]
        program |= {"executableResults": names, "source": "program.json"}
        parts[f"{at}/results.json"] = program
        result["programResults"][number] = f"{at}/results.json"
    result |= {"taskMetadata": "metadata.json", "s3Location": [bucket, folder]}
    return parts


@functools.lru_cache
def _measured(action, shots):
    """The results.json of a task; the same request measures the same, which saves time."""
    from braket.devices import LocalSimulator
    from braket.ir.openqasm import Program, ProgramSet

    simulator = LocalSimulator()._delegate
    if "programs" in json.loads(action):
        return simulator.run(ProgramSet.parse_raw(action), shots=shots).json().encode()
    result = json.loads(simulator.run(Program.parse_raw(action), shots=shots).json())
    result["additionalMetadata"]["simulatorMetadata"] = {
        "braketSchemaHeader": _header("task_result.simulator_metadata"),
        "executionDuration": MILLISECONDS,
    }
    return json.dumps(result).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            answer = self.server.account.respond(self.command, self.path, body)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)  # without TLS's farewell
            return
        status, kind, headers, content = answer
        self.send_response(status)
        sized = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in {**headers, **sized}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Connections that end in between are what these tests are about."""


@contextmanager
def serving(account, folder):
    """(address, file of the certificate) of an account behind TLS, on this machine."""
    certificate, key = certificate_of(folder, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.account, server.lock = account, threading.Lock()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", certificate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
