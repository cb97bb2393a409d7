//! SASL2, Bind 2 and FAST (XEP-0388, XEP-0386, XEP-0484), and the mechanisms that need more than a
//! password.

use super::*;

fn secured() -> Secured {
    Secured { exporter: Some(vec![1; 32]), end_point: Some(vec![2; 32]), certified: Vec::new() }
}

fn talk_over(secured: Secured, options: Options) -> Talk {
    let mut talk = Talk::with(Channel::Tls, options);
    talk.stream = talk.stream.with_secured(secured);
    talk
}

fn authenticate(mechanism: &str, initial: &[u8], inline: &str) -> String {
    let initial = STANDARD.encode(initial);
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{initial}</initial-response>\
         {inline}</authenticate>"
    )
}

/// What the server writes, nothing left out.
fn written(talk: &mut Talk, text: &str) -> String {
    let mut parser = Parser::new(xml::Limits::authenticated());
    let mut bytes = text.as_bytes();
    let Some(XmlEvent::StreamStart { header, default_ns }) = parser.feed(&mut bytes).unwrap() else {
        panic!("a header")
    };
    let outputs = talk.stream.handle(Input::Header(header_with(header, &default_ns)));
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Write(bytes) => Some(String::from_utf8(bytes.clone()).unwrap()),
            _ => None,
        })
        .collect()
}

const AGENT: &str = "<user-agent id='D4565fa7-4d72-4749-b3d3-740edbf87770'><software>S</software></user-agent>";
const FEATURES_BIND: &str = "[offer bind]";

#[test]
fn what_is_offered_fits_the_channel() {
    let options = Options {
        mechanisms: vec![
            Mechanism::External,
            Mechanism::ScramPlus(ScramHash::Sha256),
            Mechanism::Scram(ScramHash::Sha256),
        ],
        bind_features: vec!["urn:example:feature"],
        ..Options::default()
    };
    let said = written(&mut talk_over(secured(), options.clone()), OPEN);
    let features = said.split("<stream:features>").nth(1).unwrap();
    assert_eq!(
        features,
        "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
         <channel-binding type='tls-server-end-point'/></sasl-channel-binding>\
         <authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
         <mechanism>SCRAM-SHA-256</mechanism><inline><bind xmlns='urn:xmpp:bind:0'><inline>\
         <feature var='urn:xmpp:sm:3'/><feature var='urn:xmpp:csi:0'/><feature var='urn:example:feature'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/>\
         <fast xmlns='urn:xmpp:fast:0'>\
         <mechanism>HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-ENDP</mechanism>\
         <mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
         <mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>"
    );
    // TLS that ends elsewhere: nothing to bind to.
    let said = written(&mut Talk::with(Channel::Tls, options.clone()), OPEN);
    assert!(!said.contains("PLUS") && !said.contains("sasl-cb") && !said.contains("EXPR"), "{said}");
    assert!(said.contains("<mechanism>HT-SHA-256-NONE</mechanism></fast>"), "{said}");
    // In the clear there is no SASL2 (XEP-0388 §3), nor FAST.
    let said = written(&mut Talk::with(Channel::Clear, options.clone()), OPEN);
    assert!(!said.contains("urn:xmpp:sasl:2") && said.contains("<mechanism>SCRAM-SHA-256</mechanism>"), "{said}");
    // A certificate of somebody else's domain is none.
    for (address, offered) in [("alice@localhost", true), ("alice@elsewhere.example", false)] {
        let secured = Secured { certified: vec![jid(address)], ..secured() };
        let said = written(&mut talk_over(secured, options.clone()), OPEN);
        assert_eq!(said.contains("<mechanism>EXTERNAL</mechanism>"), offered, "{address}");
    }
    let said = written(&mut talk_over(secured(), Options { fast: false, ..options }), OPEN);
    assert!(!said.contains("urn:xmpp:fast:0"), "{said}");
}

#[test]
fn success_names_the_account_and_the_stream_goes_on() {
    let mut talk = talk_over(secured(), Options::default());
    talk.say(OPEN);
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", ""));
    assert_eq!(
        said,
        format!(
            "[password? alice@localhost][authenticated alice@localhost][inline?]<success xmlns='urn:xmpp:sasl:2'>\
             <authorization-identifier>alice@localhost</authorization-identifier></success>{FEATURES_BIND}"
        )
    );
    // No restart: the resource is bound as before SASL2.
    let said = talk.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    assert!(said.ends_with("[established alice@localhost/made]"), "{said}");
    // XEP-0388 §4.8.
    assert!(talk.say(&authenticate("PLAIN", b"\0alice\0secret", "")).contains("[error unsupported-stanza-type]"));
}

#[test]
fn scram_goes_by_challenge_and_additional_data() {
    let mut talk = talk_over(secured(), Options::default());
    talk.say(OPEN);
    let said = talk.say(&authenticate("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=alice,r=abc", ""));
    let (_, challenge) = said.split_once("<challenge xmlns='urn:xmpp:sasl:2'>").unwrap();
    let challenge = STANDARD.decode(challenge.split('<').next().unwrap()).unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let binding = STANDARD.encode([&b"p=tls-exporter,,"[..], &[1; 32]].concat());
    let without = format!("c={binding},r=abc{SERVER_NONCE}");
    let proof = scram::proof(
        ScramHash::Sha256,
        PASSWORD.as_bytes(),
        b"salt of sixteen!",
        &format!("n=alice,r=abc,{challenge},{without}"),
    );
    let message = STANDARD.encode(format!("{without},p={proof}"));
    let said = talk.say(&format!("<response xmlns='urn:xmpp:sasl:2'>{message}</response>"));
    let (_, data) = said.split_once("<success xmlns='urn:xmpp:sasl:2'><additional-data>").expect(&said);
    assert!(STANDARD.decode(data.split('<').next().unwrap()).unwrap().starts_with(b"v="));
    assert_eq!(talk.scram_ended, [true]);
}

#[test]
fn a_resource_is_bound_with_success() {
    let mut talk = talk_over(secured(), Options::default());
    talk.say(OPEN);
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>App</tag><enable xmlns='urn:example:x'/></bind>";
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", &format!("{AGENT}{bind}")));
    assert_eq!(
        said,
        "[password? alice@localhost][authenticated alice@localhost][inline?]<success xmlns='urn:xmpp:sasl:2'>\
         <authorization-identifier>alice@localhost/App</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/>\
         </success><stream:features><sm xmlns='urn:xmpp:sm:3'/><ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>[established alice@localhost/App]"
    );
    let asked = &talk.inline[0];
    assert_eq!(asked.client.as_deref(), Some("d4565fa7-4d72-4749-b3d3-740edbf87770"));
    let bind = asked.bind.as_ref().unwrap();
    assert_eq!(bind.features.iter().map(Element::ns).collect::<Vec<_>>(), ["urn:example:x"]);
    assert!(talk.say("<message to='bob@localhost'/>").starts_with("[stanza "));

    // What cannot be bound ends the stream: the account was right, and nothing is half done.
    let mut talk = talk_over(secured(), Options::default());
    talk.refusals.push(BindRefusal::TooManySessions);
    talk.say(OPEN);
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", "<bind xmlns='urn:xmpp:bind:0'/>"));
    assert!(said.ends_with("[inline?][error resource-constraint][end][close, linger]"), "{said}");
}

#[test]
fn nothing_is_done_inline_without_success() {
    let mut talk = talk_over(secured(), Options::default());
    talk.say(OPEN);
    let bind = "<bind xmlns='urn:xmpp:bind:0'/>";
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0wrong", bind));
    assert_eq!(
        said,
        "[password? alice@localhost]<failure xmlns='urn:xmpp:sasl:2'><not-authorized \
         xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
            .replace(" xmlns='urn:ietf:params:xml:ns:xmpp-sasl'", "")
    );
    assert!(talk.inline.is_empty());
    // What was asked for then is not remembered when the other profile succeeds.
    let said = talk.say(&auth("PLAIN", Some(b"\0alice\0secret")));
    assert!(said.ends_with("<success/>[authenticated alice@localhost]"), "{said}");
    assert!(talk.inline.is_empty());
}

#[test]
fn t4_nobody_acts_for_another_with_sasl2() {
    for (from, message, right) in [
        ("alice@localhost", "\0alice\0secret", true),
        ("alice@localhost", "alice@localhost\0alice\0secret", true),
        ("alice@localhost", "victim@localhost\0alice\0secret", false),
        // XEP-0388 §4.4: the header named another.
        ("victim@localhost", "\0alice\0secret", false),
        ("victim@localhost", "victim@localhost\0alice\0secret", false),
    ] {
        let mut talk = talk_over(secured(), Options::default());
        talk.say(&OPEN.replace("to='localhost'", &format!("to='localhost' from='{from}'")));
        let said = talk.say(&authenticate("PLAIN", message.as_bytes(), ""));
        assert_eq!(said.contains("<invalid-authzid/>"), !right, "{from} {message}: {said}");
        assert_eq!(talk.authenticated.is_some(), right, "{from} {message}");
    }
}

#[test]
fn whoever_says_anything_else_during_a_handshake_is_cut_off() {
    let first = b"n,,n=alice,r=abc";
    for said in [
        "<presence/>".to_owned(),
        "<next xmlns='urn:xmpp:sasl:2' task='TOTP'/>".to_owned(),
        response(b"c=biws"),
        auth("PLAIN", Some(b"\0alice\0secret")),
        authenticate("PLAIN", b"\0alice\0secret", ""),
    ] {
        let mut talk = talk_over(secured(), Options::default());
        talk.say(OPEN);
        assert!(talk.say(&authenticate("SCRAM-SHA-256", first, "")).contains("<challenge"));
        assert_eq!(talk.say(&said), "[error not-authorized][end][close, linger]", "{said}");
        assert_eq!(talk.authenticated, None);
    }
    let mut talk = talk_over(secured(), Options::default());
    talk.say(OPEN);
    talk.say(&authenticate("SCRAM-SHA-256", first, ""));
    assert!(talk.say("<abort xmlns='urn:xmpp:sasl:2'/>").contains("<aborted/>"));
    // And with the profile of RFC 6120, SASL2's words are none.
    talk.say(&auth("SCRAM-SHA-256", Some(first)));
    let said = talk.say("<response xmlns='urn:xmpp:sasl:2'>YQ==</response>");
    assert_eq!(said, "[error not-authorized][end][close, linger]");
}

#[test]
fn requests_that_are_none_are_malformed() {
    for inline in [
        "<user-agent id='me'/>",
        "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf8777g'/>",
        "<user-agent id='d4565fa74d724749b3d3740edbf87770'/>",
        "<request-token xmlns='urn:xmpp:fast:0'/>",
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='PLAIN'/>",
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-UNIQ'/>",
        "<fast xmlns='urn:xmpp:fast:0' count='-1'/>",
        "<fast xmlns='urn:xmpp:fast:0' invalidate='yes'/>",
    ] {
        let mut talk = talk_over(secured(), Options::default());
        talk.say(OPEN);
        let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", inline));
        assert_eq!(said, "<failure xmlns='urn:xmpp:sasl:2'><malformed-request/></failure>", "{inline}");
    }
    // A token for a binding that this channel has not got.
    let mut talk = Talk::new(Channel::Tls);
    talk.say(OPEN);
    let request = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>";
    assert!(talk.say(&authenticate("PLAIN", b"\0alice\0secret", request)).contains("<malformed-request/>"));
}

#[test]
fn a_token_is_given_with_success() {
    let mut talk = talk_over(secured(), Options::default());
    talk.token = Some(FastToken { token: TOKEN.to_owned(), expiry: crate::time::Timestamp::from_seconds(0) });
    talk.say(OPEN);
    let request = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>";
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", &format!("{AGENT}{request}")));
    let given = "<token xmlns='urn:xmpp:fast:0' expiry='1970-01-01T00:00:00.000000Z' token='";
    assert!(said.contains(given), "{said}");
    assert_eq!(talk.inline[0].request_token, Some(Mechanism::Token(Some(Binding::Exporter))));
}

#[test]
fn a_token_authenticates_in_one_message() {
    let fast = "<fast xmlns='urn:xmpp:fast:0' count='7'/>";
    for (mechanism, binding) in
        [("HT-SHA-256-EXPR", &[1; 32][..]), ("HT-SHA-256-ENDP", &[2; 32][..]), ("HT-SHA-256-NONE", &[][..])]
    {
        let message = [b"alice\0", &token_hash(b"Initiator", binding)[..]].concat();
        let mut talk = talk_over(secured(), Options::default());
        talk.say(OPEN);
        let said = talk.say(&authenticate(mechanism, &message, &format!("{AGENT}{fast}")));
        let data = STANDARD.encode(token_hash(b"Responder", binding));
        assert_eq!(
            said,
            format!(
                "[token? alice@localhost Some(7)][authenticated alice@localhost][inline?]\
                 <success xmlns='urn:xmpp:sasl:2'><additional-data>{data}</additional-data>\
                 <authorization-identifier>alice@localhost</authorization-identifier></success>{FEATURES_BIND}"
            )
        );
        // Bound to another channel; not said to be a token's; from nobody in particular.
        let elsewhere = [b"alice\0", &token_hash(b"Initiator", &[9; 32])[..]].concat();
        for (message, inline, condition) in [
            (&elsewhere, format!("{AGENT}{fast}"), "not-authorized"),
            (&message, AGENT.to_owned(), "malformed-request"),
            (&message, fast.to_owned(), "malformed-request"),
        ] {
            let mut talk = talk_over(secured(), Options::default());
            talk.say(OPEN);
            let said = talk.say(&authenticate(mechanism, message, &inline));
            assert!(said.contains(&format!("<{condition}/>")), "{mechanism} {inline}: {said}");
        }
        // With the profile of RFC 6120 it is no mechanism at all (T3).
        let mut talk = talk_over(secured(), Options::default());
        talk.say(OPEN);
        assert_eq!(talk.say(&auth(mechanism, Some(&message))), "[failure invalid-mechanism]");
    }
    // T3: a binding that this channel has not got, and FAST that is switched off.
    let message = [b"alice\0", &token_hash(b"Initiator", &[])[..]].concat();
    for (secured, fast_on, mechanism) in
        [(Secured::default(), true, "HT-SHA-256-EXPR"), (secured(), false, "HT-SHA-256-NONE")]
    {
        let mut talk = talk_over(secured, Options { fast: fast_on, ..Options::default() });
        talk.say(OPEN);
        let said = talk.say(&authenticate(mechanism, &message, &format!("{AGENT}{fast}")));
        assert!(said.contains("<invalid-mechanism/>"), "{said}");
    }
}

/// XEP-0178 §2.
#[test]
fn a_certificate_lets_in_whom_it_names() {
    for (certified, authzid, outcome) in [
        (&["alice@localhost"][..], "", "[certified? alice@localhost]<success/>"),
        (&["alice@localhost"][..], "alice@localhost", "[certified? alice@localhost]<success/>"),
        (&["alice@localhost", "bob@elsewhere.example"][..], "", "[certified? alice@localhost]<success/>"),
        (&["alice@localhost", "bob@localhost"][..], "alice@localhost", "[certified? alice@localhost]<success/>"),
        (&["alice@localhost", "bob@localhost"][..], "", "[failure invalid-authzid]"),
        (&["alice@localhost"][..], "bob@localhost", "[failure invalid-authzid]"),
        (&["alice@localhost"][..], "alice@localhost/x", "[failure invalid-authzid]"),
        (&["alice@localhost"][..], "\u{1}", "[failure invalid-authzid]"),
        (&["alice@localhost", "bob@elsewhere.example"][..], "bob@elsewhere.example", "[failure invalid-authzid]"),
        (&["ghost@localhost"][..], "", "[certified? ghost@localhost][failure not-authorized]"),
    ] {
        let certified = certified.iter().map(|address| jid(address)).collect();
        let mut talk = talk_over(Secured { certified, ..secured() }, Options::default());
        talk.say(OPEN);
        let said = talk.say(&auth("EXTERNAL", Some(authzid.as_bytes())));
        assert!(said.starts_with(outcome), "{authzid}: {said}");
    }
}

#[test]
fn strangers_are_let_in_at_their_own_domain_and_nowhere_else() {
    let options = Options {
        hosts: vec![jid("localhost"), jid("guests.localhost")],
        anonymous: Some(jid("guests.localhost")),
        ..Options::default()
    };
    let mut talk = talk_over(secured(), options.clone());
    let open = OPEN.replace("to='localhost'", "to='guests.localhost'");
    let said = written(&mut talk_over(secured(), options.clone()), &open);
    assert!(said.contains("<mechanism>ANONYMOUS</mechanism></mechanisms>"), "{said}");
    assert!(!said.contains("PLAIN") && !said.contains("SCRAM") && !said.contains("sasl-cb"), "{said}");
    assert!(!said.contains("urn:xmpp:fast:0"), "{said}");
    talk.say(&open);
    assert_eq!(talk.say(&auth("PLAIN", Some(b"\0alice\0secret"))), "[failure invalid-mechanism]");
    let said = talk.say(&auth("ANONYMOUS", Some(b"trace")));
    assert_eq!(said, "[anonymous?]<success/>[authenticated made@guests.localhost]");

    let mut talk = talk_over(secured(), options);
    talk.say(OPEN);
    assert_eq!(talk.say(&auth("ANONYMOUS", Some(b""))), "[failure invalid-mechanism]");
}

/// XEP-0198 §9, XEP-0386 §3.2.
#[test]
fn a_session_of_before_goes_on_with_success() {
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='p' h='4'/><bind xmlns='urn:xmpp:bind:0'/>";
    let mut talk = talk_over(secured(), Options::default());
    let full = jid("alice@localhost").with_resource("before").unwrap();
    talk.resumed = Some(Ok(Resumed { jid: full, previd: "p".to_owned(), h: 7 }));
    talk.say(OPEN);
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", resume));
    let (_, said) = said.split_once("[inline?]").unwrap();
    assert_eq!(
        said,
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>alice@localhost/before</authorization-identifier>\
         <resumed xmlns='urn:xmpp:sm:3' previd='p' h='7'/></success><stream:features><ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>\
         [established alice@localhost/before]"
    );
    assert_eq!(talk.inline[0].resume, Some(Ok(Resume { previd: "p".to_owned(), h: 4 })));

    // Where there is none, a resource is bound as was asked.
    let mut talk = talk_over(secured(), Options::default());
    talk.resumed = Some(Err(SmRefusal::NotFound { h: Some(3) }));
    talk.say(OPEN);
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", resume));
    assert!(said.contains("<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found"), "{said}");
    assert!(said.ends_with("[established alice@localhost/made]"), "{said}");

    // Somebody else's: a mistake of the session opens no door.
    let mut talk = talk_over(secured(), Options::default());
    let full = jid("bob@localhost").with_resource("x").unwrap();
    talk.resumed = Some(Ok(Resumed { jid: full, previd: "p".to_owned(), h: 0 }));
    talk.say(OPEN);
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", resume));
    assert!(said.ends_with("[error internal-server-error][end][close, linger]"), "{said}");
}

#[test]
fn stream_management_begins_with_the_binding() {
    let bind = "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true' max='9'/></bind>";
    let mut talk = talk_over(secured(), Options::default());
    talk.say(OPEN);
    let said = talk.say(&authenticate("PLAIN", b"\0alice\0secret", bind));
    assert!(
        said.ends_with(
            "<stream:features><ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>[established alice@localhost/made]"
        ),
        "{said}"
    );
    let asked = talk.inline[0].bind.as_ref().unwrap();
    assert_eq!(asked.enable, Some(Enable { resume: true, max: Some(9) }));
    assert!(asked.features.is_empty());
    // It cannot begin twice (XEP-0198 §3).
    assert!(talk.say("<enable xmlns='urn:xmpp:sm:3'/>").contains("[error policy-violation]"));
}

/// RFC 7628 §3.2.2: whoever is refused is told why, says that it has heard, and then it has failed.
#[test]
fn a_token_of_oauth_opens_its_account() {
    let message = |header: &str, token: &str| format!("{header}\u{1}auth=Bearer {token}\u{1}\u{1}");
    let say = |header: &str, token: &str| {
        let mut talk = talk_over(secured(), Options::default());
        talk.say(OPEN);
        let said = talk.say(&auth("OAUTHBEARER", Some(message(header, token).as_bytes())));
        (talk, said)
    };
    for header in ["n,,", "n,a=alice@localhost,"] {
        let (_, said) = say(header, "of-alice");
        assert_eq!(said, "[bearer?]<success/>[authenticated alice@localhost]", "{header}");
    }
    assert_eq!(say("n,a=victim@localhost,", "of-alice").1, "[bearer?][failure invalid-authzid]");
    assert_eq!(say("n,a=@,", "of-alice").1, "[failure invalid-authzid]");
    assert_eq!(say("n,,", "later").1, "[bearer?][failure temporary-auth-failure]");
    for token in ["of-nobody", "of-elsewhere"] {
        let (mut talk, said) = say("n,,", token);
        assert_eq!(challenge_of(&said), r#"{"status":"invalid_token"}"#, "{token}");
        assert_eq!(talk.say(&response(b"\x01")), "[failure not-authorized]");
        assert_eq!(talk.authenticated, None);
    }
    // With SASL2 the header's address counts too.
    let mut talk = talk_over(secured(), Options::default());
    talk.say(&OPEN.replace("to='localhost'", "to='localhost' from='victim@localhost'"));
    let said = talk.say(&authenticate("OAUTHBEARER", message("n,,", "of-alice").as_bytes(), ""));
    assert!(said.contains("<invalid-authzid/>"), "{said}");
}
