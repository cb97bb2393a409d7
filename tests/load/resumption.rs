//! What it costs to go on with a session over a new connection (XEP-0198 §5), beside what a login costs: after SCRAM
//! over a whole TLS handshake; over one that a ticket shortens; by SASL2; and by a token, in one message. Each but those that write something must be cheaper than a login.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::Outcome;
use crate::client::{Client, Dialer, account};
use crate::idle;
use crate::measure::{Moment, Report};
use crate::options::Options;
use crate::server::Server;

/// Somebody who was here, and how he comes back.
struct Absent {
    account: String,
    previd: String,
    connector: TlsConnector,
    token: String,
}

#[derive(Clone, Copy)]
enum By {
    Scram,
    /// SASL2, asking for a token.
    Sasl2,
    Token,
}

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    drop(dialer.login(&account(0), "first").await?);
    let mut report = Report::new("resumption", server);
    let before = Moment::now(server)?;
    let clients = idle::login(options, &dialer, 0, options.sessions).await?;
    let login = before.until(&Moment::now(server)?);
    let count = clients.len() as u64;
    report.number("sessions", "sessions", count as f64, "");
    report.word("mechanism", "SASL mechanism", dialer.used());
    let login = login.server_us_each(count);
    let mut tell = |key: &str, label: &str, us: Option<f64>| {
        if let Some(us) = us {
            report.number(&format!("{key}_us"), label, us, "us");
        }
        us
    };
    let login = tell("login", "server CPU per login", login);
    let mut absent = Vec::new();
    for mut client in clients {
        let account = client.jid.split('@').next().unwrap_or_default().to_owned();
        let previd = client.manage().await?;
        absent.push(Absent { account, previd, connector: dialer.remembering(), token: String::new() });
    }
    let mut dearest: f64 = 0.0;
    for (key, label, by, writes) in [
        ("resume_full", "resumption, whole handshake, SCRAM", By::Scram, false),
        ("resume_ticket", "resumption, TLS ticket, SCRAM", By::Scram, false),
        // A token that is given, and the first use of one, are each written to the disk.
        ("resume_sasl2", "resumption by SASL2, a token is given", By::Sasl2, true),
        ("resume_new_token", "resumption by FAST, a new token", By::Token, true),
        ("resume_fast", "resumption by FAST", By::Token, false),
    ] {
        let before = Moment::now(server)?;
        absent = come_back(options, &dialer, absent, by).await?;
        let spent = before.until(&Moment::now(server)?);
        let us = tell(key, label, spent.server_us_each(count)).unwrap_or_default();
        dearest = dearest.max(if writes { 0.0 } else { us });
    }
    if login.is_some_and(|login| dearest >= login) {
        report.fail("a resumption costs as much as a login".to_owned());
    }
    Ok(report)
}

/// Everybody comes back, some at a time, and is cut off again.
async fn come_back(options: &Options, dialer: &Arc<Dialer>, absent: Vec<Absent>, by: By) -> Outcome<Vec<Absent>> {
    let gate = Arc::new(Semaphore::new(options.concurrency));
    let mut coming = JoinSet::new();
    for mut one in absent {
        let (gate, dialer) = (Arc::clone(&gate), Arc::clone(dialer));
        coming.spawn(async move {
            let _permit = gate.acquire().await?;
            let client: Client = match by {
                By::Scram => dialer.resume(&one.connector, &one.account, &one.previd).await?,
                By::Sasl2 => {
                    let (client, token) = dialer.resume_for_token(&one.connector, &one.account, &one.previd).await?;
                    one.token = token;
                    client
                }
                By::Token => dialer.resume_by_token(&one.connector, &one.account, &one.previd, &one.token).await?,
            };
            // The connection goes, the stream does not.
            drop(client);
            Outcome::Ok(one)
        });
    }
    let mut back = Vec::new();
    while let Some(one) = coming.join_next().await {
        back.push(one??);
    }
    Ok(back)
}
