//! The words of SASL2 (XEP-0388), Bind 2 (XEP-0386), FAST (XEP-0484), and of stream management among them
//! (XEP-0198 §9): what a client asks for with its authentication, and what it gets with success.
//!
//! Not here: `<continue/>` and its tasks (XEP-0388 §2.6.3), which are never demanded.

use super::bind::BindRefusal;
use super::sasl::{self, Mechanism, Said, SaslCondition, Zero};
use super::sm::{self, SmRefusal};
use super::{BIND2_NS, CSI_NS, FAST_NS, SASL_NS, SASL2_NS, SM_NS};
use crate::jid::{BareJid, FullJid};
use crate::time::Timestamp;
use crate::xml::Element;

/// What a client asks for beside being authenticated.
#[derive(Clone, Debug, Default)]
pub struct Inline {
    /// The client's installation, a UUID in lower case (XEP-0388 §2.3). Nobody else may see it.
    pub client: Option<String>,
    /// To go on with a session of before. Where that is possible the request to bind is ignored.
    pub resume: Option<Result<Resume, SmRefusal>>,
    pub bind: Option<Bind2>,
    /// The mechanism of the token that is asked for (XEP-0484 §3.2).
    pub request_token: Option<Mechanism>,
    /// That a token is used.
    pub fast: Option<Fast>,
}

/// A request to bind (XEP-0386 §3.2).
#[derive(Clone, Debug, Default)]
pub struct Bind2 {
    pub tag: Option<String>,
    /// That stream management begins with the session.
    pub enable: Option<Enable>,
    /// That nobody looks at the client (XEP-0352).
    pub inactive: bool,
    /// What else is to be enabled with it, as it came: elements of other namespaces.
    pub features: Vec<Element>,
}

/// XEP-0198 §5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    pub previd: String,
    pub h: u32,
}

/// XEP-0198 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enable {
    pub resume: bool,
    /// The seconds for which the peer would like to be waited for.
    pub max: Option<u32>,
}

/// The use of a token (XEP-0484 §3.4, §3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    pub count: Option<u32>,
    pub invalidate: bool,
}

/// What came of an [`Inline`] request.
#[derive(Clone, Debug, Default)]
pub struct Inlined {
    /// Of the request to resume, where there was one.
    pub resumed: Option<Result<Resumed, SmRefusal>>,
    /// Of the request to bind, where there was one.
    pub bound: Option<Result<Bound, BindRefusal>>,
    pub token: Option<FastToken>,
}

/// The session of before: its address, its id, and how many stanzas of the peer it has received.
#[derive(Clone, Debug)]
pub struct Resumed {
    pub jid: FullJid,
    pub previd: String,
    pub h: u32,
}

/// A resource, and what is said with it in `<bound/>`.
#[derive(Clone, Debug)]
pub struct Bound {
    pub jid: FullJid,
    /// Whether stream management has begun.
    pub managed: bool,
    pub elements: Vec<Element>,
}

/// A token, once: nothing else shows it.
#[derive(Clone)]
pub struct FastToken {
    pub token: String,
    pub expiry: Timestamp,
}

/// A whole `<authenticate/>`.
pub(super) struct Authenticate {
    pub mechanism: Option<String>,
    pub initial: Result<Option<Vec<u8>>, SaslCondition>,
    pub inline: Result<Inline, SaslCondition>,
}

impl Authenticate {
    pub fn read(element: &Element) -> Self {
        Authenticate {
            mechanism: element.attr("mechanism").map(str::to_owned),
            initial: element
                .child("initial-response", SASL2_NS)
                .map(|data| sasl::data(data, Zero::Nothing))
                .transpose(),
            inline: Inline::read(element),
        }
    }
}

/// What the peer says during a handshake (XEP-0388 §2.4, §4.5).
pub(super) fn said(element: &Element) -> Said {
    match element.name() {
        "response" => Said::Response(sasl::data(element, Zero::Nothing)),
        "abort" => Said::Abort,
        _ => Said::Unknown,
    }
}

impl Inline {
    fn read(element: &Element) -> Result<Self, SaslCondition> {
        let client =
            element.child("user-agent", SASL2_NS).and_then(|agent| agent.attr("id")).map(client_id).transpose()?;
        let bind = element.child("bind", BIND2_NS).map(Bind2::read);
        let resume = element.child("resume", SM_NS).map(|resume| match sm::Said::read(resume) {
            Some(sm::Said::Resume { previd, h }) => Ok(Resume { previd, h }),
            _ => Err(SmRefusal::Malformed),
        });
        let request_token = element
            .child("request-token", FAST_NS)
            .map(|request| {
                let named = request.attr("mechanism").and_then(Mechanism::from_name);
                named
                    .filter(|mechanism| matches!(mechanism, Mechanism::Token(_)))
                    .ok_or(SaslCondition::MalformedRequest)
            })
            .transpose()?;
        let fast = element.child("fast", FAST_NS).map(Fast::read).transpose()?;
        Ok(Inline { client, resume, bind, request_token, fast })
    }
}

impl Bind2 {
    fn read(bind: &Element) -> Self {
        let enable = bind.child("enable", SM_NS).and_then(|enable| match sm::Said::read(enable) {
            Some(sm::Said::Enable { resume, max }) => Some(Enable { resume, max }),
            _ => None,
        });
        let others = bind.children().filter(|child| ![BIND2_NS, SM_NS, CSI_NS].contains(&child.ns()));
        Bind2 {
            tag: bind.child("tag", BIND2_NS).map(Element::text).filter(|tag| !tag.is_empty()),
            enable,
            inactive: bind.child("inactive", CSI_NS).is_some(),
            features: others.cloned().collect(),
        }
    }
}

impl Fast {
    fn read(element: &Element) -> Result<Self, SaslCondition> {
        let count = match element.attr("count").map(str::parse::<u32>) {
            None => None,
            Some(Ok(count)) => Some(count),
            Some(Err(_)) => return Err(SaslCondition::MalformedRequest),
        };
        let invalidate = match element.attr("invalidate") {
            Some("1" | "true") => true,
            None | Some("0" | "false") => false,
            Some(_) => return Err(SaslCondition::MalformedRequest),
        };
        Ok(Fast { count, invalidate })
    }
}

/// XEP-0388 §8, the type `Uuid` of its schema.
fn client_id(text: &str) -> Result<String, SaslCondition> {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lengths == [8, 4, 4, 4, 12] && groups.iter().all(hex) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(SaslCondition::MalformedRequest)
    }
}

pub(super) fn challenge(data: &[u8]) -> Element {
    sasl::element("challenge", SASL2_NS, data)
}

/// XEP-0388 §2.6.2.
pub(super) fn failure(condition: SaslCondition) -> Element {
    Element::new("failure", SASL2_NS).with_child(Element::new(condition.name(), SASL_NS))
}

/// XEP-0388 §2.6.1.
pub(super) fn success(account: &BareJid, data: &[u8], inlined: &Inlined) -> Element {
    let Inlined { resumed, bound, token } = inlined;
    let mut success = Element::new("success", SASL2_NS);
    if !data.is_empty() {
        success.push(sasl::element("additional-data", SASL2_NS, data));
    }
    // A bare JID, unless resource binding or a resumption has occurred.
    let identifier = match (resumed, bound) {
        (Some(Ok(resumed)), _) => resumed.jid.to_string(),
        (_, Some(Ok(bound))) => bound.jid.to_string(),
        _ => account.to_string(),
    };
    success.push(Element::new("authorization-identifier", SASL2_NS).with_text(identifier));
    match resumed {
        Some(Ok(Resumed { previd, h, .. })) => success.push(sm::resumed(previd, *h)),
        Some(Err(refusal)) => success.push(sm::failed(*refusal)),
        None => {}
    }
    if let Some(Ok(bound)) = bound {
        success.push(Element::new("bound", BIND2_NS).with_children(bound.elements.iter().cloned()));
    }
    if let Some(FastToken { token, expiry }) = token {
        let element = Element::new("token", FAST_NS).with_attr("expiry", expiry.to_string()).with_attr("token", token);
        success.push(element);
    }
    success
}

impl std::fmt::Debug for FastToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FastToken {{ expiry: {:?} }}", self.expiry)
    }
}
