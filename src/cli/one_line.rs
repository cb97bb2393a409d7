//! One line of the log for one event, whatever stands in it: what others send may hold line ends and the
//! escapes of terminals, and must not pass for lines of ours.

use std::io::{self, Write};

/// Writes events, each handed over whole, and makes their control characters visible.
pub struct OneLine<W> {
    inner: W,
    /// The escapes of colours are ours: those in values were made visible before.
    coloured: bool,
}

impl<W: Write> OneLine<W> {
    pub fn new(inner: W, coloured: bool) -> Self {
        OneLine { inner, coloured }
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (line, end) = match event {
            [line @ .., b'\n'] => (line, &b"\n"[..]),
            line => (line, &b""[..]),
        };
        let mut shown = Vec::with_capacity(event.len());
        for &byte in line {
            match byte {
                ESCAPE if self.coloured => shown.push(byte),
                b'\t' | b' '..=b'~' | 0x80..=u8::MAX => shown.push(byte),
                _ => shown.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        shown.extend_from_slice(end);
        self.inner.write_all(&shown)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

const ESCAPE: u8 = 0x1b;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Security row L2: through the subscriber that writes the log.
    #[test]
    fn an_event_is_one_line_whatever_stands_in_it() {
        let log: Arc<Mutex<Vec<u8>>> = Arc::default();
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let to = log.clone();
        let writer = move || OneLine::new(Kept(to.clone()), false);
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let node = "n\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2K\u{7}";
            tracing::warn!(%node, "a node of this name: {node}");
            tracing::warn!("the next");
        });
        let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("\\x0a2026") && lines[1].ends_with("the next"), "{log:?}");
        assert!(log.bytes().all(|byte| byte == b'\n' || byte >= b' '), "{log:?}");
    }
}
