//! TLS as this server speaks it: rustls, 1.2 and 1.3, one provider, no early data; a certificate for
//! each host, read again when its file changes.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;

use super::x509;
use crate::session::Io;
use crate::stream::Secured;
use crate::time::Timestamp;

/// Why a certificate cannot be used, in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

/// A certificate for some hosts: PEM files, the chain with the server's own first, and its key.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The domains that this certificate is shown for; the first files are shown to whoever names none.
    pub domains: Vec<String>,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The certificates of the server, as their files stood when they were last read.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    /// Authorities whose client certificates are believed (XEP-0178); without it none is asked for.
    client_ca: Option<PathBuf>,
    // A std lock: held to clone a pointer.
    table: RwLock<Arc<Table>>,
    /// What was wrong when the files were last read, so that it is said once.
    trouble: Mutex<Option<TlsError>>,
}

struct Table {
    shown: Vec<Arc<Shown>>,
    by_domain: HashMap<String, Arc<Shown>>,
    /// What was read, so that a change is noticed.
    contents: Vec<Vec<u8>>,
}

/// One certificate, ready to be shown.
struct Shown {
    key: Arc<CertifiedKey>,
    xmpp: Arc<ServerConfig>,
    end_point: Option<Vec<u8>>,
    names: Vec<String>,
    /// When it runs out, where that can be read.
    ends: Option<Timestamp>,
}

impl Certificates {
    /// Reads all files, of which there must be some.
    pub fn load(files: Vec<CertificateFiles>, client_ca: Option<PathBuf>) -> Result<Arc<Self>, TlsError> {
        let table = Table::read(&files, client_ca.as_deref())?;
        let table = RwLock::new(Arc::new(table));
        Ok(Arc::new(Certificates { files, client_ca, table, trouble: Mutex::default() }))
    }

    /// Reads the files again. Connections that stand go on as they are; where a file cannot be used the
    /// former certificates stay. Whether anything has changed.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let contents = contents(&self.files, self.client_ca.as_deref())?;
        if contents == self.table().contents {
            return Ok(false);
        }
        let table = Arc::new(Table::read(&self.files, self.client_ca.as_deref())?);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        Ok(true)
    }

    /// Looks at the files every so often, until `stop`.
    pub async fn watch(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
            let certificates = self.clone();
            let _ = tokio::task::spawn_blocking(move || certificates.reload_and_tell()).await;
        }
    }

    /// Reads the files again, and logs what came of it; what stays wrong is said once.
    pub fn reload_and_tell(&self) {
        let outcome = self.reload();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(changed) => {
                if changed {
                    tracing::info!("certificates were read again");
                }
                *trouble = None;
            }
            Err(error) if trouble.as_ref() != Some(&error) => {
                tracing::error!(%error, "certificates could not be read again; the former ones stay");
                *trouble = Some(error);
            }
            Err(_) => {}
        }
    }

    /// A handshake for XMPP, and what the channel yields. Whoever asks for a domain that is not served
    /// is refused; a client that offers ALPN must offer `xmpp-client` (XEP-0368 §3).
    pub async fn accept<T: Io + 'static>(&self, io: T) -> io::Result<(Box<dyn Io>, Secured)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let shown = self.table().shown_to(start.client_hello().server_name());
        let config = shown.as_ref().map_or_else(refusing, |shown| shown.xmpp.clone());
        let tls = start.into_stream(config).await?;
        let connection = tls.get_ref().1;
        let exporter = (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| connection.export_keying_material(vec![0; EXPORTED_BYTES], EXPORTER_LABEL, None).ok())
            .flatten();
        // Those that were sent were verified, or the handshake would have failed.
        let peer = connection.peer_certificates().and_then(<[_]>::first);
        let certified = peer.map(|certificate| x509::xmpp_addresses(certificate)).unwrap_or_default();
        let end_point = shown.and_then(|shown| shown.end_point.clone());
        Ok((Box::new(tls), Secured { exporter, end_point, certified }))
    }

    /// For HTTP, 2 before 1.1, which shows the first certificate to whoever asks for an unknown domain.
    pub fn http_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = versions(ServerConfig::builder_with_provider(provider()))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        settle(&mut config, &[b"h2", b"http/1.1"]);
        Ok(Arc::new(config))
    }

    /// The domains that certificates are shown for, in order, each with the second at which its ends.
    pub fn ends(&self) -> Vec<(String, i64)> {
        let table = self.table();
        let of = |(domain, shown): (&String, &Arc<Shown>)| Some((domain.clone(), shown.ends?.seconds()));
        let mut ends: Vec<(String, i64)> = table.by_domain.iter().filter_map(of).collect();
        ends.sort();
        ends
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table();
        let shown = table.shown_to(hello.server_name()).or_else(|| table.shown.first().cloned());
        shown.map(|shown| shown.key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({:?})", self.files)
    }
}

impl Table {
    fn read(files: &[CertificateFiles], client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let contents = contents(files, client_ca)?;
        let verifier = client_ca.map(client_verifier).transpose()?;
        let mut table = Table { shown: Vec::new(), by_domain: HashMap::new(), contents };
        for file in files {
            let shown = Arc::new(Shown::read(file, verifier.clone())?);
            for domain in &file.domains {
                table.by_domain.insert(domain.to_ascii_lowercase(), shown.clone());
            }
            table.shown.push(shown);
        }
        Ok(table)
    }

    /// The certificate of a domain; of a name that a certificate itself bears; the first where no name
    /// is asked for (RFC 6066 §3).
    fn shown_to(&self, name: Option<&str>) -> Option<Arc<Shown>> {
        let Some(name) = name else { return self.shown.first().cloned() };
        let name = name.to_ascii_lowercase();
        let named = || self.shown.iter().find(|shown| x509::covers(&shown.names, &name));
        self.by_domain.get(&name).or_else(named).cloned()
    }
}

impl Shown {
    fn read(files: &CertificateFiles, verifier: Option<Arc<dyn ClientCertVerifier>>) -> Result<Self, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| unusable(&files.certificate, &error))?;
        let private = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, &error))?;
        let own = chain.first().ok_or_else(|| unusable(&files.certificate, &"no certificate stands in it"))?;
        let (end_point, names, ends) = (x509::end_point(own), x509::domains(own), x509::not_after(own));
        let mismatch = |error: rustls::Error| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            TlsError(format!("{certificate} and {key} do not make a certificate with its key: {error}"))
        };
        let key = Arc::new(CertifiedKey::from_der(chain, private, &provider()).map_err(mismatch)?);
        let builder = versions(ServerConfig::builder_with_provider(provider()))?;
        // Who has shown a certificate shows it each time: it may have run out, or been taken back.
        let tickets = verifier.is_none();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Always(Some(key.clone()))));
        settle(&mut config, &[b"xmpp-client"]);
        if tickets {
            give_tickets(&mut config)?;
        }
        Ok(Shown { key, xmpp: Arc::new(config), end_point, names, ends })
    }
}

/// Shows one certificate whoever asks; or none, which refuses the handshake.
#[derive(Debug)]
struct Always(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

fn refusing() -> Arc<ServerConfig> {
    let builder = versions(ServerConfig::builder_with_provider(provider())).expect("the provider has both versions");
    Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(Always(None))))
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))? {
        let certificate = certificate.map_err(|error| unusable(path, &error))?;
        roots.add(certificate).map_err(|error| unusable(path, &error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = builder.allow_unauthenticated().build().map_err(|error| unusable(path, &error))?;
    Ok(verifier)
}

/// What stands in all files, so that a change of any is noticed.
fn contents(files: &[CertificateFiles], client_ca: Option<&Path>) -> Result<Vec<Vec<u8>>, TlsError> {
    let pairs = files.iter().flat_map(|files| [files.certificate.as_path(), files.key.as_path()]);
    pairs.chain(client_ca).map(|path| std::fs::read(path).map_err(|error| unusable(path, &error))).collect()
}

type Unversioned = rustls::ConfigBuilder<ServerConfig, rustls::WantsVersions>;

fn versions(builder: Unversioned) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, TlsError> {
    builder
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsError(format!("TLS 1.2 and 1.3 cannot be spoken: {error}")))
}

fn settle(config: &mut ServerConfig, protocols: &[&[u8]]) {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    // What comes as early data can be sent again by anybody (RFC 8446 §8).
    config.max_early_data_size = 0;
}

/// Lets whoever comes back leave out most of a handshake (RFC 8446 §2.2). What is remembered of him is in
/// the ticket that he holds, under keys that change every six hours and are this certificate's alone: with
/// another certificate nobody goes on who was not shown it.
fn give_tickets(config: &mut ServerConfig) -> Result<(), TlsError> {
    let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new();
    config.ticketer = ticketer.map_err(|error| TlsError(format!("keys for TLS tickets cannot be drawn: {error}")))?;
    config.send_tls13_tickets = 1;
    Ok(())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError(format!("{} cannot be used: {why}; give a PEM file that this user may read", path.display()))
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
const EXPORTED_BYTES: usize = 32;
