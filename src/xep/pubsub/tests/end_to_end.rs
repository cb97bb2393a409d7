//! Whole conversations: an iq in, the engine and a store behind it, an iq out.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{self, Committed, Engine, Sink, Tail};
use crate::store::memory::MemoryStore;
use crate::time::Clock;
use crate::xep::Xep;
use crate::xmpp::{Iq, IqKind, Stanza, StanzaError as Error};

/// Nobody watches.
struct Nobody;

impl Sink for Nobody {
    fn committed(&self, _commit: &Committed<'_>) {}

    fn grown(&self, _tails: Vec<Arc<Tail>>) {}
}

/// A second passes whenever somebody looks.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

struct Stage {
    xep: Xep,
    store: Arc<MemoryStore>,
    stop: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What came back: the answer's content, or its error.
type Outcome = Result<Option<Element>, (Error, Option<Element>)>;

impl Stage {
    fn new() -> Self {
        Stage::with(engine::Options::default(), Options::default())
    }

    fn with(engine: engine::Options, options: Options) -> Self {
        Stage::over(Arc::new(MemoryStore::new()), engine, options)
    }

    /// Over what another one has left.
    fn over(store: Arc<MemoryStore>, engine: engine::Options, options: Options) -> Self {
        let clock = Arc::new(Ticking(AtomicI64::new(1_000_000_000)));
        let (engine, turns) = Engine::new(store.clone(), clock, engine);
        let stop = CancellationToken::new();
        tokio::spawn(turns.run(Arc::new(Nobody), stop.clone()));
        let host =
            Host { domain: BareJid::parse("b.example").unwrap(), service: BareJid::parse("pubsub.b.example").unwrap() };
        let messaging = Messaging::new(engine.clone(), Default::default());
        Stage { xep: Xep::new(engine, messaging, vec![host], options), store, stop }
    }

    /// Sends one request to the service and reads what comes back, with the messages after it.
    async fn send(&self, from: &str, kind: RequestKind, element: &str) -> (Outcome, Vec<(Jid, Element)>) {
        let element = parse_document(element.as_bytes(), &Limits::authenticated()).expect(element);
        let kind = match kind {
            RequestKind::Get => IqKind::Get(element),
            RequestKind::Set => IqKind::Set(element),
        };
        let to = Some(jid_of("pubsub.b.example"));
        let iq = Iq { id: "x1".to_owned(), from: Some(jid_of(from)), to: to.clone(), kind };
        let caller = Caller { jid: jid_of(from), role: Role::Account };
        let answer = self.xep.answer(caller, iq).await.expect("a request is answered");
        let Stanza::Iq(iq) = Stanza::parse(stanza(&answer.iq)).unwrap() else { panic!("an iq") };
        assert_eq!((iq.id.as_str(), &iq.from, &iq.to), ("x1", &to, &Some(jid_of(from))));
        let outcome = match iq.kind {
            IqKind::Result(content) => Ok(content),
            IqKind::Error(error, beside) => Err((error, beside)),
            IqKind::Get(_) | IqKind::Set(_) => panic!("an answer"),
        };
        let then = answer.then.iter().map(|(to, bytes)| (to.clone(), stanza(bytes))).collect();
        (outcome, then)
    }

    async fn set(&self, from: &str, words: &str) -> Outcome {
        self.send(from, RequestKind::Set, &within(NS_PUBSUB, words)).await.0
    }

    async fn get(&self, from: &str, words: &str) -> Outcome {
        self.send(from, RequestKind::Get, &within(NS_PUBSUB, words)).await.0
    }

    async fn owner_set(&self, words: &str) -> Outcome {
        self.send(OWNER, RequestKind::Set, &within(NS_OWNER, words)).await.0
    }

    async fn owner_get(&self, words: &str) -> Outcome {
        self.send(OWNER, RequestKind::Get, &within(NS_OWNER, words)).await.0
    }

    async fn publish(&self, id: &str) {
        let words = format!("<publish node='n'><item id='{id}'><x xmlns='urn:x'>{id}</x></item></publish>");
        self.set(OWNER, &words).await.unwrap();
    }

    async fn items(&self, words: &str) -> (Vec<String>, Option<SetResult>) {
        let pubsub = self.get(READER, words).await.unwrap().unwrap();
        let items = pubsub.child("items", NS_PUBSUB).unwrap();
        let ids = items.children().map(|item| item.attr("id").unwrap().to_owned()).collect();
        (ids, pubsub.child("set", NS_RSM).and_then(SetResult::parse))
    }
}

fn stanza(bytes: &[u8]) -> Element {
    let stream = [b"<stream xmlns='jabber:client'>", bytes, b"</stream>"].concat();
    let stream = parse_document(&stream, &Limits { stanza_bytes: 1 << 24, ..Limits::authenticated() }).unwrap();
    stream.children().next().unwrap().clone()
}

#[track_caller]
fn assert_wrong(outcome: Outcome, condition: &str, application: &str) {
    let (error, _) = outcome.expect_err("an error");
    let words: Vec<&str> = error.application.iter().map(Element::name).collect();
    assert_eq!((error.condition.name(), words.join(" ").as_str()), (condition, application));
}

const OWNER: &str = "owner@b.example/desk";
const READER: &str = "reader@b.example/phone";

// rows: 66, 72, 196, 202, 210, 222, 229, 231, 247, 285, 290, 293, 497, 520, 521, 522
#[tokio::test]
async fn a_node_is_created_published_to_and_read() {
    let stage = Stage::new();
    assert!(stage.set(OWNER, "<create node='n'/>").await.is_ok());
    assert_wrong(stage.set(OWNER, "<create node='n'/>").await, "conflict", "");
    assert_eq!(stage.items("<items node='n'/>").await, (vec![], None));
    for id in ["1", "2", "1"] {
        stage.publish(id).await;
    }
    assert_eq!(stage.items("<items node='n'/>").await, (vec!["2".to_owned(), "1".to_owned()], None));
    assert_eq!(stage.items("<items node='n'><item id='2'/><item id='9'/></items>").await.0, ["2"]);
    let pubsub = stage.get(READER, "<items node='n' max_items='1'/>").await.unwrap().unwrap();
    let words = "<items node='n'><item id='1' publisher='owner@b.example'><x xmlns='urn:x'>1</x></item></items>";
    assert_eq!(pubsub.to_string(), within(NS_PUBSUB, words));
}

// rows: 228, 230, 238, 239, 292, 294
#[tokio::test]
async fn what_is_not_named_is_named_by_the_service() {
    let stage = Stage::new();
    let created = stage.set(OWNER, "<create/>").await.unwrap().unwrap();
    let node = created.child("create", NS_PUBSUB).unwrap().attr("node").unwrap().to_owned();
    let words =
        format!("<publish node='{node}'><item publisher='victim@b.example'><x xmlns='urn:x'/></item></publish>");
    let published = stage.set(OWNER, &words).await.unwrap().unwrap();
    let publish = published.child("publish", NS_PUBSUB).unwrap();
    let id = publish.child("item", NS_PUBSUB).unwrap().attr("id").unwrap().to_owned();
    let read = stage.get(READER, &format!("<items node='{node}'/>")).await.unwrap().unwrap();
    let item = read.child("items", NS_PUBSUB).unwrap().children().next().unwrap();
    assert_eq!((item.attr("id"), item.attr("publisher")), (Some(&*id), Some("owner@b.example")));
}

// rows: 79, 203, 208, 209
#[tokio::test]
async fn a_long_list_is_read_page_by_page_in_both_directions() {
    let options = Options { page_items_max: 3, ..Options::default() };
    let stage = Stage::with(engine::Options::default(), options);
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    for number in 0..8 {
        stage.publish(&number.to_string()).await;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut words = "<items node='n'/>".to_owned();
    loop {
        let (ids, set) = stage.items(&words).await;
        assert!(ids.len() <= 3);
        seen.extend(ids);
        let set = set.expect("a part of the list");
        assert_eq!(set.count, Some(8));
        if seen.len() >= 8 {
            break;
        }
        words = format!("<items node='n'/><set xmlns='{NS_RSM}'><after>{}</after></set>", set.last.unwrap());
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let page = |inside: &str| format!("<items node='n'/><set xmlns='{NS_RSM}'>{inside}</set>");
    let (ids, set) = stage.items(&page("<max>2</max><before/>")).await;
    assert_eq!(ids, ["6", "7"]);
    let before = format!("<max>2</max><before>{}</before>", set.unwrap().first.unwrap());
    assert_eq!(stage.items(&page(&before)).await.0, ["4", "5"]);
    assert_eq!(stage.items("<items node='n' max_items='2'/>").await.0, ["6", "7"]);
    let (ids, set) = stage.items(&page("<max>0</max>")).await;
    assert_eq!((ids.len(), set.unwrap().count), (0, Some(8)));
    for edge in ["' OR 1=1--", "1@2);DROP", "99999999999999999999"] {
        let words = page(&format!("<after>{edge}</after>"));
        assert_wrong(stage.get(READER, &words).await, "item-not-found", "");
    }
}

// rows: 113, 114, 146, 149, 150, 153, 156, 162
#[tokio::test]
async fn a_second_request_finds_the_subscription_of_the_first() {
    let stage = Stage::new();
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    let subscribe = within(NS_PUBSUB, "<subscribe node='n' jid='reader@b.example'/>");
    let (outcome, then) = stage.send(READER, RequestKind::Set, &subscribe).await;
    let answer = outcome.unwrap().unwrap();
    let subid = answer.child("subscription", NS_PUBSUB).unwrap().attr("subid").unwrap().to_owned();
    assert_eq!(then, []);
    stage.publish("1").await;
    stage.publish("2").await;
    // XEP-0060 §6.1.6: a second request finds the first one's subscription.
    let (outcome, then) = stage.send(READER, RequestKind::Set, &subscribe).await;
    assert_eq!(outcome.unwrap(), Some(answer));
    assert_eq!(then, []);

    let unsubscribe = |subid: &str| format!("<unsubscribe node='n' jid='reader@b.example' subid='{subid}'/>");
    assert_wrong(stage.set(READER, &unsubscribe("stale")).await, "not-acceptable", "invalid-subid");
    assert_eq!(stage.set(READER, &unsubscribe(&subid)).await, Ok(None));
    assert_wrong(stage.set(READER, &unsubscribe(&subid)).await, "unexpected-request", "not-subscribed");
}

// rows: 96, 97, 105, 106, 382, 405, 406
#[tokio::test]
async fn everybody_s_lists_show_what_was_done() {
    let stage = Stage::new();
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    for jid in ["reader@b.example", READER] {
        stage.set(READER, &format!("<subscribe node='n' jid='{jid}'/>")).await.unwrap();
    }
    let own = stage.get(READER, "<subscriptions/>").await.unwrap().unwrap();
    let own = own.child("subscriptions", NS_PUBSUB).unwrap();
    assert_eq!(
        own.children().map(|entry| entry.attr("jid").unwrap()).collect::<Vec<_>>(),
        ["reader@b.example", READER]
    );
    let all = stage.owner_get("<subscriptions node='n'/>").await.unwrap().unwrap();
    assert_eq!(all.child("subscriptions", NS_OWNER).unwrap().children().count(), 2);
    let own = stage.get(OWNER, "<affiliations/>").await.unwrap().unwrap().to_string();
    assert_eq!(own, within(NS_PUBSUB, "<affiliations><affiliation node='n' affiliation='owner'/></affiliations>"));
    let words = "<affiliations node='n'><affiliation jid='reader@b.example' affiliation='outcast'/></affiliations>";
    assert_eq!(stage.owner_set(words).await, Ok(None));
    let all = stage.owner_get("<affiliations node='n'/>").await.unwrap().unwrap();
    assert_eq!(all.child("affiliations", NS_OWNER).unwrap().children().count(), 2);
    assert_wrong(stage.get(READER, "<items node='n'/>").await, "forbidden", "");
    let gone = stage.owner_get("<subscriptions node='n'/>").await.unwrap().unwrap();
    assert_eq!(gone.child("subscriptions", NS_OWNER).unwrap().children().count(), 0);
}

// rows: 419, 420, 422, 425
#[tokio::test]
async fn the_last_owner_stays_and_is_shown() {
    let stage = Stage::new();
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    let words = "<affiliations node='n'><affiliation jid='owner@b.example' affiliation='none'/></affiliations>";
    let (error, beside) = stage.owner_set(words).await.unwrap_err();
    assert_eq!(error.condition.name(), "not-acceptable");
    let entry = "<affiliations node='n'><affiliation jid='owner@b.example' affiliation='owner'/></affiliations>";
    assert_eq!(beside.unwrap().to_string(), within(NS_OWNER, entry));
    let twice = "<affiliations node='n'><affiliation jid='c@d' affiliation='member'/>\
                 <affiliation jid='c@d/e' affiliation='owner'/></affiliations>";
    assert_wrong(stage.owner_set(twice).await, "bad-request", "");
}

// rows: 120, 218, 301, 302, 310, 311, 320, 322, 323, 324
#[tokio::test]
async fn a_configuration_is_read_changed_and_obeyed() {
    let stage = Stage::new();
    let fields = |fields: &str| form_of("submit", NS_NODE_CONFIG, fields);
    let model = |model: &str| fields(&format!("<field var='pubsub#access_model'><value>{model}</value></field>"));
    let words = format!("<create node='n'/><configure>{}</configure>", model("friends"));
    assert_wrong(stage.set(OWNER, &words).await, "not-acceptable", "unsupported-access-model");
    let words = format!("<create node='n'/><configure>{}</configure>", fields(TITLE));
    stage.set(OWNER, &words).await.unwrap();
    let words = format!("<configure node='n'>{}</configure>", model("whitelist"));
    assert_eq!(stage.owner_set(&words).await, Ok(None));
    let pubsub = stage.owner_get("<configure node='n'/>").await.unwrap().unwrap();
    let form = Form::within(pubsub.child("configure", NS_OWNER).unwrap()).unwrap().unwrap();
    assert_eq!(form.field("pubsub#access_model").unwrap().values, ["whitelist"]);
    assert_eq!(form.field("pubsub#title").unwrap().values, ["T"]);
    assert_wrong(stage.get(READER, "<items node='n'/>").await, "not-allowed", "closed-node");
    let subscribe = "<subscribe node='n' jid='reader@b.example'/>";
    assert_wrong(stage.set(READER, subscribe).await, "not-allowed", "closed-node");
    let words =
        format!("<configure node='n'>{}</configure>", fields("<field var='pubsub#max_items'><value>x</value></field>"));
    assert_wrong(stage.owner_set(&words).await, "not-acceptable", "");
    let cancel = "<configure node='n'><x xmlns='jabber:x:data' type='cancel'/></configure>";
    assert_eq!(stage.owner_set(cancel).await, Ok(None));
    let cancelled = stage.send(READER, RequestKind::Set, &within(NS_OWNER, cancel)).await.0;
    assert_wrong(cancelled, "forbidden", "");
}

// rows: 130, 221, 276, 280, 342, 350, 356
#[tokio::test]
async fn items_and_nodes_go() {
    let stage = Stage::new();
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    for id in ["1", "2", "3"] {
        stage.publish(id).await;
    }
    assert_eq!(stage.set(OWNER, "<retract node='n'><item id='2'/></retract>").await, Ok(None));
    assert_wrong(stage.set(OWNER, "<retract node='n'><item id='2'/></retract>").await, "item-not-found", "");
    assert_eq!(stage.items("<items node='n'/>").await.0, ["1", "3"]);
    assert_eq!(stage.owner_set("<purge node='n'/>").await, Ok(None));
    assert_eq!(stage.items("<items node='n'/>").await.0, [""; 0]);
    let words = "<delete node='n'><redirect uri='xmpp:p.example?;node=m'/></delete>";
    assert_eq!(stage.owner_set(words).await, Ok(None));
    assert_wrong(stage.owner_set("<purge node='n'/>").await, "item-not-found", "");
    assert_wrong(stage.get(READER, "<items node='n'/>").await, "item-not-found", "");
    let (error, _) = stage.set(READER, "<subscribe node='n' jid='reader@b.example'/>").await.unwrap_err();
    assert_eq!(error.condition, Condition::Gone(Some("xmpp:p.example?;node=m".to_owned())));
}

// rows: 250, 259, 260, 265, 266, 267, 268, 269, 270
#[tokio::test]
async fn publish_options_are_conditions_and_make_nodes() {
    let publish = |node: &str, title: &str| {
        let field = format!("<field var='pubsub#title'><value>{title}</value></field>");
        let options = form_of("submit", NS_PUBLISH_OPTIONS, &field);
        format!(
            "<publish node='{node}'><item><x xmlns='urn:x'/></item></publish><publish-options>{options}</publish-options>"
        )
    };
    let stage = Stage::new();
    assert_wrong(stage.set(OWNER, &publish("n", "T")).await, "item-not-found", "");
    let engine = engine::Options { auto_create: true, ..engine::Options::default() };
    let stage = Stage::with(engine, Options::default());
    assert!(stage.set(OWNER, &publish("n", "T")).await.is_ok());
    assert!(stage.set(OWNER, &publish("n", "T")).await.is_ok());
    assert_wrong(stage.set(OWNER, &publish("n", "Other")).await, "conflict", "precondition-not-met");
    let unknown = publish("n", "T").replace("pubsub#title", "pubsub#colour");
    assert_wrong(stage.set(OWNER, &unknown).await, "not-acceptable", "");
    let kept = stage.get(READER, "<items node='n'/>").await.unwrap().unwrap();
    assert_eq!(kept.child("items", NS_PUBSUB).unwrap().children().count(), 2);
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let info = stage.send(READER, RequestKind::Get, info).await.0.unwrap().unwrap();
    let auto_create = |feature: &Element| feature.attr("var") == Some("http://jabber.org/protocol/pubsub#auto-create");
    assert!(info.children().any(auto_create));
}

// rows: 116, 158, 248, 316, 345, 354, 387, 394, 409, 416, 555
#[tokio::test]
async fn what_one_may_not_do_is_refused() {
    let stage = Stage::new();
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    let item = "<publish node='n'><item><x xmlns='urn:x'/></item></publish>";
    assert_wrong(stage.set(READER, item).await, "forbidden", "");
    let other = "<subscribe node='n' jid='owner@b.example'/>";
    assert_wrong(stage.set(READER, other).await, "bad-request", "invalid-jid");
    assert_wrong(stage.set(READER, "<unsubscribe node='n' jid='owner@b.example'/>").await, "forbidden", "");
    for (kind, words) in [
        (RequestKind::Get, "<configure node='n'/>"),
        (RequestKind::Set, "<configure node='n'><x xmlns='jabber:x:data' type='submit'/></configure>"),
        (RequestKind::Set, "<delete node='n'/>"),
        (RequestKind::Set, "<purge node='n'/>"),
        (RequestKind::Get, "<subscriptions node='n'/>"),
        (RequestKind::Set, "<subscriptions node='n'/>"),
        (RequestKind::Get, "<affiliations node='n'/>"),
        (RequestKind::Set, "<affiliations node='n'/>"),
    ] {
        assert_wrong(stage.send(READER, kind, &within(NS_OWNER, words)).await.0, "forbidden", "");
    }
}

// rows: 129, 214, 252, 253, 256, 257, 258, 355, 527, 528
#[tokio::test]
async fn what_a_node_does_not_take_is_refused_whole() {
    let stage = Stage::new();
    let create = |node: &str, fields: &[(&str, &str)]| {
        let field = |(name, value): &(&str, &str)| format!("<field var='pubsub#{name}'><value>{value}</value></field>");
        let fields: String = fields.iter().map(field).collect();
        format!("<create node='{node}'/><configure>{}</configure>", form_of("submit", NS_NODE_CONFIG, &fields))
    };
    for words in [
        create("small", &[("max_payload_size", "30"), ("type", "urn:x"), ("max_items", "2")]),
        create("fleeting", &[("persist_items", "0"), ("deliver_payloads", "0")]),
        create("closed", &[("subscribe", "0")]),
    ] {
        stage.set(OWNER, &words).await.unwrap();
    }
    let item = |id: &str, inside: &str| format!("<item id='{id}'>{inside}</item>");
    let good = item("g", "<x xmlns='urn:x'/>");
    for (items, condition, application) in [
        (String::new(), "bad-request", "item-required"),
        (good.clone() + &item("b", ""), "bad-request", "payload-required"),
        (good.clone() + &item("b", "<y xmlns='urn:y'/>"), "bad-request", "invalid-payload"),
        (good.clone() + &item("b", "<x xmlns='urn:x'>far too long</x>"), "not-acceptable", "payload-too-big"),
        (good.repeat(2), "bad-request", ""),
        (["1", "2", "3"].map(|id| item(id, "<x xmlns='urn:x'/>")).concat(), "not-allowed", "max-items-exceeded"),
    ] {
        let outcome = stage.set(OWNER, &format!("<publish node='small'>{items}</publish>")).await;
        assert_wrong(outcome, condition, application);
    }
    assert_eq!(stage.items("<items node='small'/>").await, (vec![], None));
    let outcome = stage.set(OWNER, &format!("<publish node='fleeting'>{good}</publish>")).await;
    assert_wrong(outcome, "bad-request", "item-forbidden");
    let published = stage.set(OWNER, "<publish node='fleeting'/>").await.unwrap().unwrap();
    assert_eq!(published.to_string(), within(NS_PUBSUB, "<publish node='fleeting'/>"));
    assert_wrong(stage.get(READER, "<items node='fleeting'/>").await, "feature-not-implemented", "unsupported");
    assert_wrong(stage.owner_set("<purge node='fleeting'/>").await, "feature-not-implemented", "unsupported");
    let listed = "<query xmlns='http://jabber.org/protocol/disco#items' node='fleeting'/>";
    let listed = stage.send(READER, RequestKind::Get, listed).await.0.unwrap().unwrap();
    assert_eq!(listed.children().count(), 0);
    let subscribe = "<subscribe node='closed' jid='reader@b.example'/>";
    assert_wrong(stage.set(READER, subscribe).await, "feature-not-implemented", "unsupported");
}

// rows: 74, 78, 82, 85, 89
#[tokio::test]
async fn nodes_and_items_are_discovered() {
    let stage = Stage::new();
    for node in ["b", "n", "a"] {
        stage.set(OWNER, &format!("<create node='{node}'/>")).await.unwrap();
    }
    stage.publish("i").await;
    let items = |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#items'{node}/>");
    let nodes = stage.send(READER, RequestKind::Get, &items("")).await.0.unwrap().unwrap();
    assert_eq!(nodes.children().map(|node| node.attr("node").unwrap()).collect::<Vec<_>>(), ["a", "b", "n"]);
    let listed = stage.send(READER, RequestKind::Get, &items(" node='n'")).await.0.unwrap().unwrap();
    assert_eq!(listed.children().map(|item| item.attr("name").unwrap()).collect::<Vec<_>>(), ["i"]);
    let info = |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
    let told = stage.send(READER, RequestKind::Get, &info("n")).await.0.unwrap().unwrap();
    assert!(Form::within(&told).unwrap().unwrap().field("pubsub#creator").is_some());
    for absent in [info("absent"), items(" node='absent'")] {
        assert_wrong(stage.send(READER, RequestKind::Get, &absent).await.0, "item-not-found", "");
    }
}

#[tokio::test]
async fn answers_are_never_answered() {
    let stage = Stage::new();
    let caller = || Caller { jid: jid_of(READER), role: Role::Account };
    let error = StanzaError::new(Condition::Conflict);
    for kind in [IqKind::Result(None), IqKind::Error(error, None)] {
        let iq = Iq { id: "x".to_owned(), from: None, to: Some(jid_of("pubsub.b.example")), kind };
        assert_eq!(stage.xep.answer(caller(), iq).await, None);
    }
}

/// A request has its place once its future was polled, though it is not polled to the end until others
/// have been.
#[tokio::test]
async fn requests_take_their_turn_in_the_order_in_which_they_were_begun() {
    let stage = Stage::new();
    stage.set(OWNER, "<create node='n'/>").await.unwrap();
    let begun: Vec<_> = (0..10)
        .map(|number| {
            let words = format!("<publish node='n'><item id='{number}'><x xmlns='urn:x'/></item></publish>");
            let element = parse_document(within(NS_PUBSUB, &words).as_bytes(), &Limits::authenticated()).unwrap();
            let to = Some(jid_of("pubsub.b.example"));
            let iq = Iq { id: number.to_string(), from: None, to, kind: IqKind::Set(element) };
            let caller = Caller { jid: jid_of(OWNER), role: Role::Account };
            let mut answer = Box::pin(stage.xep.answer(caller, iq));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(answer.as_mut().poll(&mut context).is_pending());
            answer
        })
        .collect();
    for answer in begun.into_iter().rev() {
        assert!(answer.await.is_some());
    }
    let (ids, _) = stage.items("<items node='n'/>").await;
    assert_eq!(ids, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// What a stranger asks of a node `N`, and in which namespace.
const OF_STRANGERS: &[(RequestKind, &str, &str)] = &[
    (RequestKind::Get, NS_PUBSUB, "<items node='N'/>"),
    (RequestKind::Get, NS_PUBSUB, "<items node='N'><item id='a'/></items>"),
    (RequestKind::Get, NS_PUBSUB, "<subscriptions node='N'/>"),
    (RequestKind::Get, NS_PUBSUB, "<affiliations node='N'/>"),
    (RequestKind::Get, NS_PUBSUB, "<options node='N' jid='reader@b.example'/>"),
    (RequestKind::Get, NS_PUBSUB, "<default node='N'/>"),
    (RequestKind::Set, NS_PUBSUB, "<create node='N'/>"),
    (RequestKind::Set, NS_PUBSUB, "<subscribe node='N' jid='reader@b.example'/>"),
    (RequestKind::Set, NS_PUBSUB, "<unsubscribe node='N' jid='reader@b.example'/>"),
    (RequestKind::Set, NS_PUBSUB, "<publish node='N'><item id='a'><x xmlns='urn:x'/></item></publish>"),
    (RequestKind::Set, NS_PUBSUB, "<retract node='N'><item id='a'/></retract>"),
    (RequestKind::Get, NS_OWNER, "<configure node='N'/>"),
    (RequestKind::Set, NS_OWNER, "<configure node='N'><x xmlns='jabber:x:data' type='submit'/></configure>"),
    (RequestKind::Get, NS_OWNER, "<subscriptions node='N'/>"),
    (RequestKind::Get, NS_OWNER, "<affiliations node='N'/>"),
    (
        RequestKind::Set,
        NS_OWNER,
        "<affiliations node='N'><affiliation jid='reader@b.example' affiliation='owner'/></affiliations>",
    ),
    (RequestKind::Set, NS_OWNER, "<purge node='N'/>"),
    (RequestKind::Set, NS_OWNER, "<delete node='N'/>"),
    (RequestKind::Get, "http://jabber.org/protocol/disco#info", ""),
    (RequestKind::Get, "http://jabber.org/protocol/disco#items", ""),
    (RequestKind::Set, "urn:xmpp:mam:2", ""),
];

/// Security row A11: neither the answer nor what the store is asked for it tells a hidden node from none.
#[tokio::test]
async fn a_hidden_node_costs_what_an_absent_one_costs() {
    let stage = Stage::new();
    let models = ["open", "whitelist", "authorize", "presence", "roster"];
    for model in models {
        for number in 0..OF_STRANGERS.len() {
            let field = |name: &str, value: &str| format!("<field var='{name}'><value>{value}</value></field>");
            let fields = field("tidings#hidden", "1") + &field("pubsub#access_model", model);
            let form = form_of("submit", "http://jabber.org/protocol/pubsub#node_config", &fields);
            let words = format!("<create node='{model}-{number}'/><configure>{form}</configure>");
            stage.set(OWNER, &words).await.unwrap();
        }
    }
    let admins = engine::Options { who_creates: WhoCreates::Admins, ..engine::Options::default() };
    let stage = Stage::over(stage.store.clone(), admins, Options::default());
    stage.get(READER, "<items node='first'/>").await.unwrap_err();
    for (number, (kind, ns, words)) in OF_STRANGERS.iter().enumerate() {
        for again in [false, true] {
            let asked = async |node: &str| {
                let node = format!("{node}-{number}");
                let element = match *ns {
                    NS_PUBSUB | NS_OWNER => within(ns, &words.replace("'N'", &format!("'{node}'"))),
                    _ => format!("<query xmlns='{ns}' node='{node}'/>"),
                };
                stage.store.take_asked();
                let (outcome, _) = stage.send(READER, *kind, &element).await;
                let asked = stage.store.take_asked();
                let kinds: Vec<String> =
                    asked.facts.iter().map(|ask| format!("{ask:?}").split('(').next().unwrap().to_owned()).collect();
                (format!("{outcome:?}").replace(&node, "N"), asked.operations, kinds)
            };
            let absent = asked("absent").await;
            for model in models {
                assert_eq!(asked(model).await, absent, "{words} {ns}, {model}, again {again}");
            }
        }
    }
}
