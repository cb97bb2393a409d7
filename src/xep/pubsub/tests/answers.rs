//! Answer in, XML out.

use super::*;

fn list<T>(entries: Vec<T>) -> List<T> {
    let count = entries.len() as u64;
    List { entries, count, first: Some("f".to_owned()), last: Some("l".to_owned()), index: Some(0), complete: true }
}

/// What is said when the engine answers so.
fn said(kind: RequestKind, element: &str, answer: Answer) -> String {
    let Ok(Work::Ask(ask)) = (Given { kind, ..Given::default() }).work(element) else { panic!("{element}") };
    let at = Some(Position { node: NodeKey(7), seq: Seq(3) });
    match (ask.say)(Answered { answer, at }).expect("an answer").0 {
        Body::Empty => String::new(),
        Body::Element(element) => element.to_string(),
        Body::Written(bytes) => String::from_utf8(bytes).unwrap(),
        Body::After(..) => panic!("nothing of a node comes before its answer"),
    }
}

// rows: 229, 230, 276, 293, 294, 296, 323, 342, 392, 413
#[test]
fn success_is_told_in_the_words_of_its_verb() {
    let set = |ns: &str, words: &str, reply: Reply| said(RequestKind::Set, &within(ns, words), Answer::Reply(reply));
    let created = set(NS_PUBSUB, "<create/>", Reply::Created { node: node("instant") });
    assert_eq!(created, within(NS_PUBSUB, "<create node='instant'/>"));
    let published = |id: Option<&str>| Published { id: id.map(item), seq: Seq(1), replaced: false, time: Timestamp(0) };
    let reply = Reply::Published { items: vec![published(Some("1")), published(Some("2"))], created: false };
    let words = "<publish node='n'><item id='1'/><item id='2'/></publish>";
    assert_eq!(set(NS_PUBSUB, "<publish node='n'><item/><item/></publish>", reply), within(NS_PUBSUB, words));
    let reply = Reply::Published { items: vec![published(None)], created: false };
    assert_eq!(set(NS_PUBSUB, "<publish node='n'/>", reply), within(NS_PUBSUB, "<publish node='n'/>"));
    for (ns, words, reply) in [
        (NS_PUBSUB, "<retract node='n'><item id='i'/></retract>", Reply::Retracted),
        (
            NS_PUBSUB,
            "<unsubscribe node='n' jid='a@b'/>",
            Reply::Unsubscribed { subscription: subscription("a@b", SubscriptionState::None) },
        ),
        (NS_OWNER, "<delete node='n'/>", Reply::Done),
        (NS_OWNER, "<purge node='n'/>", Reply::Done),
        (NS_OWNER, "<configure node='n'><x xmlns='jabber:x:data' type='submit'/></configure>", Reply::Done),
        (NS_OWNER, "<subscriptions node='n'/>", Reply::Done),
        (NS_OWNER, "<affiliations node='n'/>", Reply::Done),
    ] {
        assert_eq!(set(ns, words, reply), "", "{words}");
    }
}

#[test]
fn an_answer_to_another_question_is_our_fault() {
    let Ok(Work::Ask(ask)) = Given::default().work(&within(NS_OWNER, "<purge node='n'/>")) else { panic!("a request") };
    assert!((ask.say)(Answered { answer: Answer::Reply(Reply::Retracted), at: None }).is_none());
}

fn subscription(jid: &str, state: SubscriptionState) -> Subscription {
    let options = crate::pubsub::SubscriptionOptions::standard();
    Subscription { jid: jid_of(jid), subid: SubId(Arc::from("s1")), state, options }
}

// rows: 113, 114, 144, 149
#[test]
fn a_subscriber_is_told_of_its_subscription_and_the_last_item_is_due() {
    let element = within(NS_PUBSUB, "<subscribe node='n' jid='a@b.example'/>");
    for send_last in [true, false] {
        let Ok(Work::Ask(ask)) = Given::default().work(&element) else { panic!("a request") };
        let subscription = subscription("a@b.example", SubscriptionState::Subscribed);
        let reply = Reply::Subscribed { subscription: subscription.clone(), send_last };
        let at = Some(Position { node: NodeKey(7), seq: Seq(3) });
        let (body, due) = (ask.say)(Answered { answer: Answer::Reply(reply), at }).unwrap();
        let words = "<subscription node='n' jid='a@b.example' subid='s1' subscription='subscribed'/>";
        let Body::Element(body) = body else { panic!("an element") };
        assert_eq!(body.to_string(), within(NS_PUBSUB, words));
        assert_eq!(due.is_some(), send_last);
        let Some(due) = due else { continue };
        assert_eq!((due.node, due.at, due.subscription), (NodeKey(7), Seq(3), subscription));
    }
}

/// Who is subscribed by somebody else is told apart, with rights of its own.
#[test]
fn the_last_item_does_not_go_to_whoever_subscribed_somebody_else() {
    let caller = Caller { jid: jid_of("admin@b.example/x"), role: Role::Admin };
    let given = Given { caller, ..Given::default() };
    let Ok(Work::Ask(ask)) = given.work(&within(NS_PUBSUB, "<subscribe node='n' jid='a@b.example'/>")) else {
        panic!("a request")
    };
    let subscription = subscription("a@b.example", SubscriptionState::Subscribed);
    let reply = Reply::Subscribed { subscription, send_last: true };
    let (_, due) = (ask.say)(Answered { answer: Answer::Reply(reply), at: None }).unwrap();
    assert!(due.is_none());
}

// rows: 97, 98, 99, 102, 106, 107
#[test]
fn one_s_own_lists_are_told() {
    let get = |words: &str, answer: Answer| said(RequestKind::Get, &within(NS_PUBSUB, words), answer);
    let entries = vec![
        (node("n"), subscription("a@b.example", SubscriptionState::Subscribed)),
        (node("m"), subscription("a@b.example/home", SubscriptionState::Unconfigured)),
    ];
    let told = within(
        NS_PUBSUB,
        "<subscriptions><subscription node='n' jid='a@b.example' subid='s1' subscription='subscribed'/>\
         <subscription node='m' jid='a@b.example/home' subid='s1' subscription='unconfigured'/></subscriptions>",
    );
    assert_eq!(get("<subscriptions/>", Answer::SubscriptionsOf(list(entries))), told);
    let none = get("<subscriptions node='n'/>", Answer::SubscriptionsOf(list(vec![])));
    assert_eq!(none, within(NS_PUBSUB, "<subscriptions node='n'/>"));

    let entries = vec![(node("n"), Affiliation::Owner), (node("m"), Affiliation::PublishOnly)];
    let told = within(
        NS_PUBSUB,
        "<affiliations><affiliation node='n' affiliation='owner'/>\
         <affiliation node='m' affiliation='publish-only'/></affiliations>",
    );
    assert_eq!(get("<affiliations/>", Answer::AffiliationsOf(list(entries))), told);
    assert_eq!(get("<affiliations/>", Answer::AffiliationsOf(list(vec![]))), within(NS_PUBSUB, "<affiliations/>"));
}

// rows: 382, 383, 384, 406
#[test]
fn an_owner_s_lists_are_told() {
    let get = |words: &str, answer: Answer| said(RequestKind::Get, &within(NS_OWNER, words), answer);
    let entries = vec![
        subscription("a@b.example", SubscriptionState::Subscribed),
        subscription("c@d", SubscriptionState::Pending),
        subscription("e@f", SubscriptionState::Unconfigured),
    ];
    let told = within(
        NS_OWNER,
        "<subscriptions node='n'><subscription jid='a@b.example' subscription='subscribed' subid='s1'/>\
         <subscription jid='e@f' subscription='unconfigured' subid='s1'/></subscriptions>",
    );
    assert_eq!(get("<subscriptions node='n'/>", Answer::NodeSubscriptions(list(entries))), told);

    let entries = vec![
        (BareJid::parse("a@b").unwrap(), Affiliation::Owner),
        (BareJid::parse("c@d").unwrap(), Affiliation::Outcast),
    ];
    let told = within(
        NS_OWNER,
        "<affiliations node='n'><affiliation jid='a@b' affiliation='owner'/>\
         <affiliation jid='c@d' affiliation='outcast'/></affiliations>",
    );
    assert_eq!(get("<affiliations node='n'/>", Answer::NodeAffiliations(list(entries))), told);
}

// rows: 310, 311, 322
#[test]
fn an_owner_gets_the_configuration_as_a_form() {
    let (collections, children) = (vec![node("above")], Vec::new());
    let reply = Answer::Configuration { node: Arc::new(a_node()), collections, children };
    let told = said(RequestKind::Get, &within(NS_OWNER, "<configure node='n'/>"), reply.clone());
    let pubsub = parse_document(told.as_bytes(), &Limits::authenticated()).unwrap();
    let configure = pubsub.child("configure", NS_OWNER).unwrap();
    assert_eq!(configure.attr("node"), Some("n"));
    let form = Form::within(configure).unwrap().unwrap();
    assert_eq!(form.field("pubsub#title").unwrap().values, ["Orders"]);
    assert_eq!(form.field("pubsub#collection").unwrap().values, ["above"]);
    // XEP-0060 §8.2.4: who cancels hears nothing of it.
    let cancel = "<configure node='n'><x xmlns='jabber:x:data' type='cancel'/></configure>";
    assert_eq!(said(RequestKind::Set, &within(NS_OWNER, cancel), reply), "");
}

// rows: 78, 82, 84, 85, 558, F43, F44, F45, F48, F49, F53, F55
#[test]
fn nodes_and_their_metadata_are_discovered() {
    let query = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let told = said(RequestKind::Get, query, Answer::Nodes(list(vec![a_node()])));
    assert_eq!(
        told,
        "<query xmlns='http://jabber.org/protocol/disco#items'>\
         <item jid='pubsub.b.example' node='n' name='Orders'/></query>"
    );
    let query = "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>";
    let bare = |jid: &str| BareJid::parse(jid).unwrap();
    let leading = [(bare("o@b.example"), Affiliation::Owner), (bare("p@b.example"), Affiliation::Publisher)];
    let told = said(RequestKind::Get, query, Answer::Metadata { node: Arc::new(a_node()), leading: leading.to_vec() });
    let query = parse_document(told.as_bytes(), &Limits::authenticated()).unwrap();
    let identity = query.child("identity", "http://jabber.org/protocol/disco#info").unwrap();
    assert_eq!((identity.attr("category"), identity.attr("type")), (Some("pubsub"), Some("leaf")));
    assert_eq!(query.attr("node"), Some("n"));
    let form = Form::within(&query).unwrap().unwrap();
    assert_eq!((form.kind, form.form_type()), (FormType::Result, Some(NS_METADATA)));
    for (name, value) in [
        ("pubsub#title", "Orders"),
        ("pubsub#contact", "help@b.example"),
        ("pubsub#access_model", "open"),
        ("pubsub#publish_model", "publishers"),
        ("pubsub#num_subscribers", "0"),
        ("pubsub#owner", "o@b.example"),
        ("pubsub#publisher", "p@b.example"),
        ("pubsub#creator", "a@b.example"),
        ("pubsub#creation_date", "1970-01-01T00:00:00.000000Z"),
        ("pubsub#max_items", "1000"),
    ] {
        assert_eq!(form.field(name).expect(name).values, [value], "{name}");
    }
}

// rows: 80, 81, 89, 90, 91, 93
#[test]
fn items_of_a_node_are_discovered_by_name() {
    let publisher = BareJid::parse("a@b.example").unwrap();
    let fact = crate::pubsub::ItemFact { id: item("i1"), seq: Seq(1), publisher, published: Timestamp(0) };
    let answer = Answer::Items {
        node: Arc::new(a_node()),
        list: list(vec![crate::store::Item { created: fact.seq, fact, payload: None }]),
    };
    let query = "<query xmlns='http://jabber.org/protocol/disco#items' node='n'/>";
    assert_eq!(
        said(RequestKind::Get, query, answer),
        "<query xmlns='http://jabber.org/protocol/disco#items' node='n'><item jid='pubsub.b.example' name='i1'/></query>"
    );
}
