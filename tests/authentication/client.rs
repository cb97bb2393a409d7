//! A client that speaks SASL by itself, over TLS that it can bind to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use tidings::xml::{Element, Limits, Parser, XmlEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::secrets;
use crate::trusting::trusting;

pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub const SASL2: &str = "urn:xmpp:sasl:2";
pub const BIND2: &str = "urn:xmpp:bind:0";
pub const FAST: &str = "urn:xmpp:fast:0";
pub const SM: &str = "urn:xmpp:sm:3";

/// How a client begins.
#[derive(Clone)]
pub struct Hello {
    pub domain: String,
    /// The server name of the handshake.
    pub name: String,
    pub versions: Vec<&'static rustls::SupportedProtocolVersion>,
    pub alpn: Vec<Vec<u8>>,
    pub certificate: Option<(CertificateDer<'static>, Vec<u8>)>,
}

pub struct Client {
    pub tls: TlsStream<TcpStream>,
    domain: String,
    parser: Parser,
    pending: Vec<u8>,
    pub features: Element,
}

/// What a handshake of SASL came to.
#[derive(Debug)]
pub struct Ended {
    pub last: Element,
    /// The challenge of SCRAM, where there was one.
    pub challenge: String,
}

impl Default for Hello {
    fn default() -> Self {
        Hello {
            domain: "localhost".to_owned(),
            name: "localhost".to_owned(),
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            alpn: vec![b"xmpp-client".to_vec()],
            certificate: None,
        }
    }
}

impl Hello {
    pub async fn handshake(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>, String> {
        self.handshake_with(&self.connector()?, address).await
    }

    /// With what a client remembers of its handshakes.
    pub fn connector(&self) -> Result<TlsConnector, String> {
        let builder = trusting(&self.versions).map_err(|error| error.to_string())?;
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.clone()).map_err(str::to_owned)?;
                builder.with_client_auth_cert(vec![certificate.clone()], key).map_err(|error| error.to_string())?
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn handshake_with(
        &self,
        connector: &TlsConnector,
        address: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, String> {
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(self.name.clone()).map_err(|error| error.to_string())?;
        let handshake = connector.connect(name, socket);
        tokio::time::timeout(PATIENCE, handshake).await.map_err(|_| "no handshake")?.map_err(|error| error.to_string())
    }

    /// A stream whose features have come.
    pub async fn connect(&self, address: SocketAddr) -> Result<Client, String> {
        self.connect_with(&self.connector()?, address).await
    }

    pub async fn connect_with(&self, connector: &TlsConnector, address: SocketAddr) -> Result<Client, String> {
        let tls = self.handshake_with(connector, address).await?;
        let mut client = Client {
            tls,
            domain: self.domain.clone(),
            parser: Parser::new(Limits::authenticated()),
            pending: Vec::new(),
            features: Element::new("features", "none"),
        };
        client.open("").await?;
        Ok(client)
    }
}

impl Client {
    /// Opens a stream and reads its features.
    pub async fn open(&mut self, attributes: &str) -> Result<(), String> {
        self.parser = Parser::new(Limits::authenticated());
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' {attributes} \
             xmlns:stream='http://etherx.jabber.org/streams' to='{}' version='1.0'>",
            self.domain
        );
        self.send(&header).await?;
        self.features = self.next().await?;
        Ok(())
    }

    pub async fn send(&mut self, text: &str) -> Result<(), String> {
        secrets::ears().overhear(text);
        self.tls.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
        self.tls.flush().await.map_err(|error| error.to_string())
    }

    pub async fn next(&mut self) -> Result<Element, String> {
        loop {
            let mut input: &[u8] = &self.pending;
            let event = self.parser.feed(&mut input).map_err(|error| format!("{error:?}"))?;
            let taken = self.pending.len() - input.len();
            self.pending.drain(..taken);
            match event {
                Some(XmlEvent::Element(element)) => {
                    let text = element.to_string();
                    secrets::ears().overhear(&text);
                    if secrets::is_error(&text) {
                        secrets::ears().check("an error", text.as_bytes())?;
                    }
                    return Ok(element);
                }
                Some(XmlEvent::StreamEnd) => return Err("the end of the stream".to_owned()),
                Some(XmlEvent::StreamStart { .. }) => {}
                None => {
                    let mut buffer = [0; 4096];
                    let read = tokio::time::timeout(PATIENCE, self.tls.read(&mut buffer)).await;
                    let read = read.map_err(|_| "nothing came".to_owned())?.map_err(|error| error.to_string())?;
                    if read == 0 {
                        return Err("the end of the connection".to_owned());
                    }
                    self.pending.extend_from_slice(&buffer[..read]);
                }
            }
        }
    }

    /// The mechanisms that are offered by a profile, in the order of the offer.
    pub fn offered(&self, ns: &str) -> Vec<String> {
        let list = self.features.children().find(|child| child.ns() == ns).expect("the profile is offered");
        list.children().filter(|child| child.is("mechanism", ns)).map(Element::text).collect()
    }

    /// The types of channel binding that are announced.
    pub fn announced(&self) -> Vec<String> {
        let list = self.features.child("sasl-channel-binding", "urn:xmpp:sasl-cb:0");
        list.into_iter().flat_map(Element::children).filter_map(|child| child.attr("type")).map(str::to_owned).collect()
    }

    /// What can be asked for with a binding (XEP-0386 §3.1).
    pub fn announced_features(&self) -> Vec<String> {
        let inline = self.features.child("authentication", SASL2).and_then(|offer| offer.child("inline", SASL2));
        let bind = inline.and_then(|inline| inline.child("bind", BIND2)).and_then(|bind| bind.child("inline", BIND2));
        let names = bind.into_iter().flat_map(Element::children).filter_map(|feature| feature.attr("var"));
        names.map(str::to_owned).collect()
    }

    /// XEP-0474 §6.1, as a client computes it from what it has seen.
    pub fn offer_hash(&self, ns: &str) -> String {
        let (mut mechanisms, mut bindings) = (self.offered(ns), self.announced());
        mechanisms.sort();
        bindings.sort();
        let mut text = mechanisms.join("\u{1e}");
        if !bindings.is_empty() {
            text.push('\u{1f}');
            text.push_str(&bindings.join("\u{1e}"));
        }
        STANDARD.encode(Sha256::digest(text))
    }

    pub fn exporter(&self) -> Vec<u8> {
        let (_, connection) = self.tls.get_ref();
        connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", None).unwrap()
    }

    /// `tls-server-end-point` of the certificate that this connection was shown, which is signed with
    /// ECDSA and SHA-256.
    pub fn end_point(&self) -> Vec<u8> {
        let (_, connection) = self.tls.get_ref();
        Sha256::digest(&connection.peer_certificates().unwrap()[0]).to_vec()
    }

    /// Authenticates with one message, by either profile. `inline` goes into `<authenticate/>`.
    pub async fn authenticate(&mut self, mechanism: &str, message: &[u8], inline: &str) -> Result<Element, String> {
        let data = STANDARD.encode(message);
        self.send(&format!(
            "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{data}</initial-response>\
             {inline}</authenticate>"
        ))
        .await?;
        self.next().await
    }

    pub async fn plain(&mut self, name: &str, password: &str, inline: &str) -> Result<Element, String> {
        self.authenticate("PLAIN", format!("\0{name}\0{password}").as_bytes(), inline).await
    }

    /// SCRAM-SHA-256, with the GS2 header and the binding given, in the words of `ns`.
    pub async fn scram(&mut self, ns: &str, mechanism: &str, gs2: &str, binding: &[u8]) -> Result<Ended, String> {
        let bare = "n=alice,r=clientnonce";
        let first = STANDARD.encode(format!("{gs2}{bare}"));
        let begin = match ns {
            SASL => format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>"),
            _ => format!(
                "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{first}</initial-response>\
                 </authenticate>"
            ),
        };
        self.send(&begin).await?;
        let answer = self.next().await?;
        if answer.name() != "challenge" {
            return Ok(Ended { last: answer, challenge: String::new() });
        }
        let challenge = String::from_utf8(STANDARD.decode(answer.text()).unwrap()).unwrap();
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
        let (salt, iterations) = (STANDARD.decode(part("s=")).unwrap(), part("i=").parse().unwrap());
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(b"alice-password", &salt, iterations, &mut salted);
        let client_key = hmac(&salted, &[b"Client Key"]);
        let bound = STANDARD.encode([gs2.as_bytes(), binding].concat());
        let without = format!("c={bound},r={}", part("r="));
        let signature = hmac(&Sha256::digest(&client_key), &[format!("{bare},{challenge},{without}").as_bytes()]);
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, byte)| key ^ byte).collect();
        let last = STANDARD.encode(format!("{without},p={}", STANDARD.encode(proof)));
        self.send(&format!("<response xmlns='{ns}'>{last}</response>")).await?;
        Ok(Ended { last: self.next().await?, challenge })
    }

    /// HT-SHA-256 with a token, as alice.
    pub async fn token(
        &mut self,
        mechanism: &str,
        token: &str,
        binding: &[u8],
        inline: &str,
    ) -> Result<Element, String> {
        let proof = hmac(token.as_bytes(), &[b"Initiator", binding]);
        let message = [b"alice\0", &proof[..]].concat();
        let answer = self.authenticate(mechanism, &message, inline).await?;
        if let Some(data) = answer.child("additional-data", SASL2) {
            // The server must know the token too.
            assert_eq!(data.text(), STANDARD.encode(hmac(token.as_bytes(), &[b"Responder", binding])));
        }
        Ok(answer)
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// Long, for the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);
