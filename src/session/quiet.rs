//! What a client that nobody looks at need not be told at once (XEP-0352): the presence of others. Of
//! each the newest is kept, until the client is looked at or something comes that cannot wait.

use bytes::Bytes;

/// What is held back, oldest first.
#[derive(Default)]
pub(super) struct Quiet {
    held: Vec<Bytes>,
}

impl Quiet {
    /// Holds a stanza back. What must be sent now comes back: everything that was held, and the stanza,
    /// where that cannot wait.
    pub fn hold(&mut self, stanza: Bytes) -> Vec<Bytes> {
        let Some(from) = availability_of(&stanza) else {
            let mut now = std::mem::take(&mut self.held);
            now.push(stanza);
            return now;
        };
        self.held.retain(|held| availability_of(held) != Some(from));
        self.held.push(stanza.clone());
        if self.held.len() > HELD_MAX { self.release() } else { Vec::new() }
    }

    pub fn release(&mut self) -> Vec<Bytes> {
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

fn attribute<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = tag.windows(name.len()).position(|window| window == name)? + name.len();
    tag[at..].split(|byte| *byte == b'\'').next()
}

/// Contacts whose presence is held back for one client.
const HELD_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(quiet: &mut Quiet, stanza: &str) -> Vec<String> {
        told(quiet.hold(Bytes::copy_from_slice(stanza.as_bytes())))
    }

    fn told(stanzas: Vec<Bytes>) -> Vec<String> {
        stanzas.into_iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
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
    fn so_much_is_held_and_no_more() {
        let mut quiet = Quiet::default();
        for n in 0..HELD_MAX {
            assert!(hold(&mut quiet, &format!("<presence from='a{n}@b/c'/>")).is_empty());
        }
        assert_eq!(hold(&mut quiet, "<presence from='one@more/c'/>").len(), HELD_MAX + 1);
    }
}
