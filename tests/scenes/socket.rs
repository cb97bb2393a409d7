//! A client's stream over a WebSocket (RFC 7395): one element a message.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tidings::xml::{Element, Limits, parse_document};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::scram::{self, Elements};

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    pub async fn connect(address: SocketAddr) -> Result<Socket, String> {
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        let socket = TcpStream::connect(address).await.map_err(|error| wrong(&error))?;
        let mut request =
            format!("ws://{address}/xmpp-websocket").into_client_request().map_err(|error| wrong(&error))?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().map_err(|_| "a header")?);
        let (stream, _) = tokio_tungstenite::client_async(request, socket).await.map_err(|error| wrong(&error))?;
        Ok(Socket { stream })
    }

    /// Authenticates, and opens the stream anew.
    pub async fn authenticate(address: SocketAddr, name: &str) -> Result<Socket, String> {
        let mut socket = Socket::connect(address).await?;
        socket.open().await?;
        scram::authenticate(&mut socket, address, name).await?;
        socket.open().await?;
        Ok(socket)
    }

    /// What a scene sends, each element as a document of its own; what is no XML as it stands.
    pub async fn send(&mut self, xml: &str) -> Result<(), String> {
        if xml.trim() == "</stream:stream>" {
            return self.write("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>").await;
        }
        let stream = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        let whole = format!("{stream}{xml}</stream:stream>");
        let limits = Limits { stanza_bytes: 16 << 20, token_bytes: 16 << 20, ..Limits::authenticated() };
        match parse_document(whole.as_bytes(), &limits) {
            Err(_) => self.write(xml.trim()).await,
            Ok(parsed) => {
                for element in parsed.children() {
                    self.write(&String::from_utf8_lossy(&element.to_bytes())).await?;
                }
                Ok(())
            }
        }
    }

    pub async fn write(&mut self, text: &str) -> Result<(), String> {
        self.stream.send(Message::text(text)).await.map_err(|error| error.to_string())
    }

    pub async fn next(&mut self) -> Result<Element, String> {
        loop {
            let element = self.document().await?;
            match (element.name(), element.ns()) {
                ("open", FRAMING) => {}
                ("close", FRAMING) => return Err("the server closed the stream".to_owned()),
                _ => return Ok(element),
            }
        }
    }

    async fn document(&mut self) -> Result<Element, String> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.map_err(|_| "nothing more came")?;
            match message {
                Some(Ok(Message::Text(text))) => {
                    let limits = Limits { stanza_bytes: 16 << 20, elements: 1 << 20, ..Limits::authenticated() };
                    return parse_document(text.as_bytes(), &limits).map_err(|error| format!("{error:?}: {text}"));
                }
                Some(Ok(Message::Close(_))) | None => return Err("the server closed the connection".to_owned()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }

    async fn open(&mut self) -> Result<(), String> {
        self.write("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>").await?;
        let open = self.document().await?;
        let features = self.document().await?;
        match (open.is("open", FRAMING), features.name()) {
            (true, "features") => Ok(()),
            _ => Err(format!("expected <open/> and features, got {open} {features}")),
        }
    }
}

impl Elements for Socket {
    async fn write(&mut self, xml: &str) -> Result<(), String> {
        Socket::write(self, xml).await
    }

    async fn element(&mut self) -> Result<Element, String> {
        self.document().await
    }
}

const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
const PATIENCE: Duration = Duration::from_secs(20);
