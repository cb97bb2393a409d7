//! What is said, and what is answered: RFC 6120 §4 to §7, line by line.

use super::*;

/// A dialogue: what the client says, and what comes of it.
#[track_caller]
fn check(talk: &mut Talk, dialogue: &[(&str, &str)]) {
    for (said, answered) in dialogue {
        assert_eq!(talk.say(said), *answered, "to {said}");
    }
}

#[test]
fn from_the_first_header_to_the_last_tag() {
    let mut talk = Talk::new(Channel::StartTls);
    check(
        &mut talk,
        &[
            (OPEN, "[header s1][offer tls]"),
            (
                "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>[tls]",
            ),
            (OPEN, "[header s2][offer SCRAM-SHA-256 SCRAM-SHA-512 SCRAM-SHA-1 OAUTHBEARER PLAIN]"),
            (
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>",
                "[password? alice@localhost]<success/>[authenticated alice@localhost]",
            ),
            (OPEN, "[header s3][offer bind]"),
            (
                "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
                "[bind? -]<iq id='1' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/made</jid></bind></iq>[established alice@localhost/made]",
            ),
            (
                "<message to='bob@localhost'><body>hi</body></message>",
                "[stanza <message xmlns='jabber:client' to='bob@localhost' from='alice@localhost/made'><body>hi</body></message>]",
            ),
            ("</stream:stream>", "[end][close]"),
        ],
    );
    assert!(talk.stream.is_closed());
    assert_eq!(talk.feed(Input::End), "");
}

#[test]
fn an_exchange_without_initial_response() {
    let mut talk = Talk::new(Channel::Tls);
    check(
        &mut talk,
        &[
            (OPEN, "[header s1][offer SCRAM-SHA-256 SCRAM-SHA-512 SCRAM-SHA-1 OAUTHBEARER PLAIN]"),
            ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>", "<challenge/>"),
            (
                "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGFsaWNlAHNlY3JldA==</response>",
                "[password? alice@localhost]<success/>[authenticated alice@localhost]",
            ),
        ],
    );
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    assert_eq!(talk.say(&auth("SCRAM-SHA-256", None)), "<challenge/>");
    let said = talk.say(&response(b"n,,n=alice,r=abc"));
    assert!(challenge_of(&said).starts_with(&format!("r=abc{SERVER_NONCE},s=")), "{said}");
}

#[test]
fn our_header_is_what_rfc_6120_wants() {
    let header = |attributes: &str| {
        let mut talk = Talk::new(Channel::StartTls);
        let outputs = talk.stream.handle(header_of(attributes, CLIENT_NS));
        let Some(Output::Write(bytes)) = outputs.first() else { panic!("nothing is written") };
        let text = String::from_utf8(bytes.clone()).unwrap();
        text[..text.find("'>").unwrap() + 2].to_owned()
    };
    assert_eq!(
        header("to='localhost' from='Alice@LOCALHOST/desk' version='1.0' xml:lang='de-CH'"),
        "<?xml version='1.0'?><stream:stream from='localhost' id='s1' to='alice@localhost' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    for (attributes, version) in [
        ("to='localhost' version='1.0'", Some("1.0")),
        ("to='localhost' version='1.7'", Some("1.0")),
        ("to='localhost' version='11.0'", Some("1.0")),
        ("to='localhost' version='01.00'", Some("1.0")),
        ("to='localhost' version='0.9'", Some("0.9")),
        ("to='localhost' version='one'", Some("1.0")),
        ("to='localhost'", None),
    ] {
        let said = header(attributes);
        match version {
            Some(version) => assert!(said.contains(&format!(" version='{version}' xml:lang")), "{said}"),
            None => assert_eq!(said.matches("version=").count(), 1, "{said}"),
        }
    }
}

#[test]
fn headers_right_and_wrong() {
    let two_hosts = || Options { hosts: vec![jid("localhost"), jid("b.example")], ..Options::default() };
    let one_host = Options::default;
    for (options, attributes, default_ns, outcome) in [
        (one_host(), "to='localhost' version='1.0'", CLIENT_NS, "[offer tls]"),
        (one_host(), "to='LocalHost.' version='1.0'", CLIENT_NS, "[offer tls]"),
        (one_host(), "version='1.0'", CLIENT_NS, "[offer tls]"),
        (one_host(), "to='localhost' version='1.10'", CLIENT_NS, "[offer tls]"),
        (one_host(), "to='localhost' version='2.0'", CLIENT_NS, "[offer tls]"),
        (one_host(), "to='localhost' version='1.0'", STREAMS_NS, "[offer tls]"),
        (two_hosts(), "to='localhost' version='1.0'", CLIENT_NS, "[offer tls]"),
        (two_hosts(), "version='1.0'", CLIENT_NS, "[error host-unknown]"),
        (one_host(), "to='elsewhere' version='1.0'", CLIENT_NS, "[error host-unknown]"),
        (one_host(), "to='alice@localhost' version='1.0'", CLIENT_NS, "[error improper-addressing]"),
        (one_host(), "to='localhost/x' version='1.0'", CLIENT_NS, "[error improper-addressing]"),
        (one_host(), "to='' version='1.0'", CLIENT_NS, "[error improper-addressing]"),
        (one_host(), "to='local host' version='1.0'", CLIENT_NS, "[error improper-addressing]"),
        (one_host(), "to='localhost' from='@' version='1.0'", CLIENT_NS, "[error improper-addressing]"),
        (one_host(), "to='localhost' version='0.9'", CLIENT_NS, "[error unsupported-version]"),
        (one_host(), "to='localhost'", CLIENT_NS, "[error unsupported-version]"),
        (one_host(), "to='localhost' version='1'", CLIENT_NS, "[error unsupported-version]"),
        (one_host(), "to='localhost' version='+1.0'", CLIENT_NS, "[error unsupported-version]"),
        (one_host(), "to='localhost' version='99999999999.0'", CLIENT_NS, "[error unsupported-version]"),
        (one_host(), "to='localhost' version='1.0'", "jabber:server", "[error invalid-namespace]"),
        (one_host(), "to='localhost' version='1.0'", "", "[error invalid-namespace]"),
    ] {
        let mut talk = Talk::with(Channel::StartTls, options);
        let said = talk.feed(header_of(attributes, default_ns));
        // Our own header goes first, whatever is wrong with theirs.
        let start = "<?xml version='1.0'?><stream:stream from='localhost' id='s1'";
        assert!(said.starts_with("[header s1") || said.starts_with(start), "{attributes}: {said}");
        let end = if outcome.starts_with("[error") { format!("{outcome}[end][close, linger]") } else { outcome.into() };
        assert!(said.ends_with(&end), "{attributes} {default_ns}: {said}");
    }
}

#[test]
fn what_is_no_stream_is_refused() {
    for (root, outcome) in [
        (Element::new("stream", "urn:other"), "[error invalid-namespace]"),
        (Element::new("stream", CLIENT_NS), "[error invalid-namespace]"),
        (Element::new("flood", STREAMS_NS), "[error bad-format]"),
    ] {
        let root = root.with_attr("to", "localhost").with_attr("version", "1.0");
        let said = Talk::new(Channel::Tls).feed(Input::Header(header_with(root, CLIENT_NS)));
        assert_eq!(said, format!("[header s1]{outcome}[end][close, linger]"));
    }
    assert_eq!(Talk::new(Channel::Tls).say("GET / HTTP/1.1"), "[header s1][error not-well-formed][end][close, linger]");
}

#[test]
fn a_second_header_and_an_element_before_the_first_are_refused() {
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    assert_eq!(
        talk.feed(header_of("to='localhost' version='1.0'", CLIENT_NS)),
        "[error bad-format][end][close, linger]"
    );
    let said = Talk::new(Channel::Tls).feed(Input::Element(Element::new("message", CLIENT_NS)));
    assert_eq!(said, "[header s1][error bad-format][end][close, linger]");
}

#[test]
fn limits_are_advertised_where_they_hold() {
    let options = Options {
        limits_unauthenticated: Limits { max_bytes: Some(8192), idle_seconds: None },
        limits: Limits { max_bytes: Some(262_144), idle_seconds: Some(60) },
        mechanisms: vec![Mechanism::Plain],
        ..Options::default()
    };
    let mut talk = Talk::with(Channel::Tls, options);
    let said = talk.say(OPEN);
    assert!(
        said.ends_with(
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>8192</max-bytes></limits></stream:features>"
        ),
        "{said}"
    );
    talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    let said = talk.say(OPEN);
    assert!(
        said.ends_with("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes><idle-seconds>60</idle-seconds></limits></stream:features>"),
        "{said}"
    );
}

#[test]
fn every_malformed_message_of_sasl_has_its_failure() {
    const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    for (said, failure) in [
        (format!("<auth {SASL}/>"), "invalid-mechanism"),
        (format!("<auth {SASL} mechanism=''>AGE=</auth>"), "invalid-mechanism"),
        (format!("<auth {SASL} mechanism='plain'>AGE=</auth>"), "invalid-mechanism"),
        (format!("<auth {SASL} mechanism='PLAIN'>=</auth>"), "malformed-request"),
        (format!("<auth {SASL} mechanism='SCRAM-SHA-1'>=</auth>"), "malformed-request"),
        (format!("<auth {SASL} mechanism='PLAIN'>AGFsaWNlAHNlY3JldA</auth>"), "incorrect-encoding"),
        (format!("<auth {SASL} mechanism='PLAIN'>AGFsaWNlAHNlY3JldB==</auth>"), "incorrect-encoding"),
        (format!("<auth {SASL} mechanism='PLAIN'> AGFsaWNlAHNlY3JldA== </auth>"), "incorrect-encoding"),
        (format!("<auth {SASL} mechanism='PLAIN'>AGFs_aWN-</auth>"), "incorrect-encoding"),
        (format!("<auth {SASL} mechanism='PLAIN'>==</auth>"), "incorrect-encoding"),
        (format!("<auth {SASL} mechanism='PLAIN'>é</auth>"), "incorrect-encoding"),
        (format!("<auth {SASL} mechanism='PLAIN'><x/>AGE=</auth>"), "malformed-request"),
        (auth("PLAIN", Some(b"alice")), "malformed-request"),
        (auth("PLAIN", Some(b"\0\0secret")), "malformed-request"),
        (auth("PLAIN", Some(&[b'a'; 9000])), "malformed-request"),
        (auth("PLAIN", Some(b"\0al ice\0secret")), "not-authorized"),
        (auth("PLAIN", Some(b"\0alice@localhost\0secret")), "not-authorized"),
        (auth("SCRAM-SHA-256", Some(b"n,,n=al ice,r=abc")), "not-authorized"),
        (auth("SCRAM-SHA-256", Some(b"n,,n=alice")), "malformed-request"),
        (response(b"x"), "malformed-request"),
        (format!("<abort {SASL}/>"), "aborted"),
        (format!("<success {SASL}/>"), "malformed-request"),
        (format!("<nonsense {SASL}/>"), "malformed-request"),
    ] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        assert_eq!(talk.say(&said), format!("[failure {failure}]"), "to {said}");
        // It is a failed attempt, and the next one may succeed.
        assert!(talk.say(&auth("PLAIN", Some(b"\0alice\0secret"))).contains("[authenticated alice@localhost]"));
    }
}

#[test]
fn an_exchange_can_be_aborted_replaced_or_spoilt() {
    let begin = || {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        assert!(
            talk.say(&auth("SCRAM-SHA-256", Some(b"n,,n=alice,r=abc")))
                .starts_with("[scram? alice@localhost]<challenge>")
        );
        talk
    };
    assert_eq!(begin().say("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), "[failure aborted]");
    let said = begin().say(&auth("PLAIN", Some(b"\0alice\0secret")));
    assert_eq!(said, "[password? alice@localhost]<success/>[authenticated alice@localhost]");
    let said = begin().say("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>!</response>");
    assert_eq!(said, "[failure incorrect-encoding]");
    assert_eq!(begin().say("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), "[failure malformed-request]");
    let said = begin().say("<message to='bob@localhost'/>");
    assert_eq!(said, "[error not-authorized][end][close, linger]");
    let mut talk = begin();
    assert_eq!(talk.say(&response(b"c=biws,r=abc,p=AAAA")), "[failure not-authorized]");
    assert_eq!(talk.scram_ended, [false]);
}

#[test]
fn what_access_says_is_passed_on() {
    for (denial, failure) in [
        (Denial::Wrong, "[failure not-authorized]"),
        (Denial::Later, "[failure temporary-auth-failure]"),
        (Denial::Expired, "[failure credentials-expired]"),
    ] {
        for said in [auth("PLAIN", Some(b"\0alice\0secret")), auth("SCRAM-SHA-1", Some(b"n,,n=alice,r=abc"))] {
            let mut talk = Talk::new(Channel::Tls);
            talk.denial = Some(denial);
            talk.say(OPEN);
            assert!(talk.say(&said).ends_with(failure), "{denial:?} to {said}");
        }
    }
}

#[test]
fn resources_are_bound_refused_and_bound_once() {
    let ask = |resource: &str| {
        format!("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind></iq>")
    };
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    talk.say(OPEN);
    talk.refusals = vec![BindRefusal::Conflict, BindRefusal::TooManySessions, BindRefusal::NotAllowed];
    let refused = |kind: &str, condition: &str| {
        format!(
            "<iq id='b' type='error'><error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
    };
    assert_eq!(talk.say(&ask("<resource>a</resource>")), format!("[bind? a]{}", refused("modify", "conflict")));
    assert_eq!(talk.say(&ask("<resource/>")), format!("[bind? -]{}", refused("wait", "resource-constraint")));
    assert_eq!(talk.say(&ask("")), format!("[bind? -]{}", refused("cancel", "not-allowed")));
    assert_eq!(talk.say(&ask("<resource>a\u{ad}b</resource>")), refused("modify", "bad-request"));
    // A full-width letter is prepared as RFC 7622 §3.4 wants it: kept.
    assert!(talk.say(&ask("<resource>ａ</resource>")).ends_with("[established alice@localhost/ａ]"));
    assert_eq!(talk.say(&ask("")), refused("cancel", "not-allowed"));
    let said =
        talk.say("<iq type='set' id='s' to='localhost'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    assert_eq!(said, "<iq id='s' type='result'/>");
    // Not ours to answer: it is addressed to somebody else.
    let said = talk
        .say("<iq type='set' id='s' to='bob@localhost'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    assert!(said.starts_with("[stanza <iq"), "{said}");
}

#[test]
fn attempts_to_bind_are_numbered() {
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    talk.say(OPEN);
    let ask = format!(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{}</resource></bind></iq>",
        "r".repeat(1024)
    );
    for _ in 0..5 {
        assert!(talk.say(&ask).ends_with("</error></iq>"));
    }
    assert!(talk.say(&ask).ends_with("</error></iq>[error policy-violation][end][close, linger]"));
}

#[test]
fn only_binding_is_done_before_binding() {
    for said in [
        "<message to='bob@localhost'/>",
        "<presence/>",
        "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<enable xmlns='urn:xmpp:sm:2'/>",
    ] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
        talk.say(OPEN);
        assert_eq!(talk.say(said), "[error not-authorized][end][close, linger]", "{said}");
    }
}

#[test]
fn first_level_elements_are_stanzas_or_the_end() {
    let mut talk = Talk::established();
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    let said = talk.say(compress);
    assert_eq!(said, "<failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>");
    for said in [
        "<pubsub/>",
        "<message xmlns='jabber:server'/>",
        "<message xmlns='urn:other'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
        "<enable xmlns='urn:xmpp:sm:2'/>",
        "<stream:stream to='localhost' version='1.0'/>",
        "<stream:features/>",
    ] {
        let answered = Talk::established().say(said);
        assert_eq!(answered, "[error unsupported-stanza-type][end][close, linger]", "{said}");
    }
    let peer_error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert_eq!(Talk::established().say(peer_error), "[end][close, linger]");
}

#[test]
fn prefixes_do_not_matter() {
    let mut talk = Talk::established();
    let said = talk.say("<c:message xmlns:c='jabber:client' to='bob@localhost'><c:body>hi</c:body></c:message>");
    assert_eq!(talk.stanzas[0], {
        let mut plain = Talk::established();
        plain.say("<message to='bob@localhost'><body>hi</body></message>");
        plain.stanzas.remove(0)
    });
    assert!(said.starts_with("[stanza <message xmlns='jabber:client'"), "{said}");
}

#[test]
fn stanzas_come_from_their_sender() {
    for from in ["", " from='alice@localhost'", " from='alice@localhost/here'", " from='ALICE@localhost/here'"] {
        let mut talk = Talk::established();
        talk.say(&format!("<presence{from}/>"));
        assert_eq!(talk.stanzas[0].attr("from"), Some("alice@localhost/here"), "{from}");
    }
    for from in ["alice@localhost/there", "bob@localhost", "localhost", "", "@", "alice@localhost/"] {
        let said = Talk::established().say(&format!("<presence from='{from}'/>"));
        assert_eq!(said, "[error invalid-from][end][close, linger]", "{from}");
    }
}

#[test]
fn the_language_of_a_stream_is_remembered() {
    for (language, remembered) in [("xml:lang='de-CH'", Some("de-CH")), ("", None), ("xml:lang='&#39;&gt;'", None)] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(&OPEN.replace("version='1.0' xmlns", &format!("version='1.0' {language} xmlns")));
        assert_eq!(talk.stream.language(), remembered, "{language}");
    }
}

#[test]
fn a_stream_is_closed_from_this_side_in_every_state() {
    let shutdown = |talk: &mut Talk| {
        let outputs = talk.stream.close_with(&StreamCondition::SystemShutdown.into());
        talk.carry_out(outputs)
    };
    let mut talk = Talk::new(Channel::StartTls);
    assert_eq!(shutdown(&mut talk), "[header s1][error system-shutdown][end][close, linger]");
    assert_eq!(shutdown(&mut talk), "", "once is enough");

    let mut talk = Talk::new(Channel::StartTls);
    talk.say(OPEN);
    assert_eq!(shutdown(&mut talk), "[error system-shutdown][end][close, linger]");

    // A restart is due: the stream before is gone, the next has no header yet.
    let mut talk = Talk::new(Channel::StartTls);
    talk.say(OPEN);
    talk.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(shutdown(&mut talk), "[header s2][error system-shutdown][end][close, linger]");

    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    assert_eq!(talk.feed(Input::Timeout), "[header s2][error connection-timeout][end][close, linger]");

    let mut talk = Talk::established();
    let outputs = talk.stream.close();
    assert_eq!(talk.carry_out(outputs), "[end][close, linger]");
    let outputs = Talk::new(Channel::Tls).stream.close();
    assert_eq!(talk.carry_out(outputs), "[close]");
}

#[test]
fn no_xml_is_written_while_tls_is_due() {
    for input in [Input::Timeout, Input::TlsFailed, Input::End, Input::Element(Element::new("iq", CLIENT_NS))] {
        let mut talk = Talk::new(Channel::StartTls);
        talk.say(OPEN);
        let outputs = talk.stream.handle(Input::Element(Element::new("starttls", TLS_NS)));
        assert!(matches!(outputs.last(), Some(Output::StartTls)));
        assert_eq!(talk.stream.host(), Some(&jid("localhost")), "the certificate is chosen by it");
        assert_eq!(talk.feed(input), "[close]");
    }
}

#[test]
fn answers_to_no_question_open_nothing() {
    for input in [
        Input::TlsDone(Box::default()),
        Input::Inlined(Box::default()),
        Input::Credentials(Answer::Token(Vec::new())),
        Input::Credentials(Answer::Account(jid("alice@localhost"))),
        Input::Credentials(Answer::Right),
        Input::Credentials(Answer::Scram(offer(ScramHash::Sha1, true))),
        Input::Bound(jid("alice@localhost").with_resource("x").unwrap()),
        Input::BindRefused(BindRefusal::Conflict),
    ] {
        let mut talk = Talk::new(Channel::Tls);
        talk.say(OPEN);
        assert_eq!(talk.feed(input), "[error internal-server-error][end][close, linger]");
        assert_eq!(talk.authenticated, None);
    }
    // The answer to another question than the one that was asked.
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    let auth = Element::new("auth", SASL_NS)
        .with_attr("mechanism", "SCRAM-SHA-1")
        .with_text(STANDARD.encode("n,,n=alice,r=abc"));
    assert!(matches!(talk.stream.handle(Input::Element(auth)).as_slice(), [Output::AskScram { .. }]));
    assert!(talk.stream.awaits_answer());
    let said = talk.feed(Input::Credentials(Answer::Right));
    assert_eq!(said, "[error internal-server-error][end][close, linger]");
}

#[test]
fn stream_management_stands_where_it_may() {
    let mut talk = Talk::established();
    assert_eq!(talk.say("<r xmlns='urn:xmpp:sm:3'/>"), failed("unexpected-request"));
    assert_eq!(talk.say("<resume xmlns='urn:xmpp:sm:3' previd='known' h='1'/>"), failed("unexpected-request"));
    assert_eq!(talk.say("<enable xmlns='urn:xmpp:sm:3' resume='true' max='9'/>"), "[enable true Some(9)]");
    assert_eq!(talk.say("<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='3'/>"), "[acks?][acknowledged 3]");
    assert_eq!(talk.say("<a xmlns='urn:xmpp:sm:3'/>"), failed("bad-request"));
    let again = talk.say("<enable xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(again, failed("unexpected-request") + "[error policy-violation][end][close, linger]");
}

#[test]
fn a_session_is_resumed_in_place_of_binding_and_after_a_refusal_the_client_may_bind() {
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    assert!(talk.say("<resume xmlns='urn:xmpp:sm:3' previd='known' h='1'/>").contains("[error not-authorized]"));
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    talk.say(OPEN);
    assert_eq!(talk.say("<enable xmlns='urn:xmpp:sm:3'/>"), failed("unexpected-request"));
    let refused = talk.say("<resume xmlns='urn:xmpp:sm:3' previd='unknown' h='1'/>");
    assert_eq!(refused, format!("[resume? unknown 1]{}", failed("item-not-found")));
    let resumed = talk.say("<resume xmlns='urn:xmpp:sm:3' previd='known' h='1'/>");
    assert_eq!(
        resumed,
        "[resume? known 1]<resumed xmlns='urn:xmpp:sm:3' previd='known' h='7'/>[established alice@localhost/before]"
    );
    assert_eq!(talk.say("<r xmlns='urn:xmpp:sm:3'/>"), "[acks?]");
}

fn failed(condition: &str) -> String {
    format!("<failed xmlns='urn:xmpp:sm:3'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
}

#[test]
fn stream_errors_are_written_as_they_are_defined() {
    use StreamCondition::*;
    let all = [
        (BadFormat, "bad-format"),
        (BadNamespacePrefix, "bad-namespace-prefix"),
        (Conflict, "conflict"),
        (ConnectionTimeout, "connection-timeout"),
        (HostGone, "host-gone"),
        (HostUnknown, "host-unknown"),
        (ImproperAddressing, "improper-addressing"),
        (InternalServerError, "internal-server-error"),
        (InvalidFrom, "invalid-from"),
        (InvalidNamespace, "invalid-namespace"),
        (InvalidXml, "invalid-xml"),
        (NotAuthorized, "not-authorized"),
        (NotWellFormed, "not-well-formed"),
        (PolicyViolation, "policy-violation"),
        (RemoteConnectionFailed, "remote-connection-failed"),
        (Reset, "reset"),
        (ResourceConstraint, "resource-constraint"),
        (RestrictedXml, "restricted-xml"),
        (SystemShutdown, "system-shutdown"),
        (UndefinedCondition, "undefined-condition"),
        (UnsupportedEncoding, "unsupported-encoding"),
        (UnsupportedFeature, "unsupported-feature"),
        (UnsupportedStanzaType, "unsupported-stanza-type"),
        (UnsupportedVersion, "unsupported-version"),
    ];
    let written = |error: StreamError| String::from_utf8(error.render()).unwrap();
    for (condition, name) in all {
        assert_eq!(
            written(condition.into()),
            format!("<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
        );
    }
    assert_eq!(
        written(SeeOtherHost("b.example:5222".to_owned()).into()),
        "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>b.example:5222</see-other-host></stream:error>"
    );
    let too_big =
        PolicyViolation.because("too <big>").with_application(Element::new("stanza-too-big", "urn:xmpp:errors"));
    assert_eq!(
        written(too_big),
        "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>too &lt;big&gt;</text><stanza-too-big xmlns='urn:xmpp:errors'/></stream:error>"
    );
}

fn header_of(attributes: &str, default_ns: &str) -> Input {
    let text = format!("<s:stream xmlns:s='{STREAMS_NS}' {attributes}>");
    let mut parser = Parser::new(xml::Limits::authenticated());
    match parser.feed(&mut text.as_bytes()).unwrap() {
        Some(XmlEvent::StreamStart { header, .. }) => Input::Header(header_with(header, default_ns)),
        other => panic!("{other:?}"),
    }
}
