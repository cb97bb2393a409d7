use super::read::Given;
use super::settings::{SECRET_SETTINGS, Value};
use super::*;

fn load_text(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    load(&Sources { file: Some(path), ..Sources::default() }).map_err(|mistakes| shown(&mistakes, dir.path()))
}

fn shown(mistakes: &[Mistake], dir: &Path) -> String {
    let prefix = format!("{}/", dir.display());
    mistakes.iter().map(|mistake| format!("{mistake}\n").replace(&prefix, "")).collect()
}

fn load_sets(sets: &[&str]) -> Result<Config, String> {
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&Sources { sets, ..Sources::default() }).map_err(|mistakes| shown(&mistakes, Path::new("/nowhere")))
}

#[test]
fn without_any_source_the_defaults_stand() {
    let config = load(&Sources::default()).unwrap();
    assert_eq!(config.xmpp.domain.as_str(), "localhost");
    assert_eq!(config.pubsub.service.as_str(), "pubsub.localhost");
    assert_eq!(config.xmpp.listen, Some("127.0.0.1:5222".parse().unwrap()));
    assert_eq!(config.http.listen, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.data.dir, Path::new("tidings-data"));
    assert_eq!(config.auth.scram_iterations, 100_000);
    assert_eq!((config.auth.plain, config.auth.sha1), (Plain::Tls, true));
    assert_eq!(config.limits.stanza_bytes, 262_144);
    assert_eq!((config.retention.events, config.retention.days, config.retention.bytes), (10_000, 7, 64 << 20));
    assert_eq!(config.store.durability, Durability::Full);
    assert_eq!(config.pubsub.create, WhoCreates::Accounts);
    assert_eq!(config.hosts.len(), 1);
}

#[test]
fn every_setting_is_section_and_name_and_has_a_default_of_its_kind() {
    for setting in settings() {
        let (section, name) = setting.key.split_once('.').unwrap();
        assert!(!section.is_empty() && !name.is_empty() && !name.contains('.') && !name.contains("__"));
        assert!(setting.meaning.ends_with('.'), "{}", setting.key);
        if let Unset::Is(text) = setting.unset {
            assert!(setting.kind.parse(text).is_ok(), "{}", setting.key);
        }
        assert_eq!(settings().filter(|other| other.key == setting.key).count(), 1, "{}", setting.key);
    }
}

/// Sets each setting to something else than its default, and sees that the configuration changed.
#[test]
fn every_setting_reaches_the_configuration() {
    let default = format!("{:?}", load(&Sources::default()).unwrap());
    for setting in settings() {
        let other = match setting.kind {
            Kind::Uris => Value::Uris(vec!["mailto:other@example.org".to_owned()]),
            Kind::Flag => Value::Flag(setting.unset != Unset::Is("true")),
            Kind::Count { min, max } => {
                let at_most = matches!(setting.unset, Unset::Is(text) if text == max.to_string());
                Value::Count(if at_most { min } else { max })
            }
            Kind::Text => Value::Text("other".to_owned()),
            Kind::Word(words) => {
                Value::Text((*words.iter().find(|word| setting.unset != Unset::Is(word)).unwrap()).to_owned())
            }
            Kind::Address => Value::Address(None),
            Kind::Domain => Value::Domain(BareJid::parse("other.example").unwrap()),
            Kind::Path => Value::Path(PathBuf::from("/nonexistent/other")),
            Kind::Networks => Value::Text("10.0.0.0/8".to_owned()),
            Kind::Waits => Value::Text("1,2".to_owned()),
        };
        let mut given = Given::default();
        given.values.insert(setting.key, (other, Place::Defaults));
        let (config, _) = verify::complete(given);
        assert_ne!(format!("{config:?}"), default, "{}", setting.key);
    }
}

#[test]
fn a_guess_is_made_where_a_word_is_near_for_its_length() {
    let told = load_text("[xmp]\nlisten = 5\n[nope]\nx = 1\n").unwrap_err();
    assert_eq!(
        told,
        "tidings.toml:1: there is no setting xmp; is it xmpp?\ntidings.toml:3: there is no setting nope\n"
    );
}

#[test]
fn a_file_sets_what_it_says() {
    let config = load_text(
        r#"
xmpp.domain = "Example.ORG"
http = { listen = "127.0.0.1:0" }

[pubsub]
auto_create = true
create = "admins"

[limits]
stanza_bytes = 0x10_000

[admin]
listen = "off"

[[host]]
domain = "example.net"

[[template]]
match = "orders/*"
creators = ["shop@example.org", "*@ops.example.org"]
auto_create = false

[template.config]
access_model = "whitelist"
max_items = 100
hidden = true
roster_groups_allowed = ["A", "B"]

[[template]]
match = "*"
"#,
    )
    .unwrap();
    let [orders, all] = config.templates.as_slice() else { panic!("{:?}", config.templates) };
    let creators: Vec<&str> = orders.creators.iter().map(|glob| &*glob.0).collect();
    assert_eq!((&*orders.matching.0, orders.auto_create), ("orders/*", false));
    assert_eq!(creators, ["shop@example.org", "*@ops.example.org"]);
    let mut fields: Vec<_> = orders.config.iter().map(|field| (field.name.as_str(), field.values.join(","))).collect();
    fields.sort();
    let expected =
        [("access_model", "whitelist"), ("hidden", "1"), ("max_items", "100"), ("roster_groups_allowed", "A,B")];
    assert_eq!(fields, expected.map(|(name, values)| (name, values.to_owned())));
    assert_eq!((&*all.matching.0, all.auto_create, all.creators.len(), all.config.len()), ("*", true, 0, 0));
    assert_eq!(config.xmpp.domain.as_str(), "example.org");
    assert_eq!(config.http.listen.unwrap().port(), 0);
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.pubsub.service.as_str(), "pubsub.example.org");
    assert!(config.pubsub.auto_create);
    assert_eq!(config.pubsub.create, WhoCreates::Admins);
    assert_eq!(config.limits.stanza_bytes, 65_536);
    let services: Vec<_> = config.hosts.iter().map(|host| host.service.as_str()).collect();
    assert_eq!(services, ["pubsub.example.org", "pubsub.example.net"]);
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let wrong = load_text(
        r#"colour = "blue"

[xmpp]
listen = 5222
lisen_tls = "127.0.0.1:5223"
domain = "a@b"

[limits]
stanza_bytes = 9_999
connections_per_second = "50"
memory_bytes = -1

[auth]
plain = "yes"
sha1 = 1.5
scram_iterations = 4095

[http]
listen = "0.0.0.0:8080"

[tls]
key = "/nonexistent/key.pem"

[[host]]
service = "pubsub.example.net"

[[host]]
domain = "localhost"
color = 1

[[template]]
creators = ["a@b"]

[[template]]
match = "a/*"
creators = "a@b"
auto_create = 1
color = "red"

[template.config]
max_items = 1.5

[[template]]
match = "b/*"

[template.config]
max_items = 0
"#,
    )
    .unwrap_err();
    let expected = r#"tidings.toml:1: there is no setting colour
tidings.toml:4: xmpp.listen must be an IP address and a port, such as "127.0.0.1:5222" or "[::1]:5222", or "off", not a number
tidings.toml:5: there is no setting xmpp.lisen_tls; is it xmpp.listen_tls?
tidings.toml:6: xmpp.domain must be the name of a host, such as "example.org"
tidings.toml:9: limits.stanza_bytes must be a whole number from 10000 to 16777216
tidings.toml:10: limits.connections_per_second must be a whole number from 0 to 1000000, not text in quotes
tidings.toml:11: limits.memory_bytes must be a whole number, at least 67108864
tidings.toml:14: auth.plain must be one of tls, off
tidings.toml:15: auth.sha1 must be true or false, not a number with a fraction
tidings.toml:16: auth.scram_iterations must be a whole number from 4096 to 10000000
tidings.toml:19: http.listen 0.0.0.0:8080 is not loopback, and plain HTTP would show passwords and tokens to the network: set tls.certificate and tls.key, or listen on 127.0.0.1 behind a proxy that speaks TLS
tidings.toml:22: tls.key needs tls.certificate
tidings.toml:22: tls.key /nonexistent/key.pem: No such file or directory (os error 2)
tidings.toml:24: [[host]] needs a domain
tidings.toml:27: localhost stands for two things: domains and services must differ
tidings.toml:27: pubsub.localhost stands for two things: domains and services must differ
tidings.toml:29: there is no setting host.color
tidings.toml:31: [[template]] needs a match
tidings.toml:36: template.creators must be a list of addresses in quotes, such as ["*@example.org"]
tidings.toml:37: template.auto_create must be true or false, not a number
tidings.toml:38: there is no setting template.color
tidings.toml:41: template.config.max_items must be text in quotes, a whole number, true or false, or a list of texts
tidings.toml:43: template.config.max_items: not a whole number from 1 to 10000
"#;
    assert_eq!(wrong, expected);
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    let wrong = load_text("[xmpp]\nlisten = \nlisten_tls = \"off\"\n[pubsub\n").unwrap_err();
    assert!(wrong.starts_with("tidings.toml:2: is not TOML: "), "{wrong}");
    assert!(wrong.contains("tidings.toml:4: is not TOML: "), "{wrong}");
    let twice = load_text("[http]\nlisten = \"off\"\nlisten = \"off\"\n").unwrap_err();
    assert!(twice.starts_with("tidings.toml:3: is not TOML: "), "{twice}");
}

#[test]
fn flags_go_before_variables_and_variables_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    std::fs::write(&file, "[limits]\nstanza_bytes = 11111\nengine_queue = 111\n[store]\nreaders = 1\n").unwrap();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let config = load(&Sources {
        file: Some(file),
        variables: vec![
            variable("TIDINGS__LIMITS__STANZA_BYTES", "22222"),
            variable("TIDINGS__LIMITS__ENGINE_QUEUE", "222"),
            variable("TIDINGS_CONFIG", "elsewhere"),
            variable("PATH", "/bin"),
        ],
        sets: vec!["limits.stanza_bytes=33_333".to_owned()],
        data: Some(PathBuf::from("/srv/data")),
    })
    .unwrap();
    assert_eq!(config.limits.stanza_bytes, 33_333);
    assert_eq!(config.limits.engine_queue, 222);
    assert_eq!(config.store.readers, 1);
    assert_eq!(config.data.dir, Path::new("/srv/data"));
}

#[test]
fn mistakes_in_flags_and_variables_are_named() {
    let sets = vec!["limits.stanza_bytes".to_owned(), "limit.stanza_bytes=1".to_owned()];
    let variables = vec![("TIDINGS__STORE__DURABILITY".to_owned(), "maybe".to_owned())];
    let mistakes = load(&Sources { sets, variables, ..Sources::default() }).unwrap_err();
    let expected = "TIDINGS__STORE__DURABILITY: store.durability must be one of full, relaxed\n\
                    --set limits.stanza_bytes: must be key=value\n\
                    --set limit.stanza_bytes=1: there is no setting limit.stanza_bytes; is it limits.stanza_bytes?\n";
    assert_eq!(shown(&mistakes, Path::new("/nowhere")), expected);
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let mistakes = load(&Sources { file: Some(PathBuf::from("/nonexistent.toml")), ..Sources::default() }).unwrap_err();
    assert!(mistakes[0].to_string().starts_with("/nonexistent.toml: cannot be read: "), "{}", mistakes[0]);
}

#[test]
fn http_beyond_loopback_needs_a_certificate() {
    assert!(load_sets(&["http.listen=127.0.0.2:80"]).is_ok());
    assert!(load_sets(&["http.listen=[::1]:80"]).is_ok());
    for open in ["http.listen=0.0.0.0:80", "http.listen=[::]:80", "http.listen=192.0.2.1:80", "admin.listen=[::]:80"] {
        assert!(load_sets(&[open]).unwrap_err().contains("is not loopback"), "{open}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pem");
    std::fs::write(&path, "").unwrap();
    let (certificate, key) = (format!("tls.certificate={}", path.display()), format!("tls.key={}", path.display()));
    assert!(load_sets(&["http.listen=0.0.0.0:80", &certificate, &key]).is_ok());
}

/// H18: strangers come from this machine only, by whichever door, until that is said twice; and nothing that is checked
/// has a switch.
#[test]
fn what_opens_a_server_to_everybody_is_said_twice_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (file, pem) = (dir.path().join("tidings.toml"), dir.path().join("pem"));
    std::fs::write(&file, "[[host]]\ndomain = 'open.localhost'\n").unwrap();
    std::fs::write(&pem, "").unwrap();
    let load = |more: &[&str]| {
        let (certificate, key) = (format!("tls.certificate={}", pem.display()), format!("tls.key={}", pem.display()));
        let own = ["auth.anonymous=open.localhost", &certificate, &key];
        let sets = own.iter().chain(more).map(|set| (*set).to_owned()).collect();
        let sources = Sources { file: Some(file.clone()), sets, ..Sources::default() };
        super::load(&sources).map_err(|mistakes| shown(&mistakes, Path::new("/nowhere")))
    };
    assert!(load(&[]).is_ok());
    for listener in ["xmpp.listen", "xmpp.listen_tls", "http.listen"] {
        for address in ["0.0.0.0:9000", "[::]:9000", "192.0.2.1:9000"] {
            let public = format!("{listener}={address}");
            let refused = load(&[&public]).unwrap_err();
            assert!(refused.contains("auth.anonymous lets everybody in"), "{public}: {refused}");
            assert!(load(&[&public, "auth.anonymous_public=true"]).is_ok(), "{public}");
        }
    }
    for setting in settings() {
        for word in ["skip", "insecure", "verify", "unsafe", "disable", "debug", "no_auth", "trust_all", "open"] {
            assert!(!setting.key.contains(word), "{}", setting.key);
        }
    }
}

/// H16: no secret stands in the list of processes.
#[test]
fn a_secret_is_not_taken_from_the_command_line() {
    let secret = "a-secret-of-16-bytes";
    let refused = load_sets(&[&format!("component_of.secret={secret}")]).unwrap_err();
    assert!(refused.contains("--set component_of.secret: a command line is read by everybody"), "{refused}");
    assert!(!refused.contains(secret), "{refused}");
    // A password, a key or a secret that is text is one of those that are not; what names a file is none itself.
    for setting in settings().filter(|setting| matches!(setting.kind, Kind::Text)) {
        let secret = ["secret", "password", "token"].iter().any(|word| setting.key.ends_with(word));
        assert_eq!(secret, SECRET_SETTINGS.contains(&setting.key), "{}", setting.key);
    }
}

#[test]
fn two_listeners_cannot_have_one_address() {
    let wrong = load_sets(&["http.listen=127.0.0.1:8081"]).unwrap_err();
    assert_eq!(wrong, "--set http.listen=127.0.0.1:8081: admin.listen and http.listen are the same address\n");
    assert!(load_sets(&["http.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"]).is_ok());
    assert!(load_sets(&["http.listen=127.0.0.2:8081"]).is_ok());
    assert!(load_sets(&["xmpp.listen=0.0.0.0:8081"]).is_err());
}

#[test]
fn the_reference_lists_every_setting() {
    let reference = reference();
    for setting in settings() {
        let set = reference.contains(&format!("`--set {}=…`", setting.key));
        assert_eq!(set, !SECRET_SETTINGS.contains(&setting.key), "{}", setting.key);
        assert!(reference.contains(setting.meaning), "{}", setting.key);
    }
    assert!(reference.contains("[[host]]") && reference.contains("[[template]]"));
}

#[test]
fn addresses_are_uris_with_spaces_between_them() {
    let two = vec!["mailto:a@b.example".to_owned(), "xmpp:b.example".to_owned()];
    assert_eq!(Kind::Uris.parse(" mailto:a@b.example  xmpp:b.example"), Ok(Value::Uris(two)));
    assert_eq!(Kind::Uris.parse(""), Ok(Value::Uris(Vec::new())));
    for text in ["a@b.example", "mailto:", ":x", "1a:x", "mailto:\u{e9}"] {
        assert!(Kind::Uris.parse(text).is_err(), "{text}");
    }
}
