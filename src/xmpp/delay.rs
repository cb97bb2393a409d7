//! When a stanza was sent in truth (XEP-0203).

use crate::jid::Jid;
use crate::time::Timestamp;
use crate::xml::Element;

/// `<delay/>` (XEP-0203 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Who sent the stanza first, or held it up.
    pub from: Option<Jid>,
    pub stamp: Timestamp,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Delay {
    /// Nothing where the element is another, its stamp no time, or its `from` no address.
    pub fn parse(element: &Element) -> Option<Self> {
        if !element.is("delay", NS_DELAY) {
            return None;
        }
        let from = match element.attr("from") {
            Some(from) => Some(Jid::parse(from).ok()?),
            None => None,
        };
        let text = element.text();
        let reason = Some(text.trim()).filter(|reason| !reason.is_empty()).map(str::to_owned);
        Some(Delay { from, stamp: Timestamp::parse(element.attr("stamp")?)?, reason })
    }

    pub fn to_element(&self) -> Element {
        let element = Element::new("delay", NS_DELAY)
            .with_attr_opt("from", self.from.as_ref().map(Jid::to_string))
            .with_attr("stamp", self.stamp.to_string());
        match &self.reason {
            Some(reason) => element.with_text(reason.as_str()),
            None => element,
        }
    }
}

/// XEP-0203 §5.
pub const NS_DELAY: &str = "urn:xmpp:delay";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delay_reads_back_as_it_was_written() {
        for from in [None, Jid::parse("p.example").ok(), Jid::parse("a@b/c'd").ok()] {
            for reason in [None, Some("Offline <Storage>".to_owned())] {
                let delay = Delay { from: from.clone(), stamp: Timestamp(1_700_000_000_123_456), reason };
                assert_eq!(Delay::parse(&delay.to_element()), Some(delay));
            }
        }
    }

    #[test]
    fn what_is_no_delay_is_none() {
        let stamp = "2026-11-21T00:00:00Z";
        for (name, ns, stamp, from) in [
            ("delay", "jabber:x:delay", Some(stamp), None),
            ("x", NS_DELAY, Some(stamp), None),
            ("delay", NS_DELAY, None, None),
            ("delay", NS_DELAY, Some("yesterday"), None),
            ("delay", NS_DELAY, Some(stamp), Some("@")),
        ] {
            let element = Element::new(name, ns).with_attr_opt("stamp", stamp).with_attr_opt("from", from);
            assert_eq!(Delay::parse(&element), None, "{element}");
        }
    }
}
