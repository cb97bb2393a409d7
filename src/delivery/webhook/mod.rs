//! Outbound webhooks: endpoints that are called with what happens at a node.
//!
//! An endpoint is one more watcher with a position, which is kept: it reads the log as every other
//! watcher does, with its owner's rights, and what has failed is parked beside it until it is
//! delivered or given up. Delivery is at least once, signed (standardwebhooks.com), in order where that
//! is asked for.
//!
//! Not here: who may create one and how one is shown (`http`), what the log is (`engine`).

mod breaker;
mod client;
mod event;
mod ledger;
mod schedule;
mod sign;
mod target;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Delivery;
use crate::engine::{Answer, Wrong};
use crate::jid::BareJid;
use crate::pubsub::{Caller, Node, NodeId, Refusal, Reply, Request, Role, Seq, Verb};
use crate::store::{ATTEMPTS_KEPT, Attempted, Failure, Parked, Webhook};
use crate::time::Timestamp;

pub use client::{Resolver, Resolving};
pub use schedule::Schedule;
pub use sign::{secret_key, secret_text};
pub use target::{Networks, Refused};

/// The settings of outbound webhooks.
#[derive(Clone)]
pub struct Options {
    /// Whether endpoints may be called without TLS.
    pub allow_http: bool,
    /// Networks to which webhooks may go though they are not on the internet.
    pub networks: Networks,
    /// For one request, from the resolution of the name to the end of the answer.
    pub timeout: Duration,
    pub schedule: Schedule,
    /// An endpoint that does nothing but fail for so long is not called any more.
    pub disable_after: Duration,
    /// Requests to one endpoint at once, where order does not matter.
    pub in_flight_max: usize,
    /// Failed deliveries of one endpoint that wait for another attempt; with more, nothing new is sent.
    pub retrying_max: usize,
    /// Dead letters of one endpoint that are kept; beyond it the oldest go.
    pub dead_letters_max: u64,
    pub per_node_max: usize,
    /// Roots of trust, as PEM.
    pub ca_file: PathBuf,
    /// Where this server listens: no webhook goes there.
    pub own: Vec<SocketAddr>,
    /// How names are resolved; none for the system's way.
    pub resolver: Option<Resolver>,
}

/// Outbound webhooks, to be cloned and handed about.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    delivery: Delivery,
    client: client::Client,
    signer: sign::Signer,
    options: Options,
    stop: CancellationToken,
    ledger: ledger::Ledger,
    /// Changes whenever an account may have lost what it could do.
    cuts: watch::Receiver<u64>,
    running: Mutex<HashMap<String, Running>>,
    /// Held while an endpoint is created or changed, which is to stop it, to write and to start it.
    changing: tokio::sync::Mutex<()>,
}

struct Running {
    stop: CancellationToken,
    view: Arc<View>,
    task: JoinHandle<()>,
}

/// What can be seen of an endpoint at work.
#[derive(Default)]
struct View {
    open: AtomicBool,
    /// Whether the log is what the store has, and more.
    begun: AtomicBool,
    /// The latest attempts, [`ATTEMPTS_KEPT`] at most; the store follows.
    log: Mutex<VecDeque<Attempted>>,
}

/// What somebody wants an endpoint to be.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    pub owner: Caller,
    pub service: BareJid,
    pub node: NodeId,
    pub url: String,
    pub types: Vec<String>,
    /// The key of the signatures; drawn where there is none.
    pub key: Option<Vec<u8>>,
    pub ordered: bool,
}

/// Why there is no new endpoint.
#[derive(Debug)]
pub enum NotCreated {
    Wrong(Wrong),
    Target(Refused),
    /// The node has as many as it may.
    TooMany(usize),
    /// The endpoint did not answer as it should.
    Challenge(String),
}

/// An endpoint and how it fares.
#[derive(Clone, Debug)]
pub struct Shown {
    pub webhook: Webhook,
    pub retrying: u64,
    pub dead: u64,
    pub breaker_open: bool,
    /// The latest attempts, oldest first.
    pub log: Vec<Attempted>,
}

/// What is delivered once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// One dead letter.
    One(Seq),
    /// Everything that is retained after this position.
    After(Seq),
}

impl Webhooks {
    /// Nothing is sent before [`Webhooks::run`]. `cuts` changes whenever an account may have lost what it
    /// could do: its endpoints ask again.
    pub fn new(
        delivery: Delivery,
        options: Options,
        cuts: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        let client = client::Client {
            tls: tls(&options.ca_file)?,
            resolver: options.resolver.clone().unwrap_or_else(client::system_resolver),
            networks: options.networks.clone(),
            allow_http: options.allow_http,
            own: options.own.clone(),
            timeout: options.timeout,
        };
        let ledger = ledger::Ledger::new(delivery.engine().store().clone());
        let signer = sign::Signer::new(delivery.engine().identity());
        let (running, changing) = (Mutex::default(), tokio::sync::Mutex::new(()));
        let inner = Inner { delivery, client, signer, options, stop, ledger, cuts, running, changing };
        Ok(Webhooks { inner: Arc::new(inner) })
    }

    /// The public half of the key that every delivery is signed with, beside the endpoint's own (Ed25519).
    pub fn public_key(&self) -> [u8; 32] {
        self.inner.signer.public_key()
    }

    /// Takes up every endpoint where it was left; ends when the server stops and all have kept where
    /// they are.
    pub async fn run(self) {
        let mut after = None;
        while !self.inner.stop.is_cancelled() {
            match self.inner.delivery.engine().store().webhooks(after.clone(), START_SLICE).await {
                Ok(slice) if slice.is_empty() => break,
                Ok(slice) => {
                    after = slice.last().map(|webhook| webhook.id.clone());
                    let _changing = self.inner.changing.lock().await;
                    slice.into_iter().filter(|webhook| webhook.disabled.is_none()).for_each(|it| self.spawn(it));
                }
                Err(failure) => {
                    tracing::warn!(%failure, "the webhooks cannot be read");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        self.inner.stop.cancelled().await;
        let _changing = self.inner.changing.lock().await;
        let running: Vec<Running> = lock(&self.inner.running).drain().map(|(_, running)| running).collect();
        for running in running {
            let _ = running.task.await;
        }
    }

    /// Creates an endpoint, once it has shown that it wants to be one.
    pub async fn create(&self, new: NewWebhook) -> Result<Webhook, NotCreated> {
        let inner = &self.inner;
        let node = inner.watched(&new.owner, &new.service, &new.node).await.map_err(NotCreated::Wrong)?;
        let store = inner.delivery.engine().store();
        let failed = |failure| NotCreated::Wrong(Wrong::Failed(failure));
        target::Target::parse(&new.url, inner.options.allow_http).map_err(NotCreated::Target)?;
        let count = async || store.node_webhooks(node.key).await.map(|webhooks| webhooks.len()).map_err(failed);
        let per_node_max = inner.options.per_node_max;
        if count().await? >= per_node_max {
            return Err(NotCreated::TooMany(per_node_max));
        }
        let drawn = |error: getrandom::Error| failed(Failure::Refused(error.to_string()));
        let key = match new.key {
            Some(key) => key,
            None => sign::fresh_key().map_err(drawn)?,
        };
        let id = fresh_id().map_err(drawn)?;
        let webhook = Webhook {
            id,
            address: node.address.clone(),
            node: node.key,
            owner: new.owner.jid.bare().clone(),
            url: new.url,
            types: new.types,
            key,
            ordered: new.ordered,
            created: inner.now(),
            disabled: None,
            failing_since: None,
            position: node.last_seq,
        };
        self.challenge(&webhook).await?;
        let _changing = inner.changing.lock().await;
        if count().await? >= per_node_max {
            return Err(NotCreated::TooMany(per_node_max));
        }
        store.put_webhook(webhook.clone()).await.map_err(failed)?;
        self.spawn(webhook.clone());
        Ok(webhook)
    }

    /// The endpoint must give back what only a request to it has said: nobody makes this server call
    /// somebody who does not know.
    async fn challenge(&self, webhook: &Webhook) -> Result<(), NotCreated> {
        let refused = |error: getrandom::Error| NotCreated::Wrong(Wrong::Failed(Failure::Refused(error.to_string())));
        let (id, challenge) = (fresh_id().map_err(refused)?, fresh_id().map_err(refused)?);
        let body = event::challenge(&id, &webhook.address, &challenge);
        let timestamp = self.inner.now().seconds();
        let outgoing = client::Outgoing {
            id: &id,
            timestamp,
            signature: &self.inner.signer.signatures(&webhook.key, &id, timestamp, body.as_bytes()),
            content_type: "application/cloudevents+json",
            body: Bytes::from(body.clone()),
        };
        match self.inner.client.send(&webhook.url, &client::Pool::default(), &outgoing).await {
            Err(client::Unsent::Refused(refused)) => Err(NotCreated::Target(refused)),
            Err(unsent) => Err(NotCreated::Challenge(unsent.to_string())),
            Ok(answered) if !(200..300).contains(&answered.status) => {
                Err(NotCreated::Challenge(format!("the endpoint answered {}", answered.status)))
            }
            Ok(answered) => {
                let text: String = String::from_utf8_lossy(&answered.body).split_ascii_whitespace().collect();
                let right = text == challenge || text == format!("{{\"challenge\":\"{challenge}\"}}");
                let why = "the endpoint did not answer with the challenge";
                if right { Ok(()) } else { Err(NotCreated::Challenge(why.to_owned())) }
            }
        }
    }

    /// The endpoints of a node.
    pub async fn of(&self, node: &Node) -> Result<Vec<Webhook>, Failure> {
        self.inner.delivery.engine().store().node_webhooks(node.key).await
    }

    pub async fn find(&self, id: &str) -> Result<Option<Webhook>, Failure> {
        self.inner.delivery.engine().store().webhook(id.to_owned()).await
    }

    pub async fn show(&self, webhook: Webhook) -> Result<Shown, Failure> {
        let store = self.inner.delivery.engine().store();
        let (retrying, dead) = store.parked_counts(webhook.id.clone()).await?;
        let view = lock(&self.inner.running).get(&webhook.id).map(|running| running.view.clone());
        let breaker_open = view.as_ref().is_some_and(|view| view.open.load(Ordering::Relaxed));
        let log = match &view {
            Some(view) if view.begun.load(Ordering::Relaxed) => lock(&view.log).iter().cloned().collect(),
            // Nobody delivers there, or not yet.
            _ => store.attempts(webhook.id.clone()).await?,
        };
        Ok(Shown { webhook, retrying, dead, breaker_open, log })
    }

    /// Deliveries that were given up, in the order of the log.
    pub async fn dead_letters(&self, id: &str, after: Seq, max: usize) -> Result<Vec<Parked>, Failure> {
        self.inner.delivery.engine().store().parked(id.to_owned(), true, after, max).await
    }

    /// Whether there was one.
    pub async fn remove(&self, id: &str) -> Result<bool, Failure> {
        let _changing = self.inner.changing.lock().await;
        self.halt(id).await;
        self.inner.delivery.engine().store().remove_webhook(id.to_owned()).await
    }

    /// Delivers again from where it stands, after the endpoint was disabled.
    pub async fn enable(&self, id: &str) -> Result<(), Failure> {
        let _changing = self.inner.changing.lock().await;
        self.halt(id).await;
        let store = self.inner.delivery.engine().store();
        if let Some(mut webhook) = store.webhook(id.to_owned()).await? {
            (webhook.disabled, webhook.failing_since) = (None, None);
            store.put_webhook(webhook.clone()).await?;
            self.spawn(webhook);
        }
        Ok(())
    }

    /// Delivers once more; whether there was anything to deliver.
    pub async fn replay(&self, id: &str, replay: Replay) -> Result<bool, Failure> {
        let _changing = self.inner.changing.lock().await;
        self.halt(id).await;
        let store = self.inner.delivery.engine().store();
        let Some(mut webhook) = store.webhook(id.to_owned()).await? else { return Ok(false) };
        let mut settled = crate::store::Settled {
            id: id.to_owned(),
            position: webhook.position,
            failing_since: None,
            parked: vec![],
            delivered: vec![],
            attempts: vec![],
        };
        let found = match replay {
            Replay::After(seq) => {
                settled.position = seq;
                true
            }
            Replay::One(seq) => {
                let before = Seq(seq.0.saturating_sub(1));
                let found = store.parked(id.to_owned(), true, before, 1).await?;
                let letter = found.into_iter().find(|letter| letter.seq == seq);
                let letter = letter.map(|letter| Parked { attempts: 0, due: Some(self.inner.now()), ..letter });
                settled.parked.extend(letter);
                !settled.parked.is_empty()
            }
        };
        if found {
            webhook.position = settled.position;
            store.settle_webhooks(vec![settled]).await?;
        }
        if webhook.disabled.is_none() {
            self.spawn(webhook);
        }
        Ok(found)
    }

    /// Ends an endpoint's worker, which keeps where it is.
    async fn halt(&self, id: &str) {
        let running = lock(&self.inner.running).remove(id);
        if let Some(running) = running {
            running.stop.cancel();
            let _ = running.task.await;
        }
    }

    fn spawn(&self, webhook: Webhook) {
        let (view, stop) = (Arc::new(View::default()), self.inner.stop.child_token());
        let id = webhook.id.clone();
        let task = tokio::spawn(supervise(self.inner.clone(), webhook, view.clone(), stop.clone()));
        lock(&self.inner.running).insert(id, Running { stop, view, task });
    }
}

/// Runs an endpoint's worker, again after the storage has failed.
async fn supervise(inner: Arc<Inner>, webhook: Webhook, view: Arc<View>, stop: CancellationToken) {
    let id = webhook.id.clone();
    let mut next = Some(webhook);
    while let Some(webhook) = next.take() {
        let begun = worker::Worker::begin(inner.clone(), webhook, view.clone(), stop.clone()).await;
        let exit = match begun {
            Ok(worker) => worker.run().await,
            Err(exit) => exit,
        };
        let store = inner.delivery.engine().store();
        match exit {
            worker::Exit::Stopped => return,
            worker::Exit::Disabled(why) => {
                tracing::warn!(webhook = %id, why, "a webhook is disabled");
                if let Ok(Some(mut webhook)) = store.webhook(id.clone()).await {
                    webhook.disabled = Some(why);
                    if let Err(failure) = store.put_webhook(webhook).await {
                        tracing::warn!(%failure, webhook = %id, "that a webhook is disabled could not be kept");
                    }
                }
                return;
            }
            worker::Exit::Again => {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = stop.cancelled() => return,
                }
                next = store.webhook(id.clone()).await.ok().flatten();
            }
        }
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.delivery.engine().clock().now()
    }

    /// As whom an owner reads; none where there is no such account any more.
    async fn caller(&self, owner: &BareJid) -> Result<Option<Caller>, Failure> {
        let account = self.delivery.engine().store().account(owner.clone()).await?;
        Ok(account.filter(|account| !account.disabled).map(|account| Caller {
            jid: account.jid.into(),
            role: if account.admin { Role::Admin } else { Role::Account },
        }))
    }

    /// Whether the owner may read the node now.
    async fn may_read(&self, webhook: &Webhook) -> Result<bool, Failure> {
        let Some(caller) = self.caller(&webhook.owner).await? else { return Ok(false) };
        match self.watched(&caller, &webhook.address.service, &webhook.address.node).await {
            Ok(_) => Ok(true),
            // There is nothing left to have a right to; what was parked before may go out.
            Err(Wrong::Refused(Refusal::NodeGone { .. } | Refusal::NodeAbsent)) => Ok(true),
            Err(Wrong::Refused(_)) => Ok(false),
            Err(Wrong::Failed(failure)) => Err(failure),
            Err(Wrong::Overloaded) => Err(Failure::Closed),
        }
    }

    async fn watched(&self, caller: &Caller, service: &BareJid, node: &NodeId) -> Result<Arc<Node>, Wrong> {
        let verb = Verb::Watch { node: node.clone() };
        let request = Request { caller: caller.clone(), service: service.clone(), verb };
        match self.delivery.engine().ask(request).await?.answer {
            Answer::Reply(Reply::Watching { node }) => Ok(node),
            _ => Err(Wrong::Failed(Failure::Read("a watch was answered with something else".to_owned()))),
        }
    }

    async fn parked_body(&self, webhook: &Webhook, seq: Seq) -> Result<Option<Arc<[u8]>>, Failure> {
        let before = Seq(seq.0.saturating_sub(1));
        let parked = self.delivery.engine().store().parked(webhook.id.clone(), false, before, 1).await?;
        Ok(parked.into_iter().find(|parked| parked.seq == seq).map(|parked| parked.body))
    }
}

impl View {
    fn set_breaker(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// What an earlier worker has left; the number of the attempt that comes next.
    fn begin(&self, kept: Vec<Attempted>) -> u64 {
        let next = kept.last().map_or(0, |last| last.number + 1);
        *lock(&self.log) = kept.into();
        self.begun.store(true, Ordering::Relaxed);
        next
    }

    fn log(&self, attempted: Attempted) {
        let mut log = lock(&self.log);
        while log.len() as u64 >= ATTEMPTS_KEPT {
            log.pop_front();
        }
        log.push_back(attempted);
    }
}

/// A client that trusts the roots of a file; where there is none, it trusts nobody.
fn tls(ca_file: &Path) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    match CertificateDer::pem_file_iter(ca_file) {
        Ok(certificates) => {
            let _ = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
        Err(error) => tracing::warn!(file = %ca_file.display(), %error, "no roots of trust: no webhook goes over TLS"),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// 128 random bits.
fn fresh_id() -> Result<String, getrandom::Error> {
    let (high, low) = (getrandom::u64()?, getrandom::u64()?);
    Ok(format!("{high:016x}{low:016x}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Options {
    fn default() -> Self {
        Options {
            allow_http: false,
            networks: Networks::default(),
            timeout: Duration::from_secs(15),
            schedule: Schedule::default(),
            disable_after: Duration::from_secs(5 * 24 * 3600),
            in_flight_max: 64,
            retrying_max: 1000,
            dead_letters_max: 10_000,
            per_node_max: 100,
            ca_file: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            own: vec![],
            resolver: None,
        }
    }
}

impl fmt::Display for NotCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotCreated::Wrong(wrong) => write!(f, "{wrong:?}"),
            NotCreated::Target(refused) => refused.fmt(f),
            NotCreated::TooMany(max) => write!(f, "a node has at most {max} webhooks"),
            NotCreated::Challenge(why) => f.write_str(why),
        }
    }
}

const START_SLICE: usize = 256;
/// After the storage has failed.
const AGAIN: Duration = Duration::from_secs(5);
