//! Administration: health, accounts, tokens. On a listener of its own, for administrators' tokens:
//! a password opens nothing here.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::access::{NewPassword, NewToken, NewUser, NotDone, VerifierKind};
use crate::http::auth::{Credential, authenticate};
use crate::http::body::{receive, require_json, unsupported};
use crate::http::json::Object;
use crate::http::pairs::malformed;
use crate::http::path::{decode, no_such_path};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{json, method_not_allowed, no_content, peer};
use crate::http::{Door, health};
use crate::jid::BareJid;
use crate::store::{Account, Token, Verifier};

/// One resource of administration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Live,
    Ready,
    Metrics,
    Users,
    User(String),
    Import,
    Tokens,
    Token(String),
}

impl Place {
    fn parse(path: &str) -> Result<Self, Problem> {
        match path {
            "/livez" => return Ok(Place::Live),
            "/readyz" => return Ok(Place::Ready),
            "/metrics" => return Ok(Place::Metrics),
            _ => {}
        }
        let rest = path.strip_prefix("/v1/admin/").ok_or_else(no_such_path)?;
        match rest.split_once('/') {
            None if rest == "users" => Ok(Place::Users),
            None if rest == "users:import" => Ok(Place::Import),
            None if rest == "tokens" => Ok(Place::Tokens),
            Some(("users", name)) if !name.contains('/') => Ok(Place::User(decode(name)?.into_owned())),
            Some(("tokens", id)) if !id.contains('/') => Ok(Place::Token(decode(id)?.into_owned())),
            _ => Err(no_such_path()),
        }
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Place::Live | Place::Ready | Place::Metrics => &[Method::GET],
            Place::Users | Place::Tokens => &[Method::GET, Method::POST],
            Place::User(_) => &[Method::PATCH, Method::DELETE],
            Place::Import => &[Method::POST],
            Place::Token(_) => &[Method::DELETE],
        }
    }
}

pub(super) async fn answer(door: Arc<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match route(&door, parts, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn route(door: &Arc<Door>, parts: Parts, body: Body) -> Result<Response, Problem> {
    let place = Place::parse(parts.uri.path())?;
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    let allowed = place.methods();
    if !allowed.contains(&method) {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        return Err(method_not_allowed(&allowed));
    }
    match place {
        Place::Live => return Ok(health::live()),
        Place::Ready => return Ok(health::ready(door).await),
        // Numbers only, for whoever may reach this listener.
        Place::Metrics => return Ok(door.metrics(&parts.headers)),
        _ => authorize(door, &parts).await?,
    }
    if (&place, &method) != (&Place::Users, &Method::GET) {
        Query::parse(parts.uri.query(), &[])?;
    }
    match (place, method) {
        (Place::Users, Method::POST) => add_user(door, &parts, body).await,
        (Place::User(name), Method::DELETE) => remove_user(door, &name).await,
        (Place::User(name), _) => change_user(door, &name, &parts, body).await,
        (Place::Import, _) => import(door, &parts, body).await,
        (Place::Tokens, Method::POST) => create_token(door, &parts, body).await,
        (Place::Tokens, _) => list_tokens(door).await,
        (Place::Token(id), _) => revoke_token(door, &id).await,
        (Place::Users | Place::Live | Place::Ready | Place::Metrics, _) => list_users(door, &parts).await,
    }
}

/// An administrator, by a token that nothing narrows.
async fn authorize(door: &Door, parts: &Parts) -> Result<(), Problem> {
    let peer = peer(parts);
    let detail = "administration takes an administrator's API token, without scopes";
    if matches!(Credential::read(&parts.headers, peer)?, Credential::Basic { .. }) {
        return Err(Problem::forbidden(detail));
    }
    let login = authenticate(&door.rooms.access, &parts.headers, peer).await?;
    if login.admin && login.scopes.is_none() { Ok(()) } else { Err(Problem::forbidden(detail)) }
}

async fn list_users(door: &Door, parts: &Parts) -> Result<Response, Problem> {
    let query = Query::parse(parts.uri.query(), &["limit", "after"])?;
    let max = query.number("limit", 1, USERS_MAX)?.unwrap_or(USERS_MAX);
    let after = query.text("after").map(|name| door.rooms.access.user(name)).transpose()?;
    // One more than is shown, to know whether there are more.
    let mut users = door.rooms.access.list_users(after, max as usize + 1).await?;
    let more = users.len() > max as usize;
    users.truncate(max as usize);
    let mut out = Vec::with_capacity(64 + users.len() * 96);
    let mut object = Object::begin(&mut out);
    let mut array = object.array("users");
    for account in &users {
        let mut entry = array.object();
        write_user(&mut entry, account);
        entry.end();
    }
    array.end();
    if let Some(last) = users.last().filter(|_| more) {
        object.text("next", last.jid.as_str());
    }
    object.end();
    Ok(json(StatusCode::OK, out))
}

fn write_user(object: &mut Object<'_>, account: &Account) {
    object.text("jid", account.jid.as_str());
    object.boolean("admin", account.admin);
    object.boolean("disabled", account.disabled);
    object.text(
        "verifier",
        match account.verifier {
            Verifier::Scram { .. } => "scram",
            Verifier::Argon2id(_) => "argon2id",
        },
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserWish {
    name: String,
    password: String,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    verifier: Option<String>,
}

async fn add_user(door: &Door, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let wish: UserWish = read(door, parts, body).await?;
    let verifier = wish.verifier.as_deref().map(|word| VerifierKind::parse(word).ok_or_else(no_such_verifier));
    let new = NewUser {
        name: wish.name,
        password: NewPassword::Chosen(wish.password),
        admin: wish.admin,
        verifier: verifier.transpose()?,
    };
    let access = &door.rooms.access;
    let jid = access.add_user(new).await?;
    let alike = access.looks_like(&jid).await?;
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.text("jid", jid.as_str());
    if let Some(alike) = &alike {
        object.text("looks_like", alike.as_str());
    }
    object.end();
    Ok(json(StatusCode::CREATED, out))
}

fn no_such_verifier() -> Problem {
    Problem::invalid("a verifier is scram or argon2id").fault("/verifier", "scram or argon2id is expected")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChange {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    disabled: Option<bool>,
    #[serde(default)]
    admin: Option<bool>,
}

async fn change_user(door: &Door, name: &str, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let change: UserChange = read(door, parts, body).await?;
    let access = &door.rooms.access;
    let jid = access.user(name)?;
    if change.password.is_none() && change.disabled.is_none() && change.admin.is_none() {
        return Err(Problem::invalid("nothing is to be changed: password, disabled or admin is expected"));
    }
    // Shutting out comes first: whoever does both does not want the new password to open anything.
    if change.disabled == Some(true) {
        access.set_disabled(&jid, true).await?;
    }
    if let Some(admin) = change.admin {
        access.set_admin(&jid, admin).await?;
    }
    if let Some(password) = change.password {
        access.set_password(&jid, NewPassword::Chosen(password)).await?;
    }
    if change.disabled == Some(false) {
        access.set_disabled(&jid, false).await?;
    }
    Ok(json(StatusCode::OK, named(&jid)))
}

/// The account that something was done to.
fn named(jid: &BareJid) -> Vec<u8> {
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    object.text("jid", jid.as_str());
    object.end();
    out
}

async fn remove_user(door: &Door, name: &str) -> Result<Response, Problem> {
    let jid = door.rooms.access.user(name)?;
    door.rooms.access.remove_user(&jid).await?;
    door.rooms.engine.forget_facts().await?;
    Ok(no_content())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportLine {
    name: String,
    password: String,
}

/// Reads NDJSON whole before the first account is touched, so that a fault in a line changes nothing.
async fn import(door: &Door, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let given = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(NDJSON);
    if !given.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(NDJSON)) {
        return Err(unsupported(NDJSON));
    }
    let received = receive(door, &parts.headers, body).await?;
    let mut users = vec![];
    for (number, line) in received.bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        // What stands in the line is a password: the error may name its place only.
        let read: ImportLine = serde_json::from_slice(line).map_err(|error| {
            Problem::bad_request(format!("line {}, column {}: not an account", number + 1, error.column()))
        })?;
        users.push((read.name, read.password));
    }
    let imported = door.rooms.access.import_users(users, |_| ControlFlow::Continue(())).await?;
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    object.number("imported", imported);
    object.end();
    Ok(json(StatusCode::OK, out))
}

async fn list_tokens(door: &Door) -> Result<Response, Problem> {
    let tokens = door.rooms.access.list_tokens(None).await?;
    let mut out = Vec::with_capacity(64 + tokens.len() * 160);
    let mut object = Object::begin(&mut out);
    let mut array = object.array("tokens");
    for token in &tokens {
        let mut entry = array.object();
        write_token(&mut entry, token);
        entry.end();
    }
    array.end();
    object.end();
    Ok(json(StatusCode::OK, out))
}

fn write_token(object: &mut Object<'_>, token: &Token) {
    object.text("id", &token.id);
    object.text("account", token.account.as_str());
    let mut scopes = object.array("scopes");
    for scope in &token.scopes {
        scopes.text(scope);
    }
    scopes.end();
    object.plain("created", token.created);
    for (name, time) in [("expires", token.expires), ("last_used", token.last_used)] {
        match time {
            Some(time) => object.plain(name, time),
            None => object.null(name),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenWish {
    account: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    expires_seconds: Option<u64>,
}

async fn create_token(door: &Door, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let wish: TokenWish = read(door, parts, body).await?;
    let account = door.rooms.access.user(&wish.account)?;
    let new = NewToken { account, scopes: wish.scopes, expires_seconds: wish.expires_seconds };
    let issued = door.rooms.access.create_token(new).await?;
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    object.text("id", &issued.id);
    object.text("token", &issued.text);
    object.end();
    let mut response = json(StatusCode::CREATED, out);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/admin/tokens/{}", issued.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    // The only time that the secret is shown: nobody may keep it on the way.
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn revoke_token(door: &Door, id: &str) -> Result<Response, Problem> {
    door.rooms.access.revoke_token(id).await?;
    Ok(no_content())
}

async fn read<T: DeserializeOwned>(door: &Door, parts: &Parts, body: Body) -> Result<T, Problem> {
    require_json(&parts.headers, "application/json")?;
    let received = receive(door, &parts.headers, body).await?;
    serde_json::from_slice(&received.bytes).map_err(malformed)
}

impl From<NotDone> for Problem {
    fn from(not_done: NotDone) -> Self {
        let text = not_done.to_string();
        let conflict = |text| Problem::new(StatusCode::CONFLICT, "user-exists", "User exists", text);
        match not_done {
            NotDone::Name(..) | NotDone::ForeignDomain(_) => {
                Problem::invalid(text).fault("/name", "not an account here")
            }
            NotDone::Password => Problem::invalid(text).fault("/password", "not a password"),
            NotDone::Exists(_) => conflict(text),
            NotDone::LastAdmin(_) => {
                Problem::new(StatusCode::CONFLICT, "last-administrator", "Last administrator", text)
            }
            NotDone::NoSuchUser(_) | NotDone::NoSuchToken(_) => Problem::not_found(text),
            NotDone::Scope(_) => Problem::invalid(text).fault("/scopes", "not a scope"),
            NotDone::Entry(..) => Problem::invalid(text),
            NotDone::Failed(failure) => failure.into(),
        }
    }
}

const NDJSON: &str = "application/x-ndjson";
/// Accounts of one answer.
const USERS_MAX: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_its_path_and_nothing_else_is_one() {
        for (path, place) in [
            ("/livez", Place::Live),
            ("/readyz", Place::Ready),
            ("/metrics", Place::Metrics),
            ("/v1/admin/users", Place::Users),
            ("/v1/admin/users:import", Place::Import),
            ("/v1/admin/users/romeo", Place::User("romeo".to_owned())),
            ("/v1/admin/users/romeo%40localhost", Place::User("romeo@localhost".to_owned())),
            ("/v1/admin/tokens", Place::Tokens),
            ("/v1/admin/tokens/abc", Place::Token("abc".to_owned())),
        ] {
            assert_eq!(Place::parse(path), Ok(place), "{path}");
        }
        for path in [
            "/",
            "/livez/",
            "//livez",
            "/v1/admin",
            "/v1/admin/",
            "/v1/admin/users/",
            "/v1/admin/users/a/b",
            "/v1/admin/users/%2e%2e",
            "/v1/admin/users/..",
            "/v1/%61dmin/users",
            "/v1/admin/Users",
            "/v1/admin/users%3Aimport",
            "/v1/nodes",
        ] {
            assert!(Place::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn wishes_refuse_what_they_do_not_know() {
        assert!(serde_json::from_str::<UserWish>(r#"{"name":"a","password":"b","verifier":"scram"}"#).is_ok());
        assert!(serde_json::from_str::<UserWish>(r#"{"name":"a","password":"b","role":"admin"}"#).is_err());
        assert!(serde_json::from_str::<UserChange>(r#"{"disable":true}"#).is_err());
        assert!(
            serde_json::from_str::<TokenWish>(r#"{"account":"a","scopes":["read:*"],"expires_seconds":5}"#).is_ok()
        );
    }
}
