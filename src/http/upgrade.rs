//! How a connection becomes a WebSocket (RFC 6455 §4.2), whatever is said on it afterwards.

use axum::body::Body;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::problem::Problem;

/// A handshake that can be accepted.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    accept: HeaderValue,
}

impl Handshake {
    /// RFC 6455 §4.2.1. Which subprotocol it shall be is the caller's to say.
    pub(super) fn read(parts: &mut Parts) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if parts.version != Version::HTTP_11 {
            return Err(Problem::bad_request("a WebSocket begins with a request of HTTP/1.1"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let problem = Problem::new(
                StatusCode::UPGRADE_REQUIRED,
                "websocket-version",
                "Another version of WebSocket is needed",
                "Sec-WebSocket-Version must be 13",
            );
            return Err(problem.header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == NONCE_BYTES) {
            return Err(Problem::bad_request("Sec-WebSocket-Key must be 16 bytes of base64"));
        }
        let accept = HeaderValue::try_from(derive_accept_key(key)).expect("base64 is visible ASCII");
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let upgrade = upgrade.ok_or_else(|| Problem::bad_request("this connection cannot become a WebSocket"))?;
        Ok(Handshake { upgrade, accept })
    }

    /// RFC 6455 §4.2.2, with the subprotocol that was agreed on; the connection comes once the answer is out.
    pub(super) fn accept(self, protocol: Option<&'static str>) -> (OnUpgrade, Response) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        (self.upgrade, response)
    }
}

/// What a header lists, in all its lines.
pub(super) fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// RFC 6455 §4.1.
const NONCE_BYTES: usize = 16;
