#!/usr/bin/env python3
"""`tidings serve` behind a real nginx and a real HAProxy (Debian's), configured as docs/operations.md says.

    python3 tests/interop/proxies.py --binary target/debug/tidings

Streams of every transport reach their reader as they are written, and lines are answered as they come. And whatever is
sent to the proxy, both take for the same requests: each attack bears a second request in what may be a body, which
stores an item. It may be stored only where the proxy itself has seen a second request; and on the connections that the
proxy keeps to the server, everybody is given the answer to his own question, afterwards. The last line is `N passed, N
failed`; with a failure the exit code is 1.
"""

import argparse
import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import HERE, Checks, Failed, Server

WAIT_SECONDS = 30
# An answer that does not come by then will not.
QUIET_SECONDS = 1.5
NODE = "/v1/nodes/n"


class Proxy:
    """One that runs as the block of its kind in docs/operations.md says, but for addresses and files."""

    def __init__(self, folder, kind, replacements):
        self.folder = folder / kind
        self.folder.mkdir()
        os.chmod(folder, 0o755)
        self.tls, self.plain = free_port(), free_port()
        text = (HERE.parents[1] / "docs/operations.md").read_text()
        self.block = re.search(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S).group(1)
        for old, new in replacements(self).items():
            if old not in self.block:
                raise RuntimeError(f"docs/operations.md has lost {old!r}")
            self.block = self.block.replace(old, new)

    def run(self, words):
        program = shutil.which(words[0], path="/usr/sbin:/usr/bin:" + os.environ["PATH"])
        with (self.folder / "access.log").open("ab") as log:
            self.process = subprocess.Popen([program, *words[1:]], stdout=log, stderr=subprocess.PIPE)
        wait_for(lambda: self.process.poll() is not None or reaches(self.plain), f"{words[0]} listens")
        if self.process.poll() is not None:
            raise RuntimeError(self.process.stderr.read().decode(errors="replace"))

    def seen(self):
        """The requests that the proxy has seen so far."""
        lines = (self.folder / "access.log").read_text(errors="replace").splitlines()
        return [line for line in lines if line.startswith("seen ")]

    def stop(self):
        self.process.terminate()
        self.process.wait(WAIT_SECONDS)


class Nginx(Proxy):
    """One worker, so that all requests share the connections that it keeps."""

    def __init__(self, folder, server, certificate):
        super().__init__(folder, "nginx", lambda self: {
            "server 127.0.0.1:8080;": f"server {server.addresses['http']};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.tls} ssl http2; listen 127.0.0.1:{self.plain};",
            "/etc/ssl/private/api.example.org.key": str(server.key()),
            "/etc/ssl/certs/api.example.org.pem": str(certificate),
        })
        temporary = "\n".join(
            f"    {name}_temp_path {self.folder}/{name};" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        )
        (self.folder / "nginx.conf").write_text(
            f"user root;\nworker_processes 1;\ndaemon off;\npid {self.folder}/pid;\nerror_log {self.folder}/error.log;\n"
            f"events {{ worker_connections 512; }}\nhttp {{\n{temporary}\n"
            f"    log_format seen 'seen $status $upstream_status $request';\n"
            f"    access_log {self.folder}/access.log seen;\n{self.block}}}\n"
        )
        self.run(["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"])


class Haproxy(Proxy):
    """One thread, for the same reason."""

    def __init__(self, folder, server, certificate):
        super().__init__(folder, "haproxy", lambda self: {
            "server tidings 127.0.0.1:8080": f"server tidings {server.addresses['http']}",
            "bind :443 ssl": f"bind 127.0.0.1:{self.plain}\n    bind 127.0.0.1:{self.tls} ssl",
            "/etc/haproxy/api.example.org.pem": f"{self.folder}/bundle.pem",
        })
        (self.folder / "bundle.pem").write_text(Path(certificate).read_text() + Path(server.key()).read_text())
        (self.folder / "haproxy.cfg").write_text(
            "global\n    nbthread 1\n    log stdout format raw local0\n"
            "defaults\n    log global\n    log-format \"seen %ST - %HM %HU %HV\"\n" + self.block
        )
        self.run(["haproxy", "-db", "-f", self.folder / "haproxy.cfg"])


class Client:
    """Somebody who asks through the proxy, or past it."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    def ask(self, method, path, body=None, media="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}"}
        connection.request(method, path, body, headers | ({"Content-Type": media} if body else {}))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def open(self, head, port=None, tls=None):
        """A socket on which this head was sent."""
        stream = socket.create_connection(("127.0.0.1", port or self.port), WAIT_SECONDS)
        if tls:
            stream = tls.wrap_socket(stream, server_hostname="localhost")
        stream.settimeout(WAIT_SECONDS)
        stream.sendall(head.replace("{token}", self.token).encode())
        return stream


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reaches(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"in vain it was waited that {what}")
        time.sleep(0.02)


def until(stream, text, seen=b""):
    """Reads until this has come."""
    while text not in seen:
        piece = stream.recv(65536)
        if not piece:
            raise RuntimeError(f"the connection ended before {text!r} came: {seen[-500:]!r}")
        seen += piece
    return seen


def everything(stream):
    """What still comes, until the other side ends it or is silent."""
    seen = b""
    stream.settimeout(QUIET_SECONDS)
    try:
        while piece := stream.recv(65536):
            seen += piece
    except (TimeoutError, ConnectionError):
        pass
    return seen


def watch_head(accept, more=""):
    return (
        f"GET {NODE}/items?watch=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {{token}}\r\n"
        f"Accept: {accept}\r\n{more}\r\n"
    )


def stream_of(client, publisher, accept, first, port=None, tls=None):
    """The stream speaks at once, and tells an event as soon as it is there."""
    with client.open(watch_head(accept), port, tls) as stream:
        until(stream, first)
        mark = f"mark-{time.monotonic_ns()}"
        began = time.monotonic()
        publisher.ask("PUT", f"{NODE}/items/watched", json.dumps(mark))
        until(stream, mark.encode())
        return f"after {(time.monotonic() - began) * 1000:.0f} ms"


def long_poll(client, publisher):
    with client.open(watch_head("*/*", "Prefer: wait=20\r\n")) as stream:
        # What is published before it waits, it would not hear of.
        time.sleep(0.5)
        mark = f"mark-{time.monotonic_ns()}"
        publisher.ask("PUT", f"{NODE}/items/watched", json.dumps(mark))
        seen = until(stream, mark.encode())
        if not seen.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"answered {seen[:200]!r}")


def websocket(client, publisher):
    key = base64.b64encode(os.urandom(16)).decode()
    more = (
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Protocol: tidings.v1\r\n"
    )
    with client.open(watch_head("*/*", more)) as stream:
        seen = until(stream, b"bookmark")
        if not seen.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"answered {seen[:200]!r}")
        mark = f"mark-{time.monotonic_ns()}"
        publisher.ask("PUT", f"{NODE}/items/watched", json.dumps(mark))
        until(stream, mark.encode())
        said = b'{"type":"unsubscribe","node":"n"}'
        stream.sendall(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
        until(stream, b"unsubscribed")


def lines(client):
    """Each line is answered before the next is sent."""
    head = (
        f"POST {NODE}/items:batch HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {{token}}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with client.open(head) as stream:
        seen = b""
        for number in range(1, 6):
            line = f'{{"data":{number}}}\n'
            stream.sendall(f"{len(line):x}\r\n{line}\r\n".encode())
            seen = until(stream, f'"line":{number},'.encode(), seen)
        stream.sendall(b"0\r\n\r\n")
        until(stream, b"0\r\n\r\n", seen)


def http2(port, token, publisher, certificate):
    """An event stream by HTTP/2, as a browser has it."""
    words = ["curl", "--http2", "-sN", "--cacert", certificate, "-w", "HTTP/%{http_version}", "--max-time", "4"]
    headers = ["-H", f"Authorization: Bearer {token}", "-H", "Accept: text/event-stream"]
    url = f"https://localhost:{port}{NODE}/items?watch=true"
    reader = subprocess.Popen([*words, *headers, url], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    mark = f"mark-{time.monotonic_ns()}"
    publisher.ask("PUT", f"{NODE}/items/watched", json.dumps(mark))
    said, _ = reader.communicate(timeout=WAIT_SECONDS)
    if mark not in said or not said.endswith("HTTP/2"):
        raise RuntimeError(f"curl was told {said[-500:]!r}")


def attacks(inner):
    """(name, bytes) of each attack; `inner` is the request that is to be smuggled."""
    size = len(inner)
    chunked = f"{size:x}\r\n{inner}\r\n0\r\n\r\n"

    def post(headers, body, version="1.1", line=None, host="Host: localhost\r\n"):
        line = line or f"POST {NODE}/items HTTP/{version}"
        return f"{line}\r\n{host}Authorization: Bearer {{token}}\r\nContent-Type: text/plain\r\n{headers}\r\n{body}"

    te = "Transfer-Encoding: chunked\r\n"
    yield "CL before TE", post(f"Content-Length: {5 + size}\r\n{te}", f"0\r\n\r\n{inner}")
    yield "TE before CL", post(f"{te}Content-Length: {5 + size}\r\n", f"0\r\n\r\n{inner}")
    yield "TE.CL", post(f"Content-Length: 4\r\n{te}", chunked)
    yield "two lengths", post(f"Content-Length: 0\r\nContent-Length: {size}\r\n", inner)
    yield "the same length twice", post(f"Content-Length: {size}\r\nContent-Length: {size}\r\n", inner)
    yield "a list of lengths", post(f"Content-Length: 0, {size}\r\n", inner)
    for value in ["+{}", "-0", "0x{}", "{} ", "0{}", "{}.0", "{}\t", "\x0b{}"]:
        yield f"length {value!r}", post(f"Content-Length: {value.format(size)}\r\n", inner)
    for value in [
        "xchunked", "chunked, identity", "identity, chunked", "chunked,", ",chunked", "\tchunked", "chunked\x0b",
        "\x0bchunked", "CHUNKED", "\"chunked\"", "chunked;q=1", "gzip, chunked", "identity", "",
    ]:
        yield f"coding {value!r}", post(f"Transfer-Encoding: {value}\r\n", chunked)
        yield f"coding {value!r} and a length", post(f"Content-Length: 5\r\nTransfer-Encoding: {value}\r\n", f"0\r\n\r\n{inner}")
    yield "two codings", post(f"{te}Transfer-Encoding: identity\r\n", f"0\r\n\r\n{inner}")
    yield "two codings, turned", post(f"Transfer-Encoding: identity\r\n{te}", f"0\r\n\r\n{inner}")
    yield "a space before the colon", post(f"Content-Length: 5\r\nTransfer-Encoding : chunked\r\n", f"0\r\n\r\n{inner}")
    yield "a folded coding", post(f"Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n", f"0\r\n\r\n{inner}")
    yield "a coding folded into another header", post(f"Content-Length: 5\r\nX: a\r\n {te}", f"0\r\n\r\n{inner}")
    yield "a coding behind a bare LF", post(f"Content-Length: 5\r\nX: a\n{te}", f"0\r\n\r\n{inner}")
    yield "a coding behind a bare CR", post(f"Content-Length: 5\r\nX: a\r{te}", f"0\r\n\r\n{inner}")
    yield "a head of bare LF", post("Content-Length: 5\r\n", f"0\r\n\r\n{inner}").replace("\r\n", "\n", 4)
    yield "an underscore", post(f"Content-Length: 5\r\nTransfer_Encoding: chunked\r\n", f"0\r\n\r\n{inner}")
    yield "a NUL", post(f"Content-Length: 5\r\nX: a\0b\r\n{te}", f"0\r\n\r\n{inner}")
    yield "a coding of HTTP/1.0", post(te, f"0\r\n\r\n{inner}", version="1.0")
    yield "a coding that is for the next hop only", post(f"Connection: Transfer-Encoding\r\n{te}", chunked)
    yield "a length that is for the next hop only", post(f"Connection: Content-Length\r\nContent-Length: {size}\r\n", inner)
    for extension in [";a=b", ";", ";a=\"\r\n\"", ";\n0\r\n\r\n", "\t", " ", ";a\r", "\n"]:
        body = f"{size:x}{extension}\r\n{inner}\r\n0\r\n\r\n"
        yield f"chunk extension {extension!r}", post(te, body)
        yield f"last chunk extension {extension!r}", post(te, f"1\r\na\r\n0{extension}\r\n\r\n{inner}")
    for digits in [f"0x{size:x}", f"+{size:x}", f"{size:x}g", "ffffffffffffffff", f"1000000000000000{size:x}", f"000{size:x}", ""]:
        yield f"chunk size {digits!r}", post(te, f"{digits}\r\n{inner}\r\n0\r\n\r\n")
    yield "a chunk longer than its size", post(te, f"1\r\n{inner}\r\n0\r\n\r\n")
    yield "chunks with bare LF", post(te, f"{size:x}\n{inner}\n0\n\n")
    yield "a chunk that ends with two bytes of its own", post(te, f"1\r\naXX0\r\n\r\n{inner}")
    yield "trailers that are headers", post(te, f"1\r\na\r\n0\r\nContent-Length: {size}\r\n{te}\r\n{inner}")
    yield "a GET with a body", post(f"Content-Length: {size}\r\n", inner, line=f"GET {NODE} HTTP/1.1")
    yield "a HEAD with a body", post(te, chunked, line=f"HEAD {NODE} HTTP/1.1")
    yield "a body that is waited for", post(f"Expect: 100-continue\r\nContent-Length: {size}\r\n", inner)
    yield "a refused body that is waited for", post(
        f"Expect: 100-continue\r\nContent-Encoding: gzip\r\nContent-Length: {size}\r\n", inner
    )
    yield "a body without credentials", post(f"Content-Length: {size}\r\n", inner).replace("{token}", "tdg_none", 1)
    yield "two hosts", post("", inner, host="Host: localhost\r\nHost: other\r\n")
    yield "a host that is a line", post("", inner, host="Host: a b\r\n")
    yield "an absolute target", post(f"Content-Length: {size}\r\n", inner, line=f"POST http://other{NODE}/items HTTP/1.1")
    yield "a target with a space", post(f"Content-Length: {size}\r\n", inner, line=f"POST {NODE}/items x HTTP/1.1")
    yield "an upgrade that is refused", post(
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: {size}\r\n", inner, line=f"GET {NODE}/items?watch=true&wait=0 HTTP/1.1"
    )
    yield "an upgrade with a wrong version", post(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: x\r\n", inner,
        line=f"GET {NODE}/items?watch=true HTTP/1.1",
    )
    yield "two requests, as they should be", post("Content-Length: 1\r\n", f"a{inner}")


def smuggle(client, direct, proxy, number, name, attack, where):
    """Sends one; both have taken it for the same requests."""
    item = f"{where}-{number}"
    before = len(proxy.seen())
    with client.open(attack) as stream:
        answer = everything(stream)
    path = f"{NODE}/items/{item}"
    answers = len(re.findall(rb"HTTP/1\.[01] (?!100)\d{3} ", answer))
    wait_for(lambda: len(proxy.seen()) - before >= answers, "the proxy logs what it has answered")
    seen = [line.split(" ", 3)[3] for line in proxy.seen()[before:]]
    inner = sum(request.startswith(f"PUT {path} ") for request in seen)
    stored = direct.ask("GET", path)[0] == 200
    if stored and not inner:
        raise RuntimeError(f"{name}: a request was stored that the proxy had not seen; it saw {seen}, and answered {answer[:300]!r}")
    # The connections that the proxy keeps to the server are not one answer behind.
    for _ in range(3):
        for known in ["one", "two"]:
            told = client.ask("GET", f"{NODE}/items/{known}")
            if told != (200, json.dumps(known)):
                raise RuntimeError(f"{name}: the question for {known} is answered {told}")
    return stored


def smuggling(client, direct, proxy):
    """What was stored was asked for; the number of attacks, and of second requests that both have seen."""
    count = stored = 0
    # nginx passes the head of a request with `Expect`, or in the middle of a body, at once: here it comes at once too.
    for number, _ in enumerate(attacks("")):
        inner = (
            f"PUT {NODE}/items/smuggled-{number} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n"
            "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
        )
        name, attack = list(attacks(inner))[number]
        stored += smuggle(client, direct, proxy, number, name, attack, "smuggled")
        count += 1
    if not stored:
        raise RuntimeError("not even two requests that are as they should be were both taken: this check finds nothing")
    return f"{count} attacks, {stored} second requests that both have seen"


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is not indexed (RFC 7541 §6.2.2)."""
    def text(raw):
        length = len(raw)
        return (bytes([length]) if length < 127 else bytes([127, length - 127])) + raw
    return b"\0" + text(name) + text(value)


def downgraded(client, direct, proxy):
    """HTTP/2 before the proxy and HTTP/1.1 behind it: what is no header of HTTP/2 does not become one of HTTP/1.1."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.set_alpn_protocols(["h2"])
    path = f"{NODE}/items/downgraded"
    inner = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
    cases = [
        [(b"transfer-encoding", b"chunked")],
        [(b"content-length", b"0")],
        [(b"x", b"a\r\nTransfer-Encoding: chunked")],
        [(b"x\r\ntransfer-encoding", b"chunked")],
        [(b"connection", b"upgrade"), (b"upgrade", b"h2c")],
    ]
    for more in cases:
        with socket.create_connection(("127.0.0.1", proxy.tls), WAIT_SECONDS) as plain, tls.wrap_socket(plain) as stream:
            fields = [
                (b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"),
                (b":path", f"{NODE}/items".encode()), (b"authorization", f"Bearer {client.token}".encode()),
                (b"content-type", b"text/plain"), *more,
            ]
            head = b"".join(literal(name, value) for name, value in fields)
            stream.sendall(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, head)
                + frame(0, 1, 1, b"0\r\n\r\n" + inner.encode())
            )
            everything(stream)
        if direct.ask("GET", path)[0] == 200:
            raise RuntimeError(f"{more} let a request through in a body")
        for known in ["one", "two"] * 3:
            told = client.ask("GET", f"{NODE}/items/{known}")
            if told != (200, json.dumps(known)):
                raise RuntimeError(f"{more}: the question for {known} is answered {told}")
    return f"{len(cases)} attacks"


def behind(kind, binary, folder, checks):
    """All checks behind one proxy."""
    server, proxy = Server(binary, folder), None
    try:
        token = server.account("proxied").text
        server.start()
        certificate = server.certificate()
        proxy = kind(folder, server, certificate)
        direct = Client(int(server.addresses["http"].rsplit(":", 1)[1]), token)
        client = Client(proxy.plain, token)
        direct.ask("PUT", NODE, "{}")
        for known in ["one", "two"]:
            direct.ask("PUT", f"{NODE}/items/{known}", json.dumps(known))
        trust = ssl.create_default_context(cafile=certificate)
        trust.check_hostname = False
        for name, does in {
            "an event stream": lambda: stream_of(client, direct, "text/event-stream", b"retry:"),
            "an event stream over TLS": lambda: stream_of(client, direct, "text/event-stream", b"retry:", proxy.tls, trust),
            "an event stream over HTTP/2": lambda: http2(proxy.tls, token, direct, certificate),
            "lines": lambda: stream_of(client, direct, "application/x-ndjson", b"bookmark"),
            "a WebSocket": lambda: websocket(client, direct),
            "a long poll": lambda: long_poll(client, direct),
            "lines that are published": lambda: lines(client),
            "requests within requests": lambda: smuggling(client, direct, proxy),
            "requests within those of HTTP/2": lambda: downgraded(client, direct, proxy),
        }.items():
            try:
                checks.check(f"behind {kind.__name__}: {name}", does)
            except Failed:
                pass
    except Exception as error:
        checks.failed += 1
        print(f"FAILED  behind {kind.__name__}: {error}", flush=True)
    finally:
        if proxy:
            proxy.stop()
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/debug/tidings", help="the tidings to run")
    options = parser.parse_args()
    checks = Checks()
    for kind in [Nginx, Haproxy]:
        with tempfile.TemporaryDirectory(prefix="proxy-") as folder:
            behind(kind, options.binary.resolve(), Path(folder), checks)
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
