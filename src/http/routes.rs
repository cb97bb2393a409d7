//! The table of the API: which place takes which method, and what every answer bears.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;

use crate::access::Login;
use crate::engine::{Answered, Once, Position, Wrong};
use crate::http::auth::{Peer, authenticate};
use crate::http::body::{Received, receive};
use crate::http::path::{Place, Service, What};
use crate::http::problem::Problem;
use crate::http::serve::Link;
use crate::http::{
    Door, affiliations, batch, configure, create, delete, hooks, items, nodes, operations, publish, purge, retract,
    subscriptions, tickets, watch, webhooks_in,
};
use crate::jid::BareJid;
use crate::pubsub::{Caller, NodeId, Request as Ask, Role, Verb};

/// One request whose caller is known.
pub(super) struct Call {
    pub(super) door: Arc<Door>,
    pub(super) login: Login,
    pub(super) service: Service,
    pub(super) parts: Parts,
}

/// What a scope of a token can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Publish,
    Read,
    Manage,
}

pub(super) async fn answer(door: Arc<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match route(door, parts, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn route(door: Arc<Door>, parts: Parts, body: Body) -> Result<Response, Problem> {
    let Place { service, what } = Place::parse(parts.uri.path())?;
    // A HEAD is a GET whose body stays here (RFC 9110 §9.3.2); the connection sees to that.
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    if !operations::methods(&what).any(|allowed| allowed == method.as_str()) {
        let allowed: Vec<&str> = operations::methods(&what).collect();
        return Err(method_not_allowed(&allowed));
    }
    if let What::Hook(source) = &what {
        // Its signature is its credential.
        return webhooks_in::receive_hook(&door, &parts, source, body).await;
    }
    if what == What::WebhookKeys {
        // Public, as the keys are.
        return hooks::keys(&door, &parts);
    }
    let named = match &service {
        Service::Default => &door.service,
        Service::Named(jid) => jid,
    };
    let login = match tickets::redeem(&door, &parts, &what, named, peer(&parts))? {
        Some(login) => login,
        None => authenticate(&door.rooms.access, &parts.headers, peer(&parts)).await?,
    };
    if let Service::Named(jid) = &service
        && !door.keeps(jid)
    {
        return Err(Problem::not_found("there is no such service here"));
    }
    let told = door.admit(&login.account, announced(&door, &body))?;
    let call = Call { door, login, service, parts };
    let outcome = dispatch(call, what, method, body).await;
    Ok(told.mark(outcome.unwrap_or_else(IntoResponse::into_response)))
}

async fn dispatch(call: Call, what: What, method: Method, body: Body) -> Result<Response, Problem> {
    match (what, method) {
        (What::Tickets, _) => tickets::issue(&call, body).await,
        (What::Watch, _) => watch::watch_several(call).await,
        (What::Nodes, _) => nodes::list(&call).await,
        (What::Node(node), Method::PUT) => create::put(&call, node, body).await,
        (What::Node(node), Method::PATCH) => configure::patch(&call, node, body).await,
        (What::Node(node), Method::DELETE) => delete::delete(&call, node).await,
        (What::Node(node), _) => configure::show(&call, node).await,
        (What::Items(node), Method::POST) => publish::post(&call, node, body).await,
        (What::Items(node), Method::DELETE) => purge::purge(&call, node).await,
        (What::Items(node), _) => items::list_or_watch(call, node).await,
        (What::Batch(node), _) => batch::post(call, node, body).await,
        (What::Item(node, item), Method::PUT) => publish::put(&call, node, item, body).await,
        (What::Item(node, item), Method::DELETE) => retract::retract(&call, node, item).await,
        (What::Item(node, item), _) => items::show(&call, node, item).await,
        (What::Subscriptions(node), Method::PUT) => subscriptions::put_all(&call, node, body).await,
        (What::Subscriptions(node), _) => subscriptions::list(&call, node).await,
        (What::Subscription(node, jid), Method::PUT) => subscriptions::put(&call, node, jid, body).await,
        (What::Subscription(node, jid), Method::PATCH) => subscriptions::patch(&call, node, jid, body).await,
        (What::Subscription(node, jid), Method::DELETE) => subscriptions::delete(&call, node, jid).await,
        (What::Subscription(node, jid), _) => subscriptions::show(&call, node, jid).await,
        (What::Affiliations(node), Method::PUT) => affiliations::put(&call, node, body).await,
        (What::Webhooks(node, place), method) => hooks::answer(&call, node, place, &method, body).await,
        (What::Hook(_) | What::WebhookKeys, _) => Err(Problem::internal("what needs no caller was taken for a call")),
        (What::Affiliations(node), _) => affiliations::list(&call, node).await,
    }
}

/// What a body will have by its own word; one that will not be taken costs nothing.
fn announced(door: &Door, body: &Body) -> u64 {
    body.size_hint().exact().filter(|bytes| *bytes <= door.options.body_bytes_max as u64).unwrap_or(0)
}

pub(super) fn method_not_allowed(allowed: &[&str]) -> Problem {
    let mut names = allowed.to_vec();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let names = names.join(", ");
    let allow = HeaderValue::try_from(&names).expect("methods are visible ASCII");
    let detail = format!("this path takes {names}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
        .header(ALLOW, allow)
}

/// RFC 9112 §3.2: a request of HTTP/1.1 says once, and in a form that is one, whom it is for. Who it is does not
/// matter: nothing here depends on it.
pub(super) fn require_host(request: &Request) -> Result<(), Problem> {
    if request.version() != Version::HTTP_11 {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    let valid = |host: &HeaderValue| host.is_empty() || Authority::try_from(host.as_bytes()).is_ok();
    if host.is_some_and(valid) {
        return Ok(());
    }
    let problem = Problem::bad_request("a request has one header Host, which is a name or an address");
    Err(problem.header(CONNECTION, HeaderValue::from_static("close")))
}

/// Who is at the other end; `serve` says so of every request.
pub(super) fn peer(parts: &Parts) -> Peer {
    // Whoever asks by other means is given the caution that strangers get.
    let nobody = Peer { address: SocketAddr::from(([0, 0, 0, 0], 0)), secure: false };
    parts.extensions.get::<Link>().map_or(nobody, |link| link.peer)
}

/// What every response bears, whatever it is: what we serve is data, and no page but that of the API.
pub(super) fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'"));
    response
}

/// A response of JSON.
pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

impl Call {
    pub(super) fn caller(&self) -> Caller {
        let role = if self.login.admin { Role::Admin } else { Role::Account };
        Caller { jid: self.login.account.clone().into(), role }
    }

    pub(super) fn service_jid(&self) -> BareJid {
        match &self.service {
            Service::Default => self.door.service.clone(),
            Service::Named(jid) => jid.clone(),
        }
    }

    /// Whether the token that was shown covers this. What the account may is another question.
    pub(super) fn covers(&self, scope: Scope, node: &NodeId) -> bool {
        match &self.login.scopes {
            Some(scopes) => scopes.allow(scope.as_str(), node.as_str()),
            None => true,
        }
    }

    pub(super) fn require(&self, scope: Scope, node: &NodeId) -> Result<(), Problem> {
        if self.covers(scope, node) {
            return Ok(());
        }
        let scope = scope.as_str();
        let challenge = format!("Bearer realm=\"tidings\", error=\"insufficient_scope\", scope=\"{scope}\"");
        let challenge = HeaderValue::try_from(challenge).expect("the challenge is visible ASCII");
        let detail = format!("the token's scopes do not cover {scope} at this node");
        Err(Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", "Insufficient scope", detail)
            .challenge(challenge))
    }

    pub(super) async fn ask(&self, verb: Verb) -> Result<Answered, Wrong> {
        let request = Ask { caller: self.caller(), service: self.service_jid(), verb };
        self.door.rooms.engine.ask(request).await
    }

    /// The same, to be done once where there is a key.
    pub(super) async fn ask_once(&self, verb: Verb, once: Option<Once>) -> Result<Answered, Wrong> {
        let request = Ask { caller: self.caller(), service: self.service_jid(), verb };
        match once {
            None => self.door.rooms.engine.ask(request).await,
            Some(once) => self.door.rooms.engine.ask_once(request, once).await,
        }
    }

    /// Takes the body; one whose length was not known before is charged now.
    pub(super) async fn receive(&self, body: Body) -> Result<Received, Problem> {
        let known = body.size_hint().exact().is_some();
        let received = receive(&self.door, &self.parts.headers, body).await?;
        if !known {
            self.door.quotas.charge(&self.login.account, received.bytes.len() as u64);
        }
        Ok(received)
    }

    /// Says where the node's log stands with this answer.
    pub(super) fn mark(&self, mut response: Response, at: Option<Position>) -> Response {
        if let Some(at) = at {
            let cursor = self.door.rooms.cursors.encode(at);
            let cursor = HeaderValue::try_from(cursor).expect("a cursor is URL-safe");
            response.headers_mut().insert(TIDINGS_CURSOR, cursor);
        }
        response
    }
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Scope::Publish => "publish",
            Scope::Read => "read",
            Scope::Manage => "manage",
        }
    }
}

/// The position at which an answer is true.
pub(super) const TIDINGS_CURSOR: HeaderName = HeaderName::from_static("tidings-cursor");
