//! XML in, request out.

use super::*;

// rows: 491
#[test]
fn what_is_not_offered_is_said_by_its_feature() {
    assert_error(set("<sublimate node='n'/>"), "feature-not-implemented", "cancel", "");
}

#[test]
fn a_request_has_one_verb_in_an_iq_of_its_type() {
    for words in ["", "<create/><publish node='n'/>", "<purge xmlns='urn:other'/>", "<items node='n'/>"] {
        assert_error(set(words), "bad-request", "modify", "");
    }
    for words in [
        "<collection node='n'/>",
        "<collection node='n'><associate node='a'/><dissociate node='b'/></collection>",
        "<collection node='n'><marry node='a'/></collection>",
        "<collection node='n'><associate/></collection>",
    ] {
        let extra = if words.contains("<associate/>") { "nodeid-required" } else { "" };
        assert_error(owner_set(words), "bad-request", "modify", extra);
    }
    assert_error(get("<create node='n'/>"), "bad-request", "modify", "");
    assert_error(owner_set("<default/>"), "bad-request", "modify", "");
    // XEP-0060 §14.2: owners' verbs have a namespace of their own.
    assert_error(set("<purge node='n'/>"), "feature-not-implemented", "cancel", "");
    let twice = "<create node='n'/><configure/><configure/>";
    assert_error(set(twice), "bad-request", "modify", "");
}

// rows: 281, 317
#[test]
fn a_verb_that_needs_a_node_says_so() {
    for words in ["<publish/>", "<publish node=''/>", "<retract><item id='i'/></retract>", "<subscribe jid='a@b'/>"] {
        assert_error(set(words), "bad-request", "modify", "nodeid-required");
    }
    assert_error(get("<items/>"), "bad-request", "modify", "nodeid-required");
    for words in ["<delete/>", "<purge node=''/>", "<configure/>", "<subscriptions/>", "<affiliations/>"] {
        assert_error(owner_set(words), "bad-request", "modify", "nodeid-required");
    }
    assert_error(owner_get("<configure/>"), "bad-request", "modify", "nodeid-required");
    let long = format!("<items node='{}'/>", "n".repeat(1024));
    assert_error(get(&long), "item-not-found", "cancel", "");
}

// rows: 297, 300, 303
#[test]
fn create_becomes_a_request() {
    assert_verb(set("<create node='n'/>"), &Verb::Create { node: Some(node("n")), config: vec![] });
    assert_verb(set("<create/>"), &Verb::Create { node: None, config: vec![] });
    assert_verb(set("<create node='n'/><configure/>"), &Verb::Create { node: Some(node("n")), config: vec![] });
    let fields = format!("{TITLE}<field var='pubsub#contact'><value>a@b</value><value>c@d</value></field>");
    let words = format!("<create/><configure>{}</configure>", form_of("submit", NS_NODE_CONFIG, &fields));
    let config = vec![field("pubsub#title", &["T"]), field("pubsub#contact", &["a@b", "c@d"])];
    assert_verb(set(&words), &Verb::Create { node: None, config });
}

// rows: 304, 305
#[test]
fn a_creation_that_breaks_a_rule_is_refused() {
    assert_error(set("<create node=''/>"), "not-acceptable", "modify", "nodeid-required");
    let long = format!("<create node='{}'/>", "n".repeat(1024));
    assert_error(set(&long), "not-acceptable", "modify", "");
    assert_error(set("<configure/><create node='n'/>"), "bad-request", "modify", "");
    assert_error(set("<create node='n'/><configure node='n'/>"), "bad-request", "modify", "");
    for form in [
        form_of("result", NS_NODE_CONFIG, ""),
        form_of("submit", "urn:other", ""),
        "<x xmlns='jabber:x:data' type='submit'><field><value>1</value></field></x>".to_owned(),
    ] {
        assert_error(set(&format!("<create/><configure>{form}</configure>")), "bad-request", "modify", "");
    }
}

// rows: 226, 227, 526
#[test]
fn publish_becomes_a_request() {
    let words = "<publish node='n'><item id='1'><x xmlns='urn:x'>y</x></item><item> \n </item></publish>";
    let Ok(Verb::Publish { node: at, items, options: None, create: false }) = set(words) else { panic!("a publish") };
    assert_eq!((at, items.len()), (node("n"), 2));
    assert_eq!((items[0].id.clone(), items[0].precondition), (Some(item("1")), Precondition::None));
    let payload = items[0].payload.as_ref().unwrap();
    assert_eq!((&*payload.namespace, &*payload.xml), ("urn:x", &b"<x xmlns='urn:x'>y</x>"[..]));
    assert_eq!((items[1].id.clone(), items[1].payload.clone()), (None, None));
    assert_verb(
        set("<publish node='n'/>"),
        &Verb::Publish { node: node("n"), items: vec![], options: None, create: false },
    );
}

// rows: 238
#[test]
fn what_only_the_service_may_say_of_an_item_is_not_taken_from_its_publisher() {
    let honest = set("<publish node='n'><item id='1'><x xmlns='urn:x'/></item></publish>").unwrap();
    let forged = "<publish node='n'><item id='1' publisher='victim@b.example' timestamp='0'><x xmlns='urn:x'/></item>\
                  <delay xmlns='urn:xmpp:delay' from='pubsub.b.example' stamp='2000-01-01T00:00:00Z'/></publish>";
    assert_verb(set(forged), &honest);
}

// rows: 253
#[test]
fn an_item_has_one_payload_and_nothing_beside_it() {
    for inside in ["<x xmlns='urn:x'/><y xmlns='urn:y'/>", "text", "<x xmlns='urn:x'/>text", "<x xmlns=''/>"] {
        let words = format!("<publish node='n'><item>{inside}</item></publish>");
        assert_error(set(&words), "bad-request", "modify", "invalid-payload");
    }
    assert_error(set("<publish node='n'><item id=''/></publish>"), "bad-request", "modify", "");
}

// rows: 262, 264
#[test]
fn publish_options_become_preconditions() {
    let options = |form: &str| set(&format!("<publish node='n'/><publish-options>{form}</publish-options>"));
    let fields = format!("{TITLE}<field var='x-unknown'><value>1</value></field>");
    let Ok(Verb::Publish { options: Some(given), .. }) = options(&form_of("submit", NS_PUBLISH_OPTIONS, &fields))
    else {
        panic!("a publish with options")
    };
    assert_eq!(given, [field("pubsub#title", &["T"]), field("x-unknown", &["1"])]);
    let nameless = format!("<x xmlns='jabber:x:data' type='submit'>{TITLE}</x>");
    for form in ["", &nameless, &form_of("submit", NS_NODE_CONFIG, TITLE), &form_of("cancel", NS_PUBLISH_OPTIONS, "")] {
        assert_error(options(form), "bad-request", "modify", "");
    }
}

// rows: 272, 273, 274, 275, 526
#[test]
fn retract_becomes_a_request() {
    for (notify, expected) in
        [("", None), (" notify='true'", Some(true)), (" notify='1'", Some(true)), (" notify='false'", Some(false))]
    {
        let words = format!("<retract node='n'{notify}><item id='1'/><item id='2'/></retract>");
        let items = vec![item("1"), item("2")];
        let verb = Verb::Retract { node: node("n"), items, notify: expected, precondition: Precondition::None };
        assert_verb(set(&words), &verb);
    }
}

// rows: 280, 282
#[test]
fn a_retraction_that_breaks_a_rule_is_refused() {
    for words in
        ["<retract node='n'/>", "<retract node='n'><item/></retract>", "<retract node='n'><item id=''/></retract>"]
    {
        assert_error(set(words), "bad-request", "modify", "item-required");
    }
    let unnameable = format!("<retract node='n'><item id='{}'/></retract>", "i".repeat(1024));
    assert_error(set(&unnameable), "item-not-found", "cancel", "");
    assert_error(set("<retract node='n' notify='yes'><item id='i'/></retract>"), "bad-request", "modify", "");
}

// rows: 110, 111, 112
#[test]
fn subscribe_becomes_a_request() {
    for jid in ["a@b.example", "a@b.example/home"] {
        let verb =
            Verb::Subscribe { node: node("n"), jid: jid_of(jid), options: None, public: crate::pubsub::Public::No };
        assert_verb(set(&format!("<subscribe node='n' jid='{jid}'/>")), &verb);
    }
    assert_error(set("<subscribe node='n'/>"), "bad-request", "modify", "jid-required");
    assert_error(set("<subscribe node='n' jid='@'/>"), "bad-request", "modify", "invalid-jid");
}

// rows: 169, 174, 175, 180, 183, 184, 185, 188
#[test]
fn options_become_requests() {
    let (node, jid) = (node("n"), jid_of("a@b.example"));
    let subscribe = "<subscribe node='n' jid='a@b.example'/>";
    let form = form_of("submit", NS_SUBSCRIBE_OPTIONS, "<field var='pubsub#digest'><value>1</value></field>");
    let options = vec![field("pubsub#digest", &["1"])];
    let verb = Verb::Subscribe {
        node: node.clone(),
        jid: jid.clone(),
        options: Some(options.clone()),
        public: crate::pubsub::Public::No,
    };
    assert_verb(set(&format!("{subscribe}<options>{form}</options>")), &verb);
    for words in [
        format!("<options/>{subscribe}"),
        format!("{subscribe}<options node='n'/>"),
        format!("{subscribe}<options jid='a@b'/>"),
    ] {
        assert_error(set(&words), "bad-request", "modify", "");
    }
    let verb = |subid: Option<&str>| Verb::Options {
        node: node.clone(),
        jid: jid.clone(),
        subid: subid.map(|subid| SubId(Arc::from(subid))),
    };
    assert_verb(get("<options node='n' jid='a@b.example'/>"), &verb(None));
    assert_verb(get("<options node='n' jid='a@b.example' subid='s1'/>"), &verb(Some("s1")));
    assert_error(get("<options node='n'/>"), "bad-request", "modify", "jid-required");
    let verb = Verb::SetOptions { node: node.clone(), jid: jid.clone(), subid: None, options };
    assert_verb(set(&format!("<options node='n' jid='a@b.example'>{form}</options>")), &verb);
    assert_error(set("<options node='n' jid='a@b.example'/>"), "bad-request", "modify", "");
    assert_verb(get("<default/>"), &Verb::DefaultOptions { node: None });
    assert_verb(get("<default node='n'/>"), &Verb::DefaultOptions { node: Some(node.clone()) });
}

// rows: 152, 160
#[test]
fn unsubscribe_becomes_a_request() {
    let verb = |subid: Option<&str>| Verb::Unsubscribe {
        node: node("n"),
        jid: jid_of("a@b.example"),
        subid: subid.map(|subid| SubId(Arc::from(subid))),
    };
    assert_verb(set("<unsubscribe node='n' jid='a@b.example'/>"), &verb(None));
    assert_verb(set("<unsubscribe node='n' jid='a@b.example' subid='s1'/>"), &verb(Some("s1")));
    assert_error(set("<unsubscribe node='n'/>"), "bad-request", "modify", "jid-required");
}

// rows: 201, 207, 208
#[test]
fn items_becomes_a_request() {
    let verb = |selection: Selection, max: u64, edge: Edge| Verb::Items {
        node: node("n"),
        selection,
        page: Page { max, edge },
        view: View { under: Under::Named(None), ..View::default() },
    };
    assert_verb(get("<items node='n'/>"), &verb(Selection::All, 100, Edge::First));
    assert_verb(get("<items node='n' max_items='3'/>"), &verb(Selection::Newest(3), 100, Edge::First));
    assert_verb(get("<items node='n' max_items='5000'/>"), &verb(Selection::Newest(100), 100, Edge::First));
    let named = "<items node='n'><item id='2'/><item id='1'/></items>";
    assert_verb(get(named), &verb(Selection::These(vec![item("2"), item("1")]), 100, Edge::First));
    let set = |inside: &str| format!("<items node='n'/><set xmlns='{NS_RSM}'>{inside}</set>");
    let page = get(&set("<max>7</max><after>41</after>"));
    assert_verb(page, &verb(Selection::All, 7, Edge::After("41".to_owned())));
    assert_verb(get(&set("<max>7</max><before/>")), &verb(Selection::All, 7, Edge::Last));
    assert_verb(
        get(&set("<max>100000</max><before>9</before>")),
        &verb(Selection::All, 100, Edge::Before("9".to_owned())),
    );
    assert_verb(get(&set("<max>7</max><index>41</index>")), &verb(Selection::All, 7, Edge::At(41)));
}

#[test]
fn a_retrieval_that_breaks_a_rule_is_refused() {
    for number in ["0", "-1", "many", "99999999999999999999"] {
        assert_error(get(&format!("<items node='n' max_items='{number}'/>")), "bad-request", "modify", "");
    }
    assert_error(get("<items node='n'><item/></items>"), "bad-request", "modify", "item-required");
    for max in ["-1", "18446744073709551616", "x"] {
        let words = format!("<items node='n'/><set xmlns='{NS_RSM}'><max>{max}</max></set>");
        assert_error(get(&words), "bad-request", "modify", "");
    }
}

// rows: 222
#[test]
fn an_item_that_cannot_exist_is_left_out() {
    let words = format!("<items node='n'><item id='{}'/></items>", "i".repeat(1024));
    let Ok(Verb::Items { selection, .. }) = get(&words) else { panic!("a retrieval") };
    assert_eq!(selection, Selection::These(vec![]));
}

// rows: 95, 101, 104, 109
#[test]
fn one_s_own_lists_become_requests() {
    let page = || Page { max: 1000, edge: Edge::First };
    for (attributes, at) in [("", None), (" node='n'", Some(node("n")))] {
        let verb = Verb::Subscriptions { node: at.clone(), page: page() };
        assert_verb(get(&format!("<subscriptions{attributes}/>")), &verb);
        let verb = Verb::Affiliations { node: at, page: page() };
        assert_verb(get(&format!("<affiliations{attributes}/>")), &verb);
    }
}

// rows: 309, 320, 321
#[test]
fn configure_becomes_a_request() {
    assert_verb(owner_get("<configure node='n'/>"), &Verb::Configuration { node: node("n") });
    let submit = |form: &str| owner_set(&format!("<configure node='n'>{form}</configure>"));
    let fields = format!("{TITLE}<field var='x-other'><value>1</value></field><field var='pubsub#language'/>");
    let config = vec![field("pubsub#title", &["T"]), field("pubsub#language", &[])];
    assert_verb(submit(&form_of("submit", NS_NODE_CONFIG, &fields)), &Verb::Configure { node: node("n"), config });
    let cancelled = submit("<x xmlns='jabber:x:data' type='cancel'/>");
    assert_verb(cancelled, &Verb::Configuration { node: node("n") });
    for form in ["", &form_of("form", NS_NODE_CONFIG, ""), &form_of("submit", NS_PUBLISH_OPTIONS, "")] {
        assert_error(submit(form), "bad-request", "modify", "");
    }
}

// rows: 330, 331, 332, 333, 334
#[test]
fn the_default_configuration_is_a_form_with_every_field() {
    let given = Given { kind: RequestKind::Get, ..Given::default() };
    for words in ["<default/>", "<default type='leaf'/>", "<default type='collection'/>"] {
        let Ok(Work::Done(Body::Element(pubsub))) = given.work(&within(NS_OWNER, words)) else { panic!("a form") };
        let form = Form::within(pubsub.child("default", NS_OWNER).unwrap()).unwrap().unwrap();
        assert_eq!((form.kind, form.form_type()), (FormType::Form, Some(NS_NODE_CONFIG)));
        let mut defaults = NodeConfig::new(&policy());
        if words.contains("collection") {
            defaults.node_type = crate::pubsub::NodeType::Collection;
        }
        for described in FIELDS.iter().filter(|field| form::fits(field, &defaults)) {
            let field = form.field(&described.var()).expect(described.name);
            assert_eq!(field.values, described.values(&defaults), "{}", described.name);
        }
    }
    assert_error(owner_get("<default type='tree'/>"), "bad-request", "modify", "");
}

// rows: 339, 340, 341, 349
#[test]
fn delete_and_purge_become_requests() {
    assert_verb(owner_set("<delete node='n'/>"), &Verb::Delete { node: node("n"), redirect: None });
    let redirect = Some(Arc::from("xmpp:p.example?;node=m"));
    let words = "<delete node='n'><redirect uri='xmpp:p.example?;node=m'/></delete>";
    assert_verb(owner_set(words), &Verb::Delete { node: node("n"), redirect });
    assert_error(owner_set("<delete node='n'><redirect/></delete>"), "bad-request", "modify", "");
    assert_verb(owner_set("<purge node='n'/>"), &Verb::Purge { node: node("n") });
}

// rows: 381, 389, 390, 391, 396, 400, 401
#[test]
fn an_owner_s_subscriptions_become_requests() {
    let page = Page { max: 1000, edge: Edge::First };
    assert_verb(owner_get("<subscriptions node='n'/>"), &Verb::NodeSubscriptions { node: node("n"), page });
    let words = "<subscriptions node='n'><subscription jid='c@d' subscription='none' subid='s'/>\
                 <subscription jid='e@f/g' subscription='subscribed'/><subscription jid='h@i'/></subscriptions>";
    let changes = vec![
        (jid_of("c@d"), Some(SubId(Arc::from("s"))), SubscriptionState::None),
        (jid_of("e@f/g"), None, SubscriptionState::Subscribed),
    ];
    assert_verb(owner_set(words), &Verb::SetSubscriptions { node: node("n"), changes });
    let change =
        |attributes: &str| owner_set(&format!("<subscriptions node='n'><subscription {attributes}/></subscriptions>"));
    assert_error(change("subscription='none'"), "bad-request", "modify", "jid-required");
    assert_error(change("jid='@' subscription='none'"), "bad-request", "modify", "invalid-jid");
    assert_error(change("jid='c@d' subscription='maybe'"), "bad-request", "modify", "");
}

// rows: 19, 405, 411, 412, 418, 426
#[test]
fn an_owner_s_affiliations_become_requests() {
    let page = Page { max: 1000, edge: Edge::First };
    assert_verb(owner_get("<affiliations node='n'/>"), &Verb::NodeAffiliations { node: node("n"), page });
    for affiliation in Affiliation::ALL {
        let words = format!(
            "<affiliations node='n'><affiliation jid='c@d/e' affiliation='{}'/><affiliation jid='f@g'/></affiliations>",
            affiliation.as_str()
        );
        let changes = vec![(BareJid::parse("c@d").unwrap(), affiliation)];
        assert_verb(owner_set(&words), &Verb::SetAffiliations { node: node("n"), changes });
    }
    let change =
        |attributes: &str| owner_set(&format!("<affiliations node='n'><affiliation {attributes}/></affiliations>"));
    assert_error(change("affiliation='owner'"), "bad-request", "modify", "jid-required");
    assert_error(change("jid='c@d' affiliation='king'"), "bad-request", "modify", "");
}
