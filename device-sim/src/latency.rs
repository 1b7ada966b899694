//! Latencies, and the percentiles that are told of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart from longer ones, in milliseconds.
const LATENCY_MAX_MS: u64 = 600_000;

/// Latencies in milliseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Latency(Option<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        // These bounds are ones that a histogram takes; without one nothing is counted.
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_MS, 3).ok())
    }
}

/// What is told of them, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// The median.
    pub p50_ms: u64,
    /// 90 % were no longer.
    pub p90_ms: u64,
    /// 99 % were no longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Latency {
    /// Counts one.
    pub fn record_ms(&mut self, ms: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(ms.min(LATENCY_MAX_MS));
        }
    }

    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        self.record_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    }

    /// What is told of them.
    pub fn percentiles(&self) -> Percentiles {
        let Some(histogram) = &self.0 else {
            return Percentiles::default();
        };
        let at = |quantile| histogram.value_at_quantile(quantile);
        Percentiles {
            count: histogram.len(),
            p50_ms: at(0.50),
            p90_ms: at(0.90),
            p99_ms: at(0.99),
            max_ms: histogram.max(),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {} ms, p90 {} ms, p99 {} ms, max {} ms",
            self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms
        )
    }
}
