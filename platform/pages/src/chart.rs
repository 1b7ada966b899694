//! Charts: drawn on the server as SVG, with whole numbers. Their colours stand for those of the style sheet, which gives
//! each the shade of the viewer's theme.

use std::ops::RangeInclusive;

use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;

/// The colours; the style sheet names the same ones.
const FIRST: RGBColor = RGBColor(0x0b, 0x6e, 0x69);
const SECOND: RGBColor = RGBColor(0x9a, 0xa8, 0xa5);
const TEXT: RGBColor = RGBColor(0x56, 0x64, 0x62);
const LINES: RGBColor = RGBColor(0xdb, 0xe1, 0xe1);
const CLEAR: RGBAColor = RGBAColor(0, 0, 0, 0.0);

/// The size of a chart, in its own units; a page scales it to its place.
const WIDTH: u32 = 420;
const HEIGHT: u32 = 150;
const FONT: u32 = 13;

/// One value for each step in time; none where nothing is known.
pub(crate) type Values = Vec<Option<i32>>;

/// How the values of a row are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A line, broken where nothing is known.
    Line,
    /// Bars.
    Bars,
}

/// Rows of values over the same steps.
pub(crate) struct Chart<'a> {
    /// The row that it is about.
    pub(crate) first: &'a Values,
    /// What it is compared with, behind it.
    pub(crate) second: Option<&'a Values>,
    /// How the first is drawn; the second is a line.
    pub(crate) mark: Mark,
    /// The least that the scale reaches up to.
    pub(crate) reaches: i32,
    /// The name of a step, under the axis.
    pub(crate) step: &'a dyn Fn(i32) -> String,
    /// The steps that are named.
    pub(crate) named: Vec<i32>,
}

impl Chart<'_> {
    /// As SVG. A chart that cannot be drawn, which is a bug, is logged and empty.
    pub(crate) fn svg(&self) -> String {
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let drawn = self
            .draw(&root)
            .and_then(|()| root.present().map_err(|error| error.to_string()));
        drop(root);
        if let Err(error) = drawn {
            tracing::warn!(%error, "a chart could not be drawn");
            return String::new();
        }
        svg
    }

    fn draw(&self, root: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String> {
        let steps = i32::try_from(self.first.len()).unwrap_or(i32::MAX).max(1);
        let all = self.first.iter().chain(self.second.into_iter().flatten());
        let top = all
            .flatten()
            .copied()
            .max()
            .unwrap_or(0)
            .max(self.reaches)
            .max(1);
        // A little room above the highest.
        let top = top.saturating_add(top / 10).max(top);
        let mut chart = ChartBuilder::on(root)
            .margin(6)
            .margin_right(12)
            .x_label_area_size(22)
            .y_label_area_size(36)
            .build_cartesian_2d((0..steps).with_key_points(self.named.clone()), 0..top)
            .map_err(|error| error.to_string())?;
        let text = ("sans-serif", FONT).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(LINES)
            .light_line_style(CLEAR)
            .axis_style(LINES)
            .label_style(text)
            .x_labels(self.named.len().max(1))
            .y_labels(4)
            .x_label_formatter(&|step| (self.step)(*step))
            .y_label_formatter(&|value| crate::format::count(i64::from(*value)))
            .draw()
            .map_err(|error| error.to_string())?;
        if let Some(second) = self.second {
            for run in runs(second) {
                let line = LineSeries::new(run, SECOND.stroke_width(2));
                chart.draw_series(line).map_err(|error| error.to_string())?;
            }
        }
        match self.mark {
            Mark::Line => {
                for run in runs(self.first) {
                    let line = LineSeries::new(run, FIRST.stroke_width(2));
                    chart.draw_series(line).map_err(|error| error.to_string())?;
                }
            }
            Mark::Bars => {
                let bars = points(self.first).map(|(step, value)| {
                    let mut bar = Rectangle::new([(step, 0), (step + 1, value)], FIRST.filled());
                    bar.set_margin(0, 0, 1, 1);
                    bar
                });
                chart.draw_series(bars).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// What is known, each with its step.
fn points(values: &Values) -> impl Iterator<Item = (i32, i32)> + '_ {
    (0..)
        .zip(values)
        .filter_map(|(step, value)| Some((step, (*value)?)))
}

/// Runs of steps of which something is known. A single one is drawn over its whole step.
fn runs(values: &Values) -> Vec<Vec<(i32, i32)>> {
    let mut runs: Vec<Vec<(i32, i32)>> = Vec::new();
    for (step, value) in points(values) {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|(last, _)| last + 1 == step) => {
                run.push((step, value))
            }
            _ => runs.push(vec![(step, value)]),
        }
    }
    for run in &mut runs {
        if let [(step, value)] = run[..] {
            run.push((step + 1, value));
        }
    }
    runs
}

/// A chart with its title and what it says in words, for those who do not see it.
pub(crate) fn figure(title: &str, legend: &Markup, words: &str, svg: &str) -> Markup {
    html! {
        figure.chart {
            figcaption { strong { (title) } (legend) }
            div role="img" aria-label=(words) { (PreEscaped(svg)) }
        }
    }
}

/// The lowest and the highest of what is known.
pub(crate) fn span(values: &Values) -> Option<RangeInclusive<i32>> {
    let known = || values.iter().flatten().copied();
    Some(known().min()?..=known().max()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_where_nothing_is_known() {
        let values = vec![Some(1), Some(2), None, Some(4), None, None];
        assert_eq!(runs(&values), [vec![(0, 1), (1, 2)], vec![(3, 4), (4, 4)]]);
        assert_eq!(span(&values), Some(1..=4));
        assert_eq!(span(&vec![None]), None);
    }

    #[test]
    fn a_chart_has_no_styles_or_scripts_of_its_own_and_is_small() {
        let values: Values = (0..72)
            .map(|step| (step % 7 != 0).then_some(step))
            .collect();
        let step = |step: i32| format!("<{step}>");
        for mark in [Mark::Line, Mark::Bars] {
            let chart = Chart {
                first: &values,
                second: Some(&values),
                mark,
                reaches: 100,
                step: &step,
                named: vec![0, 24, 48],
            };
            let svg = chart.svg();
            assert!(svg.starts_with("<svg") && svg.contains("#0B6E69"), "{svg}");
            assert!(!svg.contains("style=") && !svg.contains("<script"), "{svg}");
            assert!(svg.contains("&lt;") && !svg.contains("<0>"), "{svg}");
            assert!(svg.len() < 12 * 1024, "{}", svg.len());
        }
        let nothing = Vec::new();
        let chart = Chart {
            first: &nothing,
            second: None,
            mark: Mark::Line,
            reaches: 0,
            step: &step,
            named: vec![0, 24, 48],
        };
        assert!(chart.svg().contains("</svg>"));
    }
}
