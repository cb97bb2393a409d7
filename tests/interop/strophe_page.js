// A watcher on strophe.js in a page: `does.start()`, `does.expect(first, last)` … as xmpp_client.mjs does them.
// `options` stands in the page. It uses the library as its documentation shows; nothing here works around a server.

const PUBSUB = "http://jabber.org/protocol/pubsub";
const EVENT = "http://jabber.org/protocol/pubsub#event";
const JSON_CONTAINER = "urn:xmpp:json:0";
const WAIT_MS = 50_000;

/* global Strophe, $iq, $pres: the library makes them. */
const connection = new Strophe.Connection(options.service);
const items = [];
let wake = () => {};
let present = false;
let arrive = () => {};
let leave = () => {};
let leaving = false;
let again;

function connect() {
  connection.reset();
  connection.connect(options.jid, options.password, (status, error) => {
    if (status === Strophe.Status.CONNECTED) {
      connection.addHandler(event, EVENT, "message");
      connection.addHandler(presence, null, "presence");
      connection.send($pres());
    } else if (status === Strophe.Status.DISCONNECTED) {
      present = false;
      leave();
      clearTimeout(again); // a failed attempt may tell of its end more than once
      if (!leaving) again = setTimeout(connect, 500);
    } else if (status === Strophe.Status.AUTHFAIL) {
      console.log(`not let in: ${error}`);
    }
  });
}

function presence(stanza) {
  if (stanza.getAttribute("from") === connection.jid && !stanza.getAttribute("type")) {
    present = true;
    arrive();
  }
  return true;
}

function event(stanza) {
  const list = stanza.getElementsByTagNameNS(EVENT, "items")[0];
  if (list?.getAttribute("node") === options.node) {
    for (const item of list.getElementsByTagNameNS(EVENT, "item")) items.push(number(item));
    wake();
  }
  return true;
}

function number(item) {
  const container = item.getElementsByTagNameNS(JSON_CONTAINER, "json")[0];
  return container ? JSON.parse(container.textContent).n : item.outerHTML;
}

function soon(promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} took too long`)), WAIT_MS));
  return Promise.race([promise, late]);
}

function request(type, fill) {
  const iq = fill($iq({ type, to: options.domain }).c("pubsub", { xmlns: PUBSUB }));
  return new Promise((resolve, reject) => {
    connection.sendIQ(iq, resolve, (error) => reject(new Error(error?.outerHTML ?? "no answer")), WAIT_MS);
  });
}

async function online() {
  while (!present) await soon(new Promise((resolve) => (arrive = resolve)), "coming online");
  return `logged in as ${connection.jid}`;
}

const does = {
  async start() {
    connect();
    await online();
    await request("set", (iq) => iq.c("create", { node: options.node }));
    await request("set", (iq) => iq.c("subscribe", { node: options.node, jid: Strophe.getBareJidFromJid(connection.jid) }));
    return `logged in as ${connection.jid}`;
  },

  async expect(first, last) {
    let again = 0;
    for (let wanted = first; wanted <= last; ) {
      while (items.length === 0) await soon(new Promise((resolve) => (wake = resolve)), `item ${wanted}`);
      const got = items.shift();
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
    leaving = true;
    const left = new Promise((resolve) => (leave = resolve));
    connection.disconnect("to come back");
    await soon(left, "leaving");
    leaving = false;
    connect();
    return online();
  },

  // A server that has ended is noticed when the next request fails: to be online is to be answered.
  async returned() {
    for (;;) {
      const said = await online();
      const ping = $iq({ type: "get", to: options.domain }).c("ping", { xmlns: "urn:xmpp:ping" });
      const answered = new Promise((resolve) => connection.sendIQ(ping, () => resolve(true), () => resolve(false)));
      const late = new Promise((resolve) => setTimeout(resolve, 2000, false));
      if (await Promise.race([answered, late])) return said;
    }
  },

  async retrieve(first, last) {
    const answer = await request("get", (iq) => iq.c("items", { node: options.node, max_items: `${last - first + 1}` }));
    const got = [...answer.getElementsByTagNameNS(PUBSUB, "item")].map(number);
    const sorted = [...got].sort((a, b) => a - b);
    if (sorted.length !== last - first + 1 || sorted.some((n, index) => n !== first + index)) throw new Error(`got ${got}`);
    return `${got.length} items`;
  },

  async quit() {
    leaving = true;
    connection.disconnect("done");
    return "left";
  },
};
