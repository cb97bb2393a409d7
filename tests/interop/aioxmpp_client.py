"""A watcher on aioxmpp: does what it is told on standard input, says `ok …` or `failed …` on standard output.

    start                log in over STARTTLS, create the node, subscribe
    expect FIRST LAST    wait for the items FIRST..LAST, in order and without a gap
    reconnect            leave and come back
    returned             wait until the library has come back by itself
    retrieve FIRST LAST  fetch the newest items: they are FIRST..LAST
    quit

It uses the library as its documentation shows; nothing here works around a server.
"""

import argparse
import asyncio
import os
import sys

import aioxmpp
import aioxmpp.connector
import aioxmpp.pubsub
import aioxmpp.security_layer

WAIT_SECONDS = 60


class Watcher:
    def __init__(self, options):
        self.options = options
        self.service = aioxmpp.JID.fromstr(options.service)
        self.items = asyncio.Queue()
        self.client = None
        self.running = None

    async def begin(self):
        """A session of the library, which keeps itself connected until it is told to leave."""
        options = self.options
        with open(options.ca, "rb") as file:
            pinned = file.read()
        security = aioxmpp.make_security_layer(os.environ["INTEROP_PASSWORD"])
        security = security._replace(certificate_verifier_factory=lambda: Pinned(pinned))
        peer = (options.host, options.port, aioxmpp.connector.STARTTLSConnector())
        self.client = aioxmpp.PresenceManagedClient(
            aioxmpp.JID.fromstr(options.jid), security, override_peer=[peer]
        )
        self.pubsub = self.client.summon(aioxmpp.PubSubClient)
        self.pubsub.on_item_published.connect(self.on_published)
        self.established = asyncio.Event()
        self.client.on_stream_established.connect(self.on_established)
        self.client.on_stream_suspended.connect(self.on_lost)
        self.client.on_stream_destroyed.connect(self.on_lost)
        self.client.presence = aioxmpp.PresenceState(available=True)
        await self.there()

    def on_established(self):
        self.established.set()

    def on_lost(self, *_):
        self.established.clear()

    def on_published(self, jid, node, item, *, message=None):
        if node == self.options.node:
            self.items.put_nowait(number(item.registered_payload))

    async def there(self):
        await asyncio.wait_for(self.established.wait(), WAIT_SECONDS)
        return f"logged in as {self.client.local_jid}"

    async def start(self):
        await self.begin()
        await self.pubsub.create(self.service, self.options.node)
        await self.pubsub.subscribe(self.service, self.options.node)
        return await self.there()

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
        stopped = asyncio.Event()
        self.client.on_stopped.connect(stopped.set)
        self.client.presence = aioxmpp.PresenceState(available=False)
        await asyncio.wait_for(stopped.wait(), WAIT_SECONDS)
        await self.begin()
        return await self.there()

    async def returned(self):
        return await self.there()

    async def retrieve(self, first, last):
        answer = await self.pubsub.get_items(self.service, self.options.node, max_items=last - first + 1)
        got = [number(item.registered_payload) for item in answer.payload.items]
        if sorted(got) != list(range(first, last + 1)):
            raise ValueError(f"got {got}")
        return f"{len(got)} items"

    async def quit(self):
        if self.client:
            self.client.stop()
        return "left"


class Pinned(aioxmpp.security_layer.CertificateVerifier):
    """Takes the certificate that the server's first start has made, and no other."""

    def __init__(self, pem):
        super().__init__()
        self.pem = pem

    def verify_callback(self, ctx, x509, errno, errdepth, returncode):
        from OpenSSL import crypto

        wanted = crypto.load_certificate(crypto.FILETYPE_PEM, self.pem)
        return x509.digest("sha256") == wanted.digest("sha256")

    async def pre_handshake(self, domain, host, port, metadata):
        pass

    async def post_handshake(self, transport):
        pass


def number(payload):
    return payload.json_data["n"]


async def main(options):
    watcher = Watcher(options)
    loop = asyncio.get_running_loop()
    while True:
        words = (await loop.run_in_executor(None, sys.stdin.readline)).split()
        if not words or words[0] == "quit":
            await watcher.quit()
            return
        try:
            said = await getattr(watcher, words[0])(*map(int, words[1:]))
            print(f"ok {said}", flush=True)
        except Exception as error:
            print(f"failed {words[0]}: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ["jid", "host", "service", "node", "ca"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(main(parser.parse_args()))
