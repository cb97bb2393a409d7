"""A server of another kind that Tidings is a component of, whichever it is."""

import socket

START_SECONDS = 30


class Neighbour:
    """Has its files in `folder`, its log at `log` there, a port for clients and one for the component."""

    log = ""

    def log_end(self):
        log = self.folder / self.log
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""

    def settings(self):
        """What Tidings must be told."""
        return [
            "xmpp.domain=tidings.invalid",
            "pubsub.service=pubsub.localhost",
            f"component_of.host=127.0.0.1:{self.component}",
        ]

    def file(self):
        """What is not for the command line."""
        return f'[component_of]\nsecret = "{self.secret}"\n'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
