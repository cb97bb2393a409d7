"""Tidings as a component of a Prosody (XEP-0114): its users reach the pub/sub service, with nothing but Prosody's own
configuration of a component, and reach it again after either of the two was started anew."""

import os
import secrets
import shutil
import signal
import subprocess
import time

from neighbour import START_SECONDS, Neighbour, free_port, listens


class Prosody(Neighbour):
    """A Prosody of its own: one host, one account, one component."""

    name = "prosody"
    log = "prosody.log"

    def __init__(self, folder, certificate, key, password):
        self.folder = folder
        self.folder.mkdir()
        self.secret = secrets.token_hex(16)
        self.c2s, self.component = free_port(), free_port()
        self.process = None
        shutil.copy(certificate, folder / "localhost.crt")
        shutil.copy(key, folder / "localhost.key")
        (folder / "data").mkdir()
        (folder / "prosody.cfg.lua").write_text(
            f"""
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
run_as_root = true
daemonize = false
log = {{ info = "{folder}/prosody.log" }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "ping", "presence", "message", "iq", "smacks" }}
modules_disabled = {{ "s2s" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.c2s} }}
c2s_direct_tls_ports = {{}}
s2s_ports = {{}}
component_ports = {{ {self.component} }}
component_interfaces = {{ "127.0.0.1" }}
http_ports = {{}}
https_ports = {{}}
storage = "internal"
authentication = "internal_hashed"
ssl = {{ certificate = "{folder}/localhost.crt", key = "{folder}/localhost.key" }}
VirtualHost "localhost"
Component "pubsub.localhost"
    component_secret = "{self.secret}"
"""
        )
        self.control("register", "prosody", "localhost", password)

    def control(self, *words):
        command = ["prosodyctl", "--root", "--config", self.folder / "prosody.cfg.lua", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"prosodyctl {words[0]}: {done.stdout} {done.stderr}")

    def start(self):
        command = ["prosody", "--root", "-F", "--config", self.folder / "prosody.cfg.lua"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"Prosody ended with {self.process.returncode}: {self.log_end()}")
            if all(listens(port) for port in (self.c2s, self.component)):
                return "Prosody listens"
            time.sleep(0.05)
        raise RuntimeError(f"Prosody does not listen: {self.log_end()}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return "Prosody ended"


def there():
    return shutil.which("prosody") and shutil.which("prosodyctl") and os.geteuid() == 0
