//! Following a server that breaks off, over a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cli::{Bound, write_ready_file};
use crate::config::{Sources, load};

/// Reads the head of a request and answers with it.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answer(stream: &mut TcpStream, text: &str) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
}

fn say_ready(config: &Config, address: SocketAddr) {
    let bound = Bound { http: Some(address), ..Bound::default() };
    write_ready_file(&config.data.dir.join("ready.json"), &bound).unwrap();
}

/// The folder stands for as long as what is returned.
fn follower(address: SocketAddr, json: bool) -> (Follower, mpsc::Receiver<String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin.token"), "tdg_x\n").unwrap();
    let settings = Settings { token_file: Some(dir.path().join("admin.token")), ..Settings::default() };
    let config = load(&Sources { data: Some(dir.path().to_owned()), ..Sources::default() }).unwrap();
    say_ready(&config, address);
    let (lines, shown) = mpsc::channel(16);
    let path = "/v1/nodes/orders%2F1/items?watch=true".to_owned();
    let (node, since) = ("orders/1".to_owned(), "now".to_owned());
    (Follower { settings, config, path, node, since, cursor: None, json, lines }, shown, dir)
}

#[tokio::test]
async fn a_broken_stream_goes_on_after_the_last_cursor() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (follower, mut shown, _dir) = follower(listener.local_addr().unwrap(), true);
    let config = follower.config.clone();
    let following = tokio::spawn(follower.follow());

    let (mut first, _) = listener.accept().await.unwrap();
    let asked = head(&mut first).await;
    assert!(asked.starts_with("GET /v1/nodes/orders%2F1/items?watch=true&since=now HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer tdg_x\r\n") && asked.contains("accept: text/event-stream\r\n"));
    let event = "event: published\nid: c1\ndata: {\"type\":\"published\",\"id\":\"7\",\"data\":{\"a\":1}}\n\n";
    answer(&mut first, &format!("retry: 1000\n: hello\n\n{event}id: c2\n\nevent: published\nid: lost\nda")).await;
    let line: Value = serde_json::from_str(&shown.recv().await.unwrap()).unwrap();
    let expected = json!({"type": "published", "id": "7", "data": {"a": 1}, "node": "orders/1", "cursor": "c1"});
    assert_eq!(line, expected);
    // The server comes back at another port.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say_ready(&config, listener.local_addr().unwrap());
    drop(first);

    let (mut second, _) = listener.accept().await.unwrap();
    let asked = head(&mut second).await;
    assert!(asked.contains("last-event-id: c2\r\n"), "{asked}");
    assert!(!asked.contains("since="), "{asked}");
    answer(&mut second, "event: deleted\nid: c3\ndata: {\"type\":\"deleted\"}\n\n").await;
    assert!(shown.recv().await.unwrap().contains("\"deleted\""));
    following.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_right_that_ends_is_told_and_not_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (follower, mut shown, _dir) = follower(listener.local_addr().unwrap(), false);
    let following = tokio::spawn(follower.follow());
    let (mut stream, _) = listener.accept().await.unwrap();
    head(&mut stream).await;
    let event = "event: published\nid: c1\ndata: {\"time\":\"t\",\"id\":\"7\",\"data\":\"a\\u001bb\"}\n\n";
    answer(&mut stream, &format!("{event}event: end\ndata: {{\"status\":403,\"detail\":\"not yours\"}}\n\n")).await;
    assert_eq!(shown.recv().await.unwrap(), "t  orders/1  published  7  a\u{fffd}b");
    let outcome = following.await.unwrap();
    assert_eq!(outcome, Err(Trouble::failed("watching orders/1: not yours")));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_detail() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (follower, _shown, _dir) = follower(listener.local_addr().unwrap(), false);
    let following = tokio::spawn(follower.follow());
    let (mut stream, _) = listener.accept().await.unwrap();
    head(&mut stream).await;
    let problem = "{\"title\":\"Not found\",\"detail\":\"there is no such node\"}";
    let text = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    let outcome = following.await.unwrap();
    assert_eq!(outcome, Err(Trouble::failed("watching orders/1: there is no such node")));
}
