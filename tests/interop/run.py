#!/usr/bin/env python3
"""Runs XMPP libraries that the project has no part in against `tidings serve`.

    python3 tests/interop/run.py --binary target/debug/tidings

One node, one watcher on each library; the items come in over HTTP. Every watcher must see every item once and in
order, before and after it reconnects and before and after the server is started anew on the same data and ports.
Before them an administrator on slixmpp manages nodes and accounts by ad-hoc commands. Two people with profanity chat.

slixmpp and aioxmpp are looked for in the Python given by --python (requirements.txt), xmpp.js and strophe.js in node_modules beside
this file (package-lock.json); strophe.js runs in Debian's Chromium. Standard library only. The last line is `N passed, N failed`; with a failure the exit code is 1.
"""

import argparse
import http.client
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import ejabberd
import profanity
import prosody
import strophe
from neighbour import free_port

HERE = Path(__file__).resolve().parent
PASSWORD = "interop-" + secrets.token_hex(8)
SERVICE = "pubsub.localhost"
START_SECONDS = 60
ANSWER_SECONDS = 180
COMPONENT = "bot.localhost"
ITEMS = 1000
MORE = 100
NEWEST = 50
HOUSES = {"prosody": prosody.Prosody, "ejabberd": ejabberd.Ejabberd}
KINDS = ["admin", "slixmpp", "aioxmpp", "component", "xmppjs", "xmppjs-websocket", "strophe-websocket", "strophe-bosh", "profanity"]


class Failed(Exception):
    """A check did not hold, and what follows it in this chain makes no sense."""


class Secret:
    """Something that is not told."""

    def __init__(self, text):
        self.text = text


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, does):
        """Runs one check; what it returns is told, and given to the caller."""
        try:
            result = does()
        except Exception as error:
            self.failed += 1
            print(f"FAILED  {name}: {error}", flush=True)
            raise Failed(name) from error
        self.passed += 1
        print(f"ok      {name}{f': {result}' if isinstance(result, str) else ''}", flush=True)
        return result

    def whole(self, does):
        """Runs a whole series of checks: one that fails ends it, and so does any other mistake."""
        try:
            does()
        except Failed:
            pass
        except Exception as error:
            self.failed += 1
            print(f"FAILED  {error}", flush=True)

    def told(self):
        """Says how it went; the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


class Server:
    """`tidings serve` on a data directory of its own; a second start takes the ports of the first."""

    def __init__(self, binary, folder, name="server", sets=(), domain="localhost", file=""):
        self.binary = binary
        self.config = folder / f"{name}.toml"
        self.config.write_text(file)
        self.sets = [word for pair in sets for word in ("--set", pair)]
        self.domain = domain
        self.data = folder / f"{name}-data"
        self.ready = folder / f"{name}-ready.json"
        self.log = folder / f"{name}.log"
        self.addresses = {}
        self.process = None

    def command(self, *words, text=None):
        """Runs one of the program's other commands."""
        done = subprocess.run(
            [self.binary, *words, "--config", self.config, "--data", self.data, *self.sets],
            input=text, capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"tidings {' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def administrator(self, name):
        self.command("user", "add", name, "--admin", "--password-stdin", text=PASSWORD + "\n")
        return f"{name}@localhost"

    def account(self, name, *kind):
        """Makes an account and a token that may do all that the account may."""
        self.command("user", "add", name, "--password-stdin", *kind, text=PASSWORD + "\n")
        said = self.command("token", "create", f"{name}@{self.domain}")
        token = re.search(r"tdg_\S+", said)
        if not token:
            raise RuntimeError(f"`tidings token create` printed no token: {said!r}")
        return Secret(token.group())

    def start(self):
        self.ready.unlink(missing_ok=True)
        settings = {"xmpp.listen": "xmpp", "xmpp.listen_tls": "xmpp_tls", "http.listen": "http", "admin.listen": "admin"}
        words = [self.binary, "serve", "--config", self.config, "--data", self.data, "--ready-file", self.ready, *self.sets]
        for setting, name in settings.items():
            words += ["--set", f"{setting}={self.addresses.get(name) or '127.0.0.1:0'}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}\n{self.log_end()}")
            try:
                addresses = json.loads(self.ready.read_text())
            except (OSError, ValueError):
                time.sleep(0.05)
                continue
            if self.addresses and addresses != self.addresses:
                raise RuntimeError(f"the ports were {self.addresses} and are {addresses}")
            self.addresses = addresses
            return f"XMPP on {addresses['xmpp']}, HTTP on {addresses['http']}"
        raise RuntimeError(f"the server was not ready within {START_SECONDS} s\n{self.log_end()}")

    def stop(self):
        """SIGTERM is enough, and the exit code is 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(START_SECONDS)
        if code != 0:
            raise RuntimeError(f"the server ended with {code}\n{self.log_end()}")
        return "exit code 0"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def certificate(self):
        """The self-signed certificate that the first start has made."""
        for path in sorted(self.data.rglob("*")):
            if path.is_file() and path.suffix in (".crt", ".pem", ".cert") and "CERTIFICATE" in path.read_text(errors="replace"):
                return path
        raise RuntimeError(f"no certificate under {self.data}")

    def key(self):
        for path in sorted(self.data.rglob("*")):
            if path.is_file() and "PRIVATE KEY" in path.read_text(errors="replace"):
                return path
        raise RuntimeError(f"no key under {self.data}")

    def log_end(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


class Publisher:
    """Publishes {"n": 1}, {"n": 2} … to one node over one keep-alive HTTP connection."""

    def __init__(self, address, token, node):
        self.address = address
        self.token = token
        self.node = node
        self.path = f"/v1/nodes/{quote(node, safe='')}/items"
        self.connection = None
        self.number = 0
        self.ids = {}

    def ask(self, method, path, body=None):
        self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {self.token.text}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def publish(self, count):
        for _ in range(count):
            number = self.number + 1
            status, body = self.ask("POST", self.path, json.dumps({"n": number}))
            if status != 201:
                raise RuntimeError(f"item {number} was answered {status} {body!r}")
            self.ids[number] = json.loads(body)["id"]
            self.number = number
        return f"items {self.number - count + 1} to {self.number}"

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def retrieve(self, number):
        status, body = self.ask("GET", f"{self.path}/{quote(self.ids[number], safe='')}")
        if status != 200 or json.loads(body) != {"n": number}:
            raise RuntimeError(f"item {number} was answered {status} {body!r}")
        return f"item {number}"


class Watcher:
    """A client program: a line in, a line out."""

    def __init__(self, name, words, environment):
        self.name = name
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE,
            env={**os.environ, "INTEROP_PASSWORD": PASSWORD, **environment},
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def tell(self, words):
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def hear(self):
        notes = []
        while True:
            try:
                line = self.lines.get(timeout=ANSWER_SECONDS)
            except queue.Empty:
                raise RuntimeError(f"no answer within {ANSWER_SECONDS} s {notes}") from None
            if line is None:
                raise RuntimeError(f"the client ended {notes}")
            if line.startswith("ok "):
                return line[3:]
            if line.startswith("failed "):
                raise RuntimeError(f"{line[7:]} {notes or ''}")
            notes.append(line)

    def do(self, words):
        self.tell(words)
        return self.hear()

    def end(self):
        """Asks it to leave; makes it, if it does not."""
        try:
            self.tell("quit")
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def watch(checks, server, name, client, token):
    """The whole story of one library."""
    node = f"interop/{name}"
    watcher = client(node)
    publisher = Publisher(server.addresses["http"], token, node)
    newest = lambda: f"{publisher.number - NEWEST + 1} {publisher.number}"

    def more(count):
        """What is published from now on arrives."""
        first = publisher.number + 1
        watcher.tell(f"expect {first} {publisher.number + count}")
        publisher.publish(count)
        return watcher.hear()

    try:
        checks.check(f"{name}: logs in, creates a node, subscribes", lambda: watcher.do("start"))
        checks.check(f"{name}: sees what is published over HTTP, in order and without a gap", lambda: more(ITEMS))
        checks.check(f"{name}: leaves and comes back", lambda: watcher.do("reconnect"))
        checks.check(f"{name}: sees what is published after that", lambda: more(MORE))
        checks.check(f"{name}: retrieves the newest items", lambda: watcher.do(f"retrieve {newest()}"))
        publisher.close()
        checks.check(f"{name}: the server ends on SIGTERM", server.stop)
        checks.check(f"{name}: the server starts anew", server.start)
        checks.check(f"{name}: the library comes back by itself", lambda: watcher.do("returned"))
        checks.check(f"{name}: its items are there after the restart", lambda: watcher.do(f"retrieve {newest()}"))
        checks.check(f"{name}: the same over HTTP", lambda: publisher.retrieve(ITEMS))
        checks.check(f"{name}: its subscription has outlived the restart", lambda: more(MORE))
    finally:
        publisher.close()
        watcher.end()


def behind(checks, options, folder, theirs, certificate):
    """Tidings as a component of another server: a user of that watches what is published over HTTP."""
    name = theirs.name
    ours = Server(options.binary.resolve(), folder, f"component-of-{name}", theirs.settings(), "tidings.invalid", theirs.file())
    watcher = None
    try:
        token = checks.check(f"{name}: a publisher's account", lambda: ours.account("publisher", "--admin"))
        checks.check(f"{name} starts", theirs.start)
        checks.check(f"{name}: Tidings starts as its component", ours.start)
        node = f"interop/{name}"
        words = [options.python, "-u", HERE / "slixmpp_client.py", "--ca", certificate]
        arguments = ["--jid", f"{name}@localhost/interop", "--host", "127.0.0.1", "--port", str(theirs.c2s)]
        watcher = Watcher(name, [*words, *arguments, "--service", SERVICE, "--node", node], {})
        publisher = Publisher(ours.addresses["http"], token, node)

        def more(count):
            first = publisher.number + 1
            watcher.tell(f"expect {first} {publisher.number + count}")
            publisher.publish(count)
            return watcher.hear()

        checks.check(f"{name}: its user creates a node and subscribes", lambda: watcher.do("start"))
        checks.check(f"{name}: its user sees what is published over HTTP, in order and without a gap", lambda: more(MORE))
        publisher.close()
        checks.check(f"{name}: Tidings ends", ours.stop)
        checks.check(f"{name}: Tidings starts anew", ours.start)
        checks.check(f"{name}: it is a component again, and its subscription still holds", lambda: more(MORE))
        checks.check(f"{name} ends", theirs.stop)
        checks.check(f"{name}: items are taken meanwhile", lambda: publisher.publish(1))
        checks.check(f"{name} starts anew", theirs.start)
        checks.check(f"{name}: its user comes back by himself", lambda: watcher.do("returned"))
        checks.check(f"{name}: the component comes back by itself", lambda: watcher.do(f"answers {START_SECONDS}"))
        publisher.close()
        checks.check(f"{name}: Tidings ends at last", ours.stop)
    except Failed:
        print(ours.log_end(), theirs.log_end(), sep="\n", file=sys.stderr)
    finally:
        if watcher:
            watcher.end()
        ours.kill()
        theirs.stop()


def administrate(checks, server, words):
    """What people do with the commands that a client shows them."""
    node = "interop/by-command"
    host, port = server.addresses["xmpp"].rsplit(":", 1)
    arguments = ["--jid", "interop-admin@localhost/interop", "--host", host, "--port", port, "--service", SERVICE, "--node", node]
    client = Watcher("admin", [*words, *arguments], {})
    try:
        checks.check("admin: logs in and is offered commands", lambda: client.do("start"))
        checks.check("admin: creates a node in two steps", lambda: client.do(f"create {node}"))
        checks.check("admin: configures it", lambda: client.do(f"configure {node}"))
        checks.check("admin: finds it", lambda: client.do(f"list {node}"))
        checks.check("admin: deletes it", lambda: client.do(f"delete {node}"))
        checks.check("admin: is told of a mistake", lambda: client.do(f"refused {node}"))
        checks.check("admin: adds an account and deletes it", lambda: client.do("account by-command"))
    finally:
        client.end()


def terminal(checks, server, folder, token):
    """People who sit at a terminal."""
    publisher = Publisher(server.addresses["http"], token, "interop/profanity")
    try:
        checks.check("profanity: a node", lambda: made(*publisher.ask("PUT", "/v1/nodes/interop%2Fprofanity", "{}")))
        profanity.chat(checks, server, folder, publisher, SERVICE, PASSWORD)
    except Failed:
        print(server.log_end(), file=sys.stderr)
    finally:
        publisher.close()


def made(status, body):
    if status != 201:
        raise RuntimeError(f"answered {status} {body!r}")


class Clients:
    """How to make each watcher, for the node that it watches."""

    def __init__(self, options, server, page):
        self.options = options
        self.server = server
        self.page = page

    def program(self, name, words, environment, jid, address):
        host, port = address.rsplit(":", 1)
        arguments = ["--jid", jid, "--host", host, "--port", port, "--service", SERVICE]
        return lambda node: Watcher(name, [*words, *arguments, "--node", node], environment)

    def strophe(self, name, service):
        options = {"service": service, "jid": f"{name}@localhost/interop", "password": PASSWORD, "domain": SERVICE}
        return lambda node: self.page.watcher(name, {**options, "node": node})

    def named(self, name):
        addresses, certificate = self.server.addresses, self.server.certificate()
        jid, xmpp, http_address = f"{name}@localhost/interop", addresses["xmpp"], addresses["http"]
        slixmpp = [self.options.python, "-u", HERE / "slixmpp_client.py"]
        xmppjs, trust = [self.options.node, HERE / "xmpp_client.mjs"], {"NODE_EXTRA_CA_CERTS": str(certificate)}
        websocket = f"ws://{http_address}/xmpp-websocket"
        match name:
            case "slixmpp":
                return self.program(name, [*slixmpp, "--ca", certificate], {}, jid, xmpp)
            case "aioxmpp":
                words = [self.options.python, "-u", HERE / "aioxmpp_client.py", "--ca", certificate]
                return self.program(name, words, {}, jid, xmpp)
            case "component":
                return self.program(name, slixmpp, {}, COMPONENT, self.server.component)
            case "xmppjs":
                return self.program(name, xmppjs, trust, jid, xmpp)
            case "xmppjs-websocket":
                # Node.js 20 has the WebSocket that the library looks for, when asked.
                words = [self.options.node, "--experimental-websocket", *xmppjs[1:], "--websocket", websocket]
                return self.program(name, words, {}, jid, xmpp)
            case "strophe-websocket":
                return self.strophe(name, websocket)
            case "strophe-bosh":
                return self.strophe(name, f"http://{http_address}/http-bind")


def run(checks, options, folder):
    page = strophe.Strophe(folder) if any(name.startswith("strophe") for name in options.only) else None
    component = f"127.0.0.1:{free_port()}"
    # xmpp.js makes its keys in plain JavaScript: with the default it would take seconds, and more on a busy machine.
    sets = [f"xmpp.listen_component={component}", "auth.scram_iterations=10000"]
    sets += ([f"http.origins={page.site.origin}"] if page else [])
    file = f"[[component]]\ndomain = \"{COMPONENT}\"\nsecret = \"{PASSWORD}\"\n"
    server = Server(options.binary.resolve(), folder, sets=sets, file=file)
    server.component = component
    try:
        tokens = {}
        watchers = [name for name in options.only if name not in ("admin", "profanity")]
        for name in watchers:
            # To the node of a component only an administrator may publish beside it.
            kind = ["--admin"] if name == "component" else []
            tokens[name] = checks.check(f"{name}: an account and its API token", lambda: server.account(name, *kind))
        if "admin" in options.only:
            checks.check("admin: an administrator's account", lambda: server.administrator("interop-admin"))
        if "profanity" in options.only:
            checks.check("profanity: its user's token", lambda: tokens.update(profanity=server.account("profanity")))
            checks.check("profanity: a contact", lambda: tokens.update(contact=server.account("contact")))
        checks.check("the server starts", server.start)
        certificate = server.certificate()
        if "admin" in options.only:
            try:
                administrate(checks, server, [options.python, "-u", HERE / "slixmpp_admin.py", "--ca", certificate])
            except Failed:
                print(server.log_end(), file=sys.stderr)
        if "profanity" in options.only:
            terminal(checks, server, folder, tokens["profanity"])
        clients = Clients(options, server, page)
        for name in watchers:
            try:
                watch(checks, server, name, clients.named(name), tokens[name])
            except Failed:
                print(server.log_end(), file=sys.stderr)
                if server.process.poll() is not None:
                    server.start()
        checks.check("the server ends on SIGTERM at last", server.stop)
        for name in options.behind:
            theirs = HOUSES[name](folder / name, certificate, server.key(), PASSWORD)
            behind(checks, options, folder, theirs, certificate)
    finally:
        server.kill()
        if page:
            page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/debug/tidings", help="the tidings to run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has slixmpp and aioxmpp")
    parser.add_argument("--node", default="node", help="Node.js")
    parser.add_argument("--behind", nargs="*", choices=HOUSES, default=list(HOUSES), help="servers to be a component of")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    missing = [name for name, there in (("prosody", prosody.there), ("ejabberd", ejabberd.there)) if not there()]
    if wanted := set(missing) & set(options.behind):
        parser.error(f"{' and '.join(wanted)} missing, or this is not root: install what is missing, or name others by --behind")
    if "profanity" in options.only and not profanity.there():
        parser.error("profanity is missing: install it, or leave it out of --only")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="interop-") as folder:
        checks.whole(lambda: run(checks, options, Path(folder)))
    return checks.told()


if __name__ == "__main__":
    sys.exit(main())
