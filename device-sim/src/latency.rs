//! Latency histograms and their percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The upper bound of the histogram, in milliseconds; longer latencies count as this.
const LATENCY_MAX_MS: u64 = 600_000;

/// A histogram of latencies in milliseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Latency(Option<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        // These bounds are valid.
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_MS, 3).ok())
    }
}

/// The percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Percentiles {
    /// The number of latencies.
    pub count: u64,
    /// The median.
    pub p50_ms: u64,
    /// The 90th percentile.
    pub p90_ms: u64,
    /// The 99th percentile.
    pub p99_ms: u64,
    /// The maximum.
    pub max_ms: u64,
}

impl Latency {
    /// Records one.
    pub fn record_ms(&mut self, ms: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(ms.min(LATENCY_MAX_MS));
        }
    }

    /// Records one.
    pub fn record(&mut self, duration: Duration) {
        self.record_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    }

    /// The percentiles so far.
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
