//! A run as tables for docs/performance.md.

use tests::figures::Figures;

use crate::baseline::Baseline;
use crate::connects::Connects;
use crate::floors::Floors;
use crate::measured::{Flood, Measured, Rates, WRITERS};

/// Prints them. Medians stand in brackets in multiples of the floors, which differ less between machines than milliseconds.
pub(crate) fn print(measured: &Measured, payments: usize) {
    let Measured { floors, rows, .. } = measured;
    let floor = |figures: &Figures| format!("{:.2}", figures.p50());
    let whole = rows.iter().map(|row| {
        let mut cells = vec![("one fsynced commit, p50".to_owned(), floor(&floors.commit))];
        if let Some(hop) = &floors.hop {
            cells.push(("one Mosquitto QoS 1 hop, p50".to_owned(), floor(hop)));
        }
        let legs = row.legs.named();
        cells.extend(legs.map(|(name, figures)| (name.to_owned(), cell(figures, floors))));
        (row.load.to_string(), cells)
    });
    let split = rows.iter().map(|row| {
        let steps = row.split.named();
        let cells =
            steps.map(|(name, what, figures)| (format!("`{name}`: {what}"), cell(figures, floors)));
        (row.load.to_string(), cells.collect())
    });
    println!(
        "\nMilliseconds: p50 / p99 / p99.9 / max (p50 in times {}). {payments} payments a column.",
        floors.name()
    );
    table("the whole way", whole.collect());
    table("step by step, traced", split.collect());
    let watched = measured.watched.iter().map(|row| {
        let legs = row.legs.named();
        let cells = legs.map(|(name, figures)| (name.to_owned(), cell(figures, floors)));
        (
            format!("{}, {} viewers", row.load, row.viewers),
            cells.to_vec(),
        )
    });
    if !measured.watched.is_empty() {
        table("beside people who watch", watched.collect());
    }
    if let Some(rates) = &measured.rates {
        table("as fast as they go", flooded(&measured.floods, rates));
        println!(
            "\nSingle rows, one a commit over {WRITERS} connections: {}/s.",
            rates.commits_per_s
        );
        connects(rates);
        if let Some(baseline) = &measured.baseline {
            plain_bridge(baseline, floors, rates);
        }
    }
}

fn connects(rates: &Rates) {
    let column = |name: &str, connects: &Connects| {
        let cells = [
            ("a second", connects.per_second.to_string()),
            (
                "processor of the server each, µs",
                connects.costs.receivers_us.to_string(),
            ),
            (
                "processor of Postgres each, µs",
                connects.costs.postgres_us.to_string(),
            ),
        ];
        let cells = cells.map(|(name, cell)| (name.to_owned(), cell));
        (name.to_owned(), cells.to_vec())
    };
    let mut columns = vec![column("platform", &rates.connects)];
    columns.extend(
        rates
            .mosquitto_connects
            .iter()
            .map(|theirs| column("Mosquitto", theirs)),
    );
    table("connects", columns);
}

fn plain_bridge(baseline: &Baseline, floors: &Floors, rates: &Rates) {
    let Baseline {
        row,
        floods,
        losses,
    } = baseline;
    let legs = row.legs.named();
    let cells = legs.map(|(name, figures)| (name.to_owned(), cell(figures, floors)));
    let column = (row.load.to_string(), cells.to_vec());
    table("the plain bridge", vec![column]);
    table("as fast as they go", flooded(floods, rates));
    println!("\n{losses}.");
}

fn flooded(floods: &[Flood], rates: &Rates) -> Vec<(String, Vec<(String, String)>)> {
    let columns = floods.iter().map(|flood| {
        let costs = &flood.costs;
        let cells = [
            (
                "callbacks answered a second",
                flood.callbacks_per_s.to_string(),
            ),
            (
                "the same, in times single rows",
                format!("{:.3}", rates.of_single_rows(flood)),
            ),
            (
                "processor of Postgres a payment, µs",
                costs.postgres_us.to_string(),
            ),
            (
                "processor of what receives it, µs",
                costs.receivers_us.to_string(),
            ),
            (
                "write-ahead log a payment, bytes",
                costs.wal_bytes.to_string(),
            ),
        ];
        (
            format!("{} at a time", flood.acquirers),
            cells.map(|(name, cell)| (name.to_owned(), cell)).to_vec(),
        )
    });
    columns.collect()
}

fn cell(figures: &Figures, floors: &Floors) -> String {
    if figures.is_empty() {
        return "–".to_owned();
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| figures.quantile(share));
    format!(
        "{p50:.2} / {p99:.2} / {p999:.2} / {:.2} ({:.1})",
        figures.max(),
        floors.fit_into(p50)
    )
}

/// Columns, each with its heading and its named cells; the names are the same in all.
fn table(corner: &str, columns: Vec<(String, Vec<(String, String)>)>) {
    let (headings, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    println!("\n| {corner} | {} |", headings.join(" | "));
    println!("|---|{}", "---|".repeat(headings.len()));
    let Some(first) = columns.first() else { return };
    for (at, (name, _)) in first.iter().enumerate() {
        let cells: Vec<&str> = columns
            .iter()
            .filter_map(|column| Some(column.get(at)?.1.as_str()))
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}
