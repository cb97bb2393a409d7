//! Who is calling: passwords, SCRAM keys, API tokens, tokens of trusted issuers and of FAST, tickets,
//! certificates. SASL and HTTP ask the same question here.
//!
//! Passwords are prepared by OpaqueString (RFC 8265 §4.2) and kept as SCRAM keys (RFC 5802 §3) or as
//! an Argon2id hash, never as both. Checking one is expensive, so it happens on a bounded pool, behind
//! a throttle ([`throttle`]) and a short memory of what was found right. API tokens are random and
//! cheap to check.
//!
//! Rights that end: each [`Login`] bears the moment at which it was made. When an account is removed,
//! disabled or gets another password, or a token is revoked, [`Access::still_valid`] says no for the
//! logins made before, and [`Access::revocations`] wakes whoever holds one open.
//!
//! Not here: what the caller may do to a node (`pubsub`), and what a SASL exchange looks like
//! (`stream`).

mod accounts;
mod certificate;
mod check;
mod fast;
mod jwt;
mod pool;
mod recent;
mod registration;
mod revocation;
mod scope;
#[cfg(test)]
mod tests;
mod throttle;
mod tickets;
mod token;
mod tokens;
mod verifier;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::jid::BareJid;
use crate::store::{Failure, ScramKeys, Store};
use crate::time::{Clock, Timestamp};

pub use accounts::{IMPORT_PIECE, NewPassword, NewUser, NotDone};
pub use certificate::Stay;
pub use fast::{FastLogin, FastProof, IssuedFastToken};
pub use jwt::{Fetch, Fetched, Issuer, JwtAlgorithm, KEY_SET_BYTES_MAX, KeySource};
pub use registration::Unregistered;
pub use scope::{ScopeError, Scopes, matches as glob_matches};
pub use tickets::{IssuedTicket, TICKET_SECONDS_MAX, TooManyTickets};
pub use token::{LOCAL_TOKEN_ID, random_text};
pub use tokens::{IssuedToken, NewToken};
pub use verifier::{ITERATIONS_MIN, VerifierKind};

/// The gatekeeper, to be cloned and handed about.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

/// What the gatekeeper goes by. Each number is a limit or a cost.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hosts whose accounts are kept here; the first completes a name without a domain.
    pub domains: Vec<String>,
    /// The kind of verifier that most accounts have: what an unknown account's decoy costs.
    pub verifier: VerifierKind,
    /// PBKDF2 rounds for new passwords that people choose.
    pub scram_iterations: u32,
    /// Password checks that run at once. The default leaves a core to everybody else.
    pub checks_at_once: usize,
    /// Password checks that wait for their turn; beyond it the answer is [`Denied::Later`].
    pub checks_waiting_max: usize,
    /// Of these, how many may come from one address prefix.
    pub checks_waiting_per_prefix_max: usize,
    /// For how long a right password is remembered, as a keyed hash.
    pub password_cache_seconds: i64,
    pub password_cache_entries_max: usize,
    /// For how long a right token is remembered before the store is asked again.
    pub token_cache_seconds: i64,
    pub token_cache_entries_max: usize,
    /// Wrong passwords of one user from one address prefix, after which that pair must wait.
    pub failures_max: u32,
    /// For how long it must wait, and for how long failures are counted.
    pub failures_block_seconds: i64,
    /// The longest delay of a user who is under attack from elsewhere.
    pub delay_ms_max: u64,
    /// For how long a token of FAST is good.
    pub fast_token_seconds: i64,
    /// After which age a token that is used is replaced.
    pub fast_rotate_seconds: i64,
    /// Clients of one account that have tokens of FAST; those that got theirs first lose them.
    pub fast_clients_max: usize,
    /// Anonymous sessions at a time.
    pub anonymous_sessions_max: usize,
    /// Pairs and users whose failures are remembered.
    pub throttle_entries_max: usize,
    /// Attempts to make an account from one address prefix in an hour (XEP-0077).
    pub registrations_per_hour_max: u32,
    /// Whose JSON Web Tokens are taken.
    pub issuers: Vec<Issuer>,
    /// Fetches their keys, where these have a URL.
    pub fetch: Option<Fetch>,
}

/// Whom a credential speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub account: BareJid,
    /// Whether the caller administers the server. Never with a token that has scopes: those narrow.
    pub admin: bool,
    /// What an API token narrows the account to; absent for passwords and tokens without scopes.
    pub scopes: Option<Scopes>,
    /// When whoever holds this open must close it.
    pub expires: Option<Timestamp>,
    pub proof: Proof,
    /// When and from what this login was made; only [`Access::still_valid`] reads it.
    pub stamp: Stamp,
}

/// What a login was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The account's password.
    Password,
    /// A token of FAST, which is given to those who have shown one or a password.
    Fast,
    Certificate,
    /// An API token or a JWT. Either can be taken back, or ends, while the account stays.
    Bearer,
    /// Nothing: an anonymous session.
    Nothing,
}

impl Proof {
    /// Whether the account itself may be changed with it, its password and whether there is one: who was lent
    /// a token would keep more than it was lent.
    pub fn owns_account(self) -> bool {
        matches!(self, Proof::Password | Proof::Fast | Proof::Certificate)
    }

    /// Whether a token may be had for it that lasts as long as the password does (XEP-0484 §3.3).
    fn lasts_like_password(self) -> bool {
        matches!(self, Proof::Password | Proof::Fast)
    }
}

/// The moment of a login, counted in revocations, and the token that it came from. The default is
/// older than every revocation.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    epoch: u64,
    token: Option<Arc<str>>,
}

/// Why somebody is not let in. Unknown user, wrong password and disabled account are one thing here.
#[derive(Clone, Debug, PartialEq)]
pub enum Denied {
    Wrong,
    /// Too many failures, or too much to do: try again after so many seconds.
    Later {
        seconds: u64,
    },
    Expired,
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramHash {
    Sha1,
    Sha256,
    Sha512,
}

/// What SCRAM needs of an account; of an unknown one, a decoy that nobody can tell from it.
#[derive(Clone, Debug)]
pub struct ScramOffer {
    pub keys: ScramKeys,
    /// False for a decoy: the exchange must fail at its end, whatever the proof.
    pub real: bool,
    pub admin: bool,
    /// Whom a right proof lets in; absent exactly where `real` is false.
    pub login: Option<Login>,
}

impl Access {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, mut options: Options) -> Self {
        options.scram_iterations = options.scram_iterations.max(verifier::ITERATIONS_MIN);
        let decoys = verifier::Decoys::new(store.identity().decoy_key, options.verifier, options.scram_iterations);
        let inner = Inner {
            throttle: throttle::Throttle::new(&options),
            registrations: registration::Registrations::new(
                options.registrations_per_hour_max,
                options.throttle_entries_max,
            ),
            checks: pool::Pool::new(&options),
            delayed: pool::Room::new(DELAYED_MAX, DELAYED_PER_PREFIX_MAX),
            passwords: check::Passwords::new(&options),
            tokens: Mutex::new(recent::Recent::new(options.token_cache_entries_max)),
            issuers: jwt::Issuers::new(
                std::mem::take(&mut options.issuers),
                options.fetch.take(),
                options.token_cache_entries_max,
            ),
            tickets: tickets::Tickets::default(),
            revocations: revocation::Revocations::default(),
            changing: tokio::sync::Mutex::new(()),
            decoys: Arc::new(decoys),
            fast_decoy: fast_decoy(),
            anonymous: Arc::new(tokio::sync::Semaphore::new(options.anonymous_sessions_max)),
            store,
            clock,
            options,
        };
        Access { inner: Arc::new(inner) }
    }

    /// Checks a password as PLAIN and Basic bear it, on the bounded pool, through the short cache.
    pub async fn password(&self, jid: &BareJid, password: &str, peer: IpAddr) -> Result<Login, Denied> {
        self.inner.check_password(jid, password, peer).await
    }

    /// Checks an API token. Nobody is throttled here: 256 random bits are not guessed.
    pub async fn token(&self, token: &str, _peer: IpAddr) -> Result<Login, Denied> {
        self.inner.check_token(token).await
    }

    /// Checks a JSON Web Token of a configured issuer. Nobody is throttled here either.
    pub async fn jwt(&self, token: &str, _peer: IpAddr) -> Result<Login, Denied> {
        self.inner.check_jwt(token).await
    }

    /// The keys with which a SCRAM exchange is held. An account that cannot use SCRAM gets a decoy too.
    pub async fn scram(&self, jid: &BareJid, hash: ScramHash, peer: IpAddr) -> Result<ScramOffer, Denied> {
        self.inner.offer_scram(jid, hash, peer).await
    }

    /// A SCRAM exchange of this account ended so; failures are counted.
    pub fn scram_ended(&self, jid: &BareJid, peer: IpAddr, success: bool) {
        let prefix = throttle::Prefix::of(peer);
        if success {
            self.inner.throttle.succeeded(jid, prefix);
        } else {
            self.inner.throttle.failed(jid, prefix, self.inner.clock.now());
        }
    }

    /// Whether a login still stands: it has not expired, and neither its account nor its token was cut
    /// off since it was made. Costs one atomic read while nothing was revoked since.
    pub fn still_valid(&self, login: &Login) -> bool {
        let expired = login.expires.is_some_and(|expires| expires <= self.inner.clock.now());
        !expired && self.inner.revocations.stands(&login.account, &login.stamp)
    }

    /// Changes whenever something was revoked. Whoever holds a stream open waits for
    /// [`watch::Receiver::changed`] beside its other work, then asks [`Access::still_valid`]; and looks
    /// again when [`Login::expires`] has come.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.inner.revocations.subscribe()
    }
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            domains: vec!["localhost".to_owned()],
            verifier: VerifierKind::Scram,
            scram_iterations: 100_000,
            checks_at_once: cores.saturating_sub(1).max(1),
            checks_waiting_max: 256,
            checks_waiting_per_prefix_max: 128,
            password_cache_seconds: 60,
            password_cache_entries_max: 10_000,
            token_cache_seconds: 60,
            token_cache_entries_max: 10_000,
            failures_max: 10,
            failures_block_seconds: 15 * 60,
            delay_ms_max: 5_000,
            fast_token_seconds: 21 * 86_400,
            fast_rotate_seconds: 86_400,
            fast_clients_max: 32,
            anonymous_sessions_max: 1_000,
            throttle_entries_max: 100_000,
            registrations_per_hour_max: 5,
            issuers: vec![],
            fetch: None,
        }
    }
}

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    options: Options,
    throttle: Arc<throttle::Throttle>,
    registrations: registration::Registrations,
    checks: pool::Pool,
    delayed: Arc<pool::Room>,
    passwords: Arc<check::Passwords>,
    tokens: Mutex<recent::Recent<String, tokens::Known>>,
    issuers: jwt::Issuers,
    tickets: tickets::Tickets,
    revocations: revocation::Revocations,
    /// Held while accounts and tokens are changed, which is to read, to decide and to write.
    changing: tokio::sync::Mutex<()>,
    decoys: Arc<verifier::Decoys>,
    /// What the proofs of tokens that are not there are compared with.
    fast_decoy: [u8; 32],
    /// Places for anonymous sessions.
    anonymous: Arc<tokio::sync::Semaphore>,
}

fn fast_decoy() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the operating system gives random bytes");
    key
}

/// Attempts that sit out a delay; apart from the checks, so that an attack on one user does not take
/// the places of the others.
const DELAYED_MAX: usize = 4_096;
const DELAYED_PER_PREFIX_MAX: usize = 16;
