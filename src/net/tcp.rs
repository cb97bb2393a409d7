//! Listening, accepting, and what becomes of a connection before anyone reads from it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::socket::prepare;
use super::tls::Certificates;
use crate::counts::{Limit, SessionKind};
use crate::session::{Carrier, Io, Pipe, Sessions};
use crate::stream::Secured;

/// How a listener speaks.
#[derive(Clone, Copy)]
pub enum Transport {
    /// Plain until STARTTLS (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    DirectTls,
    /// Components, in the clear (XEP-0114).
    Component,
}

/// What a listener needs to serve.
pub struct Serve {
    pub listener: TcpListener,
    pub transport: Transport,
    pub certificates: Arc<Certificates>,
    /// How long an unauthenticated connection may last. A TLS handshake has 10 s of it.
    pub negotiation_max: Duration,
    pub gate: Arc<Gate>,
    pub sessions: Sessions,
    pub stop: CancellationToken,
    pub tracker: TaskTracker,
}

/// Binds what a setting says, or says in a sentence why not.
pub async fn bind(address: SocketAddr, setting: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another address",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose another port",
            io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address} ({setting}): {error}{advice}"))
    })
}

/// Accepts until `stop`. Running out of descriptors slows it down and never ends it.
pub async fn serve(serve: Serve) {
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = serve.listener.accept() => accepted,
            () = serve.stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => serve.admit(socket, peer),
            Err(error) => {
                serve.gate.hit(Limit::Descriptors);
                // One line for many: without descriptors this goes on until some are given back.
                if told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
                    told = Some(Instant::now());
                    tracing::warn!(%error, "no connection can be accepted; those that wait will be");
                }
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    () = serve.stop.cancelled() => return,
                }
            }
        }
    }
}

impl Serve {
    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        prepare(&socket);
        let (transport, sessions, gate) = (self.transport, self.sessions.clone(), self.gate.clone());
        let (certificates, stop) = (self.certificates.clone(), self.stop.clone());
        let (wait_max, limit) = (self.negotiation_max, self.negotiation_max.min(HANDSHAKE_MAX));
        self.tracker.spawn(async move {
            let Some(pending) = enter(&gate, peer, wait_max, &stop).await else { return };
            let unauthenticated: Option<Box<dyn Send>> = Some(Box::new(pending));
            let pipe = match transport {
                Transport::Component => {
                    let carrier = Carrier::Bytes(Box::new(socket));
                    let secured = Secured::default();
                    let kind = SessionKind::Component;
                    let pipe = Pipe { kind, carrier, peer, upgrade: None, clear: true, secured, unauthenticated };
                    return Box::pin(sessions.accept_component(pipe)).await;
                }
                Transport::StartTls => Pipe {
                    kind: SessionKind::StartTls,
                    carrier: Carrier::Bytes(Box::new(socket)),
                    peer,
                    upgrade: Some(Box::new(move |io| Box::pin(handshake(certificates, io, limit, gate)))),
                    clear: false,
                    secured: Secured::default(),
                    unauthenticated,
                },
                Transport::DirectTls => match Box::pin(handshake(certificates, socket, limit, gate)).await {
                    Ok((io, secured)) => Pipe {
                        kind: SessionKind::DirectTls,
                        carrier: Carrier::Bytes(io),
                        peer,
                        upgrade: None,
                        clear: false,
                        secured,
                        unauthenticated,
                    },
                    Err(error) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                },
            };
            sessions.run(pipe).await;
        });
    }
}

/// Waits at the gate, unread, for as long as an unauthenticated connection may last.
async fn enter(
    gate: &Arc<Gate>,
    peer: SocketAddr,
    wait_max: Duration,
    stop: &CancellationToken,
) -> Option<super::gate::Pending> {
    let deadline = Instant::now() + wait_max;
    let mut counted = false;
    loop {
        let held = match gate.enter(peer, Instant::now()) {
            Ok(pending) => return Some(pending),
            Err(held) => held,
        };
        if !std::mem::replace(&mut counted, true) {
            gate.hit(held.by);
        }
        match held.wait {
            wait if Instant::now() + wait < deadline => tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return None,
            },
            _ => {
                gate.hit(Limit::GateDeadline);
                tracing::info!(%peer, "a connection waited too long at the gate");
                return None;
            }
        }
    }
}

async fn handshake<T: Io + 'static>(
    certificates: Arc<Certificates>,
    io: T,
    limit: Duration,
    gate: Arc<Gate>,
) -> io::Result<(Box<dyn Io>, Secured)> {
    match tokio::time::timeout(limit, certificates.accept(io)).await {
        Ok(done) => done,
        Err(_) => {
            gate.hit(Limit::HandshakeDeadline);
            Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))
        }
    }
}

/// After an accept that failed, descriptors being short most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(10);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
