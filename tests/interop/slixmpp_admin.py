"""An administrator on slixmpp: does what it is told on standard input, says `ok …` or `failed …` on standard output.

    start                log in over STARTTLS, see that the service and the server offer commands
    create NODE          create a node: its name, then its configuration
    configure NODE       change its configuration, and see that it was changed
    list NODE            find it by its name
    delete NODE          delete it, and see that it is gone
    account NAME         add an account, and delete it
    refused NODE         a mistake is told as an error, and the session goes on
    quit

It drives the workflow of the library's own plugin for XEP-0050, as a person's client would: whatever form is shown
is filled in by the names of its fields.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout

OURS = "tidings:commands:0#"
ADMIN = "http://jabber.org/protocol/admin#"
WAIT_SECONDS = 60


class Screen:
    """What a command showed."""

    def __init__(self, iq):
        self.iq = iq
        self.failed = iq["type"] == "error"
        self.condition = iq["error"]["condition"] if self.failed else None
        if not self.failed:
            self.status = iq["command"]["status"]
            self.actions = iq["command"]["actions"]
            self.notes = iq["command"]["notes"]
            self.form = iq["command"]["form"]


class Administrator(slixmpp.ClientXMPP):
    def __init__(self, options):
        super().__init__(options.jid, os.environ["INTEROP_PASSWORD"])
        self.options = options
        self.ca_certs = Path(options.ca)
        self.enable_direct_tls = False
        self.enable_plaintext = False
        for plugin in ("xep_0004", "xep_0030", "xep_0050"):
            self.register_plugin(plugin)
        self.online = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.online.set())

    async def start(self, *_):
        self.connect(self.options.host, self.options.port)
        await asyncio.wait_for(self.online.wait(), WAIT_SECONDS)
        offered = []
        for jid, wanted in ((self.options.service, OURS + "create-node"), (self.boundjid.domain, ADMIN + "add-user")):
            answer = await self.plugin["xep_0050"].get_commands(jid)
            nodes = [node for _, node, _ in answer["disco_items"]["items"]]
            if wanted not in nodes:
                raise ValueError(f"{jid} offers {nodes}")
            offered.append(f"{len(nodes)} commands at {jid}")
        return ", ".join(offered)

    async def steps(self, jid, node, *answers):
        """Runs a command to its end; each of the answers is what is filled in on one form."""
        shown = asyncio.Queue()
        heard = lambda iq, session: shown.put_nowait(Screen(iq))
        session = {"next": heard, "error": heard}
        self.plugin["xep_0050"].start_command(jid, node, session)
        screen = await asyncio.wait_for(shown.get(), WAIT_SECONDS)
        for answer in answers:
            if screen.failed or screen.status != "executing":
                raise ValueError(f"{node}: {screen.iq}")
            offered = screen.form.get_fields()
            missing = [name for name in answer if name not in offered]
            if missing:
                raise ValueError(f"{node}: no field {missing} in {list(offered)}")
            form = self.plugin["xep_0004"].make_form(ftype="submit")
            for name, value in answer.items():
                form.add_field(var=name, value=value)
            session["payload"] = form
            done = "complete" if "complete" in screen.actions and "next" not in screen.actions else "next"
            step = self.plugin["xep_0050"]
            (step.complete_command if done == "complete" else step.continue_command)(session)
            screen = await asyncio.wait_for(shown.get(), WAIT_SECONDS)
            if screen.failed:
                # The session is as it was: the last answer may be given again.
                continue
        return screen

    async def finished(self, jid, node, *answers):
        screen = await self.steps(jid, node, *answers)
        if screen.failed or screen.status != "completed":
            raise ValueError(f"{node}: {screen.iq}")
        if any(kind == "error" for kind, _ in screen.notes):
            raise ValueError(f"{node}: {screen.notes}")
        return screen

    async def create(self, node):
        wish = {"pubsub#title": "By an administrator", "pubsub#max_items": "7"}
        await self.finished(self.options.service, OURS + "create-node", {"node": node}, wish)
        info = await self.plugin["xep_0030"].get_info(self.options.service, node)
        if ("pubsub", "leaf", None, "By an administrator") not in info["disco_info"]["identities"]:
            raise ValueError(str(info))
        return node

    async def configure(self, node):
        step = OURS + "configure-node"
        await self.finished(self.options.service, step, {"node": node}, {"pubsub#title": "Changed"})
        screen = await self.steps(self.options.service, step, {"node": node})
        fields = screen.form.get_fields()
        told = (fields["pubsub#title"]["value"], fields["pubsub#max_items"]["value"])
        if told != ("Changed", "7"):
            raise ValueError(f"{told}")
        return "title and max_items are as they were set"

    async def list(self, node):
        screen = await self.finished(self.options.service, OURS + "list-nodes", {"pattern": node[:3] + "*", "max": "50"})
        found = [item["node"] for item in screen.form["items"]]
        if node not in found:
            raise ValueError(f"{found}")
        return f"{len(found)} nodes, with {', '.join(screen.form['reported'])}"

    async def delete(self, node):
        await self.finished(self.options.service, OURS + "delete-node", {"node": node})
        try:
            await self.plugin["xep_0030"].get_info(self.options.service, node)
        except IqError as error:
            if error.condition == "item-not-found":
                return "it is gone"
            raise
        raise ValueError("it is still there")

    async def account(self, name):
        jid = f"{name}@{self.boundjid.domain}"
        wish = {"accountjid": jid, "password": "by-command", "password-verify": "by-command"}
        await self.finished(self.boundjid.domain, ADMIN + "add-user", wish)
        await self.finished(self.boundjid.domain, ADMIN + "delete-user", {"accountjids": [jid]})
        return jid

    async def refused(self, node):
        screen = await self.steps(self.options.service, OURS + "purge-node", {"node": node})
        if screen.condition != "item-not-found":
            raise ValueError(f"{screen.iq}")
        return screen.condition


def say(text):
    print(text.replace("\n", " "), flush=True)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("jid", "host", "service", "node", "ca"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    client = Administrator(parser.parse_args())
    words = ("start", "create", "configure", "list", "delete", "account", "refused")
    does = {word: getattr(client, word) for word in words}
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        word, *given = line.split() or ["quit"]
        if word == "quit":
            break
        try:
            say(f"ok {await does[word](*given)}")
        except (IqError, IqTimeout) as error:
            say(f"failed {word}: {error.iq}")
        except Exception as error:
            say(f"failed {word}: {type(error).__name__} {error}")
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
