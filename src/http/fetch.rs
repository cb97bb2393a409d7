//! Fetches a small document from a configured `https` URL: the keys of an issuer. Never a URL that
//! anybody sent; no redirects, a limit on time and on size.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::{Fetch, KEY_SET_BYTES_MAX};

/// Makes a fetcher that trusts what the system trusts, and the certificates of this PEM file.
pub fn fetcher(authorities: Option<&std::path::Path>) -> Result<Fetch, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let unreadable = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Fetch(Arc::new(move |url| {
        let connector = connector.clone();
        Box::pin(async move {
            let fetched = tokio::time::timeout(FETCH_TIME, fetch(connector, &url)).await;
            fetched.unwrap_or_else(|_| Err("it took too long".to_owned()))
        })
    })))
}

async fn fetch(connector: TlsConnector, url: &str) -> Result<Vec<u8>, String> {
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    let uri: Uri = url.parse().map_err(|error| shown(&error))?;
    let (Some("https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err("it is not an https URL".to_owned());
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| shown(&error))?;
    let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await.map_err(|error| shown(&error))?;
    let stream = connector.connect(name, stream).await.map_err(|error| shown(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| shown(&error))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = Request::get(path).header("host", authority).header("accept", "application/json");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| shown(&error))?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| shown(&error))?;
        if response.status() != axum::http::StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = Limited::new(response.into_body(), KEY_SET_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| shown(&error))?.to_bytes().to_vec())
    };
    tokio::pin!(asking, connection);
    // The connection makes no progress by itself, and must not outlive the answer.
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        _ = &mut connection => asking.await,
    }
}

const FETCH_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
