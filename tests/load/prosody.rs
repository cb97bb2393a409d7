//! Debian's Prosody as the server under load: a configuration with what pub/sub needs and nothing else.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::client::account;
use crate::options::Options;
use crate::scram::{Mechanism, hashed, keyed, salted_password};
use crate::server::output;

/// Everything to start it with.
pub struct Prepared {
    pub name: String,
    pub settings: Vec<String>,
    pub xmpp: SocketAddr,
    pub xmpp_tls: SocketAddr,
    pub command: Command,
}

/// Writes configuration, certificate and accounts below `folder`.
pub fn prepare(options: &Options, folder: &Path) -> Outcome<Prepared> {
    let (xmpp, xmpp_tls) = free_ports()?;
    let data = folder.join("data");
    std::fs::create_dir(&data)?;
    certificate(options, folder)?;
    write_accounts(options, &data)?;
    let config = folder.join("prosody.cfg.lua");
    std::fs::write(&config, configuration(options, folder, xmpp, xmpp_tls))?;
    let mut command = Command::new("prosody");
    command.arg("-F").arg("--config").arg(&config);
    if let (true, Some((uid, gid))) = (rustix::process::geteuid().is_root(), own_user()) {
        give(folder, uid, gid)?;
        command.uid(uid).gid(gid).current_dir(&data);
    }
    let about = output(Command::new("prosodyctl").arg("about")).map_err(|why| {
        format!("{why}\nProsody must be installed for this: apt-get update && apt-get install -y prosody")
    })?;
    let line = |start: &str| {
        let line = about.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let settings = vec![
        "pubsub component, internal storage, SCRAM-SHA-1 with 4096 rounds, ECDSA P-256 certificate".to_owned(),
        "no mod_limits, smacks, carbons, pep; log at warn".to_owned(),
    ];
    let name = format!("{} ({})", line("Prosody "), line("Lua version"));
    Ok(Prepared { name, settings, xmpp, xmpp_tls, command })
}

fn configuration(options: &Options, folder: &Path, xmpp: SocketAddr, xmpp_tls: SocketAddr) -> String {
    let admins: Vec<String> =
        (0..options.publishers.max(1)).map(|n| format!("\"{}@{}\"", account(n), options.domain)).collect();
    format!(
        r#"-- written by the load driver
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {xmpp} }}
c2s_direct_tls_ports = {{ {xmpp_tls} }}
component_ports = {{}}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "ping" }}
modules_disabled = {{ "s2s", "offline" }}
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
certificates = "{folder}"
ssl = {{ certificate = "{folder}/certificate.crt", key = "{folder}/certificate.key" }}
log = {{ warn = "*console" }}
admins = {{ {admins} }}
VirtualHost "{domain}"
Component "{service}" "pubsub"
  pubsub_max_items = 10000
"#,
        folder = folder.display(),
        xmpp = xmpp.port(),
        xmpp_tls = xmpp_tls.port(),
        admins = admins.join(", "),
        domain = options.domain,
        service = options.service,
    )
}

pub fn certificate(options: &Options, folder: &Path) -> Outcome<()> {
    let made = rcgen::generate_simple_self_signed(vec![options.domain.clone()])?;
    std::fs::write(folder.join("certificate.crt"), made.cert.pem())?;
    let key = folder.join("certificate.key");
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok(std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?)
}

/// One salt for all: the accounts are for load, and the driver then derives the keys once.
fn write_accounts(options: &Options, data: &Path) -> Outcome<()> {
    let folder = data.join(escaped(&options.domain)).join("accounts");
    std::fs::create_dir_all(&folder)?;
    let salt = "load-driver-salt";
    let salted = salted_password(Mechanism::ScramSha1, &options.password, salt.as_bytes(), ROUNDS);
    let client_key = keyed(Mechanism::ScramSha1, &salted, b"Client Key");
    let stored = hex(&hashed(Mechanism::ScramSha1, &client_key));
    let server = hex(&keyed(Mechanism::ScramSha1, &salted, b"Server Key"));
    let text = format!(
        "return {{\n\t[\"iteration_count\"] = {ROUNDS};\n\t[\"salt\"] = \"{salt}\";\n\
         \t[\"stored_key\"] = \"{stored}\";\n\t[\"server_key\"] = \"{server}\";\n}};\n"
    );
    for number in 0..options.accounts() {
        std::fs::write(folder.join(format!("{}.dat", account(number))), &text)?;
    }
    Ok(())
}

/// How Prosody's internal storage writes a name in a path.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => out.push(byte.into()),
            false => write!(out, "%{byte:02x}").expect("a string takes any text"),
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Two ports that are free now. Prosody cannot be told to let the system choose and to say which.
pub fn free_ports() -> Outcome<(SocketAddr, SocketAddr)> {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((one.local_addr()?, other.local_addr()?))
}

/// Prosody does not run as root: the package has made a user for it.
fn own_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("prosody:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn give(path: &Path, uid: u32, gid: u32) -> Outcome<()> {
    chown(path, Some(uid), Some(gid))?;
    if path.is_dir() {
        let entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
        entries.iter().try_for_each(|entry| give(entry, uid, gid))?;
    }
    Ok(())
}

const ROUNDS: u32 = 4096;
