//! What the service reads and writes itself: attachments and their sums (XEP-0470), public subscribers (XEP-0465).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::read::from_element;
use crate::jid::BareJid;
use crate::pubsub::{Attached, Payload, REACTION_BYTES_MAX, Tally, Words};
use crate::xml::{Element, Limits, parse_document};

/// The words of this program.
pub const WORDS: Words = Words { attached, tally, summary, subscriber };

fn attached(payload: &Payload) -> Option<Attached> {
    let root = root(payload, "attachments", NS_ATTACHMENTS)?;
    let reactions = root.child("reactions", NS_ATTACHMENTS).map(|list| reactions(list, NS_ATTACHMENTS));
    let reactions: BTreeSet<Arc<str>> = reactions.into_iter().flatten().map(|(emoji, _)| emoji).collect();
    Some(Attached { noticed: root.child("noticed", NS_ATTACHMENTS).is_some(), reactions })
}

fn tally(payload: &Payload) -> Tally {
    let Some(root) = root(payload, "summary", NS_SUMMARY) else { return Tally::default() };
    let noticed = root.child("noticed", NS_SUMMARY).map_or(0, count);
    let counted = root.child("reactions", NS_SUMMARY).map(|list| reactions(list, NS_SUMMARY));
    let counted = counted.into_iter().flatten().map(|(emoji, reaction)| (emoji, count(reaction)));
    Tally { noticed, reactions: counted.collect() }
}

/// The most frequent come first; one that is there once has no count (XEP-0470 §4.8.2).
fn summary(tally: &Tally) -> Payload {
    let mut summary = Element::new("summary", NS_SUMMARY);
    if tally.noticed > 0 {
        summary = summary.with_child(Element::new("noticed", NS_SUMMARY).with_attr("count", tally.noticed.to_string()));
    }
    if !tally.reactions.is_empty() {
        let mut counted: Vec<(&Arc<str>, u64)> = tally.reactions.iter().map(|(emoji, count)| (emoji, *count)).collect();
        counted.sort_by_key(|(_, count)| Reverse(*count));
        let reaction = |(emoji, count): (&Arc<str>, u64)| {
            let count = (count > 1).then(|| count.to_string());
            Element::new("reaction", NS_SUMMARY).with_attr_opt("count", count).with_text(&**emoji)
        };
        let reactions = Element::new("reactions", NS_SUMMARY).with_children(counted.into_iter().map(reaction));
        summary = summary.with_child(reactions);
    }
    from_element(&summary).expect("a summary has a namespace")
}

fn subscriber(jid: &BareJid) -> Payload {
    let subscriber = Element::new("subscriber", NS_PUBLIC).with_attr("jid", jid.as_str());
    from_element(&subscriber).expect("a subscriber has a namespace")
}

fn root(payload: &Payload, name: &str, ns: &str) -> Option<Element> {
    if &*payload.namespace != ns {
        return None;
    }
    let limits = Limits { stanza_bytes: usize::MAX, ..Limits::authenticated() };
    parse_document(&payload.xml, &limits).ok().filter(|root| root.name() == name)
}

/// XEP-0470 §5, XEP-0444: what is no single emoji is let be. What that is, changes with each year's letters; what it
/// surely is not, does not.
fn reactions<'a>(list: &'a Element, ns: &'a str) -> impl Iterator<Item = (Arc<str>, &'a Element)> {
    let reactions = list.children().filter(move |child| child.name() == "reaction" && child.ns() == ns);
    reactions.filter_map(|reaction| {
        let emoji = reaction.text();
        let fits = (1..=REACTION_BYTES_MAX).contains(&emoji.len());
        (fits && !emoji.chars().any(|letter| letter.is_whitespace() || letter.is_control()))
            .then(|| (Arc::from(emoji.as_str()), reaction))
    })
}

fn count(element: &Element) -> u64 {
    element.attr("count").map_or(1, |count| count.parse().unwrap_or(1))
}

const NS_ATTACHMENTS: &str = "urn:xmpp:pubsub-attachments:1";
const NS_PUBLIC: &str = "urn:xmpp:pps:0";
const NS_SUMMARY: &str = "urn:xmpp:pubsub-attachments:summary:1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::from_xml;

    #[test]
    fn what_is_attached_is_read_once_of_each() {
        let read = |inner: &str| {
            let xml = format!("<attachments xmlns='urn:xmpp:pubsub-attachments:1'>{inner}</attachments>");
            attached(&from_xml(xml.as_bytes()).unwrap()).unwrap()
        };
        let reactions = |all: &[&str]| all.iter().map(|emoji| Arc::from(*emoji)).collect::<BTreeSet<Arc<str>>>();
        assert_eq!(read(""), Attached::default());
        let noticed = "<noticed timestamp='2022-07-11T12:07:24Z'/><noticed/>";
        assert_eq!(read(noticed), Attached { noticed: true, reactions: BTreeSet::new() });
        let twice = "<reactions><reaction>👷</reaction><reaction>🔨</reaction><reaction>👷</reaction></reactions>";
        assert_eq!(read(twice), Attached { noticed: false, reactions: reactions(&["👷", "🔨"]) });
        let odd = "<reactions><reaction/><reaction>a b</reaction><reaction xmlns='urn:x'>👷</reaction><x>y</x>\
                   <reaction>1️⃣</reaction></reactions><noticed xmlns='urn:x'/>";
        assert_eq!(read(odd), Attached { noticed: false, reactions: reactions(&["1️⃣"]) });
        let long = format!("<reactions><reaction>{}</reaction></reactions>", "x".repeat(REACTION_BYTES_MAX + 1));
        assert_eq!(read(&long), Attached::default());
    }

    #[test]
    fn attachments_have_one_root() {
        for other in [
            "<attachments xmlns='urn:x'/>",
            "<attachment xmlns='urn:xmpp:pubsub-attachments:1'/>",
            "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'/>",
        ] {
            assert_eq!(attached(&from_xml(other.as_bytes()).unwrap()), None, "{other}");
        }
    }

    #[test]
    fn a_sum_is_read_as_it_was_written() {
        let of = |noticed, reactions: &[(&str, u64)]| Tally {
            noticed,
            reactions: reactions.iter().map(|(emoji, count)| (Arc::from(*emoji), *count)).collect(),
        };
        for (sums, expected) in [
            (of(0, &[]), "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'/>"),
            (
                of(5, &[("a<b", 1), ("👷", 2), ("🔧", 12)]),
                "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'><noticed count='5'/><reactions>\
                 <reaction count='12'>🔧</reaction><reaction count='2'>👷</reaction><reaction>a&lt;b</reaction>\
                 </reactions></summary>",
            ),
            (of(1, &[]), "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'><noticed count='1'/></summary>"),
        ] {
            let payload = summary(&sums);
            assert_eq!(std::str::from_utf8(&payload.xml).unwrap(), expected);
            assert_eq!(tally(&payload), sums);
        }
    }
}
