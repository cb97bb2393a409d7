//! Our words beside another library's: what we write it reads, what it writes we read.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use tidings::engine::{self, Committed, Engine, Entry, Sink, Tail};
use tidings::jid::{BareJid, Jid};
use tidings::messaging::Messaging;
use tidings::pubsub::{
    Caller, Event, EventKind, ItemId, Media, NodeAddress, NodeConfig, NodeId, NodeKey, Payload, Role, Seq,
    ServicePolicy, WhoCreates,
};
use tidings::store::memory::MemoryStore;
use tidings::time::{SystemClock, Timestamp};
use tidings::xep::pubsub::notify;
use tidings::xep::{Host, Options, Xep};
use tidings::xml::{Element, Limits, parse_document};
use tidings::xmpp::{
    Condition, Delay, ErrorType, Field, FieldType, Form, FormType, Iq, IqKind, Message, MessageType, Place, Presence,
    PresenceType, SetRequest, SetResult, Stanza, StanzaError,
};
use tokio_util::sync::CancellationToken;
use xmpp_parsers::minidom;
use xmpp_parsers::pubsub as their_pubsub;

/// Our element as theirs.
fn theirs(element: &Element) -> minidom::Element {
    element.to_string().parse().expect("well-formed XML")
}

/// Their element as ours.
fn ours(element: &minidom::Element) -> Element {
    parse_document(String::from(element).as_bytes(), &Limits::authenticated()).expect("well-formed XML")
}

/// They read it, write it again, and we read what we wrote.
#[track_caller]
fn assert_passes_through<T>(element: &Element, read: impl Fn(&Element) -> Element)
where
    T: TryFrom<minidom::Element> + Into<minidom::Element>,
    T::Error: Debug,
{
    let read_by_them = T::try_from(theirs(element)).expect("they understand it");
    assert_eq!(read(&ours(&read_by_them.into())), read(element));
}

#[test]
fn stanza_errors() {
    let gone = Condition::Gone(Some("xmpp:p.example?;node=n".to_owned()));
    for condition in Condition::ALL.into_iter().chain([gone]) {
        for kind in ErrorType::ALL {
            let error = StanzaError::new(condition.clone()).with_type(kind).with_text("why");
            let error = error.with_application(Element::new("closed-node", "http://jabber.org/protocol/pubsub#errors"));
            let element = error.to_element("jabber:client");
            assert_passes_through::<xmpp_parsers::stanza_error::StanzaError>(&element, |element| {
                StanzaError::parse(element).to_element("jabber:client")
            });
        }
    }
}

#[test]
fn stanzas() {
    let jid = |text: &str| Jid::parse(text).ok();
    let reread = |element: &Element| Stanza::parse(element.clone()).expect("a stanza").into_element();
    let asked = || Element::new("ping", "urn:xmpp:ping");
    for kind in [
        IqKind::Get(asked()),
        IqKind::Set(asked()),
        IqKind::Result(None),
        IqKind::Result(Some(asked())),
        IqKind::Error(StanzaError::new(Condition::Forbidden), Some(asked())),
    ] {
        let iq = Iq { id: "1".to_owned(), from: jid("a@b.example/c"), to: jid("p.example"), kind };
        assert_passes_through::<xmpp_parsers::iq::Iq>(&Stanza::Iq(iq).into_element(), reread);
    }
    for kind in MessageType::ALL {
        let content = Element::new("message", "jabber:client").with_child(Element::new("x", "urn:x").with_text("y"));
        let (from, to) = (jid("p.example"), jid("a@b.example"));
        let message = Message { id: Some("1".to_owned()), from, to, kind, content };
        assert_passes_through::<xmpp_parsers::message::Message>(&Stanza::Message(message).into_element(), reread);
    }
    for kind in PresenceType::NAMED.into_iter().chain([PresenceType::Available]) {
        let word = Element::new("priority", "jabber:client").with_text("-3");
        let content = Element::new("presence", "jabber:client").with_child(word);
        let presence = Presence { id: None, from: jid("a@b.example/c"), to: None, kind, priority: -3, content };
        assert_passes_through::<xmpp_parsers::presence::Presence>(&Stanza::Presence(presence).into_element(), reread);
    }
}

#[test]
fn forms() {
    for kind in [FormType::Form, FormType::Submit, FormType::Cancel, FormType::Result] {
        let mut form = Form::of_type(kind, "urn:example:kind");
        form.title = Some("A & B".to_owned());
        form.instructions = vec!["fill <in>".to_owned()];
        for field_type in FieldType::ALL {
            let mut field = Field::new(field_type.as_str(), field_type).with_label("label");
            field.required = true;
            field.description = Some("what it is".to_owned());
            field.values = vec!["1".to_owned()];
            if matches!(field_type, FieldType::ListSingle | FieldType::ListMulti) {
                field.options = vec![(None, "1".to_owned()), (Some("Two".to_owned()), "2".to_owned())];
            }
            form.fields.push(field);
        }
        assert_passes_through::<xmpp_parsers::data_forms::DataForm>(&form.to_element(), |element| {
            let mut form = Form::parse(element).expect("a form");
            // They leave the default out (XEP-0004 §3.2).
            form.fields.iter_mut().for_each(|field| field.kind = field.kind.or(Some(FieldType::TextSingle)));
            form.to_element()
        });
    }
}

#[test]
fn result_sets() {
    let uid = || "a<b".to_owned();
    for place in [Place::First, Place::After(uid()), Place::Before(uid()), Place::Last, Place::Index(3)] {
        for max in [None, Some(0), Some(10)] {
            let request = SetRequest { max, place: place.clone() };
            assert_passes_through::<xmpp_parsers::rsm::SetQuery>(&request.to_element(), |element| {
                SetRequest::parse(element).expect("a request").to_element()
            });
        }
    }
    let page = SetResult { first: Some(uid()), first_index: Some(3), last: Some(uid()), count: Some(9) };
    for result in [page, SetResult { count: Some(9), ..SetResult::default() }, SetResult::default()] {
        assert_passes_through::<xmpp_parsers::rsm::SetResult>(&result.to_element(), |element| {
            SetResult::parse(element).expect("a result").to_element()
        });
    }
}

#[test]
fn delays() {
    for reason in [None, Some("Offline Storage".to_owned())] {
        let from = Jid::parse("p.example").ok();
        let delay = Delay { from, stamp: Timestamp(1_000_000_000_123_456), reason };
        assert_passes_through::<xmpp_parsers::delay::Delay>(&delay.to_element(), |element| {
            Delay::parse(element).expect("a delay").to_element()
        });
    }
}

fn policy() -> ServicePolicy {
    ServicePolicy {
        service: BareJid::parse("pubsub.b.example").expect("an address"),
        who_creates: WhoCreates::Accounts,
        auto_create: false,
        templates: std::sync::Arc::default(),
        payload_bytes_max: 100_000,
        items_max: 1000,
        children_max: 1000,
        parents_max: 16,
        of_server: false,
        batch_items_max: 16,
        attached_items_max: 16,
        subscriptions: tidings::pubsub::SubscriptionPolicy::default(),
    }
}

/// The event that they read in the notification of ours, with its delay where it is late.
fn notified(kind: EventKind, late: bool) -> their_pubsub::event::Payload {
    let address = NodeAddress { service: policy().service, node: NodeId::parse("a'<node>").expect("a node") };
    let event = Event { seq: Seq(3), time: Timestamp::from_seconds(1_000_000_000), kind };
    let entry = Entry::new(NodeKey(1), Arc::new(address), event, Arc::new(NodeConfig::new(&policy())));
    let body = if late { notify::delayed(&entry) } else { notify::body(&entry).clone() };
    let to = Jid::parse("a@b.example/c").expect("an address");
    let head = notify::head(&entry.address.service, &to);
    let wire = String::from_utf8([&head[..], &body[..]].concat()).expect("UTF-8");
    let element: minidom::Element =
        wire.replacen("<message", "<message xmlns='jabber:client'", 1).parse().expect("well-formed XML");
    let mut message = xmpp_parsers::message::Message::try_from(element).expect("a message");
    assert_eq!(message.type_, xmpp_parsers::message::MessageType::Headline);
    let delay = message.extract_payload::<xmpp_parsers::delay::Delay>().expect("no other delay");
    assert_eq!(delay.is_some(), late);
    let event = message.extract_payload::<their_pubsub::event::Event>().expect("a valid event");
    event.expect("an event").payload
}

// rows: 235, 277, 328, 343, 352
#[test]
fn notifications() {
    use their_pubsub::event::Payload as Told;
    let node = || their_pubsub::NodeName("a'<node>".to_owned());
    let item = || ItemId::parse("i&1").expect("an item");
    let payload = Payload {
        media: Media::Xml,
        namespace: Arc::from("urn:x"),
        xml: Arc::from(&b"<x xmlns='urn:x'><y/>z</x>"[..]),
    };
    let published = EventKind::Published {
        item: Some(item()),
        publisher: BareJid::parse("a@b.example").expect("an address"),
        payload: Some(payload),
        replaces: None,
    };
    let uri = "xmpp:p.example?;node=m";
    for late in [false, true] {
        let told = notified(published.clone(), late);
        let Told::Items { node: at, published: items, retracted } = told else { panic!("items") };
        assert_eq!((at, items.len(), retracted.len()), (node(), 1, 0));
        assert_eq!(items[0].id, Some(their_pubsub::ItemId("i&1".to_owned())));
        assert_eq!(items[0].publisher.as_ref().map(ToString::to_string).as_deref(), Some("a@b.example"));
        assert_eq!(items[0].payload, minidom::Element::from_str("<x xmlns='urn:x'><y/>z</x>").ok());

        let told = notified(EventKind::Retracted { item: item(), notify: true }, late);
        let gone = vec![their_pubsub::ItemId("i&1".to_owned())];
        assert_eq!(told, Told::Items { node: node(), published: vec![], retracted: gone });

        assert_eq!(notified(EventKind::Purged, late), Told::Purge { node: node() });

        let config = Arc::new(NodeConfig::new(&policy()));
        let Told::Configuration { node: at, form: Some(form) } = notified(EventKind::Configured { config }, late)
        else {
            panic!("a configuration with its form")
        };
        assert_eq!((at, form.form_type()), (node(), Some("http://jabber.org/protocol/pubsub#node_config")));

        for redirect in [None, Some(uri)] {
            let told = notified(EventKind::Deleted { redirect: redirect.map(Arc::from) }, late);
            assert_eq!(told, Told::Delete { node: node(), redirect: redirect.map(str::to_owned) });
        }
    }
}

/// Nobody watches.
struct Nobody;

impl Sink for Nobody {
    fn committed(&self, _commit: &Committed<'_>) {}

    fn grown(&self, _tails: Vec<Arc<Tail>>) {}
}

struct Service {
    xep: Xep,
    _stop: tokio_util::sync::DropGuard,
}

impl Service {
    fn start() -> Self {
        let options = engine::Options::default();
        let (engine, turns) = Engine::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
        let stop = CancellationToken::new();
        tokio::spawn(turns.run(Arc::new(Nobody), stop.clone()));
        let host = Host { domain: BareJid::parse("b.example").expect("an address"), service: policy().service };
        let messaging = Messaging::new(engine.clone(), Default::default());
        Service { xep: Xep::new(engine, messaging, vec![host], Options::default()), _stop: stop.drop_guard() }
    }

    /// Sends a request that they wrote, and gives them the answer.
    async fn send(&self, request: xmpp_parsers::iq::Iq) -> Option<minidom::Element> {
        let from = Jid::parse("a@b.example/c").expect("an address");
        let request: minidom::Element = request.with_to("pubsub.b.example".parse().expect("an address")).into();
        let Ok(Stanza::Iq(iq)) = Stanza::parse(ours(&request)) else { panic!("an iq") };
        let answer = self.xep.answer(Caller { jid: from, role: Role::Account }, iq).await.expect("an answer");
        let wire = String::from_utf8(answer.iq.to_vec()).expect("UTF-8");
        let wire = wire.replacen("<iq", "<iq xmlns='jabber:client'", 1);
        let element: minidom::Element = wire.parse().expect("well-formed XML");
        match xmpp_parsers::iq::Iq::try_from(element).expect("an iq") {
            xmpp_parsers::iq::Iq::Result { payload, .. } => payload,
            other => panic!("a success: {other:?}"),
        }
    }

    async fn get(&self, request: impl xmpp_parsers::iq::IqGetPayload) -> minidom::Element {
        self.send(xmpp_parsers::iq::Iq::from_get("g", request)).await.expect("content")
    }

    async fn set(&self, request: impl xmpp_parsers::iq::IqSetPayload) -> Option<minidom::Element> {
        self.send(xmpp_parsers::iq::Iq::from_set("s", request)).await
    }
}

fn pubsub(content: minidom::Element) -> their_pubsub::PubSub {
    their_pubsub::PubSub::try_from(content).expect("an answer that they understand")
}

fn owner(content: minidom::Element) -> their_pubsub::owner::Payload {
    their_pubsub::Owner::try_from(content).expect("an answer that they understand").payload
}

fn owners(payload: their_pubsub::owner::Payload) -> their_pubsub::Owner {
    their_pubsub::Owner { payload }
}

// rows: 74, 95, 104, 113, 229, 276, 310, 334, 382, 406
#[tokio::test]
async fn requests_and_answers() {
    use their_pubsub::owner::Payload as Owned;
    use their_pubsub::pubsub::{Affiliations, Create, Item, Items, PubSub, Publish, Retract, Subscribe, Subscriptions};
    let service = Service::start();
    let node = || their_pubsub::NodeName("n".to_owned());
    let jid = |text: &str| text.parse().expect("an address");

    let created = service.set(PubSub::Create { create: Create { node: Some(node()) }, configure: None }).await;
    assert!(matches!(pubsub(created.expect("content")), PubSub::Create { create, .. } if create.node == Some(node())));

    let payload = minidom::Element::from_str("<x xmlns='urn:x'>y</x>").ok();
    let item = Item { id: Some(their_pubsub::ItemId("1".to_owned())), publisher: None, payload };
    let publish = Publish { node: node(), items: vec![item.clone()] };
    let published = service.set(PubSub::Publish { publish, publish_options: None }).await.expect("content");
    assert!(matches!(pubsub(published), PubSub::Publish { publish, .. } if publish.items[0].id == item.id));

    let subscribe = Subscribe { jid: jid("a@b.example"), node: Some(node()) };
    let subscribed = service.set(PubSub::Subscribe { subscribe: Some(subscribe), options: None }).await;
    assert!(matches!(pubsub(subscribed.expect("content")), PubSub::Subscription(_)));

    let PubSub::Items(items) = pubsub(service.get(PubSub::Items(Items::new("n"))).await) else { panic!("items") };
    assert_eq!(items.items, [Item { publisher: Some(jid("a@b.example")), ..item }]);

    let list = Subscriptions { node: None, subscription: vec![] };
    let listed = pubsub(service.get(PubSub::Subscriptions(list)).await);
    assert!(matches!(listed, PubSub::Subscriptions(list) if list.subscription.len() == 1));
    let list = Affiliations { node: None, affiliations: vec![] };
    let listed = pubsub(service.get(PubSub::Affiliations(list)).await);
    assert!(matches!(listed, PubSub::Affiliations(list) if list.affiliations.len() == 1));

    let asked = Owned::Subscriptions { node: node(), subscriptions: vec![] };
    let listed = owner(service.get(owners(asked)).await);
    assert!(matches!(listed, Owned::Subscriptions { subscriptions, .. } if subscriptions.len() == 1));
    let asked = Owned::Affiliations { node: node(), affiliations: vec![] };
    let listed = owner(service.get(owners(asked)).await);
    assert!(matches!(listed, Owned::Affiliations { affiliations, .. } if affiliations.len() == 1));

    let configuration = owner(service.get(owners(Owned::Configure { node: Some(node()), form: None })).await);
    let Owned::Configure { form: Some(mut form), .. } = configuration else { panic!("a form") };
    form.type_ = xmpp_parsers::data_forms::DataFormType::Submit;
    let submitted = Owned::Configure { node: Some(node()), form: Some(form) };
    assert_eq!(service.set(owners(submitted)).await, None);
    assert!(matches!(
        owner(service.get(owners(Owned::Default { form: None })).await),
        Owned::Default { form: Some(_) }
    ));

    let items = vec![Item { id: Some(their_pubsub::ItemId("1".to_owned())), publisher: None, payload: None }];
    assert_eq!(service.set(PubSub::Retract(Retract { node: node(), notify: true, items })).await, None);
    assert_eq!(service.set(owners(Owned::Purge { node: node() })).await, None);
    assert_eq!(service.set(owners(Owned::Delete { node: node(), redirect_uri: None })).await, None);
}

// rows: 74, 75, 76, 78, 82, 84, 85
#[tokio::test]
async fn service_discovery() {
    use xmpp_parsers::disco::{DiscoInfoQuery, DiscoInfoResult, DiscoItemsQuery, DiscoItemsResult};
    let service = Service::start();
    let create = their_pubsub::pubsub::Create { node: Some(their_pubsub::NodeName("n".to_owned())) };
    service.set(their_pubsub::PubSub::Create { create, configure: None }).await;
    for (node, kind) in [(None, "service"), (Some("n".to_owned()), "leaf")] {
        let info = service.get(DiscoInfoQuery { node: node.clone() }).await;
        let info = DiscoInfoResult::try_from(info).expect("information that they understand");
        assert_eq!((info.identities[0].category.as_str(), info.identities[0].type_.as_str()), ("pubsub", kind));
        assert_eq!((info.node.clone(), info.extensions.len()), (node.clone(), usize::from(node.is_some())));
        assert!(info.features.iter().any(|feature| feature == "http://jabber.org/protocol/pubsub"));
    }
    let items = service.get(DiscoItemsQuery { node: None, rsm: None }).await;
    let items = DiscoItemsResult::try_from(items).expect("items that they understand");
    assert_eq!(items.items.iter().map(|item| item.node.as_deref()).collect::<Vec<_>>(), [Some("n")]);
}
