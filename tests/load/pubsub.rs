//! The pub/sub requests the driver makes, and the stamp in its payloads.

use std::io::Write as _;
use std::time::Duration;

use memchr::{memchr, memmem};

use crate::Outcome;
use crate::client::Client;
use crate::options::Options;

/// What a payload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// 1, 2, 3 … on one node.
    pub number: u64,
    /// When it was sent, since the start of the run.
    pub sent: Duration,
    /// Whether all of the padding has arrived.
    pub whole: bool,
}

/// Makes payloads of one size and reads their stamps.
#[derive(Clone)]
pub struct Payload {
    padding: Vec<u8>,
}

impl Payload {
    /// `bytes` is the size of the whole payload element.
    pub fn of(bytes: usize) -> Payload {
        let around = OPEN.len() + STAMP_BYTES + CLOSE.len();
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
        // No repetition of a period that compression or memory would make cheap.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            letters[(state >> 32) as usize % letters.len()]
        };
        Payload { padding: (0..bytes.saturating_sub(around)).map(|_| letter()).collect() }
    }

    pub fn write(&self, out: &mut Vec<u8>, number: u64, sent: Duration) {
        out.extend_from_slice(OPEN.as_bytes());
        write!(out, "|s={number:012}|t={:016}|", sent.as_nanos()).expect("a vector takes any bytes");
        out.extend_from_slice(&self.padding);
        out.extend_from_slice(CLOSE.as_bytes());
    }

    /// The stamps of all items in a stanza, in their order.
    pub fn stamps<'a>(&'a self, stanza: &'a [u8]) -> impl Iterator<Item = Stamp> + 'a {
        memmem::find_iter(stanza, b"|s=").filter_map(move |at| self.stamp(&stanza[at..]))
    }

    fn stamp(&self, text: &[u8]) -> Option<Stamp> {
        let number = digits(text.get(3..15)?)?;
        let sent = text.get(15..18).filter(|t| *t == b"|t=").and_then(|_| digits(text.get(18..34)?))?;
        let padding = &text[STAMP_BYTES..][..memchr(b'<', text.get(STAMP_BYTES..)?)?];
        Some(Stamp { number, sent: Duration::from_nanos(sent), whole: padding == self.padding })
    }
}

/// An iq that publishes one item; the server names the item.
pub fn publish(out: &mut Vec<u8>, id: &str, service: &str, node: &str, payload: impl FnOnce(&mut Vec<u8>)) {
    write!(
        out,
        "<iq type='set' id='{id}' to='{service}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{node}'><item>"
    )
    .expect("a vector takes any bytes");
    payload(out);
    out.extend_from_slice(b"</item></publish></pubsub></iq>");
}

/// Creates a node, configured as the options say; everything else is the server's default.
pub async fn create(client: &mut Client, options: &Options, node: &str) -> Outcome<()> {
    let persist = if options.persist { "1" } else { "0" };
    let max_items = options.max_items.to_string();
    let fields = [
        ("FORM_TYPE", "http://jabber.org/protocol/pubsub#node_config"),
        ("pubsub#access_model", "open"),
        ("pubsub#persist_items", persist),
        ("pubsub#max_items", &max_items),
        ("pubsub#notify_retract", "0"),
        ("pubsub#send_last_published_item", "never"),
    ];
    let fields: String =
        fields.iter().map(|(name, value)| format!("<field var='{name}'><value>{value}</value></field>")).collect();
    let request = format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='{node}'/><configure>\
         <x xmlns='jabber:x:data' type='submit'>{fields}</x></configure></pubsub>"
    );
    client.request("set", &options.service, &request).await.map(drop)
}

/// Subscribes the session's own JID.
pub async fn subscribe(client: &mut Client, options: &Options, node: &str) -> Outcome<()> {
    let bare = client.jid.split('/').next().unwrap_or_default();
    let jid = if options.full_jid { client.jid.as_str() } else { bare };
    let request =
        format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='{node}' jid='{jid}'/></pubsub>");
    client.request("set", &options.service, &request).await.map(drop)
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?
    })
}

const OPEN: &str = "<entry xmlns='urn:tidings:load'>";
const CLOSE: &str = "</entry>";

/// `|s=` 12 digits `|t=` 16 digits `|`
const STAMP_BYTES: usize = 3 + 12 + 3 + 16 + 1;
