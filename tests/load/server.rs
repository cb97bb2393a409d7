//! The server that is measured: starts it, finds its listeners and its process, ends it.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use crate::Outcome;
use crate::measure::Process;
use crate::options::{Options, Scenario, Target, Tls};
use crate::{accounts, nchan, prosody};

/// One server, ready to be logged in to.
pub struct Server {
    /// What it is and which version.
    pub name: String,
    /// Everything that differs from its defaults.
    pub settings: Vec<String>,
    xmpp: SocketAddr,
    xmpp_tls: Option<SocketAddr>,
    http: Option<SocketAddr>,
    /// An API token of the first account.
    pub token: Option<String>,
    pid: Option<u32>,
    started: Option<Started>,
}

/// A child and the folder it works in.
struct Started {
    child: Child,
    folder: TempDir,
    /// The program and its words, to start it again.
    words: Vec<OsString>,
}

impl Server {
    pub fn xmpp(&self, tls: Tls) -> Outcome<SocketAddr> {
        match tls {
            Tls::Start => Ok(self.xmpp),
            Tls::Direct => self.xmpp_tls.ok_or_else(|| "this server has no listener for direct TLS".into()),
        }
    }

    pub fn http(&self) -> Outcome<SocketAddr> {
        self.http.ok_or_else(|| "this server has no HTTP listener".into())
    }

    /// Where its data lies, of one that was started here.
    pub fn folder(&self) -> Option<&Path> {
        self.started.as_ref().map(|started| started.folder.path())
    }

    pub fn process(&self) -> Option<Process> {
        self.pid.map(Process)
    }

    /// Ends a tidings that was started here and starts it again on the same data; how long it took until it was ready.
    pub fn restart(&mut self) -> Outcome<Duration> {
        let mut started = self.started.take().ok_or("a server that runs already is not started again")?;
        end(&mut started);
        let ready = started.folder.path().join(READY);
        std::fs::remove_file(&ready)?;
        let mut command = Command::new(&started.words[0]);
        command.args(&started.words[1..]);
        let began = Instant::now();
        let mut started = spawn(command, started.folder)?;
        let addresses = wait_for_ready(&mut started, &ready, Duration::from_millis(1))?;
        let took = began.elapsed();
        self.xmpp = addresses["xmpp"].as_str().ok_or("the ready file names no XMPP listener")?.parse()?;
        self.pid = Some(started.child.id());
        self.started = Some(started);
        Ok(took)
    }

    /// Asks a server that was started here to end, and makes it; gives the end of what it has logged.
    pub fn stop(&mut self) -> String {
        let Some(mut started) = self.started.take() else { return String::new() };
        end(&mut started);
        log_tail(started.folder.path())
    }
}

fn end(started: &mut Started) {
    if let Some(pid) = Pid::from_raw(started.child.id() as i32) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let patience = Instant::now() + STOP_LIMIT;
    while Instant::now() < patience && matches!(started.child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = started.child.kill();
    let _ = started.child.wait();
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts what the options ask for, or finds what runs.
pub fn start(options: &Options) -> Outcome<Server> {
    match &options.target {
        Target::Tidings => start_tidings(options),
        Target::Prosody => start_prosody(options),
        Target::Nchan => start_nchan(options),
        Target::Running { xmpp, http } => Ok(Server {
            name: format!("the server at {xmpp}"),
            settings: Vec::new(),
            xmpp: *xmpp,
            xmpp_tls: Some(*xmpp),
            http: *http,
            token: options.token.clone(),
            pid: options.pid,
            started: None,
        }),
    }
}

fn start_tidings(options: &Options) -> Outcome<Server> {
    let folder = folder(options)?;
    let data = folder.path().join("data");
    let ready = folder.path().join(READY);
    let mut settings: Vec<String> = TIDINGS_SETTINGS.iter().map(|s| (*s).to_owned()).collect();
    settings.extend(options.durability.iter().map(|durability| format!("store.durability={durability}")));
    if options.one_account {
        settings.push(format!("limits.sessions_per_account={}", options.sessions.max(options.publishers) + 16));
    }
    if options.scenario == Scenario::Watchers {
        settings.push(format!("limits.watches_per_account={}", options.sessions + 16));
    }
    if options.scenario == Scenario::Resume {
        settings.extend(["retention.events=10000000", "retention.bytes=1000000000000"].map(str::to_owned));
    }
    if options.https {
        // Over loopback it is plain; a listener for all addresses speaks TLS, and is reached over loopback all the same.
        prosody::certificate(options, folder.path())?;
        let at = folder.path().display();
        settings.retain(|setting| !setting.starts_with("http.listen="));
        settings.push("http.listen=0.0.0.0:0".to_owned());
        settings.push(format!("tls.certificate={at}/certificate.crt"));
        settings.push(format!("tls.key={at}/certificate.key"));
    }
    settings.extend(options.settings.iter().cloned());
    let tidings = |words: &[&str]| {
        let mut command = Command::new(&options.binary);
        command.args(words).arg("--data").arg(&data);
        for setting in &settings {
            command.arg("--set").arg(setting);
        }
        command
    };
    let name = output(Command::new(&options.binary).arg("version"))?;
    accounts::import_into_tidings(options, folder.path(), &tidings)?;
    let token = match options.scenario {
        Scenario::HttpPublish | Scenario::Watchers | Scenario::Webhooks | Scenario::Resume | Scenario::Guessing => {
            Some(accounts::token(&tidings, &options.domain)?)
        }
        _ => None,
    };
    let mut command = tidings(&["serve"]);
    command.arg("--ready-file").arg(&ready);
    let mut started = spawn(command, folder)?;
    let addresses = wait_for_ready(&mut started, &ready, POLL)?;
    let address = |name: &str| addresses.get(name)?.as_str()?.parse().ok();
    Ok(Server {
        name: name.lines().next().unwrap_or("tidings").to_owned(),
        settings,
        xmpp: address("xmpp").ok_or("the ready file names no XMPP listener")?,
        xmpp_tls: address("xmpp_tls"),
        http: address("http").map(|address: SocketAddr| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())),
        token,
        pid: Some(started.child.id()),
        started: Some(started),
    })
}

fn start_prosody(options: &Options) -> Outcome<Server> {
    let folder = folder(options)?;
    let prepared = prosody::prepare(options, folder.path())?;
    let mut started = spawn(prepared.command, folder)?;
    let patience = Instant::now() + START_LIMIT;
    while TcpStream::connect(prepared.xmpp).is_err() {
        still_starting(&mut started, patience, POLL)?;
    }
    Ok(Server {
        name: prepared.name,
        settings: prepared.settings,
        xmpp: prepared.xmpp,
        xmpp_tls: Some(prepared.xmpp_tls),
        http: None,
        token: None,
        pid: Some(started.child.id()),
        started: Some(started),
    })
}

fn start_nchan(options: &Options) -> Outcome<Server> {
    let folder = folder(options)?;
    let prepared = nchan::prepare(options, folder.path())?;
    let mut started = spawn(prepared.command, folder)?;
    let patience = Instant::now() + START_LIMIT;
    let worker = loop {
        match nchan::worker(started.child.id()) {
            Some(worker) if TcpStream::connect(prepared.http).is_ok() => break worker,
            _ => still_starting(&mut started, patience, POLL)?,
        }
    };
    Ok(Server {
        name: prepared.name,
        settings: prepared.settings,
        xmpp: prepared.http,
        xmpp_tls: None,
        http: Some(prepared.http),
        token: None,
        pid: Some(worker),
        started: Some(started),
    })
}

fn folder(options: &Options) -> Outcome<TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("load-");
    Ok(match &options.data {
        Some(parent) => named.tempdir_in(parent)?,
        None => named.tempdir()?,
    })
}

/// Starts a server that ends when the driver does, however the driver ends.
fn spawn(mut command: Command, folder: TempDir) -> Outcome<Started> {
    let log = File::create(folder.path().join(LOG))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: between fork and exec only one async-signal-safe system call is made. The signal follows the thread that
    // forks: this is the main thread, which lives as long as the driver.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
    let shown = command.get_program().to_owned();
    let child = command.spawn().map_err(|why| format!("{} could not be started: {why}", shown.display()))?;
    let words = std::iter::once(shown).chain(command.get_args().map(OsString::from)).collect();
    Ok(Started { child, folder, words })
}

fn wait_for_ready(started: &mut Started, ready: &Path, poll: Duration) -> Outcome<serde_json::Value> {
    let patience = Instant::now() + START_LIMIT;
    loop {
        if let Some(addresses) = std::fs::read(ready).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(addresses);
        }
        still_starting(started, patience, poll)?;
    }
}

fn still_starting(started: &mut Started, patience: Instant, poll: Duration) -> Outcome<()> {
    let ended = started.child.try_wait()?.map(|status| format!("the server ended ({status})"));
    let late = (Instant::now() > patience).then(|| format!("the server was not ready in {START_LIMIT:?}"));
    if let Some(why) = ended.or(late) {
        let _ = started.child.kill();
        let _ = started.child.wait();
        return Err(format!("{why}\n{}", log_tail(started.folder.path())).into());
    }
    std::thread::sleep(poll);
    Ok(())
}

/// Runs a command that ends by itself; its output.
pub fn output(command: &mut Command) -> Outcome<String> {
    let shown = PathBuf::from(command.get_program());
    let done =
        command.stdin(Stdio::null()).output().map_err(|why| format!("{} could not be run: {why}", shown.display()))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => {
            let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
            let said = String::from_utf8_lossy(&done.stderr);
            Err(format!("{} {} failed ({}): {said}", shown.display(), arguments.join(" "), done.status).into())
        }
    }
}

fn log_tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Ports are the system's choice; limits that protect a server from a flood are off, since the load is one.
const TIDINGS_SETTINGS: &[&str] = &[
    "xmpp.listen=127.0.0.1:0",
    "xmpp.listen_tls=127.0.0.1:0",
    "http.listen=127.0.0.1:0",
    "admin.listen=127.0.0.1:0",
    "auth.scram_iterations=4096",
    "limits.connections_per_second=0",
    "limits.pending_authentications=0",
    "limits.http_bytes_per_second=0",
    "webhooks.allow_http=true",
    "webhooks.networks=127.0.0.0/8",
];

const LOG: &str = "server.log";
const READY: &str = "ready.json";
/// How often is looked whether a server is ready.
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 30;
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
