//! A server of a test's own, with two accounts: alice and bob.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use tidings::access::{NewPassword, NewUser};
use tidings::config::{self, Sources};
use tidings::jid::BareJid;
use tidings::server::{self, Parts, Running};
use tidings::store::memory::MemoryStore;

use crate::secrets;

pub struct House {
    pub running: Running,
    pub dir: tempfile::TempDir,
}

/// Security row L3: no test ends with a secret in the log.
impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            secrets::ears().check_log().unwrap();
        }
    }
}

impl House {
    pub async fn open(sets: &[&str]) -> House {
        House::with_file("", sets).await
    }

    /// With a configuration file of this text, in which `DIR` is the folder of the house.
    pub async fn with_file(file: &str, sets: &[&str]) -> House {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = write_certificate(dir.path(), "own", &["localhost"]);
        House::in_dir(dir, certificate, key, file, sets).await
    }

    pub async fn in_dir(
        dir: tempfile::TempDir,
        certificate: PathBuf,
        key: PathBuf,
        file: &str,
        sets: &[&str],
    ) -> House {
        secrets::listen();
        secrets::own();
        let path = dir.path().join("tidings.toml");
        std::fs::write(&path, file.replace("DIR", &dir.path().display().to_string())).unwrap();
        let defaults = [
            "xmpp.listen=127.0.0.1:0",
            "xmpp.listen_tls=127.0.0.1:0",
            "http.listen=off",
            "admin.listen=off",
            "auth.scram_iterations=4096",
            "limits.connections_per_second=0",
        ];
        let shown = |set: &&str| set.replace("DIR", &dir.path().display().to_string());
        let sets = defaults.iter().chain(sets).map(shown).collect();
        let sources = Sources { file: Some(path), sets, data: Some(dir.path().to_owned()), ..Sources::default() };
        let config = config::load(&sources).unwrap();
        let parts = Parts { store: Arc::new(MemoryStore::new()), certificate, key };
        let running = server::start(&config, parts).await.unwrap();
        for name in ["alice", "bob"] {
            secrets::ears().keep(format!("{name}-password"));
            let password = NewPassword::Chosen(format!("{name}-password"));
            let new = NewUser { name: name.to_owned(), password, admin: false, verifier: None };
            running.access.add_user(new).await.unwrap();
        }
        House { running, dir }
    }

    pub fn direct(&self) -> SocketAddr {
        self.running.addresses.xmpp_tls.unwrap()
    }

    pub fn starttls(&self) -> SocketAddr {
        self.running.addresses.xmpp.unwrap()
    }
}

pub fn alice() -> BareJid {
    BareJid::parse("alice@localhost").unwrap()
}

/// A self-signed certificate for some domains, as files; ECDSA with SHA-256.
pub fn write_certificate(dir: &Path, name: &str, domains: &[&str]) -> (PathBuf, PathBuf) {
    let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(domains).unwrap();
    let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    // The key first: a watcher that looks between the two sees a pair that does not fit.
    let pem = made.signing_key.serialize_pem();
    secrets::ears().keep_key(&pem);
    std::fs::write(&key, pem).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    (certificate, key)
}

/// An authority for client certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate that names addresses, with its key.
    pub fn certify(&self, addresses: &[&str], expired: bool) -> (CertificateDer<'static>, Vec<u8>) {
        let mut params = CertificateParams::default();
        let address = |text: &&str| SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], (*text).to_owned().into()));
        params.subject_alt_names = addresses.iter().map(address).collect();
        // What an account is called elsewhere in it counts for nothing.
        params.distinguished_name.push(rcgen::DnType::CommonName, "bob@localhost");
        params.subject_alt_names.push(SanType::Rfc822Name(Ia5String::try_from("bob@localhost").unwrap()));
        if expired {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), key.serialize_der())
    }
}
