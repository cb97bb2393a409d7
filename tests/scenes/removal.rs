//! Security row A1, the whole table: every way in which somebody loses the right to read, against every
//! path by which he reads. Once whoever took the right has his answer, nothing more is shown on any path.
//!
//! A trial is a way; all paths are open at once. What is not in the table, and why:
//!
//! - Tokens that are revoked or expire end watches over HTTP and no right of the account:
//!   `http::tests::watch_rights` plays both on every transport.
//! - A lease that ends, or one of several subscriptions, ends what is pushed for it and no right to read.
//! - A component is no contact and no account: rosters, presence and accounts say nothing of its right.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tidings::jid::BareJid;
use tidings::xml::Element;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::actor::Actor;
use crate::script::{Kind, Script};
use crate::stage::Stage;

/// How the right is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Outcast,
    NoMemberAnyMore,
    NodeBecomesAWhitelist,
    NodeWantsApproval,
    AnotherGroupOfTheRoster,
    PresenceIsCancelled,
    AccountIsDisabled,
    AccountIsRemoved,
    NodeIsDeleted,
}

pub fn trials() -> Vec<Trial> {
    let ways = [
        ("removal::outcast", Way::Outcast),
        ("removal::no_member_any_more", Way::NoMemberAnyMore),
        ("removal::node_becomes_a_whitelist", Way::NodeBecomesAWhitelist),
        ("removal::node_wants_approval", Way::NodeWantsApproval),
        ("removal::another_group_of_the_roster", Way::AnotherGroupOfTheRoster),
        ("removal::presence_is_cancelled", Way::PresenceIsCancelled),
        ("removal::account_is_disabled", Way::AccountIsDisabled),
        ("removal::account_is_removed", Way::AccountIsRemoved),
        ("removal::node_is_deleted", Way::NodeIsDeleted),
    ];
    ways.into_iter().map(|(name, way)| Trial::test(name, move || play(way))).collect()
}

fn play(way: Way) -> Result<(), Failed> {
    let script = Script {
        settings: [
            ("webhooks.allow_http", "true"),
            ("webhooks.networks", "127.0.0.0/8"),
            ("pubsub.digest_ms_min", "10"),
            ("limits.sessions_per_account", "20"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec(),
        file: "[[component]]\ndomain = 'bot.example'\nsecret = 'a-secret-of-bot-s'\n".to_owned(),
        connections: false,
        accounts: ["alice", "bob"].map(|name| (name.to_owned(), false)).to_vec(),
        steps: vec![],
    };
    crate::perform_on(&script, async |stage: &mut Stage<'_>| run(stage, way).await).map_err(Failed::from)
}

async fn run(stage: &mut Stage<'_>, way: Way) -> Result<(), String> {
    prepare(stage, way).await?;
    let mut readers = Readers::open(stage, way).await?;
    publish(stage, "before", way).await?;
    readers.have_read(stage, "before").await?;
    // One of them has left, and finds this when it comes back; two stand still while much is published.
    stage.step(&Kind::Drop { actor: "bob/left".to_owned() }).await?;
    publish(stage, "queued", way).await?;
    readers.have_read(stage, "queued").await?;
    let much = "x".repeat(100_000);
    for number in 0..MUCH {
        put(stage, "much", &format!("item-{number}"), &format!("\"{much}\"")).await?;
    }
    remove(stage, way).await?;
    publish(stage, "after", way).await?;
    for number in 0..3 {
        put(stage, "much", &format!("after-{number}"), &format!("\"after {much}\"")).await?;
    }
    readers.have_been_told_nothing(stage, way).await?;
    if !matches!(way, Way::AccountIsDisabled | Way::AccountIsRemoved) {
        asks_in_vain(stage, way).await?;
    }
    Ok(())
}

/// Alice, who owns the nodes, and sees what bob must not see; and bob's right to read.
async fn prepare(stage: &mut Stage<'_>, way: Way) -> Result<(), String> {
    connect(stage, "alice").await?;
    connect(stage, "alice/sees").await?;
    connect(stage, "bob/first").await?;
    for (actor, xml) in [
        ("alice", "<presence to='bob@localhost' type='subscribed'/>"),
        ("bob/first", "<presence to='alice@localhost' type='subscribe'/>"),
    ] {
        send(stage, actor, xml).await?;
        ask(stage, actor, "", "get", "<query xmlns='jabber:iq:roster'/>").await?;
    }
    let access = match way {
        Way::NoMemberAnyMore => field("pubsub#access_model", "whitelist"),
        Way::AnotherGroupOfTheRoster => {
            let friends =
                "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Friends</group></item></query>";
            ask(stage, "alice", "", "set", friends).await?;
            field("pubsub#access_model", "roster") + &field("pubsub#roster_groups_allowed", "Friends")
        }
        Way::PresenceIsCancelled => field("pubsub#access_model", "presence"),
        _ => field("pubsub#access_model", "open"),
    };
    let collection = field("pubsub#node_type", "collection");
    let create = |node: &str, fields: &str| {
        format!(
            "<pubsub xmlns='{PUBSUB}'><create node='{node}'/><configure>{}</configure></pubsub>",
            form("node_config", fields)
        )
    };
    asked(stage, "alice", SERVICE, "set", &create("top", &collection)).await?;
    asked(stage, "alice", SERVICE, "set", &create("n", &format!("{access}{}", field("pubsub#collection", "top"))))
        .await?;
    asked(stage, "alice", SERVICE, "set", &create("much", &access)).await?;
    asked(stage, "alice", "", "set", &create(PERSONAL, &access)).await?;
    if way == Way::NoMemberAnyMore {
        affiliate(stage, "member").await?;
    }
    asked(stage, "alice/sees", SERVICE, "set", &subscribe("n", "alice@localhost/sees", "")).await
}

/// Bob, on every path.
struct Readers {
    /// The sessions that read along, and what names them.
    sessions: Vec<&'static str>,
    /// The previous id of the session that has left.
    previous: String,
    streams: Vec<(String, JoinHandle<Result<String, String>>)>,
    socket: JoinHandle<Result<String, String>>,
    endpoint: Endpoint,
    still: TcpStream,
    slow: Actor,
}

impl Readers {
    async fn open(stage: &mut Stage<'_>, way: Way) -> Result<Readers, String> {
        let by_full = |resource: &str| format!("bob@localhost/{resource}");
        let mut sessions = vec!["bob/first", "bob/socket", "bob/bosh", "bob/top", "bob/digest", "bob/personal"];
        for actor in ["bob/left", "bob/top", "bob/digest", "bob/personal"] {
            connect(stage, actor).await?;
        }
        let over = |actor: &str, bosh| {
            let (actor, resource) = (actor.to_owned(), actor.split('/').nth(1).unwrap_or_default().to_owned());
            if bosh { Kind::ConnectBosh { actor, resource } } else { Kind::ConnectSocket { actor, resource } }
        };
        stage.step(&over("bob/socket", false)).await?;
        stage.step(&over("bob/bosh", true)).await?;
        for resource in ["first", "socket", "bosh", "left"] {
            let actor = format!("bob/{resource}");
            asked(stage, &actor, SERVICE, "set", &subscribe("n", &by_full(resource), "")).await?;
        }
        let depth = field("pubsub#subscription_type", "items") + &field("pubsub#subscription_depth", "all");
        asked(stage, "bob/top", SERVICE, "set", &subscribe("top", &by_full("top"), &depth)).await?;
        let digest = field("pubsub#digest", "1") + &field("pubsub#digest_frequency", "10");
        asked(stage, "bob/digest", SERVICE, "set", &subscribe("n", &by_full("digest"), &digest)).await?;
        want_notifications(stage, "bob/personal").await?;
        let component = matches!(
            way,
            Way::Outcast
                | Way::NoMemberAnyMore
                | Way::NodeBecomesAWhitelist
                | Way::NodeWantsApproval
                | Way::NodeIsDeleted
        );
        let bot = Actor::join(stage.components()?, "bot.example", "a-secret-of-bot-s").await?;
        stage.actors.insert("bot".to_owned(), bot);
        if component {
            asked(stage, "bot", SERVICE, "set", &subscribe("n", "bot.example", "")).await?;
            sessions.push("bot");
        }
        send(stage, "bob/left", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await?;
        let enabled = stage.actor("bob/left")?.next().await?;
        let previous = enabled.attr("id").ok_or("no id to resume by")?.to_owned();
        let streams = ["text/event-stream", "application/x-ndjson", "long poll"];
        let mut opened = Vec::new();
        for accept in streams {
            opened.push((accept.to_owned(), watch(stage, "n", accept).await?));
        }
        let (socket, still) = (watch_by_socket(stage).await?, watch_and_stand_still(stage, "much").await?);
        let endpoint = Endpoint::open().await?;
        let wanted = format!("{{\"url\":\"http://{}/\"}}", endpoint.address);
        let answer =
            stage.request("bob", "POST", "/v1/nodes/n/webhooks", Some("application/json"), &[], &wanted).await?;
        if answer.status != 201 {
            return Err(format!("no webhook: {}", answer.body));
        }
        let mut slow = Actor::log_in_slowly(stage.xmpp()?, "bob", "slow").await?;
        let xml = subscribe("much", "bob@localhost/slow", "");
        slow.send(&format!("<iq type='set' id='slow' to='{SERVICE}'>{xml}</iq>")).await?;
        if slow.next().await?.attr("type") != Some("result") {
            return Err("a slow session cannot subscribe".to_owned());
        }
        Ok(Readers { sessions, previous, streams: opened, socket, endpoint, still, slow })
    }

    /// Every path works: what was published has come, or else the table would show nothing.
    async fn have_read(&mut self, stage: &mut Stage<'_>, mark: &str) -> Result<(), String> {
        for actor in self.sessions.clone().into_iter().chain(["alice/sees"]) {
            let mut heard = String::new();
            while !heard.contains(&format!("{mark}-mark")) {
                let came = stage.actor(actor)?.next().await;
                let came = came.map_err(|error| format!("{actor} waits for {mark}: {error}"))?;
                heard.push_str(&came.to_string());
            }
        }
        self.endpoint.called_with(&format!("{mark}-mark")).await
    }

    async fn have_been_told_nothing(mut self, stage: &mut Stage<'_>, way: Way) -> Result<(), String> {
        let seen = |path: &str, told: &str| match told.contains("after") || told.contains("after-mark") {
            true => Err(format!("{path} was shown what came after the right was lost: {told:.500}")),
            false => Ok(()),
        };
        let gone = matches!(way, Way::AccountIsDisabled | Way::AccountIsRemoved);
        let owner = if way == Way::NodeIsDeleted { "" } else { "after-mark" };
        let mut heard = String::new();
        while !heard.contains(owner) {
            heard.push_str(&stage.actor("alice/sees")?.next().await?.to_string());
        }
        for actor in self.sessions.clone() {
            let told = told_until_answered(stage, actor).await;
            if gone && actor != "bot" && told.is_ok() {
                return Err(format!("{actor} goes on"));
            }
            seen(actor, &told.unwrap_or_else(|told| told))?;
        }
        self.resume(stage, gone).await?;
        for (path, stream) in self.streams {
            let told = tokio::time::timeout(PATIENCE, stream).await.map_err(|_| format!("{path} goes on"))?;
            let told = told.map_err(|error| error.to_string())??;
            let read = told.contains("before-mark") || path == "long poll";
            if !read {
                return Err(format!("{path} was told nothing before: {told}"));
            }
            seen(&path, &told)?;
        }
        let told = tokio::time::timeout(PATIENCE, self.socket).await.map_err(|_| "the WebSocket goes on")?;
        seen("a watch by WebSocket", &told.map_err(|error| error.to_string())??)?;
        seen("a webhook", &self.endpoint.called())?;
        let told = read_to_end(&mut self.still).await;
        let shown = told.matches("xxx\"").count();
        if told.contains("after") || shown > MUCH * 4 / 5 {
            return Err(format!("a stream that stood still was shown {shown} of {MUCH}"));
        }
        // What was written before the right was lost stands in its socket; no more is.
        let mut shown = 0;
        self.slow.send("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>").await.ok();
        while let Ok(came) = self.slow.next().await {
            let told = came.to_string();
            if came.attr("id") == Some("end") {
                break;
            }
            seen("a session that stood still", if told.contains("after ") { "after" } else { "" })?;
            shown += usize::from(told.contains("xxx"));
        }
        let all = shown > MUCH * 4 / 5;
        if all { Err(format!("a session that stood still was shown {shown} of {MUCH}")) } else { Ok(()) }
    }

    /// Whoever has left finds nothing of what was queued for him: it was not shown before.
    async fn resume(&self, stage: &mut Stage<'_>, gone: bool) -> Result<(), String> {
        let came_back = stage.step(&Kind::LogIn { actor: "bob/left".to_owned() }).await;
        if gone {
            return if came_back.is_err() { Ok(()) } else { Err("an account that is gone logs in".to_owned()) };
        }
        came_back?;
        let previous = &self.previous;
        send(stage, "bob/left", &format!("<resume previd='{previous}' h='0' xmlns='urn:xmpp:sm:3'/>")).await?;
        let told = told_until_answered(stage, "bob/left").await?;
        if !told.contains("<resumed") {
            return Err(format!("not resumed: {told}"));
        }
        let shown = ["before-mark", "queued-mark", "after-mark"].iter().any(|mark| told.contains(mark));
        if shown { Err(format!("shown on resumption: {told}")) } else { Ok(()) }
    }
}

async fn remove(stage: &mut Stage<'_>, way: Way) -> Result<(), String> {
    let bob = BareJid::parse("bob@localhost").map_err(|error| format!("{error:?}"))?;
    match way {
        Way::Outcast => affiliate(stage, "outcast").await,
        Way::NoMemberAnyMore => affiliate(stage, "none").await,
        Way::NodeBecomesAWhitelist => configure(stage, &field("pubsub#access_model", "whitelist")).await,
        Way::NodeWantsApproval => {
            configure(stage, &field("pubsub#access_model", "authorize")).await?;
            end_subscriptions(stage).await
        }
        Way::AnotherGroupOfTheRoster => {
            let foes = "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Foes</group></item></query>";
            asked(stage, "alice", "", "set", foes).await
        }
        Way::PresenceIsCancelled => {
            send(stage, "alice", "<presence to='bob@localhost' type='unsubscribed'/>").await?;
            asked(stage, "alice", "", "get", "<query xmlns='jabber:iq:roster'/>").await
        }
        Way::AccountIsDisabled => stage.server()?.access.set_disabled(&bob, true).await.map_err(|e| e.to_string()),
        Way::AccountIsRemoved => stage.server()?.access.remove_user(&bob).await.map_err(|e| e.to_string()),
        Way::NodeIsDeleted => {
            for (service, node) in NODES {
                asked(
                    stage,
                    "alice",
                    service,
                    "set",
                    &format!("<pubsub xmlns='{OWNER}'><delete node='{node}'/></pubsub>"),
                )
                .await?;
            }
            Ok(())
        }
    }
}

async fn affiliate(stage: &mut Stage<'_>, affiliation: &str) -> Result<(), String> {
    for (service, node) in NODES {
        let of = |jid| format!("<affiliation jid='{jid}' affiliation='{affiliation}'/>");
        let (bob, bot) = (of("bob@localhost"), of("bot.example"));
        let xml = format!("<pubsub xmlns='{OWNER}'><affiliations node='{node}'>{bob}{bot}</affiliations></pubsub>");
        asked(stage, "alice", service, "set", &xml).await?;
    }
    Ok(())
}

async fn configure(stage: &mut Stage<'_>, fields: &str) -> Result<(), String> {
    for (service, node) in NODES {
        let form = form("node_config", fields);
        let xml = format!("<pubsub xmlns='{OWNER}'><configure node='{node}'>{form}</configure></pubsub>");
        asked(stage, "alice", service, "set", &xml).await?;
    }
    Ok(())
}

/// Who was let in by subscribing is let in no more when the owner ends that.
async fn end_subscriptions(stage: &mut Stage<'_>) -> Result<(), String> {
    let ended = |jid: &str| format!("<subscription jid='{jid}' subscription='none'/>");
    let of_n: String = ["first", "socket", "bosh", "left", "digest"]
        .iter()
        .map(|resource| ended(&format!("bob@localhost/{resource}")))
        .chain([ended("bot.example")])
        .collect();
    for (node, ends) in [("n", of_n), ("much", ended("bob@localhost/slow"))] {
        let xml = format!("<pubsub xmlns='{OWNER}'><subscriptions node='{node}'>{ends}</subscriptions></pubsub>");
        asked(stage, "alice", SERVICE, "set", &xml).await?;
    }
    Ok(())
}

/// Asking shows nothing either: items, pages of them, the archive, the last item of a new subscription.
async fn asks_in_vain(stage: &mut Stage<'_>, way: Way) -> Result<(), String> {
    let page = "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set>";
    for (service, node) in NODES {
        let questions = [
            ("get", format!("<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>")),
            ("get", format!("<pubsub xmlns='{PUBSUB}'><items node='{node}' max_items='1'/></pubsub>")),
            ("get", format!("<pubsub xmlns='{PUBSUB}'><items node='{node}'/>{page}</pubsub>")),
            ("set", format!("<query xmlns='urn:xmpp:mam:2' node='{node}'/>")),
            ("set", format!("<query xmlns='urn:xmpp:mam:2' node='{node}'>{page}</query>")),
            ("get", format!("<metadata xmlns='urn:xmpp:mam:2' node='{node}'/>")),
            ("set", subscribe(node, "bob@localhost/first", "")),
        ];
        let service = if service.is_empty() { "alice@localhost" } else { service };
        for (kind, xml) in questions {
            let (answer, others) = ask(stage, "bob/first", service, kind, &xml).await?;
            let waits = way == Way::NodeWantsApproval && answer.to_string().contains("pending");
            if (answer.attr("type") != Some("error") && !waits) || others.contains("-mark") {
                return Err(format!("{xml} is answered {answer} {others}"));
            }
        }
    }
    for path in ["items", "items/after-0", "items?limit=1", "items?watch=true&since=earliest&wait=0"] {
        let answer = stage.request("bob", "GET", &format!("/v1/nodes/n/{path}"), None, &[], "").await?;
        if answer.status < 400 || answer.body.contains("-mark") {
            return Err(format!("{path} is answered {} {}", answer.status, answer.body));
        }
    }
    Ok(())
}

/// A client that wants to know of the personal node (XEP-0163 §4.3.2).
async fn want_notifications(stage: &mut Stage<'_>, actor: &str) -> Result<(), String> {
    use base64::Engine as _;
    use sha1::Digest as _;
    let notify = format!("{PERSONAL}+notify");
    let hash = sha1::Sha1::digest(format!("client/pc//Scene<{notify}<"));
    let ver = base64::engine::general_purpose::STANDARD.encode(hash);
    let caps = "http://jabber.org/protocol/caps";
    send(stage, actor, &format!("<presence><c xmlns='{caps}' hash='sha-1' node='urn:scene' ver='{ver}'/></presence>"))
        .await?;
    loop {
        let came = stage.actor(actor)?.next().await?;
        let Some(query) = came.children().find(|child| child.name() == "query") else { continue };
        let (id, from) = (came.attr("id").unwrap_or_default(), came.attr("from").unwrap_or_default());
        let node = query.attr("node").unwrap_or_default();
        let told = format!(
            "<iq type='result' id='{id}' to='{from}'><query xmlns='http://jabber.org/protocol/disco#info' node='{node}'>\
             <identity category='client' type='pc' name='Scene'/><feature var='{notify}'/></query></iq>"
        );
        send(stage, actor, &told).await?;
        return ask(stage, actor, "", "get", "<ping xmlns='urn:xmpp:ping'/>").await.map(drop);
    }
}

/// To the node of the service by HTTP, to the personal one by XMPP.
async fn publish(stage: &mut Stage<'_>, mark: &str, way: Way) -> Result<(), String> {
    put(stage, "n", &format!("{mark}-0"), &format!("\"{mark}-mark\"")).await?;
    let xml = format!(
        "<pubsub xmlns='{PUBSUB}'><publish node='{PERSONAL}'><item id='{mark}'><x xmlns='urn:x'>{mark}-mark</x></item></publish></pubsub>"
    );
    // Where the node was deleted, this makes another one, which is its owner's.
    if mark == "after" && way == Way::NodeIsDeleted { Ok(()) } else { asked(stage, "alice", "", "set", &xml).await }
}

async fn put(stage: &mut Stage<'_>, node: &str, item: &str, body: &str) -> Result<(), String> {
    let path = format!("/v1/nodes/{node}/items/{item}");
    let answer = stage.request("alice", "PUT", &path, Some("application/json"), &[], body).await?;
    match (answer.status, item.starts_with("after")) {
        (200 | 201, _) | (404 | 410, true) => Ok(()),
        _ => Err(format!("not published: {} {}", answer.status, answer.body)),
    }
}

/// A watch that has begun, and all that it tells until it ends.
async fn watch(stage: &Stage<'_>, node: &str, accept: &str) -> Result<JoinHandle<Result<String, String>>, String> {
    let (wait, accept) = if accept == "long poll" { ("&wait=60", "application/json") } else { ("", accept) };
    let mut socket = TcpStream::connect(stage.http()?).await.map_err(|error| error.to_string())?;
    let head = watch_head(stage, node, &format!("{wait}&types=published"), &format!("accept: {accept}\r\n"))?;
    socket.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    if !wait.is_empty() {
        return Ok(tokio::spawn(poll(stage.http()?, head, socket)));
    }
    // It has begun when its head has come.
    let mut began = [0; 4];
    socket.read_exact(&mut began).await.map_err(|error| error.to_string())?;
    Ok(tokio::spawn(async move { Ok(read_to_end(&mut socket).await) }))
}

/// Asks again and again, from where it was told, until it is refused.
async fn poll(address: SocketAddr, head: String, mut socket: TcpStream) -> Result<String, String> {
    let mut told = String::new();
    loop {
        let answer = read_to_end(&mut socket).await;
        told.push_str(&answer);
        if !answer.starts_with("HTTP/1.1 20") {
            return Ok(told);
        }
        let cursor = answer.rsplit("\"cursor\":\"").next().and_then(|rest| rest.split('"').next()).unwrap_or_default();
        socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let again = head.replacen("&wait", &format!("&since={cursor}&wait"), 1);
        socket.write_all(again.as_bytes()).await.map_err(|error| error.to_string())?;
    }
}

/// A stream that nobody reads, over a socket that holds little.
async fn watch_and_stand_still(stage: &Stage<'_>, node: &str) -> Result<TcpStream, String> {
    let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
    socket.set_recv_buffer_size(4096).map_err(|error| error.to_string())?;
    let mut socket = socket.connect(stage.http()?).await.map_err(|error| error.to_string())?;
    let head = watch_head(stage, node, "&types=published", "accept: text/event-stream\r\n")?;
    socket.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut began = [0; 4];
    socket.read_exact(&mut began).await.map_err(|error| error.to_string())?;
    Ok(socket)
}

async fn watch_by_socket(stage: &Stage<'_>) -> Result<JoinHandle<Result<String, String>>, String> {
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: tidings.v1\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = TcpStream::connect(stage.http()?).await.map_err(|error| error.to_string())?;
    let head = watch_head(stage, "n", "", upgrade)?.replacen("connection: close\r\n", "", 1);
    socket.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut began = [0; 12];
    socket.read_exact(&mut began).await.map_err(|error| error.to_string())?;
    if &began != b"HTTP/1.1 101" {
        return Err(format!("no WebSocket: {}", String::from_utf8_lossy(&began)));
    }
    // What a server says is not masked: it stands there as it is.
    Ok(tokio::spawn(async move {
        let told = read_to_end(&mut socket).await;
        if told.contains("before-mark") { Ok(told) } else { Err(format!("was told nothing before: {told}")) }
    }))
}

fn watch_head(stage: &Stage<'_>, node: &str, query: &str, headers: &str) -> Result<String, String> {
    let credential = stage.credential("bob")?.ok_or("no credential")?;
    Ok(format!(
        "GET /v1/nodes/{node}/items?watch=true{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: {credential}\r\n{headers}\r\n"
    ))
}

/// All that comes until the server ends it.
async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut read)).await;
    String::from_utf8_lossy(&read).into_owned()
}

/// An endpoint of webhooks that takes everything.
struct Endpoint {
    address: SocketAddr,
    called: Arc<Mutex<String>>,
}

impl Endpoint {
    async fn open() -> Result<Endpoint, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let called: Arc<Mutex<String>> = Arc::default();
        let calls = called.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(take_calls(socket, calls.clone()));
            }
        });
        Ok(Endpoint { address, called })
    }

    fn called(&self) -> String {
        self.called.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn called_with(&self, mark: &str) -> Result<(), String> {
        for _ in 0..2000 {
            if self.called().contains(mark) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("no webhook was called with {mark}: {}", self.called()))
    }
}

/// Answers the calls of one connection; none to a challenge, which is sent back.
async fn take_calls(mut socket: TcpStream, calls: Arc<Mutex<String>>) {
    let mut unread = String::new();
    let mut read = vec![0; 65_536];
    loop {
        let call = unread.split_once("\r\n\r\n").and_then(|(head, body)| {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
            body.get(..length).map(|body| (body.to_owned(), head.len() + 4 + length))
        });
        let Some((body, bytes)) = call else {
            match socket.read(&mut read).await {
                Ok(bytes @ 1..) => unread.push_str(&String::from_utf8_lossy(&read[..bytes])),
                _ => return,
            }
            continue;
        };
        unread.drain(..bytes);
        let event: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let answer = event["challenge"].as_str().unwrap_or_default();
        calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_str(&body);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn connect(stage: &mut Stage<'_>, actor: &str) -> Result<(), String> {
    let resource = actor.split('/').nth(1).unwrap_or("scene").to_owned();
    stage.step(&Kind::Connect { actor: actor.to_owned(), resource }).await
}

async fn send(stage: &mut Stage<'_>, actor: &str, xml: &str) -> Result<(), String> {
    stage.actor(actor)?.send(xml).await
}

/// Asks; the answer, and what came before it.
async fn ask(stage: &mut Stage<'_>, actor: &str, to: &str, kind: &str, xml: &str) -> Result<(Element, String), String> {
    let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
    let from = if actor == "bot" { " from='bot.example'" } else { "" };
    send(stage, actor, &format!("<iq type='{kind}' id='asked'{from}{to}>{xml}</iq>")).await?;
    let mut others = String::new();
    loop {
        let came =
            stage.actor(actor)?.next().await.map_err(|error| format!("{actor} asks {xml}: {error}; {others}"))?;
        if came.name() == "iq" && came.attr("id") == Some("asked") {
            return Ok((came, others));
        }
        others.push_str(&came.to_string());
    }
}

/// Asks, and is granted it.
async fn asked(stage: &mut Stage<'_>, actor: &str, to: &str, kind: &str, xml: &str) -> Result<(), String> {
    let (answer, _) = ask(stage, actor, to, kind, xml).await?;
    if answer.attr("type") == Some("result") { Ok(()) } else { Err(format!("{xml} is answered {answer}")) }
}

/// What comes before the answer to a question asked now; an error when the session has ended, with what came.
async fn told_until_answered(stage: &mut Stage<'_>, actor: &str) -> Result<String, String> {
    let (answer, others) = ask(stage, actor, SERVICE, "get", "<ping xmlns='urn:xmpp:ping'/>").await?;
    Ok(format!("{others}{answer}"))
}

fn subscribe(node: &str, jid: &str, fields: &str) -> String {
    let options = match fields {
        "" => String::new(),
        fields => format!("<options>{}</options>", form("subscribe_options", fields)),
    };
    format!("<pubsub xmlns='{PUBSUB}'><subscribe node='{node}' jid='{jid}'/>{options}</pubsub>")
}

fn form(kind: &str, fields: &str) -> String {
    let kind = field("FORM_TYPE", &format!("{PUBSUB}#{kind}"));
    format!("<x xmlns='jabber:x:data' type='submit'>{kind}{fields}</x>")
}

fn field(name: &str, value: &str) -> String {
    format!("<field var='{name}'><value>{value}</value></field>")
}

const SERVICE: &str = "pubsub.localhost";
const PERSONAL: &str = "urn:scene:personal";
/// What bob loses the right to read: on the service, and as alice's own.
const NODES: [(&str, &str); 3] = [(SERVICE, "n"), (SERVICE, "much"), ("", PERSONAL)];
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// Items for those who stand still: more than their sockets hold.
const MUCH: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);
