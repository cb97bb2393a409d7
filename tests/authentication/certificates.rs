//! Certificates of the server and of clients.

use std::time::Duration;

use tidings::engine::Answer;
use tidings::jid::{BareJid, Jid};
use tidings::pubsub::{Caller, Edge, NodeId, Page, Request, Role, Verb};

use crate::client::{Hello, SASL, SASL2};
use crate::house::{Authority, House, write_certificate};

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const HOSTS: &str = "
[[host]]
domain = \"b.example\"
certificate = \"DIR/b.pem\"
key = \"DIR/b.key\"

[[host]]
domain = \"guests.localhost\"
";

async fn two_hosts(sets: &[&str]) -> House {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = write_certificate(dir.path(), "own", &["localhost", "*.wild.example"]);
    write_certificate(dir.path(), "b", &["b.example"]);
    House::in_dir(dir, certificate, key, HOSTS, sets).await
}

fn named(name: &str) -> Hello {
    Hello { name: name.to_owned(), domain: name.to_owned(), ..Hello::default() }
}

/// T13, and the certificate of each host.
#[tokio::test]
async fn each_name_is_shown_its_certificate_and_unknown_ones_none() {
    let house = two_hosts(&[]).await;
    let own = named("localhost").connect(house.direct()).await.unwrap().end_point();
    let other = named("b.example").connect(house.direct()).await.unwrap().end_point();
    assert_ne!(own, other);
    for (name, shown) in [
        ("pubsub.localhost", Some(&own)),
        ("pubsub.b.example", Some(&other)),
        ("LOCALHOST", Some(&own)),
        // A host without a certificate of its own, and a name that a certificate bears.
        ("guests.localhost", Some(&own)),
        ("x.wild.example", Some(&own)),
        // An address is no name: the first certificate.
        ("127.0.0.1", Some(&own)),
        ("evil.example", None),
        ("x.y.wild.example", None),
        ("xn--bcher-kva.example", None),
    ] {
        let done = Hello { name: name.to_owned(), ..Hello::default() }.connect(house.direct()).await;
        assert_eq!(done.ok().map(|client| client.end_point()).as_ref(), shown, "{name}");
    }
}

/// T13, XEP-0368 §3.
#[tokio::test]
async fn other_protocols_are_refused() {
    let house = House::open(&[]).await;
    for (alpn, well) in [
        (vec![], true),
        (vec![b"xmpp-client".to_vec()], true),
        (vec![b"h2".to_vec(), b"xmpp-client".to_vec()], true),
        (vec![b"h2".to_vec()], false),
        (vec![b"http/1.1".to_vec()], false),
        (vec![b"xmpp-server".to_vec()], false),
    ] {
        let hello = Hello { alpn: alpn.clone(), ..Hello::default() };
        assert_eq!(hello.handshake(house.direct()).await.is_ok(), well, "{alpn:?}");
    }
}

/// T8: a connection is bound to the certificate that it was shown, whatever the files hold by now; and it
/// lives on.
#[tokio::test]
async fn certificates_change_under_connections_that_stand() {
    let house = House::open(&["tls.reload_seconds=0"]).await;
    let mut before = Hello::default().connect(house.direct()).await.unwrap();
    let mut session = Hello::default().connect(house.direct()).await.unwrap();
    session.plain("bob", "bob-password", "<bind xmlns='urn:xmpp:bind:0'/>").await.unwrap();
    session.next().await.unwrap();
    assert_eq!(house.running.certificates.reload(), Ok(false));

    write_certificate(house.dir.path(), "own", &["localhost"]);
    assert_eq!(house.running.certificates.reload(), Ok(true));
    let mut after = Hello::default().connect(house.direct()).await.unwrap();
    assert_ne!(before.end_point(), after.end_point());
    for client in [&mut before, &mut after] {
        let data = client.end_point();
        let ended = client.scram(SASL2, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", &data).await.unwrap();
        assert!(ended.last.is("success", SASL2), "{}", ended.last);
    }
    session.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(session.next().await.unwrap().attr("id"), Some("p"));

    // A file that cannot be used changes nothing.
    std::fs::write(house.dir.path().join("own.pem"), "no certificate").unwrap();
    assert!(house.running.certificates.reload().is_err());
    let shown = Hello::default().connect(house.direct()).await.unwrap().end_point();
    assert_eq!(shown, after.end_point());
}

/// Whoever comes back leaves out most of the handshake, and is bound to what the channel yields all the
/// same; but not past another certificate, and not where clients show one.
#[tokio::test]
async fn whoever_comes_back_needs_no_whole_handshake() {
    let house = House::open(&["tls.reload_seconds=0"]).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let hello = Hello { versions: vec![version], ..Hello::default() };
        let connector = hello.connector().unwrap();
        let kind = |client: &crate::client::Client| client.tls.get_ref().1.handshake_kind();
        let first = hello.connect_with(&connector, house.direct()).await.unwrap();
        assert_eq!(kind(&first), Some(rustls::HandshakeKind::Full));
        let mut second = hello.connect_with(&connector, house.direct()).await.unwrap();
        assert_eq!(kind(&second), Some(rustls::HandshakeKind::Resumed));
        let data = second.end_point();
        let ended = second.scram(SASL2, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", &data).await.unwrap();
        assert!(ended.last.is("success", SASL2), "{}", ended.last);
        write_certificate(house.dir.path(), "own", &["localhost"]);
        assert_eq!(house.running.certificates.reload(), Ok(true));
        let third = hello.connect_with(&connector, house.direct()).await.unwrap();
        assert_eq!(kind(&third), Some(rustls::HandshakeKind::Full));
        assert_ne!(third.end_point(), data);
    }
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = write_certificate(dir.path(), "own", &["localhost"]);
    std::fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    let house = House::in_dir(dir, certificate, key, "", &["auth.client_ca=DIR/ca.pem"]).await;
    let hello = Hello::default();
    let connector = hello.connector().unwrap();
    for _ in 0..2 {
        let client = hello.connect_with(&connector, house.direct()).await.unwrap();
        assert_eq!(client.tls.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn the_files_of_certificates_are_watched() {
    let house = House::open(&["tls.reload_seconds=1"]).await;
    let before = Hello::default().connect(house.direct()).await.unwrap().end_point();
    write_certificate(house.dir.path(), "own", &["localhost"]);
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    while Hello::default().connect(house.direct()).await.unwrap().end_point() == before {
        assert!(tokio::time::Instant::now() < deadline, "the new certificate is not shown");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// XEP-0178 §2, T12.
#[tokio::test]
async fn a_client_certificate_logs_in_whom_it_names() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = write_certificate(dir.path(), "own", &["localhost"]);
    std::fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    let house = House::in_dir(dir, certificate, key, "", &["auth.client_ca=DIR/ca.pem"]).await;
    let with = |certificate| Hello { certificate: Some(certificate), ..Hello::default() };

    let mut client = with(authority.certify(&["alice@localhost"], false)).connect(house.direct()).await.unwrap();
    assert_eq!(client.offered(SASL)[0], "EXTERNAL");
    let success = client.authenticate("EXTERNAL", b"", "").await.unwrap();
    assert!(success.to_string().contains(">alice@localhost<"), "{success}");

    // T4: nobody else.
    let mut client = with(authority.certify(&["alice@localhost"], false)).connect(house.direct()).await.unwrap();
    let refused = client.authenticate("EXTERNAL", b"bob@localhost", "").await.unwrap();
    assert!(refused.child("invalid-authzid", SASL).is_some(), "{refused}");

    // What names no account of this domain is as good as no certificate.
    for addresses in [&[][..], &["alice@elsewhere.example"][..]] {
        let client = with(authority.certify(addresses, false)).connect(house.direct()).await.unwrap();
        assert!(!client.offered(SASL).contains(&"EXTERNAL".to_owned()), "{addresses:?}");
    }
    let client = Hello::default().connect(house.direct()).await.unwrap();
    assert!(!client.offered(SASL).contains(&"EXTERNAL".to_owned()));

    // Of another authority, or of the past: the handshake itself fails.
    for certificate in [stranger.certify(&["alice@localhost"], false), authority.certify(&["alice@localhost"], true)] {
        assert!(with(certificate).connect(house.direct()).await.is_err());
    }
}

#[tokio::test]
async fn strangers_come_in_at_their_own_host() {
    let house = two_hosts(&["auth.anonymous=guests.localhost"]).await;
    let mut client = named("guests.localhost").connect(house.direct()).await.unwrap();
    assert_eq!(client.offered(SASL2), ["ANONYMOUS"]);
    let success = client.authenticate("ANONYMOUS", b"", "<bind xmlns='urn:xmpp:bind:0'/>").await.unwrap();
    let identifier = success.child("authorization-identifier", SASL2).unwrap().text();
    assert!(identifier.contains("@guests.localhost/"), "{identifier}");
    client.next().await.unwrap();
    // Accounts may create nodes here; a stranger may not.
    client
        .send(
            "<iq type='set' id='c' to='pubsub.guests.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <create node='mine'/></pubsub></iq>",
        )
        .await
        .unwrap();
    let answer = client.next().await.unwrap();
    assert_eq!((answer.attr("id"), answer.attr("type")), (Some("c"), Some("error")), "{answer}");
    // Nor does a stranger's account keep anything, or ask to be remembered.
    for asked in [
        "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='alice@localhost'/></query></iq>",
        "<presence type='subscribe' id='r' to='alice@localhost'/>",
    ] {
        client.send(asked).await.unwrap();
        let answer = client.next().await.unwrap();
        assert_eq!((answer.attr("id"), answer.attr("type")), (Some("r"), Some("error")), "{answer}");
    }
    // It is told as what it is, and leaves nothing behind: no node, and no subscription.
    client.send("<iq type='get' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>").await.unwrap();
    let told = client.next().await.unwrap().to_string();
    assert!(told.contains("category='account' type='anonymous'"), "{told}");
    let publish = "<publish node='urn:x:p'><item><a xmlns='urn:x'/></item></publish>";
    for what in [publish, "<create node='urn:x:p'/>"] {
        client.send(&format!("<iq type='set' id='p'><pubsub xmlns='{PUBSUB}'>{what}</pubsub></iq>")).await.unwrap();
        let answer = client.next().await.unwrap();
        assert_eq!((answer.attr("id"), answer.attr("type")), (Some("p"), Some("error")), "{answer}");
    }
    let service = BareJid::parse("pubsub.guests.localhost").unwrap();
    let owner = Jid::Bare(BareJid::parse("owner@guests.localhost").unwrap());
    let ask = |verb| {
        let caller = Caller { jid: owner.clone(), role: Role::Admin };
        house.running.engine.ask(Request { caller, service: service.clone(), verb })
    };
    let node = NodeId::parse("n").unwrap();
    ask(Verb::Create { node: Some(node.clone()), config: Vec::new() }).await.unwrap();
    let bare = identifier.split('/').next().unwrap();
    let subscribe = format!("<subscribe node='n' jid='{bare}'/>");
    client
        .send(&format!("<iq type='set' id='s' to='{service}'><pubsub xmlns='{PUBSUB}'>{subscribe}</pubsub></iq>"))
        .await
        .unwrap();
    let answer = client.next().await.unwrap();
    assert_eq!((answer.attr("id"), answer.attr("type")), (Some("s"), Some("result")), "{answer}");
    drop(client);
    let listed = || ask(Verb::NodeSubscriptions { node: node.clone(), page: Page { max: 9, edge: Edge::First } });
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let Answer::NodeSubscriptions(list) = listed().await.unwrap().answer else { unreachable!() };
            if list.entries.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the subscription of a stranger ends with its session");

    let mut client = named("localhost").connect(house.direct()).await.unwrap();
    let refused = client.authenticate("ANONYMOUS", b"", "").await.unwrap();
    assert!(refused.child("invalid-mechanism", SASL).is_some(), "{refused}");
}
