//! A library that is not ours as a client: tokio-xmpp logs in, binds to its channel, and watches a node.

use std::borrow::Cow;
use std::net::SocketAddr;

use futures_util::StreamExt as _;
use sasl::common::ChannelBinding;
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_xmpp::connect::ServerConnector;
use tokio_xmpp::xmlstream::{PendingFeaturesRecv, StreamHeader, Timeouts, initiate_stream};
use tokio_xmpp::{Client, Event, IqRequest, IqResponse, Stanza};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;

use crate::client::{Hello, PATIENCE};
use crate::house::House;

/// Connects with TLS from the first byte, and binds to `tls-exporter`.
#[derive(Clone, Debug)]
struct Direct {
    address: SocketAddr,
    binding: Binding,
}

#[derive(Clone, Copy, Debug)]
enum Binding {
    Exporter,
    None,
}

impl ServerConnector for Direct {
    type Stream = BufStream<TlsStream<TcpStream>>;

    async fn connect(
        &self,
        jid: &Jid,
        ns: &'static str,
        timeouts: Timeouts,
    ) -> Result<(PendingFeaturesRecv<Self::Stream>, ChannelBinding), tokio_xmpp::Error> {
        let tls = Hello::default().handshake(self.address).await.map_err(std::io::Error::other)?;
        let mut exported = vec![0; 32];
        let (_, connection) = tls.get_ref();
        connection
            .export_keying_material(&mut exported, b"EXPORTER-Channel-Binding", None)
            .map_err(std::io::Error::other)?;
        let binding = match self.binding {
            Binding::Exporter => ChannelBinding::TlsExporter(exported),
            Binding::None => ChannelBinding::None,
        };
        let to = Some(Cow::Borrowed(jid.domain().as_str()));
        let header = StreamHeader { to, from: None, id: None };
        Ok((initiate_stream(BufStream::new(tls), ns, header, timeouts).await?, binding))
    }
}

fn client(house: &House, name: &str, password: &str, binding: Binding) -> Client {
    let jid: Jid = format!("{name}@localhost/library").parse().unwrap();
    let connector = Direct { address: house.direct(), binding };
    Client::new_with_connector(jid, password, connector, Timeouts::tight())
}

async fn online(client: &mut Client) -> String {
    loop {
        match tokio::time::timeout(PATIENCE, client.next()).await.expect("a word of the library") {
            Some(Event::Online { bound_jid, .. }) => return bound_jid.to_string(),
            Some(Event::Disconnected(error)) => panic!("{error}"),
            Some(Event::Stanza(_)) => {}
            None => panic!("the library has given up"),
        }
    }
}

/// Asks, and hears what else comes meanwhile.
async fn ask(client: &mut Client, payload: &str) -> Option<Element> {
    let payload: Element = payload.parse().unwrap();
    let token = client.send_iq(Some("pubsub.localhost".parse().unwrap()), IqRequest::Set(payload)).await;
    let mut token = std::pin::pin!(token);
    loop {
        tokio::select! {
            answer = &mut token => match answer.unwrap() {
                IqResponse::Result(payload) => return payload,
                IqResponse::Error(error) => panic!("{error:?}"),
            },
            event = client.next() => assert!(event.is_some(), "the library has given up"),
            () = tokio::time::sleep(PATIENCE) => panic!("no answer"),
        }
    }
}

#[tokio::test]
async fn tokio_xmpp_logs_in_subscribes_and_receives_an_item() {
    let house = House::open(&[]).await;
    let mut alice = client(&house, "alice", "alice-password", Binding::Exporter);
    assert_eq!(online(&mut alice).await, "alice@localhost/library");
    let mut bob = client(&house, "bob", "bob-password", Binding::None);
    online(&mut bob).await;

    ask(&mut alice, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='news'/></pubsub>").await;
    let subscribe = "<subscribe node='news' jid='bob@localhost/library'/>";
    let pubsub = |verb: &str| format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{verb}</pubsub>");
    let answer = ask(&mut bob, &pubsub(subscribe)).await.expect("a subscription");
    assert!(String::from(&answer).contains("subscribed"), "{answer:?}");
    let publish = "<publish node='news'><item id='1'><entry xmlns='urn:x'>hello</entry></item></publish>";
    ask(&mut alice, &pubsub(publish)).await;

    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let event = tokio::time::timeout_at(deadline, bob.next()).await.expect("a notification");
        let Some(Event::Stanza(Stanza::Message(message))) = event else { continue };
        let Some(event) = message.payloads.iter().find(|payload| payload.is("event", ns::PUBSUB_EVENT)) else {
            continue;
        };
        let text = String::from(event);
        assert!(text.contains("hello") && text.contains("news"), "{text}");
        break;
    }
    alice.send_end().await.unwrap();
    bob.send_end().await.unwrap();
}
