//! Any messages of any mechanism, in either profile: no panic, nobody is let in without a secret, and
//! nothing is said after the end.
//!
//! The first byte chooses what the channel has and the profile; then come messages, each with a byte
//! that chooses the mechanism, set apart by 0xFF.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidings::jid::BareJid;
use tidings::stream::{
    Answer, Channel, Denial, Header, Input, Mechanism, Options, Output, ScramOffer, Secured, Stream,
};
use tidings::xml::Element;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2: &str = "urn:xmpp:sasl:2";

pub fn check(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let secured = Secured {
        exporter: (shape & 1 != 0).then(|| vec![1; 32]),
        end_point: (shape & 2 != 0).then(|| vec![2; 32]),
        certified: if shape & 4 != 0 { vec![alice()] } else { Vec::new() },
    };
    let ids = ["a", "b", "c"].map(str::to_owned);
    let mut stream = Stream::new(Arc::new(Options::default()), Channel::Tls, ids).with_secured(secured);
    feed(&mut stream, header());
    for message in rest.split(|byte| *byte == 0xff) {
        let Some((mechanism, message)) = message.split_first() else { continue };
        let mechanism = Mechanism::ALL[usize::from(*mechanism) % Mechanism::ALL.len()].name();
        let text = STANDARD.encode(message);
        if shape & 8 != 0 {
            feed(&mut stream, Input::Element(authenticate(mechanism, &text)));
            feed(&mut stream, Input::Element(Element::new("response", SASL2).with_text(text.as_str())));
        } else {
            let auth = Element::new("auth", SASL).with_attr("mechanism", mechanism).with_text(text.as_str());
            feed(&mut stream, Input::Element(auth));
            feed(&mut stream, Input::Element(Element::new("response", SASL).with_text(text)));
        }
    }
}

/// Feeds an input and answers what is asked, as a session would.
fn feed(stream: &mut Stream, input: Input) {
    let mut next = Some((input, false));
    while let Some((input, right)) = next.take() {
        let closed = stream.is_closed();
        for output in stream.handle(input) {
            assert!(!closed, "a word after the last");
            match output {
                Output::Authenticated { account, .. } => {
                    assert!(right, "{account} was let in without a secret");
                    assert_eq!(account, alice());
                }
                Output::ScramEnded { success, .. } => assert!(!success, "a proof was taken for right"),
                Output::AskPassword { account, password } => {
                    let right = account == alice() && password.expose() == "secret";
                    next = Some((Input::Credentials(if right { Answer::Right } else { wrong() }), right));
                }
                Output::AskScram { .. } => next = Some((Input::Credentials(Answer::Scram(offer())), false)),
                Output::AskCertified { account } => {
                    assert_eq!(account, alice(), "the certificate names nobody else");
                    next = Some((Input::Credentials(Answer::Right), true));
                }
                Output::AskToken(proof) => {
                    assert_eq!(proof.proof.len(), 32);
                    next = Some((Input::Credentials(wrong()), false));
                }
                Output::AskBearer { token } => {
                    assert!(!token.expose().is_empty() && token.expose().is_ascii());
                    next = Some((Input::Credentials(wrong()), false));
                }
                Output::AskAnonymous => panic!("nobody is let in without a name here"),
                Output::AskInline(_) => next = Some((Input::Inlined(Box::default()), true)),
                _ => {}
            }
        }
    }
}

fn header() -> Input {
    let root = Element::new("stream", "http://etherx.jabber.org/streams")
        .with_attr("to", "localhost")
        .with_attr("version", "1.0");
    Input::Header(Header { root, default_ns: Some("jabber:client".to_owned()) })
}

fn authenticate(mechanism: &str, text: &str) -> Element {
    Element::new("authenticate", SASL2)
        .with_attr("mechanism", mechanism)
        .with_child(Element::new("initial-response", SASL2).with_text(text))
        .with_child(Element::new("user-agent", SASL2).with_attr("id", "d4565fa7-4d72-4749-b3d3-740edbf87770"))
        .with_child(Element::new("fast", "urn:xmpp:fast:0"))
}

/// Keys that no message can have the proof for, but by breaking SHA-2.
fn offer() -> ScramOffer {
    ScramOffer {
        salt: b"salt".to_vec(),
        iterations: 4096,
        stored_key: vec![7; 32],
        server_key: vec![8; 32],
        real: true,
        nonce: "server".to_owned(),
    }
}

fn wrong() -> Answer {
    Answer::Denied(Denial::Wrong)
}

fn alice() -> BareJid {
    BareJid::parse("alice@localhost").expect("an address")
}
