//! Components (XEP-0114): those that connect to us, and ourselves as one of another server.
//!
//! A component has no presence and binds nothing: it speaks for every address at its domain, and
//! watches for all of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::negotiate::{fresh_name, let_go, parse};
use super::pipe::{Carrier, Pipe};
use super::wire::{Moved, Wire};
use super::{Sessions, Shared};
use crate::delivery::{Feed, Whom};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{Caller, Role};
use crate::router::{Outcome, Place, Reaction, Routed};
use crate::stream::component::{Component, Deed, Served};
use crate::stream::{Input, StreamCondition, StreamError};
use crate::xml::{Element, Parser};

/// The server behind which we are a component.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// The service of ours that it serves.
    pub served: Served,
    /// The domain whose users may do what accounts of ours may.
    pub users: BareJid,
}

/// Ourselves as a component: what outlives its connections, so that nothing is lost between them.
pub struct Upstream {
    options: UpstreamOptions,
    feed: Feed,
    inbox: mpsc::Receiver<Routed>,
    _place: Place,
}

impl Upstream {
    /// Waits without a connection.
    pub async fn rest(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.feed.rest()).await;
    }
}

/// Whom a link speaks for.
enum Speaks {
    /// A component, for its domain.
    Component,
    /// A server, for everyone; the users of this domain are as good as ours.
    Server { users: BareJid },
}

/// A connection with the other side, whichever it is.
struct Link<'a> {
    shared: &'a Arc<Shared>,
    wire: Wire,
    parser: Parser,
    component: Component,
    last_write: Instant,
}

/// What a link does once both sides know each other.
struct Work<'a> {
    speaks: Speaks,
    feed: &'a mut Feed,
    inbox: &'a mut mpsc::Receiver<Routed>,
    answers: FuturesUnordered<std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>>,
}

/// How a link ends.
enum End {
    Gone,
    /// After these are written.
    Closed(Vec<Deed>),
    Error(StreamError),
    /// With this error, for the feed cannot go on.
    Behind(StreamError),
}

impl Sessions {
    /// Speaks with a component that has connected.
    pub async fn accept_component(&self, pipe: Pipe) {
        let shared = &self.shared;
        let Pipe { carrier, peer, unauthenticated, .. } = pipe;
        let component = Component::accept(shared.options.components.clone(), fresh_name());
        let mut link = Link::new(shared, carrier, component);
        let joined = tokio::time::timeout(shared.options.negotiation_max, Box::pin(link.admit())).await;
        match joined {
            Err(_) => link.end(StreamCondition::ConnectionTimeout.into()).await,
            Ok(Err(end)) => link.over(end).await,
            Ok(Ok((domain, place, mut inbox))) => {
                drop(unauthenticated);
                tracing::info!(%peer, %domain, "component connected");
                let whom = Whom::Domain(domain.domain().to_owned());
                let mut feed = shared.delivery.attach_to(whom, Role::Stranger, shared.delivery.moment());
                let speaks = Speaks::Component;
                let work = Work { speaks, feed: &mut feed, inbox: &mut inbox, answers: FuturesUnordered::new() };
                let end = Box::pin(link.run(work)).await;
                drop((feed, place));
                tracing::info!(%domain, "component left");
                link.over(end).await;
            }
        }
    }

    /// Begins to be a component: from now on what is for others waits for a connection.
    pub fn upstream(&self, options: UpstreamOptions) -> Upstream {
        let shared = &self.shared;
        let (sender, inbox) = mpsc::channel(shared.options.link_inbox_max);
        let place = shared.router.join_upstream(&options.served.domain, sender);
        Upstream { options, feed: self.feed_elsewhere(), inbox, _place: place }
    }

    /// The events for everyone who is not here and not behind a component.
    fn feed_elsewhere(&self) -> Feed {
        let shared = &self.shared;
        let domains = shared.options.stream.hosts.iter().map(|host| host.domain().to_owned());
        let components = shared.options.components.iter().map(|served| served.domain.domain().to_owned());
        let whom = Whom::Elsewhere(domains.chain(components).collect());
        shared.delivery.attach_to(whom, Role::Stranger, shared.delivery.moment())
    }

    /// Goes on as a component over a new connection, until it ends. Whether the server had accepted us.
    pub async fn serve_upstream(&self, pipe: Pipe, upstream: &mut Upstream) -> bool {
        let shared = &self.shared;
        let (component, first) = Component::connect(upstream.options.served.clone());
        let mut link = Link::new(shared, pipe.carrier, component);
        link.wire.push(Bytes::from(first));
        let accepted = tokio::time::timeout(shared.options.negotiation_max, Box::pin(link.be_accepted())).await;
        match accepted {
            Err(_) => link.end(StreamCondition::ConnectionTimeout.into()).await,
            Ok(Err(end)) => link.over(end).await,
            Ok(Ok(())) => {
                tracing::info!(domain = %upstream.options.served.domain, "accepted as a component");
                let Upstream { options, feed, inbox, .. } = upstream;
                let speaks = Speaks::Server { users: options.users.clone() };
                let work = Work { speaks, feed, inbox, answers: FuturesUnordered::new() };
                let end = Box::pin(link.run(work)).await;
                if matches!(end, End::Behind(_)) {
                    upstream.feed = self.feed_elsewhere();
                }
                link.over(end).await;
                return true;
            }
        }
        false
    }
}

impl<'a> Link<'a> {
    fn new(shared: &'a Arc<Shared>, carrier: Carrier, component: Component) -> Self {
        let parser = Parser::new(shared.options.limits_unauthenticated);
        Link { shared, wire: Wire::new(carrier), parser, component, last_write: Instant::now() }
    }

    /// Until a component has proved what it may speak for, and has its place.
    async fn admit(&mut self) -> Result<(BareJid, Place, mpsc::Receiver<Routed>), End> {
        loop {
            for deed in self.hear().await? {
                match deed {
                    Deed::Write(bytes) => self.wire.push(Bytes::from(bytes)),
                    Deed::Close => return Err(End::Closed(Vec::new())),
                    Deed::Join(domain) => {
                        let (sender, inbox) = mpsc::channel(self.shared.options.link_inbox_max);
                        let Some(place) = self.shared.router.join(&domain, sender) else {
                            let why = "a component for this domain is connected already";
                            return Err(End::Error(StreamCondition::Conflict.because(why)));
                        };
                        let joined = self.component.joined();
                        self.write(joined);
                        return Ok((domain, place, inbox));
                    }
                    Deed::Accepted | Deed::Stanza(_) => {}
                }
            }
        }
    }

    /// Until the server has taken us for what we are.
    async fn be_accepted(&mut self) -> Result<(), End> {
        loop {
            for deed in self.hear().await? {
                match deed {
                    Deed::Write(bytes) => self.wire.push(Bytes::from(bytes)),
                    Deed::Accepted => return Ok(()),
                    Deed::Close => return Err(End::Closed(Vec::new())),
                    Deed::Join(_) | Deed::Stanza(_) => {}
                }
            }
        }
    }

    /// What the next thing that the other side says leads to.
    async fn hear(&mut self) -> Result<Vec<Deed>, End> {
        let stop = self.shared.stop.clone();
        loop {
            if let Some(input) = parse(&mut self.wire, &mut self.parser) {
                if let Input::Malformed(error) = &input {
                    tracing::debug!(%error, "a component's stream is malformed");
                }
                return Ok(self.component.handle(input));
            }
            tokio::select! {
                moved = std::future::poll_fn(|cx| self.wire.poll(cx, true)) => match moved {
                    Ok(Moved::Read | Moved::Wrote) => {}
                    Ok(Moved::Ended) | Err(_) => return Err(End::Gone),
                },
                () = stop.cancelled() => {
                    return Err(End::Error(StreamCondition::SystemShutdown.because("the server stops")));
                }
            }
        }
    }

    async fn run(&mut self, mut work: Work<'_>) -> End {
        self.parser.set_limits(self.shared.options.limits_component);
        loop {
            if let Err(end) = self.take_input(&mut work) {
                return end;
            }
            if let Err(end) = self.pull(&mut work) {
                return end;
            }
            let options = &self.shared.options;
            let queued = self.wire.queued();
            let reading = work.answers.len() < options.link_requests_max
                && queued < options.output_bytes_max
                && self.wire.input().is_empty();
            let tick = self.last_write + if queued > 0 { options.stuck_after } else { options.ping_after };
            let Work { feed, inbox, answers, .. } = &mut work;
            tokio::select! {
                moved = std::future::poll_fn(|cx| self.wire.poll(cx, reading)) => match moved {
                    Ok(Moved::Read) => {}
                    Ok(Moved::Wrote) => self.last_write = Instant::now(),
                    Ok(Moved::Ended) | Err(_) => return End::Gone,
                },
                Some(outcome) = answers.next(), if !answers.is_empty() => self.answer(outcome),
                () = feed.ready(), if queued < options.output_pull_bytes => {}
                Some(routed) = inbox.recv(), if queued < options.output_bytes_max => {
                    if let Routed::Stanza(parcel) = routed {
                        self.push(parcel.bytes().clone());
                        parcel.taken();
                    }
                }
                () = tokio::time::sleep_until(tick) => {
                    if queued > 0 {
                        return End::Gone;
                    }
                    // RFC 6120 §4.4: white space keeps a connection alive, and finds out whether it is.
                    self.push(Bytes::from_static(b" "));
                }
                () = self.shared.stop.cancelled() => {
                    let deadline = Instant::now() + FINISHING_MAX;
                    while let Ok(Some(outcome)) = tokio::time::timeout_at(deadline, work.answers.next()).await {
                        self.answer(outcome);
                    }
                    return End::Error(StreamCondition::SystemShutdown.because("the server stops"));
                }
            }
        }
    }

    fn take_input(&mut self, work: &mut Work<'_>) -> Result<(), End> {
        let options = &self.shared.options;
        while work.answers.len() < options.link_requests_max
            && self.wire.queued() < options.output_bytes_max
            && let Some(input) = parse(&mut self.wire, &mut self.parser)
        {
            let mut deeds = self.component.handle(input);
            if deeds.contains(&Deed::Close) {
                return Err(End::Closed(deeds));
            }
            for deed in deeds.drain(..) {
                match deed {
                    Deed::Stanza(stanza) => self.stanza(work, stanza),
                    Deed::Write(bytes) => self.push(Bytes::from(bytes)),
                    Deed::Join(_) | Deed::Accepted | Deed::Close => {}
                }
            }
        }
        Ok(())
    }

    fn stanza(&mut self, work: &mut Work<'_>, stanza: Element) {
        let Some(Ok(from)) = stanza.attr("from").map(Jid::parse) else { return };
        let role = match &work.speaks {
            // Whoever was given a secret is trusted as whoever was given an account is.
            Speaks::Component => Role::Account,
            Speaks::Server { users } if users.domain() == from.domain() => Role::Account,
            Speaks::Server { .. } => Role::Stranger,
        };
        match self.shared.router.stanza_from_afar(&Caller { jid: from, role }, stanza) {
            Reaction::Nothing => {}
            Reaction::Bounced(node, from, bounce) => work.feed.bounced(node, &from, bounce),
            Reaction::There(jid, show) => work.feed.is_told_presence(&jid, show),
            Reaction::Write(bytes) => self.push(bytes),
            Reaction::Later(mut answering) => {
                // The first poll gives the request its place in the order of requests.
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                match answering.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(outcome) => self.answer(outcome),
                    std::task::Poll::Pending => work.answers.push(answering),
                }
            }
        }
    }

    fn answer(&mut self, outcome: Outcome) {
        outcome.reply.into_iter().for_each(|reply| self.push(reply));
        for (to, bytes) in outcome.then {
            self.shared.router.send(&to, bytes);
        }
    }

    fn pull(&mut self, work: &mut Work<'_>) -> Result<(), End> {
        let room = self.shared.options.output_pull_bytes.saturating_sub(self.wire.queued());
        if room == 0 {
            return Ok(());
        }
        let before = self.wire.queued();
        let Link { shared, wire, .. } = self;
        let pulled = work.feed.pull(room, &mut |shown| {
            let Some([head, body]) = shared.router.notification(shown) else { return 0 };
            let bytes = head.len() + body.len();
            wire.push_two(head, body);
            bytes
        });
        if before == 0 && self.wire.queued() > 0 {
            self.last_write = Instant::now();
        }
        // The subscriptions are read anew with the next connection.
        pulled.map_err(|behind| End::Behind(StreamCondition::ResourceConstraint.because(behind.to_string())))
    }

    fn push(&mut self, bytes: Bytes) {
        if self.wire.queued() == 0 {
            self.last_write = Instant::now();
        }
        self.wire.push(bytes);
    }

    fn write(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            if let Deed::Write(bytes) = deed {
                self.push(Bytes::from(bytes));
            }
        }
    }

    async fn end(self, error: StreamError) {
        self.over(End::Error(error)).await;
    }

    async fn over(mut self, end: End) {
        let deeds = match end {
            End::Gone => return,
            End::Closed(deeds) => deeds,
            End::Error(error) | End::Behind(error) => {
                tracing::info!(%error, "a component's stream is ended");
                self.component.close_with(&error)
            }
        };
        self.write(deeds);
        let_go(self.wire, true).await;
    }
}

/// What answers that are on their way may take when the server stops.
const FINISHING_MAX: Duration = Duration::from_secs(5);
