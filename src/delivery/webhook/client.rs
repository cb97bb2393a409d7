//! Sending one request to one endpoint: resolve, check, connect to the address that was checked.
//!
//! Redirects are not followed, no more of an answer is read than has a limit, and all of it has one
//! deadline. Connections are kept for the next request, but no longer than their name was resolved
//! for.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::lock;
use super::target::{Host, Networks, Refused, Target, choose};
use crate::time::Timestamp;

/// Finds the addresses of a name; a test may answer something else each time.
pub type Resolver = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;
pub type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;

/// What holds for every endpoint.
pub(super) struct Client {
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) resolver: Resolver,
    pub(super) networks: Networks,
    pub(super) allow_http: bool,
    /// Where this server itself listens.
    pub(super) own: Vec<SocketAddr>,
    /// For one request, from the resolution of the name to the last byte of the answer.
    pub(super) timeout: Duration,
}

/// Connections to one endpoint that wait for the next request.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Idle>>);

struct Idle {
    sender: SendRequest<Full<Bytes>>,
    /// When its name was resolved.
    connected: Instant,
}

/// What an endpoint answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) body: Bytes,
}

/// When an endpoint wants to be called again (RFC 9110 §10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryAfter {
    Seconds(u64),
    At(Timestamp),
}

impl RetryAfter {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse() {
            Ok(seconds) => Some(RetryAfter::Seconds(seconds)),
            Err(_) => http_date(text).map(RetryAfter::At),
        }
    }

    pub(super) fn seconds(self, now: Timestamp) -> u64 {
        match self {
            RetryAfter::Seconds(seconds) => seconds,
            RetryAfter::At(at) => u64::try_from(at.seconds().saturating_sub(now.seconds())).unwrap_or(0),
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7); its older forms nobody writes.
fn http_date(text: &str) -> Option<Timestamp> {
    let (_, text) = text.split_once(", ")?;
    let words: Vec<&str> = text.split(' ').collect();
    let [day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    Refused(Refused),
    TimedOut,
    /// Connecting, TLS, or the connection broke.
    Broken(String),
}

/// One request.
pub(super) struct Outgoing<'a> {
    pub(super) id: &'a str,
    pub(super) timestamp: i64,
    pub(super) signature: &'a str,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Client {
    pub(super) async fn send(&self, url: &str, pool: &Pool, outgoing: &Outgoing<'_>) -> Result<Answered, Unsent> {
        match tokio::time::timeout(self.timeout, self.exchange(url, pool, outgoing)).await {
            Ok(answered) => answered,
            Err(_) => Err(Unsent::TimedOut),
        }
    }

    async fn exchange(&self, url: &str, pool: &Pool, outgoing: &Outgoing<'_>) -> Result<Answered, Unsent> {
        let target = Target::parse(url, self.allow_http).map_err(Unsent::Refused)?;
        if let Some(mut idle) = pool.take()
            && idle.sender.ready().await.is_ok()
        {
            // The endpoint may have closed it this moment: then the request goes over a new one.
            if let Ok(response) = idle.sender.send_request(request(&target, outgoing)?).await {
                return self.answered(response, idle, pool).await;
            }
        }
        let mut fresh = Idle { sender: self.connect(&target).await?, connected: Instant::now() };
        let response = fresh.sender.send_request(request(&target, outgoing)?).await.map_err(broken)?;
        self.answered(response, fresh, pool).await
    }

    async fn answered(&self, response: Response<Incoming>, idle: Idle, pool: &Pool) -> Result<Answered, Unsent> {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| RetryAfter::read(value.to_str().ok()?));
        let mut incoming = response.into_body();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                body.extend_from_slice(&data);
            }
            if body.len() > ANSWER_BYTES_MAX {
                // What else it has to say is not listened to, nor is its connection used again.
                body.truncate(ANSWER_BYTES_MAX);
                return Ok(Answered { status, retry_after, body: Bytes::from(body) });
            }
        }
        pool.put(idle);
        Ok(Answered { status, retry_after, body: Bytes::from(body) })
    }

    async fn connect(&self, target: &Target) -> Result<SendRequest<Full<Bytes>>, Unsent> {
        let addresses = match &target.host {
            Host::Address(ip) => vec![SocketAddr::new(*ip, target.port)],
            Host::Name(name) => {
                let found = (self.resolver)(name.clone(), target.port).await;
                found.map_err(|_| Unsent::Refused(Refused::Unresolved))?
            }
        };
        // The address that was checked is the address that is connected to: the name is not asked again.
        let address = choose(&addresses, &self.networks, &self.own).map_err(Unsent::Refused)?;
        let stream = TcpStream::connect(address).await.map_err(broken)?;
        let _ = stream.set_nodelay(true);
        if !target.secure {
            return begin(stream).await;
        }
        let name = match &target.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(broken)?,
            Host::Address(ip) => ServerName::IpAddress(IpAddr::into(*ip)),
        };
        let connector = TlsConnector::from(self.tls.clone());
        begin(connector.connect(name, stream).await.map_err(broken)?).await
    }
}

async fn begin<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Unsent>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

fn request(target: &Target, outgoing: &Outgoing<'_>) -> Result<Request<Full<Bytes>>, Unsent> {
    Request::post(target.path.as_str())
        .header(HOST, target.authority.as_str())
        .header(USER_AGENT, concat!("Tidings/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, outgoing.content_type)
        .header("webhook-id", outgoing.id)
        .header("webhook-timestamp", outgoing.timestamp)
        .header("webhook-signature", outgoing.signature)
        .body(Full::new(outgoing.body.clone()))
        .map_err(broken)
}

impl Pool {
    fn take(&self) -> Option<Idle> {
        let mut idle = lock(&self.0);
        idle.retain(|idle| idle.connected.elapsed() < CONNECTION_AGE_MAX && !idle.sender.is_closed());
        idle.pop()
    }

    fn put(&self, idle: Idle) {
        let mut others = lock(&self.0);
        if others.len() < IDLE_MAX {
            others.push(idle);
        }
    }
}

/// The resolver of the system.
pub(super) fn system_resolver() -> Resolver {
    Arc::new(|name, port| {
        Box::pin(async move { tokio::net::lookup_host((name.as_str(), port)).await.map(Iterator::collect) })
    })
}

fn broken(error: impl fmt::Display) -> Unsent {
    Unsent::Broken(error.to_string())
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsent::Refused(refused) => refused.fmt(f),
            Unsent::TimedOut => f.write_str("no answer in time"),
            Unsent::Broken(why) => write!(f, "the connection failed: {why}"),
        }
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Connections of one endpoint that are kept.
const IDLE_MAX: usize = 64;
/// For how long one resolution of a name holds.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_when_in_seconds_or_as_a_date() {
        let now = Timestamp::parse("1994-11-06T08:48:37Z").unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(60)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(RetryAfter::read(text).map(|after| after.seconds(now)), seconds, "{text}");
        }
    }
}
