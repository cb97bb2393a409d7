//! Where clients, components and requests come in, and where this server goes as a component.

use super::{Kind, Setting, count, follows, setting};
use crate::config::Secret;

pub(super) const XMPP: &[Setting] = &[
    setting("xmpp.domain", Kind::Domain, "localhost")
        .means("The host whose accounts are kept here: users are `name@domain`.")
        .why("Accounts keep their domain. Choose it before the first start.")
        .sets(|config, value| config.xmpp.domain = value.domain()),
    setting("xmpp.listen", Kind::Address, "127.0.0.1:5222")
        .means("Where XMPP clients connect; STARTTLS is required.")
        .why("Loopback until somebody decides otherwise.")
        .sets(|config, value| config.xmpp.listen = value.address()),
    setting("xmpp.listen_tls", Kind::Address, "127.0.0.1:5223")
        .means("Where XMPP clients connect with TLS from the first byte (XEP-0368, ALPN `xmpp-client`).")
        .sets(|config, value| config.xmpp.listen_tls = value.address()),
    setting("xmpp.listen_component", Kind::Address, "127.0.0.1:5347")
        .means("Where components connect (XEP-0114), once there is a `[[component]]`.")
        .why("The protocol has no encryption: keep it on loopback, or on a network of your own.")
        .sets(|config, value| config.xmpp.listen_component = value.address()),
];

pub(super) const COMPONENT_OF: &[Setting] = &[
    setting("component_of.host", Kind::Text, "")
        .means("Another server behind which this one is a component (XEP-0114), as `host:port`; empty for none.")
        .why("The users of a Prosody, ejabberd or Openfire that stands already reach the pub/sub service through it.")
        .sets(|config, value| config.component_of.host = value.text()),
    follows("component_of.domain", Kind::Domain, "`pubsub.service`")
        .means("The service that the other server knows as its component.")
        .sets(|config, value| config.component_of.domain = Some(value.domain())),
    setting("component_of.secret", Kind::Text, "")
        .means("The secret that is shared with the other server, of 16 bytes or more.")
        .sets(|config, value| config.component_of.secret = Secret::new(value.text())),
    follows("component_of.users", Kind::Domain, "`component_of.domain` without its first label")
        .means("The domain of the other server whose users may do what accounts may: create nodes, above all.")
        .why("Everyone else who comes through the other server is a stranger here.")
        .sets(|config, value| config.component_of.users = Some(value.domain())),
    setting("component_of.retry_seconds", count(1, 3_600), "60")
        .means("The longest pause between two tries to reach the other server.")
        .why("The first pause is a second, and each is twice the last: a restart costs little, and a long absence too.")
        .sets(|config, value| config.component_of.retry_seconds = value.count()),
];

pub(super) const HTTP: &[Setting] = &[
    setting("http.listen", Kind::Address, "127.0.0.1:8080")
        .means("Where the HTTP API is served.")
        .why(
            "Plain HTTP on loopback; on any other address TLS is required, so `tls.certificate` and `tls.key` must \
             be set, for tokens travel in its headers.",
        )
        .sets(|config, value| config.http.listen = value.address()),
    setting("http.origins", Kind::Text, "")
        .means("Whose pages may use the API from a browser, as `https://app.example.org`, separated by spaces.")
        .why("Pages of other origins are refused, WebSockets included. Those of this server itself always may.")
        .sets(|config, value| config.http.origins = value.words()),
];

pub(super) const ADMIN: &[Setting] = &[setting("admin.listen", Kind::Address, "127.0.0.1:8081")
    .means("Where metrics, readiness and `/v1/admin` are served.")
    .why(
        "Apart from the API, so that it can stay unreachable from outside. On an address that is not loopback \
         it is held to the rule of `http.listen`.",
    )
    .sets(|config, value| config.admin.listen = value.address())];
