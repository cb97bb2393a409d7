//! What it costs to take a stream up again, with few and with many events of history: from a cursor near the end of the
//! log, and from one in its middle, with as many events after it in one answer. Each request is answered at once.

use std::time::Instant;

use crate::Outcome;
use crate::door::Door;
use crate::http_publish::Connection;
use crate::measure::{Histogram, Moment, Report};
use crate::options::Options;
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let door = Door::new(options, server)?;
    let mut report = Report::new("resume", server);
    let padding = "x".repeat(options.payload_bytes.saturating_sub(r#"{"n":000000000000,"p":""}"#.len()));
    let mut connection = Connection::open(&door, NODE.to_owned()).await?;
    connection.publish("?create=true", "0").await?;
    let mut events = 1;
    // For each place, the medians at the least and at the most events.
    let mut medians = [Vec::new(), Vec::new()];
    for level in &options.levels {
        fill(&mut connection, &mut events, *level / 2, &padding).await?;
        let middle = mark(&mut connection, &mut events).await?;
        fill(&mut connection, &mut events, *level, &padding).await?;
        let end = mark(&mut connection, &mut events).await?;
        for (place, (name, cursor)) in [("the end", &end), ("the middle", &middle)].into_iter().enumerate() {
            let latency = Histogram::new();
            let before = Moment::now(server)?;
            for _ in 0..RESUMPTIONS {
                let asked = Instant::now();
                let path = format!("/v1/nodes/{NODE}/items?watch=true&since={cursor}&wait=0");
                let answer = connection.get(&path).await?;
                latency.record(asked.elapsed());
                let told = memchr::memmem::find_iter(&answer, b"\"type\":\"published\"").count();
                if told != BEHIND {
                    return Err(format!("{told} events were told, not {BEHIND}").into());
                }
            }
            let spent = before.until(&Moment::now(server)?);
            let (key, at) = (["end", "middle"][place], format!("taking up at {name} of {level}"));
            report.latency(&format!("resume_{key}_{level}"), &at, &latency);
            if let Some(us) = spent.server_us_each(RESUMPTIONS) {
                report.number(&format!("server_us_{key}_{level}"), &format!("server CPU each, {at}"), us, "us");
            }
            medians[place].push(latency.quantile(0.5).as_secs_f64());
        }
        report.number(&format!("events_{level}"), "events in the log", events as f64, "");
    }
    for (medians, name) in medians.iter().zip(["end", "middle"]) {
        let (least, most) = (medians[0], medians[medians.len() - 1]);
        let what = format!("at the {name}, median with the most events to that with the fewest");
        report.number(&format!("most_to_least_{name}"), &what, most / least.max(1e-9), "");
    }
    Ok(report)
}

/// Publishes until the log has so many events, over the same items again and again: what is overwritten stays in the
/// log, and what a full node lets go of does not.
async fn fill(connection: &mut Connection, events: &mut usize, until: usize, padding: &str) -> Outcome<()> {
    while *events < until {
        let count = BATCH.min(until - *events);
        let lines: Vec<String> = (0..count)
            .map(|line| format!("{{\"id\":\"{line}\",\"data\":{{\"n\":{},\"p\":\"{padding}\"}}}}", *events + line))
            .collect();
        connection.post(&format!("/v1/nodes/{NODE}/items:batch"), &format!("[{}]", lines.join(","))).await?;
        *events += count;
    }
    Ok(())
}

/// Publishes some events that fill an answer, wherever they stand; the cursor before them.
async fn mark(connection: &mut Connection, events: &mut usize) -> Outcome<String> {
    let cursor = connection.cursor().await?;
    let padding = "x".repeat(MARK_BYTES);
    for _ in 0..BEHIND {
        connection.publish("", &format!("\"{padding}\"")).await?;
    }
    *events += BEHIND;
    Ok(cursor)
}

const NODE: &str = "load%2Fresumed";
/// Events of one batch.
const BATCH: usize = 200;
/// Events that follow the cursor in one answer.
const BEHIND: usize = 9;
/// So many bytes of each that a page of the log and an answer have room for as many, and no more (64 KiB).
const MARK_BYTES: usize = 7_150;
const RESUMPTIONS: u64 = 500;
