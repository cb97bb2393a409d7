//! What subscribers cost who are not there: a node with very many subscriptions of which few are of sessions that are
//! online, beside a node with only those. The first level of `--levels` is online, the last is all.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::{Client, Dialer, courtesy};
use crate::idle;
use crate::measure::{Moment, Report};
use crate::options::Options;
use crate::pubsub::{Payload, create, publish, subscribe};
use crate::scan::{Frame, attribute};
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    let process = server.process().ok_or("subscriptions wants --pid with --connect")?;
    let (online, all) = (options.levels[0], options.levels[options.levels.len() - 1]);
    let mut owner = dialer.login(&crate::client::account(0), "owner").await?;
    for node in [MANY, FEW, NONE] {
        create(&mut owner, options, node).await?;
    }
    let heard = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for mut reader in idle::login(options, &dialer, 0, online).await? {
        subscribe(&mut reader, options, FEW).await?;
        subscribe(&mut reader, options, MANY).await?;
        readers.spawn(read(reader, heard.clone()));
    }
    let mut report = Report::new("subscriptions", server);
    report.number("online", "subscribers that are online", online as f64, "");
    report.number("all", "subscriptions of the node with many", all as f64, "");

    let (kib, began) = (process.resident_kib()?, Instant::now());
    subscribe_the_absent(&mut owner, options, all - online).await?;
    eprintln!("{} absent subscribers after {:.1} s", all - online, began.elapsed().as_secs_f64());
    let grown = process.resident_kib()? as f64 - kib as f64;
    report.number("kib_grown", "memory that the absent ones have added", grown, "KiB");

    let payload = Payload::of(options.payload_bytes);
    let mut costs = [(MANY, Duration::ZERO), (FEW, Duration::ZERO)];
    for round in 0..2 * ROUNDS {
        let (node, cost) = &mut costs[round % 2];
        let before = Moment::now(server)?;
        let due = heard.load(Ordering::Relaxed) + (PUBLISHES * online) as u64;
        publish_some(&mut owner, options, node, &payload, round * PUBLISHES).await?;
        reach(&heard, due).await?;
        *cost += before.until(&Moment::now(server)?).server.unwrap_or_default();
    }
    let each = |cost: Duration| cost.as_secs_f64() * 1e6 / (ROUNDS * PUBLISHES) as f64;
    report.number("publish_many_us", "server CPU per publish, many", each(costs[0].1), "us");
    report.number("publish_few_us", "server CPU per publish, few", each(costs[1].1), "us");
    report.number("publish_ratio", "ratio", each(costs[0].1) / each(costs[1].1), "");

    // By an account that has no subscription yet: the last that is not a reader's.
    let mut other = dialer.login(&crate::client::account(online), "other").await?;
    let mut costs = [(MANY, Duration::ZERO), (NONE, Duration::ZERO)];
    for round in 0..2 * ROUNDS {
        let (node, cost) = &mut costs[round % 2];
        let before = Moment::now(server)?;
        for _ in 0..TURNS {
            subscribe(&mut other, options, node).await?;
            unsubscribe(&mut other, options, node).await?;
        }
        *cost += before.until(&Moment::now(server)?).server.unwrap_or_default();
    }
    let each = |cost: Duration| cost.as_secs_f64() * 1e6 / (ROUNDS * TURNS) as f64;
    report.number("subscribe_many_us", "server CPU per subscription and its end, many", each(costs[0].1), "us");
    report.number("subscribe_none_us", "server CPU per subscription and its end, none", each(costs[1].1), "us");
    report.number("subscribe_ratio", "ratio", each(costs[0].1) / each(costs[1].1), "");
    readers.shutdown().await;
    Ok(report)
}

/// Counts the notifications of one session.
async fn read(mut client: Client, heard: Arc<AtomicU64>) -> Outcome<()> {
    loop {
        if !client.fill().await? {
            return Err("the server closed the connection of a reader".into());
        }
        let mut answers = Vec::new();
        while let Some(frame) = client.frame()? {
            let Frame::Stanza(stanza) = frame else { continue };
            match stanza.starts_with(b"<message") {
                true => drop(heard.fetch_add(1, Ordering::Relaxed)),
                false => courtesy(stanza, &mut answers),
            }
        }
        if !answers.is_empty() {
            client.send(&answers).await?;
        }
    }
}

/// The owner subscribes accounts that nobody logs in to (XEP-0060 §8.8.2).
async fn subscribe_the_absent(owner: &mut Client, options: &Options, count: usize) -> Outcome<()> {
    let mut number = 0;
    while number < count {
        let mut request = format!("<pubsub xmlns='{NS_OWNER}'><subscriptions node='{MANY}'>");
        let end = count.min(number + TOGETHER);
        for number in number..end {
            write!(request, "<subscription jid='absent{number}@{}' subscription='subscribed'/>", options.domain)?;
        }
        request.push_str("</subscriptions></pubsub>");
        owner.request("set", &options.service, &request).await?;
        number = end;
    }
    Ok(())
}

/// Publishes, all in flight together, and waits for the answers.
async fn publish_some(
    owner: &mut Client,
    options: &Options,
    node: &str,
    payload: &Payload,
    from: usize,
) -> Outcome<()> {
    let mut out = Vec::new();
    for number in from..from + PUBLISHES {
        let id = format!("p{number}");
        publish(&mut out, &id, &options.service, node, |out| payload.write(out, number as u64, Duration::ZERO));
    }
    owner.send(&out).await?;
    let mut waiting = PUBLISHES;
    while waiting > 0 {
        if !tokio::time::timeout(LIMIT, owner.fill()).await?? {
            return Err("the server closed the owner's connection".into());
        }
        let mut answers = Vec::new();
        while let Some(frame) = owner.frame()? {
            let Frame::Stanza(stanza) = frame else { continue };
            match attribute(stanza, "id").is_some_and(|id| id.starts_with('p')) && stanza.starts_with(b"<iq") {
                true if attribute(stanza, "type") == Some("result") => waiting -= 1,
                true => return Err(format!("a publish failed: {}", String::from_utf8_lossy(stanza)).into()),
                false => courtesy(stanza, &mut answers),
            }
        }
        if !answers.is_empty() {
            owner.send(&answers).await?;
        }
    }
    Ok(())
}

async fn unsubscribe(client: &mut Client, options: &Options, node: &str) -> Outcome<()> {
    let bare = client.jid.split('/').next().unwrap_or_default();
    let request =
        format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'><unsubscribe node='{node}' jid='{bare}'/></pubsub>");
    client.request("set", &options.service, &request).await.map(drop)
}

async fn reach(heard: &AtomicU64, due: u64) -> Outcome<()> {
    let patience = Instant::now() + LIMIT;
    while heard.load(Ordering::Relaxed) < due {
        if Instant::now() > patience {
            return Err(format!("{} notifications are missing", due - heard.load(Ordering::Relaxed)).into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

const MANY: &str = "load/many";
const FEW: &str = "load/few";
const NONE: &str = "load/none";
const NS_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// Measured in turn so often.
const ROUNDS: usize = 5;
const PUBLISHES: usize = 100;
const TURNS: usize = 200;
/// Subscriptions in one request.
const TOGETHER: usize = 200;
const LIMIT: Duration = Duration::from_secs(60);
