//! What attackers say, byte for byte, over real sockets: the rows H1 to H17 of `docs/security.md` that no other test
//! here has.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Writes bytes as they stand and reads until the end, or until nothing more comes: what was answered, and whether the
/// connection was closed.
async fn raw(address: SocketAddr, bytes: &[u8]) -> (String, bool) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The server may have closed before it has taken all of it.
    let _ = socket.write_all(bytes).await;
    let mut answer = vec![];
    let mut piece = [0; 8192];
    loop {
        match timeout(QUIET, socket.read(&mut piece)).await {
            Ok(Ok(count @ 1..)) => answer.extend_from_slice(&piece[..count]),
            Ok(_) => return (String::from_utf8_lossy(&answer).into_owned(), true),
            Err(_) => return (String::from_utf8_lossy(&answer).into_owned(), false),
        }
    }
}

fn statuses(answer: &str) -> Vec<u16> {
    // The next answer begins where the last one's body ends.
    answer.split("HTTP/1.").skip(1).map(|answer| answer[2..5].parse().unwrap()).collect()
}

/// H3, over the door and over the admin listener.
#[tokio::test]
async fn a_request_that_two_readers_could_cut_in_two_ways_is_refused_and_ends_the_connection() {
    let stage = Stage::open().await;
    let rest = "0\r\n\r\nGET /v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 6\r\n",
        "Content-Length: 6\r\nContent-Length: 6\r\n",
        "Content-Length: 6, 6\r\n",
        "Content-Length: +6\r\n",
        "Content-Length: 0x6\r\n",
        "Content-Length : 6\r\n",
        // A line that goes on, ends too early, or has an end that is none.
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\nContent-Length: 6\r\n",
        "X: a\rContent-Length: 6\r\n",
        "X: a\0b\r\n",
    ] {
        for address in [stage.http, stage.admin] {
            let request = format!("POST /v1/tickets HTTP/1.1\r\nHost: x\r\n{head}\r\n{rest}");
            let (answer, closed) = raw(address, request.as_bytes()).await;
            assert_eq!((statuses(&answer), closed), (vec![400], true), "{head:?}");
        }
    }
    for request in [
        "GET /v1/nodes HTTP/1.1\nHost: x\n\n",
        "GET /v1/nodes HTTP/1.1\r\nHost: x\n\r\n",
        "GET /v1/nodes HTTP/1.1\r\nHost: x\r\n\n",
        "GET /v1/nodes HTTP/1.1\r\n\r\n",
        "GET /v1/nodes HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET /v1/nodes HTTP/1.1\r\nHost: x y\r\n\r\n",
        "GET /v1/nodes HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET  /v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/tickets HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (answer, closed) = raw(stage.http, request.as_bytes()).await;
        assert_eq!((statuses(&answer), closed), (vec![400], true), "{request:?}");
    }
    stage.close().await;
}

/// H3: chunks whose ends are not those of the specification, behind a credential that would let the body be read.
#[tokio::test]
async fn chunks_are_read_to_the_letter() {
    let (stage, alice) = Stage::with_node().await;
    let post = |body: &str| {
        format!(
            "POST /v1/nodes/n/items HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{body}",
            alice.credential
        )
    };
    for body in
        ["1\n1\r\n0\r\n\r\n", "1\r\n1\n0\r\n\r\n", "1\r\n12\r\n0\r\n\r\n", "-1\r\n1\r\n0\r\n\r\n", "1\r\n1\r\n0\n\n"]
    {
        let (answer, closed) = raw(stage.http, post(body).as_bytes()).await;
        assert_eq!((statuses(&answer), closed), (vec![400], true), "{body:?}");
    }
    // And one that is well, with an extension and a trailer, twice on one connection.
    let good = post("1;x=\"y\"\r\n1\r\n0\r\nT: t\r\n\r\n");
    let (answer, closed) = raw(stage.http, good.repeat(2).as_bytes()).await;
    assert_eq!((statuses(&answer), closed), (vec![201, 201], false));
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 2);
    stage.close().await;
}

/// H1: many who say nothing, or a little now and then, are gone in time, and a stream that is silent by right is not.
#[tokio::test]
async fn those_who_dribble_are_gone_and_a_silent_stream_stays() {
    let options = Options { header_time: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    let mut events = alice.watch("/v1/nodes/n/items?watch=true", None).await;
    let mut silent = vec![];
    for number in 0..200 {
        let mut socket = TcpStream::connect(stage.http).await.unwrap();
        if number % 2 == 0 {
            socket.write_all(b"GET / HTTP/1.1\r\nX:").await.unwrap();
        }
        silent.push(socket);
    }
    for socket in &mut silent {
        let mut piece = [0; 512];
        let end = async { while socket.read(&mut piece).await.is_ok_and(|count| count > 0) {} };
        timeout(PATIENCE, end).await.expect("the connection is closed");
    }
    alice.publish("n", "a", "1").await;
    assert_eq!(events.event().await.summary(), ("published", "a"));
    stage.close().await;
}

/// H2: what would be large once it is unpacked is not unpacked.
#[tokio::test]
async fn compressed_bodies_are_not_taken() {
    let (stage, alice) = Stage::with_node().await;
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip"] {
        let body = Some(("application/json", &b"\x1f\x8b\x08"[..]));
        let reply = alice.ask("POST", "/v1/nodes/n/items", &[("content-encoding", coding)], body).await;
        assert_eq!((reply.status, &*reply.problem()), (415, "unsupported-encoding"), "{coding}");
    }
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 0);
    stage.close().await;
}

/// H13: a path is split before it is decoded, once; administration stands at its own listener only.
#[tokio::test]
async fn a_path_that_only_looks_like_another_leads_nowhere() {
    let stage = Stage::open().await;
    let (alice, root) = (stage.caller("alice", &[]).await, stage.administrator().await);
    alice.create("n", "{}").await;
    let get = async |address: SocketAddr, path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
            root.credential
        );
        let (answer, _) = raw(address, request.as_bytes()).await;
        statuses(&answer)[0]
    };
    assert_eq!(get(stage.admin, "/v1/admin/users").await, 200);
    for path in [
        "/v1/admin/users",
        "/v1/nodes/../admin/users",
        "/v1/nodes/%2e%2e/admin/users",
        "/v1/nodes/%2e%2e%2fadmin%2fusers",
        "/v1/nodes/..%2f..%2fadmin/users",
        "/v1/nodes/%u002e%u002e/admin/users",
        "/v1/nodes/%252e%252e/admin/users",
        "/v1//admin/users",
        "//v1/admin/users",
        "/v1/admin;x/users",
        "/v1/%61dmin/users",
        "/metrics",
        "/livez",
    ] {
        assert!(matches!(get(stage.http, path).await, 400 | 404), "{path}");
    }
    for path in ["/v1/nodes/%00", "/v1/nodes/a%00b", "/v1/nodes/n/items/%00", "/v1/nodes/%0d%0aX:y", "/v1/nodes/%c0%ae"]
    {
        assert_eq!(get(stage.http, path).await, 400, "{path}");
    }
    // A slash and a percent sign of a name are that and no more.
    alice.create("a%2F..%2Fn", "{}").await;
    alice.create("a%252Fn", "{}").await;
    let names: Vec<String> = alice.get("/v1/nodes").await.json()["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["node"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a%2Fn", "a/../n", "n"]);
    for path in ["/v1/admin/../nodes", "/v1/admin/users/%2e%2e", "/v1/admin//users", "/v1/admin/users;x"] {
        assert!(matches!(get(stage.admin, path).await, 400 | 404), "{path}");
    }
    stage.close().await;
}

/// H15: what stands in a header of ours came through an encoding.
#[tokio::test]
async fn no_name_breaks_out_of_a_header() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    let name = "%22%3E%3Cb%3E%C3%A9%20x%3A%2F";
    alice.create(name, "{}").await;
    let reply = alice.json("PUT", &format!("/v1/nodes/{name}/items/{name}"), "1").await;
    assert_eq!((reply.status, reply.header("location")), (201, &*format!("/v1/nodes/{name}/items/{name}")));
    for path in ["/v1/nodes/a%0D%0Ab", "/v1/nodes/n/items/a%0Ab"] {
        assert_eq!(alice.json("PUT", path, "1").await.status, 400, "{path}");
    }
    stage.close().await;
}

/// H14: nobody is believed to speak for another address.
#[tokio::test]
async fn a_forwarded_address_is_no_address() {
    let options = access::Options { scram_iterations: 4096, ..access::Options::default() };
    let most = options.failures_max;
    let stage = Stage::open().await;
    let _alice = stage.caller("alice", &[]).await;
    let wrong = Caller { address: stage.http, credential: "Basic YWxpY2VAbG9jYWxob3N0Ondyb25n".to_owned() };
    let mut last = 0;
    for number in 0..most + 1 {
        let address = format!("192.0.2.{number}");
        let forwarded = format!("for={address}");
        let headers = [("x-forwarded-for", &*address), ("forwarded", &forwarded), ("x-real-ip", &address)];
        last = wrong.ask("GET", "/v1/nodes", &headers, None).await.status;
    }
    assert_eq!(last, 429, "each of them counted for one and the same address");
    stage.close().await;
}

/// H16, H17: no credential is taken from a URL but a ticket, and what is stored is shown as data and never as a page.
#[tokio::test]
async fn credentials_stay_out_of_urls_and_content_stays_data() {
    let (stage, alice) = Stage::with_node().await;
    let token = alice.credential.strip_prefix("Bearer ").unwrap();
    let nobody = Caller { address: stage.http, credential: String::new() };
    for name in ["access_token", "token", "api_key", "ticket"] {
        assert!(matches!(nobody.get(&format!("/v1/nodes?{name}={token}")).await.status, 400 | 401), "{name}");
        assert_eq!(nobody.get(&format!("/v1/nodes/n/items?watch=true&{name}={token}")).await.status, 401, "{name}");
    }
    let page = b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>";
    let put = alice.ask("PUT", "/v1/nodes/n/items/page", &[], Some(("application/xml", page))).await;
    assert_eq!(put.status, 201);
    assert_eq!(alice.ask("PUT", "/v1/nodes/n/items/p", &[], Some(("text/html", page))).await.status, 415);
    // `ask` holds that every answer bears nosniff and a policy that lets nothing run.
    let shown = alice.get("/v1/nodes/n/items/page").await;
    assert_eq!((shown.status, shown.header("content-type")), (200, "application/xml"));
    let metrics = Caller { address: stage.admin, credential: String::new() }.get("/metrics").await;
    assert!(!String::from_utf8_lossy(&metrics.body).contains(token));
    stage.close().await;
}

/// H10, beside the framing: a handshake of another origin, of another version, without a key, or over HTTP/1.0.
#[tokio::test]
async fn a_websocket_begins_only_where_it_may() {
    let (stage, alice) = Stage::with_node().await;
    let begin = "GET /v1/nodes/n/items?watch=true";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let credential = format!("Authorization: {}\r\n", alice.credential);
    for (head, expected) in [
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}{key}\r\n"), 101),
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}{key}Origin: http://x\r\n\r\n"), 101),
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}{key}Origin: https://evil\r\n\r\n"), 403),
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}{key}Origin: null\r\n\r\n"), 403),
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{upgrade}{key}Cookie: session=1\r\n\r\n"), 401),
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}\r\n"), 400),
        (format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}Sec-WebSocket-Key: short\r\n\r\n"), 400),
        (format!("{begin}&wait=0 HTTP/1.0\r\n{credential}{upgrade}{key}\r\n"), 400),
    ] {
        let (answer, _) = raw(stage.http, head.as_bytes()).await;
        assert_eq!(statuses(&answer).first(), Some(&expected), "{head}");
    }
    // A message of bytes that look like lines is passed as it stands.
    let mut socket = TcpStream::connect(stage.http).await.unwrap();
    let head = format!("{begin} HTTP/1.1\r\nHost: x\r\n{credential}{upgrade}{key}\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = BytesMut::new();
    let mut until = async |text: &str, socket: &mut TcpStream| {
        while !String::from_utf8_lossy(&answer).contains(text) {
            assert!(timeout(PATIENCE, socket.read_buf(&mut answer)).await.unwrap().unwrap() > 0, "no {text}");
        }
    };
    until("101 ", &mut socket).await;
    let text = "{\"type\":\n\"unsubscribe\",\n\"node\":\"other\"}\n";
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    socket.write_all(&frame).await.unwrap();
    until("is not watched here", &mut socket).await;
    stage.close().await;
}

/// Nothing more is expected after so long. It only bounds how long a connection that stays open is looked at.
const QUIET: Duration = Duration::from_secs(2);
