"""A server on this machine that a vendor's own client talks to by TLS, and that breaks when told.

Connections to any host are led to it, so that clients keep the vendor's addresses.
"""

import datetime
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CUT_BEFORE = "cut before the request was carried out"
CUT_AFTER = "cut after the request was carried out"


class Breaking:
    """What a vendor does with a request, with its faults.

    `asked` are all requests (method, path) that came, `faults` those to come: [(method, part of
    the path, what happens)], each used once: CUT_BEFORE, CUT_AFTER, a status of a request that was
    not carried out, or (status,) of one that was. Subclasses `answer` a request with (status,
    headers, body).
    """

    def __init__(self):
        self.asked, self.faults, self._lock = [], [], threading.Lock()
        self.says = "no such luck"

    def fails(self, method, part, *what):
        self.faults += [(method, part, fault) for fault in what]

    def fault(self, method, path):
        for number, (wanted, part, _) in enumerate(self.faults):
            if wanted == method and part in path:
                return self.faults.pop(number)[2]
        return None

    def serve(self, method, url, headers, body):
        """(status, headers, body), or None for a connection that is cut."""
        address = urlsplit(url)
        with self._lock:
            self.asked.append((method, address.path))
            fault = self.fault(method, address.path)
            if fault == CUT_BEFORE:
                return None
            if isinstance(fault, int):
                return fault, {}, self.refusal(fault)
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            answer = self.answer(method, address.path, query, headers, body)
            if isinstance(fault, tuple):
                return *fault, {}, self.refusal(*fault)
            return None if fault == CUT_AFTER else answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vendor = None

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client is gone
            self.close_connection = True

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = self.vendor.serve(self.command, self.path, self.headers, body)
        if told is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, answer = told
        self.send_response(status)
        for name, value in {"Content-Length": len(answer), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)


def _named(host):
    """A host's name, or its number, as a certificate has it."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def certificate(folder, *hosts):
    """(certificate, key) files of these hosts, signed by themselves."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([_named(host) for host in hosts]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    files = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@contextmanager
def serving(vendor, files, monkeypatch):
    """Within, what this process connects to is the vendor's server, and its certificate is good."""
    handler = type("Handler", (_Handler,), {"vendor": vendor})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    place = server.server_address[:2]
    connect = socket.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection",
        lambda address, timeout=None, *_, **__: connect(place, timeout or 30),
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files[0]))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
