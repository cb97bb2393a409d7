"""People with profanity, a chat client of Debian's packages, which is driven as people drive it: at a terminal.

Two of them log in, become contacts, chat while both are there and while one is away, look into the archive, see a node
to which one has subscribed, and one changes his password.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

WAIT_SECONDS = 30
ROWS, COLUMNS = 40, 160
# What moves the cursor, colours, and asks the terminal; and what it says beside.
SEQUENCES = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78M]|\x1b\][^\x07]*\x07|[\x00-\x08\x0e-\x1f]")


def there():
    return shutil.which("profanity") is not None


class Person:
    """One profanity, with a home of its own."""

    def __init__(self, name, folder, address, password):
        self.name = name
        self.password = password
        self.host, self.port = address.rsplit(":", 1)
        self.home = folder / f"profanity-{name}"
        self.home.mkdir(exist_ok=True)
        self.seen = ""
        self.begin()

    def begin(self):
        self.screen, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {"HOME": str(self.home), "TERM": "xterm", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(
            ["profanity"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.shows("Profanity", "it begins")

    def says(self, line):
        """Types a line; what was shown before counts no more."""
        self.seen = ""
        os.write(self.screen, line.encode() + b"\r")

    def look(self, seconds):
        readable, _, _ = select.select([self.screen], [], [], seconds)
        if readable:
            try:
                self.seen += SEQUENCES.sub(b" ", os.read(self.screen, 65536)).decode(errors="replace")
            except OSError as error:
                raise RuntimeError(f"{self.name}'s client ended: {self.seen[-500:]!r}") from error

    def shows(self, pattern, what, seconds=WAIT_SECONDS):
        """Waits until this is on the screen."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: {what}: not within {seconds} s, but {self.seen[-1500:]!r}")
            self.look(0.2)
        return what

    def asks(self, line, pattern, what):
        self.says(line)
        return self.shows(pattern, what)

    def logs_in(self):
        self.says(f"/connect {self.name}@localhost server {self.host} port {self.port} tls trust")
        self.shows("Enter password", "it asks for the password")
        return self.asks(self.password, "logged in successfully", "over STARTTLS, with SCRAM")

    def ends(self):
        if self.process.poll() is None:
            try:
                self.says("/quit")
                deadline = time.monotonic() + 10
                while self.process.poll() is None and time.monotonic() < deadline:
                    self.look(0.2)
            except (OSError, RuntimeError):
                pass
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.screen)


def chat(checks, server, folder, publisher, service, password):
    """Two people with accounts `profanity` and `contact`, and a node at which something is published."""
    people = []

    def begin():
        for name in ("profanity", "contact"):
            people.append(Person(name, folder, server.addresses["xmpp"], password))
        return "two of them"

    try:
        checks.check("profanity: begins", begin)
        one, other = people
        for person in people:
            checks.check(f"profanity: {person.name} logs in", person.logs_in)
            person.says("/carbons on")
            person.says("/mam on")
        friends(checks, one, other)
        talk(checks, one, other)
        watch(checks, one, publisher, service)
        checks.check("profanity: changes the password, and what was opened with the old one ends", lambda: renew(one))
        checks.check("profanity: logs in with the new one", one.logs_in)
    finally:
        for person in people:
            person.ends()


def renew(one):
    password = "another-password"
    one.asks("/changepassword", "Enter password", "it asks for the new one")
    one.asks(password, "Confirm password", "twice")
    one.asks(password, "[Ll]ost connection|[Dd]isconnected", "the session ends")
    one.says("/win 1")
    one.password = password
    return "it is cut off"


def friends(checks, one, other):
    def request():
        one.says(f"/sub request {other.name}@localhost")
        return other.shows(f"authorization request from {one.name}@localhost", "the request is shown")

    def allow():
        other.says(f"/sub allow {one.name}@localhost")
        return one.shows(f"{other.name}@localhost.*online|accepted|now subscribed", "presence is seen")

    checks.check("profanity: asks to see a contact's presence", request)
    checks.check("profanity: is allowed to, and sees it", allow)


def talk(checks, one, other):
    def both_there():
        one.says(f"/msg {other.name}@localhost Hello from a terminal")
        other.shows("chat message", "it is announced")
        return other.asks("/win 2", "Hello from a terminal", "it is read")

    def one_away():
        other.ends()
        one.says("And this while you were away")
        one.look(1)
        other.begin()
        other.logs_in()
        other.says(f"/msg {one.name}@localhost Back again")
        other.shows("And this while you were away", "it has waited, or was archived")
        return one.shows("Back again", "and is answered")

    checks.check("profanity: writes to somebody who is there", both_there)
    checks.check("profanity: writes to somebody who is away, who finds it when he is back", one_away)


def watch(checks, one, publisher, service):
    """A client that knows nothing of nodes can say what is to be said, and shows what comes."""

    def subscribe():
        one.asks("/xmlconsole", "XML [Cc]onsole", "it is open")
        one.says(
            f"<iq type='set' id='watch1' to='{service}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<subscribe node='{publisher.node}' jid='profanity@localhost'/></pubsub></iq>"
        )
        return one.shows("subscription='subscribed'|subscription=\"subscribed\"", "it is subscribed")

    def published():
        publisher.publish(1)
        return one.shows(r"pubsub#event", "what is published over HTTP is shown")

    checks.check("profanity: subscribes to a node", subscribe)
    checks.check("profanity: is shown what is published", published)
