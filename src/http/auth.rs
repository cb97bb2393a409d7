//! Who is calling: the `Authorization` header, asked of `access`.
//!
//! Credentials are taken from that header and from nowhere else, but for the tickets of `tickets`: never
//! from a cookie, and no other from a URL. An unauthenticated caller is nobody, and nobody reads anything here, open nodes included.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{Access, Denied, Login};
use crate::counts::{Credential as Counted, LoginResult};
use crate::http::problem::Problem;
use crate::jid::BareJid;

/// The other end of a connection, as the socket knows it. Headers of proxies are not believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) secure: bool,
}

impl Peer {
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// Whether a password may come this way (RFC 7617 §4: Basic hides nothing by itself).
    fn takes_passwords(&self) -> bool {
        self.secure || self.ip().is_loopback()
    }
}

/// What a caller showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    Token(&'a str),
    Jwt(&'a str),
    Basic { account: BareJid, password: Cow<'a, str> },
}

/// Finds out who is calling.
pub(super) async fn authenticate(access: &Access, headers: &HeaderMap, peer: Peer) -> Result<Login, Problem> {
    let (by, outcome) = match Credential::read(headers, peer)? {
        Credential::Token(token) => (Counted::ApiToken, access.token(token, peer.ip()).await),
        Credential::Jwt(token) => (Counted::Jwt, access.jwt(token, peer.ip()).await),
        Credential::Basic { account, password } => {
            (Counted::Basic, access.password(&account, &password, peer.ip()).await)
        }
    };
    access.counts().login(
        by,
        match &outcome {
            Ok(_) => LoginResult::Success,
            Err(Denied::Wrong) => LoginResult::Refused,
            Err(Denied::Expired) => LoginResult::Expired,
            Err(Denied::Later { .. } | Denied::Failed(_)) => LoginResult::Later,
        },
    );
    outcome.map_err(|why| denied(why, peer))
}

impl<'a> Credential<'a> {
    /// Reads the one `Authorization` header (RFC 9110 §11.6.2).
    pub(super) fn read(headers: &'a HeaderMap, peer: Peer) -> Result<Self, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or_else(|| unauthorized(peer, None, "credentials are needed"))?;
        if values.next().is_some() {
            return Err(Problem::bad_request("there is more than one Authorization header"));
        }
        let malformed = || Problem::bad_request("the Authorization header is malformed");
        let (scheme, rest) = value.to_str().map_err(|_| malformed())?.split_once(' ').ok_or_else(malformed)?;
        let rest = rest.trim_start_matches(' ');
        if scheme.eq_ignore_ascii_case("Bearer") {
            // RFC 7515 §7.1: three parts.
            match rest.starts_with(TOKEN_PREFIX) {
                true => Ok(Credential::Token(rest)),
                false if rest.bytes().filter(|byte| *byte == b'.').count() == 2 => Ok(Credential::Jwt(rest)),
                false => Err(unauthorized(peer, Some(INVALID_TOKEN), "the token is not one of this server")),
            }
        } else if scheme.eq_ignore_ascii_case("Basic") {
            if !peer.takes_passwords() {
                return Err(unauthorized(peer, None, "passwords are taken over TLS only"));
            }
            basic(rest).ok_or_else(|| unauthorized(peer, None, "the credentials are not a bare JID and a password"))
        } else {
            Err(unauthorized(peer, None, "the authentication scheme is not one of Bearer and Basic"))
        }
    }
}

/// RFC 7617 §2, with the account's bare JID for the user.
fn basic<'a>(encoded: &str) -> Option<Credential<'a>> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (account, password) = decoded.split_once(':')?;
    let account = BareJid::parse(account).ok()?;
    Some(Credential::Basic { account, password: Cow::Owned(password.to_owned()) })
}

pub(super) fn denied(why: Denied, peer: Peer) -> Problem {
    match why {
        Denied::Wrong => unauthorized(peer, Some(INVALID_TOKEN), "the credentials are not valid"),
        Denied::Expired => unauthorized(peer, Some(INVALID_TOKEN), "the token has expired"),
        Denied::Later { seconds } => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-failures",
            "Too many failures",
            "too many attempts have failed: wait",
        )
        .retry_after(seconds.max(1)),
        Denied::Failed(failure) => failure.into(),
    }
}

/// 401 with every scheme that would do here.
fn unauthorized(peer: Peer, error: Option<&str>, detail: &'static str) -> Problem {
    let bearer = match error {
        Some(error) => format!("Bearer realm=\"tidings\", error=\"{error}\""),
        None => "Bearer realm=\"tidings\"".to_owned(),
    };
    let bearer = HeaderValue::try_from(bearer).expect("the challenge is made of visible ASCII");
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail).challenge(bearer);
    match peer.takes_passwords() {
        true => problem.challenge(HeaderValue::from_static("Basic realm=\"tidings\", charset=\"UTF-8\"")),
        false => problem,
    }
}

const TOKEN_PREFIX: &str = "tdg_";
/// RFC 6750 §3.1.
const INVALID_TOKEN: &str = "invalid_token";

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, secure: bool) -> Peer {
        Peer { address: address.parse().unwrap(), secure }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn credentials_are_read() {
        let local = peer("127.0.0.1:1", false);
        let romeo = || BareJid::parse("romeo@example.org").unwrap();
        let basic = |password: &str| {
            let encoded = STANDARD.encode(format!("romeo@example.org:{password}"));
            (
                format!("Basic {encoded}"),
                Credential::Basic { account: romeo(), password: Cow::Owned(password.to_owned()) },
            )
        };
        let (plain, with_colons) = (basic("secret"), basic("a:b:é"));
        for (value, credential) in [
            ("Bearer tdg_abc", Credential::Token("tdg_abc")),
            ("bearer   tdg_abc", Credential::Token("tdg_abc")),
            ("Bearer eyJh.e30.c2ln", Credential::Jwt("eyJh.e30.c2ln")),
            (plain.0.as_str(), plain.1),
            (with_colons.0.as_str(), with_colons.1),
        ] {
            assert_eq!(Credential::read(&headers(&[value]), local), Ok(credential), "{value}");
        }
    }

    #[test]
    fn what_is_no_credential_is_refused_with_a_challenge() {
        let local = peer("[::1]:1", false);
        for (values, status) in [
            (&[][..], 401),
            (&["Bearer eyJhbGciOiJub25lIn0."], 401),
            (&["Digest x"], 401),
            (&["Basic !!!"], 401),
            (&["Basic cm9tZW8="], 401),
            (&["Bearer"], 400),
            (&["Bearer tdg_a", "Bearer tdg_b"], 400),
        ] {
            let problem = Credential::read(&headers(values), local).unwrap_err();
            assert_eq!(problem.status.as_u16(), status, "{values:?}");
            let response = axum::response::IntoResponse::into_response(problem);
            let challenges = response.headers().get_all("www-authenticate").iter().count();
            assert_eq!(challenges, if status == 401 { 2 } else { 0 }, "{values:?}");
        }
    }

    #[test]
    fn passwords_are_taken_over_tls_or_loopback_only() {
        let basic = headers(&["Basic cm9tZW9AZXhhbXBsZS5vcmc6eA=="]);
        for (address, secure, taken) in [
            ("127.0.0.1:1", false, true),
            ("[::1]:1", false, true),
            ("[::ffff:127.0.0.1]:1", false, true),
            ("192.0.2.1:1", false, false),
            ("[::ffff:192.0.2.1]:1", false, false),
            ("192.0.2.1:1", true, true),
        ] {
            assert_eq!(Credential::read(&basic, peer(address, secure)).is_ok(), taken, "{address} {secure}");
        }
    }

    #[test]
    fn each_denial_has_its_status() {
        let local = peer("127.0.0.1:1", false);
        for (why, status) in [
            (Denied::Wrong, 401),
            (Denied::Expired, 401),
            (Denied::Later { seconds: 7 }, 429),
            (Denied::Failed(crate::store::Failure::Closed), 503),
        ] {
            assert_eq!(denied(why, local).status.as_u16(), status);
        }
    }
}
