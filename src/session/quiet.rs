//! What a client that nobody looks at need not be told at once (XEP-0352): the presence of others. Of
//! each the newest is kept, until the client is looked at or something comes that cannot wait. And what
//! it need not be told at all: that somebody types (XEP-0085).

use crate::router::Parcel;
use crate::xml::{Element, Limits, parse_document};

/// What is held back, oldest first.
#[derive(Default)]
pub(super) struct Quiet {
    held: Vec<Parcel>,
}

impl Quiet {
    /// Holds a stanza back. What must be sent now comes back: everything that was held, and the stanza,
    /// where that cannot wait.
    pub fn hold(&mut self, stanza: Parcel) -> Vec<Parcel> {
        if is_of_the_moment(stanza.bytes()) {
            stanza.taken();
            return Vec::new();
        }
        let Some(from) = availability_of(stanza.bytes()) else {
            let mut now = std::mem::take(&mut self.held);
            now.push(stanza);
            return now;
        };
        self.held.retain(|held| availability_of(held.bytes()) != Some(from));
        self.held.push(stanza.clone());
        if self.held.len() > HELD_MAX { self.release() } else { Vec::new() }
    }

    pub fn release(&mut self) -> Vec<Parcel> {
        std::mem::take(&mut self.held)
    }
}

/// Whose availability a stanza tells, if that is what it does. It stands as we write it.
fn availability_of(stanza: &[u8]) -> Option<&[u8]> {
    let rest = stanza.strip_prefix(b"<presence")?;
    let tag = rest.split(|byte| *byte == b'>').next()?;
    match attribute(tag, b" type='") {
        None | Some(b"unavailable") => attribute(tag, b" from='"),
        Some(_) => None,
    }
}

/// Whether a message bears a chat state and nothing to read; what it does not know, it takes for
/// something to read.
fn is_of_the_moment(stanza: &[u8]) -> bool {
    if stanza.len() > STATE_BYTES_MAX || !stanza.starts_with(b"<message") {
        return false;
    }
    let Ok(message) = parse_document(stanza, &Limits::authenticated()) else { return false };
    let beside = |child: &Element| match child.ns() {
        CHAT_STATES_NS => true,
        // Hints on how to treat it, and what the server itself has written on it.
        "urn:xmpp:hints" | "urn:xmpp:sid:0" => true,
        _ => child.name() == "thread" && child.ns() == message.ns(),
    };
    matches!(message.attr("type"), Some("chat" | "groupchat"))
        && message.children().any(|child| child.ns() == CHAT_STATES_NS)
        && message.children().all(beside)
}

fn attribute<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = tag.windows(name.len()).position(|window| window == name)? + name.len();
    tag[at..].split(|byte| *byte == b'\'').next()
}

/// Contacts whose presence is held back for one client.
const HELD_MAX: usize = 256;
const CHAT_STATES_NS: &str = "http://jabber.org/protocol/chatstates";
/// What only says that somebody types is short.
const STATE_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn hold(quiet: &mut Quiet, stanza: &str) -> Vec<String> {
        told(quiet.hold(Bytes::copy_from_slice(stanza.as_bytes()).into()))
    }

    fn told(stanzas: Vec<Parcel>) -> Vec<String> {
        stanzas.into_iter().map(|parcel| String::from_utf8(parcel.bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn presence_waits_and_the_newest_of_each_comes_before_what_cannot_wait() {
        let mut quiet = Quiet::default();
        assert!(hold(&mut quiet, "<presence from='a@b/c'/>").is_empty());
        assert!(hold(&mut quiet, "<presence from='d@b/c' id='1'><show>away</show></presence>").is_empty());
        assert!(hold(&mut quiet, "<presence from='a@b/c' type='unavailable'/>").is_empty());
        let message = "<message from='a@b/c'><body>x</body></message>";
        assert_eq!(
            hold(&mut quiet, message),
            [
                "<presence from='d@b/c' id='1'><show>away</show></presence>",
                "<presence from='a@b/c' type='unavailable'/>",
                message
            ]
        );
        assert!(quiet.release().is_empty());
        let request = "<presence from='a@b' type='subscribe'/>";
        assert_eq!(hold(&mut quiet, request), [request]);
    }

    #[test]
    fn that_somebody_types_is_not_told() {
        let mut quiet = Quiet::default();
        assert!(hold(&mut quiet, "<presence from='a@b/c'/>").is_empty());
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        let message = |kind: &str, inside: &str| format!("<message from='a@b/c' type='{kind}'>{inside}</message>");
        let hint = "<no-store xmlns='urn:xmpp:hints'/><thread>t</thread>";
        assert!(hold(&mut quiet, &message("chat", &format!("{state}{hint}"))).is_empty());
        for told in [
            message("chat", &format!("<body>x</body>{state}")),
            message("chat", hint),
            message("headline", state),
            message("chat", &format!("{state}<received xmlns='urn:xmpp:receipts' id='1'/>")),
        ] {
            assert_eq!(hold(&mut quiet, &told).last(), Some(&told));
        }
    }

    #[test]
    fn so_much_is_held_and_no_more() {
        let mut quiet = Quiet::default();
        for n in 0..HELD_MAX {
            assert!(hold(&mut quiet, &format!("<presence from='a{n}@b/c'/>")).is_empty());
        }
        assert_eq!(hold(&mut quiet, "<presence from='one@more/c'/>").len(), HELD_MAX + 1);
    }
}
