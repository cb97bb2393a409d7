//! The XMPP door: requests (iq) to this server's own entities, one file a specification.
//!
//! Everything here is translation. A handler turns the words of a request into an answer, or into a
//! [`pubsub::Request`](crate::pubsub::Request) and a way to put its outcome into words
//! ([`Work`]). Handlers neither wait nor touch the engine, so that a request takes its place in the
//! engine's queue when the future of [`Xep::answer`] is polled first. [`pubsub::notify`] is the other
//! direction: how an event looks on the wire.
//!
//! Not here: the rules (`pubsub`), who is told (`delivery`), stanzas for other people (`router`).

pub mod archive;
mod attachments;
mod blocking;
mod caps;
mod carbons;
mod commands;
mod contact;
mod disco;
mod entity_time;
mod filter;
mod headers;
mod last;
mod offline;
mod order;
mod personal;
mod ping;
mod private;
mod public;
pub mod pubsub;
mod reference;
mod register;
mod roster;
mod rsm;
pub mod since;
mod vcard;
mod version;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::access::Access;
use crate::delivery::Due;
use crate::engine::{Answered, Engine, Wrong};
use crate::jid::{BareJid, FullJid, Jid};
use crate::messaging::Messaging;
use crate::pubsub::{Caller, Refusal, Request, Role, ServicePolicy};
use crate::time::Timestamp;
use crate::xml::{Element, escape_attribute};
use crate::xmpp::{Condition, Iq, IqKind, NS_CLIENT, StanzaError};

pub use contact::Contacts;
pub use reference::reference as fields_reference;

/// The door, to be cloned and handed about.
#[derive(Clone)]
pub struct Xep {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    messaging: Messaging,
    hosts: Vec<Host>,
    options: Options,
    commands: commands::Sessions,
    administration: OnceLock<Administration>,
    started: Timestamp,
}

/// What commands on accounts are done with (XEP-0133).
pub struct Administration {
    pub access: Access,
}

/// A domain of this server, and its pub/sub service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub domain: BareJid,
    pub service: BareJid,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// The most items, with their payloads, in one answer.
    pub page_items_max: u64,
    /// The most entries of lists without payloads (nodes, subscriptions, affiliations) in one answer.
    pub list_entries_max: u64,
    /// No item is added to an answer that has passed this many bytes.
    pub page_bytes_max: usize,
    /// Commands of one address that wait for their forms; the oldest makes room (XEP-0050 §3.3).
    pub command_sessions_per_address_max: usize,
    /// The same of all addresses.
    pub command_sessions_max: usize,
    /// How long a command waits for its form.
    pub command_session_seconds: u32,
    /// What the software calls itself (XEP-0092).
    pub software_name: String,
    pub software_version: String,
    /// The name of the server among the identities of service discovery.
    pub server_name: String,
    /// The name of its pub/sub services.
    pub service_name: String,
    /// Where to write to whom (XEP-0157).
    pub contacts: Contacts,
    /// What accounts may do themselves (XEP-0077).
    pub change_password: bool,
    pub remove_account: bool,
    /// Whether whoever has none may make one, before he authenticates.
    pub register: bool,
}

impl Options {
    /// Whether anything of XEP-0077 is done here.
    fn accounts_are_changed(&self) -> bool {
        self.change_password || self.remove_account || self.register
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            page_items_max: 100,
            list_entries_max: 1000,
            page_bytes_max: 128 * 1024,
            command_sessions_per_address_max: 10,
            command_sessions_max: 1000,
            command_session_seconds: 600,
            software_name: "Tidings".to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            server_name: "Tidings".to_owned(),
            service_name: "Publish-subscribe".to_owned(),
            contacts: Contacts::default(),
            change_password: true,
            remove_account: true,
            register: false,
        }
    }
}

/// What a request led to, as it goes into a client's stream: namespaces other than `jabber:client`
/// are declared, that one is the stream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Messages to whoever asked, to be sent before it (XEP-0313 §4.2).
    pub first: Vec<Bytes>,
    /// The iq of type result or error.
    pub iq: Bytes,
    /// Messages to be sent after it, each to the address beside it, which it also bears.
    pub then: Vec<(Jid, Bytes)>,
    /// The last item of a node that was subscribed to, which is due when it was sent (XEP-0060 §6.1.7).
    pub due: Option<Box<Due>>,
}

impl Answer {
    fn of(iq: Bytes) -> Self {
        Answer { first: Vec::new(), iq, then: Vec::new(), due: None }
    }
}

/// Whether a request is about the account itself: its password, and whether it is there (XEP-0077).
pub fn changes_account(asked: &Element) -> bool {
    asked.is("query", register::NS_REGISTER)
}

impl Xep {
    pub fn new(engine: Engine, messaging: Messaging, hosts: Vec<Host>, options: Options) -> Self {
        let limits = commands::Limits {
            per_address_max: options.command_sessions_per_address_max,
            sessions_max: options.command_sessions_max,
            lifetime_seconds: i64::from(options.command_session_seconds),
        };
        let commands = commands::Sessions::new(limits, &engine.identity().cursor_key);
        let (administration, started) = (OnceLock::new(), engine.clock().now());
        Xep { shared: Arc::new(Shared { engine, messaging, hosts, options, commands, administration, started }) }
    }

    /// Lets administrators see to accounts from now on. To be called once, when the rooms are wired.
    pub fn administer(&self, administration: Administration) {
        let wired_before = self.shared.administration.set(administration).is_err();
        debug_assert!(!wired_before, "a server has one administration");
    }

    pub fn hosts(&self) -> &[Host] {
        &self.shared.hosts
    }

    /// Answers a request to an entity of this server. Nothing where there is nothing to say: to an
    /// answer (RFC 6120 §8.2.3, rule 4).
    ///
    /// A request to a pub/sub service takes its place in the engine's queue when the future is polled
    /// first, before it waits for anything.
    pub fn answer(&self, caller: Caller, iq: Iq) -> impl Future<Output = Option<Answer>> + Send + use<> {
        let shared = self.shared.clone();
        let admission = self.admission(&caller, &iq);
        let (reply, work) = match self.begin(caller, iq) {
            Some((reply, work)) => (reply, Some(work)),
            None => (Envelope::default(), None),
        };
        async move {
            if let Some(admission) = admission
                && let Err(error) = admission.await
                && work.is_some()
            {
                return Some(Answer::of(reply.error(&Trouble::from(error))));
            }
            let done = match work? {
                Ok(Work::Done(body)) => Ok((body, None)),
                Ok(Work::Ask(ask)) => ask.outcome(&shared.engine).await,
                Ok(Work::Command(order)) => {
                    return Some(match order.outcome(&shared).await {
                        Ok((body, then)) => Answer { then, ..Answer::of(reply.result(&body)) },
                        Err(trouble) => Answer::of(reply.error(&trouble)),
                    });
                }
                Ok(Work::Wait(done)) => done.await.map(|body| (body, None)).map_err(Trouble::from),
                Err(error) => Err(Trouble::from(error)),
            };
            match done {
                Ok((body, due)) => {
                    let iq = reply.result(&body);
                    Some(Answer { first: body.into_first(), due, ..Answer::of(iq) })
                }
                Err(trouble) => Some(Answer::of(reply.error(&trouble))),
            }
        }
    }

    /// Whether a request to somebody else's account may reach it, which takes time to find out.
    fn admission(&self, caller: &Caller, iq: &Iq) -> Option<personal::Admission> {
        let to = iq.to.as_ref().filter(|to| matches!(to, Jid::Bare(bare) if bare.local().is_some()))?;
        (to.bare() != caller.jid.bare()).then(|| personal::admission(&self.shared.messaging, caller, to.bare(), iq))
    }

    fn begin(&self, caller: Caller, iq: Iq) -> Option<(Envelope, Result<Work, StanzaError>)> {
        let (kind, element) = match iq.kind {
            IqKind::Get(element) => (RequestKind::Get, element),
            IqKind::Set(element) => (RequestKind::Set, element),
            IqKind::Result(_) | IqKind::Error(..) => return None,
        };
        let reply = Envelope { id: iq.id, from: iq.to.clone(), to: Some(caller.jid.clone()) };
        let target = Target::of(&self.shared.hosts, &caller, iq.to.as_ref());
        let work = target.ok_or_else(|| StanzaError::new(Condition::ServiceUnavailable)).and_then(|target| {
            let policy = self.shared.engine.policy(target.service());
            let asked = Asked {
                caller,
                target,
                kind,
                element,
                policy,
                hosts: &self.shared.hosts,
                messaging: &self.shared.messaging,
                engine: &self.shared.engine,
                now: self.shared.engine.clock().now(),
                started: self.shared.started,
                options: &self.shared.options,
                access: self.shared.administration.get().map(|administration| &administration.access),
            };
            asked.work()
        });
        Some((reply, work))
    }
}

/// A specification that this door speaks.
pub struct Extension {
    pub number: u16,
    pub name: &'static str,
    /// The version that was read.
    pub version: &'static str,
    pub features: &'static [Feature],
    pub claims: &'static [Claim],
}

/// A feature as service discovery advertises it (XEP-0030 §3.1).
pub struct Feature {
    pub var: &'static str,
    pub of: &'static [Entity],
    /// Whether it is offered under the operator's settings.
    pub offered: fn(&ServicePolicy) -> bool,
}

/// Requests that a specification answers.
pub struct Claim {
    pub name: &'static str,
    pub ns: &'static str,
    pub kinds: &'static [RequestKind],
    pub at: &'static [Entity],
    handler: Handler,
}

/// What service discovery tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A domain of this server.
    Server,
    /// A pub/sub service.
    Service,
    /// A node of a service.
    Node,
    /// The bare JID of the caller's own account.
    Account,
    /// The bare JID of somebody else's.
    Contact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    Get,
    Set,
}

type Handler = fn(&Asked<'_>) -> Result<Work, StanzaError>;

/// Every specification, by number.
pub const EXTENSIONS: &[Extension] = &[
    Extension { number: 4, name: "Data Forms", version: "2.13.2", features: &[], claims: &[] },
    last::EXTENSION,
    disco::EXTENSION,
    private::EXTENSION,
    commands::EXTENSION,
    vcard::EXTENSION,
    rsm::EXTENSION,
    pubsub::EXTENSION,
    Extension {
        number: 68,
        name: "Field Standardization for Data Forms",
        version: "1.3.0",
        features: &[],
        claims: &[],
    },
    register::EXTENSION,
    Extension { number: 82, name: "XMPP Date and Time Profiles", version: "1.1.1", features: &[], claims: &[] },
    version::EXTENSION,
    caps::EXTENSION,
    Extension {
        number: 122,
        name: "Data Forms Validation",
        version: "1.0.2",
        features: &[Feature::always(crate::xmpp::NS_VALIDATE, &[Entity::Server, Entity::Service])],
        claims: &[],
    },
    Extension { number: 128, name: "Service Discovery Extensions", version: "1.0.1", features: &[], claims: &[] },
    headers::EXTENSION,
    commands::accounts::EXTENSION,
    contact::EXTENSION,
    offline::EXTENSION,
    personal::EXTENSION,
    blocking::EXTENSION,
    ping::EXTENSION,
    entity_time::EXTENSION,
    Extension { number: 203, name: "Delayed Delivery", version: "2.0", features: &[], claims: &[] },
    roster::EXTENSION,
    pubsub::associate::EXTENSION,
    carbons::EXTENSION,
    Extension { number: 297, name: "Stanza Forwarding", version: "1.0", features: &[], claims: &[] },
    since::EXTENSION,
    archive::EXTENSION,
    Extension { number: 334, name: "Message Processing Hints", version: "1.0.0", features: &[], claims: &[] },
    archive::STANZA_IDS,
    caps::NEWER,
    vcard::CONVERSION,
    private::BOOKMARKS,
    order::EXTENSION,
    archive::PREFERENCES,
    archive::OF_NODES,
    filter::EXTENSION,
    public::EXTENSION,
    attachments::EXTENSION,
];

impl Feature {
    /// A feature that is always offered.
    const fn always(var: &'static str, of: &'static [Entity]) -> Self {
        Feature { var, of, offered: |_| true }
    }
}

/// The features of one entity, in the order of [`EXTENSIONS`].
fn features(of: Entity, policy: &ServicePolicy) -> Vec<&'static str> {
    EXTENSIONS
        .iter()
        .flat_map(|extension| extension.features.iter().map(move |feature| (extension.number, feature)))
        .filter(|(number, feature)| is_of(*number, feature, of) && (feature.offered)(policy))
        .map(|(_, feature)| feature.var)
        .collect()
}

/// Of one's own account and of others' the same is told; and accounts are pub/sub services (XEP-0163).
fn is_of(number: u16, feature: &Feature, of: Entity) -> bool {
    let personal = matches!(of, Entity::Account | Entity::Contact);
    let of_accounts = feature.of.contains(&Entity::Account) || number == 60 && feature.of.contains(&Entity::Service);
    let of_services = number == 60 && feature.of.contains(&Entity::Service);
    feature.of.contains(&of) || personal && of_accounts || of == Entity::Server && of_services
}

/// A request, addressed.
struct Asked<'a> {
    caller: Caller,
    target: Target,
    kind: RequestKind,
    element: Element,
    policy: ServicePolicy,
    hosts: &'a [Host],
    messaging: &'a Messaging,
    engine: &'a Engine,
    now: Timestamp,
    /// When the server began.
    started: Timestamp,
    options: &'a Options,
    /// Present once the rooms are wired.
    access: Option<&'a Access>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Server(Host),
    Service(BareJid),
    Account(BareJid),
    Contact(BareJid),
}

impl Target {
    /// No address stands for the caller's account too (RFC 6120 §10.3.3). Addresses with a resource are
    /// nobody's: nodes are addressed by JID and NodeID (XEP-0060 §4.6).
    fn of(hosts: &[Host], caller: &Caller, to: Option<&Jid>) -> Option<Self> {
        let own = caller.jid.bare();
        match to {
            None => Some(Target::Account(own.clone())),
            Some(Jid::Full(_)) => None,
            Some(Jid::Bare(to)) if to == own => Some(Target::Account(own.clone())),
            Some(Jid::Bare(to)) if to.local().is_some() => {
                let here = hosts.iter().any(|host| host.domain.domain() == to.domain());
                here.then(|| Target::Contact(to.clone()))
            }
            Some(Jid::Bare(to)) => hosts.iter().find_map(|host| match () {
                () if host.service == *to => Some(Target::Service(to.clone())),
                () if host.domain == *to => Some(Target::Server(host.clone())),
                () => None,
            }),
        }
    }

    /// The service whose settings hold.
    fn service(&self) -> &BareJid {
        match self {
            Target::Server(host) => &host.domain,
            Target::Service(service) => service,
            Target::Account(account) | Target::Contact(account) => account,
        }
    }

    fn jid(&self) -> &BareJid {
        match self {
            Target::Server(host) => &host.domain,
            Target::Service(jid) | Target::Account(jid) | Target::Contact(jid) => jid,
        }
    }

    fn entity(&self) -> Entity {
        match self {
            Target::Server(_) => Entity::Server,
            Target::Service(_) => Entity::Service,
            Target::Account(_) => Entity::Account,
            Target::Contact(_) => Entity::Contact,
        }
    }
}

impl Asked<'_> {
    /// An anonymous session of one of our hosts.
    fn is_guest(&self) -> bool {
        let here = || self.hosts.iter().any(|host| host.domain.domain() == self.caller.jid.domain());
        self.caller.role == Role::Stranger && here()
    }

    /// For what an account lets nobody else do. A stranger's is made for one session and keeps nothing.
    fn own_account(&self) -> Result<(), StanzaError> {
        match &self.target {
            Target::Account(_) if self.caller.role != Role::Stranger => Ok(()),
            _ => Err(StanzaError::new(Condition::Forbidden)),
        }
    }

    /// The session that asks.
    fn session(&self) -> Result<FullJid, StanzaError> {
        match &self.caller.jid {
            Jid::Full(full) => Ok(full.clone()),
            Jid::Bare(_) => Err(StanzaError::new(Condition::NotAllowed)),
        }
    }

    /// Finds who answers; what nobody claims is `service-unavailable` (RFC 6120 §8.4).
    fn work(&self) -> Result<Work, StanzaError> {
        let mut claims = EXTENSIONS.iter().flat_map(|extension| extension.claims);
        let claim = claims.find(|claim| {
            self.element.is(claim.name, claim.ns)
                && claim.kinds.contains(&self.kind)
                && claim.at.contains(&self.target.entity())
        });
        match claim {
            Some(claim) => (claim.handler)(self),
            None => Err(StanzaError::new(Condition::ServiceUnavailable)),
        }
    }
}

/// What a handler makes of a request.
enum Work {
    Done(Body),
    Ask(Box<Ask>),
    /// Something that takes more than one request to the engine.
    Command(Box<commands::Order>),
    /// Asks another room than the engine; the first poll gives the request its place there.
    Wait(Waited),
}

type Waited = Pin<Box<dyn Future<Output = Result<Body, StanzaError>> + Send>>;

/// A request to the engine, and how to say what comes of it.
struct Ask {
    request: Request,
    say: Say,
    /// A refusal that is no error here, and what is said then.
    instead: Option<(Refusal, Body)>,
}

/// Nothing where the engine answered another question: a fault of our own.
type Say = Box<dyn FnOnce(Answered) -> Option<Said> + Send>;

/// What is said: the answer, and the last item that is due after it.
type Said = (Body, Option<Box<Due>>);

/// What stands in an iq of type result.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Empty,
    Element(Element),
    /// One element as it is written within `jabber:client`; payloads are not parsed to be answered.
    Written(Vec<u8>),
    /// Messages to whoever asked, and then this.
    After(Vec<Bytes>, Element),
}

impl Body {
    fn into_first(self) -> Vec<Bytes> {
        match self {
            Body::After(first, _) => first,
            Body::Empty | Body::Element(_) | Body::Written(_) => Vec::new(),
        }
    }
}

/// What stands in an iq of type error.
struct Trouble {
    error: StanzaError,
    /// A child beside the error, where a specification wants one.
    beside: Option<Element>,
}

impl Work {
    /// Asks the engine; the answer has nothing in its wake.
    fn ask(request: Request, say: impl FnOnce(Answered) -> Option<Body> + Send + 'static) -> Self {
        Work::Ask(Box::new(Ask { request, say: Box::new(move |answered| Some((say(answered)?, None))), instead: None }))
    }

    fn unless(self, refusal: Refusal, body: Body) -> Self {
        match self {
            Work::Ask(ask) => Work::Ask(Box::new(Ask { instead: Some((refusal, body)), ..*ask })),
            other @ (Work::Done(_) | Work::Command(_) | Work::Wait(_)) => other,
        }
    }
}

impl Ask {
    async fn outcome(self, engine: &Engine) -> Result<Said, Trouble> {
        let context = pubsub::errors::Context::of(&self.request.verb);
        match engine.ask(self.request).await {
            Ok(answered) => (self.say)(answered).ok_or_else(|| StanzaError::new(Condition::InternalServerError).into()),
            Err(Wrong::Refused(refusal)) => match self.instead {
                Some((expected, body)) if expected == refusal => Ok((body, None)),
                _ => Err(context.refused(&refusal)),
            },
            Err(Wrong::Failed(failure)) => Err(pubsub::errors::failed(&failure).into()),
            Err(Wrong::Overloaded) => Err(pubsub::errors::overloaded().into()),
        }
    }
}

impl From<StanzaError> for Trouble {
    fn from(error: StanzaError) -> Self {
        Trouble { error, beside: None }
    }
}

/// How an answer is addressed.
#[derive(Default)]
struct Envelope {
    id: String,
    from: Option<Jid>,
    to: Option<Jid>,
}

impl Envelope {
    fn result(&self, body: &Body) -> Bytes {
        let mut out = self.open("result");
        match body {
            Body::Empty => return closed(out),
            Body::Element(element) | Body::After(_, element) => {
                out.push(b'>');
                element.write(&mut out, NS_CLIENT);
            }
            Body::Written(bytes) => {
                out.push(b'>');
                out.extend_from_slice(bytes);
            }
        }
        out.extend_from_slice(b"</iq>");
        Bytes::from(out)
    }

    fn error(&self, trouble: &Trouble) -> Bytes {
        let mut out = self.open("error");
        out.push(b'>');
        if let Some(beside) = &trouble.beside {
            beside.write(&mut out, NS_CLIENT);
        }
        trouble.error.to_element(NS_CLIENT).write(&mut out, NS_CLIENT);
        out.extend_from_slice(b"</iq>");
        Bytes::from(out)
    }

    /// The start tag, without its end.
    fn open(&self, kind: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"<iq");
        let from = self.from.as_ref().map(Jid::to_string);
        let to = self.to.as_ref().map(Jid::to_string);
        let attributes =
            [("from", from.as_deref()), ("to", to.as_deref()), ("id", Some(&*self.id)), ("type", Some(kind))];
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_attribute(&mut out, value);
            out.push(b'\'');
        }
        out
    }
}

fn closed(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"/>");
    Bytes::from(out)
}

fn bad_request(why: impl Into<String>) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(why)
}

#[cfg(test)]
mod tests;
