//! TLS as this server speaks it: rustls, 1.2 and 1.3, one provider.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used, in a sentence that says what to do.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// For XMPP. A client that offers ALPN must offer `xmpp-client` (XEP-0368 §3).
pub fn xmpp_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    config(certificate, key, &[b"xmpp-client"])
}

/// For HTTP, 2 before 1.1.
pub fn http_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    config(certificate, key, &[b"h2", b"http/1.1"])
}

pub fn acceptor(config: Arc<ServerConfig>) -> TlsAcceptor {
    TlsAcceptor::from(config)
}

fn config(certificate: &Path, key: &Path, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |path: &Path, why: &dyn fmt::Display| {
        TlsError(format!("{} cannot be used: {why}; give a PEM file that this user may read", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| {
            TlsError(format!(
                "{} and {} do not make a certificate with its key: {error}",
                certificate.display(),
                key.display()
            ))
        })?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Tickets would hold memory for every session and are of no use to connections that last.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}
