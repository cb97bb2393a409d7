//! Webhooks: senders that publish here, and endpoints that are called.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::endpoint::{Does, Endpoint};
use super::*;
use crate::delivery::webhook::{Networks, Schedule, secret_key};
use crate::http::{Hook, HookForm, Scheme};

fn hook(source: &str, scheme: Scheme, secrets: &[&str], node: &str) -> Hook {
    Hook {
        source: source.to_owned(),
        scheme,
        secrets: secrets.iter().map(|secret| signed_with(secret)).collect(),
        tolerance_seconds: 300,
        node: node.to_owned(),
        item: None,
        account: BareJid::parse("alice@localhost").unwrap(),
        create: true,
        form: HookForm::Body,
    }
}

fn hex_hmac(key: &str, content: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(content);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_sender_publishes_with_its_signature_and_each_delivery_once() {
    let github = Hook {
        item: Some("{/number}".to_owned()),
        ..hook("github", Scheme::GitHub, &["old secret of it", "new secret of it"], "hub/{event}/{/repo/name}")
    };
    let options = Options { hooks: vec![github], ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    let sender = Caller { address: stage.http, credential: String::new() };
    let body = br#"{"number":7,"repo":{"name":"a/b"},"big":12345678901234567890123}"#;
    let send = async |secret: &str, id: &str, body: &[u8], path: &str| {
        let signature = format!("sha256={}", hex_hmac(secret, body));
        let headers =
            [("x-hub-signature-256", signature.as_str()), ("x-github-delivery", id), ("x-github-event", "push")];
        sender.ask("POST", path, &headers, Some(("application/json", body))).await
    };
    let path = "/v1/hooks/github";
    let first = send("new secret of it", "d1", body, path).await;
    assert_eq!((first.status, &first.json()["node"], &first.json()["id"]), (200, &"hub/push/a/b".into(), &"7".into()));
    assert_eq!(alice.get("/v1/nodes/hub%2Fpush%2Fa%2Fb/items/7").await.body, &body[..]);
    // Seen before, with either secret: answered, and not published again.
    let again = send("old secret of it", "d1", body, path).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
    assert_eq!(again.json()["seq"], first.json()["seq"]);
    let other = send("old secret of it", "d2", body, path).await;
    assert_ne!(other.json()["seq"], first.json()["seq"]);

    let wrong = send("another secret", "d3", body, path).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (401, "signature-invalid"));
    let unsigned = sender.ask("POST", path, &[], Some(("application/json", body))).await;
    assert_eq!(unsigned.status, 401);
    // What is not proven is not even looked at.
    assert_eq!(sender.ask("POST", path, &[], Some(("application/json", b"{nonsense"))).await.status, 401);
    let malformed = send("new secret of it", "d4", b"{nonsense", path).await;
    assert_eq!(malformed.status, 422);
    let nameless = send("new secret of it", "d5", b"{\"number\":1}", path).await;
    assert_eq!((nameless.status, &nameless.json()["errors"][0]["pointer"]), (422, &"/repo/name".into()));
    assert_eq!(send("new secret of it", "d6", body, "/v1/hooks/gitlab").await.status, 404);
    assert_eq!(send("new secret of it", "d6", body, "/v1/hooks/github?x=1").await.status, 400);
    assert_eq!(sender.get(path).await.status, 405);
    let items = alice.get("/v1/nodes/hub%2Fpush%2Fa%2Fb/items").await.json();
    assert_eq!((&items["count"], &items["items"][0]["seq"]), (&1.into(), &other.json()["seq"]));
    stage.close().await;
}

#[tokio::test]
async fn affiliations_decide_for_senders_too() {
    let stranger = Hook { create: false, ..hook("gitlab", Scheme::GitLab, &["token of the gitlab"], "n") };
    let stage = Stage::with(Options { hooks: vec![stranger], ..Options::default() }, engine::Options::default()).await;
    let bob = stage.caller("bob", &[]).await;
    stage.caller("alice", &[]).await;
    let sender = Caller { address: stage.http, credential: String::new() };
    let headers = [("x-gitlab-token", "token of the gitlab")];
    let send =
        async || sender.ask("POST", "/v1/hooks/gitlab", &headers, Some(("application/json", b"{}"))).await.status;
    assert_eq!(send().await, 404);
    bob.create("n", "{}").await;
    assert_eq!(send().await, 403);
    bob.json("PUT", "/v1/nodes/n/affiliations", r#"{"alice@localhost":"publisher"}"#).await;
    assert_eq!(send().await, 200);
    // Nor does anybody publish in the name of an account that is disabled.
    let alice = BareJid::parse("alice@localhost").unwrap();
    stage.access.set_disabled(&alice, true).await.unwrap();
    let refused = sender.ask("POST", "/v1/hooks/gitlab", &headers, Some(("application/json", b"{\"n\":1}"))).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"));
    assert!(refused.header("ratelimit").contains("bytes"), "every answer tells the rate");
    stage.access.set_disabled(&alice, false).await.unwrap();
    assert_eq!(send().await, 200);
    stage.close().await;
}

#[tokio::test]
async fn slack_is_answered_its_challenge_and_standard_webhooks_become_events() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let standard = Hook { form: HookForm::CloudEvent, ..hook("pay", Scheme::StandardWebhooks, &[secret], "pay") };
    let slack = hook("slack", Scheme::Slack, &["a secret of slack"], "slack/{event}");
    let options = Options { hooks: vec![standard, slack], ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    let sender = Caller { address: stage.http, credential: String::new() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();

    let slack = async |time: u64, body: &str| {
        let signature = format!("v0={}", hex_hmac("a secret of slack", format!("v0:{time}:{body}").as_bytes()));
        let time = time.to_string();
        let headers = [("x-slack-request-timestamp", time.as_str()), ("x-slack-signature", signature.as_str())];
        sender.ask("POST", "/v1/hooks/slack", &headers, Some(("application/json", body.as_bytes()))).await
    };
    let challenged = slack(now, r#"{"type":"url_verification","challenge":"c-1"}"#).await;
    assert_eq!((challenged.status, &challenged.body[..]), (200, &b"c-1"[..]));
    assert_eq!(slack(now - 301, r#"{"type":"url_verification","challenge":"c-1"}"#).await.status, 401);
    let event = r#"{"type":"event_callback","event_id":"E1","event":{"type":"message"}}"#;
    assert_eq!(slack(now, event).await.json()["node"], "slack/message");
    assert_eq!(slack(now - 1, event).await.header("idempotent-replayed"), "true");

    let key = secret_key(secret).unwrap();
    let pay = async |id: &str, time: u64, body: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{time}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let time = time.to_string();
        let headers =
            [("webhook-id", id), ("webhook-timestamp", time.as_str()), ("webhook-signature", signature.as_str())];
        sender.ask("POST", "/v1/hooks/pay", &headers, Some(("application/json", body.as_bytes()))).await
    };
    let body = r#"{"type":"paid","n":1.10}"#;
    let paid = pay("m1", now, body).await;
    assert_eq!(paid.status, 200);
    let item = alice.get(&format!("/v1/nodes/pay/items/{}", paid.json()["id"].as_str().unwrap())).await;
    let event = item.json();
    assert_eq!(
        (&event["id"], &event["type"], &event["source"]),
        (&"m1".into(), &"pay.paid".into(), &"/v1/hooks/pay".into())
    );
    assert!(String::from_utf8_lossy(&item.body).contains(r#""data":{"type":"paid","n":1.10}"#), "{item:?}");
    assert_eq!(pay("m1", now, body).await.header("idempotent-replayed"), "true");
    assert_eq!(pay("m.1", now, body).await.status, 400);
    assert_eq!(pay("m2", now - 301, body).await.status, 401);
    // A minute more than is borne, for time goes on while the test runs.
    assert_eq!(pay("m2", now + 361, body).await.status, 401);
    assert_eq!(alice.get("/v1/nodes/pay/items").await.json()["count"], 1);
    stage.close().await;
}

/// Loopback is open, and nobody waits long.
fn near() -> webhook::Options {
    webhook::Options {
        allow_http: true,
        networks: Networks::parse("127.0.0.0/8").unwrap(),
        schedule: Schedule::parse("0,0,0").unwrap(),
        timeout: Duration::from_millis(500),
        ..webhook::Options::default()
    }
}

async fn stage_with(webhooks: webhook::Options) -> (Stage, Caller, Endpoint) {
    let stage = Stage::with_webhooks(Options::default(), engine::Options::default(), webhooks).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    (stage, alice, Endpoint::open("127.0.0.1:0").await)
}

async fn create(caller: &Caller, url: &str, more: &str) -> Reply {
    caller.json("POST", "/v1/nodes/n/webhooks", &format!("{{\"url\":\"{url}\"{more}}}")).await
}

/// Creates one, which must succeed; its path.
async fn created(caller: &Caller, endpoint: &Endpoint, more: &str) -> String {
    let reply = create(caller, &endpoint.url(), more).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.header("location").to_owned()
}

/// Asks until it is as expected.
async fn until(caller: &Caller, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = timeout(PATIENCE, async {
        loop {
            last = caller.get(path).await.json();
            if expected(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(found.await.is_ok(), "{last}");
    last
}

#[tokio::test]
async fn an_endpoint_is_called_with_what_happens_signed_and_in_order() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    alice.publish("n", "before", "0").await;
    let reply = create(&alice, &endpoint.url(), "").await;
    assert_eq!((reply.status, reply.header("cache-control")), (201, "no-store"));
    let secret = reply.json()["secret"].as_str().unwrap().to_owned();
    let path = reply.header("location").to_owned();
    let cursor = alice.publish("n", "a", "{\"v\": 1.10}").await;
    alice.ask("PUT", "/v1/nodes/n/items/b", &[], Some(("text/plain", "ü\n<".as_bytes()))).await;
    alice.delete("/v1/nodes/n/items/a").await;
    alice.delete("/v1/nodes/n/items").await;
    let calls = endpoint.called(4).await;
    let told: Vec<(&str, &Value)> = calls.iter().map(|call| (call.kind(), &call.event["subject"])).collect();
    let none = Value::Null;
    assert_eq!(
        told,
        [
            ("tidings.published", &"a".into()),
            ("tidings.published", &"b".into()),
            ("tidings.retracted", &"a".into()),
            ("tidings.purged", &none)
        ]
    );
    let event = &calls[0].event;
    assert_eq!((&event["specversion"], &event["source"]), (&"1.0".into(), &"xmpp:pubsub.localhost?;node=n".into()));
    assert_eq!((&event["publisher"], &event["cursor"]), (&"alice@localhost".into(), &cursor.into()));
    assert!(String::from_utf8_lossy(&calls[0].raw).ends_with("\"data\":{\"v\": 1.10}}"));
    assert_eq!((&calls[1].event["datacontenttype"], &calls[1].event["data"]), (&"text/plain".into(), &"ü\n<".into()));
    // The server's own key is there for whoever asks.
    let anybody = Caller { address: stage.http, credential: String::new() };
    let keys = anybody.get("/v1/webhooks/keys").await;
    assert_eq!(keys.header("cache-control"), "public, max-age=3600");
    let keys = keys.json();
    let whpk = keys["keys"][0]["whpk"].as_str().unwrap().strip_prefix("whpk_").unwrap().to_owned();
    let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(whpk).unwrap());
    for call in &calls {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret_key(&secret).unwrap()).unwrap();
        let signed = [format!("{}.{}.", call.id, call.timestamp).as_bytes(), &call.raw].concat();
        mac.update(&signed);
        let (own, servers) = call.signature.split_once(' ').unwrap();
        assert_eq!(own, format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
        let servers = STANDARD.decode(servers.strip_prefix("v1a,").unwrap()).unwrap();
        assert!(public.verify(&signed, &servers).is_ok());
        assert_eq!(call.event["id"], call.id.as_str());
    }
    let shown = until(&alice, &path, |shown| shown["log"].as_array().is_some_and(|log| log.len() == 4)).await;
    assert_eq!((&shown["enabled"], &shown["dead"], &shown["retrying"]), (&true.into(), &0.into(), &0.into()));
    assert!(shown.get("secret").is_none());
    assert_eq!(shown["log"][0]["outcome"], "answered 204");
    assert_eq!(alice.get("/v1/nodes/n/webhooks").await.json()["webhooks"][0]["id"], shown["id"]);
    assert_eq!(alice.delete(&path).await.status, 204);
    assert_eq!(alice.get(&path).await.status, 404);
    alice.publish("n", "after", "0").await;
    let second = created(&alice, &endpoint, ",\"types\":[\"retracted\"],\"mode\":\"parallel\"").await;
    alice.delete("/v1/nodes/n/items/after").await;
    assert_eq!(endpoint.called(5).await[4].kind(), "tidings.retracted");
    assert_eq!(alice.delete(&second).await.status, 204);
    stage.close().await;
}

#[tokio::test]
async fn wishes_that_cannot_be_are_refused_with_their_place() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    for (url, more, status, kind, pointer) in [
        ("http://127.0.0.1:1/", "", 422, "challenge-failed", "/url"),
        ("http://10.0.0.1/", "", 422, "target-refused", "/url"),
        ("http://169.254.169.254/latest", "", 422, "target-refused", "/url"),
        ("http://[::1]/", "", 422, "target-refused", "/url"),
        ("http://user@127.0.0.1/", "", 422, "target-refused", "/url"),
        ("file:///etc/passwd", "", 422, "target-refused", "/url"),
        ("http://127.1/", "", 422, "target-refused", "/url"),
        (&endpoint.url(), ",\"types\":[\"published\",\"eaten\"]", 422, "invalid-content", "/types/1"),
        (&endpoint.url(), ",\"secret\":\"short\"", 422, "invalid-content", "/secret"),
        (&endpoint.url(), ",\"mode\":\"fast\"", 422, "invalid-content", "/mode"),
    ] {
        let reply = create(&alice, url, more).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, kind), "{url} {more}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{url} {more}");
    }
    assert_eq!(create(&alice, &endpoint.url(), ",\"color\":1").await.status, 400);
    assert_eq!(alice.get("/v1/nodes/n/webhooks").await.json()["webhooks"], serde_json::json!([]));
    // Who may not read the node gets nothing of it, and who is not its owner sees none of its webhooks.
    alice.json("PATCH", "/v1/nodes/n", r#"{"access_model":"whitelist"}"#).await;
    let bob = stage.caller("bob", &[]).await;
    assert_eq!(create(&bob, &endpoint.url(), "").await.status, 403);
    let path = created(&alice, &endpoint, "").await;
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("GET", format!("{path}/dead"))] {
        assert!(matches!(bob.ask(method, &path, &[], None).await.status, 403 | 404), "{method} {path}");
    }
    let narrow = stage.caller("alice", &["read:*", "publish:*"]).await;
    assert_eq!(create(&narrow, &endpoint.url(), "").await.problem(), "insufficient-scope");
    assert_eq!(endpoint.calls().len(), 0);
    stage.close().await;
}

#[tokio::test]
async fn without_leave_nothing_goes_inside_nor_to_the_server_itself() {
    let options = webhook::Options { networks: Networks::default(), ..near() };
    let (stage, alice, endpoint) = stage_with(options).await;
    let reply = create(&alice, &endpoint.url(), "").await;
    assert_eq!((reply.status, reply.problem().as_str()), (422, "target-refused"));
    assert_eq!(endpoint.connections(), 0);
    stage.close().await;

    let endpoint = Endpoint::open("127.0.0.1:0").await;
    let options = webhook::Options { own: vec![endpoint.address], ..near() };
    let (stage, alice, _) = stage_with(options).await;
    assert_eq!(create(&alice, &endpoint.url(), "").await.problem(), "target-refused");
    let secure = webhook::Options { allow_http: false, ..near() };
    let (other, alice, _) = stage_with(secure).await;
    assert_eq!(create(&alice, &endpoint.url(), "").await.problem(), "target-refused");
    assert_eq!(endpoint.connections(), 0);
    stage.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_name_that_changes_its_address_leads_nowhere_else() {
    let outside = Endpoint::open("127.0.0.2:0").await;
    let inside = Endpoint::open(&format!("127.0.0.1:{}", outside.address.port())).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let resolver: webhook::Resolver = Arc::new(move |_, port| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let ip = if first { [127, 0, 0, 2] } else { [127, 0, 0, 1] };
        Box::pin(async move { Ok(vec![SocketAddr::from((ip, port))]) })
    });
    let networks = Networks::parse("127.0.0.2/32").unwrap();
    let options = webhook::Options { networks, resolver: Some(resolver), ..near() };
    let (stage, alice, _) = stage_with(options).await;
    let url = format!("http://rebind.example:{}/", outside.address.port());
    let reply = create(&alice, &url, "").await;
    assert_eq!(reply.status, 201, "{reply:?}");
    alice.publish("n", "a", "1").await;
    let shown = until(&alice, reply.header("location"), |shown| shown["dead"] == 1).await;
    assert!(shown["log"][0]["outcome"].as_str().unwrap().contains("loopback"), "{shown}");
    assert!(asked.load(Ordering::SeqCst) > 1);
    assert_eq!((inside.connections(), outside.calls().len()), (0, 0));
    stage.close().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_id_and_then_given_up() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    let path = created(&alice, &endpoint, "").await;
    endpoint.script(&[Does::Answer(500), Does::Hang]);
    alice.publish("n", "a", "1").await;
    let calls = endpoint.called(3).await;
    assert!(calls.iter().all(|call| call.id == calls[0].id && call.raw == calls[0].raw));
    endpoint.script(&[Does::Break, Does::Redirect, Does::Answer(404)]);
    alice.publish("n", "b", "2").await;
    let shown = until(&alice, &path, |shown| shown["dead"] == 1).await;
    assert_eq!(shown["retrying"], 0);
    let calls = endpoint.called(6).await;
    assert!(calls[3..].iter().all(|call| call.id == calls[3].id && call.event["subject"] == "b"));
    // What comes after it is delivered, and the dead letter can be seen, and delivered once more.
    alice.publish("n", "c", "3").await;
    assert_eq!(endpoint.called(7).await[6].event["subject"], "c");
    let dead = alice.get(&format!("{path}/dead")).await.json()["dead"].clone();
    assert_eq!((&dead[0]["attempts"], &dead[0]["error"]), (&3.into(), &"answered 404".into()));
    assert_eq!((&dead[0]["event"]["subject"], &dead[0]["event"]["data"]), (&"b".into(), &2.into()));
    let replay = async |body: String| alice.json("POST", &format!("{path}/replay"), &body).await.status;
    assert_eq!(replay(format!("{{\"seq\":{}}}", dead[0]["seq"])).await, 202);
    assert_eq!(endpoint.called(8).await[7].id, calls[3].id);
    until(&alice, &path, |shown| shown["dead"] == 0).await;
    assert_eq!(replay(format!("{{\"seq\":{}}}", dead[0]["seq"])).await, 404);
    assert_eq!(replay("{}".to_owned()).await, 422);
    assert_eq!(replay("{\"after\":\"earliest\",\"seq\":null}".to_owned()).await, 400);
    assert_eq!(replay("{\"after\":\"nonsense\"}".to_owned()).await, 422);
    // And everything from a position.
    assert_eq!(replay("{\"after\":\"earliest\"}".to_owned()).await, 202);
    let calls = endpoint.called(11).await;
    let subjects: Vec<&Value> = calls[8..].iter().map(|call| &call.event["subject"]).collect();
    assert_eq!(subjects, ["a", "b", "c"]);
    stage.close().await;
}

#[tokio::test]
async fn order_is_kept_or_nobody_waits_for_the_other() {
    for ordered in [true, false] {
        let schedule = Schedule::parse("0,3600").unwrap();
        let (stage, alice, endpoint) = stage_with(webhook::Options { schedule, ..near() }).await;
        let mode = if ordered { ",\"mode\":\"ordered\"" } else { ",\"mode\":\"parallel\"" };
        let path = created(&alice, &endpoint, mode).await;
        endpoint.script(&[Does::Answer(500)]);
        alice.publish("n", "a", "1").await;
        until(&alice, &path, |shown| shown["retrying"] == 1).await;
        alice.publish("n", "b", "2").await;
        if ordered {
            // Nothing comes before what is waited for.
            let shown = until(&alice, &path, |shown| shown["failing_since"].is_string()).await;
            assert_eq!((&shown["retrying"], endpoint.calls().len()), (&1.into(), 1));
        } else {
            assert_eq!(endpoint.called(2).await[1].event["subject"], "b");
            let before = alice.get(&path).await.json()["retrying"].clone();
            assert_eq!(before, 1);
        }
        stage.close().await;
    }
}

#[tokio::test]
async fn gone_means_gone_until_somebody_says_otherwise() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    let path = created(&alice, &endpoint, "").await;
    endpoint.script(&[Does::Answer(410)]);
    alice.publish("n", "a", "1").await;
    let shown = until(&alice, &path, |shown| shown["enabled"] == false).await;
    assert!(shown["disabled"].as_str().unwrap().contains("410"));
    alice.publish("n", "b", "2").await;
    let enabled = alice.json("PATCH", &path, "{\"enabled\":true}").await;
    assert_eq!((enabled.status, &enabled.json()["enabled"]), (200, &true.into()));
    // It goes on where it was: what it did not take is delivered.
    let subjects: Vec<Value> = endpoint.called(3).await.iter().map(|call| call.event["subject"].clone()).collect();
    assert_eq!(subjects, ["a", "a", "b"]);
    assert_eq!(alice.json("PATCH", &path, "{\"enabled\":false}").await.status, 422);
    stage.close().await;
}

#[tokio::test]
async fn an_endpoint_that_only_fails_is_left_alone() {
    let schedule = Schedule::parse(&vec!["0"; 50].join(",")).unwrap();
    let (stage, alice, endpoint) = stage_with(webhook::Options { schedule, ..near() }).await;
    let path = created(&alice, &endpoint, "").await;
    endpoint.always(Some(Does::Answer(500)));
    alice.publish("n", "a", "1").await;
    let shown = until(&alice, &path, |shown| shown["breaker"] == "open").await;
    assert_eq!((&shown["retrying"], endpoint.calls().len()), (&1.into(), 10));
    assert_eq!(shown["log"].as_array().unwrap().len(), 10);
    stage.close().await;
}

#[tokio::test]
async fn an_endpoint_may_ask_for_time_and_nobody_listens_forever() {
    let schedule = Schedule::parse("0,0,0").unwrap();
    let (stage, alice, endpoint) = stage_with(webhook::Options { schedule, ..near() }).await;
    let path = created(&alice, &endpoint, "").await;
    endpoint.script(&[Does::Flood, Does::Later(3600)]);
    alice.publish("n", "a", "1").await;
    alice.publish("n", "b", "2").await;
    // Of the flood no more is read than has a limit, and its status counts.
    let shown = until(&alice, &path, |shown| shown["retrying"] == 1).await;
    assert_eq!(
        (&shown["log"][0]["outcome"], &shown["log"][1]["outcome"]),
        (&"answered 200".into(), &"answered 503".into())
    );
    assert_eq!(endpoint.calls().len(), 2);
    stage.close().await;
}

#[tokio::test]
async fn whoever_loses_the_right_to_read_is_sent_nothing_more() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    let bob = stage.caller("bob", &[]).await;
    let path = created(&bob, &endpoint, "").await;
    alice.publish("n", "a", "1").await;
    endpoint.called(1).await;
    let closed = alice.json("PATCH", "/v1/nodes/n", r#"{"access_model":"whitelist"}"#).await;
    assert_eq!(closed.status, 200);
    alice.publish("n", "b", "2").await;
    let shown = until(&alice, &path, |shown| shown["enabled"] == false).await;
    assert!(shown["disabled"].as_str().unwrap().contains("may not read"), "{shown}");
    assert!(endpoint.calls().iter().all(|call| call.event["subject"] != "b"));
    stage.close().await;
}

#[tokio::test]
async fn the_log_of_deliveries_outlives_the_server() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    let path = created(&alice, &endpoint, "").await;
    alice.publish("n", "a", "1").await;
    endpoint.called(1).await;
    endpoint.script(&[Does::Answer(500); 3]);
    alice.publish("n", "b", "2").await;
    let whole = |shown: &Value| shown["log"].as_array().is_some_and(|log| log.len() == 4);
    let before = until(&alice, &path, whole).await["log"].clone();
    let told = (&before[0]["success"], &before[3]["success"], &before[3]["attempt"]);
    assert_eq!(told, (&true.into(), &false.into(), &3.into()));
    let store = stage.store.clone();
    stage.close().await;
    let stage = Stage::over(store, Options::default(), engine::Options::default(), near()).await;
    let alice = Caller { address: stage.http, ..alice };
    assert_eq!(alice.get(&path).await.json()["log"], before);
    alice.publish("n", "c", "3").await;
    let after = until(&alice, &path, |shown| shown["log"].as_array().is_some_and(|log| log.len() == 5)).await;
    assert_eq!(after["log"][3], before[3]);
    assert_eq!(after["log"][4]["outcome"], "answered 204");
    stage.close().await;
}

#[tokio::test]
async fn a_deleted_node_is_told_and_its_webhooks_end() {
    let (stage, alice, endpoint) = stage_with(near()).await;
    created(&alice, &endpoint, "").await;
    assert_eq!(alice.delete("/v1/nodes/n").await.status, 204);
    assert_eq!(endpoint.called(1).await[0].kind(), "tidings.deleted");
    stage.close().await;
}
