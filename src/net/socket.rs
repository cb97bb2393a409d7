//! What every socket of ours is told: to send at once, and to notice a peer that is gone.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// Prepares a socket. What the system does not know is left as it is.
pub(super) fn prepare(socket: &TcpStream) {
    if let Err(error) = told(socket) {
        tracing::debug!(%error, "a socket cannot be prepared");
    }
}

fn told(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = socket.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(socket, USER_TIMEOUT_MILLIS)?;
    Ok(())
}

/// A peer that says nothing is asked by the system whether it is there, and is gone after a minute:
/// before our own pings (`ping_after`) would find out.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// What was sent and is not acknowledged by then ends the connection (RFC 5482).
const USER_TIMEOUT_MILLIS: u32 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_told_everything() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        told(&socket).unwrap();
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), KEEPALIVE_IDLE);
        assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), USER_TIMEOUT_MILLIS);
    }
}
