//! SASL2 with Bind 2 and FAST (XEP-0388, XEP-0386, XEP-0484).

use tidings::access::{NewPassword, NewToken};
use tidings::xml::Element;

use crate::client::{BIND2, Client, FAST, Hello, SASL, SASL2, SM};
use crate::house::{House, alice};

const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Test</software></user-agent>";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag></bind>";
const USE: &str = "<fast xmlns='urn:xmpp:fast:0'/>";

fn request(mechanism: &str) -> String {
    format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>")
}

fn identifier(success: &Element) -> String {
    success.child("authorization-identifier", SASL2).map(Element::text).unwrap_or_else(|| panic!("{success}"))
}

fn token(success: &Element) -> Option<String> {
    success.child("token", FAST).and_then(|token| token.attr("token")).map(str::to_owned)
}

async fn log_in(house: &House, inline: &str) -> (Client, Element) {
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let success = client.plain("alice", "alice-password", inline).await.unwrap();
    assert!(success.is("success", SASL2), "{success}");
    client.features = client.next().await.unwrap();
    (client, success)
}

#[tokio::test]
async fn a_session_is_there_after_one_answer() {
    let house = House::open(&[]).await;
    let (mut client, success) = log_in(&house, &format!("{AGENT}{BIND}")).await;
    assert!(success.child("bound", BIND2).is_some(), "{success}");
    let full = identifier(&success);
    assert!(full.starts_with("alice@localhost/Test/") && !full.contains("d4565fa7"), "{full}");
    assert!(client.features.child("bind", "urn:ietf:params:xml:ns:xmpp-bind").is_none());
    client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    let pong = client.next().await.unwrap();
    assert_eq!((pong.attr("type"), pong.attr("to")), (Some("result"), Some(full.as_str())));
}

#[tokio::test]
async fn the_limits_of_the_authenticated_hold_at_once() {
    let house = House::open(&[]).await;
    let (mut client, _) = log_in(&house, BIND).await;
    // Larger, and with more elements, than anything that may be said before.
    let many = "<a/>".repeat(1_000);
    let body = "x".repeat(20_000);
    client
        .send(&format!("<iq type='get' id='big' to='localhost'><q xmlns='urn:x'>{many}{body}</q></iq>"))
        .await
        .unwrap();
    assert_eq!(client.next().await.unwrap().attr("id"), Some("big"));
}

/// XEP-0386 §3.2: an earlier session of the same client makes room.
#[tokio::test]
async fn a_client_that_comes_back_takes_its_place_again() {
    let house = House::open(&[]).await;
    let (mut first, success) = log_in(&house, &format!("{AGENT}{BIND}")).await;
    let (mut again, again_success) = log_in(&house, &format!("{AGENT}{BIND}")).await;
    assert_eq!(identifier(&success), identifier(&again_success));
    let error = first.next().await.unwrap();
    assert!(error.child("conflict", "urn:ietf:params:xml:ns:xmpp-streams").is_some(), "{error}");
    again.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(again.next().await.unwrap().attr("id"), Some("p"));
    // Another installation is another session.
    let (_, other) = log_in(&house, BIND).await;
    assert_ne!(identifier(&other), identifier(&success));
}

#[tokio::test]
async fn without_bind_2_a_resource_is_bound_as_ever() {
    let house = House::open(&[]).await;
    let (mut client, success) = log_in(&house, "").await;
    assert_eq!(identifier(&success), "alice@localhost");
    assert!(client.features.child("bind", "urn:ietf:params:xml:ns:xmpp-bind").is_some());
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind>";
    client.send(&format!("<iq type='set' id='b'>{bind}</iq>")).await.unwrap();
    assert!(client.next().await.unwrap().to_string().contains("alice@localhost/desk"));
}

/// The whole life of a token, with each mechanism.
#[tokio::test]
async fn a_token_stands_for_the_password() {
    let house = House::open(&[]).await;
    for mechanism in ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"] {
        let (_, success) = log_in(&house, &format!("{AGENT}{}", request(mechanism))).await;
        let text = token(&success).expect("a token");
        let bound = |client: &Client| match mechanism {
            "HT-SHA-256-EXPR" => client.exporter(),
            "HT-SHA-256-ENDP" => client.end_point(),
            _ => Vec::new(),
        };
        let inline = format!("{AGENT}{BIND}{USE}");
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let data = bound(&client);
        let success = client.token(mechanism, &text, &data, &inline).await.unwrap();
        assert!(identifier(&success).starts_with("alice@localhost/Test/"), "{mechanism}: {success}");
        assert_eq!(token(&success), None, "it is not due");

        // A wrong one, one without its binding, and one that was invalidated.
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let wrong = client.token(mechanism, "another", &data, &inline).await.unwrap();
        assert!(wrong.child("not-authorized", SASL).is_some(), "{wrong}");
        if mechanism != "HT-SHA-256-NONE" {
            let unbound = client.token("HT-SHA-256-NONE", &text, &[], &inline).await.unwrap();
            assert!(unbound.child("not-authorized", SASL).is_some(), "{unbound}");
        }
        let data = bound(&client);
        let leaving = format!("{AGENT}<fast xmlns='urn:xmpp:fast:0' invalidate='true'/>");
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let data = if data.is_empty() { data } else { bound(&client) };
        assert!(client.token(mechanism, &text, &data, &leaving).await.unwrap().is("success", SASL2));
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let data = bound(&client);
        let gone = client.token(mechanism, &text, &data, &inline).await.unwrap();
        assert!(gone.child("not-authorized", SASL).is_some(), "{gone}");
    }
}

/// XEP-0484 §4.1: a token belongs to a client, so whoever does not say which one it is gets none.
#[tokio::test]
async fn nobody_in_particular_gets_no_token() {
    let house = House::open(&[]).await;
    let (_, success) = log_in(&house, &request("HT-SHA-256-NONE")).await;
    assert_eq!(token(&success), None);
}

#[tokio::test]
async fn tokens_can_be_switched_off() {
    let house = House::open(&["auth.fast_days=0"]).await;
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    assert!(!client.features.to_string().contains(FAST));
    let answer = client.plain("alice", "alice-password", &request("HT-SHA-256-NONE")).await.unwrap();
    assert!(answer.child("malformed-request", SASL).is_some(), "{answer}");
}

/// T16.
#[tokio::test]
async fn another_password_ends_sessions_and_tokens() {
    let house = House::open(&[]).await;
    let inline = format!("{AGENT}{BIND}{}", request("HT-SHA-256-NONE"));
    let (mut client, success) = log_in(&house, &inline).await;
    let text = token(&success).unwrap();
    let other = NewPassword::Chosen("another".to_owned());
    house.running.access.set_password(&alice(), other).await.unwrap();
    let error = client.next().await.unwrap();
    assert!(error.child("not-authorized", "urn:ietf:params:xml:ns:xmpp-streams").is_some(), "{error}");
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let answer = client.token("HT-SHA-256-NONE", &text, &[], &format!("{AGENT}{USE}")).await.unwrap();
    assert!(answer.child("not-authorized", SASL).is_some(), "{answer}");
}

/// XEP-0198 §9: a token, a session of before, and what was missed, with one request.
#[tokio::test]
async fn a_lost_session_goes_on_by_token() {
    let house = House::open(&[]).await;
    let enable = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let inline = format!("{AGENT}{enable}{}", request("HT-SHA-256-NONE"));
    let (client, success) = log_in(&house, &inline).await;
    let (text, full) = (token(&success).unwrap(), identifier(&success));
    let enabled = success.child("bound", BIND2).and_then(|bound| bound.child("enabled", SM)).expect("enabled");
    let id = enabled.attr("id").expect("it can be resumed").to_owned();
    drop(client);
    let (mut bob, _) = {
        let mut bob = Hello::default().connect(house.direct()).await.unwrap();
        let success = bob.plain("bob", "bob-password", BIND).await.unwrap();
        bob.next().await.unwrap();
        (bob, success)
    };
    bob.send(&format!("<message to='{full}' id='missed' type='chat'><body>hello</body></message>")).await.unwrap();
    bob.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(bob.next().await.unwrap().attr("id"), Some("p"));

    let back = format!("{AGENT}{USE}<resume xmlns='{SM}' previd='{id}' h='0'/>{enable}");
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let success = client.token("HT-SHA-256-NONE", &text, &[], &back).await.unwrap();
    assert_eq!(identifier(&success), full);
    let resumed = success.child("resumed", SM).unwrap_or_else(|| panic!("{success}"));
    assert_eq!((resumed.attr("previd"), resumed.attr("h")), (Some(id.as_str()), Some("0")));
    assert!(success.child("bound", BIND2).is_none(), "a resumed session has a resource");
    client.next().await.unwrap();
    assert_eq!(client.next().await.unwrap().attr("id"), Some("missed"));

    // What is not there any more is said to be not there, and a session is begun as asked.
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let back = back.replace(&id, "gone");
    let success = client.token("HT-SHA-256-NONE", &text, &[], &back).await.unwrap();
    let failed = success.child("failed", SM).unwrap_or_else(|| panic!("{success}"));
    assert!(failed.child("item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas").is_some(), "{success}");
    assert!(success.child("bound", BIND2).is_some_and(|bound| bound.child("enabled", SM).is_some()), "{success}");
    assert_eq!(identifier(&success), full, "the same client, so the same name");
}

/// T10: nobody resumes another's session by SASL2 either.
#[tokio::test]
async fn a_session_of_another_account_is_not_found() {
    let house = House::open(&[]).await;
    let enable = "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let (mut client, success) = log_in(&house, enable).await;
    let bound = success.child("bound", BIND2).unwrap();
    let id = bound.child("enabled", SM).and_then(|enabled| enabled.attr("id")).unwrap().to_owned();
    let mut bob = Hello::default().connect(house.direct()).await.unwrap();
    let resume = format!("<resume xmlns='{SM}' previd='{id}' h='0'/>");
    let success = bob.plain("bob", "bob-password", &resume).await.unwrap();
    assert!(success.child("failed", SM).is_some() && success.child("resumed", SM).is_none(), "{success}");
    assert_eq!(identifier(&success), "bob@localhost");
    client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(client.next().await.unwrap().attr("id"), Some("p"));
}

/// XEP-0386 §3.2, XEP-0280: copies come from the first moment on.
#[tokio::test]
async fn carbons_begin_with_the_binding() {
    let house = House::open(&[]).await;
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>Copies</tag><enable xmlns='urn:xmpp:carbons:2'/></bind>";
    let client = Hello::default().connect(house.direct()).await.unwrap();
    assert_eq!(client.announced_features(), ["urn:xmpp:sm:3", "urn:xmpp:csi:0", "urn:xmpp:carbons:2"]);
    let (mut copies, _) = log_in(&house, bind).await;
    let (mut other, _) = log_in(&house, BIND).await;
    other.send("<message to='bob@localhost' type='chat' id='m'><body>hello</body></message>").await.unwrap();
    let copy = copies.next().await.unwrap();
    assert!(copy.child("sent", "urn:xmpp:carbons:2").is_some(), "{copy}");
}

/// XEP-0386 §3.2, XEP-0352: a client may come in the background, and is spared the presence of others.
#[tokio::test]
async fn a_session_may_begin_while_nobody_looks() {
    let house = House::open(&[]).await;
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>Pocket</tag><inactive xmlns='urn:xmpp:csi:0'/></bind>";
    let (mut pocket, success) = log_in(&house, bind).await;
    let pocket_jid = identifier(&success);
    let (mut other, _) = log_in(&house, BIND).await;
    let present = |show: &str| format!("<presence to='{pocket_jid}'><show>{show}</show></presence>");
    other.send(&present("away")).await.unwrap();
    other.send(&present("dnd")).await.unwrap();
    let typing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    other.send(&format!("<message to='{pocket_jid}' type='chat'>{typing}</message>")).await.unwrap();
    other.send(&format!("<message to='{pocket_jid}' type='chat'><body>look</body>{typing}</message>")).await.unwrap();
    let newest = pocket.next().await.unwrap();
    assert_eq!(newest.child("show", "jabber:client").map(Element::text).as_deref(), Some("dnd"), "{newest}");
    let message = pocket.next().await.unwrap();
    assert!(message.child("body", "jabber:client").is_some(), "that somebody types is not told: {message}");
    pocket.send("<active xmlns='urn:xmpp:csi:0'/>").await.unwrap();
    other.send(&present("chat")).await.unwrap();
    let told = pocket.next().await.unwrap();
    assert_eq!(told.child("show", "jabber:client").map(Element::text).as_deref(), Some("chat"), "{told}");
}

/// Whoever was lent a token is lent no more than that: no token of FAST, which would outlive it, no other
/// password for the account, and not its end.
#[tokio::test]
async fn what_was_lent_is_not_made_lasting() {
    let house = House::open(&[]).await;
    let new = NewToken { account: alice(), scopes: Vec::new(), expires_seconds: None };
    let token = house.running.access.create_token(new).await.unwrap();
    let message = format!("n,a=alice@localhost,\u{1}auth=Bearer {}\u{1}\u{1}", token.text);
    let inline = format!("{AGENT}{BIND}{}", request("HT-SHA-256-NONE"));
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let success = client.authenticate("OAUTHBEARER", message.as_bytes(), &inline).await.unwrap();
    assert!(success.is("success", SASL2), "{success}");
    assert_eq!(self::token(&success), None);
    client.next().await.unwrap();
    for asked in ["<username>alice</username><password>taken</password>", "<remove/>"] {
        let query = format!("<query xmlns='jabber:iq:register'>{asked}</query>");
        client.send(&format!("<iq type='set' id='r' to='localhost'>{query}</iq>")).await.unwrap();
        let answer = client.next().await.unwrap();
        let error = answer.child("error", "jabber:client").unwrap_or_else(|| panic!("{answer}"));
        assert!(error.child("not-allowed", "urn:ietf:params:xml:ns:xmpp-stanzas").is_some(), "{answer}");
    }
    log_in(&house, BIND).await;
}

/// XEP-0386 §3.2: what waits and stands in the archive is cleared, for whoever binds so reads that.
#[tokio::test]
async fn messages_that_wait_are_left_to_the_archive() {
    let house = House::open(&[]).await;
    let mut bob = Hello::default().connect(house.direct()).await.unwrap();
    bob.plain("bob", "bob-password", BIND).await.unwrap();
    bob.next().await.unwrap();
    let ping = |id: &str| format!("<iq type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    bob.send("<message to='alice@localhost' type='chat'><body>you are away</body></message>").await.unwrap();
    bob.send(&ping("sent")).await.unwrap();
    assert_eq!(bob.next().await.unwrap().attr("id"), Some("sent"));

    let (mut alice, _) = log_in(&house, &format!("{AGENT}{BIND}")).await;
    alice.send("<presence/>").await.unwrap();
    assert_eq!(alice.next().await.unwrap().name(), "presence");
    alice.send(&ping("p")).await.unwrap();
    let next = alice.next().await.unwrap();
    assert_eq!(next.attr("id"), Some("p"), "{next}");
    alice.send("<iq type='set' id='m'><query xmlns='urn:xmpp:mam:2'/></iq>").await.unwrap();
    let found = alice.next().await.unwrap();
    assert!(found.child("result", "urn:xmpp:mam:2").is_some(), "{found}");
}

/// XEP-0386 §3.2: whatever the tag, an earlier session of the same client ends; one of another does not.
#[tokio::test]
async fn a_client_that_binds_again_ends_its_session_of_before() {
    let house = House::open(&[]).await;
    let tagged = |tag: &str| format!("<bind xmlns='urn:xmpp:bind:0'><tag>{tag}</tag></bind>");
    let other = "<user-agent id='0a5a1a3c-11aa-4b2c-8f4e-2f9c6f6b6a11'/>";
    let (mut before, _) = log_in(&house, &format!("{AGENT}{}", tagged("One"))).await;
    let (mut elsewhere, _) = log_in(&house, &format!("{other}{}", tagged("One"))).await;
    let (mut after, _) = log_in(&house, &format!("{AGENT}{}", tagged("Two"))).await;
    let error = before.next().await.unwrap();
    assert!(error.child("conflict", "urn:ietf:params:xml:ns:xmpp-streams").is_some(), "{error}");
    for client in [&mut elsewhere, &mut after] {
        client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
        assert_eq!(client.next().await.unwrap().attr("id"), Some("p"));
    }
}

/// RFC 6121 §2.6.1, §3.4: what is announced with a binding is announced without one.
#[tokio::test]
async fn rosters_are_versioned_whichever_way_one_binds() {
    let house = House::open(&[]).await;
    let (client, _) = log_in(&house, BIND).await;
    assert!(client.features.child("ver", "urn:xmpp:features:rosterver").is_some(), "{}", client.features);
    assert!(client.features.child("sub", "urn:xmpp:features:pre-approval").is_some(), "{}", client.features);
}

/// XEP-0386 §3.2: what the archive holds is told with the resource, so that a client need not ask for what it has.
#[tokio::test]
async fn the_ends_of_the_archive_come_with_the_resource() {
    let house = House::open(&[]).await;
    let archive = |success: &Element| {
        let bound = success.child("bound", BIND2).unwrap_or_else(|| panic!("{success}"));
        bound.child("metadata", "urn:xmpp:mam:2").unwrap_or_else(|| panic!("{success}")).clone()
    };
    let (mut client, success) = log_in(&house, BIND).await;
    assert_eq!(archive(&success).children().count(), 0, "nothing was said yet: {success}");
    for id in ["first", "last"] {
        let message = format!("<message to='bob@localhost' type='chat' id='{id}'><body>{id}</body></message>");
        client.send(&message).await.unwrap();
    }
    let end = |told: &Element, name: &str| {
        told.child(name, "urn:xmpp:mam:2").and_then(|end| end.attr("id")).map(str::to_owned)
    };
    // Both are kept some moment after they were sent.
    let asked = loop {
        client.send("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>").await.unwrap();
        let answer = client.next().await.unwrap();
        let asked = answer.child("metadata", "urn:xmpp:mam:2").unwrap_or_else(|| panic!("{answer}")).clone();
        if end(&asked, "start") != end(&asked, "end") {
            break asked;
        }
    };
    let (_, success) = log_in(&house, BIND).await;
    assert_eq!(archive(&success), asked);
}
