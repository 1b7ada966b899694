//! The figures with their chart, which is drawn once for all viewers.

use std::sync::Arc;

use service::payment::live::Figures;

use crate::chart::{Chart, Mark, Values};

/// What *Now* has above its list.
#[derive(Debug)]
pub(crate) struct Board {
    /// The figures.
    pub(crate) figures: Figures,
    /// Payments by the hour, today before yesterday, as SVG.
    pub(crate) chart: Arc<str>,
}

impl Board {
    /// Draws the chart of these figures.
    pub(super) fn of(figures: Figures) -> Self {
        let by_hour = &figures.by_hour;
        let values = |counts: &[i64]| -> Values {
            let value = |count: &i64| Some(i32::try_from(*count).unwrap_or(i32::MAX));
            counts.iter().map(value).collect()
        };
        let hours =
            usize::try_from((by_hour.at - by_hour.midnight).num_hours()).unwrap_or_default();
        let mut today = values(&by_hour.today);
        // What has not been yet is no hour without payments.
        today
            .iter_mut()
            .skip(hours + 1)
            .for_each(|hour| *hour = None);
        let chart = Chart {
            first: &today,
            second: Some(&values(&by_hour.yesterday)),
            mark: Mark::Bars,
            reaches: 4,
            step: &|hour| format!("{hour:02}"),
            named: vec![0, 6, 12, 18],
        };
        let chart = Arc::from(chart.svg());
        Self { figures, chart }
    }
}
