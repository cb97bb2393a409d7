// A watcher on xmpp.js: does what it is told on standard input, says `ok …` or `failed …` on standard output.
//
//     start                log in over STARTTLS, or over a WebSocket where --websocket names one, create the node, subscribe
//     expect FIRST LAST    wait for the items FIRST..LAST, in order and without a gap
//     reconnect            leave and come back
//     returned             wait until the library has come back by itself
//     retrieve FIRST LAST  fetch the newest items: they are FIRST..LAST
//     quit
//
// The certificate is trusted by NODE_EXTRA_CA_CERTS. Nothing here works around a server.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { client, xml } from "@xmpp/client";

const PUBSUB = "http://jabber.org/protocol/pubsub";
const EVENT = "http://jabber.org/protocol/pubsub#event";
const JSON_CONTAINER = "urn:xmpp:json:0";
const WAIT_MS = 60_000;

const string = { type: "string" };
const { values: options } = parseArgs({
  options: { jid: string, host: string, port: string, service: string, node: string, websocket: string },
});
const [, username, domain, resource] = /^(.+)@([^/]+)\/(.+)$/.exec(options.jid);

const xmpp = client({
  service: options.websocket ?? `xmpp://${options.host}:${options.port}`,
  domain,
  resource,
  username,
  password: process.env.INTEROP_PASSWORD,
});

// Machines that run tests can be busy.
xmpp.timeout = WAIT_MS;

/** Numbers of items that have come and were not looked at, and who waits for one. */
const items = [];
let wake = () => {};

xmpp.on("stanza", (stanza) => {
  const list = stanza.is("message") && stanza.getChild("event", EVENT)?.getChild("items");
  if (!list || list.attrs.node !== options.node) return;
  for (const item of list.getChildren("item")) items.push(number(item));
  wake();
});

/** The server has told us of our own presence: from here on it knows that we are there. */
let present = false;
let arrive = () => {};

xmpp.on("online", () => xmpp.send(xml("presence")));
xmpp.on("disconnect", () => (present = false));
xmpp.on("stanza", (stanza) => {
  if (!stanza.is("presence") || stanza.attrs.from !== `${xmpp.jid}` || stanza.attrs.type) return;
  present = true;
  arrive();
});
xmpp.on("error", (error) => say(`note: ${error}`));

function number(item) {
  const container = item.getChild("json", JSON_CONTAINER);
  return container ? JSON.parse(container.text()).n : `${item}`;
}

function say(text) {
  process.stdout.write(`${text.replaceAll("\n", " ")}\n`);
}

/** Fails when `promise` takes too long. */
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${WAIT_MS} ms`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function request(type, ...children) {
  const { iqCaller } = xmpp;
  return iqCaller.request(xml("iq", { type, to: options.service }, xml("pubsub", { xmlns: PUBSUB }, ...children)), WAIT_MS);
}

async function nextItem() {
  while (items.length === 0) {
    await soon(new Promise((resolve) => (wake = resolve)), "the next item");
  }
  return items.shift();
}

async function online() {
  while (!present) {
    await soon(new Promise((resolve) => (arrive = resolve)), "coming online");
  }
  return `logged in as ${xmpp.jid}`;
}

const does = {
  async start() {
    await soon(xmpp.start(), "logging in");
    await online();
    await request("set", xml("create", { node: options.node }));
    await request("set", xml("subscribe", { node: options.node, jid: `${xmpp.jid.bare()}` }));
    return `logged in as ${xmpp.jid}`;
  },

  async expect(first, last) {
    let again = 0;
    for (let wanted = first; wanted <= last; ) {
      const got = await nextItem();
      if (got === wanted) {
        wanted += 1;
      } else if (wanted === first && got === first - 1 && again === 0) {
        again = 1; // the last item, sent again to one who has come back (XEP-0060 section 6.1.7)
      } else {
        throw new Error(`item ${got} came, ${wanted} was due`);
      }
    }
    return `${last - first + 1} items, ${again} sent again`;
  },

  async reconnect() {
    await soon(xmpp.stop(), "leaving");
    await soon(xmpp.start(), "logging in");
    await online();
    return `logged in as ${xmpp.jid}`;
  },

  returned: online,

  async retrieve(first, last) {
    const answer = await request("get", xml("items", { node: options.node, max_items: `${last - first + 1}` }));
    const got = answer.getChild("pubsub", PUBSUB).getChild("items").getChildren("item").map(number);
    const sorted = [...got].sort((a, b) => a - b);
    if (sorted.length !== last - first + 1 || sorted.some((n, index) => n !== first + index)) {
      throw new Error(`got ${got}`);
    }
    return `${got.length} items`;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...numbers] = line.trim().split(/\s+/);
  if (word === "quit") break;
  try {
    say(`ok ${await does[word](...numbers.map(Number))}`);
  } catch (error) {
    say(`failed ${word}: ${error}`);
  }
}
xmpp.reconnect.stop();
await soon(xmpp.stop(), "leaving").catch(() => {});
process.exit(0);
