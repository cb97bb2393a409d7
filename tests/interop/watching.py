#!/usr/bin/env python3
"""Runs every example of docs/watching.md as it stands there, against `tidings serve`, and compares docs/operations.md.

    python3 tests/interop/watching.py --binary target/debug/tidings

Items are published while an example runs; it must print them. A block of `js` runs in Node.js, after a prelude that
says where the server is and, where there is none, makes an EventSource as browsers have it. The last line is
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

from run import HERE, PASSWORD, Checks, Failed, Server

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
    printed = lambda: "".join(map(str, lines))
    mark = f"mark-{time.monotonic_ns()}"
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            publish(server, token, {"mark": mark})
            if mark in printed():
                return f"printed {mark}"
            time.sleep(0.2)
        raise RuntimeError(f"it did not print what was published: {printed()[-2000:]!r}")
    finally:
        os.killpg(process.pid, 9)
        process.wait()


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
    documented = set(re.findall(r"`(tidings_[a-z_]+)`", (HERE.parents[1] / "docs/operations.md").read_text()))
    if told != documented or not told:
        raise RuntimeError(f"told and documented differ in {sorted(told ^ documented)}")
    return f"{len(told)} metrics"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/debug/tidings", help="the tidings to run")
    parser.add_argument("--python", default=sys.executable, help="a Python that has slixmpp")
    parser.add_argument("--node", default="node", help="Node.js")
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="watching-") as folder:
        server = Server(options.binary.resolve(), Path(folder))
        try:
            token = server.account("watcher")
            server.start()
            publish(server, token, {"mark": "before"})
            try:
                checks.check("docs/operations.md: the metrics", lambda: metrics(server))
            except Failed:
                pass
            for name, language, code in examples():
                try:
                    checks.check(
                        f"docs/watching.md, {name}",
                        lambda language=language, code=code: run_example(server, token, options, language, code, folder),
                    )
                except Failed:
                    pass
        except Exception as error:
            checks.failed += 1
            print(f"FAILED  {error}", flush=True)
        finally:
            server.kill()
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
