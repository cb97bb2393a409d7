//! A very small XMPP client: it logs in, writes raw bytes, and reads frames.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Outcome;
use crate::options::{Options, Tls};
use crate::scan::{Frame, Scanner, attribute, text};
use crate::scram::{Exchange, Mechanism, Salted};
use crate::server::Server;

/// What the sessions of a run have in common.
pub struct Dialer {
    address: SocketAddr,
    domain: String,
    password: String,
    tls: Tls,
    mechanism: Option<String>,
    connector: TlsConnector,
    salted: Salted,
    nonces: AtomicU64,
    used: OnceLock<Mechanism>,
}

/// How far somebody comes who breaks off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connected,
    Header,
    Handshake,
    Secured,
    Challenged,
}

/// One logged-in session.
pub struct Client {
    stream: TlsStream<TcpStream>,
    scanner: Scanner,
    /// The full JID that the server has bound.
    pub jid: String,
    requests: u64,
}

impl Dialer {
    pub fn new(options: &Options, server: &Server) -> Outcome<Arc<Dialer>> {
        let mut config = any_certificate();
        if options.tls == Tls::Direct {
            config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        }
        Ok(Arc::new(Dialer {
            address: server.xmpp(options.tls)?,
            domain: options.domain.clone(),
            password: options.password.clone(),
            tls: options.tls,
            mechanism: options.mechanism.clone(),
            connector: TlsConnector::from(Arc::new(config)),
            salted: Salted::default(),
            nonces: AtomicU64::new(0),
            used: OnceLock::new(),
        }))
    }

    /// Connects, negotiates TLS, authenticates, binds.
    pub async fn login(&self, account: &str, resource: &str) -> Outcome<Client> {
        let login = tokio::time::timeout(LOGIN_LIMIT, self.negotiate(account, resource));
        match login.await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(why)) => Err(format!("{account}/{resource} could not log in: {why}").into()),
            Err(_) => Err(format!("{account}/{resource} could not log in within {LOGIN_LIMIT:?}").into()),
        }
    }

    /// The SASL mechanism of the logins so far.
    pub fn used(&self) -> &'static str {
        self.used.get().map_or("none", |mechanism| mechanism.name())
    }

    async fn negotiate(&self, account: &str, resource: &str) -> Outcome<Client> {
        let (mut stream, mut scanner, features) = self.channel(&self.connector).await?;
        self.authenticate(&mut stream, &mut scanner, &features, account).await?;
        scanner.restart();
        self.open(&mut stream, &mut scanner).await?;
        let mut client = Client { stream, scanner, jid: String::new(), requests: 0 };
        let bound = client
            .request(
                "set",
                "",
                &format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>"),
            )
            .await?;
        client.jid = text(&bound, "jid").ok_or("the server bound no JID")?.to_owned();
        Ok(client)
    }

    /// Comes so far and breaks off, without a word.
    pub async fn break_off(&self, stage: Stage) -> Outcome<()> {
        let mut tcp = TcpStream::connect(self.address).await?;
        // Nothing stays here either: a port that waits would be missing before the million is reached.
        tcp.set_zero_linger()?;
        match stage {
            Stage::Connected => return Ok(()),
            Stage::Header => {
                let mut header = b"<?xml version='1.0'?><stream:stream to='".to_vec();
                header.resize(UNFINISHED_BYTES, b'x');
                return Ok(tcp.write_all(&header).await?);
            }
            Stage::Handshake | Stage::Secured | Stage::Challenged => {}
        }
        let mut scanner = Scanner::default();
        if self.tls == Tls::Start {
            self.ask_for_tls(&mut tcp, &mut scanner).await?;
        }
        if stage == Stage::Handshake {
            // The head of a record that is never whole.
            return Ok(tcp.write_all(b"\x16\x03\x01\x02\x00\x01").await?);
        }
        let name = ServerName::try_from(self.domain.clone())?;
        let mut stream = self.connector.connect(name, tcp).await?;
        if stage == Stage::Challenged {
            let features = self.open(&mut stream, &mut scanner).await?;
            let mechanism = self.choose(&features)?;
            let first = Exchange::new(mechanism, "load0", &self.password, &self.nonce()).first("load0");
            let auth = format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{first}</auth>",
                mechanism.name()
            );
            send(&mut stream, &auth).await?;
            next(&mut stream, &mut scanner).await?;
        }
        Ok(())
    }

    async fn ask_for_tls(&self, tcp: &mut TcpStream, scanner: &mut Scanner) -> Outcome<()> {
        self.open(tcp, scanner).await?;
        tcp.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let answer = next(tcp, scanner).await?;
        if !answer.starts_with(b"<proceed") {
            return Err(unexpected("<proceed/>", &answer));
        }
        scanner.restart();
        Ok(())
    }

    /// A connection of somebody who remembers his handshakes, or begins to.
    pub fn remembering(&self) -> TlsConnector {
        let mut config = (**self.connector.config()).clone();
        config.resumption = rustls::client::Resumption::in_memory_sessions(1);
        TlsConnector::from(Arc::new(config))
    }

    /// TCP, TLS, and a stream whose features have come.
    async fn channel(&self, connector: &TlsConnector) -> Outcome<(TlsStream<TcpStream>, Scanner, Vec<u8>)> {
        let mut tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let mut scanner = Scanner::default();
        if self.tls == Tls::Start {
            self.ask_for_tls(&mut tcp, &mut scanner).await?;
        }
        let name = ServerName::try_from(self.domain.clone())?;
        let mut stream = connector.connect(name, tcp).await?;
        let features = self.open(&mut stream, &mut scanner).await?;
        Ok((stream, scanner, features))
    }

    /// Goes on with a session of before (XEP-0198 §5), authenticated by SCRAM.
    pub async fn resume(&self, connector: &TlsConnector, account: &str, previd: &str) -> Outcome<Client> {
        let resuming = async {
            let (mut stream, mut scanner, features) = self.channel(connector).await?;
            self.authenticate(&mut stream, &mut scanner, &features, account).await?;
            scanner.restart();
            self.open(&mut stream, &mut scanner).await?;
            send(&mut stream, &resumption(previd)).await?;
            let answer = next(&mut stream, &mut scanner).await?;
            if !answer.starts_with(b"<resumed") {
                return Err(unexpected("<resumed/>", &answer));
            }
            Ok(Client { stream, scanner, jid: String::new(), requests: 0 })
        };
        tokio::time::timeout(LOGIN_LIMIT, resuming).await.map_err(|_| "nobody resumed in time")?
    }

    /// The same by SASL2 (XEP-0388), which takes one message less; with it a token is asked for.
    pub async fn resume_for_token(
        &self,
        connector: &TlsConnector,
        account: &str,
        previd: &str,
    ) -> Outcome<(Client, String)> {
        let resuming = async {
            let (mut stream, mut scanner, features) = self.channel(connector).await?;
            let mechanism = self.choose(&features)?;
            let mut exchange = Exchange::new(mechanism, account, &self.password, &self.nonce());
            let asked = format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{TOKEN}'/>");
            let first = exchange.first(account);
            send(&mut stream, &authenticate(mechanism.name(), &first, account, &asked, previd)).await?;
            let challenge = next(&mut stream, &mut scanner).await?;
            let answer = exchange.answer(text(&challenge, "challenge").unwrap_or_default(), &self.salted)?;
            send(&mut stream, &format!("<response xmlns='{SASL2}'>{answer}</response>")).await?;
            let success = next(&mut stream, &mut scanner).await?;
            exchange.verify(text(&success, "additional-data").unwrap_or_default())?;
            let success = resumed(success)?;
            let token = success.split_once("<token ").and_then(|(_, rest)| rest.split_once("token='"));
            let token = token.and_then(|(_, rest)| rest.split_once('\'')).ok_or("no token was given")?.0.to_owned();
            Ok((Client { stream, scanner, jid: String::new(), requests: 0 }, token))
        };
        tokio::time::timeout(LOGIN_LIMIT, resuming).await.map_err(|_| "nobody resumed in time")?
    }

    /// The same by a token (XEP-0484): all of it in one message and its answer.
    pub async fn resume_by_token(
        &self,
        connector: &TlsConnector,
        account: &str,
        previd: &str,
        token: &str,
    ) -> Outcome<Client> {
        let resuming = async {
            let (mut stream, mut scanner, _) = self.channel(connector).await?;
            let proof = crate::scram::keyed(Mechanism::ScramSha256, token.as_bytes(), b"Initiator");
            let first = BASE64.encode([account.as_bytes(), b"\0", &proof].concat());
            let fast = "<fast xmlns='urn:xmpp:fast:0'/>";
            send(&mut stream, &authenticate(TOKEN, &first, account, fast, previd)).await?;
            resumed(next(&mut stream, &mut scanner).await?)?;
            Ok(Client { stream, scanner, jid: String::new(), requests: 0 })
        };
        tokio::time::timeout(LOGIN_LIMIT, resuming).await.map_err(|_| "nobody resumed in time")?
    }

    fn nonce(&self) -> String {
        format!("load{:016x}{:08x}", self.nonces.fetch_add(1, Ordering::Relaxed), std::process::id())
    }

    /// Opens a stream and gives the server's features.
    async fn open(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        scanner: &mut Scanner,
    ) -> Outcome<Vec<u8>> {
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
            self.domain
        );
        stream.write_all(header.as_bytes()).await?;
        stream.flush().await?;
        let features = next(stream, scanner).await?;
        match features.starts_with(b"<stream:features") || features.starts_with(b"<features") {
            true => Ok(features),
            false => Err(unexpected("stream features", &features)),
        }
    }

    async fn authenticate(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        scanner: &mut Scanner,
        features: &[u8],
        account: &str,
    ) -> Outcome<()> {
        let mechanism = self.choose(features)?;
        self.used.get_or_init(|| mechanism);
        let mut exchange = Exchange::new(mechanism, account, &self.password, &self.nonce());
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>",
            mechanism.name(),
            exchange.first(account)
        );
        send(stream, &auth).await?;
        let mut last = next(stream, scanner).await?;
        if last.starts_with(b"<challenge") {
            let answer = exchange.answer(text(&last, "challenge").unwrap_or_default(), &self.salted)?;
            send(stream, &format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{answer}</response>")).await?;
            last = next(stream, scanner).await?;
        }
        if !last.starts_with(b"<success") {
            return Err(unexpected("<success/>", &last));
        }
        exchange.verify(text(&last, "success").unwrap_or_default())
    }

    fn choose(&self, features: &[u8]) -> Outcome<Mechanism> {
        let offered = String::from_utf8_lossy(features);
        let wanted = |m: &Mechanism| self.mechanism.as_deref().is_none_or(|name| name == m.name());
        Mechanism::ALL
            .into_iter()
            .filter(wanted)
            .find(|m| offered.contains(&format!("<mechanism>{}</mechanism>", m.name())))
            .ok_or_else(|| format!("no mechanism in common; the server offers {offered}").into())
    }
}

impl Client {
    /// Lets the session be resumed (XEP-0198 §3), after presence, whose echo is passed over; the id to ask for.
    pub async fn manage(&mut self) -> Outcome<String> {
        self.request("get", "", "<ping xmlns='urn:xmpp:ping'/>").await?;
        self.send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await?;
        let enabled = next(&mut self.stream, &mut self.scanner).await?;
        match attribute(&enabled, "id") {
            Some(id) if enabled.starts_with(b"<enabled") => Ok(id.to_owned()),
            _ => Err(unexpected("<enabled/>", &enabled)),
        }
    }

    /// Writes what has been put together, at once.
    pub async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Waits for more bytes; `false` when the server has closed. Safe to cancel.
    pub async fn fill(&mut self) -> Outcome<bool> {
        Ok(self.stream.read_buf(self.scanner.room()?).await? > 0)
    }

    /// The next frame that is already there.
    pub fn frame(&mut self) -> Outcome<Option<Frame<'_>>> {
        self.scanner.frame()
    }

    /// Gives back the read buffer while idle.
    pub fn shrink(&mut self) {
        self.scanner.shrink();
    }

    /// Sends an iq and waits for its result; everything else that comes meanwhile is passed over.
    pub async fn request(&mut self, kind: &str, to: &str, payload: &str) -> Outcome<Vec<u8>> {
        self.requests += 1;
        let id = format!("q{}", self.requests);
        let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
        self.send(format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>").as_bytes()).await?;
        let answer = async {
            loop {
                let stanza = next(&mut self.stream, &mut self.scanner).await?;
                if stanza.starts_with(b"<iq") && attribute(&stanza, "id") == Some(&id) {
                    return match attribute(&stanza, "type") {
                        Some("result") => Ok(stanza),
                        _ => Err(unexpected(&format!("a result for {payload}"), &stanza)),
                    };
                }
            }
        };
        match tokio::time::timeout(REQUEST_LIMIT, answer).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {REQUEST_LIMIT:?} to {payload}").into()),
        }
    }
}

/// Answers what a server may ask of an idle client, so that it is not taken for dead (XEP-0199, XEP-0198).
pub fn courtesy(stanza: &[u8], out: &mut Vec<u8>) {
    let get = stanza.starts_with(b"<iq") && attribute(stanza, "type") == Some("get");
    if let (true, Some(id)) = (get, attribute(stanza, "id")) {
        let to = attribute(stanza, "from").map(|from| format!(" to='{from}'")).unwrap_or_default();
        out.extend_from_slice(format!("<iq type='result' id='{id}'{to}/>").as_bytes());
    }
}

/// TLS to a server of our own.
pub fn any_certificate() -> rustls::ClientConfig {
    let mut config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    // Every login pays for a whole handshake: resumption would make the later ones look cheap.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Any certificate will do: the peer is a process on this machine that the driver has started.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The next first-level element; headers are passed over.
async fn next(stream: &mut (impl AsyncRead + Unpin), scanner: &mut Scanner) -> Outcome<Vec<u8>> {
    loop {
        match scanner.frame()? {
            Some(Frame::Stanza(stanza)) if stanza.starts_with(b"<stream:error") => {
                return Err(format!("the server ended the stream: {}", String::from_utf8_lossy(stanza)).into());
            }
            Some(Frame::Stanza(stanza)) => return Ok(stanza.to_vec()),
            Some(Frame::Header(_)) => {}
            Some(Frame::Close) => return Err("the server closed the stream".into()),
            None => {
                if stream.read_buf(scanner.room()?).await? == 0 {
                    return Err("the server closed the connection".into());
                }
            }
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> Outcome<()> {
    stream.write_all(text.as_bytes()).await?;
    Ok(stream.flush().await?)
}

fn unexpected(wanted: &str, got: &[u8]) -> Box<dyn std::error::Error + Send + Sync> {
    let got = String::from_utf8_lossy(&got[..got.len().min(600)]).into_owned();
    format!("wanted {wanted}, got {got}").into()
}

/// The account part of a JID that is safe in a PLAIN or SCRAM message: no comma, no equals sign, nothing to prepare.
pub fn account(number: usize) -> String {
    format!("load{number}")
}

/// XEP-0198 §5. Of those that this driver resumes nobody was sent a stanza.
fn resumption(previd: &str) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' h='0' previd='{previd}'/>")
}

/// XEP-0388 §2.3. Each account is its own client.
fn authenticate(mechanism: &str, first: &str, account: &str, asked: &str, previd: &str) -> String {
    let number: String = account.bytes().filter(u8::is_ascii_digit).map(char::from).collect();
    format!(
        "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{first}</initial-response>\
         <user-agent id='d4565fa7-4d72-4749-b3d3-{number:0>12}'/>{asked}{}</authenticate>",
        resumption(previd)
    )
}

fn resumed(success: Vec<u8>) -> Outcome<String> {
    let said = String::from_utf8(success)?;
    match said.starts_with("<success") && said.contains("<resumed ") {
        true => Ok(said),
        false => Err(unexpected("success and <resumed/>", said.as_bytes())),
    }
}

const SASL2: &str = "urn:xmpp:sasl:2";
const TOKEN: &str = "HT-SHA-256-NONE";
const LOGIN_LIMIT: Duration = Duration::from_secs(60);
/// What an unauthenticated peer may leave unfinished, by the row X8 of docs/security.md.
const UNFINISHED_BYTES: usize = 8191;
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
