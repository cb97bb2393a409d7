//! The framing of HTTP/1.1 requests, looked at before the HTTP library does: what two readers could take for the ends
//! of different requests is refused (RFC 9112 §11.2).
//!
//! The library is as lenient as the specification lets it be: it takes a bare LF for the end of a line, a
//! `Content-Length` beside a `Transfer-Encoding`, the same length twice. Here nobody before us is trusted to read them
//! alike. This only follows where requests begin and end and says where something is wrong; the library is then given
//! [`NONSENSE`] to read, answers 400 and closes the connection.

/// Follows what one connection brings.
#[derive(Debug, Default)]
pub(super) struct Heads {
    state: State,
    head: Head,
    line: Line,
    /// Whether the last byte was a CR.
    cr: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line before a chunk.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Trailers,
    /// After a head that asks for another protocol: frames of that, or another request.
    Upgrade,
    /// Another protocol is spoken.
    Off,
}

/// What a head has said so far.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// The beginning of a line: more of it does not matter to us.
#[derive(Debug)]
struct Line {
    bytes: [u8; LINE_BYTES],
    /// Of the whole line.
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line { bytes: [0; LINE_BYTES], length: 0 }
    }
}

/// Where something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) usize);

impl Heads {
    /// Takes what follows on the connection.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Off => return Ok(()),
                State::Body(left) => self.skip(left, rest, State::Body, State::Head),
                State::Chunk(left) => self.skip(left, rest, State::Chunk, State::ChunkEnd),
                State::Upgrade => {
                    // No frame of a WebSocket begins with a letter, and every request does.
                    self.state = if rest[0].is_ascii_uppercase() { State::Head } else { State::Off };
                    0
                }
                State::Head | State::Trailers | State::Size | State::ChunkEnd => {
                    self.line(rest).map_err(|Fault(on)| Fault(at + on))?
                }
            };
        }
        Ok(())
    }

    fn skip(&mut self, left: u64, rest: &[u8], more: fn(u64) -> State, over: State) -> usize {
        let taken = left.min(rest.len() as u64);
        self.state = if taken == left { over } else { more(left - taken) };
        taken as usize
    }

    /// Takes up to the end of a line.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.line.add(rest);
            self.cr = rest.last() == Some(&b'\r');
            return Ok(rest.len());
        };
        let cr = if end == 0 { self.cr } else { rest[end - 1] == b'\r' };
        self.line.add(&rest[..end]);
        let line = std::mem::take(&mut self.line);
        self.cr = false;
        if !cr {
            return Err(Fault(end));
        }
        // Without its CR.
        self.ended(line.text(), line.length - 1).ok_or(Fault(end))?;
        Ok(end + 1)
    }

    /// Takes a line; nothing where it is wrong.
    fn ended(&mut self, text: &[u8], length: usize) -> Option<()> {
        match self.state {
            State::Head if length == 0 && self.head.begun => {
                let head = std::mem::take(&mut self.head);
                self.state = head.what_follows();
            }
            // Empty lines before a request are nothing (RFC 9112 §2.2).
            State::Head if length == 0 => {}
            State::Head if !self.head.begun => self.head.begun = true,
            State::Head => self.head.field(text, length)?,
            State::Size => {
                let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size = std::str::from_utf8(&text[..digits]).ok()?;
                self.state = match u64::from_str_radix(size, 16).ok()? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd => {
                (length == 0).then_some(())?;
                self.state = State::Size;
            }
            State::Trailers if length == 0 => self.state = State::Head,
            _ => {}
        }
        Some(())
    }
}

impl Head {
    fn field(&mut self, text: &[u8], length: usize) -> Option<()> {
        let colon = text.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
        let whole = length <= LINE_BYTES;
        if name.eq_ignore_ascii_case(b"content-length") {
            // Digits and nothing else: no sign, no list.
            let digits = whole && !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
            if self.length.replace(number).is_some() || self.chunked {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !whole || !value.eq_ignore_ascii_case(b"chunked") || self.chunked || self.length.is_some() {
                return None;
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        }
        Some(())
    }

    fn what_follows(&self) -> State {
        match self.length {
            _ if self.chunked => State::Size,
            Some(bytes @ 1..) => State::Body(bytes),
            _ if self.upgrade => State::Upgrade,
            _ => State::Head,
        }
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        let begin = self.length.min(LINE_BYTES);
        let room = &mut self.bytes[begin..];
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.length += bytes.len();
    }

    /// What was kept of it, without its CR.
    fn text(&self) -> &[u8] {
        &self.bytes[..(self.length - 1).min(LINE_BYTES)]
    }
}

/// No head and no chunk has these bytes, and whoever waits for the end of a head finds one.
pub(super) const NONSENSE: &[u8] = b"\0\n\n";
/// What is looked at of a line: the longest that means something is a `Transfer-Encoding`.
const LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the first fault is, the bytes coming in pieces of this size.
    fn fault(text: &[u8], piece: usize) -> Option<usize> {
        let mut heads = Heads::default();
        let mut passed = 0;
        for piece in text.chunks(piece) {
            if let Err(Fault(at)) = heads.pass(piece) {
                return Some(passed + at);
            }
            passed += piece.len();
        }
        None
    }

    const GOOD: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc",
        "POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\na\nb\nc\r\n0A\r\n0123\n\n6789\r\n0\r\nT: t\r\n\r\n",
    ];

    const BAD: &[&str] = &[
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\nHost: x\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n",
        "POST / HTTP/1.1\r\nContent-Length:\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
        "GET / HTTP/1.1\r\nno colon\r\n",
    ];

    #[test]
    fn what_ends_where_all_agree_passes_and_the_rest_is_found_at_its_line_end() {
        for piece in 1..40 {
            for good in GOOD {
                assert_eq!(fault(good.as_bytes(), piece), None, "{good:?}");
            }
            for bad in BAD {
                assert_eq!(fault(bad.as_bytes(), piece), Some(bad.len() - 1), "{bad:?}");
            }
        }
        let padded = format!("POST / HTTP/1.1\r\nContent-Length: {}5\r\n", "0".repeat(80));
        assert!(fault(padded.as_bytes(), 7).is_some());
    }

    #[test]
    fn another_protocol_is_left_alone_and_a_request_after_a_refusal_is_not() {
        let upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        for (more, expected) in [("\u{81}\n\n", false), ("\0\n", false), ("GET / HTTP/1.1\n", true)] {
            let bytes = [upgrade.as_bytes(), more.as_bytes()].concat();
            assert_eq!(fault(&bytes, 3).is_some(), expected, "{more:?}");
        }
    }

    proptest! {
        /// Requests one after another, cut anywhere: bodies may hold anything, and a fault behind them is still found.
        #[test]
        fn bodies_are_passed_over(picks in prop::collection::vec(0..GOOD.len(), 0..5), bad in 0..BAD.len(), piece in 1..50_usize) {
            let mut text: Vec<u8> = picks.iter().flat_map(|pick| GOOD[*pick].bytes()).collect();
            prop_assert_eq!(fault(&text, piece), None);
            text.extend(BAD[bad].bytes());
            prop_assert_eq!(fault(&text, piece), Some(text.len() - 1));
        }
    }
}
