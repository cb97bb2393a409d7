//! Deadlines and counted failures.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Hello, PATIENCE, SASL, SASL2};
use crate::house::House;

/// T14.
#[tokio::test]
async fn a_pair_of_user_and_address_is_blocked_after_so_many_failures() {
    let house = House::open(&["limits.auth_failures=2"]).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let user = if mechanism == "PLAIN" { "bob" } else { "alice" };
        for _ in 0..2 {
            let mut client = Hello::default().connect(house.direct()).await.unwrap();
            let answer = match mechanism {
                "PLAIN" => client.plain(user, "wrong", "").await.unwrap(),
                _ => client.scram(SASL2, mechanism, "n,,", b"junk that is not bound").await.unwrap().last,
            };
            assert!(answer.child("not-authorized", SASL).is_some(), "{answer}");
        }
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let answer = client.plain(user, &format!("{user}-password"), "").await.unwrap();
        assert!(answer.child("temporary-auth-failure", SASL).is_some(), "{answer}");
    }
}

/// T6: the same words for a wrong password, a user who is not there, and one who is shut out.
#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let house = House::open(&[]).await;
    house.running.access.set_disabled(&crate::house::alice(), true).await.unwrap();
    let mut answers = Vec::new();
    for (user, password) in [("bob", "wrong"), ("ghost", "wrong"), ("alice", "alice-password"), ("\u{7}", "x")] {
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        answers.push(client.plain(user, password, "").await.unwrap().to_string());
        let token = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><fast xmlns='urn:xmpp:fast:0'/>";
        let message = [user.as_bytes(), b"\0", &[0; 32]].concat();
        answers.push(client.authenticate("HT-SHA-256-NONE", &message, token).await.unwrap().to_string());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("<not-authorized"), "{answers:?}");
}

/// T11: silence, a half header, a half handshake, a half exchange.
#[tokio::test]
async fn whoever_does_not_get_on_is_let_go() {
    let house = House::open(&["limits.negotiation_seconds=1"]).await;
    for said in ["", "<?xml version='1.0'?><stream:stream to='local"] {
        let mut socket = TcpStream::connect(house.starttls()).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "{said:?}: still there");
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.contains("<connection-timeout"), "{said:?}: {heard}");
    }
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    client.send("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'/>").await.unwrap();
    assert!(client.next().await.unwrap().is("challenge", SASL2));
    let error = client.next().await.unwrap();
    assert!(error.child("connection-timeout", "urn:ietf:params:xml:ns:xmpp-streams").is_some(), "{error}");

    // In the middle of the handshake there is nothing to say, on either listener.
    for starttls in [true, false] {
        let mut socket = TcpStream::connect(if starttls { house.starttls() } else { house.direct() }).await.unwrap();
        if starttls {
            let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams'>\
                          <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
            socket.write_all(header.as_bytes()).await.unwrap();
        } else {
            // The head of a record that never comes.
            socket.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        }
        let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "starttls {starttls}: still there");
    }
}

/// T1: what stands behind `<starttls/>` in the clear is not read as if it had come under TLS.
#[tokio::test]
async fn words_behind_starttls_end_the_connection() {
    let house = House::open(&[]).await;
    let mut socket = TcpStream::connect(house.starttls()).await.unwrap();
    let written = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                   xmlns:stream='http://etherx.jabber.org/streams'>\
                   <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
                   <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAGFsaWNlLXBhc3N3b3Jk</auth>";
    socket.write_all(written.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut heard)).await.unwrap().ok();
    assert!(!String::from_utf8_lossy(&heard).contains("<success"));
}
