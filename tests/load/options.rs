//! The command line of the driver.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::Outcome;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Fanout,
    Publish,
    HttpPublish,
    Webhooks,
    Idle,
    Login,
    Watchers,
    Resume,
    Resumption,
    Subscriptions,
    Nodes,
    Contacts,
    Broken,
    Guessing,
    SelfCheck,
}

/// What it is measured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Tidings,
    Prosody,
    /// nginx with nchan.
    Nchan,
    Running {
        xmpp: SocketAddr,
        http: Option<SocketAddr>,
    },
}

/// How a session reaches TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Start,
    Direct,
}

/// Everything that can be asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub scenario: Scenario,
    pub target: Target,
    pub binary: PathBuf,
    pub settings: Vec<String>,
    pub data: Option<PathBuf>,
    pub domain: String,
    pub service: String,
    pub password: String,
    pub pid: Option<u32>,
    pub token: Option<String>,
    pub mechanism: Option<String>,
    pub tls: Tls,
    pub threads: usize,
    pub sessions: usize,
    pub levels: Vec<usize>,
    pub inflight: usize,
    pub publishers: usize,
    pub ahead: u64,
    pub payload_bytes: usize,
    pub max_items: usize,
    pub persist: bool,
    pub seconds: u64,
    pub warmup: u64,
    pub settle: u64,
    pub concurrency: usize,
    pub full_jid: bool,
    pub one_account: bool,
    pub durability: Option<String>,
    /// Whether HTTP is spoken over TLS.
    pub https: bool,
    /// Publishes a second; none for as many as are answered.
    pub rate: Option<u64>,
    pub hanging: usize,
    pub dead: usize,
}

impl Options {
    /// Reads the arguments; `None` when only help was asked for.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Outcome<Option<Options>> {
        let mut options = Options::default();
        let mut scenario = None;
        let mut arguments = arguments.filter(|a| a != "--bench");
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "help" | "--help" | "-h" => return Ok(None),
                "fanout" => scenario = Some(Scenario::Fanout),
                "publish" => scenario = Some(Scenario::Publish),
                "http-publish" => scenario = Some(Scenario::HttpPublish),
                "webhooks" => scenario = Some(Scenario::Webhooks),
                "idle" => scenario = Some(Scenario::Idle),
                "login" => scenario = Some(Scenario::Login),
                "watchers" => scenario = Some(Scenario::Watchers),
                "resume" => scenario = Some(Scenario::Resume),
                "resumption" => scenario = Some(Scenario::Resumption),
                "subscriptions" => scenario = Some(Scenario::Subscriptions),
                "nodes" => scenario = Some(Scenario::Nodes),
                "contacts" => scenario = Some(Scenario::Contacts),
                "broken" => scenario = Some(Scenario::Broken),
                "guessing" => scenario = Some(Scenario::Guessing),
                "self-check" => scenario = Some(Scenario::SelfCheck),
                "--full-jid" => options.full_jid = true,
                "--one-account" => options.one_account = true,
                "--transient" => options.persist = false,
                "--https" => options.https = true,
                name if name.starts_with("--") => {
                    let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
                    options.set(name, &value)?;
                }
                other => return Err(format!("{other:?} is not a scenario").into()),
            }
        }
        match scenario {
            Some(scenario) => {
                options.scenario = scenario;
                options.check()?;
                Ok(Some(options))
            }
            None => Ok(None),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "--server" => {
                self.target = match value {
                    "tidings" => Target::Tidings,
                    "prosody" => Target::Prosody,
                    "nchan" => Target::Nchan,
                    other => return Err(format!("--server is tidings, prosody or nchan, not {other:?}").into()),
                }
            }
            "--connect" => self.target = Target::Running { xmpp: loopback(value)?, http: None },
            "--http" => match &mut self.target {
                Target::Running { http, .. } => *http = Some(loopback(value)?),
                _ => return Err("--http goes with --connect, after it".into()),
            },
            "--binary" => self.binary = value.into(),
            "--set" => self.settings.push(value.to_owned()),
            "--data" => self.data = Some(value.into()),
            "--domain" => self.domain = value.to_owned(),
            "--service" => self.service = value.to_owned(),
            "--password" => self.password = value.to_owned(),
            "--pid" => self.pid = Some(number(name, value)?),
            "--token" => self.token = Some(value.to_owned()),
            "--mechanism" => self.mechanism = Some(value.to_owned()),
            "--tls" => {
                self.tls = match value {
                    "starttls" => Tls::Start,
                    "direct" => Tls::Direct,
                    other => return Err(format!("--tls is starttls or direct, not {other:?}").into()),
                }
            }
            "--threads" => self.threads = number(name, value)?,
            "--sessions" => self.sessions = number(name, value)?,
            "--levels" => self.levels = value.split(',').map(|v| number(name, v)).collect::<Outcome<_>>()?,
            "--inflight" => self.inflight = number(name, value)?,
            "--publishers" => self.publishers = number(name, value)?,
            "--ahead" => self.ahead = number(name, value)?,
            "--payload" => self.payload_bytes = number(name, value)?,
            "--max-items" => self.max_items = number(name, value)?,
            "--seconds" => self.seconds = number(name, value)?,
            "--warmup" => self.warmup = number(name, value)?,
            "--settle" => self.settle = number(name, value)?,
            "--concurrency" => self.concurrency = number(name, value)?,
            "--rate" => self.rate = Some(number(name, value)?),
            "--hanging" => self.hanging = number(name, value)?,
            "--dead" => self.dead = number(name, value)?,
            "--durability" => self.durability = Some(value.to_owned()),
            other => return Err(format!("there is no option {other}").into()),
        }
        Ok(())
    }

    /// Bounds: what is asked for must end, and must fit one machine.
    fn check(&self) -> Outcome<()> {
        let bounds = [
            ("--threads", self.threads, 1, 64),
            ("--sessions", self.sessions, 1, if self.scenario == Scenario::Broken { MAX_BROKEN } else { MAX_SESSIONS }),
            ("--inflight", self.inflight, 1, 4096),
            ("--publishers", self.publishers, 1, 64),
            ("--payload", self.payload_bytes, 128, 65_536),
            ("--max-items", self.max_items, 1, 10_000),
            ("--seconds", self.seconds as usize, 1, 600),
            ("--warmup", self.warmup as usize, 0, 60),
            ("--settle", self.settle as usize, 1, 300),
            ("--rate", self.rate.unwrap_or(1) as usize, 1, 100_000),
            ("--hanging", self.hanging, 0, MAX_SESSIONS),
            ("--dead", self.dead, 0, MAX_SESSIONS),
            ("--concurrency", self.concurrency, 1, 256),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                return Err(format!("{name} must be from {least} to {most}, not {value}").into());
            }
        }
        if self.levels.len() < 2 || !self.levels.is_sorted_by(|a, b| a < b) || self.levels[0] == 0 {
            return Err("--levels wants at least two rising numbers".into());
        }
        let many = matches!(self.scenario, Scenario::Resume | Scenario::Subscriptions | Scenario::Nodes);
        let most = if many { MAX_EVENTS } else { MAX_SESSIONS };
        if self.levels.iter().any(|level| *level > most) {
            return Err(format!("--levels must not pass {most}").into());
        }
        if matches!(self.scenario, Scenario::Nodes | Scenario::Contacts) && self.target != Target::Tidings {
            return Err("nodes and contacts are for a tidings that was started here".into());
        }
        if self.target == Target::Nchan && self.scenario != Scenario::Watchers {
            return Err("nchan is for watchers alone".into());
        }
        if self.scenario == Scenario::Webhooks && self.hanging + self.dead >= self.sessions {
            return Err("--hanging and --dead must leave endpoints that are well".into());
        }
        if self.scenario == Scenario::Publish && self.publishers > self.inflight {
            return Err("--publishers must not pass --inflight: each publisher needs a publish of its own".into());
        }
        Ok(())
    }

    /// How many accounts the scenario logs in to.
    pub fn accounts(&self) -> usize {
        let publishers = self.publishers.max(1);
        match self.scenario {
            _ if self.one_account => publishers,
            Scenario::Fanout => self.sessions + 1,
            Scenario::Login | Scenario::Resumption => self.sessions,
            Scenario::Contacts => self.sessions + 1,
            Scenario::Subscriptions => self.levels[0] + 1,
            Scenario::Idle => self.levels.iter().copied().max().unwrap_or(1),
            _ => publishers,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            scenario: Scenario::SelfCheck,
            target: Target::Tidings,
            binary: env!("CARGO_BIN_EXE_tidings").into(),
            settings: Vec::new(),
            data: None,
            domain: "localhost".to_owned(),
            service: "pubsub.localhost".to_owned(),
            password: "correct-horse-7".to_owned(),
            pid: None,
            token: None,
            mechanism: None,
            tls: Tls::Start,
            threads: 2,
            sessions: 1000,
            levels: vec![1000, 5000],
            inflight: 8,
            publishers: 8,
            ahead: 256,
            payload_bytes: 1024,
            max_items: 100,
            persist: true,
            seconds: 30,
            warmup: 3,
            settle: 60,
            concurrency: 32,
            full_jid: false,
            one_account: false,
            durability: None,
            https: false,
            rate: None,
            hanging: 0,
            dead: 0,
        }
    }
}

fn number<N: std::str::FromStr>(name: &str, value: &str) -> Outcome<N> {
    value.parse().map_err(|_| format!("{name} wants a number, not {value:?}").into())
}

/// Only this machine is ever a target.
fn loopback(value: &str) -> Outcome<SocketAddr> {
    let address = value
        .to_socket_addrs()
        .map_err(|why| format!("{value:?} is not an address: {why}"))?
        .find(|address| address.ip().is_loopback());
    address.ok_or_else(|| format!("{value:?} is not a loopback address").into())
}

const MAX_SESSIONS: usize = 20_000;
/// They are broken off one after the other: only time limits them.
const MAX_BROKEN: usize = 1_000_000;
const MAX_EVENTS: usize = 2_000_000;

pub const HELP: &str = "\
The load driver. It starts a server on loopback, runs one scenario, prints a table and one line of JSON, and exits
with 1 when an item was lost or came out of order, or a session was lost.

    cargo bench --bench load -- SCENARIO [OPTIONS]

SCENARIO
  fanout        subscribed sessions on one node, one publisher; every session checks order and completeness
  publish       acknowledged publishes to nodes of their own over XMPP
  http-publish  the same over HTTP with an API token (not on Prosody)
  webhooks      deliveries to endpoints on loopback over plain HTTP, in parallel mode (not on Prosody)
  idle          resident memory per logged-in session, as the slope between two numbers of sessions
  login         server CPU per login (TLS handshake, SASL, bind)
  resumption    server CPU per resumed session (XEP-0198) over a new connection, beside that of a login
  watchers      event streams over HTTP on one node: memory of an idle one, CPU and latency of a delivered event
  resume        long polls from a cursor near the end of a log and from one in its middle, with few and many events
  subscriptions publishes to, and subscriptions of, a node with many subscribers of whom few are online
  nodes         start-up time and resident memory with few nodes stored and with many, after a restart
  contacts      logins of one account that is notified of the last items of five nodes of each of its contacts
  broken        connections broken off at each stage before authentication: what stays of them
  guessing      passwords guessed over HTTP, and how long others wait for their publishes meanwhile
  self-check    the driver's own checks, without a server

SERVER
  --server tidings|prosody|nchan   which one to start (tidings)
  --binary PATH              the tidings to start (the one cargo has just built)
  --set KEY=VALUE            one more setting for tidings; may be given again
  --durability full|relaxed  store.durability for tidings
  --data DIR                 where the server's data directory is made (a temporary directory)
  --connect HOST:PORT        a server that runs already; its accounts load0, load1, ... must exist
  --http HOST:PORT           its HTTP listener, with --token TOKEN
  --pid PID                  its process, for CPU and memory
  --domain, --service        its names (localhost, pubsub.localhost)
  --password                 the password of every account
  --mechanism NAME           SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN (the best offered, in this order)
  --tls starttls|direct      direct TLS needs a server that listens for it (starttls)

LOAD
  --sessions N      sessions of fanout and login, endpoints of webhooks, event streams of watchers, contacts (1000)
  --levels A,B      sessions of idle, events of resume, subscribers online and all, stored nodes (1000,5000)
  --inflight N      publishes in flight, over all publishers (8)
  --publishers N    publishing sessions of publish, connections excepted (8)
  --ahead N         fanout: the publisher waits while the slowest session is this many items behind; 0: never (256)
  --payload BYTES   size of the payload element (1024)
  --max-items N     pubsub#max_items of the nodes (100)
  --rate N          webhooks, watchers, http-publish: publishes a second, over --inflight connections (webhooks: 2000,
                    else as many as are answered)
  --https           HTTP over TLS
  --hanging N       webhooks: endpoints that do not answer (0)
  --dead N          webhooks: endpoints that refuse connections (0)
  --transient       pubsub#persist_items=0
  --full-jid        fanout: subscribe the full JID
  --one-account     every session logs in to one account
  --seconds N       how long is measured (30)
  --warmup N        seconds before that (3)
  --settle N        idle, watchers: seconds between the last login and the reading (60)
  --concurrency N   logins under way at once (32)
  --threads N       threads of the driver (2)
";
