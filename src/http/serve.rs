//! Connections: accepting, TLS, HTTP/1.1, and the limits that hold before anyone is known.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::http::Options;
use crate::http::auth::Peer;

/// Serves connections until the shutdown, and then until those that are open have ended, or
/// `drain_time` is over. Event streams end by themselves,
/// through the token that the door was made with: it should be this one.
pub async fn serve(
    listener: TcpListener,
    router: Router,
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
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let peer = Peer { address, secure: acceptor.is_some() };
        let connection =
            Connection { router: router.clone(), peer, shutdown: shutdown.clone(), options: options.clone() };
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let _place = place;
            match acceptor {
                None => connection.run(stream).await,
                Some(acceptor) => connection.shake_hands(acceptor, stream).await,
            }
        });
    }
    drop(listener);
    let drained = timeout(options.drain_time, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "HTTP connections did not end in time and were cut");
    }
}

type Accepted = (TcpStream, std::net::SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = places.clone().acquire_owned().await.ok()?;
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
            tracing::warn!(%error, "an HTTP connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// What a connection's task needs.
struct Connection {
    router: Router,
    peer: Peer,
    shutdown: CancellationToken,
    options: Arc<Options>,
}

impl Connection {
    async fn shake_hands(self, acceptor: TlsAcceptor, stream: TcpStream) {
        match timeout(self.options.handshake_time, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.run(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, peer = %self.peer.address, "a TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %self.peer.address, "a TLS handshake took too long"),
        }
    }

    async fn run(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let router = TowerToHyperService::new(self.router.clone());
        let peer = self.peer;
        let asked = Arc::new(AtomicBool::new(false));
        let asking = asked.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            asking.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(peer);
            let answer = router.call(request);
            async move { answer.await as Result<Response<Body>, std::convert::Infallible> }
        });
        let io = TokioIo::new(Pushing { stream, stalled: None, patience: self.options.write_stall_time });
        let connection = http1::Builder::new()
            // Without a timer hyper's own timeouts do nothing.
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.header_time)
            .max_header_size(self.options.header_bytes_max)
            .max_buf_size(self.options.header_bytes_max.max(BUFFER_BYTES_MIN))
            .serve_connection(io, service)
            .with_upgrades();
        tokio::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.shutdown.cancelled() => {
                // Nothing was asked yet: there is nothing to finish.
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, peer = %self.peer.address, "an HTTP connection ended early");
        }
    }
}

/// A stream that is given up when its peer takes nothing for too long.
struct Pushing<S> {
    stream: S,
    /// Runs while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl<S> Pushing<S> {
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pushing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pushing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, closed)
    }
}

/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The least that hyper takes for the size of its buffers.
const BUFFER_BYTES_MIN: usize = 8 * 1024;
