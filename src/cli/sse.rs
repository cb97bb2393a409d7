//! Reading an event stream (WHATWG HTML §9.2.6).

use bytes::BytesMut;

/// One event. Without `data` it only moves the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub data: Option<String>,
    /// The last id that the stream has named, this event's own or an earlier one's.
    pub cursor: Option<String>,
}

/// Takes the bytes as they come and gives events as they are whole.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: BytesMut,
    /// A CR ended the last line: an LF that follows belongs to it.
    after_cr: bool,
    name: String,
    data: Option<String>,
    cursor: Option<String>,
    named_cursor: bool,
}

/// An event is larger than any that a server of ours sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole event, or bare cursor; absent until more bytes come.
    pub fn next(&mut self) -> Result<Option<Event>, TooLarge> {
        loop {
            if self.after_cr && !self.bytes.is_empty() {
                self.after_cr = false;
                if self.bytes[0] == b'\n' {
                    let _ = self.bytes.split_to(1);
                }
            }
            let Some(end) = self.bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                let size = self.bytes.len() + self.data.as_ref().map_or(0, String::len);
                return if size > EVENT_BYTES_MAX { Err(TooLarge) } else { Ok(None) };
            };
            let line = self.bytes.split_to(end);
            self.after_cr = self.bytes[0] == b'\r';
            let _ = self.bytes.split_to(1);
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
            } else {
                self.field(&String::from_utf8_lossy(&line));
            }
            if self.data.as_ref().is_some_and(|data| data.len() > EVENT_BYTES_MAX) {
                return Err(TooLarge);
            }
        }
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => {
                self.cursor = Some(value.to_owned());
                self.named_cursor = true;
            }
            // Comments, `retry`, and what is not known, which is to be passed over.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let (name, data) = (std::mem::take(&mut self.name), self.data.take());
        let moved = std::mem::take(&mut self.named_cursor);
        (data.is_some() || moved).then(|| Event { name, data, cursor: self.cursor.clone() })
    }
}

/// The largest payload, and as much again for what stands around it.
const EVENT_BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, piece: usize) -> Vec<Event> {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            reader.feed(bytes);
            while let Some(event) = reader.next().unwrap() {
                events.push(event);
            }
        }
        events
    }

    fn event(name: &str, data: Option<&str>, cursor: Option<&str>) -> Event {
        Event { name: name.to_owned(), data: data.map(str::to_owned), cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_come() {
        let text = "retry: 1000\n: hello\n\nid: c1\n\nevent: published\nid: c2\ndata: {\"a\":\ndata: 1}\n\n\
                    event:retracted\r\ndata:x\r\n\r\ndata: only\r\rdata\n\nevent: lost\n\ndata: unfinished\n";
        let expected = [
            event("", None, Some("c1")),
            event("published", Some("{\"a\":\n1}"), Some("c2")),
            event("retracted", Some("x"), Some("c2")),
            event("", Some("only"), Some("c2")),
            event("", Some(""), Some("c2")),
        ];
        for piece in 1..text.len() {
            assert_eq!(read(text, piece), expected, "{piece}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::default();
        reader.feed(b"data: ");
        reader.feed(&vec![b'a'; EVENT_BYTES_MAX]);
        assert_eq!(reader.next(), Err(TooLarge));
        let mut reader = Reader::default();
        let line = [b"data: ".as_slice(), &[b'a'; 1 << 20], b"\n"].concat();
        let outcome = (0..40).find_map(|_| {
            reader.feed(&line);
            reader.next().err()
        });
        assert_eq!(outcome, Some(TooLarge));
    }
}
