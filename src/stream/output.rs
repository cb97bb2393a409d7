//! What is to be done about it.

use std::fmt;

use super::sasl::{Mechanism, SaslCondition, ScramHash};
use super::sasl2::Inline;
use crate::jid::{BareJid, FullJid};
use crate::xml::Element;

/// One thing to do. They are to be carried out in the order in which they stand.
#[derive(Clone, Debug)]
pub enum Output {
    /// Bytes for the peer: one whole element, or the header or end of our stream.
    Write(Vec<u8>),
    /// Begin the TLS handshake as its server, once all is written, then say
    /// [`Input::TlsDone`](super::Input::TlsDone). Whatever was read behind `<starttls/>` came in the
    /// clear: where there is any, the connection is to be dropped instead (security row T1).
    StartTls,
    /// The next bytes begin a new document: a fresh parser. Bytes already read but not parsed are kept;
    /// after TLS there are none.
    ResetParser,
    /// Ask for the account's keys. Answer with [`Input::Credentials`](super::Input::Credentials).
    AskScram { account: BareJid, hash: ScramHash },
    /// Ask whether this is the account's password, which is as the client sent it: not yet prepared.
    AskPassword { account: BareJid, password: Password },
    /// A SCRAM exchange came to its last message, and so it ended. An exchange that the peer gave up
    /// before is not reported: nothing was guessed.
    ScramEnded { account: BareJid, success: bool },
    /// Ask whether this account, which the peer's certificate names, may log in.
    AskCertified { account: BareJid },
    /// Ask for an account that is made for this session, at the host that the stream was opened to.
    AskAnonymous,
    /// Ask which account this token of OAuth opens. Answer with [`Answer::Account`](super::Answer::Account).
    AskBearer { token: Password },
    /// Make an account, and answer with [`Input::Registered`](super::Input::Registered).
    AskRegister { account: BareJid, password: Password },
    /// Ask whether a token is right. Answer with [`Answer::Token`](super::Answer::Token).
    AskToken(Box<TokenProof>),
    /// Do what the peer wants beside being authenticated (XEP-0388 §2.6.1). Answer with
    /// [`Input::Inlined`](super::Input::Inlined).
    AskInline(Box<InlineAsk>),
    /// Bind a resource, the one asked for (already prepared) or one made by the server, at random.
    /// Answer with [`Input::Bound`](super::Input::Bound) or [`Input::BindRefused`](super::Input::BindRefused).
    AskBind { account: BareJid, resource: Option<String> },
    /// The peer has proved that it speaks for the account: the limits of those who have hold from here on.
    Authenticated { account: BareJid, mechanism: Option<Mechanism> },
    /// An attempt to authenticate has failed; absent is the mechanism that is not known.
    AuthFailed { mechanism: Option<Mechanism>, condition: SaslCondition },
    /// Negotiation is complete: stanzas may flow both ways.
    Established { jid: FullJid },
    /// A stanza of the peer, its `from` set to the peer's full JID (RFC 6120 §8.1.2.1).
    Stanza(Element),
    /// A stanza of ours that answers one of the peer's: both count (XEP-0198 §4).
    Reply(Vec<u8>),
    /// Begin stream management, and say so (XEP-0198 §3). `max` is for how many seconds the peer would
    /// like to be waited for.
    EnableSm { resume: bool, max: Option<u32> },
    /// Find this session of the account, which the peer wants to resume, having received `h` stanzas
    /// (XEP-0198 §5). Answer with [`Input::Resumed`](super::Input::Resumed) or
    /// [`Input::ResumeRefused`](super::Input::ResumeRefused).
    AskResume { account: BareJid, previd: String, h: u32 },
    /// The peer asks which of its stanzas are handled.
    AckAsked,
    /// Somebody looks at the client, or nobody does (XEP-0352).
    ClientState { active: bool },
    /// The peer has handled so many stanzas.
    Acknowledged(u32),
    /// Nothing more will be written. Flush, send TLS close_notify, shut down the writing side. With
    /// `linger` the peer has not closed its stream yet: read and drop what it sends for a short time,
    /// so that what was written is not lost to a reset (RFC 6120 §4.4); without, let go at once.
    Close { linger: bool },
}

/// A token's proof of itself (XEP-0484 §3.4).
#[derive(Clone)]
pub struct TokenProof {
    pub account: BareJid,
    /// The installation that the token was given to.
    pub client: String,
    pub mechanism: Mechanism,
    /// The data of the channel; empty without binding.
    pub binding: Vec<u8>,
    /// HMAC-SHA-256 over `Initiator` and the binding, keyed with the token.
    pub proof: Vec<u8>,
    pub count: Option<u32>,
    pub invalidate: bool,
}

/// What an account that has authenticated by SASL2 asks for with it.
#[derive(Clone, Debug)]
pub struct InlineAsk {
    pub account: BareJid,
    pub inline: Inline,
}

/// A password on its way to be checked. It is never printed.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub(super) fn new(text: &str) -> Self {
        Password(text.to_owned())
    }

    /// The password as the client sent it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenProof {{ account: {}, mechanism: {:?} }}", self.account, self.mechanism)
    }
}

/// Appends bytes for the peer.
pub(super) fn write(out: &mut Vec<Output>, bytes: &[u8]) {
    out.push(Output::Write(bytes.to_vec()));
}

/// Appends an element as a child of our stream, whose default namespace is `jabber:client`.
pub(super) fn write_element(out: &mut Vec<Output>, element: &Element) {
    write(out, &bytes_of(element));
}

/// An element as it stands in our stream.
pub(super) fn bytes_of(element: &Element) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    element.write(&mut bytes, super::CLIENT_NS);
    bytes
}
