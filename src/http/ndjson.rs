//! Streams of items: `POST …/items:batch` with NDJSON of any length.
//!
//! Lines are read, published and answered in pieces; the answer is a line for each line, in their
//! order. Nothing is read from the sender while the answer cannot be written to it, so that memory
//! stays where it is, however long the stream: one piece, and one line that is not whole yet. A sender
//! that takes no answers is paused by this, and cut by the patience of the connection.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use futures_util::stream::unfold;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::engine::{Once, Position};
use crate::http::batch::{Entry, NDJSON};
use crate::http::body::{PERMIT_BYTES, Window, refuse_compressed};
use crate::http::idempotency;
use crate::http::json::Object;
use crate::http::problem::Problem;
use crate::http::publish::published;
use crate::http::routes::Call;
use crate::pubsub::{NewItem, NodeId, Precondition, Published, Verb};

/// Begins the stream. What is wrong with a line is told in its line of the answer.
pub(super) fn stream(call: Call, node: NodeId, create: bool, body: Body) -> Result<Response, Problem> {
    let headers = &call.parts.headers;
    refuse_compressed(headers)?;
    if headers.contains_key(idempotency::NAME) {
        return Err(Problem::bad_request("a stream is not one request: give each line a key of its own, as \"key\""));
    }
    // What a line may hold beyond the buffers of the connection counts as a body.
    let permits = u32::try_from(call.door.options.body_bytes_max.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
    let memory = call.door.body_memory.clone().try_acquire_many_owned(permits).map_err(|_| {
        Problem::unavailable("overloaded", "too many large bodies are on their way; nothing was done", 1)
    })?;
    let lines =
        Lines { line_bytes_max: call.door.options.body_bytes_max, buffer: BytesMut::new(), skipping: false, number: 0 };
    let window = Window::begin(&call.door.options);
    let target = Target { call, node, create };
    let stream = Stream { target, body, lines, window, ended: false, _memory: memory };
    let answer = unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece)), stream))
    });
    let mut response = Response::new(Body::from_stream(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

struct Stream {
    target: Target,
    body: Body,
    lines: Lines,
    /// In which something must come: a line, or its bytes at the rate of a body.
    window: Window,
    ended: bool,
    _memory: OwnedSemaphorePermit,
}

/// Who publishes to what.
struct Target {
    call: Call,
    node: NodeId,
    create: bool,
}

/// What is wrong with the stream as a whole, so that nothing follows.
enum Halt {
    /// The connection broke: there is nobody to tell.
    Broken,
    Told(Box<Problem>),
}

impl Stream {
    /// The answer to the next piece; none at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let piece = self.lines.piece(self.ended);
            if !piece.is_empty() {
                let answers = self.target.publish(piece).await;
                self.window = Window::begin(&self.target.call.door.options);
                return Some(answers);
            }
            if self.ended {
                return None;
            }
            match self.read().await {
                Ok(()) => {}
                Err(Halt::Broken) => return None,
                Err(Halt::Told(problem)) => {
                    // What has come of the last line is not a line.
                    (self.ended, self.lines.buffer) = (true, BytesMut::new());
                    let mut out = vec![];
                    write_problem(&mut out, self.lines.number + 1, &problem);
                    return Some(out);
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), Halt> {
        let call = &self.target.call;
        let door = &call.door;
        let told = |problem| Err(Halt::Told(Box::new(problem)));
        if !door.rooms.access.still_valid(&call.login) {
            let detail = "the credentials do not stand any more";
            return told(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail));
        }
        let frame = tokio::select! {
            frame = timeout_at(self.window.ends, self.body.frame()) => frame,
            () = door.closing.cancelled() => {
                return told(Problem::unavailable("stopping", "the server stops; this line and what follows was not read", 5));
            }
        };
        match frame {
            Err(_) if !self.window.was_slow(&door.options) => {
                self.window = Window::begin(&door.options);
                Ok(())
            }
            Err(_) => {
                let detail = "no more lines came in time";
                told(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "Body too slow", detail))
            }
            Ok(None) => {
                self.ended = true;
                Ok(())
            }
            Ok(Some(Err(_))) => Err(Halt::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    // A sender beyond its rate is slowed down, not refused.
                    let came = Instant::now();
                    door.quotas.pace(&call.login.account, data.len() as u64).await;
                    self.window.ends += came.elapsed();
                    self.window.bytes += data.len() as u64;
                    self.lines.buffer.extend_from_slice(&data);
                }
                Ok(())
            }
        }
    }
}

impl Target {
    /// Publishes a piece: each line by itself, in their order, in as few commits as there may be.
    async fn publish(&self, piece: Vec<Line>) -> Vec<u8> {
        let asked = join_all(piece.into_iter().map(|line| async move {
            let outcome = match line.entry {
                Ok(entry) => self.publish_one(entry).await,
                Err(problem) => Err(problem),
            };
            (line.number, outcome)
        }));
        let mut out = Vec::with_capacity(1024);
        for (number, outcome) in asked.await {
            match outcome {
                Ok((published, at, again)) => self.write_success(&mut out, number, &published, at, again),
                Err(problem) => write_problem(&mut out, number, &problem),
            }
        }
        out
    }

    async fn publish_one(&self, entry: Entry) -> Result<(Published, Position, bool), Problem> {
        let once = entry.key.clone().map(|key| Once { fingerprint: entry.fingerprint(), key });
        let items = vec![NewItem { id: entry.id, payload: entry.payload, precondition: Precondition::None }];
        let verb = Verb::Publish { node: self.node.clone(), items, options: None, create: self.create };
        let (mut items, at, again) = published(self.call.ask_once(verb, once).await?)?;
        let published = items.pop().ok_or_else(|| Problem::internal("a line was published, and not answered"))?;
        Ok((published, at, again))
    }

    fn write_success(&self, out: &mut Vec<u8>, number: u64, published: &Published, at: Position, again: bool) {
        let mut object = Object::begin(out);
        object.number("line", number);
        object.number("status", if published.replaced { 200 } else { 201 });
        if let Some(id) = &published.id {
            object.text("id", id.as_str());
        }
        object.number("seq", published.seq.0);
        let at = Position { node: at.node, seq: published.seq };
        object.text("cursor", &self.call.door.rooms.cursors.encode(at));
        object.plain("published", published.time);
        if again {
            object.boolean("replayed", true);
        }
        object.end();
        out.push(b'\n');
    }
}

/// A problem document with the number of the line that it is about.
fn write_problem(out: &mut Vec<u8>, number: u64, problem: &Problem) {
    out.extend_from_slice(format!("{{\"line\":{number},").as_bytes());
    out.extend_from_slice(&problem.to_json()[1..]);
    out.push(b'\n');
}

/// A line that is whole.
struct Line {
    /// From 1; blank lines count too.
    number: u64,
    entry: Result<Entry, Problem>,
}

/// Bytes that come, as lines.
struct Lines {
    line_bytes_max: usize,
    buffer: BytesMut,
    /// The rest of a line that was too long.
    skipping: bool,
    /// Of the last line that was taken.
    number: u64,
}

impl Lines {
    /// What can be published now: at most [`PIECE_LINES_MAX`] lines, and none more once they have
    /// [`PIECE_BYTES_MAX`].
    fn piece(&mut self, ended: bool) -> Vec<Line> {
        let (mut piece, mut bytes) = (vec![], 0);
        while piece.len() < PIECE_LINES_MAX && bytes < PIECE_BYTES_MAX {
            let Some(line) = self.line(ended) else { break };
            bytes += line.len();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let entry = if line.len() > self.line_bytes_max { Err(self.too_long()) } else { Entry::read(&line) };
            piece.push(Line { number: self.number, entry });
        }
        piece
    }

    /// The next line; one that is too long is cut short, and still too long.
    fn line(&mut self, ended: bool) -> Option<Bytes> {
        loop {
            let end = memchr(&self.buffer);
            if self.skipping {
                match end {
                    Some(end) => drop(self.buffer.split_to(end + 1)),
                    None => {
                        self.buffer.clear();
                        return None;
                    }
                }
                self.skipping = false;
                continue;
            }
            let line = match end {
                Some(end) => self.buffer.split_to(end + 1),
                None if self.buffer.len() > self.line_bytes_max => {
                    self.skipping = true;
                    self.buffer.split()
                }
                None if ended && !self.buffer.is_empty() => self.buffer.split(),
                None => return None,
            };
            self.number += 1;
            return Some(line.freeze());
        }
    }

    fn too_long(&self) -> Problem {
        let detail = format!("a line has at most {} bytes", self.line_bytes_max);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "line-too-long", "Line too long", detail)
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Lines that are published at once.
const PIECE_LINES_MAX: usize = 256;
/// No line is added to a piece that has so many bytes.
const PIECE_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(line_bytes_max: usize) -> Lines {
        Lines { line_bytes_max, buffer: BytesMut::new(), skipping: false, number: 0 }
    }

    fn told(piece: Vec<Line>) -> Vec<(u64, Option<&'static str>)> {
        piece.into_iter().map(|line| (line.number, line.entry.err().map(|problem| problem.kind))).collect()
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_are_split() {
        let text = b"{\"data\":1}\r\n\n{\"data\":\nxx\n{\"data\":\"0123456789012345678901234567890\"}\n{\"data\":2}";
        let expected = vec![
            (1, None),
            (3, Some("invalid-content")),
            (4, Some("invalid-content")),
            (5, Some("line-too-long")),
            (6, None),
        ];
        for size in 1..text.len() {
            let (mut lines, mut seen) = (lines(30), vec![]);
            for part in text.chunks(size) {
                lines.buffer.extend_from_slice(part);
                seen.extend(told(lines.piece(false)));
            }
            seen.extend(told(lines.piece(true)));
            assert_eq!(seen, expected, "{size}");
        }
    }

    #[test]
    fn a_piece_has_an_end() {
        let mut lines = lines(1000);
        lines.buffer.extend_from_slice("{\"data\":1}\n".repeat(600).as_bytes());
        assert_eq!([lines.piece(false).len(), lines.piece(false).len(), lines.piece(false).len()], [256, 256, 88]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut lines = lines(100);
        let mut problems = 0;
        for _ in 0..1000 {
            lines.buffer.extend_from_slice(&[b'x'; 64]);
            problems += lines.piece(false).len();
            assert!(lines.buffer.len() <= 164);
        }
        assert_eq!(problems, 1);
    }
}
