//! Any text as an address: whatever is taken is prepared, and preparing it again changes nothing.

use tidings::jid::{BareJid, Jid};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(jid) = Jid::parse(text) {
        let prepared = jid.to_string();
        assert_eq!(Jid::parse(&prepared).as_ref(), Ok(&jid), "{text:?}");
        assert_eq!(Jid::parse(&prepared).map(|again| again.to_string()).as_deref(), Ok(prepared.as_str()));
        assert!(prepared.len() <= 3 * PART_BYTES_MAX + 2, "{text:?}");
        let bare = jid.bare();
        assert_eq!(BareJid::parse(bare.as_str()).as_ref(), Ok(bare), "{text:?}");
        for part in [bare.local(), Some(bare.domain()), jid.resource()].into_iter().flatten() {
            assert!(!part.is_empty() && part.len() <= PART_BYTES_MAX, "{text:?}");
            assert!(!part.chars().any(char::is_control), "{text:?}");
        }
        assert!(
            bare.local().is_none_or(|local| !local.contains(['"', '&', '\'', '/', ':', '<', '>', '@'])),
            "{text:?}"
        );
    }
    // The same parts by themselves: a name that comes without its domain is prepared the same way.
    if let Some((local, domain)) = text.split_once('@')
        && !domain.contains(['/', '@'])
        && let (Ok(whole), Ok(parts)) = (BareJid::parse(text), BareJid::new(Some(local), domain))
    {
        assert_eq!(whole, parts, "{text:?}");
    }
}

/// RFC 7622 §3.1.
const PART_BYTES_MAX: usize = 1023;
