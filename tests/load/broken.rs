//! Connections that are opened and broken off, at each stage before anyone has said who he is: nothing of them stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::{Dialer, Stage, account};
use crate::measure::{Moment, Report};
use crate::options::Options;
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let process = server.process().ok_or("broken wants --pid with --connect")?;
    let dialer = Dialer::new(options, server)?;
    drop(dialer.login(&account(0), "first").await?);
    let mut report = Report::new("broken", server);
    report.number("connections", "connections opened and broken off, at each stage", options.sessions as f64, "");
    for (key, label, stage) in [
        ("connected", "connected", Stage::Connected),
        ("header", "within the stream header, 8,191 bytes sent", Stage::Header),
        ("handshake", "within the TLS handshake", Stage::Handshake),
        ("secured", "after TLS", Stage::Secured),
        ("challenged", "within SASL", Stage::Challenged),
    ] {
        // What the first of them need once, whatever comes after.
        break_off(options, &dialer, stage, options.sessions / 2).await?;
        tokio::time::sleep(SETTLE).await;
        let before = process.resident_kib()?;
        let begun = Moment::now(server)?;
        break_off(options, &dialer, stage, options.sessions).await?;
        let spent = begun.until(&Moment::now(server)?);
        tokio::time::sleep(SETTLE).await;
        let after = process.resident_kib()?;
        if let Some(us) = spent.server_us_each(options.sessions as u64) {
            report.number(&format!("{key}_us"), &format!("{label}: server CPU each"), us, "us");
        }
        report.number(&format!("{key}_before_kib"), &format!("{label}: resident before"), before as f64, "KiB");
        report.number(&format!("{key}_after_kib"), &format!("{label}: resident after"), after as f64, "KiB");
        if after as f64 > before as f64 * GROWTH_MAX {
            report.fail(format!("{label}: {} KiB stay", after - before));
        }
    }
    // Whoever comes now is served.
    drop(dialer.login(&account(0), "last").await?);
    Ok(report)
}

async fn break_off(options: &Options, dialer: &Arc<Dialer>, stage: Stage, count: usize) -> Outcome<()> {
    let left = Arc::new(AtomicUsize::new(count));
    let mut breaking = JoinSet::new();
    for _ in 0..options.concurrency {
        let (left, dialer) = (Arc::clone(&left), Arc::clone(dialer));
        breaking.spawn(async move {
            let more = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            while more() {
                dialer.break_off(stage).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = breaking.join_next().await {
        ended??;
    }
    Ok(())
}

const SETTLE: Duration = Duration::from_secs(5);
/// Of what was resident before.
const GROWTH_MAX: f64 = 1.05;
