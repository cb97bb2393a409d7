//! A small HTTP client for the server on this machine: plain on loopback; with TLS anywhere else, where
//! it trusts the one certificate that this server is configured with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::data::{local_token, read_ready_file, read_secret};
use super::first_run::own_certificate;
use super::show::tame;
use super::{Bound, Settings, Trouble};
use crate::config::Config;

/// One listener of a running server, and the token for it.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    token: String,
    domain: String,
    certificate: PathBuf,
}

/// Which listener is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Api,
    Admin,
}

/// A whole answer of success.
pub struct Answer {
    pub body: Bytes,
}

/// Why there is no answer of success.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody could be reached, or the connection broke: it may be otherwise later.
    Unreached(Trouble),
    /// The server says no.
    Refused { status: StatusCode, problem: Value },
}

/// What is sent beside the method and the path.
#[derive(Clone, Default)]
pub struct Sent {
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

impl Client {
    /// Finds the server of the data directory, which must be running.
    pub fn find(settings: &Settings, config: &Config, door: Door) -> Result<Self, Trouble> {
        let dir = &config.data.dir;
        let bound = read_ready_file(dir)?.ok_or_else(|| {
            let what = "no server runs on the data folder";
            Trouble::failed(format!(
                "{what} {}: start one with tidings serve, or name another with --data",
                dir.display()
            ))
        })?;
        Client::new(settings, config, &bound, door)
    }

    pub fn new(settings: &Settings, config: &Config, bound: &Bound, door: Door) -> Result<Self, Trouble> {
        let (address, name) = match door {
            Door::Api => (bound.http, "http.listen"),
            Door::Admin => (bound.admin, "admin.listen"),
        };
        let address = address.ok_or_else(|| Trouble::failed(format!("the server has {name} off, which this needs")))?;
        let domain = config.xmpp.domain.as_str().to_owned();
        let own = || own_certificate(&config.data.dir, &config.xmpp.domain).chain;
        let certificate = config.tls.certificate.clone().unwrap_or_else(own);
        Ok(Client { address, token: token(settings, config)?, domain, certificate })
    }

    /// Whether somebody listens there.
    pub async fn answers(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// Asks, and reads the whole answer.
    pub async fn ask(&self, method: Method, path: &str, sent: Sent) -> Result<Answer, Unanswered> {
        let response = self.open(method, path, sent).await?;
        let body = self.whole(response).await?;
        Ok(Answer { body })
    }

    /// Asks with JSON for JSON; a problem is told with its detail.
    pub async fn ask_json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let mut sent = Sent { headers: vec![(ACCEPT, "application/json".to_owned())], body: Bytes::new() };
        if let Some(body) = body {
            sent.headers.push((CONTENT_TYPE, "application/json".to_owned()));
            sent.body = Bytes::from(body.to_string());
        }
        let answer = self.ask(method, path, sent).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Trouble::failed(format!("the server's answer to {path} is not JSON: {error}")))
    }

    /// Asks, and leaves the body of an answer of success to be read.
    pub async fn open(&self, method: Method, path: &str, sent: Sent) -> Result<Response<Incoming>, Unanswered> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.host());
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.token));
        let mut bearer = bearer.map_err(|_| Trouble::failed("the API token holds characters that no token has"))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
        for (name, value) in sent.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(sent.body));
        let request = request.map_err(|error| Trouble::failed(format!("asking for {path}: {error}")))?;
        let pipe = self.connect().await.map_err(Unanswered::Unreached)?;
        let broken = |error: hyper::Error| self.broken(&error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(pipe)).await.map_err(broken)?;
        // Ends with the request, whose body it feeds.
        tokio::spawn(connection);
        let response = tokio::time::timeout(ANSWER_WAIT, sender.send_request(request)).await;
        let response = response.map_err(|_| self.broken(&"no answer in time"))?.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.whole(response).await?;
        let problem = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(Unanswered::Refused { status, problem })
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, Unanswered> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body =
            tokio::time::timeout(ANSWER_WAIT, body).await.map_err(|_| self.broken(&"no whole answer in time"))?;
        Ok(body.map_err(|error| self.broken(&error))?.to_bytes())
    }

    async fn connect(&self) -> Result<Box<dyn Pipe>, Trouble> {
        let address = self.reached();
        let unreached = |why: &dyn std::fmt::Display| {
            Trouble::failed(format!("connecting to the server at {address}: {why}; is it running?"))
        };
        let stream = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| unreached(&"no answer in time"))?.map_err(|error| unreached(&error))?;
        if self.is_plain() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.domain.clone()).unwrap_or(ServerName::IpAddress(address.ip().into()));
        let connector = TlsConnector::from(pinned(&self.certificate)?);
        let stream = tokio::time::timeout(CONNECT_WAIT, connector.connect(name, stream)).await;
        let stream = stream.map_err(|_| unreached(&"no TLS in time"))?.map_err(|error| unreached(&error))?;
        Ok(Box::new(stream))
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Unanswered {
        Unanswered::Unreached(Trouble::failed(format!("talking to the server at {}: {why}", self.reached())))
    }

    /// The rule by which the server itself decides (see `http.listen`).
    fn is_plain(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    fn reached(&self) -> SocketAddr {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
        }
        address
    }

    fn host(&self) -> String {
        if self.is_plain() { self.address.to_string() } else { format!("{}:{}", self.domain, self.address.port()) }
    }
}

impl From<Trouble> for Unanswered {
    fn from(trouble: Trouble) -> Self {
        Unanswered::Unreached(trouble)
    }
}

impl From<Unanswered> for Trouble {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Unreached(trouble) => trouble,
            Unanswered::Refused { status, problem } => Trouble::failed(told(status, &problem)),
        }
    }
}

/// What a problem document (RFC 9457) says, for people.
pub fn told(status: StatusCode, problem: &Value) -> String {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).map(tame);
    let mut told = match text("detail").or(text("title")) {
        Some(detail) => detail,
        None => format!("the server answered {status}"),
    };
    let sentence = told.clone();
    for fault in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| fault.get(name).and_then(Value::as_str).map(tame).unwrap_or_default();
        let (pointer, detail) = (part("pointer"), part("detail"));
        // A command names few things: whoever reads the sentence knows already where it points.
        if !sentence.contains(&detail) {
            told.push_str(&format!("\n  {pointer} {detail}"));
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        told.push_str("; see TIDINGS_TOKEN, --token-file and the data folder's admin.token");
    }
    told
}

/// One segment of a path: everything but the unreserved characters (RFC 3986 §2.3) is encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn token(settings: &Settings, config: &Config) -> Result<String, Trouble> {
    if let Some(path) = &settings.token_file {
        let none = || Trouble::failed(format!("there is no token file {}", path.display()));
        return read_secret(path)?.ok_or_else(none);
    }
    if let Ok(token) = std::env::var("TIDINGS_TOKEN") {
        return Ok(token.trim().to_owned());
    }
    local_token(&config.data.dir)?.ok_or_else(|| {
        let dir = config.data.dir.display();
        Trouble::failed(format!("there is no API token: set TIDINGS_TOKEN, or --token-file; {dir} keeps none"))
    })
}

trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<P: AsyncRead + AsyncWrite + Send + Unpin> Pipe for P {}

/// A client that trusts one certificate, whoever signed it and whatever names it bears: it was read from
/// this machine's disk.
fn pinned(path: &Path) -> Result<Arc<rustls::ClientConfig>, Trouble> {
    let wrong = |why: &dyn std::fmt::Display| {
        Trouble::failed(format!("reading the server's certificate {}: {why}", path.display()))
    };
    let certificate = CertificateDer::from_pem_file(path).map_err(|error| wrong(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pin = Arc::new(Pin { certificate, provider: provider.clone() });
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| wrong(&error))?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(pin).with_no_client_auth()))
}

#[derive(Debug)]
struct Pin {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            let why = "the server shows another certificate than the configured one";
            Err(rustls::Error::General(why.to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A list of everything is the largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// A piece of an import is the longest work: its passwords are hashed one after another.
const ANSWER_WAIT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_segment_is_encoded_whole() {
        assert_eq!(segment("orders/42 ä~"), "orders%2F42%20%C3%A4~");
    }

    #[test]
    fn a_problem_is_told_with_its_details() {
        let problem = json!({"title": "t", "detail": "d", "errors": [{"pointer": "/x", "detail": "e"}]});
        assert_eq!(told(StatusCode::UNPROCESSABLE_ENTITY, &problem), "d\n  /x e");
        let same = json!({"detail": "x: too large", "errors": [{"pointer": "/x", "detail": "too large"}]});
        assert_eq!(told(StatusCode::UNPROCESSABLE_ENTITY, &same), "x: too large", "nothing is said twice");
        assert_eq!(told(StatusCode::BAD_GATEWAY, &Value::Null), "the server answered 502 Bad Gateway");
    }
}
