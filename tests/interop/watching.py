#!/usr/bin/env python3
"""Runs every example of docs/watching.md as it stands there, against `tidings serve`, and compares docs/operations.md.

    python3 tests/interop/watching.py --binary target/debug/tidings

Items are published while an example runs; it must print them. A block of `js` runs in Node.js, after a prelude that
says where the server is and, where there is none, makes an EventSource as browsers have it; and in Chromium, in a page
of an origin of its own that `http.origins` names. The same page of another origin must be refused. The last line is
`N passed, N failed`; with a failure the exit code is 1.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import chromium
from run import HERE, PASSWORD, Checks, Server

NODE = "orders%2F42"
WAIT_SECONDS = 60
PRELUDE = """
const base = process.env.TIDINGS, token = process.env.TOKEN;
globalThis.EventSource ??= class {
  constructor(url) {
    this.handlers = {};
    this.read(url).catch((error) => this.onerror?.(error));
  }
  addEventListener(name, handler) { this.handlers[name] = handler; }
  close() { this.closed = true; }
  async read(url) {
    const answer = await fetch(url, { headers: { Accept: "text/event-stream" } });
    if (answer.status !== 200) throw new Error(`answered ${answer.status}`);
    let rest = "", lastEventId = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + piece).split("\\n\\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = { data: [] };
        for (const line of block.split("\\n")) {
          const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
          if (name === "data") fields.data.push(value);
          else if (name) fields[name] = value;
        }
        lastEventId = fields.id ?? lastEventId;
        if (fields.data.length) this.handlers[fields.event]?.({ data: fields.data.join("\\n"), lastEventId });
      }
    }
    this.onerror?.(new Error("the stream ended"));
  }
};
"""


def examples():
    """(name, language, code) of each block, in order."""
    text = (HERE.parents[1] / "docs/watching.md").read_text()
    blocks = re.findall(r"^```(sh|js|python)\n(.*?)^```$", text, re.M | re.S)
    return [(f"{language} {number}", language, code) for number, (language, code) in enumerate(blocks, 1)]


def outside_browsers(language, code):
    """Node.js 20 has no WebSocket."""
    return language != "js" or "new WebSocket" not in code


def until_printed(server, token, printed, running=lambda: True):
    """Publishes until the example has printed what was published."""
    mark = f"mark-{time.monotonic_ns()}"
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and running():
        publish(server, token, {"mark": mark})
        if mark in printed():
            return f"printed {mark}"
        time.sleep(0.2)
    raise RuntimeError(f"it did not print what was published: {printed()[-2000:]!r}")


def run_example(server, token, options, language, code, folder):
    """Publishes until the example has printed what was published."""
    words = {
        "sh": ["bash", "-c", code],
        "js": [options.node, "--input-type=module", "-e", PRELUDE + code],
        "python": [options.python, "-u", "-c", code],
    }[language]
    host, port = server.addresses["xmpp"].rsplit(":", 1)
    environment = {
        **os.environ,
        "TIDINGS": "http://" + server.addresses["http"],
        "TOKEN": token.text,
        "JID": "watcher@localhost/example",
        "PASSWORD": PASSWORD,
        "CERTIFICATE": str(server.certificate()),
        "HOST": host,
        "PORT": port,
    }
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment,
        start_new_session=True,
    )
    lines = []
    threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True).start()
    try:
        return until_printed(server, token, lambda: "".join(lines), lambda: process.poll() is None)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


class Pages:
    """A browser, and two sites with the same pages: the server allows those of one."""

    def __init__(self, folder):
        self.pages = {"/favicon.ico": ""}
        self.browser = chromium.Browser(folder)
        self.allowed = chromium.Site(self.pages)
        self.other = chromium.Site(self.pages)

    def close(self):
        self.browser.close()

    def open(self, server, token, site, code):
        base = "http://" + server.addresses["http"]
        script = f"const base = {json.dumps(base)}, token = {json.dumps(token.text)};\n{code}"
        self.pages["/"] = f'<!doctype html><script type="module">\n{script}</script>'
        return self.browser.open(site.origin + "/")

    def run(self, server, token, code):
        page = self.open(server, token, self.allowed, code)
        try:
            return until_printed(server, token, page.printed)
        finally:
            page.close()

    def refuse(self, server, token, code):
        """A page of an origin that is not named gets nothing, and the browser says why."""
        page = self.open(server, token, self.other, code)
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while "CORS" not in page.printed():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"no word of CORS: {page.printed()[-2000:]!r}")
                time.sleep(0.1)
            if "mark-" in page.printed():
                raise RuntimeError(f"it read what it must not: {page.printed()[-2000:]!r}")
            return "refused"
        finally:
            page.close()


def publish(server, token, data):
    connection = http.client.HTTPConnection(server.addresses["http"], timeout=WAIT_SECONDS)
    headers = {"Authorization": f"Bearer {token.text}", "Content-Type": "application/json"}
    connection.request("PUT", f"/v1/nodes/{NODE}/items/7?create=true", json.dumps(data), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise RuntimeError(f"a publish was answered {answer.status} {body!r}")


def metrics(server):
    """The metrics are those of docs/operations.md, all of them and no others."""
    connection = http.client.HTTPConnection(server.addresses["admin"], timeout=WAIT_SECONDS)
    connection.request("GET", "/metrics")
    told = set(re.findall(r"^# TYPE (\S+) ", connection.getresponse().read().decode(), re.M))
    connection.close()
    documented = set(re.findall(r"^\| `((?:tidings|process)_[a-z_]+)` \|", (HERE.parents[1] / "docs/operations.md").read_text(), re.M))
    if told != documented or not told:
        raise RuntimeError(f"told and documented differ in {sorted(told ^ documented)}")
    return f"{len(told)} metrics"


def shown(server, pages):
    """/docs, in a browser, shows every operation of /openapi.json with its examples."""
    connection = http.client.HTTPConnection(server.addresses["http"], timeout=WAIT_SECONDS)
    connection.request("GET", "/openapi.json")
    api = json.loads(connection.getresponse().read())
    connection.close()
    operations, examples = [], 0
    for path, place in api["paths"].items():
        if not path.startswith("/v1/services/"):
            operations += [one["operationId"] for method, one in place.items() if method != "parameters"]
            examples += sum(
                "example" in content for method, one in place.items() if method != "parameters"
                for content in one.get("requestBody", {}).get("content", {}).values()
            )
    page = pages.browser.open(f"http://{server.addresses['http']}/docs")
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        missing = operations
        while missing and time.monotonic() < deadline:
            there = page.evaluate("[...document.querySelectorAll('details[id]')].map((one) => one.id)")
            missing = [name for name in operations if name not in there]
            time.sleep(0.1)
        told = page.evaluate("[...document.querySelectorAll('p')].filter((one) => one.textContent == 'For example').length")
    finally:
        page.close()
    if missing or not operations or told != examples:
        raise RuntimeError(f"{missing} of {len(operations)} are not shown, nor {examples - told} of {examples} examples")
    return f"{len(operations)} operations, {examples} examples"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/debug/tidings", help="the tidings to run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has slixmpp")
    parser.add_argument("--node", default="node", help="Node.js")
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="watching-") as folder:
        pages = Pages(folder)
        server = Server(options.binary.resolve(), Path(folder), sets=[f"http.origins={pages.allowed.origin}"])

        def examples_run():
            token = server.account("watcher")
            server.start()
            publish(server, token, {"mark": "before"})
            checks.whole(lambda: checks.check("docs/operations.md: the metrics", lambda: metrics(server)))
            checks.whole(lambda: checks.check("/docs in Chromium", lambda: shown(server, pages)))
            for name, language, code in examples():
                here = f"docs/watching.md, {name}"
                runs = []
                if outside_browsers(language, code):
                    runs.append((here, lambda: run_example(server, token, options, language, code, folder)))
                if language == "js":
                    runs.append((f"{here} in Chromium", lambda: pages.run(server, token, code)))
                    runs.append((f"{here} in a page of another origin", lambda: pages.refuse(server, token, code)))
                for told, does in runs:
                    checks.whole(lambda: checks.check(told, does))

        try:
            checks.whole(examples_run)
        finally:
            pages.close()
            server.kill()
    return checks.told()


if __name__ == "__main__":
    sys.exit(main())
