//! Whether a scene fails when a secret is seen: a scene that passes is played with each kind of leak.

use libtest_mimic::{Failed, Trial};

use crate::secrets::{Ears, is_error};
use crate::{Over, perform_text};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("self_check::a_secret_in_the_log_fails_its_scene", in_the_log),
        Trial::test("self_check::a_secret_in_an_error_is_found_in_every_form", in_every_form),
    ]
}

const SCENE: &str = "user leaker\nleaker connects\nhttp leaker GET /v1/nodes\nanswer 200\nleaker disconnects\n";

/// What is logged while a scene plays, by a thread of its server or by one that nobody knows.
fn in_the_log() -> Result<(), Failed> {
    perform_text(SCENE, Over::StartTls, || tracing::trace!("nothing secret"))?;
    let leaks: [&dyn Fn(); 6] = [
        &|| tracing::trace!(password = "leaker-password", "a field"),
        &|| tracing::debug!("base64 within: {}", base64(b"\0leaker\0leaker-password")),
        &|| tracing::info!("hex: {}", "6c65616b65722d70617373776f7264"),
        &|| tracing::error!("bytes: {:?}", b"leaker-password"),
        &|| drop(tracing::trace_span!("span", password = "leaker-password")),
        &|| drop(std::thread::spawn(|| tracing::warn!("elsewhere: leaker-password")).join()),
    ];
    for (at, leak) in leaks.iter().enumerate() {
        match perform_text(SCENE, Over::StartTls, leak) {
            Err(error) if error.starts_with("a secret stands in the log") => {}
            other => return Err(format!("leak {at}: {other:?}").into()),
        }
    }
    Ok(())
}

fn in_every_form() -> Result<(), Failed> {
    let ears = Ears::default();
    ears.keep("it's <a> \"secret\"\\");
    ears.overhear("<auth xmlns='x' mechanism='PLAIN'>AGFsaWNlAGFsaWNlLXBhc3N3b3Jk</auth>");
    ears.overhear("<iq><query><password>chosen by alice</password></query></iq>");
    ears.overhear("<x><field var='password'><value>asked by a form</value></field></x>");
    ears.overhear("<success><token xmlns='urn:xmpp:fast:0' token=\"a token of FAST\"/></success>");
    ears.overhear_json(br#"[{"webhook":{"secret":"whsec_of_somebody"}}]"#);
    let key = rcgen::KeyPair::generate()?.serialize_pem();
    ears.keep_key(&key);
    let shown = [
        r#"{"detail":"it's <a> \"secret\"\\ it is"}"#,
        "<error>it&apos;s &lt;a&gt; &quot;secret&quot;\\</error>",
        "/v1/it%27s%20%3Ca%3E%20%22secret%22%5C/x",
        "AGFsaWNlAGFsaWNlLXBhc3N3b3Jk",
        "the password alice-password of alice",
        "PRIMARY: chosen by alice",
        "asked by a form",
        "a token of FAST",
        "whsec_of_somebody",
        key.lines().nth(1).unwrap_or_default(),
    ];
    for shown in shown {
        if ears.check("this", shown.as_bytes()).is_ok() {
            return Err(format!("not found: {shown}").into());
        }
    }
    ears.check("this", b"alice, a password, a token, its <a> secret")?;
    let errors = ["<iq type='error' id='1'><query/></iq>", "<failure xmlns='x'/>", "<stream:error/>"];
    if !errors.into_iter().all(is_error) || is_error("<iq type='result'><error type='error'/></iq>") {
        return Err("errors are not told from answers".into());
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
