//! What is printed when the server serves: where it is, who administers it, and what to try.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::data::{ADMIN_PASSWORD, ADMIN_TOKEN};
use super::first_run::own_certificate;
use super::{Bound, FirstRun};
use crate::config::Config;

/// The text for people. Its secrets are those of the first run; the lines to paste read them from
/// their files, and so work on every run.
pub fn welcome(config: &Config, bound: &Bound, first: &FirstRun) -> String {
    let dir = std::path::absolute(&config.data.dir).unwrap_or_else(|_| config.data.dir.clone());
    let mut text = format!(
        "Tidings {} serves {}, with pub/sub at {}\n\n",
        env!("CARGO_PKG_VERSION"),
        config.xmpp.domain,
        config.pubsub.service
    );
    let mut row = |name: &str, value: String| writeln!(text, "  {name:<14} {value}").expect(WRITES);
    if let Some(address) = bound.xmpp {
        row("XMPP", format!("{address} with STARTTLS"));
    }
    if let Some(address) = bound.xmpp_tls {
        row("XMPP", format!("{address} with TLS"));
    }
    if let Some(address) = bound.http {
        row("HTTP API", base(config, address));
    }
    if let Some(address) = bound.admin {
        row("admin", base(config, address));
    }
    row("data", dir.display().to_string());
    if config.tls.certificate.is_none() {
        row("certificate", format!("{} (self-signed)", own_certificate(&dir, &config.xmpp.domain).chain.display()));
    }
    match &first.administrator {
        Some(jid) => row("administrator", jid.to_string()),
        None => row("administrator", "none: stop the server and run tidings user add NAME --admin".to_owned()),
    }
    if let Some(password) = &first.password {
        row("password", format!("{password} (kept in {})", dir.join(ADMIN_PASSWORD).display()));
    }
    if let Some(token) = &first.token {
        row("API token", format!("{token} (kept in {})", dir.join(ADMIN_TOKEN).display()));
    }
    if let (Some(http), Some(_)) = (bound.http, &first.administrator) {
        text.push_str(&to_paste(config, &dir, bound, &base(config, http)));
    }
    text
}

/// A node is created, watched, published to; and the way in for XMPP clients.
fn to_paste(config: &Config, dir: &Path, bound: &Bound, base: &str) -> String {
    let token = quoted(&dir.join(ADMIN_TOKEN));
    let bearer = format!("-H \"Authorization: Bearer $(cat {token})\"");
    let json = "-H 'Content-Type: application/json'";
    let node = format!("{base}/v1/nodes/hello");
    let mut text = format!(
        "\nTo try it, in another terminal: create a node, watch it, publish to it, log in.\n\n\
         \x20 curl -X PUT {bearer} {json} -d '{{}}' {node}\n\
         \x20 curl -N {bearer} -H 'Accept: text/event-stream' '{node}/items?watch=true'\n\
         \x20 curl {bearer} {json} -d '{{\"hello\":\"world\"}}' {node}/items\n"
    );
    if let Some(address) = bound.xmpp {
        let admin = format!("admin@{}", config.xmpp.domain);
        let password = quoted(&dir.join(ADMIN_PASSWORD));
        let reached = reachable(address);
        writeln!(
            text,
            "  echo hello | go-sendxmpp --username {admin} --password \"$(cat {password})\" --jserver {reached} \
             --no-tls-verify {admin}"
        )
        .expect(WRITES);
    }
    text.push('\n');
    text
}

/// Plain HTTP on loopback, TLS anywhere else.
fn base(config: &Config, address: SocketAddr) -> String {
    if address.ip().to_canonical().is_loopback() {
        format!("http://{address}")
    } else {
        format!("https://{}:{}", config.xmpp.domain, address.port())
    }
}

/// The address by which a listener is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
    }
    address
}

/// A path as a shell takes it, within double quotes too.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

const WRITES: &str = "writing to a string never fails";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Sources, load};
    use crate::jid::BareJid;

    fn text(first: &FirstRun) -> String {
        let sources = Sources { data: Some(PathBuf::from("/srv/my data")), ..Sources::default() };
        let bound = Bound {
            xmpp: Some("127.0.0.1:5222".parse().unwrap()),
            xmpp_tls: None,
            component: None,
            http: Some("127.0.0.1:8080".parse().unwrap()),
            admin: Some("0.0.0.0:8081".parse().unwrap()),
        };
        welcome(&load(&sources).unwrap(), &bound, first)
    }

    #[test]
    fn the_first_run_shows_its_secrets_and_the_second_the_same_without() {
        let administrator = Some(BareJid::parse("admin@localhost").unwrap());
        let secrets = FirstRun {
            administrator: administrator.clone(),
            password: Some("hunter2".to_owned()),
            token: Some("tdg_local_x".to_owned()),
        };
        let (first, second) = (text(&secrets), text(&FirstRun { administrator, ..FirstRun::default() }));
        assert!(first.contains("hunter2") && first.contains("tdg_local_x"));
        assert!(!second.contains("hunter2") && !second.contains("tdg_local_x"));
        let pasted = |text: &str| {
            text.lines().filter(|line| line.contains("curl") || line.contains("sendxmpp")).map(str::to_owned).collect()
        };
        let lines: Vec<String> = pasted(&second);
        assert_eq!(lines, pasted(&first) as Vec<String>);
        assert_eq!(lines.len(), 4);
        let expected = "  curl -X PUT -H \"Authorization: Bearer $(cat '/srv/my data/admin.token')\" -H 'Content-Type: \
                        application/json' -d '{}' http://127.0.0.1:8080/v1/nodes/hello";
        assert_eq!(lines[0], expected);
        assert!(second.contains("  admin          https://localhost:8081\n"));
        assert!(second.contains("  XMPP           127.0.0.1:5222 with STARTTLS\n"));
        assert!(!second.contains("with TLS"));
    }
}
