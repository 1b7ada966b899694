//! What a payment's latency stands on, measured alone on the same machine: one commit and one hop.

use tests::figures::Figures;

/// The machine's speed.
pub(crate) struct Floors {
    /// One fsynced commit on the platform's own server.
    pub(crate) commit: Figures,
    /// One QoS 1 hop through Mosquitto, where it is installed.
    pub(crate) hop: Option<Figures>,
}

impl Floors {
    /// How often the medians of both fit into so many milliseconds.
    #[expect(clippy::float_arithmetic, reason = "a ratio for people")]
    pub(crate) fn fit_into(&self, milliseconds: f64) -> f64 {
        milliseconds / (self.commit.p50() + self.hop.as_ref().map_or(0.0, Figures::p50))
    }

    /// Their sum in words.
    pub(crate) fn name(&self) -> &'static str {
        match self.hop {
            Some(_) => "(commit + hop)",
            None => "commit",
        }
    }
}
