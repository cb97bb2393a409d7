//! What is measured and how it is told: CPU and memory from /proc, latency, the table, the JSON line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::server::Server;

/// A process whose consumption is read.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    pub fn this() -> Process {
        Process(std::process::id())
    }

    /// User and system time of all its threads, in steps of 10 ms.
    pub fn cpu(self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name stands in parentheses and may hold anything; the fields after it are plain.
        let after_name = stat.rsplit_once(')').ok_or("/proc/…/stat has no name")?.1;
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * (1000 / TICKS_PER_SECOND)))
    }

    /// Resident memory in KiB.
    pub fn resident_kib(self) -> Outcome<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0));
        let text = match rollup {
            Ok(text) => text,
            Err(_) => std::fs::read_to_string(format!("/proc/{}/status", self.0))?,
        };
        let line = text.lines().find(|line| line.starts_with("Rss:") || line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok());
        kib.ok_or_else(|| "the kernel tells no resident size".into())
    }
}

/// CPU of the server and of the driver at one moment.
pub struct Moment {
    at: Instant,
    server: Option<Duration>,
    driver: Duration,
}

/// What was used between two moments.
pub struct Spent {
    pub wall: Duration,
    pub server: Option<Duration>,
    pub driver: Duration,
}

impl Moment {
    pub fn now(server: &Server) -> Outcome<Moment> {
        let cpu = server.process().map(Process::cpu).transpose()?;
        Ok(Moment { at: Instant::now(), server: cpu, driver: Process::this().cpu()? })
    }

    pub fn until(&self, later: &Moment) -> Spent {
        Spent {
            wall: later.at - self.at,
            server: later.server.zip(self.server).map(|(later, earlier)| later - earlier),
            driver: later.driver - self.driver,
        }
    }
}

impl Spent {
    /// Server CPU in µs for each of `count` things, where the server's process is known.
    pub fn server_us_each(&self, count: u64) -> Option<f64> {
        self.server.map(|cpu| cpu.as_secs_f64() * 1e6 / count.max(1) as f64)
    }

    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// Cores used: 1.0 is one core all the time.
    pub fn cores(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Counts of durations, 16 steps to each power of two: at most 6 % off.
pub struct Histogram {
    buckets: Vec<AtomicU64>,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { buckets: (0..64 * STEPS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub fn record(&self, taken: Duration) {
        self.buckets[bucket(taken.as_nanos() as u64)].fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The least duration that `share` of all do not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            passed += bucket.load(Ordering::Relaxed);
            if passed >= wanted.max(1) {
                return Duration::from_nanos(upper(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS as u64 {
        return nanos as usize;
    }
    let power = 63 - nanos.leading_zeros();
    let step = (nanos >> (power - STEP_BITS)) as usize & (STEPS - 1);
    (power - STEP_BITS + 1) as usize * STEPS + step
}

fn upper(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let power = (index / STEPS) as u32 - 1 + STEP_BITS;
    let step = (index % STEPS) as u64;
    ((STEPS as u64 + step + 1) << (power - STEP_BITS)) - 1
}

/// The outcome of a scenario.
pub struct Report {
    title: String,
    rows: Vec<(String, String)>,
    json: Map<String, Value>,
    failures: Vec<String>,
}

impl Report {
    pub fn new(scenario: &str, server: &Server) -> Report {
        let mut report = Report {
            title: format!("{scenario} on {}", server.name),
            rows: Vec::new(),
            json: Map::new(),
            failures: Vec::new(),
        };
        report.json.insert("scenario".to_owned(), json!(scenario));
        report.json.insert("server".to_owned(), json!(server.name));
        report.json.insert("settings".to_owned(), json!(server.settings));
        report.json.insert("cores".to_owned(), json!(cores()));
        report.json.insert("cpu".to_owned(), json!(cpu_model()));
        report.rows.push(("machine".to_owned(), format!("{} cores, {}", cores(), cpu_model())));
        for setting in &server.settings {
            report.rows.push(("setting".to_owned(), setting.clone()));
        }
        report
    }

    /// One figure: in the table with its unit, in the JSON under `key`.
    pub fn number(&mut self, key: &str, label: &str, value: f64, unit: &str) {
        let shown = if value.fract() != 0.0 && value.abs() < 10.0 { format!("{value:.3}") } else { grouped(value) };
        self.rows.push((label.to_owned(), format!("{shown} {unit}").trim_end().to_owned()));
        self.json.insert(key.to_owned(), json!((value * 1000.0).round() / 1000.0));
    }

    pub fn word(&mut self, key: &str, label: &str, value: &str) {
        self.rows.push((label.to_owned(), value.to_owned()));
        self.json.insert(key.to_owned(), json!(value));
    }

    /// p50 and p99 in ms, as `<key>_p50_ms` and `<key>_p99_ms`.
    pub fn latency(&mut self, key: &str, label: &str, histogram: &Histogram) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let ms = histogram.quantile(share).as_secs_f64() * 1e3;
            self.number(&format!("{key}_{name}_ms"), &format!("{label} {name}"), ms, "ms");
        }
    }

    /// CPU per thing and of both sides.
    pub fn spent(&mut self, spent: &Spent, each: &str, count: u64) {
        self.number("seconds", "measured", spent.wall.as_secs_f64(), "s");
        if let (Some(us), Some(cpu)) = (spent.server_us_each(count), spent.server) {
            self.number(&format!("server_us_per_{each}"), &format!("server CPU per {each}"), us, "us");
            self.number("server_cores", "server CPU", spent.cores(cpu), "cores");
        }
        self.number("driver_cores", "driver CPU", spent.cores(spent.driver), "cores");
    }

    /// A count that must be nought.
    pub fn must_be_none(&mut self, key: &str, count: u64) {
        self.number(key, key, count as f64, "");
        if count > 0 {
            self.failures.push(format!("{key}: {count}"));
        }
    }

    pub fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Prints the table and the JSON line; whether all held.
    pub fn print(mut self) -> bool {
        println!("\n{}", self.title);
        let width = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, value) in &self.rows {
            println!("  {label:<width$}  {value}");
        }
        for failure in &self.failures {
            println!("  FAILED  {failure}");
        }
        self.json.insert("failures".to_owned(), json!(self.failures));
        println!("{}", Value::Object(self.json));
        self.failures.is_empty()
    }
}

/// As many open files as the system allows: one for each session, here and (by inheritance) in the server.
pub fn raise_file_limit() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown CPU".to_owned(), |(_, name)| name.to_owned())
}

/// `1234567.8` as `1 234 568`; below a thousand with one decimal where there is one.
fn grouped(value: f64) -> String {
    if value.abs() < 1000.0 {
        return if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") };
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    if value < 0.0 { format!("-{out}") } else { out }
}

/// `USER_HZ`, in which /proc tells CPU time: 100 on every architecture that Rust's Linux targets run on.
const TICKS_PER_SECOND: u64 = 100;

const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
