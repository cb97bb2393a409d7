"""Debian's Chromium without a window, driven over two pipes (the DevTools protocol); standard library only.

    with chromium.Browser(folder) as browser, chromium.Site({"/": "<script>console.log(1)</script>"}) as site:
        page = browser.open(site.origin + "/")
        page.printed()                  what it has written to its console so far, a line a call
        page.evaluate("1 + 1")          what an expression comes to; a promise is awaited

A page that is asked for something and does not answer within ANSWER_SECONDS is an error, and so is a browser that ends.
"""

import fcntl
import json
import os
import queue
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROGRAM = "chromium"
ANSWER_SECONDS = 60
END_SECONDS = 10


class Failure(Exception):
    """The browser, or the script of a page, did not do what it was asked."""


def there():
    return shutil.which(PROGRAM) is not None


class Browser:
    """One Chromium with a profile of its own in `folder`."""

    def __init__(self, folder, arguments=()):
        ours, theirs = pipe(), pipe()
        # It reads what it is told from 3 and answers on 4; ours are kept out of the way of both.
        words = [
            "bash", "-c", f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}', "chromium",
            PROGRAM, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}/chromium",
            # Tests run as root and in small containers; the pages are our own.
            "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--disable-component-update", *arguments, "about:blank",
        ]
        self.log = open(os.path.join(folder, "chromium.log"), "ab")
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=(ours[0], theirs[1]),
            start_new_session=True,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.commands = os.fdopen(ours[1], "wb", buffering=0)
        self.answers = os.fdopen(theirs[0], "rb")
        self.lock = threading.Lock()
        self.waiting = {}
        self.pages = {}
        self.number = 0
        self.ended = False
        threading.Thread(target=self.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def open(self, url):
        """A page, once it has been loaded."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, target, session)
        self.pages[session] = page
        for domain in ("Runtime", "Page", "Log"):
            page.ask(f"{domain}.enable")
        went = page.ask("Page.navigate", {"url": url})
        if went.get("errorText"):
            raise Failure(f"{url}: {went['errorText']}")
        if not page.loaded.wait(ANSWER_SECONDS):
            raise Failure(f"{url} was not loaded within {ANSWER_SECONDS} s")
        return page

    def close(self):
        if self.process.poll() is None:
            try:
                self.send("Browser.close", {}, None, queue.Queue())
                self.process.wait(END_SECONDS)
            except (OSError, Failure, subprocess.TimeoutExpired):
                pass
        try:
            # Its children share its session; none of them outlives it.
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.commands.close()
        self.log.close()

    def ask(self, method, parameters=None, session=None):
        answers = queue.Queue()
        self.send(method, parameters or {}, session, answers)
        try:
            answer = answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise Failure(f"{method} was not answered within {ANSWER_SECONDS} s") from None
        if answer is None:
            raise Failure("the browser has ended")
        if "error" in answer:
            raise Failure(f"{method}: {answer['error']}")
        return answer["result"]

    def send(self, method, parameters, session, answers):
        with self.lock:
            if self.ended:
                raise Failure("the browser has ended")
            self.number += 1
            self.waiting[self.number] = answers
            message = {"id": self.number, "method": method, "params": parameters}
            if session:
                message["sessionId"] = session
            # Messages end with a NUL, either way.
            rest = json.dumps(message).encode() + b"\0"
            while rest:
                rest = rest[self.commands.write(rest):]

    def read(self):
        unread = b""
        while piece := self.answers.read1(65536):
            *messages, unread = (unread + piece).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    with self.lock:
                        answers = self.waiting.pop(message["id"], None)
                    if answers:
                        answers.put(message)
                elif page := self.pages.get(message.get("sessionId")):
                    page.hear(message["method"], message["params"])
        with self.lock:
            self.ended = True
            for answers in self.waiting.values():
                answers.put(None)
        self.answers.close()


class Page:
    def __init__(self, browser, target, session):
        self.browser = browser
        self.target = target
        self.session = session
        self.loaded = threading.Event()
        self.lines = []

    def ask(self, method, parameters=None):
        return self.browser.ask(method, parameters, self.session)

    def evaluate(self, expression):
        done = self.ask("Runtime.evaluate", {
            "expression": expression, "awaitPromise": True, "returnByValue": True, "replMode": True,
        })
        if "exceptionDetails" in done:
            raise Failure(told(done["exceptionDetails"]))
        return done["result"].get("value")

    def printed(self):
        return "\n".join(self.lines)

    def close(self):
        self.browser.ask("Target.closeTarget", {"targetId": self.target})

    def hear(self, method, parameters):
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Runtime.consoleAPICalled":
            self.lines.append(" ".join(shown(argument) for argument in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.lines.append(told(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            # What the browser itself has to say: what CORS or a content policy has refused, for one.
            self.lines.append(parameters["entry"]["text"])


class Site:
    """Pages of an origin of their own, as {path: text}."""

    def __init__(self, pages):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                text = pages.get(self.path)
                body = (text if text is not None else "").encode()
                self.send_response(200 if text is not None else 404)
                kind = "text/javascript" if self.path.endswith(".js") else "text/html"
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def pipe():
    """Its ends, with numbers that nobody else counts on."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20))
        os.close(end)
    return ends


def shown(argument):
    """What a console shows of an argument; of an object, its members."""
    if "value" in argument:
        return str(argument["value"])
    if "preview" in argument:
        return json.dumps({member["name"]: member.get("value") for member in argument["preview"]["properties"]})
    return argument.get("description", argument["type"])


def told(details):
    return details.get("exception", {}).get("description") or details["text"]
