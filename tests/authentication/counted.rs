//! What `/metrics` tells: every limit is hit over a socket and counted, and everything that is counted
//! is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidings::counts::{Label, Limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Hello, PATIENCE, SASL, SASL2, SM};
use crate::house::House;

const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'/>";
const RESUMABLE: &str = "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// Every number that the server tells, by its name with its labels.
async fn scrape(house: &House) -> BTreeMap<String, i64> {
    let text = http(house.running.addresses.admin.unwrap(), "GET /metrics HTTP/1.1\r\nHost: x\r\n", "").await;
    let lines = text.split_once("\r\n\r\n").unwrap().1.lines().filter(|line| !line.starts_with('#'));
    let number = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    lines.filter_map(number).collect()
}

/// One request on a connection of its own, and the whole answer.
async fn http(address: SocketAddr, head: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until a number is as it should be.
async fn counted(house: &House, name: &str, holds: impl Fn(i64) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told = scrape(house).await;
        let value = *told.get(name).unwrap_or_else(|| panic!("{name} is not told"));
        if holds(value) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{name} stays {value}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn log_in(house: &House, name: &str, inline: &str) -> Client {
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let success = client.plain(name, &format!("{name}-password"), inline).await.unwrap();
    assert!(success.is("success", SASL2), "{success}");
    client.features = client.next().await.unwrap();
    client
}

/// A stream in the clear, open as long as it is held.
async fn knock(house: &House) -> TcpStream {
    let mut socket = TcpStream::connect(house.starttls()).await.unwrap();
    socket.write_all(HEADER.as_bytes()).await.unwrap();
    socket
}

fn basic(name: &str) -> String {
    format!("Host: x\r\nAuthorization: Basic {}\r\n", STANDARD.encode(format!("{name}@localhost:{name}-password")))
}

/// The settings under which a limit is hit soon.
fn settings(limit: Limit) -> &'static [&'static str] {
    match limit {
        Limit::ConnectionRate => &["limits.connections_per_second=1"],
        Limit::PendingAuthentications => &["limits.pending_authentications=1"],
        Limit::GateDeadline => &["limits.connections_per_second=0", "limits.pending_authentications=1"],
        Limit::HandshakeDeadline | Limit::NegotiationDeadline => &["limits.negotiation_seconds=1"],
        Limit::IdleDeadline => &["limits.ping_seconds=1", "limits.idle_seconds=2"],
        Limit::WriteDeadline => &["limits.stall_seconds=1"],
        Limit::AckDeadline => &["limits.ping_seconds=1", "sm.ack_seconds=1"],
        Limit::StanzaRate => &["limits.stanzas_per_second=1"],
        Limit::ByteRate => &["limits.bytes_per_second=1000"],
        Limit::SessionsPerAccount => &["limits.sessions_per_account=1"],
        Limit::AnonymousSessions => &["auth.anonymous=guests.localhost", "limits.anonymous_sessions=1"],
        Limit::SmQueue => &["sm.queue_stanzas=16"],
        Limit::HibernatedSessions => &["sm.hibernated_per_account=1"],
        Limit::RosterItems => &["im.roster_items=1"],
        Limit::BlockedAddresses => &["im.blocked_addresses=1"],
        Limit::OfflineMessages => &["im.offline_messages=1"],
        Limit::Registrations => &["im.register=true", "limits.registrations_per_hour=1"],
        Limit::AuthFailures => &["limits.auth_failures=1"],
        Limit::PasswordChecks => &["limits.password_checks_waiting=1", "auth.scram_iterations=200000"],
        Limit::BoshSessions => &["bosh.sessions=1"],
        Limit::WatchesPerAccount => &["limits.watches_per_account=1", "pubsub.auto_create=true"],
        Limit::HttpRate => &["limits.http_requests_per_second=1"],
        Limit::HttpConnections => &["limits.http_connections=1"],
        // `tests/descriptors.rs`: it takes them from a whole process.
        Limit::Descriptors => &[],
    }
}

/// Hits a limit; what is returned is to be held until it was counted.
async fn hit(limit: Limit, house: &House) -> (Vec<TcpStream>, Vec<Client>) {
    let (mut sockets, mut clients) = (vec![], vec![]);
    match limit {
        Limit::ConnectionRate | Limit::PendingAuthentications | Limit::GateDeadline => {
            for _ in 0..3 {
                sockets.push(knock(house).await);
            }
        }
        Limit::HandshakeDeadline => {
            let mut socket = TcpStream::connect(house.direct()).await.unwrap();
            socket.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
            sockets.push(socket);
        }
        Limit::NegotiationDeadline => sockets.push(knock(house).await),
        Limit::IdleDeadline => clients.push(log_in(house, "alice", BIND).await),
        Limit::AckDeadline => clients.push(log_in(house, "alice", RESUMABLE).await),
        Limit::WriteDeadline => {
            let mut client = log_in(house, "alice", BIND).await;
            let ask =
                "<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
            let asked = ask.repeat(100);
            // Until nothing more is taken: the answers fill what the system buffers, and then the queue.
            while let Ok(sent) = tokio::time::timeout(std::time::Duration::from_secs(2), client.send(&asked)).await {
                if sent.is_err() {
                    break;
                }
            }
            clients.push(client);
        }
        Limit::StanzaRate | Limit::ByteRate => {
            let mut client = log_in(house, "alice", BIND).await;
            let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
            client.send(&ping.repeat(40)).await.unwrap();
            clients.push(client);
        }
        Limit::SessionsPerAccount => {
            clients.push(log_in(house, "alice", BIND).await);
            let mut second = Hello::default().connect(house.direct()).await.unwrap();
            let refused = second.plain("alice", "alice-password", BIND).await.unwrap();
            assert_eq!(refused.name(), "error", "{refused}");
        }
        Limit::AnonymousSessions => {
            for expected in ["success", "failure"] {
                let guests = Hello { domain: "guests.localhost".to_owned(), ..Hello::default() };
                let mut client = guests.connect(house.direct()).await.unwrap();
                assert_eq!(client.authenticate("ANONYMOUS", b"", "").await.unwrap().name(), expected);
                clients.push(client);
            }
        }
        Limit::SmQueue => {
            let mut client = log_in(house, "alice", RESUMABLE).await;
            let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
            client.send(&ping.repeat(100)).await.unwrap();
            clients.push(client);
        }
        Limit::HibernatedSessions => {
            for _ in 0..2 {
                drop(log_in(house, "alice", RESUMABLE).await);
            }
        }
        Limit::RosterItems | Limit::BlockedAddresses => {
            let mut client = log_in(house, "alice", BIND).await;
            for name in ["one", "two"] {
                let asked = match limit {
                    Limit::RosterItems => {
                        format!("<query xmlns='jabber:iq:roster'><item jid='{name}@localhost'/></query>")
                    }
                    _ => format!("<block xmlns='urn:xmpp:blocking'><item jid='{name}@localhost'/></block>"),
                };
                client.send(&format!("<iq type='set' id='{name}'>{asked}</iq>")).await.unwrap();
            }
            clients.push(client);
        }
        Limit::OfflineMessages => {
            let mut client = log_in(house, "alice", BIND).await;
            let message = "<message to='bob@localhost' type='chat'><body>b</body></message>";
            client.send(&message.repeat(2)).await.unwrap();
            clients.push(client);
        }
        Limit::Registrations => {
            let mut client = Hello::default().connect(house.direct()).await.unwrap();
            for name in ["alice", "carol"] {
                let query = format!("<username>{name}</username><password>a-password</password>");
                let query = format!("<query xmlns='jabber:iq:register'>{query}</query>");
                client.send(&format!("<iq type='set' id='r'>{query}</iq>")).await.unwrap();
                assert_eq!(client.next().await.unwrap().attr("type"), Some("error"));
            }
        }
        Limit::AuthFailures => {
            for _ in 0..2 {
                let mut client = Hello::default().connect(house.direct()).await.unwrap();
                let refused = client.plain("alice", "wrong", "").await.unwrap();
                assert_eq!(refused.name(), "failure", "{refused}");
            }
        }
        Limit::PasswordChecks => {
            for name in ["a", "b", "c", "d", "e", "f"] {
                let mut client = Hello::default().connect(house.direct()).await.unwrap();
                let message = STANDARD.encode(format!("\0{name}\0wrong"));
                client.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>")).await.unwrap();
                clients.push(client);
            }
        }
        Limit::BoshSessions => {
            for rid in ["1", "2"] {
                let body = format!(
                    "<body rid='{rid}' to='localhost' ver='1.6' wait='1' hold='1' xmlns='http://jabber.org/protocol/httpbind'/>"
                );
                http(house.running.addresses.http.unwrap(), "POST /http-bind HTTP/1.1\r\nHost: x\r\n", &body).await;
            }
        }
        Limit::WatchesPerAccount => {
            let address = house.running.addresses.http.unwrap();
            let path = "/v1/nodes/n/items";
            let put =
                format!("PUT {path}/1?create=true HTTP/1.1\r\n{}Content-Type: application/json\r\n", basic("alice"));
            let made = http(address, &put, "{}").await;
            assert!(made.starts_with("HTTP/1.1 201"), "{made}");
            for _ in 0..2 {
                let mut socket = TcpStream::connect(address).await.unwrap();
                let watch =
                    format!("GET {path}?watch=true HTTP/1.1\r\n{}Accept: text/event-stream\r\n\r\n", basic("alice"));
                socket.write_all(watch.as_bytes()).await.unwrap();
                // The first is open before the second asks.
                assert!(socket.read(&mut [0; 64]).await.unwrap() > 0);
                sockets.push(socket);
            }
        }
        Limit::HttpRate => {
            let address = house.running.addresses.http.unwrap();
            for _ in 0..4 {
                http(address, &format!("GET /v1/nodes HTTP/1.1\r\n{}", basic("alice")), "").await;
            }
        }
        Limit::HttpConnections => {
            // The place of the second connection is waited for as soon as the first has its own.
            sockets.push(TcpStream::connect(house.running.addresses.http.unwrap()).await.unwrap());
        }
        Limit::Descriptors => {}
    }
    (sockets, clients)
}

async fn is_counted(limit: Limit) {
    let sets: Vec<&str> = ["admin.listen=127.0.0.1:0", "http.listen=127.0.0.1:0", "limits.negotiation_seconds=20"]
        .into_iter()
        .chain(if limit == Limit::GateDeadline { Some("limits.negotiation_seconds=1") } else { None })
        .chain(settings(limit).iter().copied())
        .collect();
    let guests = "[[host]]\ndomain = \"guests.localhost\"\nservice = \"pubsub.guests.localhost\"\n";
    let file = if limit == Limit::AnonymousSessions { guests } else { "" };
    let house = House::with_file(file, &sets).await;
    let name = format!("tidings_limit_hits_total{{limit=\"{}\"}}", limit.name());
    let admin_also = limit == Limit::HttpConnections;
    if !admin_also {
        assert_eq!(scrape(&house).await[&name], 0, "{name} before");
    }
    let held = hit(limit, &house).await;
    counted(&house, &name, |count| count > 0).await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_is_counted_where_it_bites() {
    let mut running = tokio::task::JoinSet::new();
    for limit in Limit::ALL.iter().copied().filter(|limit| *limit != Limit::Descriptors) {
        running.spawn(async move {
            is_counted(limit).await;
        });
    }
    let done = running.join_all().await;
    assert_eq!(done.len() + 1, Limit::ALL.len());
}

#[tokio::test]
async fn logins_resumptions_and_refused_xml_are_counted_by_what_they_were() {
    let house = House::open(&["admin.listen=127.0.0.1:0", "http.listen=127.0.0.1:0"]).await;
    let at = |name: &str, labels: &str| format!("tidings_{name}{{{labels}}}");
    let mut client = log_in(&house, "alice", RESUMABLE).await;
    counted(&house, &at("sessions", "kind=\"direct-tls\",state=\"connected\""), |count| count == 1).await;
    client.send("<open").await.unwrap();
    client.send("<!-- x -->").await.unwrap();
    counted(&house, &at("xml_rejected_total", "reason=\"not-well-formed\""), |count| count == 1).await;
    counted(&house, &at("auth_total", "mech=\"PLAIN\",result=\"success\""), |count| count == 1).await;

    let mut refused = Hello::default().connect(house.direct()).await.unwrap();
    let ended = refused.scram(SASL2, "SCRAM-SHA-256", "n,,", b"junk").await.unwrap();
    assert!(ended.last.child("not-authorized", SASL).is_some(), "{}", ended.last);
    counted(&house, &at("auth_total", "mech=\"SCRAM-SHA-256\",result=\"refused\""), |count| count == 1).await;
    refused.authenticate("DIGEST-MD5", b"x", "").await.unwrap();
    counted(&house, &at("auth_total", "mech=\"unknown\",result=\"not-offered\""), |count| count == 1).await;
    http(house.running.addresses.http.unwrap(), &format!("GET /v1/nodes HTTP/1.1\r\n{}", basic("alice")), "").await;
    counted(&house, &at("auth_total", "mech=\"basic\",result=\"success\""), |count| count == 1).await;

    let mut first = Hello::default().connect(house.direct()).await.unwrap();
    let success = first.plain("alice", "alice-password", RESUMABLE).await.unwrap();
    let enabled = success.child("bound", "urn:xmpp:bind:0").and_then(|bound| bound.child("enabled", SM));
    let id = enabled.and_then(|enabled| enabled.attr("id")).unwrap().to_owned();
    drop(first);
    counted(&house, &at("sessions", "kind=\"direct-tls\",state=\"hibernating\""), |count| count == 1).await;
    for (previd, result) in [("nobody's", "unknown"), (&*id, "resumed")] {
        let mut back = Hello::default().connect(house.direct()).await.unwrap();
        let previd = previd.replace('\'', "");
        let resume = format!("<resume xmlns='{SM}' previd='{previd}' h='0'/>");
        back.plain("alice", "alice-password", &resume).await.unwrap();
        counted(&house, &at("sm_resume_total", &format!("result=\"{result}\"")), |count| count == 1).await;
    }
}

#[tokio::test]
async fn certificates_and_descriptors_are_told() {
    let house = House::open(&["admin.listen=127.0.0.1:0"]).await;
    let told = scrape(&house).await;
    // Certificates of the tests run out in the year 4096.
    let left = told["tidings_tls_cert_expiry_seconds{domain=\"localhost\"}"];
    assert!((60_000_000_000..70_000_000_000).contains(&left), "{left}");
    assert!(told.contains_key("tidings_tls_cert_expiry_seconds{domain=\"pubsub.localhost\"}"));
    let (open, most) = (told["process_open_fds"], told["process_max_fds"]);
    assert!(open > 3 && open <= most, "{open} of {most}");
}

/// And nothing else is documented.
#[tokio::test]
async fn everything_that_is_told_is_documented() {
    let documents = include_str!("../../docs/operations.md");
    let (metrics, limits) = documents.split_once("### Limits that were hit").unwrap();
    let limits = limits.split_once("\n### ").unwrap().0;
    let rows = |text: &str| -> BTreeSet<String> {
        let first = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        first.map(str::to_owned).filter(|name| !name.starts_with('/') && name != "limit").collect()
    };
    let names: BTreeSet<String> = Limit::ALL.iter().map(|limit| limit.name().to_owned()).collect();
    assert_eq!(rows(limits), names);

    let house = House::open(&["admin.listen=127.0.0.1:0"]).await;
    let told = scrape(&house).await;
    let told: BTreeSet<String> = told.keys().map(|name| name.split('{').next().unwrap().to_owned()).collect();
    assert_eq!(rows(metrics), told);
    for (label, values) in [
        ("mech", names_of::<tidings::counts::LoginResult>()),
        ("state", names_of::<tidings::counts::SessionState>()),
        ("kind", names_of::<tidings::counts::SessionKind>()),
        ("result", names_of::<tidings::counts::ResumeResult>()),
        ("reason", names_of::<tidings::counts::XmlReason>()),
    ] {
        for value in values {
            assert!(metrics.contains(&format!("`{value}`")), "{label} {value}");
        }
    }
}

fn names_of<L: Label>() -> Vec<&'static str> {
    L::ALL.iter().map(|value| value.name()).collect()
}
