"""Tidings as a component of an ejabberd (XEP-0114), as prosody.py has it for Prosody."""

import os
import secrets
import shutil
import subprocess
import time

from neighbour import START_SECONDS, Neighbour, free_port, listens

CONTROL_SECONDS = 60
PROGRAM = "/usr/sbin/ejabberdctl"


class Ejabberd(Neighbour):
    """An ejabberd of its own: one host, one account, one component."""

    name = "ejabberd"
    log = "logs/ejabberd.log"

    def __init__(self, folder, certificate, key, password):
        self.folder = folder
        self.folder.mkdir()
        self.secret = secrets.token_hex(16)
        self.c2s, self.component, self.distribution = free_port(), free_port(), free_port()
        self.password = password
        self.registered = False
        self.node = f"interop{secrets.token_hex(4)}@127.0.0.1"
        pem = folder / "localhost.pem"
        pem.write_text(certificate.read_text() + key.read_text())
        (folder / "data").mkdir()
        (folder / "ejabberd.yml").write_text(
            f"""
hosts: [localhost]
loglevel: warning
certfiles: ["{pem}"]
listen:
  - port: {self.c2s}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls: true
  - port: {self.component}
    ip: "127.0.0.1"
    module: ejabberd_service
    hosts:
      "pubsub.localhost":
        password: "{self.secret}"
auth_method: internal
auth_password_format: scram
acl: {{local: {{user_regexp: ""}}}}
modules:
  mod_disco: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
"""
        )
        (folder / "ejabberdctl.cfg").write_text(
            f"INET_DIST_INTERFACE=127.0.0.1\nERL_DIST_PORT={self.distribution}\nERLANG_NODE={self.node}\n"
        )

    def control(self, *words):
        command = [
            PROGRAM, "--config-dir", self.folder, "--config", self.folder / "ejabberd.yml",
            "--ctl-config", self.folder / "ejabberdctl.cfg", "--logs", self.folder / "logs",
            "--spool", self.folder / "data", "--node", self.node, *words,
        ]
        environment = {**os.environ, "HOME": str(self.folder), "EJABBERD_BYPASS_WARNINGS": "true"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CONTROL_SECONDS, check=False, env=environment,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise RuntimeError(f"ejabberdctl {words[0]}: {done.stdout} {done.stderr}")

    def start(self):
        (self.folder / "logs").mkdir(exist_ok=True)
        # It becomes the user ejabberd, who must be able to read and write here.
        subprocess.run(["chown", "-R", "ejabberd", self.folder], check=True)
        os.chmod(self.folder.parent, 0o711)
        self.control("start")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if all(listens(port) for port in (self.c2s, self.component)):
                self.register()
                return "ejabberd listens"
            time.sleep(0.1)
        raise RuntimeError(f"ejabberd does not listen: {self.log_end()}")

    def register(self):
        if not self.registered:
            self.control("started")
            self.control("register", "ejabberd", "localhost", self.password)
            self.registered = True

    def stop(self):
        if listens(self.c2s):
            self.control("stop")
            self.control("stopped")
        return "ejabberd ended"


def there():
    return shutil.which("ejabberdctl", path="/usr/sbin:/usr/bin") and os.geteuid() == 0
