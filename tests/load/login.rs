//! What a login costs: TCP, a full TLS handshake, SASL, bind, initial presence.

use crate::Outcome;
use crate::client::{Dialer, account};
use crate::idle;
use crate::measure::{Moment, Report};
use crate::options::Options;
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    // The first login warms caches on both sides and is not counted.
    drop(dialer.login(&account(0), "first").await?);
    let before = Moment::now(server)?;
    let clients = idle::login(options, &dialer, 0, options.sessions).await?;
    let spent = before.until(&Moment::now(server)?);
    let count = clients.len() as u64;
    let mut report = Report::new("login", server);
    report.number("logins", "logins", count as f64, "");
    report.number("concurrency", "under way at once", options.concurrency as f64, "");
    report.word("mechanism", "SASL mechanism", dialer.used());
    report.number("logins_per_s", "logins", spent.rate(count), "/s");
    if let Some(us) = spent.server_us_each(count) {
        report.number("server_ms_per_login", "server CPU per login", us / 1000.0, "ms");
    }
    report.spent(&spent, "login", count);
    Ok(report)
}
