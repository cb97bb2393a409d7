//! What can happen to a stream.

use super::bind::BindRefusal;
use super::error::StreamError;
use super::header::Header;
use super::sasl::ScramOffer;
use super::sm::SmRefusal;
use crate::jid::FullJid;
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
    /// The handshake asked for by [`Output::StartTls`](super::Output::StartTls) is complete.
    TlsDone,
    /// That handshake failed.
    TlsFailed,
    /// What `access` says to the question that was asked.
    Credentials(Answer),
    /// The resource is bound: the address of this session from now on.
    Bound(FullJid),
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

/// The answer to [`Output::AskScram`](super::Output::AskScram) or
/// [`Output::AskPassword`](super::Output::AskPassword).
#[derive(Clone, Debug)]
pub enum Answer {
    /// The keys to hold the exchange with, a decoy's where the account cannot use them.
    Scram(ScramOffer),
    /// The password is right.
    Right,
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
