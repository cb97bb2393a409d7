//! What the server counts of itself where it happens: limits that were hit, logins, sessions.
//!
//! Every label is a value of a closed enum, so that there are as many series as there are, whoever
//! comes: never an account, an address or a node. Counting is one relaxed addition to a number of its
//! own; nothing here is locked. One [`Counts`] belongs to one server, and is handed to the rooms that
//! count. Not here: how the numbers are shown (`http`), and what a room can tell when it is asked
//! (`server`).

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The values that a label can have.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];

    /// As it is shown: lower case, words joined by `-`, but for the names of mechanisms.
    fn name(self) -> &'static str;

    /// Its place in `ALL`.
    fn index(self) -> usize;
}

/// One number for each value of a label.
pub struct Family<L>(Box<[AtomicU64]>, PhantomData<L>);

/// One number for each pair of values of two labels.
pub struct Grid<A, B>(Box<[AtomicU64]>, PhantomData<(A, B)>);

/// All that is counted.
#[derive(Debug, Default)]
pub struct Counts {
    pub limits: Family<Limit>,
    pub logins: Grid<Credential, LoginResult>,
    pub resumptions: Family<ResumeResult>,
    pub xml: Family<XmlReason>,
    pub sessions: Grid<SessionKind, SessionState>,
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$why:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$why])* $value,)+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$($name::$value,)+];

            fn name(self) -> &'static str {
                match self { $($name::$value => $text,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// A limit that somebody has hit. `docs/operations.md` says which setting each is of.
    Limit {
        /// An address opens connections faster than it may: this one had to wait, or was turned away.
        ConnectionRate = "connection-rate",
        /// As many connections of an address are unauthenticated as may be.
        PendingAuthentications = "pending-authentications",
        /// A connection that stood at the gate for too long was closed.
        GateDeadline = "gate-deadline",
        HandshakeDeadline = "handshake-deadline",
        /// From the first byte to a bound resource.
        NegotiationDeadline = "negotiation-deadline",
        /// Nothing was heard for too long.
        IdleDeadline = "idle-deadline",
        /// Nothing that was written was taken for too long.
        WriteDeadline = "write-deadline",
        AckDeadline = "ack-deadline",
        StanzaRate = "stanza-rate",
        ByteRate = "byte-rate",
        SessionsPerAccount = "sessions-per-account",
        AnonymousSessions = "anonymous-sessions",
        /// More is unacknowledged than may be, and the session ended.
        SmQueue = "sm-queue",
        HibernatedSessions = "hibernated-sessions",
        RosterItems = "roster-items",
        BlockedAddresses = "blocked-addresses",
        /// A message was not kept for somebody who is away.
        OfflineMessages = "offline-messages",
        Registrations = "registrations",
        /// A user is shut out from an address after too many failures.
        AuthFailures = "auth-failures",
        PasswordChecks = "password-checks",
        BoshSessions = "bosh-sessions",
        WatchesPerAccount = "watches-per-account",
        HttpRate = "http-rate",
        HttpConnections = "http-connections",
        /// A connection could not be accepted.
        Descriptors = "descriptors",
    }
}

label! {
    /// By what somebody says who he is: SASL's mechanisms by their names, and what HTTP and components have.
    Credential {
        External = "EXTERNAL",
        ScramSha1 = "SCRAM-SHA-1",
        ScramSha256 = "SCRAM-SHA-256",
        ScramSha512 = "SCRAM-SHA-512",
        ScramSha1Plus = "SCRAM-SHA-1-PLUS",
        ScramSha256Plus = "SCRAM-SHA-256-PLUS",
        ScramSha512Plus = "SCRAM-SHA-512-PLUS",
        OauthBearer = "OAUTHBEARER",
        Plain = "PLAIN",
        Anonymous = "ANONYMOUS",
        FastExporter = "HT-SHA-256-EXPR",
        FastEndPoint = "HT-SHA-256-ENDP",
        FastNone = "HT-SHA-256-NONE",
        /// A mechanism that is not known here.
        Unknown = "unknown",
        Component = "component",
        ApiToken = "api-token",
        Jwt = "jwt",
        Basic = "basic",
    }
}

label! {
    LoginResult {
        Success = "success",
        /// Wrong, whatever of it: unknown user, wrong password, disabled account.
        Refused = "refused",
        Expired = "expired",
        /// Too many failures, too much to do, or a failure of ours.
        Later = "later",
        Aborted = "aborted",
        Malformed = "malformed",
        /// A mechanism that was not offered.
        NotOffered = "not-offered",
    }
}

label! {
    /// How an attempt to resume a session ended (XEP-0198 §5).
    ResumeResult {
        Resumed = "resumed",
        /// It is not known, or belongs to somebody else.
        Unknown = "unknown",
        /// It was here, and is over.
        Ended = "ended",
        /// The peer claims what cannot be.
        FalseAck = "false-ack",
        Refused = "refused",
    }
}

label! {
    /// Why the XML of a stream was refused.
    XmlReason {
        NotWellFormed = "not-well-formed",
        Restricted = "restricted",
        Encoding = "encoding",
        StrayText = "stray-text",
        TooBig = "too-big",
        TokenTooBig = "token-too-big",
        TooDeep = "too-deep",
        TooManyElements = "too-many-elements",
        TooManyAttributes = "too-many-attributes",
        TooManyNamespaces = "too-many-namespaces",
        TooMuchWhitespace = "too-much-whitespace",
    }
}

label! {
    /// By which way a peer has come.
    SessionKind {
        StartTls = "starttls",
        DirectTls = "direct-tls",
        WebSocket = "websocket",
        Bosh = "bosh",
        Component = "component",
        /// The server that we are a component of.
        Upstream = "upstream",
    }
}

label! {
    SessionState {
        Negotiating = "negotiating",
        Connected = "connected",
        /// Without a connection, to be resumed.
        Hibernating = "hibernating",
    }
}

impl Counts {
    pub fn hit(&self, limit: Limit) {
        self.limits.add(limit);
    }

    pub fn login(&self, by: Credential, result: LoginResult) {
        self.logins.at(by, result).fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a session for as long as what is returned is held.
    #[must_use]
    pub fn session(self: &Arc<Self>, kind: SessionKind, state: SessionState) -> Present {
        self.sessions.at(kind, state).fetch_add(1, Ordering::Relaxed);
        Present { counts: self.clone(), kind, state }
    }
}

/// A session that is counted.
pub struct Present {
    counts: Arc<Counts>,
    kind: SessionKind,
    state: SessionState,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.counts.sessions.at(self.kind, self.state).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Credential {
    /// The mechanism of SASL of this name.
    pub fn of_mechanism(name: &str) -> Self {
        let known = Credential::ALL.iter().take_while(|known| **known != Credential::Unknown);
        known.copied().find(|known| known.name() == name).unwrap_or(Credential::Unknown)
    }
}

impl<L: Label> Family<L> {
    pub fn add(&self, value: L) {
        self.0[value.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Every value with its number, in their order.
    pub fn read(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().map(|value| (*value, self.0[value.index()].load(Ordering::Relaxed)))
    }
}

impl<A: Label, B: Label> Grid<A, B> {
    fn at(&self, one: A, other: B) -> &AtomicU64 {
        &self.0[one.index() * B::ALL.len() + other.index()]
    }

    /// Every pair with its number, in their order.
    pub fn read(&self) -> impl Iterator<Item = (A, B, u64)> {
        let pairs = A::ALL.iter().flat_map(|one| B::ALL.iter().map(|other| (*one, *other)));
        pairs.map(|(one, other)| (one, other, self.at(one, other).load(Ordering::Relaxed)))
    }
}

impl<L: Label> Default for Family<L> {
    fn default() -> Self {
        Family(L::ALL.iter().map(|_| AtomicU64::new(0)).collect(), PhantomData)
    }
}

impl<A: Label, B: Label> Default for Grid<A, B> {
    fn default() -> Self {
        Grid((0..A::ALL.len() * B::ALL.len()).map(|_| AtomicU64::new(0)).collect(), PhantomData)
    }
}

impl<L> fmt::Debug for Family<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl<A, B> fmt::Debug for Grid<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn stands<L: Label>() {
        let names: BTreeSet<&str> = L::ALL.iter().map(|value| value.name()).collect();
        assert_eq!(names.len(), L::ALL.len(), "no name is given twice");
        for (place, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), place);
        }
    }

    #[test]
    fn each_value_has_a_name_and_a_number_of_its_own() {
        stands::<Limit>();
        stands::<Credential>();
        stands::<LoginResult>();
        stands::<ResumeResult>();
        stands::<XmlReason>();
        stands::<SessionKind>();
        stands::<SessionState>();
    }

    #[test]
    fn pairs_are_counted_apart_and_sessions_as_long_as_they_are() {
        let counts = Arc::new(Counts::default());
        let one = counts.session(SessionKind::Bosh, SessionState::Connected);
        let other = counts.session(SessionKind::WebSocket, SessionState::Hibernating);
        let shown = |counts: &Counts| -> Vec<(SessionKind, SessionState, u64)> {
            counts.sessions.read().filter(|(_, _, count)| *count > 0).collect()
        };
        let (websocket, bosh) =
            ((SessionKind::WebSocket, SessionState::Hibernating, 1), (SessionKind::Bosh, SessionState::Connected, 1));
        assert_eq!(shown(&counts), [websocket, bosh]);
        drop(other);
        assert_eq!(shown(&counts), [bosh]);
        drop(one);
        assert!(shown(&counts).is_empty());
    }

    #[test]
    fn only_mechanisms_are_found_by_their_names() {
        assert_eq!(Credential::of_mechanism("SCRAM-SHA-256-PLUS"), Credential::ScramSha256Plus);
        assert_eq!(Credential::of_mechanism("basic"), Credential::Unknown);
        assert_eq!(Credential::of_mechanism("DIGEST-MD5"), Credential::Unknown);
    }
}
