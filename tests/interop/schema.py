#!/usr/bin/env python3
"""Runs schemathesis over /openapi.json of `tidings serve`: what the document says must be so.

    python3 tests/interop/schema.py --binary target/debug/tidings --schemathesis .../bin/schemathesis

Twice: with everything drawn; and, so that it comes further than to a 404, at a node that is there, with an item, a
subscription, a webhook that has dead letters, and a sender of webhooks whose secret is sent along.

One check of schemathesis is left out, that whatever a schema allows is accepted: a schema cannot say what a prepared
name or an XML payload is. The last line is `N passed, N failed`; with a failure the exit code is 1.
"""

import argparse
import http.client
import json
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from run import HERE, Checks, Server

RUN_SECONDS = 1200
WAIT_SECONDS = 60
EXAMPLES = 15
NODE = "orders"
SUBSCRIBER = "examiner@localhost"
SETTINGS = [
    # It tries wrong credentials on purpose, more often than an address may.
    "limits.auth_failures=1000000",
    "webhooks.allow_http=true",
    "webhooks.networks=127.0.0.0/8",
    # One attempt, and a second one at once: then it is a dead letter.
    "webhooks.retry_seconds=0,1",
    # It polls for a long time often, where nothing comes.
    "limits.http_wait_seconds=1",
]


class Endpoint:
    """Answers the challenge, and fails at everything else."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = event.get("challenge", "").encode()
                self.send_response(200 if body else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, daemon=True).start()


def examine(server, token, options, folder, more=()):
    words = [
        options.schemathesis, "run", f"http://{server.addresses['http']}/openapi.json", "--no-color",
        "--header", f"Authorization: Bearer {token.text}", "--max-examples", str(EXAMPLES),
        # The examples are sent by a test of the server's own, those among them that this cannot write: NDJSON.
        "--phases", "coverage,fuzzing,stateful",
        # The same operations, at a service that is named.
        "--exclude-path-regex", "^/v1/services",
        # What is not found beneath something that was made need not be that: a dead letter that is replayed is drawn.
        "--exclude-checks", "positive_data_acceptance,ensure_resource_availability",
        # A long poll of nothing lasts a minute at most.
        "--request-timeout", "70", *more,
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, cwd=folder)
    (folder / "schemathesis.toml").unlink(missing_ok=True)
    if done.returncode != 0:
        raise RuntimeError(f"schemathesis found something:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    cases = re.search(r"\d+ generated, .*passed.*", done.stdout)
    return f"schemathesis finds nothing: {cases.group()}" if cases else "schemathesis finds nothing"


def furnish(server, token):
    """What the second run finds there; the id of the webhook."""
    ask(server, token, "PUT", f"/v1/nodes/{NODE}", {})
    webhook = ask(server, token, "POST", f"/v1/nodes/{NODE}/webhooks", {"url": Endpoint().url})["id"]
    ask(server, token, "PUT", f"/v1/nodes/{NODE}/subscriptions/{SUBSCRIBER}", {})
    ask(server, token, "PUT", f"/v1/nodes/{NODE}/items/7", {"n": 7})
    deadline = time.monotonic() + WAIT_SECONDS
    while not ask(server, token, "GET", f"/v1/nodes/{NODE}/webhooks/{webhook}/dead")["dead"]:
        if time.monotonic() > deadline:
            raise RuntimeError("a delivery that fails has not become a dead letter")
        time.sleep(0.2)
    return webhook


def further(server, token, options, folder, secret):
    """At what is there. Two operations would take it away, and have had their turn."""
    webhook = furnish(server, token)
    lines = ["[parameters]", f'"path.node" = "{NODE}"', f'"path.jid" = "{SUBSCRIBER}"', f'"path.id" = "{webhook}"']
    (folder / "schemathesis.toml").write_text("\n".join(lines))
    told = examine(server, token, options, folder, [
        "--exclude-operation-id", "deleteNode", "--exclude-operation-id", "removeWebhook",
        "--exclude-operation-id", "receiveWebhook", "--exclude-operation-id", "setAffiliations",
    ])
    webhook = furnish(server, token)
    (folder / "schemathesis.toml").write_text('[parameters]\n"path.id" = "sender"\n')
    examine(server, token, options, folder, [
        "--include-operation-id", "receiveWebhook", "--header", f"X-Gitlab-Token: {secret}",
    ])
    return told


def ask(server, token, method, path, body=None):
    connection = http.client.HTTPConnection(server.addresses["http"], timeout=WAIT_SECONDS)
    headers = {"Authorization": f"Bearer {token.text}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise RuntimeError(f"{method} {path} was answered {answer.status} {said!r}")
    return json.loads(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/debug/tidings", help="the tidings to run")
    parser.add_argument("--schemathesis", default="schemathesis", help="the program")
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        folder = Path(folder)
        secret = secrets.token_hex(16)
        (folder / "secret").write_text(secret)
        (folder / "secret").chmod(0o600)
        hook = (
            f'[[hook]]\nsource = "sender"\nscheme = "gitlab"\nsecret_files = ["{folder}/secret"]\n'
            f'account = "{SUBSCRIBER}"\nnode = "{NODE}"\n'
        )
        server = Server(options.binary.resolve(), folder, sets=SETTINGS, file=hook)

        def examined():
            token = server.account(SUBSCRIBER.partition("@")[0])
            server.start()
            checks.check("openapi.json, with everything drawn", lambda: examine(server, token, options, folder))
            checks.check("openapi.json, at what is there", lambda: further(server, token, options, folder, secret))
            checks.check("the server ends on SIGTERM", server.stop)

        try:
            checks.whole(examined)
        finally:
            server.kill()
    return checks.told()


if __name__ == "__main__":
    sys.exit(main())
