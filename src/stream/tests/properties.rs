//! Whatever is said, in whatever order: no panic, no door opened, no word after the last.

use proptest::prelude::*;

use super::*;
use crate::stream::negotiation::State;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_panics_or_opens_a_door(
        channel in prop_oneof![Just(Channel::StartTls), Just(Channel::Tls), Just(Channel::Clear)],
        moves in prop::collection::vec(prop_oneof![3 => Just(None), 1 => input().prop_map(Some)], 1..40),
    ) {
        let mut talk = Talk::new(channel);
        let mut asked = None;
        for chosen in moves {
            let input = chosen.unwrap_or_else(|| fitting(&talk.stream, asked));
            let right = matches!(
                (&asked, &input),
                (Some(Asked::Password), Input::Credentials(Answer::Right))
                    | (Some(Asked::Token), Input::Credentials(Answer::Token(_)))
            );
            let was_closed = talk.stream.is_closed();
            let outputs = talk.stream.handle(input);
            prop_assert!(!was_closed || outputs.is_empty(), "a word after the last");
            let opened = outputs.iter().any(|o| matches!(o, Output::Authenticated { .. }));
            // No proof in these inputs is right: only `access` itself can have opened the door.
            prop_assert_eq!(opened && !right, false, "authenticated without a right secret");
            prop_assert!(!(opened && channel == Channel::Clear), "a password was taken in the clear");
            let proved = outputs.iter().any(|o| matches!(o, Output::ScramEnded { success: true, .. }));
            prop_assert!(!proved, "a proof was taken for right");
            let closes = outputs.iter().filter(|o| matches!(o, Output::Close { .. })).count();
            prop_assert_eq!(closes, usize::from(talk.stream.is_closed() && !was_closed));
            if closes == 1 {
                prop_assert!(matches!(outputs.last(), Some(Output::Close { .. })), "a word after the last");
            }
            asked = outputs.iter().find_map(|output| match output {
                Output::AskPassword { .. } => Some(Asked::Password),
                Output::AskScram { .. } => Some(Asked::Scram),
                Output::AskBind { .. } => Some(Asked::Bind),
                Output::AskResume { .. } => Some(Asked::Resume),
                Output::StartTls => Some(Asked::Tls),
                Output::AskToken(_) => Some(Asked::Token),
                Output::AskInline(_) => Some(Asked::Inline),
                _ => None,
            });
            prop_assert_eq!(asked.is_some(), talk.stream.awaits_answer());
        }
    }

    #[test]
    fn no_message_of_a_client_is_a_proof(
        first in message(),
        last in message(),
        mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
    ) {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        talk.say(&auth(mechanism.name(), Some(&first)));
        talk.say(&response(&last));
        prop_assert_eq!(talk.authenticated, None);
    }

    #[test]
    fn any_password_is_handed_on_as_it_came(password in "[^\0]{1,40}") {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        let text = STANDARD.encode(format!("\0alice\0{password}"));
        let auth = Element::new("auth", SASL_NS).with_attr("mechanism", "PLAIN").with_text(text);
        let outputs = talk.stream.handle(Input::Element(auth));
        let Some(Output::AskPassword { password: handed, .. }) = outputs.first() else {
            return Err(TestCaseError::fail("no question"));
        };
        prop_assert_eq!(handed.expose(), password);
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Password,
    Scram,
    Bind,
    Resume,
    Tls,
    Token,
    Inline,
}

/// What leads on from here, so that every state is reached often enough.
fn fitting(stream: &Stream, asked: Option<Asked>) -> Input {
    match asked {
        Some(Asked::Password) => Input::Credentials(Answer::Right),
        Some(Asked::Scram) => Input::Credentials(Answer::Scram(offer(ScramHash::Sha1, true))),
        Some(Asked::Bind) => Input::Bound(jid("alice@localhost").with_resource("r").unwrap()),
        Some(Asked::Resume) => {
            Input::Resumed { jid: jid("alice@localhost").with_resource("r").unwrap(), previd: "p".to_owned(), h: 0 }
        }
        Some(Asked::Tls) => Input::TlsDone(Box::new(bindable())),
        Some(Asked::Token) => Input::Credentials(Answer::Token(vec![1; 32])),
        Some(Asked::Inline) => Input::Inlined(Box::new(inlined("alice@localhost"))),
        None => match &stream.state {
            State::ExpectHeader(_) => open(),
            State::ExpectStartTls => Input::Element(Element::new("starttls", TLS_NS)),
            State::ExpectBind { .. } => Input::Element(bind()),
            State::Established { .. } => Input::Element(Element::new("message", CLIENT_NS)),
            _ => Input::Element(plain()),
        },
    }
}

fn bindable() -> Secured {
    Secured { exporter: Some(vec![1; 32]), end_point: Some(vec![2; 32]), certified: Vec::new() }
}

fn inlined(account: &str) -> Inlined {
    let jid = jid(account).with_resource("r").unwrap();
    Inlined { resumed: None, bound: Some(Ok(Bound { jid, managed: false, elements: Vec::new() })), token: None }
}

fn authenticate(mechanism: &str, text: String) -> Element {
    Element::new("authenticate", SASL2_NS)
        .with_attr("mechanism", mechanism)
        .with_child(Element::new("initial-response", SASL2_NS).with_text(text))
        .with_child(Element::new("user-agent", SASL2_NS).with_attr("id", "d4565fa7-4d72-4749-b3d3-740edbf87770"))
        .with_child(Element::new("bind", BIND2_NS))
        .with_child(Element::new("fast", FAST_NS))
}

fn open() -> Input {
    let root = Element::new("stream", STREAMS_NS).with_attr("to", "localhost").with_attr("version", "1.0");
    Input::Header(header_with(root, CLIENT_NS))
}

fn plain() -> Element {
    Element::new("auth", SASL_NS).with_attr("mechanism", "PLAIN").with_text(STANDARD.encode("\0alice\0secret"))
}

fn bind() -> Element {
    let resource = Element::new("resource", BIND_NS).with_text("r");
    let bind = Element::new("bind", BIND_NS).with_child(resource);
    Element::new("iq", CLIENT_NS).with_attr("type", "set").with_child(bind)
}

/// A message of a mechanism, made of the pieces of right ones. The password is not among them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "n,",
        "y,",
        "p=tls-unique,",
        ",",
        "a=alice@localhost,",
        "n=alice",
        ",r=abc",
        "c=biws",
        ",r=abc3rfcNHYJY1ZVvWVs7j",
        ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        ",p=",
        "m=x",
        "\0",
        "alice",
        "=2C",
        "=",
        "é",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"n,,n=alice,r=abc".to_vec()),
        prop::collection::vec(any::<u8>(), 32).prop_map(|proof| format!(
            "c=biws,r=abc{SERVER_NONCE},p={}",
            STANDARD.encode(proof)
        )
        .into_bytes()),
    ]
}

fn element() -> impl Strategy<Value = Element> {
    let text = prop_oneof![message().prop_map(|m| STANDARD.encode(m)), "[=A-Za-z0-9+/ ]{0,12}"];
    let mechanism =
        prop::sample::select(vec!["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "EXTERNAL", ""]);
    prop_oneof![
        4 => (mechanism, text.clone()).prop_map(|(mechanism, text)| {
            Element::new("auth", SASL_NS).with_attr("mechanism", mechanism).with_text(text)
        }),
        4 => (prop::sample::select(vec!["PLAIN", "SCRAM-SHA-256-PLUS", "HT-SHA-256-NONE", "HT-SHA-256-EXPR"]), text.clone())
            .prop_map(|(mechanism, text)| authenticate(mechanism, text)),
        2 => text.clone().prop_map(|text| Element::new("response", SASL2_NS).with_text(text)),
        1 => Just(Element::new("abort", SASL2_NS)),
        3 => text.prop_map(|text| Element::new("response", SASL_NS).with_text(text)),
        2 => Just(plain()),
        1 => Just(Element::new("abort", SASL_NS)),
        1 => Just(Element::new("success", SASL_NS)),
        2 => Just(Element::new("starttls", TLS_NS)),
        2 => Just(bind()),
        1 => Just(Element::new("iq", CLIENT_NS).with_attr("type", "set").with_child(Element::new("session", SESSION_NS))),
        1 => Just(Element::new("message", CLIENT_NS)),
        1 => Just(Element::new("message", CLIENT_NS).with_attr("from", "bob@localhost")),
        1 => Just(Element::new("compress", COMPRESS_NS)),
        1 => Just(Element::new("error", STREAMS_NS)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => Just(open()),
        1 => Just(Input::Header(header_with(Element::new("stream", STREAMS_NS), "jabber:server"))),
        12 => element().prop_map(Input::Element),
        4 => Just(()).prop_map(|()| Input::TlsDone(Box::new(bindable()))),
        4 => Just(Input::Inlined(Box::new(inlined("alice@localhost")))),
        1 => Just(Input::Inlined(Box::new(inlined("bob@localhost")))),
        2 => Just(Input::Inlined(Box::default())),
        2 => Just(Input::Credentials(Answer::Token(vec![1; 32]))),
        1 => Just(Input::Credentials(Answer::Account(jid("nobody@localhost")))),
        6 => Just(Input::Credentials(Answer::Right)),
        6 => prop::bool::ANY.prop_map(|real| {
            Input::Credentials(Answer::Scram(ScramOffer {
                salt: b"salt".to_vec(),
                iterations: 4096,
                stored_key: vec![7; 32],
                server_key: vec![8; 32],
                real,
                nonce: SERVER_NONCE.to_owned(),
            }))
        }),
        2 => Just(Input::Credentials(Answer::Denied(Denial::Wrong))),
        3 => Just(Input::Bound(jid("alice@localhost").with_resource("r").unwrap())),
        1 => Just(Input::BindRefused(BindRefusal::Conflict)),
        1 => Just(Input::TlsFailed),
        1 => Just(Input::End),
        1 => Just(Input::Timeout),
        1 => Just(Input::Malformed(StreamCondition::NotWellFormed.into())),
    ]
}
