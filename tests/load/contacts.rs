//! What a login costs that brings last items: one account with many contacts, each of whom has published to five nodes
//! of its own (XEP-0163), in turn with and without an interest in these nodes.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::{Client, Dialer, account, courtesy};
use crate::measure::{Moment, Report};
use crate::options::Options;
use crate::pubsub::Payload;
use crate::scan::{Frame, attribute};
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    let contacts = options.sessions;
    let payload = Payload::of(options.payload_bytes);
    let own = format!("{}@{}", account(0), options.domain);
    for number in 1..=contacts {
        let mut contact = dialer.login(&account(number), "contact").await?;
        // Approved before it is asked for (RFC 6121 section 3.4).
        contact.send(format!("<presence to='{own}' type='subscribed'/>").as_bytes()).await?;
        for node in NODES {
            let mut item = Vec::new();
            payload.write(&mut item, 1, Duration::ZERO);
            let request = format!(
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'><item id='current'>{}</item>\
                 </publish></pubsub>",
                String::from_utf8(item)?
            );
            contact.request("set", "", &request).await?;
        }
    }
    let mut first = dialer.login(&account(0), "first").await?;
    for number in 1..=contacts {
        let to = format!("{}@{}", account(number), options.domain);
        first.send(format!("<presence to='{to}' type='subscribe'/>").as_bytes()).await?;
    }
    let roster = first.request("get", "", "<query xmlns='jabber:iq:roster'/>").await?;
    let listed = String::from_utf8_lossy(&roster).matches("subscription='to'").count();
    if listed != contacts {
        return Err(format!("{listed} contacts instead of {contacts}").into());
    }
    drop(first);

    let mut with = Cost::default();
    let mut without = Cost::default();
    for round in 0..ROUNDS {
        for (cost, expected) in [(&mut with, contacts * NODES.len()), (&mut without, 0)] {
            let before = Moment::now(server)?;
            let began = Instant::now();
            let mut client = dialer.login(&account(0), &format!("r{round}")).await?;
            let presence = match expected {
                0 => "<presence/>".to_owned(),
                _ => format!(
                    "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:load' ver='{round}'/>\
                     </presence>"
                ),
            };
            client.send(presence.as_bytes()).await?;
            receive(&mut client, expected).await?;
            cost.waited += began.elapsed();
            cost.server += before.until(&Moment::now(server)?).server.unwrap_or_default();
        }
    }
    let mut report = Report::new("contacts", server);
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(ROUNDS);
    report.number("contacts", "contacts", contacts as f64, "");
    report.number("last_items", "last items at each login", (contacts * NODES.len()) as f64, "");
    report.number("with_ms", "server CPU per login with them", each(with.server), "ms");
    report.number("without_ms", "server CPU per login without", each(without.server), "ms");
    report.number("with_wall_ms", "from connecting to the last of them", each(with.waited), "ms");
    let items = f64::from(ROUNDS) * (contacts * NODES.len()) as f64;
    let us = with.server.saturating_sub(without.server).as_secs_f64() * 1e6 / items;
    report.number("item_us", "server CPU per last item", us, "us");
    Ok(report)
}

#[derive(Default)]
struct Cost {
    server: Duration,
    waited: Duration,
}

/// Says what the session is interested in when it is asked, and reads until so many events have come and a ping
/// that was sent after them is answered.
async fn receive(client: &mut Client, expected: usize) -> Outcome<()> {
    let patience = Instant::now() + LIMIT;
    let mut heard = 0;
    while heard < expected {
        if Instant::now() > patience {
            return Err(format!("{} of {expected} last items are missing", expected - heard).into());
        }
        if !tokio::time::timeout(LIMIT, client.fill()).await?? {
            return Err("the server closed the connection".into());
        }
        let mut answers = Vec::new();
        while let Some(frame) = client.frame()? {
            let Frame::Stanza(stanza) = frame else { continue };
            if stanza.starts_with(b"<message") {
                heard += 1;
            } else if memchr::memmem::find(stanza, b"disco#info").is_some() {
                let (Some(id), Some(from)) = (attribute(stanza, "id"), attribute(stanza, "from")) else { continue };
                let features: String = NODES.iter().map(|node| format!("<feature var='{node}+notify'/>")).collect();
                let answer = format!(
                    "<iq type='result' id='{id}' to='{from}'><query xmlns='http://jabber.org/protocol/disco#info'>\
                     {features}</query></iq>"
                );
                answers.extend_from_slice(answer.as_bytes());
            } else {
                courtesy(stanza, &mut answers);
            }
        }
        if !answers.is_empty() {
            client.send(&answers).await?;
        }
    }
    client.request("get", "", "<ping xmlns='urn:xmpp:ping'/>").await.map(drop)
}

const NODES: [&str; 5] = ["urn:load:mood", "urn:load:tune", "urn:load:place", "urn:load:act", "urn:load:face"];
const ROUNDS: u32 = 10;
const LIMIT: Duration = Duration::from_secs(60);
