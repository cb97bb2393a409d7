//! What a server needs before it can serve, made where it is not there: a certificate, an
//! administrator, and a token for the commands on this machine.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType, date_time_ymd};

use super::data::{ADMIN_PASSWORD, ADMIN_TOKEN, at, local_token, write_whole};
use super::terminal::GENERATED_CHARS;
use super::{Trouble, prepare_data_dir};
use crate::access::{Access, Denied, NewPassword, NewUser, NotDone, random_text};
use crate::config::Config;
use crate::jid::BareJid;
use crate::time::Timestamp;

/// The certificate that all listeners with TLS use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Whether it was made just now.
    pub created: bool,
}

/// What was made of accounts and tokens. The secrets are there on the run that made them only.
#[derive(Clone, Debug, Default)]
pub struct FirstRun {
    /// The account whose token the commands on this machine use; absent where nobody administers.
    pub administrator: Option<BareJid>,
    pub password: Option<String>,
    pub token: Option<String>,
}

/// The configured certificate, or the self-signed one of the data directory, which is made where it is
/// not there (see `certs/README.md`).
pub fn prepare_certificate(config: &Config, now: Timestamp) -> Result<Certificate, Trouble> {
    let own = own_certificate(&config.data.dir, &config.xmpp.domain);
    let (Some(chain), Some(key)) = (&config.tls.certificate, &config.tls.key) else {
        if own.chain.exists() && own.key.exists() {
            return Ok(own);
        }
        prepare_data_dir(&config.data.dir)?;
        let folder = own.chain.parent().expect("a certificate lies in a folder");
        std::fs::create_dir_all(folder).map_err(|error| at("creating", folder, &error))?;
        let (chain, key) = self_signed(config, now)?;
        // The key first: a certificate without its key would be taken for a whole pair by nobody.
        write_whole(&own.key, &key)?;
        write_whole(&own.chain, &chain)?;
        return Ok(Certificate { created: true, ..own });
    };
    Ok(Certificate { chain: chain.clone(), key: key.clone(), created: false })
}

/// Makes the first administrator, `admin` at the first domain, where there is none at all, and the
/// local token, where there is none that is good.
pub async fn prepare_accounts(config: &Config, access: &Access) -> Result<FirstRun, Trouble> {
    let trouble = |why: NotDone| Trouble::failed(format!("preparing the first administrator: {why}"));
    let dir = &config.data.dir;
    let mut first = FirstRun::default();
    match find_administrator(access).await.map_err(trouble)? {
        Found::Usable(jid) => first.administrator = Some(jid),
        Found::Unusable => return Ok(first),
        Found::Nobody => {
            let text = random_text(GENERATED_CHARS);
            // Written first: an account whose password nobody knows would be the worse remainder.
            write_whole(&dir.join(ADMIN_PASSWORD), &format!("{text}\n"))?;
            let password = NewPassword::Generated(text.clone());
            let new = NewUser { name: ADMINISTRATOR.to_owned(), password, admin: true, verifier: None };
            first.administrator = Some(access.add_user(new).await.map_err(trouble)?);
            first.password = Some(text);
        }
    }
    let Some(administrator) = &first.administrator else { return Ok(first) };
    let good = match local_token(dir)? {
        None => false,
        Some(token) => match access.token(&token, IpAddr::from([127, 0, 0, 1])).await {
            Ok(login) => login.admin,
            Err(Denied::Failed(failure)) => return Err(trouble(NotDone::Failed(failure))),
            Err(_) => false,
        },
    };
    if !good {
        let issued = access.create_local_token(administrator).await.map_err(trouble)?;
        write_whole(&dir.join(ADMIN_TOKEN), &format!("{}\n", issued.text))?;
        first.token = Some(issued.text);
    }
    Ok(first)
}

/// Where the self-signed certificate of a data directory lies.
pub fn own_certificate(dir: &Path, domain: &BareJid) -> Certificate {
    let file = |ending: &str| dir.join("certs").join(format!("{domain}.{ending}"));
    Certificate { chain: file("pem"), key: file("key"), created: false }
}

enum Found {
    Usable(BareJid),
    /// There are administrators, and each is disabled; or the name of the first one is somebody's.
    Unusable,
    Nobody,
}

async fn find_administrator(access: &Access) -> Result<Found, NotDone> {
    let usual = access.account(&access.user(ADMINISTRATOR)?).await?;
    let taken = usual.is_some();
    if let Some(account) = usual.filter(|account| account.admin && !account.disabled) {
        return Ok(Found::Usable(account.jid));
    }
    let (mut after, mut some) = (None, false);
    loop {
        let page = access.list_users(after, ACCOUNTS_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.jid.clone());
        for account in page.into_iter().filter(|account| account.admin) {
            if !account.disabled {
                return Ok(Found::Usable(account.jid));
            }
            some = true;
        }
    }
    Ok(if some || taken { Found::Unusable } else { Found::Nobody })
}

/// A certificate for the hosts and for this machine, and its key: PEM both, ECDSA on P-256.
fn self_signed(config: &Config, now: Timestamp) -> Result<(String, String), Trouble> {
    let trouble = |error: rcgen::Error| Trouble::failed(format!("making a self-signed certificate: {error}"));
    let mut names: Vec<String> = vec!["localhost".to_owned()];
    for host in &config.hosts {
        for jid in [&host.domain, &host.service] {
            if !jid.domain().is_ascii() {
                return Err(Trouble::failed(format!(
                    "making a self-signed certificate: {jid} is not ASCII; bring a certificate of your own, with \
                     tls.certificate and tls.key"
                )));
            }
            if !names.iter().any(|name| name == jid.domain()) {
                names.push(jid.domain().to_owned());
            }
        }
    }
    let mut params = CertificateParams::new(names).map_err(trouble)?;
    for address in [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name.push(DnType::CommonName, config.xmpp.domain.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (from, until) = (now.plus_seconds(-DAY_SECONDS), now.plus_seconds(VALID_DAYS * DAY_SECONDS));
    let ((year, month, day), (last_year, last_month, last_day)) = (date(from), date(until));
    params.not_before = date_time_ymd(year, month, day);
    params.not_after = date_time_ymd(last_year, last_month, last_day);
    let key = KeyPair::generate().map_err(trouble)?;
    let certificate = params.self_signed(&key).map_err(trouble)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn date(at: Timestamp) -> (i32, u8, u8) {
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| &text[range];
    let fits = "a timestamp begins with its date";
    (part(0..4).parse().expect(fits), part(5..7).parse().expect(fits), part(8..10).parse().expect(fits))
}

const ADMINISTRATOR: &str = "admin";
const ACCOUNTS_PAGE: usize = 1_000;
const DAY_SECONDS: i64 = 86_400;

/// Long, because nothing renews it: it is for trying things out.
const VALID_DAYS: i64 = 3_650;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;
    use crate::access::Options;
    use crate::config::{Sources, load};
    use crate::store::memory::MemoryStore;
    use crate::store::{Account, Store as _};
    use crate::time::{Clock, SystemClock};

    fn config(dir: &Path, sets: &[&str]) -> Config {
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        load(&Sources { data: Some(dir.to_owned()), sets, ..Sources::default() }).unwrap()
    }

    fn access(store: &Arc<MemoryStore>) -> Access {
        let options = Options { scram_iterations: 4_096, ..Options::default() };
        Access::new(store.clone(), Arc::new(SystemClock), options)
    }

    #[test]
    fn a_certificate_is_made_once_and_fits_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &["xmpp.domain=example.org"]);
        let made = prepare_certificate(&config, SystemClock.now()).unwrap();
        assert!(made.created);
        assert_eq!(made.chain, dir.path().join("certs/example.org.pem"));
        let before = std::fs::read(&made.chain).unwrap();
        assert!(!prepare_certificate(&config, SystemClock.now()).unwrap().created);
        assert_eq!(std::fs::read(&made.chain).unwrap(), before);
        let mode = std::fs::metadata(&made.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let certificate = CertificateDer::from_pem_file(&made.chain).unwrap();
        for name in ["example.org", "pubsub.example.org", "localhost"] {
            let found = certificate.windows(name.len()).any(|window| window == name.as_bytes());
            assert!(found, "{name}");
        }
        let key = PrivateKeyDer::from_pem_file(&made.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        assert!(server.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).is_ok());
    }

    #[tokio::test]
    async fn the_first_administrator_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        let store = Arc::new(MemoryStore::new());
        let first = prepare_accounts(&config, &access(&store)).await.unwrap();
        let (jid, password) = (first.administrator.clone().unwrap(), first.password.clone().unwrap());
        assert_eq!(jid.as_str(), "admin@localhost");
        let kept = std::fs::read_to_string(dir.path().join(ADMIN_PASSWORD)).unwrap();
        assert_eq!(kept.trim(), password);
        let peer = IpAddr::from([127, 0, 0, 1]);
        assert!(access(&store).password(&jid, &password, peer).await.unwrap().admin);
        assert!(access(&store).token(&first.token.clone().unwrap(), peer).await.unwrap().admin);
        assert_eq!(local_token(dir.path()).unwrap(), first.token);

        let second = prepare_accounts(&config, &access(&store)).await.unwrap();
        assert_eq!((second.administrator, second.password, second.token), (Some(jid), None, None));

        // Another database in the same folder: what is kept is no good for it.
        let third = prepare_accounts(&config, &access(&Arc::new(MemoryStore::new()))).await.unwrap();
        assert!(third.password.is_some() && third.token.is_some() && third.token != first.token);
    }

    #[tokio::test]
    async fn an_administrator_who_is_there_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        let store = Arc::new(MemoryStore::new());
        let access = access(&store);
        let password = NewPassword::Chosen("x".to_owned());
        let new = NewUser { name: "root".to_owned(), password, admin: true, verifier: None };
        let root = access.add_user(new).await.unwrap();
        let first = prepare_accounts(&config, &access).await.unwrap();
        assert_eq!((first.administrator, first.password), (Some(root.clone()), None));
        assert!(first.token.is_some());

        // Nobody can do this by our commands, but an older version could.
        let account = access.account(&root).await.unwrap().unwrap();
        store.put_account(Account { disabled: true, ..account }).await.unwrap();
        let none = prepare_accounts(&config, &access).await.unwrap();
        assert_eq!((none.administrator, none.token), (None, None));
    }
}
