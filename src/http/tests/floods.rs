//! HTTP/2 as attackers speak it (H4 of `docs/security.md`): frames that cost the sender little. Each ends the connection
//! that they came on, or is bounded there, and another caller is answered meanwhile.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// HPACK, all from the static table: GET, http, /.
const GET: &[u8] = &[0x82, 0x86, 0x84];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn begin() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A literal header that is not indexed (RFC 7541 §6.2.2); both texts shorter than 127 bytes.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// What came back: its frames, by kind, stream and payload.
struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    /// Everything until the server closes, which it must.
    async fn until_the_end(address: SocketAddr, attack: &[u8]) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let (mut from, mut to) = socket.split();
        let mut bytes = vec![];
        let read = async {
            let mut piece = [0; 8192];
            while let Ok(count @ 1..) = from.read(&mut piece).await {
                bytes.extend_from_slice(&piece[..count]);
            }
        };
        // The server may close before it has taken all of it.
        let write = async { drop(to.write_all(attack).await) };
        timeout(PATIENCE, async { tokio::join!(read, write) }).await.expect("the connection is closed");
        Answer { bytes }
    }

    fn frames(&self) -> Vec<(u8, u32, &[u8])> {
        let mut rest = &self.bytes[..];
        let mut frames = vec![];
        while let Some((head, more)) = rest.split_at_checked(9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((payload, more)) = more.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            frames.push((head[3], stream, payload));
            rest = more;
        }
        frames
    }

    /// The code of the GOAWAY (RFC 9113 §6.8), if there was one.
    fn went_away(&self) -> Option<u32> {
        let frames = self.frames();
        let (.., payload) = frames.iter().find(|(kind, ..)| *kind == GOAWAY)?;
        Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
    }
}

/// The head of a request that is answered after so many seconds, for nothing happens.
fn poll(caller: &Caller, seconds: u32) -> Vec<u8> {
    let path = header(":path", &format!("/v1/nodes/n/items?watch=true&wait={seconds}"));
    [&[0x82, 0x86], &path[..], &header("authorization", &caller.credential)].concat()
}

async fn stage() -> (Stage, Caller) {
    let options = Options {
        write_stall_time: Duration::from_millis(500),
        body_window: Duration::from_millis(500),
        header_time: Duration::from_secs(2),
        ..Options::default()
    };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    (stage, alice)
}

/// CVE-2024-27983, RUSTSEC-2024-0332: a head that never ends.
#[tokio::test]
async fn a_head_without_an_end_ends_the_connection() {
    let (stage, alice) = stage().await;
    let mut attack = begin();
    attack.extend(frame(HEADERS, END_STREAM, 1, GET));
    for number in 0..20_000 {
        let field = header(&format!("x-{number}"), &"y".repeat(100));
        attack.extend(frame(CONTINUATION, 0, 1, &field));
    }
    let answer = Answer::until_the_end(stage.http, &attack).await;
    assert!(answer.went_away().is_some_and(|code| code != 0), "{:x?}", answer.frames());
    assert_eq!(alice.get("/v1/nodes/n").await.status, 200);
    stage.close().await;
}

/// The same in frames without anything in them.
#[tokio::test]
async fn empty_continuations_end_the_connection() {
    let (stage, alice) = stage().await;
    let mut attack = begin();
    attack.extend(frame(HEADERS, END_STREAM, 1, GET));
    attack.extend(frame(CONTINUATION, 0, 1, &[]).repeat(200_000));
    let answer = Answer::until_the_end(stage.http, &attack).await;
    assert!(answer.went_away().is_some_and(|code| code != 0), "{:x?}", answer.frames());
    assert_eq!(alice.get("/v1/nodes/n").await.status, 200);
    stage.close().await;
}

/// A head that is too large is refused, and others on the connection are not.
#[tokio::test]
async fn a_head_that_is_too_large_is_refused_alone() {
    let (stage, _) = stage().await;
    let mut attack = begin();
    let large: Vec<u8> = (0..200).flat_map(|number| header(&format!("x-{number}"), &"y".repeat(100))).collect();
    let whole = [GET, &large].concat();
    let (first, rest) = whole.split_at(16_000);
    attack.extend(frame(HEADERS, END_STREAM, 1, first));
    attack.extend(frame(CONTINUATION, END_HEADERS, 1, rest));
    attack.extend(frame(HEADERS, END_STREAM | END_HEADERS, 3, GET));
    let answer = Answer::until_the_end(stage.http, &attack).await;
    let heads: Vec<(u32, &[u8])> =
        answer.frames().into_iter().filter(|frame| frame.0 == HEADERS).map(|frame| (frame.1, frame.2)).collect();
    // 431 and, `/` being nothing, 404: `:status` is a literal, or one of the static table (RFC 7541 appendix A).
    assert_eq!(heads.len(), 2, "{heads:x?}");
    assert!(heads.iter().all(|(stream, head)| (*stream == 3) == (head[0] == 0x8d)), "{heads:x?}");
    stage.close().await;
}

/// CVE-2019-9512, CVE-2019-9515: every frame of these wants an answer, which the sender does not read.
#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() {
    let (stage, alice) = stage().await;
    for flood in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])] {
        let mut socket = TcpStream::connect(stage.http).await.unwrap();
        socket.write_all(&begin()).await.unwrap();
        let many = flood.repeat(1000);
        // The server stops to read when its own answers stand still, and gives the connection up.
        let cut = async { while socket.write_all(&many).await.is_ok() {} };
        timeout(PATIENCE, cut).await.expect("the connection is cut");
        assert_eq!(alice.get("/v1/nodes/n").await.status, 200);
    }
    stage.close().await;
}

/// CVE-2019-9518: a body of nothing, over and over, is a slow body.
#[tokio::test]
async fn a_body_of_empty_frames_is_too_slow() {
    let (stage, alice) = stage().await;
    let mut head = vec![0x83, 0x86];
    head.extend(header(":path", "/v1/nodes/n/items"));
    head.extend(header("authorization", &alice.credential));
    head.extend(header("content-type", "application/json"));
    let mut socket = TcpStream::connect(stage.http).await.unwrap();
    socket.write_all(&[begin(), frame(HEADERS, END_HEADERS, 1, &head)].concat()).await.unwrap();
    let (mut from, mut to) = socket.split();
    let mut bytes = vec![];
    let read = async {
        let mut piece = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..count]);
            if String::from_utf8_lossy(&bytes).contains("body-too-slow") {
                return true;
            }
        }
        // Or the library has had enough.
        true
    };
    let write = async {
        let many = frame(DATA, 0, 1, &[]).repeat(100);
        while to.write_all(&many).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::future::pending::<bool>().await
    };
    let ended = timeout(PATIENCE, async {
        tokio::select! { ended = read => ended, ended = write => ended }
    });
    assert!(ended.await.expect("it is refused"));
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 0);
    stage.close().await;
}

/// CVE-2025-8671: streams that the server itself must reset, because of what the sender does to them.
#[tokio::test]
async fn resets_that_the_server_is_made_to_send_end_the_connection() {
    let (stage, alice) = stage().await;
    let (mut attack, head) = (begin(), poll(&alice, 30));
    for number in 0..2_000_u32 {
        let stream = number * 2 + 1;
        attack.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
        // A window that grows by nothing is an error of the stream (RFC 9113 §6.9).
        attack.extend(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
    }
    let answer = Answer::until_the_end(stage.http, &attack).await;
    assert!(answer.went_away().is_some_and(|code| code != 0), "{:?}", answer.went_away());
    assert!(answer.frames().iter().filter(|frame| frame.0 == RST_STREAM).count() < 1_000);
    assert_eq!(alice.get("/v1/nodes/n").await.status, 200);
    stage.close().await;
}

/// Of more streams at once than are offered, those beyond are refused, and the others go on.
#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let (stage, alice) = stage().await;
    let (mut attack, head) = (begin(), poll(&alice, 1));
    for number in 0..110_u32 {
        attack.extend(frame(HEADERS, END_STREAM | END_HEADERS, number * 2 + 1, &head));
    }
    let answer = Answer::until_the_end(stage.http, &attack).await;
    let refused: Vec<u32> = answer
        .frames()
        .iter()
        .filter(|frame| frame.0 == RST_STREAM && frame.2 == [0, 0, 0, 7])
        .map(|frame| frame.1)
        .collect();
    assert_eq!(refused, (100..110).map(|number| number * 2 + 1).collect::<Vec<u32>>());
    let answered = answer.frames().iter().filter(|frame| frame.0 == HEADERS).count();
    assert_eq!(answered, 100);
    stage.close().await;
}

/// A peer that makes no room for its answers, while it is well otherwise and has something else under way.
#[tokio::test]
async fn an_answer_that_is_given_no_room_ends_the_connection() {
    let (stage, alice) = stage().await;
    alice.publish("n", "a", &format!("\"{}\"", "x".repeat(100_000))).await;
    let path = header(":path", "/v1/nodes/n/items/a");
    let head = [&[0x82, 0x86], &path[..], &header("authorization", &alice.credential)].concat();
    // RFC 9113 §6.5.2: SETTINGS_INITIAL_WINDOW_SIZE of nothing.
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    let wants = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    let polls = frame(HEADERS, END_STREAM | END_HEADERS, 3, &poll(&alice, 60));
    let began = tokio::time::Instant::now();
    Answer::until_the_end(stage.http, &[begin, wants, polls].concat()).await;
    assert!(began.elapsed() < Duration::from_secs(15), "only the poll has ended it");
    stage.close().await;
}

/// Who takes an answer slowly has it whole, though nothing else is asked on the connection meanwhile.
#[tokio::test]
async fn a_slow_reader_of_http2_has_its_whole_answer() {
    let options = Options { header_time: Duration::from_millis(100), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    for number in 0..10 {
        alice.publish("n", &number.to_string(), &format!("\"{}\"", "x".repeat(100_000))).await;
    }
    let socket = TcpStream::connect(stage.http).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::builder()
        .uri("http://localhost/v1/nodes/n/items")
        .header("authorization", &alice.credential)
        .body(Full::new(Bytes::new()))
        .unwrap();
    let mut body = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap().into_body();
    let mut whole = vec![];
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.unwrap() {
        whole.extend_from_slice(&frame.expect("the connection stays").into_data().unwrap());
        // Slower than several times the patience with a connection that asks for nothing.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let page: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 10);
    stage.close().await;
}
