//! A client that is not ours: rsasl speaks, the machine answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, State};

use super::*;

/// The whole conversation of one handshake; what the client thinks of it, and what the server says last.
fn handshake(mechanism: &str, authzid: Option<&str>, user: &str, password: &str) -> (Talk, bool, String) {
    let config =
        SASLConfig::with_credentials(authzid.map(str::to_owned), user.to_owned(), password.to_owned()).unwrap();
    let name = Mechname::parse(mechanism.as_bytes()).unwrap();
    let mut client = SASLClient::new(config).start_suggested(&[name]).unwrap();

    let mut talk = Talk::new(Channel::Tls);
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
    for mechanism in Mechanism::ALL {
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
    for mechanism in Mechanism::ALL {
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
