//! How the driver comes to an HTTP server: plain, or over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Outcome;
use crate::client;
use crate::options::Options;
use crate::server::Server;

/// What a connection is, whatever it runs over.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub type Io = Box<dyn Duplex>;

/// The HTTP listener of a server.
pub struct Door {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    /// The headers of every request.
    pub head: String,
}

impl Door {
    pub fn new(options: &Options, server: &Server) -> Outcome<Arc<Door>> {
        let address = server.http()?;
        let mut head = format!("Host: {address}\r\nContent-Type: application/json\r\n");
        if let Some(token) = &server.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        let tls = options.https.then(|| TlsConnector::from(Arc::new(client::any_certificate())));
        Ok(Arc::new(Door { address, tls, head }))
    }

    pub async fn dial(&self) -> Outcome<Io> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, tcp).await?),
        })
    }
}
