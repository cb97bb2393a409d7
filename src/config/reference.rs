//! The reference of all settings, as Markdown, made from the table.

use std::fmt::Write;

use super::hooks::FIELDS;
use super::settings::{Kind, SECRET_SETTINGS, Unset, settings};

/// What `tidings config reference` prints, and `docs/configuration.md` holds.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    let mut section = "";
    for setting in settings() {
        let (here, name) = setting.key.split_once('.').expect("a test holds that keys are section.name");
        if here != section {
            section = here;
            write!(text, "\n## [{section}]\n").expect(WRITES);
        }
        let default = match setting.unset {
            Unset::Is(value) => format!("`{}`", written(setting.kind, value)),
            Unset::Follows(what) => what.to_owned(),
        };
        write!(text, "\n### `{name}`\n\n{}\n", setting.meaning).expect(WRITES);
        if !setting.why.is_empty() {
            writeln!(text, "{}", setting.why).expect(WRITES);
        }
        write!(text, "\n- Type: {}\n- Default: {default}\n", described(setting.kind)).expect(WRITES);
        let variable = setting.key.to_ascii_uppercase().replace('.', "__");
        if SECRET_SETTINGS.contains(&setting.key) {
            writeln!(text, "- Also: `TIDINGS__{variable}`; a command line is read by everybody").expect(WRITES);
        } else {
            writeln!(text, "- Also: `--set {}=…`, `TIDINGS__{variable}`", setting.key).expect(WRITES);
        }
    }
    text.push_str(HOSTS);
    text.push_str(HOOKS);
    for (name, kind, meaning) in FIELDS {
        writeln!(text, "| `{name}` | {kind} | {meaning} |").expect(WRITES);
    }
    text.push_str(TEMPLATES);
    text
}

/// A default as it would stand in a file.
fn written(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Uris => format!("\"{value}\""),
        Kind::Flag | Kind::Count { .. } => value.to_owned(),
        Kind::Text | Kind::Word(_) | Kind::Address | Kind::Domain | Kind::Path | Kind::Networks | Kind::Waits => {
            format!("\"{value}\"")
        }
    }
}

fn described(kind: Kind) -> String {
    match kind {
        Kind::Uris => "URIs, with spaces between them".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Count { min, max: u64::MAX } => format!("whole number, at least {min}"),
        Kind::Count { min, max } => format!("whole number, {min} to {max}"),
        Kind::Text => "text".to_owned(),
        Kind::Word(words) => {
            let quoted: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            format!("one of {}", quoted.join(", "))
        }
        Kind::Address => "IP address and port, or `\"off\"`; port 0 lets the system choose".to_owned(),
        Kind::Domain => "name of a host".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Networks => "networks, with commas between".to_owned(),
        Kind::Waits => "seconds, with commas between".to_owned(),
    }
}

const WRITES: &str = "writing to a string never fails";

const HEAD: &str = "\
# Configuration

Everything works without a configuration file. Settings come, the later over the earlier, from the defaults below, a
TOML file, variables, and flags.

- The file is the one of `--config FILE`, else of the variable `TIDINGS_CONFIG`, else `./tidings.toml` where it stands.
- `TIDINGS__XMPP__LISTEN=127.0.0.1:5222` sets `xmpp.listen`, and so on for every setting.
- `--set key=value` sets one setting, but no secret; `--data DIR` is short for `--set data.dir=DIR`.

`tidings config check` names every mistake with its line; a server does not start with any. This document is what
`tidings config reference` prints.
";

const HOOKS: &str = "
## [[hook]]

Each is a sender of webhooks that publishes here, at `/v1/hooks/{source}`. Only in the file.

```toml
[[hook]]
source = \"github\"
scheme = \"github\"
secret_files = [\"/run/secrets/github\"]
account = \"hooks@example.org\"
node = \"github/{/repository/full_name}\"
```

| name | type | what it is |
|---|---|---|
";

const HOSTS: &str = "
## [[host]]

Each adds a host beside that of `xmpp.domain` and `pubsub.service`. Only in the file.

```toml
[[host]]
domain = \"example.org\"
service = \"pubsub.example.org\"
```

### `domain`

The domain of the host's accounts.

- Type: name of a host
- Default: none, it must stand there

### `service`

The JID of the host's pub/sub service.

- Type: name of a host
- Default: `pubsub.` and the domain

### `certificate`

A certificate of the host's own, as PEM, with its chain. For both of its names.

- Type: path
- Default: the server's own certificate

### `key`

The key of that certificate, as PEM.

- Type: path
- Default: none, it must stand beside `certificate`

## [[component]]

Each is a component that may connect at `xmpp.listen_component` (XEP-0114). Only in the file.

```toml
[[component]]
domain = \"gateway.example.org\"
secret = \"a long random text\"
```

### `domain`

The domain that the component speaks for.

- Type: name of a host
- Default: none, it must stand there

### `secret`

What the component proves to know.

- Type: text
- Default: none, it must stand there
";

const TEMPLATES: &str = "
## [[template]]

What holds for nodes of pub/sub services by their names. The first template that matches a name counts, and no other.
Only in the file.

```toml
[[template]]
match = \"orders/*\"
creators = [\"shop@example.org\", \"*@ops.example.org\"]

[template.config]
access_model = \"whitelist\"
max_items = 100
hidden = true
```

### `match`

The names, in which `*` stands for any characters, `/` among them.

- Type: text
- Default: none, it must stand there

### `creators`

For whom the names are reserved: patterns of bare JIDs. They may create these nodes whatever `pubsub.create` says, and
nobody else may but administrators.

- Type: list of texts
- Default: none; the names are not reserved

### `auto_create`

Whether a publish to an absent node creates it, if the publisher may create it; for other names `pubsub.auto_create`
says that.

- Type: `true` or `false`
- Default: `true`

### `config`

What differs from the defaults of a new node: the fields of the configuration form without `pubsub#`, and `hidden`.
Whoever creates a node may choose otherwise.

- Type: table of texts, numbers, flags and lists of texts
- Default: nothing
";
