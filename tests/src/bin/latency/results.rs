//! The figures of a run by which two builds are compared.

/// Named figures, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Results(Vec<(String, f64)>);

impl Results {
    pub(crate) fn add(&mut self, name: impl Into<String>, figure: f64) {
        self.0.push((name.into(), figure));
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn add_count(&mut self, name: impl Into<String>, count: u128) {
        self.add(name, count as f64);
    }
}

/// Prints the medians of the runs of both builds, and the first as a multiple of the other.
#[expect(clippy::float_arithmetic, reason = "a ratio for people")]
pub(crate) fn compare(this: &[Results], other: &[Results]) {
    println!(
        "{:<44} {:>10} {:>10} {:>8}",
        "medians of the runs", "this", "other", "ratio"
    );
    let Some(first) = this.first() else { return };
    for (name, _) in &first.0 {
        let (this, other) = (median(this, name), median(other, name));
        println!(
            "{name:<44} {this:>10.2} {other:>10.2} {:>8.2}",
            this / other
        );
    }
}

/// The middle figure, or the mean of the two in the middle.
fn median(runs: &[Results], name: &str) -> f64 {
    let mut figures: Vec<f64> = runs
        .iter()
        .flat_map(|run| &run.0)
        .filter(|(one, _)| one == name)
        .map(|(_, figure)| *figure)
        .collect();
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    let upper = figures.len() / 2;
    match figures.len() % 2 {
        0 => f64::midpoint(at(upper.saturating_sub(1)), at(upper)),
        _ => at(upper),
    }
}
