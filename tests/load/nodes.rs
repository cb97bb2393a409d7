//! What nodes cost that are stored and that nobody uses: a server is started again with each number of them, and how
//! long that takes and what it weighs is read then.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::{Client, Dialer, account, courtesy};
use crate::measure::Report;
use crate::options::Options;
use crate::scan::{Frame, attribute};
use crate::server::Server;

pub async fn run(options: &Options, server: &mut Server) -> Outcome<Report> {
    let mut report = Report::new("nodes", server);
    let mut stored = 0;
    let levels = std::iter::once(0).chain(options.levels.iter().copied());
    for level in levels {
        let began = Instant::now();
        let mut owner = Dialer::new(options, server)?.login(&account(0), "owner").await?;
        store(&mut owner, options, stored, level).await?;
        drop(owner);
        eprintln!("{level} nodes stored after {:.1} s more", began.elapsed().as_secs_f64());
        stored = level;
        let (mut fastest, mut kib) = (Duration::MAX, u64::MAX);
        for _ in 0..STARTS {
            fastest = fastest.min(server.restart()?);
            let process = server.process().ok_or("a server that was started has a process")?;
            // One request, so that a server that puts its work off is not taken for one that has none.
            let mut owner = Dialer::new(options, server)?.login(&account(0), "owner").await?;
            let asked = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{}'/>", name(0));
            if level > 0 {
                owner.request("get", &options.service, &asked).await?;
            }
            drop(owner);
            tokio::time::sleep(SETTLE).await;
            kib = kib.min(process.resident_kib()?);
        }
        let (ms, kib) = (fastest.as_secs_f64() * 1000.0, kib as f64);
        report.number(&format!("start_ms_at_{level}"), &format!("start with {level} nodes"), ms, "ms");
        report.number(&format!("rss_kib_at_{level}"), &format!("resident with {level} nodes"), kib, "KiB");
    }
    Ok(report)
}

/// Creates nodes `from..to`, many in flight together.
async fn store(owner: &mut Client, options: &Options, from: usize, to: usize) -> Outcome<()> {
    let (mut asked, mut answered) = (from, from);
    while answered < to {
        let mut out = Vec::new();
        let mut text = String::new();
        while asked < to && asked - answered < WINDOW {
            let node = name(asked);
            write!(
                text,
                "<iq type='set' id='c{asked}' to='{}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                 <create node='{node}'/></pubsub></iq>",
                options.service
            )?;
            asked += 1;
        }
        out.extend_from_slice(text.as_bytes());
        if !out.is_empty() {
            owner.send(&out).await?;
        }
        if !tokio::time::timeout(LIMIT, owner.fill()).await?? {
            return Err("the server closed the owner's connection".into());
        }
        let mut answers = Vec::new();
        while let Some(frame) = owner.frame()? {
            let Frame::Stanza(stanza) = frame else { continue };
            match attribute(stanza, "id").is_some_and(|id| id.starts_with('c')) && stanza.starts_with(b"<iq") {
                true if attribute(stanza, "type") == Some("result") => answered += 1,
                true => return Err(format!("a creation failed: {}", String::from_utf8_lossy(stanza)).into()),
                false => courtesy(stanza, &mut answers),
            }
        }
        if !answers.is_empty() {
            owner.send(&answers).await?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("load/stored/{number}")
}

/// Each figure is the best of so many starts: what else runs on the machine only adds to it.
const STARTS: usize = 3;
const SETTLE: Duration = Duration::from_secs(2);
/// Requests in flight.
const WINDOW: usize = 512;
const LIMIT: Duration = Duration::from_secs(60);
