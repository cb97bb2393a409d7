//! The attacks on streams and SASL, each as input and outcome (rows T1 to T5, T9, X10, X13).

use super::*;

#[test]
fn t1_what_was_learned_in_the_clear_is_forgotten() {
    let options = Options { hosts: vec![jid("localhost"), jid("b.example")], ..Options::default() };
    let mut talk = Talk::with(Channel::StartTls, options);
    talk.say(&OPEN.replace("to='localhost'", "to='b.example' from='victim@b.example' xml:lang='de'"));
    assert_eq!(talk.stream.host(), Some(&jid("b.example")));
    talk.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!((talk.stream.host(), talk.stream.language()), (None, None));
    // Another host, and nobody in particular: as if nothing had been said.
    assert!(talk.say(OPEN).starts_with("[header s2][offer "));
    let said = talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    assert_eq!(said, "[password? alice@localhost]<success/>[authenticated alice@localhost]");
}

#[test]
fn t1_nothing_is_read_until_tls_is_done() {
    let mut talk = Talk::new(Channel::StartTls);
    talk.say(OPEN);
    let outputs = talk.stream.handle(Input::Element(Element::new("starttls", TLS_NS)));
    assert!(matches!(outputs.as_slice(), [Output::Write(_), Output::StartTls]));
    assert!(talk.stream.awaits_answer());
    // A session that feeds it all the same gets the connection closed, and no XML written.
    let auth = Element::new("auth", SASL_NS).with_attr("mechanism", "PLAIN").with_text("AGFsaWNlAHNlY3JldA==");
    assert_eq!(talk.feed(Input::Element(auth)), "[close]");
}

#[test]
fn t2_before_tls_there_is_only_tls() {
    for said in [auth("PLAIN", Some(b"\0alice\0secret")), auth("SCRAM-SHA-256", Some(b"n,,n=alice,r=abc"))] {
        let mut talk = Talk::new(Channel::StartTls);
        assert_eq!(talk.say(OPEN), "[header s1][offer tls]");
        assert_eq!(talk.say(&said), "[failure encryption-required][end][close, linger]");
    }
    for said in [
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>",
        "<message to='alice@localhost'><body>hi</body></message>",
        "<presence/>",
        "<db:result xmlns:db='jabber:server:dialback' to='localhost' from='evil.example'>k</db:result>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    ] {
        let mut talk = Talk::new(Channel::StartTls);
        talk.say(OPEN);
        assert_eq!(talk.say(said), "[error not-authorized][end][close, linger]", "{said}");
        assert!(talk.stanzas.is_empty());
    }
}

#[test]
fn t2_before_authentication_there_is_only_sasl() {
    for said in [
        "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>",
        "<message to='alice@localhost'><body>hi</body></message>",
        "<db:result xmlns:db='jabber:server:dialback' to='localhost' from='evil.example'>k</db:result>",
    ] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        assert_eq!(talk.say(said), "[error not-authorized][end][close, linger]", "{said}");
        assert!(talk.stanzas.is_empty());
    }
}

#[test]
fn tls_is_negotiated_once() {
    let refused = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>[end][close, linger]";
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let mut talk = Talk::new(Channel::StartTls);
    for said in [OPEN, starttls, OPEN] {
        talk.say(said);
    }
    assert_eq!(talk.say(starttls), refused);
    assert_eq!(Talk::established().say(starttls), refused);
    // A malformed command.
    let mut talk = Talk::new(Channel::StartTls);
    talk.say(OPEN);
    assert_eq!(talk.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><x/></starttls>"), refused);
}

#[test]
fn t3_what_was_not_offered_is_not_accepted() {
    let options =
        Options { mechanisms: vec![Mechanism::Scram(ScramHash::Sha256), Mechanism::Plain], ..Options::default() };
    for mechanism in [
        "DIGEST-MD5",
        "CRAM-MD5",
        "EXTERNAL",
        "ANONYMOUS",
        "LOGIN",
        "OAUTHBEARER",
        "SCRAM-SHA-1",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256-PLUS",
        "scram-sha-256",
        "",
    ] {
        let mut talk = Talk::with(Channel::Tls, options.clone());
        assert_eq!(talk.say(OPEN), "[header s1][offer SCRAM-SHA-256 PLAIN]");
        assert_eq!(talk.say(&auth(mechanism, Some(b"n,,n=alice,r=abc"))), "[failure invalid-mechanism]", "{mechanism}");
    }
    // In the clear, by the operator's leave: everything but the password itself.
    let mut talk = Talk::with(Channel::Clear, options);
    assert_eq!(talk.say(OPEN), "[header s1][offer SCRAM-SHA-256]");
    assert_eq!(talk.say(&auth("PLAIN", Some(b"\0alice\0secret"))), "[failure encryption-required]");
}

#[test]
fn t4_nobody_acts_for_another() {
    for (mechanism, message, outcome) in [
        ("PLAIN", "victim@localhost\0alice\0secret", Err(())),
        ("PLAIN", "alice\0alice\0secret", Err(())),
        ("PLAIN", "alice@elsewhere\0alice\0secret", Err(())),
        ("PLAIN", "alice@localhost/here\0alice\0secret", Err(())),
        ("PLAIN", "@\0alice\0secret", Err(())),
        ("PLAIN", "alice@localhost\0alice\0secret", Ok(())),
        ("PLAIN", "ALICE@LOCALHOST\0alice\0secret", Ok(())),
        ("PLAIN", "\0ALICE\0secret", Ok(())),
        ("SCRAM-SHA-256", "n,a=victim@localhost,n=alice,r=abc", Err(())),
        ("SCRAM-SHA-256", "n,a=alice,n=alice,r=abc", Err(())),
        ("SCRAM-SHA-256", "n,a=alice@localhost=2Cvictim@localhost,n=alice,r=abc", Err(())),
        ("SCRAM-SHA-256", "n,a=alice@localhost,n=alice,r=abc", Ok(())),
    ] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        let said = talk.say(&auth(mechanism, Some(message.as_bytes())));
        match outcome {
            Err(()) => assert_eq!(said, "[failure invalid-authzid]", "{message}"),
            Ok(()) => assert!(said.contains("alice@localhost") && !said.contains("failure"), "{message}: {said}"),
        }
    }
}

#[test]
fn t4_the_address_of_the_header_must_prove_true() {
    let claim = |jid: &str| OPEN.replace("to='localhost'", &format!("to='localhost' from='{jid}'"));
    for (from, outcome) in [
        ("alice@localhost", "<success/>[authenticated alice@localhost]"),
        ("Alice@Localhost/desk", "<success/>[authenticated alice@localhost]"),
        ("victim@localhost", "[error invalid-from][end][close, linger]"),
        ("localhost", "[error invalid-from][end][close, linger]"),
    ] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(&claim(from));
        let said = talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
        assert_eq!(said, format!("[password? alice@localhost]{outcome}"), "{from}");
    }
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    assert!(talk.say(&claim("victim@localhost")).ends_with("[error invalid-from][end][close, linger]"));
}

#[test]
fn t5_a_used_proof_proves_nothing() {
    let nonce = format!("abc{SERVER_NONCE}");
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    let challenge = challenge_of(&talk.say(&auth("SCRAM-SHA-256", Some(b"n,,n=alice,r=abc"))));
    let auth_message = format!("n=alice,r=abc,{challenge},c=biws,r={nonce}");
    let proof = scram::proof(ScramHash::Sha256, PASSWORD.as_bytes(), b"salt of sixteen!", &auth_message);
    let last = format!("c=biws,r={nonce},p={proof}");
    let said = talk.say(&response(last.as_bytes()));
    assert!(said.contains("<success>") && said.ends_with("[authenticated alice@localhost]"), "{said}");

    // The same last message, upon another nonce of the client's and upon no exchange at all.
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    talk.say(&auth("SCRAM-SHA-256", Some(b"n,,n=alice,r=def")));
    assert_eq!(talk.say(&response(last.as_bytes())), "[failure not-authorized]");
    assert_eq!(talk.say(&response(last.as_bytes())), "[failure malformed-request]");
    assert_eq!(talk.authenticated, None);
    assert_eq!(talk.scram_ended, [false]);
}

#[test]
fn t6_nobody_learns_who_exists() {
    let converse = |user: &str| {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        let first = talk.say(&auth("SCRAM-SHA-256", Some(format!("n,,n={user},r=abc").as_bytes())));
        let proof = STANDARD.encode([0; 32]);
        let last = talk.say(&response(format!("c=biws,r=abc{SERVER_NONCE},p={proof}").as_bytes()));
        let plain = talk.say(&auth("PLAIN", Some(format!("\0{user}\0wrong").as_bytes())));
        (first.replace(user, "USER"), last.replace(user, "USER"), plain.replace(user, "USER"))
    };
    assert_eq!(converse("alice"), converse("ghost"));
}

#[test]
fn t9_the_host_stays_when_the_stream_restarts() {
    let options = || Options { hosts: vec![jid("localhost"), jid("b.example")], ..Options::default() };
    for (to, outcome) in [
        ("to='localhost'", "[offer bind]"),
        ("", "[offer bind]"),
        ("to='b.example'", "[error not-authorized][end][close, linger]"),
        ("to='c.example'", "[error host-unknown][end][close, linger]"),
    ] {
        let mut talk = Talk::with(Channel::Tls, options());
        talk.say(OPEN);
        talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
        assert_eq!(talk.say(&OPEN.replace("to='localhost'", to)), format!("[header s2]{outcome}"), "{to}");
    }
}

#[test]
fn t14_attempts_are_numbered() {
    let wrong = auth("PLAIN", Some(b"\0alice\0wrong"));
    let begun = auth("SCRAM-SHA-256", Some(b"n,,n=alice,r=abc"));
    let over = "[error policy-violation][end][close, linger]";
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    for _ in 1..AUTH_FAILURES_MAX {
        assert_eq!(talk.say(&wrong), "[password? alice@localhost][failure not-authorized]");
    }
    assert_eq!(talk.say(&wrong), format!("[password? alice@localhost][failure not-authorized]{over}"));
    // To begin anew, without ever finishing, is no way around it.
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    for _ in 0..AUTH_FAILURES_MAX {
        assert!(talk.say(&begun).contains("<challenge>"));
    }
    assert_eq!(talk.say(&begun), over);
}

#[test]
fn x10_x13_namespaces_and_compression() {
    let header = OPEN.replace("xmlns='jabber:client'", "xmlns='jabber:server'");
    assert!(Talk::new(Channel::Tls).say(&header).ends_with("[error invalid-namespace][end][close, linger]"));
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    let refused = "<failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>";
    assert_eq!(talk.say(compress), refused);
}

#[test]
fn secrets_are_not_printed() {
    let password = Output::AskPassword { account: jid("alice@localhost"), password: Password::new(PASSWORD) };
    let keys = Input::Credentials(Answer::Scram(offer(ScramHash::Sha1, true)));
    assert!(!format!("{password:?}").contains(PASSWORD));
    assert_eq!(format!("{keys:?}"), "Credentials(Scram(ScramOffer { iterations: 4096 }))");
}

/// XEP-0077 §3.1.1: under TLS alone, where it is offered, and never for those who come without an account.
#[test]
fn accounts_are_made_where_that_is_offered() {
    let asked = |name: &str| {
        format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>\
             <password>secret</password></query></iq>"
        )
    };
    let options = Options { register: true, ..Options::default() };
    let mut talk = Talk::with(Channel::Tls, options.clone());
    talk.say(OPEN);
    assert!(talk.say(&asked("alice")).starts_with("[register? alice@localhost]"));
    assert_eq!(talk.say(&asked("New")), "[register? new@localhost]<iq id='r' type='result'/>");
    assert_eq!(talk.stream.account(), None, "whoever has made an account has not proved that it is his");
    let nobody = Options { anonymous: Some(jid("localhost")), ..options.clone() };
    for (channel, options) in
        [(Channel::Tls, Options::default()), (Channel::Clear, options.clone()), (Channel::Tls, nobody)]
    {
        let mut talk = Talk::with(channel, options);
        talk.say(OPEN);
        assert_eq!(talk.say(&asked("new")), "[error not-authorized][end][close, linger]");
    }
    let mut talk = Talk::with(Channel::StartTls, options);
    talk.say(OPEN);
    assert_eq!(talk.say(&asked("new")), "[error not-authorized][end][close, linger]");
}
