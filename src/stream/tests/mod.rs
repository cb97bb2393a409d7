//! Dialogues: a client that says bytes, a parser, the machine, and a session that answers at once.

mod dialogues;
mod oracle;
mod properties;
mod sasl2;
mod scram;
mod security;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::jid::BareJid;
use crate::xml::{self, Element, Parser, XmlEvent};

/// A connection to a server that knows one account, `alice` at each of its hosts, with [`PASSWORD`].
struct Talk {
    stream: Stream,
    parser: Parser,
    /// What the session answers to requests to bind, in this order; to all others, yes.
    refusals: Vec<BindRefusal>,
    /// What `access` says instead of looking.
    denial: Option<Denial>,
    scram_ended: Vec<bool>,
    /// What was asked for with SASL2.
    inline: Vec<Inline>,
    /// What is answered to that, beside a resource.
    token: Option<FastToken>,
    resumed: Option<Result<Resumed, SmRefusal>>,
    authenticated: Option<BareJid>,
    stanzas: Vec<Element>,
}

impl Talk {
    fn new(channel: Channel) -> Self {
        Self::with(channel, Options::default())
    }

    fn with(channel: Channel, options: Options) -> Self {
        let ids = ["s1".to_owned(), "s2".to_owned(), "s3".to_owned()];
        Talk {
            stream: Stream::new(Arc::new(options), channel, ids),
            parser: Parser::new(xml::Limits::authenticated()),
            refusals: Vec::new(),
            denial: None,
            scram_ended: Vec::new(),
            inline: Vec::new(),
            token: None,
            resumed: None,
            authenticated: None,
            stanzas: Vec::new(),
        }
    }

    /// A connection that has authenticated by PLAIN, restarted and bound `alice@localhost/here`.
    fn established() -> Self {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
        talk.say(OPEN);
        let said = talk.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>here</resource></bind></iq>");
        assert!(said.ends_with("[established alice@localhost/here]"), "{said}");
        talk
    }

    /// The client says this; what comes of it is returned in short.
    fn say(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes();
        let mut transcript = String::new();
        while !bytes.is_empty() && !self.stream.is_closed() {
            let input = match self.parser.feed(&mut bytes) {
                Ok(None) => break,
                Ok(Some(XmlEvent::StreamStart { header, default_ns })) => {
                    Input::Header(header_with(header, &default_ns))
                }
                Ok(Some(XmlEvent::Element(element))) => Input::Element(element),
                Ok(Some(XmlEvent::StreamEnd)) => Input::End,
                Err(_) => Input::Malformed(StreamCondition::NotWellFormed.into()),
            };
            transcript.push_str(&self.feed(input));
        }
        transcript
    }

    fn feed(&mut self, input: Input) -> String {
        let outputs = self.stream.handle(input);
        self.carry_out(outputs)
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> String {
        let mut transcript = String::new();
        for output in outputs {
            let (said, answer) = self.carry_out_one(output);
            transcript.push_str(&said);
            if let Some(input) = answer {
                assert!(self.stream.awaits_answer());
                transcript.push_str(&self.feed(input));
            }
        }
        transcript
    }

    fn carry_out_one(&mut self, output: Output) -> (String, Option<Input>) {
        match output {
            Output::Write(bytes) => (short(&String::from_utf8(bytes).unwrap()), None),
            Output::StartTls => ("[tls]".to_owned(), Some(Input::TlsDone(Box::default()))),
            Output::AuthFailed { .. } => (String::new(), None),
            Output::ResetParser => {
                self.parser.reset(xml::Limits::authenticated());
                (String::new(), None)
            }
            Output::AskScram { account, hash } => {
                let answer = match self.denial {
                    Some(denial) => Answer::Denied(denial),
                    None => Answer::Scram(offer(hash, account.local() == Some("alice"))),
                };
                (format!("[scram? {account}]"), Some(Input::Credentials(answer)))
            }
            Output::AskPassword { account, password } => {
                let right = account.local() == Some("alice") && password.expose() == PASSWORD;
                let answer = match self.denial {
                    Some(denial) => Answer::Denied(denial),
                    None if right => Answer::Right,
                    None => Answer::Denied(Denial::Wrong),
                };
                (format!("[password? {account}]"), Some(Input::Credentials(answer)))
            }
            Output::ScramEnded { success, .. } => {
                self.scram_ended.push(success);
                (String::new(), None)
            }
            Output::AskCertified { account } => {
                let answer = match account.local() {
                    Some("alice") => Answer::Right,
                    _ => Answer::Denied(Denial::Wrong),
                };
                (format!("[certified? {account}]"), Some(Input::Credentials(answer)))
            }
            Output::AskBearer { token } => {
                let answer = match token.expose() {
                    "of-alice" => Answer::Account(jid("alice@localhost")),
                    "of-elsewhere" => Answer::Account(jid("alice@elsewhere.example")),
                    "later" => Answer::Denied(Denial::Later),
                    _ => Answer::Denied(Denial::Wrong),
                };
                ("[bearer?]".to_owned(), Some(Input::Credentials(answer)))
            }
            Output::AskAnonymous => {
                let made = BareJid::new(Some("made"), self.stream.host().unwrap().domain()).unwrap();
                ("[anonymous?]".to_owned(), Some(Input::Credentials(Answer::Account(made))))
            }
            Output::AskToken(proof) => {
                let right = proof.proof == token_hash(b"Initiator", &proof.binding);
                let answer = match right && proof.account.local() == Some("alice") {
                    true => Answer::Token(token_hash(b"Responder", &proof.binding)),
                    false => Answer::Denied(Denial::Wrong),
                };
                (format!("[token? {} {:?}]", proof.account, proof.count), Some(Input::Credentials(answer)))
            }
            Output::AskInline(ask) => {
                let resumed = matches!(self.resumed, Some(Ok(_)));
                let bound = ask.inline.bind.as_ref().filter(|_| !resumed).map(|bind| {
                    let jid = ask.account.with_resource(bind.tag.as_deref().unwrap_or("made")).unwrap();
                    let refusal = (!self.refusals.is_empty()).then(|| self.refusals.remove(0));
                    refusal.map_or(Ok(Bound { jid, managed: bind.enable.is_some(), elements: Vec::new() }), Err)
                });
                self.inline.push(ask.inline);
                let inlined = Inlined { resumed: self.resumed.take(), bound, token: self.token.take() };
                ("[inline?]".to_owned(), Some(Input::Inlined(Box::new(inlined))))
            }
            Output::AskRegister { account, .. } => {
                let refusal = (account.local() == Some("alice")).then_some(RegisterRefusal::Conflict);
                (format!("[register? {account}]"), Some(Input::Registered(refusal)))
            }
            Output::AskBind { account, resource } => {
                let said = format!("[bind? {}]", resource.as_deref().unwrap_or("-"));
                let full = account.with_resource(resource.as_deref().unwrap_or("made")).unwrap();
                let refusal = (!self.refusals.is_empty()).then(|| self.refusals.remove(0));
                (said, Some(refusal.map_or(Input::Bound(full), Input::BindRefused)))
            }
            Output::Authenticated { account, .. } => {
                let said = format!("[authenticated {account}]");
                self.authenticated = Some(account);
                (said, None)
            }
            Output::Established { jid } => (format!("[established {jid}]"), None),
            Output::Stanza(stanza) => {
                let said = format!("[stanza {stanza}]");
                self.stanzas.push(stanza);
                (said, None)
            }
            Output::Reply(bytes) => (short(&String::from_utf8(bytes).unwrap()), None),
            Output::EnableSm { resume, max } => (format!("[enable {resume} {max:?}]"), None),
            Output::AskResume { account, previd, h } => {
                let said = format!("[resume? {previd} {h}]");
                let jid = account.with_resource("before").unwrap();
                let known = previd == "known";
                let answer = if known {
                    Input::Resumed { jid, previd, h: 7 }
                } else {
                    Input::ResumeRefused(SmRefusal::NotFound { h: None })
                };
                (said, Some(answer))
            }
            Output::ClientState { active } => (format!("[active {active}]"), None),
            Output::AckAsked => ("[acks?]".to_owned(), None),
            Output::Acknowledged(h) => (format!("[acknowledged {h}]"), None),
            Output::Close { linger } => ((if linger { "[close, linger]" } else { "[close]" }).to_owned(), None),
        }
    }
}

/// What the server writes, with its usual parts named and the texts for people left out.
fn short(written: &str) -> String {
    let mut text = written.to_owned();
    // What SASL2 offers is looked at apart.
    if let (Some(from), Some(to)) = (text.find("<authentication "), text.find("</authentication>")) {
        text.replace_range(from..to + "</authentication>".len(), "");
    }
    for (long, name) in [
        ("<?xml version='1.0'?><stream:stream from='localhost' id='", "[header "),
        ("' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", "]"),
        (
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
            "[offer tls]",
        ),
        (
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session><sm xmlns='urn:xmpp:sm:3'/><ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>",
            "[offer bind]",
        ),
        ("<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "[offer "),
        ("</mechanism></mechanisms></stream:features>", "]"),
        ("</mechanism><mechanism>", " "),
        ("<mechanism>", ""),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-sasl'", ""),
        ("</stream:stream>", "[end]"),
    ] {
        text = text.replace(long, name);
    }
    while let Some(from) = text.find("<text ") {
        let to = text[from..].find("</text>").unwrap() + from + "</text>".len();
        text.replace_range(from..to, "");
    }
    text = text
        .replace("<stream:error><", "[error ")
        .replace(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "]");
    match text.strip_prefix("<failure><").and_then(|rest| rest.split_once("/></failure>")) {
        Some((condition, rest)) => format!("[failure {condition}]{rest}"),
        None => text,
    }
}

fn header_with(root: Element, default_ns: &str) -> Header {
    Header { root, default_ns: Some(default_ns.to_owned()).filter(|ns| !ns.is_empty()) }
}

/// The first element's text, from base64.
fn challenge_of(transcript: &str) -> String {
    let from = transcript.find("<challenge>").expect("a challenge") + "<challenge>".len();
    let to = transcript.find("</challenge>").unwrap();
    String::from_utf8(STANDARD.decode(&transcript[from..to]).unwrap()).unwrap()
}

fn auth(mechanism: &str, initial: Option<&[u8]>) -> String {
    let data = match initial {
        None => String::new(),
        Some([]) => "=".to_owned(),
        Some(bytes) => STANDARD.encode(bytes),
    };
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
}

fn response(message: &[u8]) -> String {
    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>", STANDARD.encode(message))
}

/// The keys of [`PASSWORD`], or those of nobody's.
fn offer(hash: ScramHash, real: bool) -> ScramOffer {
    let password: &[u8] = if real { PASSWORD.as_bytes() } else { b"nobody's" };
    scram::offer(hash, password, b"salt of sixteen!", real)
}

/// HMAC-SHA-256 with [`TOKEN`].
fn token_hash(who: &[u8], binding: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(who);
    mac.update(binding);
    mac.finalize().into_bytes().to_vec()
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

const PASSWORD: &str = "secret";
const TOKEN: &str = "a token of the server's making";
const SERVER_NONCE: &str = "3rfcNHYJY1ZVvWVs7j";
const OPEN: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
