//! What is read out of certificates.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, KeyPair, SanType, SignatureAlgorithm};
use sha2::{Digest, Sha256, Sha384};

use crate::jid::BareJid;
use crate::net::x509::{NAMES_MAX, covers, domains, end_point, xmpp_addresses};

fn certificate(names: Vec<SanType>, algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationalUnitName, "CN=admin@localhost,");
    params.distinguished_name.push(DnType::CommonName, "root@localhost");
    params.subject_alt_names = names;
    params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().to_vec()
}

fn address(text: &str) -> SanType {
    SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], text.to_owned().into()))
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).unwrap())
}

#[test]
fn the_addresses_of_a_certificate_are_those_of_xmpp_and_no_others() {
    let names = vec![
        dns("localhost"),
        address("Alice@LOCALHOST"),
        address("alice@localhost"),
        address("bob@example.org"),
        address("example.org"),
        address("carol@localhost\0.evil.example"),
        address("@"),
        SanType::Rfc822Name(Ia5String::try_from("mail@localhost").unwrap()),
        SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 7], "srv@localhost".to_owned().into())),
    ];
    let found = xmpp_addresses(&certificate(names, &rcgen::PKCS_ECDSA_P256_SHA256));
    let wanted: Vec<BareJid> = ["alice@localhost", "bob@example.org"].map(|jid| BareJid::parse(jid).unwrap()).to_vec();
    assert_eq!(found, wanted);
    assert!(xmpp_addresses(&certificate(Vec::new(), &rcgen::PKCS_ED25519)).is_empty());
}

#[test]
fn names_without_end_are_not_read_without_end() {
    let names = (0..10_000).map(|number| address(&format!("user{number}@localhost"))).collect();
    assert_eq!(xmpp_addresses(&certificate(names, &rcgen::PKCS_ECDSA_P256_SHA256)).len(), NAMES_MAX);
}

#[test]
fn a_channel_is_bound_by_the_hash_of_the_signature() {
    let made = certificate(vec![dns("localhost")], &rcgen::PKCS_ECDSA_P256_SHA256);
    assert_eq!(end_point(&made), Some(Sha256::digest(&made).to_vec()));
    let made = certificate(vec![dns("localhost")], &rcgen::PKCS_ECDSA_P384_SHA384);
    assert_eq!(end_point(&made), Some(Sha384::digest(&made).to_vec()));
    // Ed25519 hashes within itself: the binding is not defined.
    assert_eq!(end_point(&certificate(vec![dns("localhost")], &rcgen::PKCS_ED25519)), None);
}

#[test]
fn wildcards_stand_for_one_label() {
    let names = domains(&certificate(vec![dns("A.example"), dns("*.b.example")], &rcgen::PKCS_ECDSA_P256_SHA256));
    for (domain, covered) in [
        ("a.example", true),
        ("x.a.example", false),
        ("x.b.example", true),
        ("b.example", false),
        ("x.y.b.example", false),
    ] {
        assert_eq!(covers(&names, domain), covered, "{domain}");
    }
}

#[test]
fn what_is_cut_short_or_changed_is_read_without_panic() {
    let whole = certificate(vec![dns("localhost"), address("alice@localhost")], &rcgen::PKCS_ECDSA_P256_SHA256);
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        for value in [0x00, 0x7f, 0x84, 0xff] {
            changed[at] = value;
            let _ = (end_point(&changed), xmpp_addresses(&changed), domains(&changed));
        }
        let _ = (end_point(&whole[..at]), xmpp_addresses(&whole[..at]), domains(&whole[..at]));
    }
}
