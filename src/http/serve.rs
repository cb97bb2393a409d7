//! Connections: accepting, TLS, HTTP/1.1 and HTTP/2, and the limits that hold before anyone is known.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::counts::{Counts, Limit};
use crate::http::auth::Peer;
use crate::http::http2::Answers;
use crate::http::pushing::Pushing;
use crate::http::takeover::Takeover;
use crate::http::watch::Streaming;
use crate::http::{Api, Options};

/// Serves connections until the shutdown, and then until those that are open have ended, or
/// `drain_time` is over. Event streams end by themselves,
/// through the token that the door was made with: it should be this one.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    tls: Option<Arc<rustls::ServerConfig>>,
    shutdown: CancellationToken,
    options: Options,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(options.connections_max));
    let options = Arc::new(options);
    let mut connections = JoinSet::new();
    loop {
        // A place first: beyond the limit, connections wait in the system's queue.
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &places, &options.counts) => accepted,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let peer = Peer { address, secure: acceptor.is_some() };
        let connection = Connection {
            api: api.clone(),
            peer,
            place: Place(Arc::new(place)),
            shutdown: shutdown.clone(),
            options: options.clone(),
        };
        connections.spawn(converse(connection, acceptor.clone(), stream));
    }
    drop(listener);
    let drained = timeout(options.drain_time, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "HTTP connections did not end in time and were cut");
    }
}

/// A connection from its first byte to its last. What it needs for requests stands in a box that is
/// given back when a stream takes the socket over, which may then last for days.
async fn converse(connection: Connection, acceptor: Option<TlsAcceptor>, stream: TcpStream) {
    let (peer, place) = (connection.peer.address, connection.place.clone());
    let requests = match acceptor {
        None => Box::pin(connection.find_out(stream)) as Requests,
        Some(acceptor) => Box::pin(connection.shake_hands(acceptor, stream)),
    };
    if let Some((streaming, io)) = requests.await
        && let Err(error) = streaming.drive(io).await
    {
        tracing::debug!(%error, %peer, "a stream ended early");
    }
    drop(place);
}

type Requests = Pin<Box<dyn Future<Output = Option<(Streaming, Io)>> + Send>>;

/// What a request knows of the connection that it came on.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) peer: Peer,
    pub(super) place: Place,
    /// Where a stream may take the connection over.
    pub(super) takeover: Option<Takeover>,
}

/// A connection's place among those that may be open; whoever takes its socket over takes this along.
#[derive(Clone)]
pub(super) struct Place(#[expect(dead_code, reason = "it is held, not read")] Arc<OwnedSemaphorePermit>);

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>, counts: &Counts) -> Option<Accepted> {
    let place = match places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            counts.hit(Limit::HttpConnections);
            places.clone().acquire_owned().await.ok()?
        }
    };
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are whole when they are written: to wait for more would only delay them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            Some((stream, address, place))
        }
        // Connections that ended while they waited are nothing; without descriptors, a pause lets
        // others end.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            counts.hit(Limit::Descriptors);
            tracing::warn!(%error, "an HTTP connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// The socket of a connection, whatever it is.
type Io = Pushing<Box<dyn Socket>>;

/// What a connection's task needs.
struct Connection {
    api: Api,
    peer: Peer,
    place: Place,
    shutdown: CancellationToken,
    options: Arc<Options>,
}

/// How a connection of HTTP/1.1 ended.
enum Ended {
    /// With its last answer, or early.
    Done(hyper::Result<()>),
    /// A stream takes its socket over.
    Taken(Streaming),
}

impl Connection {
    async fn shake_hands(self, acceptor: TlsAcceptor, stream: TcpStream) -> Option<(Streaming, Io)> {
        match timeout(self.options.handshake_time, Box::pin(acceptor.accept(stream))).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                return self.run(http2, Box::new(stream), vec![]).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, peer = %self.peer.address, "a TLS handshake failed"),
            Err(_) => {
                self.options.counts.hit(Limit::HandshakeDeadline);
                tracing::debug!(peer = %self.peer.address, "a TLS handshake took too long");
            }
        }
        None
    }

    /// Without TLS, the first bytes say which HTTP is spoken (RFC 9113 §3.3: prior knowledge).
    async fn find_out(self, mut stream: TcpStream) -> Option<(Streaming, Io)> {
        let read = tokio::select! {
            read = timeout(self.options.header_time, read_preface(&mut stream)) => read,
            () = self.shutdown.cancelled() => return None,
        };
        match read {
            Ok(Ok((http2, read))) => return self.run(http2, Box::new(stream), read).await,
            Ok(Err(error)) => tracing::debug!(%error, peer = %self.peer.address, "an HTTP connection ended early"),
            Err(_) => tracing::debug!(peer = %self.peer.address, "an HTTP connection said nothing"),
        }
        None
    }

    async fn run(self, http2: bool, stream: Box<dyn Socket>, read: Vec<u8>) -> Option<(Streaming, Io)> {
        if http2 {
            self.run_http2(stream, read).await;
            return None;
        }
        self.run_http1(stream, read).await
    }

    /// Answers requests, until one of them is answered by a stream that takes the socket over.
    async fn run_http1(self, stream: Box<dyn Socket>, read: Vec<u8>) -> Option<(Streaming, Io)> {
        let takeover = Takeover::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let service = self.service(Some(takeover.clone()), None, asked.clone());
        let io = TokioIo::new(Pushing::of_requests(stream, read, self.options.write_stall_time, takeover.clone()));
        // In a box, which is given back when a stream takes over.
        let mut connection = Box::new(
            http1::Builder::new()
                // Without a timer hyper's own timeouts do nothing.
                .timer(TokioTimer::new())
                .header_read_timeout(self.options.header_time)
                .max_header_size(self.options.header_bytes_max)
                .max_buf_size(self.options.header_bytes_max.max(BUFFER_BYTES_MIN))
                .serve_connection(io, service)
                .with_upgrades(),
        );
        let mut leaving = false;
        let mut shutdown = Box::pin(self.shutdown.clone().cancelled_owned());
        let ended = std::future::poll_fn(|cx| {
            if !leaving && shutdown.as_mut().poll(cx).is_ready() {
                leaving = true;
                // Nothing was asked yet: there is nothing to finish.
                if asked.load(Ordering::Relaxed) == 0 {
                    return Poll::Ready(Ended::Done(Ok(())));
                }
                Pin::new(&mut *connection).graceful_shutdown();
            }
            match Pin::new(&mut *connection).poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Ended::Done(outcome)),
                Poll::Pending => match takeover.take() {
                    Some(streaming) => Poll::Ready(Ended::Taken(streaming)),
                    None => Poll::Pending,
                },
            }
        })
        .await;
        match ended {
            Ended::Done(Ok(())) => None,
            Ended::Done(Err(error)) => {
                tracing::debug!(%error, peer = %self.peer.address, "an HTTP connection ended early");
                None
            }
            Ended::Taken(streaming) => {
                connection.into_parts().map(|parts| (streaming, parts.io.into_inner().no_more_requests()))
            }
        }
    }

    async fn run_http2(self, stream: Box<dyn Socket>, read: Vec<u8>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let answers = Answers::new();
        let service = self.service(None, Some(answers.clone()), asked.clone());
        let io = TokioIo::new(Pushing::new(stream, read, self.options.write_stall_time));
        let mut connection = Box::pin(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(HTTP2_STREAMS_MAX)
                .max_header_list_size(u32::try_from(self.options.header_bytes_max).unwrap_or(u32::MAX))
                .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
                .max_local_error_reset_streams(HTTP2_RESETS_MAX)
                .initial_stream_window_size(HTTP2_STREAM_WINDOW)
                .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
                .max_send_buf_size(HTTP2_SEND_BUFFER)
                // A peer that is gone without a word is noticed, though a stream may be silent.
                .keep_alive_interval(HTTP2_PING_INTERVAL)
                .keep_alive_timeout(HTTP2_PING_TIME)
                .serve_connection(io, service),
        );
        let (mut idle_at, mut leaving) = (asked.load(Ordering::Relaxed), false);
        let every = |time: Duration| interval(time.max(Duration::from_millis(1)));
        let (mut looks, mut idles) = (every(self.options.write_stall_time), every(self.options.header_time));
        // The first tick of each comes at once.
        idles.tick().await;
        let outcome = loop {
            tokio::select! {
                outcome = connection.as_mut() => break outcome,
                () = self.shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    break connection.await;
                }
                _ = looks.tick() => {
                    if answers.stand_still(self.options.write_stall_time) {
                        tracing::debug!(peer = %self.peer.address, "a peer makes no room for an answer");
                        break Ok(());
                    }
                }
                // A connection on which nothing is asked, and nothing was asked for a while, is closed.
                _ = idles.tick() => {
                    let now = asked.load(Ordering::Relaxed);
                    if now == idle_at && now & UNDER_WAY == 0 {
                        // A peer that was told so has to say that it knows; one that does not is cut.
                        if leaving {
                            break Ok(());
                        }
                        connection.as_mut().graceful_shutdown();
                        leaving = true;
                    }
                    idle_at = now;
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, peer = %self.peer.address, "an HTTP/2 connection ended early");
        }
    }

    /// Answers requests. `asked` counts those begun, in steps of [`BEGUN`], and those under way.
    fn service(
        &self,
        takeover: Option<Takeover>,
        answers: Option<Answers>,
        asked: Arc<AtomicUsize>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Answer>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<>,
    > + use<> {
        let api = self.api.clone();
        let link = Link { peer: self.peer, place: self.place.clone(), takeover };
        service_fn(move |request: Request<Incoming>| {
            asked.fetch_add(BEGUN + 1, Ordering::Relaxed);
            let under_way = UnderWay(asked.clone());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(link.clone());
            let (answer, answers) = (api.clone().answer(request), answers.clone());
            async move {
                // The request is under way until its answer has been sent.
                Ok(answer.await.map(|body| {
                    let body = match answers {
                        Some(answers) => answers.piecewise(body),
                        None => body,
                    };
                    Answer { body, _under_way: under_way }
                }))
            }
        })
    }
}

/// A request that is not answered to the end yet.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl hyper::body::Body for Answer {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// What a connection runs over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// Reads until it is known whether the peer begins with the preface of HTTP/2; that, and what was read.
async fn read_preface(stream: &mut TcpStream) -> io::Result<(bool, Vec<u8>)> {
    let mut read = Vec::with_capacity(HTTP2_PREFACE.len());
    while read.len() < HTTP2_PREFACE.len() {
        let missing = (HTTP2_PREFACE.len() - read.len()) as u64;
        if (&mut *stream).take(missing).read_buf(&mut read).await? == 0 || !HTTP2_PREFACE.starts_with(&read) {
            return Ok((false, read));
        }
    }
    Ok((true, read))
}

/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The least that hyper takes for the size of its buffers.
const BUFFER_BYTES_MIN: usize = 8 * 1024;
/// RFC 9113 §3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests of one connection at once.
const HTTP2_STREAMS_MAX: u32 = 100;
/// Streams that were opened and reset before they were worked on, after which the connection is
/// closed: who does that by mistake does it seldom (CVE-2023-44487).
const HTTP2_RESETS_MAX: usize = 20;
/// What a peer may send of a body, and of all bodies, before we have taken any.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 256 * 1024;
/// What waits to be written of one answer.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(60);
const HTTP2_PING_TIME: Duration = Duration::from_secs(20);
/// A count of requests: those under way in the low half, those begun in the high one.
const BEGUN: usize = 1 << 16;
const UNDER_WAY: usize = BEGUN - 1;
