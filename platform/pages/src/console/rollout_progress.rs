//! How far a bulk command has come: in words, as a bar, step by step.

use domain::rollout::{GuardSeen, Heard, Rollout, RolloutStatus};
use maud::{Markup, html};
use service::fleet::bulk_command::{Progress, View};

use super::device_order::order_name;
use crate::format::count;
use crate::session::Viewer;
use crate::words::rollout::Rollouts;
use crate::words::state::{Told, Tone, badge};

/// What a person reads of a state.
pub(super) fn state(status: RolloutStatus, words: &Rollouts) -> Told {
    match status {
        RolloutStatus::Running => (words.running, Tone::Waiting),
        RolloutStatus::Paused => (words.paused, Tone::Waiting),
        RolloutStatus::Aborted => (words.aborted, Tone::Bad),
        RolloutStatus::Cancelled => (words.cancelled, Tone::Quiet),
        RolloutStatus::Completed => (words.completed, Tone::Good),
    }
}

/// What it has boxes do; of a firmware, with the version.
pub(super) fn title(row: &View, viewer: &Viewer) -> String {
    let name = order_name(row.kind, viewer);
    match row
        .payload
        .get("version")
        .and_then(|version| version.as_str())
    {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    }
}

/// How many boxes are done with it.
pub(super) fn tally(row: &View, words: &Rollouts) -> String {
    let done = row.progress.total - row.progress.pending - row.progress.queued - row.progress.sent;
    let (done, total) = (count(done), count(row.progress.total));
    format!("{done} {} {total} {}", words.of, words.done)
}

/// The numbers of the bar, in its order, each with its class.
fn shares(progress: &Progress) -> [(i64, &'static str); 5] {
    [
        (progress.delivered, "good"),
        (progress.failed + progress.timeout, "bad"),
        (progress.queued + progress.sent, "waiting"),
        (progress.skipped + progress.cancelled, "quiet"),
        (progress.pending, "none"),
    ]
}

/// The width of a bar, in its own units.
const BAR: i64 = 1000;

/// All boxes as one bar: what they are at, by colour, and where each step ends.
pub(super) fn bar(row: &View, words: &Rollouts) -> Markup {
    let total = row.progress.total.max(1);
    let mut parts = Vec::new();
    let mut before = 0;
    for (number, class) in shares(&row.progress) {
        let (from, to) = (before * BAR / total, (before + number) * BAR / total);
        if to > from {
            parts.push((from, to - from, class));
        }
        before += number;
    }
    let ends = steps(row);
    let marks = ends.iter().take(ends.len().saturating_sub(1));
    html! {
        svg.bar viewBox={ "0 0 " (BAR) " 24" } preserveAspectRatio="none" role="img" aria-label=(tally(row, words)) {
            @for (from, width, class) in &parts {
                rect class=(class) x=(from) y="0" width=(width) height="24" {}
            }
            @for end in marks {
                @let at = i64::from(*end) * BAR / total;
                line x1=(at) x2=(at) y1="0" y2="24" {}
            }
        }
    }
}

/// How many boxes have had their turn at the end of each step.
fn steps(row: &View) -> Vec<u32> {
    let total = u32::try_from(row.progress.total).unwrap_or(u32::MAX);
    rollout(row).map_or_else(|| vec![total], |rollout| rollout.steps(total))
}

/// How it is rolled out.
pub(super) fn rollout(row: &View) -> Option<Rollout> {
    serde_json::from_value(row.rollout.clone()).ok()
}

/// The steps in words: which is over, which is now.
pub(super) fn step_list(row: &View, words: &Rollouts) -> Markup {
    let ends = steps(row);
    let canary = rollout(row).map_or(0, |rollout| rollout.canary);
    let now = usize::try_from(row.step).unwrap_or(usize::MAX);
    let is_over = row.status == RolloutStatus::Completed;
    html! {
        ol.steps {
            @for (place, end) in ends.iter().enumerate() {
                @let (text, tone) = if is_over || place < now {
                    (words.step_over, Tone::Good)
                } else if place == now {
                    (words.step_now, Tone::Waiting)
                } else {
                    (words.step_later, Tone::Quiet)
                };
                li aria-current=[(!is_over && place == now).then_some("step")] {
                    strong {
                        @if place == 0 && *end == canary && ends.len() > 1 { (words.canary) }
                        @else if place + 1 == ends.len() { (words.last_step) }
                        @else { (words.phase) " " (place + 1) }
                    }
                    span { (count(i64::from(*end))) " " (words.boxes) }
                    (badge((text, tone)))
                }
            }
        }
    }
}

/// What a firmware's roll-out watches, as it was last seen.
pub(super) fn guard(row: &View, words: &Rollouts) -> Markup {
    let seen: Option<GuardSeen> = row
        .guard_seen
        .clone()
        .and_then(|seen| serde_json::from_value(seen).ok());
    let of = |heard: &Heard| {
        let number = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
        format!(
            "{} {} {}",
            number(heard.unheard),
            words.of,
            number(heard.payments)
        )
    };
    html! {
        @if let Some(seen) = &seen {
            h3 { (words.guard) }
            dl.facts {
                div { dt { (words.unheard_updated) } dd { (of(&seen.updated)) } }
                div { dt { (words.unheard_rest) } dd { (of(&seen.rest)) } }
                div { dt { (words.unconfirmed) } dd { (seen.unconfirmed) } }
            }
        }
    }
}

/// How many boxes are at what.
pub(super) fn legend(row: &View, viewer: &Viewer) -> Markup {
    let (words, own) = (viewer.words(), Rollouts::of(viewer.language));
    let progress = &row.progress;
    let numbers = [
        (progress.delivered, words.command_delivered, "good"),
        (progress.failed, words.failed, "bad"),
        (progress.timeout, words.timed_out, "bad"),
        (progress.sent, words.sent, "waiting"),
        (progress.queued, words.queued, "waiting"),
        (progress.skipped, own.skipped, "quiet"),
        (progress.cancelled, words.cancelled, "quiet"),
        (progress.pending, own.pending, "quiet"),
    ];
    html! {
        @for (number, name, class) in numbers {
            @if number > 0 { span class={ "mark " (class) } { (count(number)) " " (name) } }
        }
    }
}
