//! One log line for each kind of refused connection: who fails again and again, or floods, does not fill the log.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::connection_limiter::network_of;

/// Limits hold for each stretch of time of this length.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines in one window, in all.
const LINES_MAX: usize = 60;
/// Lines in one window about one address (an IPv6 /64 is one). Several, because carriers hide many boxes behind one.
const LINES_PER_ADDRESS_MAX: usize = 4;

/// Logs refused handshakes and CONNECTs with their reason, address and the name in the certificate, at most some a
/// minute for each address and in all, and the same of one address once. What is left out is counted, and said when the
/// minute is over.
#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: usize,
    /// What was logged about each address.
    logged: HashMap<IpAddr, Vec<(String, Option<String>)>>,
    left_out: u64,
}

impl RefusalLog {
    /// Logs a refusal, unless there were too many. `certificate`: the common name in the client's certificate, which it
    /// may only have claimed.
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

    /// Whether this one is logged, and how many were left out in the window that is over.
    fn admit(
        &self,
        ip: IpAddr,
        reason: &str,
        certificate: Option<&str>,
        now: Instant,
    ) -> (bool, u64) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        // Another box, reason or address is news.
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
