//! What the door does to those who speak badly, slowly or not at all.

use super::*;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Writes bytes as they stand, and reads until the end, or for so long.
async fn raw(address: SocketAddr, bytes: &[u8], patience: Duration) -> (String, bool) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    read(&mut socket, patience).await
}

async fn read(socket: &mut TcpStream, patience: Duration) -> (String, bool) {
    let mut answer = vec![];
    let ended = timeout(patience, drain(socket, &mut answer)).await.is_ok();
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}

/// Reads until the other end closes, in whatever way.
async fn drain(socket: &mut TcpStream, answer: &mut Vec<u8>) {
    let mut piece = [0; 8192];
    while let Ok(bytes @ 1..) = socket.read(&mut piece).await {
        answer.extend_from_slice(&piece[..bytes]);
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_head_must_come_in_time() {
    let options = Options { header_time: Duration::from_millis(200), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let begun = std::time::Instant::now();
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\nX:"] {
        let (_, ended) = raw(stage.http, bytes, PATIENCE).await;
        assert!(ended, "{bytes:?}");
    }
    // A byte now and then does not help.
    let mut socket = TcpStream::connect(stage.http).await.unwrap();
    let dribble = async {
        for byte in b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy".iter().cycle() {
            if socket.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, dribble).await.expect("the connection is closed");
    assert!(begun.elapsed() < PATIENCE / 2);
    stage.close().await;
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let stage = Stage::open().await;
    let head = |bytes: usize| {
        let filling = "x".repeat(bytes - "GET / HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n".len());
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {filling}\r\n\r\n")
    };
    for (bytes, expected) in [(15 * 1024, 404), (17 * 1024, 431), (200 * 1024, 431)] {
        let (answer, _) = raw(stage.http, head(bytes).as_bytes(), Duration::from_secs(2)).await;
        assert_eq!(status(&answer), expected, "{bytes}");
    }
    stage.close().await;
}

#[tokio::test]
async fn nothing_is_smuggled() {
    let stage = Stage::open().await;
    let caller = stage.caller("alice", &[]).await;
    caller.create("n", "{}").await;
    let post = |headers: &str, body: &str| {
        format!(
            "POST /v1/nodes/n/items HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\n{headers}\r\n\r\n{body}",
            caller.credential
        )
    };
    for (headers, body) in [
        ("Content-Length: 1\r\nContent-Length: 2", "11"),
        ("Transfer-Encoding: xchunked", "1\r\n1\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity", "1\r\n1\r\n0\r\n\r\n"),
        ("Content-Length: -1", "1"),
        ("Content-Length : 1", "1"),
    ] {
        let (answer, ended) = raw(stage.http, post(headers, body).as_bytes(), PATIENCE).await;
        assert!(ended && status(&answer) == 400, "{headers}: {answer}");
    }
    // Both lengths at once: the one that others could believe is not, and nothing follows.
    let both = post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET /v1/nodes HTTP/1.1\r\n\r\n");
    let (answer, ended) = raw(stage.http, both.as_bytes(), PATIENCE).await;
    assert!(ended && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    stage.close().await;
}

#[tokio::test]
async fn a_body_is_not_waited_for_forever() {
    let options = Options {
        body_window: Duration::from_millis(200),
        body_bytes_max: 100_000,
        header_time: Duration::from_secs(5),
        ..Options::default()
    };
    let stage = Stage::with(options, engine::Options::default()).await;
    let caller = stage.caller("alice", &[]).await;
    caller.create("n", "{}").await;
    let head = |length: &str| {
        format!(
            "POST /v1/nodes/n/items HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\n{length}\r\n\r\n",
            caller.credential
        )
    };
    let (answer, ended) = raw(stage.http, head("Content-Length: 1000").as_bytes(), PATIENCE).await;
    assert!(ended && status(&answer) == 408, "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("body-too-slow"), "{answer}");
    // Too long by its own word: answered before a byte of it came.
    let (answer, ended) = raw(stage.http, head("Content-Length: 2147483648").as_bytes(), PATIENCE).await;
    assert!(ended && status(&answer) == 413, "{answer}");
    // Too long without a word.
    let mut endless = head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..200 {
        endless.extend_from_slice(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes());
    }
    let mut socket = TcpStream::connect(stage.http).await.unwrap();
    // The other end may close before it has taken all of it.
    let _ = socket.write_all(&endless).await;
    let mut first = vec![0; 64];
    let read = timeout(PATIENCE, socket.read(&mut first)).await.unwrap();
    assert!(read.is_err() || status(&String::from_utf8_lossy(&first)) == 413);
    stage.close().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let options = Options { connections_max: 2, header_time: Duration::from_secs(5), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let first = TcpStream::connect(stage.http).await.unwrap();
    let _second = TcpStream::connect(stage.http).await.unwrap();
    let mut third = TcpStream::connect(stage.http).await.unwrap();
    third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let (answer, ended) = read(&mut third, Duration::from_millis(300)).await;
    assert_eq!((answer.as_str(), ended), ("", false));
    drop(first);
    let (answer, ended) = read(&mut third, PATIENCE).await;
    assert_eq!((status(&answer), ended), (404, true));
    stage.close().await;
}

#[tokio::test]
async fn the_server_stops_though_connections_are_idle_or_half_said() {
    let stage = Stage::open().await;
    let caller = stage.caller("alice", &[]).await;
    caller.create("n", "{}").await;
    let _silent = TcpStream::connect(stage.http).await.unwrap();
    let mut half = TcpStream::connect(stage.http).await.unwrap();
    half.write_all(b"GET /v1/no").await.unwrap();
    let mut kept = connect(stage.http).await;
    let request = hyper::Request::builder().uri("/livez").header("host", "x").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(kept.send_request(request).await.unwrap().status(), 404);
    let begun = std::time::Instant::now();
    stage.close().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let options = Options { write_stall_time: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let caller = stage.caller("alice", &[]).await;
    caller.create("n", r#"{"max_items":1}"#).await;
    let watch = format!(
        "GET /v1/nodes/n/items?watch=true HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: {}\r\n\r\n",
        caller.credential
    );
    let mut deaf = TcpStream::connect(stage.http).await.unwrap();
    deaf.write_all(watch.as_bytes()).await.unwrap();
    let mut first = vec![0; 512];
    assert!(deaf.read(&mut first).await.unwrap() > 0);
    let text = format!("\"{}\"", "x".repeat(100_000));
    for id in 0..200 {
        caller.publish("n", &id.to_string(), &text).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    // What had been written is there; then comes the end, and not the rest.
    let mut rest = vec![];
    let ended = timeout(PATIENCE, drain(&mut deaf, &mut rest)).await;
    assert!(ended.is_ok() && rest.len() < 200 * 100_000, "{}", rest.len());
    stage.close().await;
}
