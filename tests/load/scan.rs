//! Finds the stanzas in what a server sends, without parsing them.
//!
//! It tracks nesting only: enough to know where a stanza ends, at a cost that does not disturb a measurement. It is no
//! parser: what it does not understand (comments, CDATA, declarations inside a stream) is an error.

use memchr::{memchr, memchr3};

use crate::Outcome;

/// Bytes received and not yet handed out.
#[derive(Default)]
pub struct Scanner {
    bytes: Vec<u8>,
    /// Where the frame that is being looked for begins.
    start: usize,
    /// Everything before it has been looked at.
    seen: usize,
    depth: u32,
}

/// One thing that a server says on a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `<stream:stream …>`
    Header(&'a [u8]),
    /// A whole first-level element.
    Stanza(&'a [u8]),
    /// `</stream:stream>`
    Close,
}

impl Scanner {
    /// The buffer to read into; what was handed out is given up first.
    pub fn room(&mut self) -> Outcome<&mut Vec<u8>> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        if self.bytes.len() > MAX_FRAME_BYTES {
            return Err(format!("the server sent a stanza of more than {MAX_FRAME_BYTES} bytes").into());
        }
        self.bytes.reserve(READ_BYTES);
        Ok(&mut self.bytes)
    }

    /// A new stream begins (after STARTTLS, after SASL).
    pub fn restart(&mut self) {
        self.bytes.clear();
        (self.start, self.seen, self.depth) = (0, 0, 0);
    }

    /// Gives back memory while nothing is expected.
    pub fn shrink(&mut self) {
        if self.start == self.bytes.len() {
            self.bytes = Vec::new();
            (self.start, self.seen) = (0, 0);
        }
    }

    /// The next whole frame, if it is there.
    pub fn frame(&mut self) -> Outcome<Option<Frame<'_>>> {
        loop {
            let Some(open) = memchr(b'<', &self.bytes[self.seen..]).map(|at| self.seen + at) else {
                self.seen = self.bytes.len();
                if self.depth <= 1 {
                    self.start = self.seen;
                }
                return Ok(None);
            };
            if self.depth <= 1 {
                self.start = open;
            }
            let Some(end) = tag_end(&self.bytes, open + 1) else {
                self.seen = open;
                return Ok(None);
            };
            self.seen = end;
            if let Some(whole) = self.step(open, end)? {
                let begin = std::mem::replace(&mut self.start, end);
                let bytes = &self.bytes[begin..end];
                return Ok(Some(match whole {
                    Whole::Header => Frame::Header(bytes),
                    Whole::Stanza => Frame::Stanza(bytes),
                    Whole::Close => Frame::Close,
                }));
            }
        }
    }

    /// Takes one tag into account; says what it completes.
    fn step(&mut self, open: usize, end: usize) -> Outcome<Option<Whole>> {
        match self.bytes[open + 1] {
            b'?' => Ok(None),
            b'!' => Err("the server sent a comment, CDATA or a DOCTYPE: not understood here".into()),
            b'/' => {
                self.depth = self.depth.checked_sub(1).ok_or("the server closed what was not open")?;
                Ok(match self.depth {
                    0 => Some(Whole::Close),
                    1 => Some(Whole::Stanza),
                    _ => None,
                })
            }
            _ if self.bytes[end - 2] == b'/' => Ok((self.depth == 1).then_some(Whole::Stanza)),
            _ => {
                self.depth += 1;
                Ok((self.depth == 1).then_some(Whole::Header))
            }
        }
    }
}

enum Whole {
    Header,
    Stanza,
    Close,
}

/// One past the `>` of the tag whose name begins at `from`; quotes may hold a `>`.
fn tag_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr3(b'>', b'"', b'\'', bytes.get(at..)?)?;
        if bytes[at] == b'>' {
            return Some(at + 1);
        }
        at += 1 + memchr(bytes[at], &bytes[at + 1..])? + 1;
    }
}

/// The value of an attribute of the first tag, as it stands (entities are not resolved).
pub fn attribute<'a>(frame: &'a [u8], name: &str) -> Option<&'a str> {
    let tag = std::str::from_utf8(&frame[..tag_end(frame, 1)?]).ok()?;
    let mut rest = tag;
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back();
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        if before.is_some_and(char::is_whitespace) {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            return value[1..].split(quote).next();
        }
    }
    None
}

/// The text directly within the first element of that name, as it stands.
pub fn text<'a>(frame: &'a [u8], name: &str) -> Option<&'a str> {
    let all = std::str::from_utf8(frame).ok()?;
    let open = all.find(&format!("<{name}"))?;
    let inner = &all[open..][all[open..].find('>')? + 1..];
    inner.split('<').next()
}

/// A stanza longer than this is not waited for.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// At least this much room before each read: a TLS record.
const READ_BYTES: usize = 16 << 10;
