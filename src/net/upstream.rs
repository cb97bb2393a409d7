//! Being a component of another server (XEP-0114): connecting, and connecting again.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::socket::prepare;
use crate::counts::SessionKind;
use crate::session::{Carrier, Pipe, Sessions, UpstreamOptions};
use crate::stream::Secured;

/// Connects to `host` (with its port) until `stop`; whenever the connection ends, again after a while
/// that grows while the server does not take us, to `wait_max` at most.
pub async fn join(
    host: String,
    wait_max: Duration,
    options: UpstreamOptions,
    sessions: Sessions,
    stop: CancellationToken,
) {
    let mut upstream = sessions.upstream(options);
    let mut wait = WAIT_MIN;
    loop {
        let accepted = match connect(&host).await {
            Ok(pipe) => sessions.serve_upstream(pipe, &mut upstream).await,
            Err(error) => {
                tracing::warn!(%host, %error, retry_seconds = wait.as_secs(), "the server that we are a component of cannot be reached");
                false
            }
        };
        wait = if accepted { WAIT_MIN } else { (wait * 2).min(wait_max) };
        tokio::select! {
            () = upstream.rest(wait.mul_f64(0.75 + jitter() / 2.0)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn connect(host: &str) -> io::Result<Pipe> {
    let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(host));
    let socket = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    prepare(&socket);
    let peer = socket.peer_addr()?;
    let carrier = Carrier::Bytes(Box::new(socket));
    Ok(Pipe {
        kind: SessionKind::Upstream,
        carrier,
        peer,
        upgrade: None,
        clear: true,
        secured: Secured::default(),
        unauthenticated: None,
    })
}

/// Between 0 and 1, so that many do not come back at one instant.
fn jitter() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX)
}

const CONNECT_MAX: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_secs(1);
