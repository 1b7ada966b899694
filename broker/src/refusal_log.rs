//! The log of refused connections, limited so that repeated failures and floods do not fill it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::connection_limiter::network_of;
use crate::lock::lock;

/// The period for which the limits hold.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines in one window, in all.
const LINES_MAX: usize = 60;
/// Lines in one window about one address (an IPv6 /64 is one). Several, because a mobile network's NAT puts many boxes
/// behind one.
const LINES_PER_ADDRESS_MAX: usize = 4;

/// Logs refused handshakes and CONNECTs with their reason, address and the name in the certificate: a limited number a
/// minute for each address and in all, and the same refusal of one address once. Refusals that are not logged are
/// counted, and their number is logged after the minute.
#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: usize,
    /// The reasons and names that were logged for each address.
    logged: HashMap<IpAddr, Vec<(String, Option<String>)>>,
    left_out: u64,
}

impl RefusalLog {
    /// Logs a refusal, unless a limit is reached. `certificate`: the common name in the client's certificate, which is
    /// not verified when the handshake failed.
    pub fn note(&self, remote: SocketAddr, reason: &str, certificate: Option<&str>) {
        let (log, left_out) = self.admit(remote.ip(), reason, certificate, Instant::now());
        if left_out > 0 {
            tracing::warn!(
                refusals = left_out,
                "refused connections that were not logged"
            );
        }
        if log {
            tracing::warn!(%remote, reason, certificate, "a connection was refused");
        }
    }

    /// Whether to log this one, and how many were not logged in the window that has just ended.
    fn admit(
        &self,
        ip: IpAddr,
        reason: &str,
        certificate: Option<&str>,
        now: Instant,
    ) -> (bool, u64) {
        let mut window = lock(&self.0);
        let over = window
            .take_if(|window| now.duration_since(window.began) >= WINDOW)
            .map_or(0, |window| window.left_out);
        let window = window.get_or_insert_with(|| Window {
            began: now,
            lines: 0,
            logged: HashMap::new(),
            left_out: 0,
        });
        let known = (reason.to_owned(), certificate.map(str::to_owned));
        let logged = window.logged.get(&network_of(ip));
        let of_address = logged.map_or(0, Vec::len);
        if window.lines >= LINES_MAX
            || of_address >= LINES_PER_ADDRESS_MAX
            || logged.is_some_and(|logged| logged.contains(&known))
        {
            window.left_out += 1;
            return (false, over);
        }
        window.lines += 1;
        window.logged.entry(network_of(ip)).or_default().push(known);
        (true, over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(bits: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(bits).into()
    }

    #[test]
    fn the_same_of_one_address_is_one_line_a_minute_and_the_rest_is_counted() {
        let log = RefusalLog::default();
        let now = Instant::now();
        assert_eq!(log.admit(ip(1), "a", Some("box"), now), (true, 0));
        for _ in 0..10 {
            assert_eq!(log.admit(ip(1), "a", Some("box"), now), (false, 0));
        }
        // Another box, reason or address is logged.
        assert!(log.admit(ip(1), "a", Some("other"), now).0);
        assert!(log.admit(ip(1), "b", None, now).0);
        assert!(log.admit(ip(2), "a", Some("box"), now).0);
        let later = now + WINDOW;
        assert_eq!(log.admit(ip(1), "a", Some("box"), later), (true, 10));
    }

    #[test]
    fn a_flood_fills_neither_log_nor_memory() {
        let log = RefusalLog::default();
        let now = Instant::now();
        let reason = |number: u32| number.to_string();
        let of_one = (0..1_000).filter(|n| log.admit(ip(1), &reason(*n), None, now).0);
        assert_eq!(of_one.count(), LINES_PER_ADDRESS_MAX);
        let of_many = (2..100_000).filter(|n| log.admit(ip(*n), "a", None, now).0);
        assert_eq!(of_many.count(), LINES_MAX - LINES_PER_ADDRESS_MAX);
        let kept = log.0.lock().unwrap().as_ref().unwrap().logged.len();
        assert!(kept <= LINES_MAX);
    }
}
