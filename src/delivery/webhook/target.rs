//! Where a webhook may be sent: what an address of the web may look like, and which addresses of the
//! network are nobody's business (SSRF).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use hyper::Uri;

/// An endpoint, as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) secure: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
    /// What stands in `Host`.
    pub(super) authority: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Networks that the operator has opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

/// Why nothing is sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not a URL that a webhook can have.
    Url(&'static str),
    /// An address that no webhook is sent to.
    Address(&'static str),
    /// The name has no address, or cannot be resolved now.
    Unresolved,
}

impl Target {
    pub(super) fn parse(url: &str, allow_http: bool) -> Result<Self, Refused> {
        if url.len() > URL_BYTES_MAX {
            return Err(Refused::Url("the URL is too long"));
        }
        if url.contains('#') {
            return Err(Refused::Url("a fragment is not sent to anybody"));
        }
        let uri: Uri = url.parse().map_err(|_| Refused::Url("this is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow_http => false,
            Some("http") => return Err(Refused::Url("webhooks are sent over https only")),
            _ => return Err(Refused::Url("the URL must begin with https://")),
        };
        let authority = uri.authority().ok_or(Refused::Url("the URL names no host"))?;
        if authority.as_str().contains('@') {
            return Err(Refused::Url("a URL of a webhook bears no credentials"));
        }
        let host = Host::parse(authority.host())?;
        let port = match (authority.port_u16(), secure) {
            (Some(0), _) => return Err(Refused::Url("port 0 is no port")),
            (Some(port), _) => port,
            (None, _) if authority.as_str() != authority.host() => {
                return Err(Refused::Url("the port is not a number"));
            }
            (None, true) => 443,
            (None, false) => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Target { secure, host, port, path, authority: authority.as_str().to_owned() })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, Refused> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner
                .parse()
                .map(|ip| Host::Address(IpAddr::V6(ip)))
                .map_err(|_| Refused::Url("this is no address"));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Address(IpAddr::V4(ip)));
        }
        // `127.1`, `2130706433` and `0x7f.1` are addresses to some resolvers, and names to others.
        let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or("");
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
            || last
                .to_ascii_lowercase()
                .strip_prefix("0x")
                .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if numeric {
            return Err(Refused::Url("write an address as four numbers"));
        }
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(named) {
            return Err(Refused::Url("this is no name of a host"));
        }
        Ok(Host::Name(text.to_ascii_lowercase()))
    }
}

/// The address to connect to, out of those that the name has: all of them must be allowed, for which
/// one is taken is nobody's choice.
pub(super) fn choose(addresses: &[SocketAddr], networks: &Networks, own: &[SocketAddr]) -> Result<SocketAddr, Refused> {
    for address in addresses {
        let ip = address.ip().to_canonical();
        if own.iter().any(|own| own.port() == address.port() && reaches(own.ip().to_canonical(), ip)) {
            return Err(Refused::Address("it is this server itself"));
        }
        if let Some(why) = forbidden(ip).filter(|_| !networks.hold(ip)) {
            return Err(Refused::Address(why));
        }
    }
    addresses.first().copied().ok_or(Refused::Unresolved)
}

/// Whether a listener at one address takes what is sent to the other. One at no address in particular takes what is
/// sent to any of this machine's, which are those that a socket can be bound to.
fn reaches(own: IpAddr, ip: IpAddr) -> bool {
    own == ip || own.is_unspecified() && (ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok())
}

impl Networks {
    /// Reads `127.0.0.0/8, fd00::/8`.
    pub fn parse(text: &str) -> Option<Self> {
        let network = |part: &str| {
            let (ip, bits) = part.trim().split_once('/')?;
            let (ip, bits): (IpAddr, u8) = (ip.parse().ok()?, bits.parse().ok()?);
            (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, bits))
        };
        text.split(',').filter(|part| !part.trim().is_empty()).map(network).collect::<Option<_>>().map(Networks)
    }

    fn hold(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|(network, bits)| match (network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                within(u128::from(ip.to_bits()), u128::from(network.to_bits()), 32, *bits)
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => within(ip.to_bits(), network.to_bits(), 128, *bits),
            _ => false,
        })
    }
}

fn within(ip: u128, network: u128, width: u8, bits: u8) -> bool {
    let shift = u32::from(width - bits);
    shift == 128 || ip >> shift == network >> shift
}

/// Why no webhook is sent to an address, if none is.
fn forbidden(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) => forbidden_v6(ip),
    }
}

/// RFC 6890 and what came after it: everything that is not somewhere on the internet.
fn forbidden_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    Some(match (a, b, c) {
        (0, ..) => "it is of this network",
        (127, ..) => "it is a loopback address",
        (10, ..) | (192, 168, _) | (172, 16..=31, _) => "it is a private address",
        (169, 254, _) => "it is a link-local address, where clouds keep their secrets",
        (100, 64..=127, _) => "it is an address behind a carrier's translation",
        (192, 0, 0) | (192, 0, 2) | (198, 51, 100) | (203, 0, 113) | (198, 18..=19, _) | (192, 88, 99) => {
            "it is a reserved address"
        }
        (224..=255, ..) => "it is a multicast or reserved address",
        _ => return None,
    })
}

fn forbidden_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let segments = ip.segments();
    let embedded = |high: u16, low: u16| forbidden_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("it is a loopback address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("it is no address"),
        // Mapped, and translated (RFC 6052): what is behind it counts. Compatible ones are long dead.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, ..] => Some("it is a reserved address"),
        [0x64, 0xff9b, 1, ..] => Some("it is an address of a local translation"),
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0, ..] => Some("it is the address of a tunnel"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("it is an address for documentation"),
        [0x2001, 1..=0x01ff, ..] => Some("it is a reserved address"),
        [0xfe80..=0xfebf, ..] => Some("it is a link-local address"),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some("it is a private address"),
        [0xff00..=0xffff, ..] => Some("it is a multicast address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("it is a reserved address"),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Url(why) => f.write_str(why),
            Refused::Address(why) => write!(f, "no webhook is sent to this address: {why}"),
            Refused::Unresolved => f.write_str("the host has no address"),
        }
    }
}

const URL_BYTES_MAX: usize = 2048;
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_no_webhook_has_are_refused() {
        for url in [
            "http://example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "gopher://example.org/",
            "example.org/x",
            "/x",
            "",
            "https://",
            "https:///x",
            "https://user@127.0.0.1/",
            "https://user:pass@example.org/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://0177.0.0.1.08/",
            "https://1.2.3.4./",
            "https://example.org:0/",
            "https://example.org:99999/",
            "https://example.org/#x",
            "https://exam ple.org/",
            "https://exa\r\nmple.org/",
            "https://ex%61mple.org/",
            "https://[::1/",
            "https://[fe80::1%25eth0]/",
        ] {
            assert!(matches!(Target::parse(url, false), Err(Refused::Url(_))), "{url}");
        }
        let target = Target::parse("https://Example.org:8443/hook?x=1", false).unwrap();
        assert_eq!((target.secure, target.port, target.path.as_str()), (true, 8443, "/hook?x=1"));
        assert_eq!(target.host, Host::Name("example.org".to_owned()));
        assert!(Target::parse("http://example.org", true).is_ok_and(|target| target.port == 80 && target.path == "/"));
    }

    #[test]
    fn addresses_that_are_not_on_the_internet_are_refused() {
        let none = Networks::default();
        let choose = |text: &str| choose(&[SocketAddr::new(text.parse().unwrap(), 443)], &none, &[]);
        for ip in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(matches!(choose(ip), Err(Refused::Address(_))), "{ip}");
        }
        for ip in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "8.8.8.8", "2606:4700::1", "2002:808:808::1", "64:ff9b::808:808"]
        {
            assert!(choose(ip).is_ok(), "{ip}");
        }
    }

    #[test]
    fn one_forbidden_address_among_several_is_enough() {
        let none = Networks::default();
        let at = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert!(choose(&at(&["1.1.1.1:443", "10.0.0.1:443"]), &none, &[]).is_err());
        assert_eq!(choose(&at(&["1.1.1.1:443", "8.8.8.8:443"]), &none, &[]), Ok("1.1.1.1:443".parse().unwrap()));
        assert_eq!(choose(&[], &none, &[]), Err(Refused::Unresolved));
    }

    #[test]
    fn the_operator_may_open_networks_but_not_the_server_itself() {
        let open = Networks::parse("127.0.0.0/8, fd00::/8").unwrap();
        let own = ["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:5222".parse().unwrap()];
        let choose = |text: &str| choose(&[text.parse().unwrap()], &open, &own).is_ok();
        assert!(choose("127.0.0.1:9000") && choose("[fd00::1]:80") && choose("[::ffff:127.0.0.1]:1"));
        assert!(
            !choose("127.0.0.1:8080") && !choose("127.0.0.1:5222") && !choose("10.0.0.1:80") && !choose("[fc00::1]:80")
        );
        // The same port of somebody else's machine is none of ours.
        let everywhere = ["0.0.0.0:443".parse().unwrap(), "[::]:5222".parse().unwrap()];
        let choose = |text: &str| super::choose(&[text.parse().unwrap()], &open, &everywhere).is_ok();
        assert!(choose("1.1.1.1:443") && choose("[2606:4700::1]:443") && choose("8.8.8.8:5222"));
        assert!(!choose("127.0.0.1:443") && !choose("127.7.7.7:5222") && !choose("[::1]:5222"));
        assert_eq!(Networks::parse(""), Some(Networks::default()));
        assert!(Networks::parse("0.0.0.0/0,::/0").unwrap().hold("10.1.2.3".parse().unwrap()));
        for wrong in ["127.0.0.1", "10.0.0.0/33", "x/8", "10.0.0.0/8 172.16.0.0/12"] {
            assert_eq!(Networks::parse(wrong), None, "{wrong}");
        }
    }
}
