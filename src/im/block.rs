//! Whom a block list means (XEP-0191 §6).

use crate::jid::Jid;

/// Whether the list has somebody: the resource, the account or address without one, the domain.
pub fn blocks(list: &[Jid], who: &Jid) -> bool {
    list.iter().any(|blocked| {
        if blocked.domain() != who.domain() {
            return false;
        }
        match (blocked.bare().local(), blocked.resource()) {
            // A domain means everyone there.
            (None, None) => true,
            (local, resource) => local == who.bare().local() && (resource.is_none() || resource == who.resource()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_matched_from_the_narrow_to_the_wide() {
        let people = ["u@d/r", "u@d/s", "u@d", "v@d/r", "d/r", "d", "u@e/r"];
        let rows = [
            ("u@d/r", &["u@d/r"][..]),
            ("u@d", &["u@d/r", "u@d/s", "u@d"]),
            ("d/r", &["d/r"]),
            ("d", &["u@d/r", "u@d/s", "u@d", "v@d/r", "d/r", "d"]),
            ("f", &[]),
        ];
        for (blocked, meant) in rows {
            let list = [Jid::parse("x@y").unwrap(), Jid::parse(blocked).unwrap()];
            let found: Vec<&str> = people.into_iter().filter(|who| blocks(&list, &Jid::parse(who).unwrap())).collect();
            assert_eq!(found, meant, "{blocked}");
        }
        assert!(!blocks(&[], &Jid::parse("u@d").unwrap()));
    }
}
