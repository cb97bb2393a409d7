//! What can happen to a stream.

use super::bind::BindRefusal;
use super::error::StreamError;
use super::header::Header;
use super::registration::RegisterRefusal;
use super::sasl::ScramOffer;
use super::sasl2::Inlined;
use super::secured::Secured;
use super::sm::SmRefusal;
use crate::jid::{BareJid, FullJid};
use crate::xml::Element;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The peer opened its stream.
    Header(Header),
    /// The peer sent a whole child of its stream.
    Element(Element),
    /// The peer closed its stream.
    End,
    /// The handshake asked for by [`Output::StartTls`](super::Output::StartTls) is complete, and yielded
    /// this.
    TlsDone(Box<Secured>),
    /// That handshake failed.
    TlsFailed,
    /// What `access` says to the question that was asked.
    Credentials(Answer),
    /// The account that was asked for is made, or is not.
    Registered(Option<RegisterRefusal>),
    /// The resource is bound: the address of this session from now on.
    Bound(FullJid),
    /// What came of [`Output::AskInline`](super::Output::AskInline).
    Inlined(Box<Inlined>),
    /// The resource is refused; the peer may try another.
    BindRefused(BindRefusal),
    /// The session of before goes on over this stream: its address, its id, and how many stanzas of
    /// the peer it has received.
    Resumed { jid: FullJid, previd: String, h: u32 },
    /// There is no such session; the peer may bind.
    ResumeRefused(SmRefusal),
    /// What came is not XML, or not what this server reads, or too much.
    Malformed(StreamError),
    /// A deadline of the session has passed: `connection-timeout`.
    Timeout,
}

/// The answer to a question about credentials.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The keys to hold the exchange with, a decoy's where the account cannot use them.
    Scram(ScramOffer),
    /// The password is right; the account that a certificate names may log in.
    Right,
    /// The token is right; this proves to the client that the server knows it too.
    Token(Vec<u8>),
    /// The account that was made, or that a token was issued for.
    Account(BareJid),
    Denied(Denial),
}

/// Why credentials are refused, as far as the peer may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Unknown, disabled or wrong, which the peer cannot tell apart: `not-authorized`.
    Wrong,
    /// Too many failures, or the server cannot say now: `temporary-auth-failure`.
    Later,
    /// The secret was right, and has expired: `credentials-expired`.
    Expired,
}
