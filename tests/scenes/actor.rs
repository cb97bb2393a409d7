//! A client of a scene: a TLS socket, a stream, one stanza at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use tidings::xml::{Element, Limits, Parser, XmlEvent};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::bosh::Bosh;
use crate::secrets;
use crate::socket::Socket;
use crate::trusting::trusting;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Bytes both ways.
pub struct Raw {
    io: Box<dyn Io>,
    seen: Vec<u8>,
}

/// A session that is logged in.
pub struct Actor {
    line: Line,
}

enum Line {
    Stream(Box<Stream>),
    Socket(Box<Socket>),
    Bosh(Box<Bosh>),
}

struct Stream {
    raw: Raw,
    parser: Parser,
    pending: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Result<Raw, String> {
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        Ok(Raw { io: Box::new(socket), seen: Vec::new() })
    }

    /// Over a socket that holds little of what nobody reads.
    pub async fn connect_slowly(address: SocketAddr) -> Result<Raw, String> {
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        socket.set_recv_buffer_size(4096).map_err(|error| error.to_string())?;
        let socket = socket.connect(address).await.map_err(|error| error.to_string())?;
        Ok(Raw { io: Box::new(socket), seen: Vec::new() })
    }

    /// Opens a stream, asks for STARTTLS and does the handshake.
    pub async fn start_tls(mut self) -> Result<Raw, String> {
        self.write(HEADER).await?;
        self.read_until("</stream:features>").await?;
        self.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        self.read_until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let config = trusting(rustls::DEFAULT_VERSIONS).map_err(|error| error.to_string())?.with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().map_err(|_| "a name".to_owned())?;
        let tls = connector.connect(name, self.io).await.map_err(|error| error.to_string())?;
        Ok(Raw { io: Box::new(tls), seen: Vec::new() })
    }

    pub async fn write(&mut self, text: &str) -> Result<(), String> {
        secrets::ears().overhear(text);
        self.io.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
        self.io.flush().await.map_err(|error| error.to_string())
    }

    /// Reads until the text has come; what came up to its end is taken.
    pub async fn read_until(&mut self, text: &str) -> Result<String, String> {
        loop {
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            if let Some(at) = seen.find(text) {
                let end = at + text.len();
                self.seen.drain(..end);
                secrets::ears().overhear(&seen[..end]);
                return Ok(seen[..end].to_owned());
            }
            if self.read().await? == 0 {
                return Err(format!("the server closed; waited for {text:?}, had {seen:?}"));
            }
        }
    }

    pub async fn closed(&mut self) -> Result<(), String> {
        // A reset is an end too.
        while self.read().await.is_ok_and(|bytes| bytes > 0) {}
        Ok(())
    }

    async fn read(&mut self) -> Result<usize, String> {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.io.read(&mut buffer)).await;
        match read {
            Err(_) => Err(format!("nothing more came; had {:?}", String::from_utf8_lossy(&self.seen))),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(bytes)) => {
                self.seen.extend_from_slice(&buffer[..bytes]);
                Ok(bytes)
            }
        }
    }
}

impl Actor {
    pub async fn log_in(address: SocketAddr, name: &str, resource: &str) -> Result<Actor, String> {
        Self::authenticate(address, name).await?.bind(resource).await
    }

    /// The same over a socket that holds little of what nobody reads.
    pub async fn log_in_slowly(address: SocketAddr, name: &str, resource: &str) -> Result<Actor, String> {
        Self::authenticate_on(Raw::connect_slowly(address).await?, name).await?.bind(resource).await
    }

    /// The same over a WebSocket.
    pub async fn log_in_over_websocket(address: SocketAddr, name: &str, resource: &str) -> Result<Actor, String> {
        Self::authenticate_over_websocket(address, name).await?.bind(resource).await
    }

    pub async fn authenticate_over_websocket(address: SocketAddr, name: &str) -> Result<Actor, String> {
        let socket = Socket::authenticate(address, name).await?;
        Ok(Actor { line: Line::Socket(Box::new(socket)) })
    }

    /// The same over HTTP requests.
    pub async fn log_in_over_bosh(address: SocketAddr, name: &str, resource: &str) -> Result<Actor, String> {
        Self::authenticate_over_bosh(address, name).await?.bind(resource).await
    }

    pub async fn authenticate_over_bosh(address: SocketAddr, name: &str) -> Result<Actor, String> {
        let bosh = Bosh::authenticate(address, name).await?;
        Ok(Actor { line: Line::Bosh(Box::new(bosh)) })
    }

    async fn bind(mut self, resource: &str) -> Result<Actor, String> {
        let actor = &mut self;
        actor
            .send(&format!(
                "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <resource>{resource}</resource></bind></iq>"
            ))
            .await?;
        let bound = actor.next().await?;
        if bound.attr("type") != Some("result") {
            return Err(format!("not bound: {bound}"));
        }
        Ok(self)
    }

    /// A stream that is authenticated; no resource is bound yet.
    pub async fn authenticate(address: SocketAddr, name: &str) -> Result<Actor, String> {
        Self::authenticate_on(Raw::connect(address).await?, name).await
    }

    async fn authenticate_on(raw: Raw, name: &str) -> Result<Actor, String> {
        let mut raw = raw.start_tls().await?;
        raw.write(HEADER).await?;
        raw.read_until("</stream:features>").await?;
        let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{name}\0{name}-password"));
        raw.write(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")).await?;
        raw.read_until("<success").await?;
        raw.read_until(">").await?;
        raw.seen.clear();
        let limits = Limits { stanza_bytes: 8 << 20, elements: 1 << 20, ..Limits::authenticated() };
        let mut stream = Stream { raw, parser: Parser::new(limits), pending: Vec::new() };
        stream.raw.write(HEADER).await?;
        let mut actor = Actor { line: Line::Stream(Box::new(stream)) };
        actor.next().await?;
        Ok(actor)
    }

    /// A component (XEP-0114) that has shaken hands.
    pub async fn join(address: SocketAddr, domain: &str, secret: &str) -> Result<Actor, String> {
        use sha1::Digest as _;
        let mut raw = Raw::connect(address).await?;
        let header = HEADER
            .replace("jabber:client", "jabber:component:accept")
            .replace("'localhost' version='1.0'", &format!("'{domain}'"));
        raw.write(&header).await?;
        let limits = Limits { stanza_bytes: 8 << 20, elements: 1 << 20, ..Limits::authenticated() };
        let mut stream = Stream { raw, parser: Parser::new(limits), pending: Vec::new() };
        let XmlEvent::StreamStart { header, .. } = stream.event().await? else { return Err("no header".to_owned()) };
        let id = header.attr("id").ok_or("no id")?;
        let hash = sha1::Sha1::digest(format!("{id}{secret}"));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        secrets::ears().keep(secret);
        let mut actor = Actor { line: Line::Stream(Box::new(stream)) };
        actor.send(&format!("<handshake>{hash}</handshake>")).await?;
        let answer = actor.next().await?;
        if answer.name() == "handshake" { Ok(actor) } else { Err(format!("not accepted: {answer}")) }
    }

    pub async fn send(&mut self, xml: &str) -> Result<(), String> {
        secrets::ears().overhear(xml);
        match &mut self.line {
            Line::Stream(stream) => stream.raw.write(xml).await,
            Line::Socket(socket) => socket.send(xml).await,
            Line::Bosh(bosh) => bosh.send(xml).await,
        }
    }

    /// The next element of the stream; its header is passed over. An error bears no secret.
    pub async fn next(&mut self) -> Result<Element, String> {
        let came = self.element().await?;
        let (text, ears) = (came.to_string(), secrets::ears());
        ears.overhear(&text);
        // By its id a session is taken over.
        if came.is("enabled", "urn:xmpp:sm:3") {
            ears.keep(came.attr("id").unwrap_or_default());
        }
        if secrets::is_error(&text) {
            ears.check("an error", text.as_bytes())?;
        }
        Ok(came)
    }

    async fn element(&mut self) -> Result<Element, String> {
        let stream = match &mut self.line {
            Line::Stream(stream) => stream,
            Line::Socket(socket) => return socket.next().await,
            Line::Bosh(bosh) => return bosh.next().await,
        };
        loop {
            match stream.event().await? {
                XmlEvent::Element(element) => return Ok(element),
                XmlEvent::StreamEnd => return Err("the server closed the stream".to_owned()),
                XmlEvent::StreamStart { .. } => {}
            }
        }
    }

    pub async fn closed(&mut self) -> Result<(), String> {
        loop {
            match self.next().await {
                Err(_) => return Ok(()),
                // How far it went (XEP-0198 §4).
                Ok(element) if element.is("a", "urn:xmpp:sm:3") => {}
                Ok(element) => return Err(format!("expected the end, got {element}")),
            }
        }
    }
}

impl Stream {
    async fn event(&mut self) -> Result<XmlEvent, String> {
        loop {
            let mut input: &[u8] = &self.pending;
            let event = self.parser.feed(&mut input).map_err(|error| format!("{error:?}"))?;
            let taken = self.pending.len() - input.len();
            self.pending.drain(..taken);
            match event {
                Some(event) => return Ok(event),
                None => {
                    let read = self.raw.read().await?;
                    if read == 0 {
                        return Err("the server closed the connection".to_owned());
                    }
                    self.pending.append(&mut self.raw.seen);
                }
            }
        }
    }
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
/// How long a scene waits for something that should come; long, for the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
