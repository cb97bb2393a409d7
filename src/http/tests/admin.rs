use super::*;

#[tokio::test]
async fn accounts_are_managed() {
    let stage = Stage::open().await;
    let root = stage.administrator().await;
    let added = root
        .json("POST", "/v1/admin/users", r#"{"name":"bob","password":"secret-1","admin":false,"verifier":"scram"}"#)
        .await;
    assert_eq!((added.status, &added.json()["jid"]), (201, &"bob@localhost".into()));
    assert!(added.json().get("looks_like").is_none());
    // Security row A18: told, and not refused; it is an administrator who asks.
    let alike = root.json("POST", "/v1/admin/users", r#"{"name":"b0b","password":"secret-3"}"#).await;
    assert_eq!((alike.status, &alike.json()["looks_like"]), (201, &"bob@localhost".into()));
    root.delete("/v1/admin/users/b0b").await;
    let twice = root.json("POST", "/v1/admin/users", r#"{"name":"bob","password":"secret-2"}"#).await;
    assert_eq!((twice.status, twice.problem().as_str()), (409, "user-exists"));
    for (body, status) in [
        (r#"{"name":"b b","password":"x"}"#, 422),
        (r#"{"name":"carol@example.org","password":"x"}"#, 422),
        (r#"{"name":"carol","password":""}"#, 422),
        (r#"{"name":"carol","password":"x","verifier":"md5"}"#, 422),
        (r#"{"name":"carol"}"#, 400),
        (r#"{"name":"carol","password":"x","role":"admin"}"#, 400),
    ] {
        assert_eq!(root.json("POST", "/v1/admin/users", body).await.status, status, "{body}");
    }
    let ndjson = b"{\"name\":\"dave\",\"password\":\"d-secret\"}\n\n{\"name\":\"erin\",\"password\":\"e-secret\"}\n";
    let imported = root.ask("POST", "/v1/admin/users:import", &[], Some(("application/x-ndjson", ndjson))).await;
    assert_eq!((imported.status, imported.json()), (200, serde_json::json!({"imported": 2})));
    let secret = b"{\"name\":\"frank\",\"password\":\"f-secret\"}\n{\"name\":\"x\",\"passwort\":\"hush\"}";
    let faulty = root.ask("POST", "/v1/admin/users:import", &[], Some(("application/x-ndjson", secret))).await;
    assert_eq!(faulty.status, 400);
    assert!(!String::from_utf8_lossy(&faulty.body).contains("hush"));

    let list = root.get("/v1/admin/users").await.json();
    let user = |name: &str, admin| serde_json::json!({"jid": format!("{name}@localhost"), "admin": admin, "disabled": false, "verifier": "scram"});
    let expected = serde_json::json!({"users": [user("bob", false), user("dave", false), user("erin", false), user("root", true)]});
    assert_eq!(list, expected);
    let page = root.get("/v1/admin/users?limit=1&after=bob%40localhost").await.json();
    assert_eq!((&page["users"][0]["jid"], &page["next"]), (&"dave@localhost".into(), &"dave@localhost".into()));

    assert_eq!(root.json("PATCH", "/v1/admin/users/bob", r#"{"disabled":true}"#).await.status, 200);
    assert_eq!(root.get("/v1/admin/users?limit=1").await.json()["users"][0]["disabled"], true);
    assert_eq!(
        root.json("PATCH", "/v1/admin/users/bob@localhost", r#"{"disabled":false,"password":"n-secret"}"#).await.status,
        200
    );
    assert_eq!(root.json("PATCH", "/v1/admin/users/bob", "{}").await.status, 422);
    assert_eq!(root.json("PATCH", "/v1/admin/users/nobody", r#"{"disabled":true}"#).await.status, 404);
    // The last administrator stays one, and stays.
    for (method, body) in [("PATCH", r#"{"disabled":true}"#), ("PATCH", r#"{"admin":false}"#), ("DELETE", "")] {
        let refused = match method {
            "PATCH" => root.json(method, "/v1/admin/users/root", body).await,
            _ => root.delete("/v1/admin/users/root").await,
        };
        assert_eq!((refused.status, refused.problem().as_str()), (409, "last-administrator"), "{method} {body}");
    }
    assert_eq!(root.json("PATCH", "/v1/admin/users/bob", r#"{"admin":true}"#).await.status, 200);
    assert_eq!(root.get("/v1/admin/users?limit=1").await.json()["users"][0]["admin"], true);
    assert_eq!(root.json("PATCH", "/v1/admin/users/bob", r#"{"admin":false}"#).await.status, 200);
    assert_eq!(root.delete("/v1/admin/users/bob").await.status, 204);
    assert_eq!(root.delete("/v1/admin/users/bob").await.status, 404);
    stage.close().await;
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_revoked() {
    let stage = Stage::open().await;
    let root = stage.administrator().await;
    root.json("POST", "/v1/admin/users", r#"{"name":"bob","password":"secret-1"}"#).await;
    let made =
        root.json("POST", "/v1/admin/tokens", r#"{"account":"bob","scopes":["manage:*"],"expires_seconds":60}"#).await;
    assert_eq!(made.status, 201);
    let (id, token) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.json()["token"].as_str().unwrap().to_owned());
    assert!(token.starts_with("tdg_"));
    let bob = Caller { address: stage.http, credential: format!("Bearer {token}") };
    bob.create("n", "{}").await;
    let listed = root.get("/v1/admin/tokens").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(&token));
    let tokens = listed.json()["tokens"].clone();
    let entry = tokens.as_array().unwrap().iter().find(|entry| entry["id"] == id.as_str()).unwrap().clone();
    assert_eq!((&entry["account"], &entry["scopes"]), (&"bob@localhost".into(), &serde_json::json!(["manage:*"])));
    assert!(entry["expires"].is_string() && entry["created"].is_string());
    assert_eq!(root.delete(&format!("/v1/admin/tokens/{id}")).await.status, 204);
    assert_eq!(root.delete(&format!("/v1/admin/tokens/{id}")).await.status, 404);
    assert_eq!(bob.get("/v1/nodes/n").await.status, 401);
    for body in [r#"{"account":"nobody"}"#, r#"{"account":"bob","scopes":["write:*"]}"#, r#"{"scopes":[]}"#] {
        let status = root.json("POST", "/v1/admin/tokens", body).await.status;
        assert!(matches!(status, 400 | 404 | 422), "{body} {status}");
    }
    stage.close().await;
}

#[tokio::test]
async fn administration_is_for_administrators_tokens_only() {
    let stage = Stage::open().await;
    let root = stage.administrator().await;
    let with = |credential: String| Caller { address: stage.admin, credential };
    let bob = stage.token("bob", &[], false).await;
    let narrowed = stage.token("root", &["manage:*"], true).await;
    // root@localhost:root-password
    let basic = "Basic cm9vdEBsb2NhbGhvc3Q6cm9vdC1wYXNzd29yZA==".to_owned();
    for (caller, status) in [
        (with(String::new()), 401),
        (with(format!("Bearer {bob}")), 403),
        (with(format!("Bearer {narrowed}")), 403),
        (with(basic), 403),
        (with(root.credential.clone()), 200),
    ] {
        for path in ["/v1/admin/users", "/v1/admin/tokens"] {
            assert_eq!(caller.get(path).await.status, status, "{} {path}", caller.credential);
        }
    }
    for path in ["/v1/nodes", "/v1/admin/", "/v1/admin/users/%2e%2e", "/v1/%61dmin/users"] {
        assert!(matches!(root.get(path).await.status, 400 | 404), "{path}");
    }
    assert_eq!(root.get("/v1/admin/tokens?colour=red").await.status, 400);
    stage.close().await;
}

#[tokio::test]
async fn health_is_told_to_anyone() {
    let stage = Stage::open().await;
    let anyone = Caller { address: stage.admin, credential: String::new() };
    assert_eq!(anyone.get("/livez").await.status, 200);
    assert_eq!(anyone.get("/readyz").await.status, 200);
    assert_eq!(anyone.ask("POST", "/livez", &[], None).await.status, 405);
    // The engine stops: what cannot answer a request is not ready, and is alive.
    stage.over.cancel();
    let mut ready = anyone.get("/readyz").await;
    for _ in 0..100 {
        if ready.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ready = anyone.get("/readyz").await;
    }
    assert_eq!(ready.status, 503);
    assert_eq!(anyone.get("/livez").await.status, 200);
    stage.close().await;
}
