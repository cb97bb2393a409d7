//! Networks that are unkind: what comes is passed on one byte at a time, or held back until there is
//! much of it. Nothing may depend on how bytes are cut into packets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Every byte in a segment of its own.
    OneByte,
    /// Up to 64 KiB, held back until nothing more comes for a moment.
    Coalesced,
}

/// Listens in front of a server, for as long as the runtime runs.
pub async fn before(server: SocketAddr, cut: Cut) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(server).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::join!(pass(from_client, to_server, cut), pass(from_server, to_client, cut));
            });
        }
    });
    Ok(address)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: Cut) {
    let mut buffer = Vec::with_capacity(HELD_MAX);
    loop {
        buffer.clear();
        if !matches!(from.read_buf(&mut buffer).await, Ok(read) if read > 0) {
            break;
        }
        while cut == Cut::Coalesced && buffer.len() < HELD_MAX {
            match tokio::time::timeout(HELD_FOR, from.read_buf(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => break,
            }
        }
        let step = if cut == Cut::OneByte { 1 } else { buffer.len() };
        for piece in buffer.chunks(step) {
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
    }
    let _ = to.shutdown().await;
}

const HELD_MAX: usize = 64 << 10;
const HELD_FOR: Duration = Duration::from_millis(3);
