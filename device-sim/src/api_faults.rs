//! Faults of the API of an acquirer that issues codes: what goes wrong between a request of the platform and its answer.
//!
//! Whether a request is a victim depends only on the seed, the service and the request's number among those of its service,
//! so that a run can be repeated. After some faults the deed is done and the platform does not learn it: that is what makes
//! them hard.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The rates of faults of the API, in percent of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct ApiFaultRates {
    /// Requests that are carried out and never answered, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_silent: u8,
    /// Requests that are not carried out and answered 5xx, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_broken: u8,
    /// Requests that are carried out and answered with what is no answer, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_garbage: u8,
    /// Requests that are refused with a code of the acquirer, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_refused: u8,
    /// Requests that are carried out and answered late, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_late: u8,
    /// The longest delay of a late answer, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub api_late_ms_max: u32,
    /// Codes that no platform may show: of another amount, or with a wrong checksum, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_bad_code: u8,
    /// Requests that are carried out and answered as if they had been sent before, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub api_duplicate: u8,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiFault {
    /// It is carried out, and no answer comes.
    Silent,
    /// It is not carried out: 5xx.
    Broken,
    /// It is carried out, and the answer is no JSON.
    Garbage,
    /// It is not carried out: refused with a code of the acquirer.
    Refused,
    /// It is carried out, and answered after this time.
    Late(Duration),
    /// It is carried out, and the code is of another amount.
    OtherAmount,
    /// It is carried out, and the checksum of the code is wrong.
    WrongChecksum,
    /// It is carried out, and answered as sent twice.
    Duplicate,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// An access token.
    Token,
    /// A code.
    Generate,
    /// What became of an order.
    Query,
    /// Money back.
    Refund,
    /// The withdrawal of a code.
    Cancel,
}

impl Service {
    /// Its two digits in a response code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Token => "73",
            Self::Generate => "47",
            Self::Query => "51",
            Self::Refund => "78",
            Self::Cancel => "77",
        }
    }
}

/// How many services there are.
const SERVICES: usize = 5;

#[derive(Debug)]
struct Inner {
    seed: u64,
    rates: RwLock<ApiFaultRates>,
    active: AtomicBool,
    counts: [AtomicU64; SERVICES],
}

/// The faults of one acquirer, shared between it and whoever switches them.
#[derive(Debug, Clone)]
pub struct ApiFaults(Arc<Inner>);

impl ApiFaults {
    /// Faults at these rates.
    pub fn new(seed: u64, rates: ApiFaultRates) -> Self {
        Self(Arc::new(Inner {
            seed,
            rates: RwLock::new(rates),
            active: AtomicBool::new(true),
            counts: Default::default(),
        }))
    }

    /// No faults.
    pub fn none() -> Self {
        Self::new(0, ApiFaultRates::default())
    }

    /// Lets requests pass, or not.
    pub fn set_active(&self, active: bool) {
        self.0.active.store(active, Ordering::Relaxed);
    }

    /// Other rates from now on.
    pub fn set_rates(&self, rates: ApiFaultRates) {
        *self.0.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// What goes wrong with the next request of a service; none: nothing.
    pub fn next(&self, service: Service) -> Option<ApiFault> {
        let number = self.0.counts[service as usize].fetch_add(1, Ordering::Relaxed);
        let is_active = self.0.active.load(Ordering::Relaxed);
        let rates = *self.0.rates.read().unwrap_or_else(PoisonError::into_inner);
        let place = number * SERVICES as u64 + service as u64;
        is_active
            .then(|| rates.plan(self.0.seed, service, place))
            .flatten()
    }
}

impl ApiFaultRates {
    /// What goes wrong with the request at this place of the random stream.
    fn plan(&self, seed: u64, service: Service, place: u64) -> Option<ApiFault> {
        let mut random = StdRng::seed_from_u64(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut happens = |percent: u8| random.random_range(0..100) < percent;
        let drawn = [
            happens(self.api_silent),
            happens(self.api_broken),
            happens(self.api_garbage),
            happens(self.api_refused),
            happens(self.api_late),
            happens(self.api_bad_code),
            happens(self.api_duplicate),
        ];
        let late = Duration::from_millis(random.random_range(0..=u64::from(self.api_late_ms_max)));
        let bad_code = match random.random_range(0..2) {
            0 => ApiFault::OtherAmount,
            _ => ApiFault::WrongChecksum,
        };
        let faults = [
            ApiFault::Silent,
            ApiFault::Broken,
            ApiFault::Garbage,
            ApiFault::Refused,
            ApiFault::Late(late),
            bad_code,
            ApiFault::Duplicate,
        ];
        let mut happening = drawn
            .into_iter()
            .zip(faults)
            .filter(|(happens, _)| *happens);
        let fits = |fault: &ApiFault| match fault {
            ApiFault::OtherAmount | ApiFault::WrongChecksum => service == Service::Generate,
            ApiFault::Duplicate => matches!(service, Service::Generate | Service::Refund),
            ApiFault::Refused => service != Service::Token,
            _ => true,
        };
        happening
            .find(|(_, fault)| fits(fault))
            .map(|(_, fault)| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ApiFaultRates = ApiFaultRates {
        api_silent: 20,
        api_broken: 20,
        api_garbage: 20,
        api_refused: 20,
        api_late: 20,
        api_late_ms_max: 100,
        api_bad_code: 40,
        api_duplicate: 40,
    };

    fn drawn(seed: u64, service: Service) -> Vec<Option<ApiFault>> {
        let faults = ApiFaults::new(seed, ALL);
        (0..300).map(|_| faults.next(service)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_every_kind_of_them() {
        assert_eq!(drawn(7, Service::Generate), drawn(7, Service::Generate));
        assert_ne!(drawn(7, Service::Generate), drawn(8, Service::Generate));
        assert_ne!(drawn(7, Service::Generate), drawn(7, Service::Query));
        let of_codes = drawn(7, Service::Generate);
        for fault in [
            ApiFault::Silent,
            ApiFault::Broken,
            ApiFault::Garbage,
            ApiFault::Refused,
            ApiFault::OtherAmount,
            ApiFault::WrongChecksum,
            ApiFault::Duplicate,
        ] {
            assert!(of_codes.contains(&Some(fault)), "{fault:?}");
        }
        let is_late = |fault: &Option<ApiFault>| matches!(fault, Some(ApiFault::Late(_)));
        assert!(of_codes.iter().any(is_late) && of_codes.contains(&None));
    }

    #[test]
    fn a_fault_meets_only_the_services_that_can_have_it() {
        let bad = [ApiFault::OtherAmount, ApiFault::WrongChecksum].map(Some);
        for service in [
            Service::Token,
            Service::Query,
            Service::Refund,
            Service::Cancel,
        ] {
            let faults = drawn(7, service);
            assert!(bad.iter().all(|one| !faults.contains(one)), "{service:?}");
        }
        assert!(!drawn(7, Service::Query).contains(&Some(ApiFault::Duplicate)));
        assert!(!drawn(7, Service::Token).contains(&Some(ApiFault::Refused)));
    }

    #[test]
    fn without_rates_and_while_they_are_off_nothing_goes_wrong() {
        let faults = ApiFaults::new(7, ALL);
        faults.set_active(false);
        assert!((0..100).all(|_| faults.next(Service::Generate).is_none()));
        faults.set_active(true);
        faults.set_rates(ApiFaultRates::default());
        assert!((0..100).all(|_| faults.next(Service::Refund).is_none()));
    }
}
