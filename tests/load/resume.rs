//! What it costs to take a stream up again, with few and with many events of history behind the cursor and before it:
//! each request asks for what follows a cursor near the end of the log, and is answered at once.

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
    let mut medians = Vec::new();
    for level in &options.levels {
        while events < *level {
            let count = BATCH.min(level - events);
            let lines: Vec<String> = (0..count)
                .map(|line| format!("{{\"data\":{{\"n\":{},\"p\":\"{padding}\"}}}}", events + line))
                .collect();
            connection.post(&format!("/v1/nodes/{NODE}/items:batch"), &format!("[{}]", lines.join(","))).await?;
            events += count;
        }
        // Where the stream is taken up: some events before the end, which are what is answered.
        let begin = connection.cursor().await?;
        for number in 0..BEHIND {
            connection.publish("", &format!("{{\"n\":{number},\"p\":\"{padding}\"}}")).await?;
        }
        events += BEHIND;
        let latency = Histogram::new();
        let before = Moment::now(server)?;
        for _ in 0..RESUMPTIONS {
            let asked = Instant::now();
            let path = format!("/v1/nodes/{NODE}/items?watch=true&since={begin}&wait=0");
            let answer = connection.get(&path).await?;
            latency.record(asked.elapsed());
            let told = memchr::memmem::find_iter(&answer, b"\"type\":\"published\"").count();
            if told != BEHIND {
                return Err(format!("{told} events were told, not {BEHIND}").into());
            }
        }
        let spent = before.until(&Moment::now(server)?);
        report.number(&format!("events_{level}"), "events in the log", events as f64, "");
        report.latency(&format!("resume_{level}"), &format!("taking up at {level}"), &latency);
        if let Some(us) = spent.server_us_each(RESUMPTIONS) {
            report.number(&format!("server_us_at_{level}"), &format!("server CPU each at {level}"), us, "us");
        }
        medians.push(latency.quantile(0.5).as_secs_f64());
    }
    let (least, most) = (medians[0], medians[medians.len() - 1]);
    report.number("most_to_least", "median with the most events to that with the fewest", most / least.max(1e-9), "");
    Ok(report)
}

const NODE: &str = "load%2Fresumed";
/// Events of one batch.
const BATCH: usize = 200;
/// Events that follow the cursor.
const BEHIND: usize = 10;
const RESUMPTIONS: u64 = 500;
