"""A watcher on slixmpp, a client or a component: does what it is told on standard input, says `ok …` or `failed …` on standard output.

    start                log in (a client over STARTTLS), create the node, subscribe
    expect FIRST LAST    wait for the items FIRST..LAST, in order and without a gap
    reconnect            leave and come back
    returned             wait until the library has come back by itself
    retrieve FIRST LAST  fetch the newest items: they are FIRST..LAST
    answers SECONDS      wait until the service answers a question
    quit

It uses the library as its documentation shows; nothing here works around a server.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout

JSON = "{urn:xmpp:json:0}json"
WAIT_SECONDS = 60


class Watching:
    """What a client and a component do alike."""

    def watch(self, options):
        self.options = options
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0060")
        self.register_plugin("xep_0199")
        # Whom requests are from: a component speaks for its whole domain, and says it.
        self.origin = {}
        self.items = asyncio.Queue()
        self.online = asyncio.Event()
        self.leaving = False
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("disconnected", self.on_disconnected)
        self.add_event_handler("pubsub_publish", self.on_publish)

    def go(self):
        self.connect(self.options.host, self.options.port)

    def on_start(self, _):
        self.online.set()

    def on_disconnected(self, _):
        self.online.clear()
        if not self.leaving:
            self.go()

    def on_publish(self, message):
        # Not `for item in message[…]["items"]`: the library is iterating over it, and the object is its own iterator.
        for item in message["pubsub_event"]["items"]["substanzas"]:
            self.items.put_nowait(number(item))

    async def there(self):
        await asyncio.wait_for(self.online.wait(), WAIT_SECONDS)

    async def start(self):
        self.go()
        await self.there()
        pubsub = self.plugin["xep_0060"]
        await pubsub.create_node(self.options.service, self.options.node, **self.origin)
        await pubsub.subscribe(self.options.service, self.options.node, **self.origin)
        return f"logged in as {self.boundjid.full}"

    async def expect(self, first, last):
        wanted, again = first, 0
        while wanted <= last:
            got = await asyncio.wait_for(self.items.get(), WAIT_SECONDS)
            if got == wanted:
                wanted += 1
            elif wanted == first and got == first - 1 and again == 0:
                again = 1  # the last item, sent again to one who has come back (XEP-0060 section 6.1.7)
            else:
                raise ValueError(f"item {got} came, {wanted} was due")
        return f"{last - first + 1} items, {again} sent again"

    async def reconnect(self):
        self.leaving = True
        await self.disconnect()
        self.leaving = False
        self.online.clear()
        self.go()
        await self.there()
        return f"logged in as {self.boundjid.full}"

    async def returned(self):
        await self.there()
        return f"logged in as {self.boundjid.full}"

    async def answers(self, seconds):
        for _ in range(seconds):
            try:
                await self.plugin["xep_0030"].get_info(jid=self.options.service, timeout=5)
                return "answers"
            except (IqError, IqTimeout):
                await asyncio.sleep(1)
        raise ValueError("no answer")

    async def retrieve(self, first, last):
        answer = await self.plugin["xep_0060"].get_items(
            self.options.service, self.options.node, max_items=last - first + 1, **self.origin
        )
        got = [number(item) for item in answer["pubsub"]["items"]]
        if sorted(got) != list(range(first, last + 1)):
            raise ValueError(f"got {got}")
        return f"{len(got)} items"


class Client(Watching, slixmpp.ClientXMPP):
    def __init__(self, options):
        super().__init__(options.jid, os.environ["INTEROP_PASSWORD"])
        self.watch(options)
        self.ca_certs = Path(options.ca)
        self.enable_direct_tls = False
        self.enable_plaintext = False
        self.register_plugin("xep_0198")
        self.add_event_handler("session_resumed", lambda _: self.online.set())
        self.add_event_handler("failed_all_auth", lambda _: say("note: every SASL mechanism failed"))

    def on_start(self, _):
        self.send_presence()
        self.online.set()


class Component(Watching, slixmpp.ComponentXMPP):
    """The same as a component (XEP-0114), whose secret is the password."""

    def __init__(self, options):
        super().__init__(options.jid, os.environ["INTEROP_PASSWORD"], options.host, options.port)
        self.watch(options)
        self.origin = {"ifrom": options.jid}


def number(item):
    payload = item["payload"]
    if payload is None or payload.tag != JSON:
        raise ValueError(f"an item without <json xmlns='urn:xmpp:json:0'/>: {item}")
    return json.loads(payload.text)["n"]


def say(text):
    print(text.replace("\n", " "), flush=True)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("jid", "host", "service", "node"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", help="whose certificates to trust; without it this is a component")
    options = parser.parse_args()
    watcher = Client(options) if options.ca else Component(options)
    does = {
        "start": watcher.start,
        "expect": watcher.expect,
        "reconnect": watcher.reconnect,
        "returned": watcher.returned,
        "retrieve": watcher.retrieve,
        "answers": watcher.answers,
    }
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        word, *numbers = line.split() or ["quit"]
        if word == "quit":
            break
        try:
            say(f"ok {await does[word](*map(int, numbers))}")
        except (IqError, IqTimeout) as error:
            say(f"failed {word}: {error.iq}")
        except Exception as error:
            say(f"failed {word}: {type(error).__name__} {error}")
    watcher.leaving = True
    await watcher.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
