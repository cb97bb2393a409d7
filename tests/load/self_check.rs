//! The driver's own checks: the scanner, SCRAM, the stamps and the histogram do what they should, and the check for
//! lost and reordered items does fail.

use std::time::Duration;

use crate::Outcome;
use crate::fanout::Watcher;
use crate::measure::Histogram;
use crate::pubsub::{Payload, Stamp};
use crate::scan::{Frame, Scanner, attribute, text};
use crate::scram::{Exchange, Mechanism, Salted};

type Check = fn() -> Outcome<()>;

pub fn run() -> Outcome<bool> {
    let checks: [(&str, Check); 6] = [
        ("frames are found however the bytes are cut", frames),
        ("attributes and text are read", attributes),
        ("SCRAM-SHA-1 as in RFC 5802 section 5", scram_sha_1),
        ("stamps are read back, damage is seen", stamps),
        ("a lost, doubled or reordered item is counted", order),
        ("quantiles are within 7 %", quantiles),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("ok      {name}"),
            Err(why) => {
                failed += 1;
                println!("FAILED  {name}: {why}");
            }
        }
    }
    println!("{} passed, {failed} failed", checks.len() - failed);
    Ok(failed == 0)
}

fn frames() -> Outcome<()> {
    let bytes: &[u8] =
        b"<?xml version='1.0'?><stream:stream id='a>b'> <a/>\n<m x=\"<'>\"><b>t</b><c/></m></stream:stream>";
    let wanted = ["<stream:stream id='a>b'>", "<a/>", "<m x=\"<'>\"><b>t</b><c/></m>", "close"];
    for piece in 1..bytes.len() {
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        for part in bytes.chunks(piece) {
            scanner.room()?.extend_from_slice(part);
            while let Some(frame) = scanner.frame()? {
                found.push(match frame {
                    Frame::Header(bytes) | Frame::Stanza(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Frame::Close => "close".to_owned(),
                });
            }
        }
        equal(&found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), &wanted.as_slice())?;
    }
    let mut bad = Scanner::default();
    bad.room()?.extend_from_slice(b"<a><!-- -->");
    bad.frame()?;
    equal(&bad.frame().is_err(), &true)
}

fn attributes() -> Outcome<()> {
    let stanza = b"<iq xml:id='no' id = \"q1\" type='result'><jid id='x'>a@b/c</jid></iq>";
    equal(&attribute(stanza, "id"), &Some("q1"))?;
    equal(&attribute(stanza, "type"), &Some("result"))?;
    equal(&attribute(stanza, "to"), &None)?;
    equal(&text(stanza, "jid"), &Some("a@b/c"))
}

fn scram_sha_1() -> Outcome<()> {
    let mut exchange = Exchange::new(Mechanism::ScramSha1, "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL");
    equal(&exchange.first("user").as_str(), &"biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM")?;
    let challenge = "cj1meWtvK2QybGJiRmdPTlJ2OXFreGRhd0wzcmZjTkhZSlkxWlZ2V1ZzN2oscz1RU1hDUitRNnNlazhiZjkyLGk9NDA5Ng==";
    let answer = exchange.answer(challenge, &Salted::default())?;
    let wanted = "Yz1iaXdzLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdMM3JmY05IWUpZMVpWdldWczdqLHA9djBYOHYzQnoyVDBDSkdiSlF5RjBYK0hJNFRzPQ==";
    equal(&answer.as_str(), &wanted)?;
    exchange.verify("dj1ybUY5cHFWOFM3c3VBb1pXamE0ZEpSa0ZzS1E9")?;
    equal(&exchange.verify("dj1ybUY5cHFWOFM3c3VBb1pXamE0ZEpSa0ZzS0E9").is_err(), &true)
}

fn stamps() -> Outcome<()> {
    let payload = Payload::of(1024);
    let mut out = Vec::new();
    payload.write(&mut out, 7, Duration::from_micros(42));
    equal(&out.len(), &1024)?;
    payload.write(&mut out, 8, Duration::from_micros(43));
    out.remove(1500);
    let read: Vec<Stamp> = payload.stamps(&out).collect();
    let wanted = [
        Stamp { number: 7, sent: Duration::from_micros(42), whole: true },
        Stamp { number: 8, sent: Duration::from_micros(43), whole: false },
    ];
    equal(&read.as_slice(), &wanted.as_slice())
}

fn order() -> Outcome<()> {
    let cases: [(&[u64], u64, [u64; 3]); 5] = [
        (&[1, 2, 3], 3, [0, 0, 0]),
        (&[1, 3], 3, [1, 0, 0]),
        (&[1, 2], 4, [2, 0, 0]),
        (&[1, 2, 2, 3], 3, [0, 1, 0]),
        (&[2, 1, 3], 3, [1, 1, 0]),
    ];
    for (seen, total, wanted) in cases {
        let watcher = Watcher::default();
        seen.iter().for_each(|n| watcher.saw(Stamp { number: *n, sent: Duration::ZERO, whole: true }));
        equal(&watcher.faults(total), &wanted)?;
    }
    let watcher = Watcher::default();
    watcher.saw(Stamp { number: 1, sent: Duration::ZERO, whole: false });
    equal(&watcher.faults(1), &[0, 0, 1])
}

fn quantiles() -> Outcome<()> {
    let histogram = Histogram::new();
    (1..=1000).for_each(|n| histogram.record(Duration::from_micros(n)));
    equal(&histogram.count(), &1000)?;
    for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
        let off = histogram.quantile(share).as_secs_f64() * 1e6 / micros;
        if !(0.999..1.07).contains(&off) {
            return Err(format!("the {share} quantile is off by a factor of {off}").into());
        }
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(got: &T, wanted: &T) -> Outcome<()> {
    match got == wanted {
        true => Ok(()),
        false => Err(format!("got {got:?}, wanted {wanted:?}").into()),
    }
}
