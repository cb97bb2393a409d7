//! Browsers: whose pages may speak to the API (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! A browser says by `Origin` whose page asks. Pages of this very server, and of the configured
//! origins, may; for all others the answer is 403, WebSocket handshakes included, which CORS does not
//! cover. There are no ambient credentials here, cookies or others, so none are ever allowed.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::Response;

use crate::http::problem::Problem;
use crate::http::routes::no_content;

/// Whose page asks, if it is one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// No page, or one of this server.
    Nobody,
    /// A page of a configured origin.
    Page(HeaderValue),
    /// The same, and it asks whether it may ask.
    Preflight(HeaderValue),
}

impl Asking {
    pub(super) fn read(request: &Request<Body>, origins: &[String]) -> Result<Self, Problem> {
        let mut values = request.headers().get_all(ORIGIN).iter();
        let Some(origin) = values.next() else { return Ok(Asking::Nobody) };
        let refused = || {
            let detail = "pages of that origin may not use this server";
            Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", "Origin not allowed", detail)
        };
        let text = origin.to_str().map_err(|_| refused())?;
        if values.next().is_some() {
            return Err(refused());
        }
        if origins.iter().any(|allowed| allowed == text) {
            let preflight =
                request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            return Ok(if preflight { Asking::Preflight(origin.clone()) } else { Asking::Page(origin.clone()) });
        }
        // Whether TLS ends here or at a proxy, the authority is the one that the page came from.
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or(request.uri().authority().map(|authority| authority.as_str()));
        let authority = text.strip_prefix("https://").or(text.strip_prefix("http://"));
        match (authority, host) {
            (Some(authority), Some(host)) if authority == host => Ok(Asking::Nobody),
            _ => Err(refused()),
        }
    }

    /// The answer to a preflight.
    pub(super) fn answer_preflight(&self) -> Option<Response> {
        let Asking::Preflight(_) = self else { return None };
        let mut response = no_content();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(response)
    }

    /// Lets the page read the answer.
    pub(super) fn allow(&self, response: &mut Response) {
        let headers = response.headers_mut();
        // The answer to one origin must not be kept for another.
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Asking::Page(origin) | Asking::Preflight(origin) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
        }
    }
}

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str = "authorization, accept, content-type, idempotency-key, if-match, if-none-match, \
                               last-event-id, prefer, ce-specversion, ce-id, ce-source, ce-type, ce-subject, ce-time, \
                               ce-datacontenttype, ce-dataschema";
const ANSWER_HEADERS: &str = "etag, location, preference-applied, ratelimit, ratelimit-policy, retry-after, \
                              tidings-cursor, idempotent-replayed, www-authenticate";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(origin: &[&str], host: &str, preflight: bool) -> Result<Asking, u16> {
        let mut request = Request::builder().uri("/v1/nodes").header(HOST, host);
        if preflight {
            request = request.method("OPTIONS").header(ACCESS_CONTROL_REQUEST_METHOD, "PUT");
        }
        for origin in origin {
            request = request.header(ORIGIN, *origin);
        }
        let origins = ["https://app.example".to_owned()];
        Asking::read(&request.body(Body::empty()).unwrap(), &origins).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn pages_of_this_server_and_of_configured_origins_may_ask() {
        let app = || HeaderValue::from_static("https://app.example");
        for (origin, preflight, expected) in [
            (&[][..], false, Ok(Asking::Nobody)),
            (&["https://api.example"], false, Ok(Asking::Nobody)),
            (&["http://api.example"], false, Ok(Asking::Nobody)),
            (&["https://app.example"], false, Ok(Asking::Page(app()))),
            (&["https://app.example"], true, Ok(Asking::Preflight(app()))),
            (&["https://evil"], false, Err(403)),
            (&["https://evil"], true, Err(403)),
            (&["null"], false, Err(403)),
            (&[""], false, Err(403)),
            (&["https://app.example.evil.com"], false, Err(403)),
            (&["https://api.example.evil.com"], false, Err(403)),
            (&["https://evilapp.example"], false, Err(403)),
            (&["http://app.example"], false, Err(403)),
            (&["https://app.example:8443"], false, Err(403)),
            (&["HTTPS://APP.EXAMPLE"], false, Err(403)),
            (&["https://app.example", "https://evil"], false, Err(403)),
            (&["file://"], false, Err(403)),
        ] {
            assert_eq!(read(origin, "api.example", preflight), expected, "{origin:?}");
        }
    }

    #[test]
    fn no_answer_ever_allows_credentials_or_everybody() {
        let page = Asking::Page(HeaderValue::from_static("https://app.example"));
        let mut response = no_content();
        page.allow(&mut response);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        assert_eq!(response.headers()[VARY], "origin");
        assert_eq!(page.answer_preflight().map(|_| ()), None);
    }

    #[test]
    fn a_browser_may_remember_for_a_while_what_a_page_may_ask() {
        let asking = Asking::Preflight(HeaderValue::from_static("https://app.example"));
        let response = asking.answer_preflight().unwrap();
        assert_eq!(response.headers()[ACCESS_CONTROL_MAX_AGE], "600");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_METHODS], METHODS);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], REQUEST_HEADERS);
    }
}
