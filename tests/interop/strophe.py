"""A watcher on strophe.js in Chromium: the lines of xmpp_client.mjs, carried out by strophe_page.js in a page."""

import json
import threading
from pathlib import Path

import chromium

HERE = Path(__file__).resolve().parent
TOLD_MAX = 1000
LIBRARY = HERE / "node_modules/strophe.js/dist/strophe.umd.min.js"


class Strophe:
    """A browser, and an origin whose pages it shows; a page for each watcher."""

    def __init__(self, folder):
        self.pages = {"/strophe.js": LIBRARY.read_text(), "/page.js": (HERE / "strophe_page.js").read_text()}
        self.site = chromium.Site(self.pages)
        self.browser = chromium.Browser(folder)

    def watcher(self, name, options):
        """One whose connection goes to options["service"]."""
        scripts = f"<script>const options = {json.dumps(options)};</script><script src='/page.js'></script>"
        self.pages[f"/{name}"] = f"<!doctype html><title>{name}</title><script src='/strophe.js'></script>{scripts}"
        return Watcher(self.browser.open(f"{self.site.origin}/{name}"))

    def close(self):
        self.browser.close()
        self.site.__exit__()


class Watcher:
    def __init__(self, page):
        self.page = page
        self.answer = None

    def tell(self, words):
        """Begins; `hear` waits for what comes of it."""
        word, *numbers = words.split()
        done = []

        def ask():
            try:
                done.append(self.page.evaluate(f"await does.{word}({', '.join(numbers)})"))
            except chromium.Failure as failure:
                done.append(failure)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        self.answer = (thread, done)

    def hear(self):
        thread, done = self.answer
        thread.join()
        if isinstance(done[0], chromium.Failure):
            raise RuntimeError(f"{done[0]} {self.page.printed()[-TOLD_MAX:]}")
        return done[0]

    def do(self, words):
        self.tell(words)
        return self.hear()

    def end(self):
        try:
            self.do("quit")
            self.page.close()
        except (RuntimeError, chromium.Failure):
            pass
