//! By what clients show who they are.

use super::{Kind, Setting, count, follows, setting};
use crate::access::{ITERATIONS_MIN, JwtAlgorithm, VerifierKind};
use crate::config::Plain;

pub(super) const JWT: &[Setting] = &[
    setting("jwt.issuer", Kind::Text, "")
        .means("The issuer (`iss`) whose JSON Web Tokens are taken as bearer tokens; nobody's where it is empty.")
        .why(
            "An issuer speaks for the accounts of `xmpp.domain`: `sub` is a bare JID there, or its local part. \
             Nobody administers by such a token.",
        )
        .sets(|config, value| config.jwt.issuer = value.text()),
    setting("jwt.audience", Kind::Text, "")
        .means("What the `aud` of a token must name.")
        .why("A token that was made for another service must not open this one.")
        .sets(|config, value| config.jwt.audience = value.text()),
    setting("jwt.keys", Kind::Text, "")
        .means("The issuer's JSON Web Key Set: a path, or an https URL.")
        .why("It is read when a token names a key that is not known, at most once a minute.")
        .sets(|config, value| config.jwt.keys = value.text()),
    follows("jwt.authorities", Kind::Path, "what the system trusts")
        .means("Certificates, as PEM, that may vouch for the host of `jwt.keys`, beside those that the system trusts.")
        .sets(|config, value| config.jwt.authorities = Some(value.path())),
    setting("jwt.algorithms", Kind::Text, "RS256 PS256 ES256 EdDSA")
        .means("The algorithms that a token may be signed with, separated by spaces.")
        .why("Of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA: public keys only. Fewer is better.")
        .sets(|config, value| {
            let words = value.words();
            let known: Vec<_> = words.iter().filter_map(|word| JwtAlgorithm::named(word)).collect();
            // One that is not known leaves none, which the check of the whole refuses.
            config.jwt.algorithms = if known.len() == words.len() { known } else { Vec::new() };
        }),
    setting("jwt.types", Kind::Text, "at+jwt")
        .means("The types (`typ`) of token that are taken, separated by spaces.")
        .why("RFC 9068 §4: an identity token must not pass for an access token. Some issuers still write `JWT`.")
        .sets(|config, value| config.jwt.types = value.words()),
    setting("jwt.strangers", Kind::Flag, "false")
        .means("Whether a token may speak for an account that is not kept here.")
        .why("Then the issuer alone says who there is, and an account cannot be disabled here.")
        .sets(|config, value| config.jwt.strangers = value.flag()),
    setting("jwt.scopes", Kind::Flag, "false")
        .means("Whether the words of `scope` that are scopes of this server, as `read:orders/*`, narrow a token.")
        .why("With it, a token without such a word allows nothing.")
        .sets(|config, value| config.jwt.scopes = value.flag()),
];

pub(super) const AUTH: &[Setting] = &[
    setting("auth.scram_iterations", count(ITERATIONS_MIN as u64, 10_000_000), "100000")
        .means("PBKDF2 rounds for new passwords.")
        .why(
            "What XEP-0438 calls high. Each PLAIN or Basic login costs the server as many, each SCRAM login the \
             client. At least what RFC 7677 demands. Generated secrets of 128 bits or more use 10000.",
        )
        .sets(|config, value| config.auth.scram_iterations = value.count()),
    setting("auth.plain", Kind::Word(&["tls", "off"]), "tls")
        .means("Whether SASL PLAIN is offered on connections with TLS, or not at all.")
        .why("Some libraries know nothing else. Without TLS it is never offered.")
        .sets(|config, value| {
            config.auth.plain = if value.text() == "off" { Plain::Off } else { Plain::Tls };
        }),
    setting("auth.sha1", Kind::Flag, "true")
        .means("Whether SCRAM-SHA-1 is offered, after the better ones.")
        .why("RFC 6120 makes it mandatory to implement, and older clients know nothing else.")
        .sets(|config, value| config.auth.sha1 = value.flag()),
    setting("auth.verifier", Kind::Word(&["scram", "argon2id"]), "scram")
        .means(
            "How new passwords are kept unless `user add --verifier` says otherwise: as SCRAM keys, or as an \
             Argon2id hash, which is dearer to attack and allows PLAIN and Basic only.",
        )
        .why("Never both for one account: a thief attacks the cheaper one.")
        .sets(|config, value| {
            config.auth.verifier = VerifierKind::parse(&value.text()).unwrap_or_default();
        }),
    setting("auth.oauthbearer", Kind::Flag, "true")
        .means(
            "Whether SASL OAUTHBEARER is offered on connections with TLS: with the tokens that HTTP takes, those \
             without scopes.",
        )
        .why("A service that publishes with a token can watch with it too, and needs no password.")
        .sets(|config, value| config.auth.oauthbearer = value.flag()),
    setting("auth.downgrade_protection", Kind::Flag, "true")
        .means(
            "Whether SCRAM shows the client a hash of what was offered, so that it notices what somebody has taken \
             away on the way (XEP-0474).",
        )
        .why("RFC 5802 has clients sign what they do not know. Some forget to: for those it can be switched off.")
        .sets(|config, value| config.auth.downgrade_protection = value.flag()),
    follows("auth.client_ca", Kind::Path, "no client is asked for a certificate")
        .means(
            "Authorities, as PEM, whose client certificates log in by SASL EXTERNAL the accounts that they name \
             as `xmppAddr` (XEP-0178).",
        )
        .why("Off unless somebody runs such an authority: what it signs opens every account that it names.")
        .sets(|config, value| config.auth.client_ca = Some(value.path())),
    follows("auth.anonymous", Kind::Domain, "nobody is let in without an account")
        .means(
            "A `[[host]]` at which everybody is let in by SASL ANONYMOUS, as a stranger with a name for the time \
             of one session. Nothing else is offered there.",
        )
        .why("A host of its own, so that a stranger's address can never be an account's.")
        .sets(|config, value| config.auth.anonymous = Some(value.domain())),
    setting("auth.anonymous_public", Kind::Flag, "false")
        .means("Whether strangers may come from beyond this machine.")
        .why("A second key, so that what was tried on loopback does not become public with one line.")
        .sets(|config, value| config.auth.anonymous_public = value.flag()),
    setting("auth.fast_days", count(0, 3_650), "21")
        .means(
            "For how long a client that has logged in may come back with a token instead of the password \
             (XEP-0484); a token that is used is replaced daily. 0 is off.",
        )
        .why("Long enough for a holiday. Another password ends all tokens at once.")
        .sets(|config, value| config.auth.fast_days = value.count()),
];
