use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers so, over TLS with a certificate of `localhost`; its URL, and what to trust.
async fn serve(answer: String) -> (String, tempfile::TempDir) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("https://localhost:{port}/keys"), dir)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_document_is_fetched_from_whom_we_trust_and_nobody_else() {
    let (url, dir) = serve(ok("{}")).await;
    let fetch = fetcher(Some(&dir.path().join("ca.pem"))).unwrap();
    assert_eq!((fetch.0)(url.clone()).await, Ok(b"{}".to_vec()));
    assert!((fetch.0)(url.replace("https", "http")).await.is_err());
    assert!((fetch.0)(url.replace("localhost", "127.0.0.1")).await.is_err());
    assert!((fetcher(None).unwrap().0)(url).await.is_err());
}

#[tokio::test]
async fn redirects_and_floods_are_not_followed() {
    for answer in [
        "HTTP/1.1 302 Found\r\nlocation: https://localhost/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ok(&"x".repeat(KEY_SET_BYTES_MAX + 1)),
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let (url, dir) = serve(answer.clone()).await;
        let fetch = fetcher(Some(&dir.path().join("ca.pem"))).unwrap();
        assert!((fetch.0)(url).await.is_err(), "{}", &answer[..30]);
    }
}
