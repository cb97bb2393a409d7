//! A client that is not ours: rsasl speaks, the machine answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::scram::{SCRAM_SHA1_PLUS, SCRAM_SHA256_PLUS, SCRAM_SHA512_PLUS};
use rsasl::mechname::Mechname;
use rsasl::prelude::{Registry, SASLClient, SessionError, State};
use rsasl::property::{AuthId, ChannelBindingName, ChannelBindings, OverrideCBType, Password};

use super::*;

const WITH_A_PASSWORD: [Mechanism; 4] = [
    Mechanism::Scram(ScramHash::Sha1),
    Mechanism::Scram(ScramHash::Sha256),
    Mechanism::Scram(ScramHash::Sha512),
    Mechanism::Plain,
];

/// The whole conversation of one handshake; what the client thinks of it, and what the server says last.
fn handshake(mechanism: &str, authzid: Option<&str>, user: &str, password: &str) -> (Talk, bool, String) {
    let config =
        SASLConfig::with_credentials(authzid.map(str::to_owned), user.to_owned(), password.to_owned()).unwrap();
    converse(config, Talk::with(Channel::Tls, unshown()), mechanism)
}

/// rsasl passes over what it does not know in the challenge, and does not sign it either, which RFC 5802
/// §3 demands: so it cannot be shown what was offered.
fn unshown() -> Options {
    Options { show_offer: false, ..Options::default() }
}

fn converse(config: Arc<SASLConfig>, mut talk: Talk, mechanism: &str) -> (Talk, bool, String) {
    let name = Mechname::parse(mechanism.as_bytes()).unwrap();
    let mut client = SASLClient::new(config).start_suggested(&[name]).unwrap();
    talk.say(OPEN);
    let mut first = Vec::new();
    let mut state = client.step(None, &mut first).unwrap();
    let mut said = talk.say(&auth(mechanism, Some(&first)));
    for _ in 0..4 {
        if said.contains("<challenge>") {
            let mut message = Vec::new();
            state = client.step(Some(challenge_of(&said).as_bytes()), &mut message).unwrap();
            said = talk.say(&response(&message));
        } else if let Some(data) = said.split("<success>").nth(1) {
            let data = STANDARD.decode(data.split("</success>").next().unwrap()).unwrap();
            let satisfied = client.step(Some(&data), &mut Vec::new()).is_ok();
            return (talk, satisfied, said);
        } else {
            break;
        }
    }
    (talk, matches!(state, State::Finished(_)), said)
}

#[test]
fn rsasl_authenticates_with_every_mechanism() {
    for mechanism in WITH_A_PASSWORD {
        for authzid in [None, Some("alice@localhost")] {
            let (talk, satisfied, said) = handshake(mechanism.name(), authzid, "alice", PASSWORD);
            assert_eq!(talk.authenticated, Some(jid("alice@localhost")), "{mechanism:?} {authzid:?}: {said}");
            assert!(satisfied, "{mechanism:?}: the client refuses the server's signature");
            let ended: &[bool] = if mechanism == Mechanism::Plain { &[] } else { &[true] };
            assert_eq!(talk.scram_ended, ended, "{mechanism:?}");
        }
    }
}

#[test]
fn rsasl_is_refused_with_every_mechanism() {
    for mechanism in WITH_A_PASSWORD {
        for (authzid, user, password, failure) in [
            (None, "alice", "wrong", "[failure not-authorized]"),
            (None, "nobody", PASSWORD, "[failure not-authorized]"),
            (None, "nobody", "nobody's", "[failure not-authorized]"),
            (Some("bob@localhost"), "alice", PASSWORD, "[failure invalid-authzid]"),
            (Some("alice@elsewhere"), "alice", PASSWORD, "[failure invalid-authzid]"),
        ] {
            let (talk, _, said) = handshake(mechanism.name(), authzid, user, password);
            assert_eq!(talk.authenticated, None, "{mechanism:?} {user}");
            assert!(said.ends_with(failure), "{mechanism:?} {user} {authzid:?}: {said}");
        }
    }
}

/// A client that binds to a channel of its own.
struct Binds {
    kind: &'static str,
    data: &'static [u8],
}

impl SessionCallback for Binds {
    fn callback(&self, _: &SessionData, context: &Context, request: &mut Request) -> Result<(), SessionError> {
        request.satisfy::<AuthId>("alice")?.satisfy::<Password>(PASSWORD.as_bytes())?;
        request.satisfy::<OverrideCBType>(self.kind)?;
        if context.get_ref::<ChannelBindingName>() == Some(self.kind) {
            request.satisfy::<ChannelBindings>(self.data)?;
        }
        Ok(())
    }

    fn enable_channel_binding(&self) -> bool {
        true
    }
}

#[test]
fn rsasl_binds_to_the_channel() {
    for (mechanism, kind, data, outcome) in [
        ("SCRAM-SHA-1-PLUS", "tls-exporter", &[1; 32][..], true),
        ("SCRAM-SHA-256-PLUS", "tls-exporter", &[1; 32][..], true),
        ("SCRAM-SHA-512-PLUS", "tls-exporter", &[1; 32][..], true),
        ("SCRAM-SHA-256-PLUS", "tls-server-end-point", &[2; 32][..], true),
        // Another channel than the server's: somebody stands between.
        ("SCRAM-SHA-256-PLUS", "tls-exporter", &[2; 32][..], false),
        ("SCRAM-SHA-256-PLUS", "tls-server-end-point", &[1; 32][..], false),
        ("SCRAM-SHA-256-PLUS", "tls-unique", &[1; 32][..], false),
    ] {
        let registry =
            Registry::with_mechanisms(Box::leak(Box::new([SCRAM_SHA1_PLUS, SCRAM_SHA256_PLUS, SCRAM_SHA512_PLUS])));
        let config = SASLConfig::builder().with_registry(registry).with_callback(Binds { kind, data }).unwrap();
        let mut talk = Talk::with(Channel::Tls, unshown());
        talk.stream = talk.stream.with_secured(Secured {
            exporter: Some(vec![1; 32]),
            end_point: Some(vec![2; 32]),
            certified: Vec::new(),
        });
        let (talk, satisfied, said) = converse(config, talk, mechanism);
        assert_eq!(talk.authenticated.is_some(), outcome, "{mechanism} {kind}: {said}");
        assert_eq!(satisfied, outcome, "{mechanism} {kind}");
    }
}
