//! Accounts: adding, listing, importing, changing, removing. For administrators; whoever calls has
//! asked who is calling.

use std::fmt;
use std::ops::ControlFlow;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::check::prepare;
use super::token::LOCAL_TOKEN_ID;
use super::verifier::{self, ITERATIONS_GENERATED};
use super::{Access, Inner, ScopeError, VerifierKind};
use crate::jid::{BareJid, JidError};
use crate::store::{Account, AccountTotals, Failure, Verifier};

/// A password on its way to a verifier.
#[derive(Clone)]
pub enum NewPassword {
    /// Somebody chose it: it gets the configured cost.
    Chosen(String),
    /// It was drawn with [`super::random_text`] of 22 characters or more: a small cost is enough.
    Generated(String),
}

/// An account that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// A name, which the first domain completes, or a bare JID of one of the domains.
    pub name: String,
    pub password: NewPassword,
    pub admin: bool,
    /// The configured kind where absent.
    pub verifier: Option<VerifierKind>,
}

/// Why an account or a token was not changed. Nothing was done, but for `Failed(Failure::Unknown)`.
#[derive(Clone, Debug, PartialEq)]
pub enum NotDone {
    Name(String, JidError),
    /// The account would be of a host that is not served here.
    ForeignDomain(String),
    /// Empty, longer than 1023 bytes, or with a character that OpaqueString forbids (RFC 8265 §4.2).
    Password,
    Exists(BareJid),
    NoSuchUser(BareJid),
    /// Nobody would be left to administer the server.
    LastAdmin(BareJid),
    NoSuchToken(String),
    Scope(ScopeError),
    /// An entry of an import, counted from 0; those before its piece are done.
    Entry(u64, Box<NotDone>),
    Failed(Failure),
}

impl Access {
    /// The account that a name stands for: `NAME` at the first domain, or a bare JID of a domain that
    /// is served here.
    pub fn user(&self, name: &str) -> Result<BareJid, NotDone> {
        let options = &self.inner.options;
        let first = options.domains.first().map_or("localhost", String::as_str);
        let parsed = if name.contains('@') { BareJid::parse(name) } else { BareJid::new(Some(name), first) };
        let jid = parsed.map_err(|why| NotDone::Name(name.to_owned(), why))?;
        if options.domains.iter().any(|domain| domain == jid.domain()) {
            Ok(jid)
        } else {
            Err(NotDone::ForeignDomain(jid.domain().to_owned()))
        }
    }

    pub async fn add_user(&self, new: NewUser) -> Result<BareJid, NotDone> {
        let jid = self.user(&new.name)?;
        let kind = new.verifier.unwrap_or(self.inner.options.verifier);
        let verifier = self.inner.make_verifier(kind, new.password).await?;
        let _changing = self.inner.changing.lock().await;
        if self.inner.store.account(jid.clone()).await.map_err(NotDone::Failed)?.is_some() {
            return Err(NotDone::Exists(jid));
        }
        let created = self.inner.clock.now();
        let account = Account { jid: jid.clone(), verifier, admin: new.admin, disabled: false, created };
        self.inner.store.put_account(account).await.map_err(NotDone::Failed)?;
        Ok(jid)
    }

    /// An account that is taken for this one by whoever only looks (UTS #39 §4), if there is one.
    pub async fn looks_like(&self, jid: &BareJid) -> Result<Option<BareJid>, NotDone> {
        let alike = self.inner.store.accounts_like(jid.clone(), 1).await.map_err(NotDone::Failed)?;
        Ok(alike.into_iter().next())
    }

    pub async fn account(&self, jid: &BareJid) -> Result<Option<Account>, NotDone> {
        self.inner.store.account(jid.clone()).await.map_err(NotDone::Failed)
    }

    /// Accounts after the given one, ordered by JID; at most `max`.
    pub async fn list_users(&self, after: Option<BareJid>, max: usize) -> Result<Vec<Account>, NotDone> {
        self.inner.store.accounts(after, max).await.map_err(NotDone::Failed)
    }

    /// How many accounts there are.
    pub async fn totals(&self) -> Result<AccountTotals, NotDone> {
        self.inner.store.account_totals().await.map_err(NotDone::Failed)
    }

    /// Gives an account another password of the same kind. What was opened with the old one is cut, and
    /// the account's API tokens are revoked, but for the data directory's own; answers how many. Its
    /// tokens of FAST are gone too.
    pub async fn set_password(&self, jid: &BareJid, password: NewPassword) -> Result<usize, NotDone> {
        let kind = VerifierKind::of(&self.inner.existing(jid).await?.verifier);
        let verifier = self.inner.make_verifier(kind, password).await?;
        let _changing = self.inner.changing.lock().await;
        let account = self.inner.existing(jid).await?;
        let changed = self.inner.store.put_account(Account { verifier, ..account }).await;
        // Cut in any case: a write whose outcome is unknown may have been done.
        self.inner.revocations.cut_account(jid);
        changed.map_err(NotDone::Failed)?;
        self.inner.store.remove_fast_tokens(jid.clone()).await.map_err(NotDone::Failed)?;
        let mut revoked = 0;
        for token in self.inner.store.tokens(Some(jid.clone())).await.map_err(NotDone::Failed)? {
            if token.id != LOCAL_TOKEN_ID {
                self.inner.store.remove_token(token.id).await.map_err(NotDone::Failed)?;
                revoked += 1;
            }
        }
        self.inner.revocations.cut_account(jid);
        Ok(revoked)
    }

    /// Shuts an account out, or lets it in again. Its data and tokens stay.
    pub async fn set_disabled(&self, jid: &BareJid, disabled: bool) -> Result<(), NotDone> {
        let _changing = self.inner.changing.lock().await;
        let account = self.inner.existing(jid).await?;
        if disabled {
            self.inner.keep_an_admin(&account).await?;
        }
        let changed = self.inner.store.put_account(Account { disabled, ..account }).await;
        if disabled {
            self.inner.revocations.cut_account(jid);
        }
        changed.map_err(NotDone::Failed)
    }

    /// Lets an account administer the server, or not any more: then what it has open is cut.
    pub async fn set_admin(&self, jid: &BareJid, admin: bool) -> Result<(), NotDone> {
        let _changing = self.inner.changing.lock().await;
        let account = self.inner.existing(jid).await?;
        if account.admin == admin {
            return Ok(());
        }
        if !admin {
            self.inner.keep_an_admin(&account).await?;
        }
        let changed = self.inner.store.put_account(Account { admin, ..account }).await;
        // What is open has the rights with which it was opened.
        self.inner.revocations.cut_account(jid);
        changed.map_err(NotDone::Failed)
    }

    /// Removes an account and its tokens.
    pub async fn remove_user(&self, jid: &BareJid) -> Result<(), NotDone> {
        let _changing = self.inner.changing.lock().await;
        if let Some(account) = self.account(jid).await? {
            self.inner.keep_an_admin(&account).await?;
        }
        let removed = self.inner.store.remove_account(jid.clone()).await;
        self.inner.revocations.cut_account(jid);
        if removed.map_err(NotDone::Failed)? { Ok(()) } else { Err(NotDone::NoSuchUser(jid.clone())) }
    }

    /// Adds many accounts of the configured kind, piece by piece: each piece of [`IMPORT_PIECE`] is
    /// written in one transaction, after which `progress` hears how many are done in all and may stop
    /// the import. An account that is there gets the password and keeps its rights and its API tokens,
    /// so that an import that broke off can be begun again. Answers how many were done.
    pub async fn import_users(
        &self,
        users: impl IntoIterator<Item = (String, String)> + Send,
        mut progress: impl FnMut(u64) -> ControlFlow<()> + Send,
    ) -> Result<u64, NotDone> {
        let mut users = users.into_iter().collect::<Vec<_>>().into_iter();
        let mut done = 0;
        loop {
            let piece: Vec<_> = users.by_ref().take(IMPORT_PIECE).collect();
            if piece.is_empty() {
                return Ok(done);
            }
            let count = piece.len() as u64;
            self.import_piece(piece, done).await?;
            done += count;
            if progress(done).is_break() {
                return Ok(done);
            }
        }
    }

    async fn import_piece(&self, piece: Vec<(String, String)>, before: u64) -> Result<(), NotDone> {
        let at = |index: usize, why| NotDone::Entry(before + index as u64, Box::new(why));
        let mut jids = Vec::with_capacity(piece.len());
        for (index, (name, password)) in piece.iter().enumerate() {
            jids.push(self.user(name).map_err(|why| at(index, why))?);
            prepare(password).ok_or_else(|| at(index, NotDone::Password))?;
        }
        let kind = self.inner.options.verifier;
        // As many at once as may run, so that everybody else's checks wait for one of them at most.
        let making = piece.into_iter().map(|(_, password)| {
            let inner = self.inner.clone();
            async move { inner.make_verifier(kind, NewPassword::Chosen(password)).await }
        });
        let at_once = self.inner.options.checks_at_once.max(1);
        let verifiers: Vec<_> = stream::iter(making).buffered(at_once).try_collect().await?;
        let _changing = self.inner.changing.lock().await;
        let created = self.inner.clock.now();
        let mut accounts = Vec::with_capacity(jids.len());
        let mut replaced = Vec::new();
        for (jid, verifier) in jids.iter().zip(verifiers) {
            let there = self.inner.store.account(jid.clone()).await.map_err(NotDone::Failed)?;
            accounts.push(match there {
                Some(account) => {
                    replaced.push(jid.clone());
                    Account { verifier, ..account }
                }
                None => Account { jid: jid.clone(), verifier, admin: false, disabled: false, created },
            });
        }
        let written = self.inner.store.put_accounts(accounts).await;
        for jid in &jids {
            self.inner.revocations.cut_account(jid);
        }
        written.map_err(NotDone::Failed)?;
        for jid in replaced {
            self.inner.store.remove_fast_tokens(jid).await.map_err(NotDone::Failed)?;
        }
        Ok(())
    }
}

impl Inner {
    pub async fn existing(&self, jid: &BareJid) -> Result<Account, NotDone> {
        let account = self.store.account(jid.clone()).await.map_err(NotDone::Failed)?;
        account.ok_or_else(|| NotDone::NoSuchUser(jid.clone()))
    }

    /// Refuses where nobody but this account administers the server. To be asked while nothing else
    /// changes.
    async fn keep_an_admin(&self, account: &Account) -> Result<(), NotDone> {
        if !account.admin || account.disabled {
            return Ok(());
        }
        let totals = self.store.account_totals().await.map_err(NotDone::Failed)?;
        if totals.admins > 1 { Ok(()) } else { Err(NotDone::LastAdmin(account.jid.clone())) }
    }

    async fn make_verifier(&self, kind: VerifierKind, password: NewPassword) -> Result<Verifier, NotDone> {
        let (text, iterations) = match &password {
            NewPassword::Chosen(text) => (text, self.options.scram_iterations),
            NewPassword::Generated(text) => (text, self.options.scram_iterations.min(ITERATIONS_GENERATED)),
        };
        let text = prepare(text).ok_or(NotDone::Password)?;
        let failed = || NotDone::Failed(Failure::Refused(MAKING_FAILED.to_owned()));
        let permit = self.checks.turn_of_administrator().await.ok_or_else(failed)?;
        let made = tokio::task::spawn_blocking(move || {
            let verifier = verifier::make(kind, &text, iterations);
            drop(permit);
            verifier
        });
        made.await.map_err(|_| failed())
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NewPassword::Chosen(_) => "Chosen",
            NewPassword::Generated(_) => "Generated",
        })
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotDone::Name(name, why) => write!(f, "{name:?} cannot be the name of an account: {why}"),
            NotDone::ForeignDomain(domain) => write!(f, "{domain} is not a host of this server"),
            NotDone::Password => f.write_str(
                "the password cannot be used: it is empty, longer than 1023 bytes, or holds a control character",
            ),
            NotDone::Exists(jid) => write!(f, "there is an account {jid} already"),
            NotDone::NoSuchUser(jid) => write!(f, "there is no account {jid}"),
            NotDone::LastAdmin(jid) => {
                write!(f, "{jid} is the last administrator: make another account one first")
            }
            NotDone::NoSuchToken(id) => write!(f, "there is no token {id:?}"),
            NotDone::Scope(why) => why.fmt(f),
            NotDone::Entry(index, why) => write!(f, "entry {}: {why}", index + 1),
            NotDone::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for NotDone {}

/// Accounts that an import writes in one transaction.
pub const IMPORT_PIECE: usize = 256;

const MAKING_FAILED: &str = "the making of a password's verifier ended before its time";
