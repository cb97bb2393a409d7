//! What a logged-in session costs in memory while nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::{Client, Dialer, account, courtesy};
use crate::measure::{Moment, Report};
use crate::options::Options;
use crate::scan::Frame;
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    let process = server.process().ok_or("idle wants --pid with --connect")?;
    let broken = Arc::new(AtomicU64::new(0));
    let mut report = Report::new("idle", server);
    let mut sessions = JoinSet::new();
    let mut readings = Vec::new();
    for level in &options.levels {
        let began = Instant::now();
        let (from, to) = (sessions.len(), *level);
        for client in login(options, &dialer, from, to).await? {
            sessions.spawn(rest(client, Arc::clone(&broken)));
        }
        eprintln!("{to} sessions logged in after {:.1} s more; waiting", began.elapsed().as_secs_f64());
        let before = Moment::now(server)?;
        tokio::time::sleep(Duration::from_secs(options.settle)).await;
        let spent = before.until(&Moment::now(server)?);
        let kib = process.resident_kib()?;
        readings.push((to as f64, kib as f64));
        report.number(&format!("rss_kib_at_{to}"), &format!("resident with {to} sessions"), kib as f64, "KiB");
        if let Some(cpu) = spent.server {
            let percent = spent.cores(cpu) * 100.0;
            report.number(&format!("idle_cpu_percent_at_{to}"), "server CPU meanwhile", percent, "% of a core");
        }
    }
    let ((few, less), (many, more)) = (readings[0], readings[readings.len() - 1]);
    report.number("kib_per_session", "resident per session (slope)", (more - less) / (many - few), "KiB");
    report.number("settle_s", "waited after login", options.settle as f64, "s");
    report.must_be_none("sessions_broken", broken.load(Ordering::Relaxed));
    sessions.shutdown().await;
    Ok(report)
}

/// Logs in sessions `from..to` of the run, some at a time, each available.
pub async fn login(options: &Options, dialer: &Arc<Dialer>, from: usize, to: usize) -> Outcome<Vec<Client>> {
    let gate = Arc::new(Semaphore::new(options.concurrency));
    let mut joining = JoinSet::new();
    for number in from..to {
        let (gate, dialer) = (Arc::clone(&gate), Arc::clone(dialer));
        let name = if options.one_account { account(0) } else { account(number) };
        joining.spawn(async move {
            let _permit = gate.acquire().await?;
            let mut client = dialer.login(&name, &format!("r{number}")).await?;
            client.send(b"<presence/>").await?;
            Outcome::Ok(client)
        });
    }
    let mut clients = Vec::with_capacity(to - from);
    while let Some(joined) = joining.join_next().await {
        clients.push(joined??);
    }
    Ok(clients)
}

/// Stays logged in, and answers if asked.
async fn rest(mut client: Client, broken: Arc<AtomicU64>) {
    let ended: Outcome<()> = async {
        loop {
            if !client.fill().await? {
                return Err("the server closed the connection".into());
            }
            let mut answers = Vec::new();
            while let Some(frame) = client.frame()? {
                match frame {
                    Frame::Stanza(stanza) => courtesy(stanza, &mut answers),
                    Frame::Header(_) => {}
                    Frame::Close => return Err("the server closed the stream".into()),
                }
            }
            client.shrink();
            if !answers.is_empty() {
                client.send(&answers).await?;
            }
        }
    }
    .await;
    if let Err(why) = ended
        && broken.fetch_add(1, Ordering::Relaxed) < 5
    {
        eprintln!("a session was lost: {why}");
    }
}
