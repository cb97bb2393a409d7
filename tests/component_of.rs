//! This server as a component of another one, which is here another of the same kind: its users reach
//! the pub/sub service, and nothing is lost when it goes and comes back.

#[path = "scenes/actor.rs"]
#[allow(dead_code, reason = "scenes need more of an actor")]
mod actor;
#[path = "scenes/bosh.rs"]
#[allow(dead_code, reason = "an actor can come over it")]
mod bosh;
#[path = "scenes/scram.rs"]
#[allow(dead_code, reason = "so logs in who comes over those")]
mod scram;
#[path = "scenes/secrets.rs"]
#[allow(dead_code, reason = "others see more than this")]
mod secrets;
#[path = "scenes/socket.rs"]
#[allow(dead_code, reason = "an actor can come over it")]
mod socket;
#[path = "scenes/trusting.rs"]
mod trusting;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actor::Actor;
use tidings::access::{NewPassword, NewUser};
use tidings::config::{self, Sources};
use tidings::server::{self, Parts, Running};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::xml::Element;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The server that people log in at, whose component is the pub/sub service.
async fn people(dir: &Path) -> Running {
    std::fs::write(
        dir.join("tidings.toml"),
        "[[component]]\ndomain = 'pubsub.other.example'\nsecret = 'a-secret-of-16-bytes'\n",
    )
    .unwrap();
    start(dir, &["xmpp.listen_component=127.0.0.1:0"]).await
}

async fn service(dir: &Path, port: u16) -> Running {
    std::fs::write(dir.join("tidings.toml"), "[component_of]\nsecret = 'a-secret-of-16-bytes'\n").unwrap();
    let sets = [
        "xmpp.domain=tidings.invalid",
        "pubsub.service=pubsub.other.example",
        "component_of.users=localhost",
        // It comes back soon after the other server does, however long that took.
        "component_of.retry_seconds=1",
        &format!("component_of.host=127.0.0.1:{port}"),
    ];
    start(dir, &sets).await
}

async fn start(dir: &Path, sets: &[&str]) -> Running {
    let own = ["xmpp.listen=127.0.0.1:0", "xmpp.listen_tls=off", "http.listen=off", "admin.listen=off"];
    let cheap = ["auth.scram_iterations=4096"];
    let sets = own.iter().chain(&cheap).chain(sets).map(|set| (*set).to_owned()).collect();
    let file = Some(dir.join("tidings.toml"));
    let config = config::load(&Sources { sets, file, data: Some(dir.to_owned()), ..Sources::default() }).unwrap();
    let (certificate, key) = (dir.join("cert.pem"), dir.join("cert.key"));
    if !certificate.exists() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    }
    let options = SqliteOptions { path: dir.join("tidings.db"), ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::open(&options).unwrap());
    server::start(&config, Parts { store, certificate, key }).await.unwrap()
}

/// A place where the service finds the other server once that is opened: so that who shall hear of it can come first.
async fn gate() -> (u16, watch::Sender<Option<SocketAddr>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (open, behind) = watch::channel(None);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let Some(behind) = *behind.borrow() else { continue };
            tokio::spawn(async move {
                let mut far = TcpStream::connect(behind).await.unwrap();
                // Whichever side ends it, and however: the other one is told.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (port, open)
}

/// Asks until the answer is a result: the component may not have come (back) yet. The items of events that came before
/// the answer.
async fn ask(alice: &mut Actor, id: &str, content: &str) -> Vec<String> {
    let mut before = vec![];
    for attempt in 0..200 {
        let id = format!("{id}-{attempt}");
        alice.send(&format!("<iq type='set' to='pubsub.other.example' id='{id}'>{content}</iq>")).await.unwrap();
        loop {
            let came = alice.next().await.unwrap();
            if came.attr("id") != Some(&id) {
                before.extend(item_of(&came));
                continue;
            }
            if came.attr("type") == Some("result") {
                return before;
            }
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{id}: no result");
}

fn publish(item: u32) -> String {
    format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item id='{item}'><x xmlns='urn:x'/></item></publish></pubsub>"
    )
}

async fn account(running: &Running) {
    let password = NewPassword::Chosen("alice-password".to_owned());
    let new = NewUser { name: "alice".to_owned(), password, admin: false, verifier: None };
    running.access.add_user(new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_another_server_reach_the_service_and_it_comes_back_by_itself() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = people(here.path()).await;
    account(&first).await;
    let (port, open) = gate().await;
    open.send_replace(first.addresses.component);
    let service = service(there.path(), port).await;

    let mut alice = Actor::log_in(first.addresses.xmpp.unwrap(), "alice", "desk").await.unwrap();
    // Her domain is that of `component_of.users`: she may create nodes, as an account may.
    ask(&mut alice, "create", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='n'/></pubsub>").await;
    let subscribe =
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='n' jid='alice@localhost/desk'/></pubsub>";
    ask(&mut alice, "subscribe", subscribe).await;
    // Whoever publishes may be told of it before it is answered.
    let told = match ask(&mut alice, "publish", &publish(1)).await.pop() {
        Some(item) => item,
        None => event(&mut alice).await,
    };
    assert_eq!(told, "1");

    // The other server goes, an item is published meanwhile, the other server comes back.
    drop(alice);
    open.send_replace(None);
    first.stop().await;
    publish_within(&service).await;
    let second = people(here.path()).await;
    let mut alice = Actor::log_in(second.addresses.xmpp.unwrap(), "alice", "desk").await.unwrap();
    open.send_replace(second.addresses.component);
    assert_eq!(event(&mut alice).await, "2");
    ask(&mut alice, "again", &publish(3)).await;
    service.stop().await;
    second.stop().await;
}

/// The item of the next event; what else comes is passed over.
async fn event(alice: &mut Actor) -> String {
    loop {
        if let Some(item) = item_of(&alice.next().await.unwrap()) {
            return item;
        }
    }
}

fn item_of(came: &Element) -> Option<String> {
    let items = came.child("event", "http://jabber.org/protocol/pubsub#event")?.children().next()?;
    Some(items.children().next()?.attr("id")?.to_owned())
}

/// Publishes at the service itself.
async fn publish_within(service: &Running) {
    use tidings::jid::{BareJid, Jid};
    use tidings::pubsub::{Caller, Role, Verb};
    let bare = |text: &str| BareJid::parse(text).unwrap();
    let caller = Caller { jid: Jid::Bare(bare("admin@tidings.invalid")), role: Role::Admin };
    let item = tidings::pubsub::NewItem {
        id: Some(tidings::pubsub::ItemId::parse("2").unwrap()),
        payload: Some(tidings::pubsub::Payload {
            media: tidings::pubsub::Media::Xml,
            namespace: Arc::from("urn:x"),
            xml: Arc::from(&b"<x xmlns='urn:x'/>"[..]),
        }),
        precondition: tidings::pubsub::Precondition::default(),
    };
    let verb = Verb::Publish {
        node: tidings::pubsub::NodeId::parse("n").unwrap(),
        items: vec![item],
        options: None,
        create: false,
    };
    let request = tidings::pubsub::Request { caller, service: bare("pubsub.other.example"), verb };
    service.engine.ask(request).await.unwrap();
}
