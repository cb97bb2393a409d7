//! What the process keeps, shows and says.

use super::{Kind, Setting, count, follows, setting};
use crate::config::{Durability, LogFormat};

pub(super) const DATA: &[Setting] = &[setting("data.dir", Kind::Path, "tidings-data")
    .means("The folder with the database, certificates and secrets. `--data` is short for it.")
    .why("Relative to where the server is started, so that the first minute needs no decision.")
    .sets(|config, value| config.data.dir = value.path())];

pub(super) const STORE: &[Setting] = &[
    setting("store.durability", Kind::Word(&["full", "relaxed"]), "full")
        .means("Whether a publish that was answered survives the loss of power, or only the death of the process.")
        .why("One commit serves all that queued up, so that the full promise is affordable.")
        .sets(|config, value| {
            config.store.durability = if value.text() == "relaxed" { Durability::Relaxed } else { Durability::Full };
        }),
    setting("store.readers", count(1, 64), "4")
        .means("Connections that read the database at once.")
        .why("Reads of a disk wait more than they work.")
        .sets(|config, value| config.store.readers = value.count()),
];

pub(super) const TLS: &[Setting] = &[
    follows("tls.certificate", Kind::Path, "a self-signed certificate in the data folder")
        .means("The chain of certificates for all listeners with TLS, as PEM, the server's own first.")
        .why("The self-signed one is for trying things out: clients must be told to trust it.")
        .sets(|config, value| config.tls.certificate = Some(value.path())),
    follows("tls.key", Kind::Path, "the key of the self-signed certificate")
        .means("The private key of the certificate, as PEM.")
        .sets(|config, value| config.tls.key = Some(value.path())),
    setting("tls.reload_seconds", count(0, 86_400), "10")
        .means(
            "How often the files of certificates are looked at; new connections get what stands in them. 0 is \
             only when the process gets SIGHUP.",
        )
        .why(
            "Whatever renews certificates then need not know of this server. Where a file cannot be used the former \
             certificate stays.",
        )
        .sets(|config, value| config.tls.reload_seconds = value.count()),
];

pub(super) const LOG: &[Setting] = &[
    setting("log.format", Kind::Word(&["text", "json"]), "text")
        .means("How log lines look. `--log-format` is short for it.")
        .sets(|config, value| {
            config.log.format = if value.text() == "json" { LogFormat::Json } else { LogFormat::Text };
        }),
    setting("log.filter", Kind::Text, "info")
        .means("What is logged, as `level` or `target=level,…`; the variable `TIDINGS_LOG` goes before it.")
        .why("Nothing is logged for each message at this level, and never a payload, password or token at any.")
        .sets(|config, value| config.log.filter = value.text()),
];
