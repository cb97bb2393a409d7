//! Subscriptions as resources.

use serde_json::json;

use super::*;

const OWN: &str = "/v1/nodes/n/subscriptions/bob%40localhost";

#[tokio::test]
async fn a_subscription_is_made_shown_changed_and_ended() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("n", "{}").await;
    assert_eq!(bob.get(OWN).await.problem(), "not-subscribed");
    let reply = bob.json("PUT", OWN, r#"{"show-values":["chat"],"digest_frequency":5000}"#).await;
    assert_eq!((reply.status, reply.header("location")), (201, OWN), "{reply:?}");
    let made = reply.json();
    assert_eq!((&made["jid"], &made["state"]), (&json!("bob@localhost"), &json!("subscribed")));
    assert_eq!(made["options"]["show-values"], json!(["chat"]));
    // Once more, it is the one that is there, and keeps what is not named.
    let reply = bob.json("PUT", OWN, r#"{"deliver":false}"#).await;
    let options = &reply.json()["options"];
    assert_eq!((reply.status, &reply.json()["subid"]), (200, &made["subid"]));
    assert_eq!((&options["deliver"], &options["digest_frequency"]), (&json!(false), &json!(5000)));
    // What is answered can be sent back.
    let patched = bob.json("PATCH", OWN, &options.to_string()).await;
    assert_eq!((patched.status, patched.json()), (200, bob.get(OWN).await.json()));
    let named = format!("{OWN}?subid={}", made["subid"].as_str().unwrap());
    assert_eq!(bob.get(&named).await.status, 200);
    assert_eq!(bob.get(&format!("{OWN}?subid=other")).await.problem(), "invalid-subid");
    assert_eq!(bob.delete(OWN).await.status, 204);
    assert_eq!(bob.delete(OWN).await.status, 404);
    stage.close().await;
}

#[tokio::test]
async fn what_a_subscription_cannot_be_is_refused_at_its_place() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("n", "{}").await;
    for (body, pointer) in [
        (r#"{"deliver":"yes"}"#, "/deliver"),
        (r#"{"digest_frequency":-1}"#, "/digest_frequency"),
        (r#"{"show-values":"chat"}"#, "/show-values"),
        (r#"{"show-values":["gone"]}"#, "/show-values"),
        (r#"{"expire":"tomorrow"}"#, "/expire"),
        (r#"{"colour":"blue"}"#, "/colour"),
    ] {
        let reply = bob.json("PUT", OWN, body).await;
        assert_eq!((reply.status, &*reply.problem()), (422, "invalid-options"), "{body}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(bob.json("PUT", OWN, "{").await.status, 400);
    assert_eq!(bob.get(OWN).await.status, 404);
    // For others only an administrator speaks.
    let alices = "/v1/nodes/n/subscriptions/alice%40localhost";
    assert_eq!(bob.get(alices).await.status, 403);
    assert_eq!(bob.json("PUT", alices, "{}").await.status, 403);
    assert_eq!(bob.get("/v1/nodes/absent/subscriptions/bob%40localhost").await.status, 404);
    // What the token does not cover is not done.
    let reader = stage.caller("bob", &["read:*"]).await;
    assert_eq!(reader.json("PUT", OWN, "{}").await.problem(), "insufficient-scope");
    assert_eq!(reader.get("/v1/nodes/n/subscriptions").await.status, 200);
    stage.close().await;
}

#[tokio::test]
async fn an_owner_sees_and_settles_everyones_and_others_see_their_own() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("n", r#"{"access_model":"authorize"}"#).await;
    let all = "/v1/nodes/n/subscriptions";
    let waiting = bob.json("PUT", OWN, "{}").await;
    assert_eq!((waiting.status, &waiting.json()["state"]), (201, &json!("pending")));
    assert_eq!(bob.json("PUT", OWN, "{}").await.problem(), "pending-subscription");
    let changed = alice.json("PUT", all, r#"{"bob@localhost":"subscribed","carol@localhost":"subscribed"}"#).await;
    assert_eq!(changed.status, 204, "{changed:?}");
    assert_eq!(bob.get(OWN).await.json()["state"], "subscribed");
    let jids = |reply: Reply| {
        let list = reply.json()["subscriptions"].as_array().unwrap().clone();
        list.iter().map(|entry| entry["jid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(jids(alice.get(all).await), ["bob@localhost", "carol@localhost"]);
    assert_eq!(jids(bob.get(all).await), ["bob@localhost"]);
    // All or none, and only an owner.
    let refused = alice.json("PUT", all, r#"{"bob@localhost":"none","carol@localhost":"pending"}"#).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/carol@localhost")));
    assert_eq!(bob.json("PUT", all, r#"{"carol@localhost":"none"}"#).await.status, 403);
    assert_eq!(jids(alice.get(all).await).len(), 2);
    assert_eq!(alice.json("PUT", all, r#"{"bob@localhost":"none"}"#).await.status, 204);
    assert_eq!(jids(alice.get(all).await), ["carol@localhost"]);
    stage.close().await;
}
