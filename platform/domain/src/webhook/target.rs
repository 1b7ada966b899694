//! Where messages may be sent: to the internet, and not to what is reachable only from our own machines.
//!
//! Whoever may name a URL could otherwise make the platform call its own database, a router or a cloud's metadata service
//! (server-side request forgery). A name is checked where it is entered and its addresses at every attempt, because a
//! name can get other addresses at any time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The longest URL.
pub const URL_LEN_MAX: usize = 2_048;

/// What the configuration allows besides HTTPS to public addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetPolicy {
    /// HTTP without TLS.
    pub http: bool,
    /// Addresses that are not public.
    pub private: bool,
}

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL at all, or too long.
    #[error("must be a URL of at most {URL_LEN_MAX} characters")]
    NotAUrl,
    /// Not over TLS.
    #[error("must begin with https://")]
    NotHttps,
    /// With a user name or password.
    #[error("must have no user name and no password")]
    Credentials,
    /// With a part that is never sent.
    #[error("must have no fragment")]
    Fragment,
    /// A private address, or a name that always is one.
    #[error("must lead to a public address")]
    Private,
}

/// Checks a URL as it is entered. The addresses of its name are checked when it is called.
///
/// # Errors
/// [`TargetError`].
pub fn check_url(text: &str, policy: TargetPolicy) -> Result<Url, TargetError> {
    if text.len() > URL_LEN_MAX {
        return Err(TargetError::NotAUrl);
    }
    let url = Url::parse(text).map_err(|_| TargetError::NotAUrl)?;
    match url.scheme() {
        "https" => {}
        "http" if policy.http => {}
        _ => return Err(TargetError::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Credentials);
    }
    if url.fragment().is_some() {
        return Err(TargetError::Fragment);
    }
    let public = match url.host() {
        None => return Err(TargetError::NotAUrl),
        Some(Host::Domain(name)) => !is_local(name),
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
    };
    if public || policy.private {
        Ok(url)
    } else {
        Err(TargetError::Private)
    }
}

/// Names of this machine and of its network (RFC 6761, RFC 8375).
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.')
        || [".localhost", ".local", ".internal", ".home.arpa"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether an address is one of the internet: in none of the special-purpose blocks of IANA (RFC 6890 and its successors).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        // Between a provider and its customers (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, and the former 6to4 relays.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks.
        || (a == 198 && (18..20).contains(&b))
        // Multicast, reserved, broadcast.
        || a >= 224;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Forms that lead to an IPv4 address: mapped, compatible, NAT64, 6to4.
    let segments = address.segments();
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => {
            // `::` and `::1` are compatible forms of 0.0.0.0 and 0.0.0.1, which are special too.
            is_public_v4(inner(high, low))
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(inner(high, low)),
        [0x2002, high, low, ..] => is_public_v4(inner(high, low)),
        // Global unicast is 2000::/3; within it, protocol assignments and documentation are not.
        [first, second, ..] => {
            (first & 0xe000) == 0x2000
                && !(first == 0x2001 && second < 0x200)
                && !(first == 0x2001 && second == 0xdb8)
                && !(first == 0x3fff && second < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: TargetPolicy = TargetPolicy {
        http: false,
        private: false,
    };

    #[test]
    fn addresses_of_the_internet_are_public_and_no_others() {
        for public in [
            "8.8.8.8",
            "103.10.10.10",
            "100.63.255.255",
            "172.15.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn a_url_is_https_to_a_public_place() {
        for good in [
            "https://example.com/hooks?shop=1",
            "https://example.com:8443",
            "https://8.8.8.8/",
        ] {
            assert!(check_url(good, STRICT).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("", TargetError::NotAUrl),
            ("example.com", TargetError::NotAUrl),
            ("https://", TargetError::NotAUrl),
            ("http://example.com", TargetError::NotHttps),
            ("ftp://example.com", TargetError::NotHttps),
            ("https://user@example.com", TargetError::Credentials),
            ("https://:secret@example.com", TargetError::Credentials),
            ("https://example.com/#part", TargetError::Fragment),
            ("https://localhost/", TargetError::Private),
            ("https://LOCALHOST./", TargetError::Private),
            ("https://db/", TargetError::Private),
            ("https://a.localhost/", TargetError::Private),
            ("https://printer.local/", TargetError::Private),
            ("https://metadata.google.internal/", TargetError::Private),
            ("https://127.0.0.1/", TargetError::Private),
            // Other spellings of 127.0.0.1, which URL parsers accept.
            ("https://2130706433/", TargetError::Private),
            ("https://0x7f.1/", TargetError::Private),
            ("https://0177.0.0.1/", TargetError::Private),
            ("https://[::1]/", TargetError::Private),
            ("https://[::ffff:169.254.169.254]/", TargetError::Private),
        ] {
            assert_eq!(check_url(bad, STRICT), Err(error), "{bad}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_LEN_MAX));
        assert_eq!(check_url(&long, STRICT), Err(TargetError::NotAUrl));
    }

    #[test]
    fn the_configuration_can_allow_more() {
        let policy = TargetPolicy {
            http: true,
            private: true,
        };
        assert!(check_url("http://127.0.0.1:8000/", policy).is_ok());
        assert_eq!(
            check_url("ftp://127.0.0.1/", policy),
            Err(TargetError::NotHttps)
        );
    }
}
