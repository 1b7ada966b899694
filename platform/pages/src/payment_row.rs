//! A payment as a row of a list that grows by itself.

use maud::{Markup, html};
use service::payment::live::{Progress, progress};
use store::payment::live::LivePayment;
use wire::speech::{Kind, sentence};

use crate::format::{clock, milliseconds, rupiah};
use crate::icon;
use crate::words::Words;
use crate::words::state::Tone;

/// The element of a payment, by which a newer version of it finds it.
fn element(payment: &LivePayment) -> String {
    format!("p-{}", payment.id)
}

/// One of the three marks.
fn mark(tone: Tone, icon: &Markup, text: &str, ms: Option<i64>) -> Markup {
    html! {
        span class={ "mark " (tone.class()) } {
            (icon) span.word { (text) }
            @if let Some(ms) = ms { span.ms { (milliseconds(ms)) } }
        }
    }
}

fn last_mark(payment: &LivePayment, words: &Words) -> Markup {
    let progress = progress(payment);
    let (text, tone) = words.progress(progress);
    let (icon, ms) = match progress {
        Progress::Heard => (icon::sound(), payment.played_ms),
        Progress::Delivered => (icon::check(), payment.received_ms),
        Progress::Waiting => (icon::dots(), None),
        Progress::Unheard | Progress::NoBox => (icon::cross(), None),
        Progress::Reversed => (icon::undo(), None),
    };
    mark(tone, &icon, text, ms)
}

/// paid → sent → heard, each with its milliseconds.
pub(crate) fn marks(payment: &LivePayment, words: &Words) -> Markup {
    html! {
        span.marks {
            (mark(Tone::Good, &icon::check(), words.paid, None))
            @if payment.boxes > 0 {
                @let tone = if payment.sent_ms.is_some() { Tone::Good } else { Tone::Waiting };
                (mark(tone, &icon::sent(), words.sent, payment.sent_ms))
            }
            (last_mark(payment, words))
        }
    }
}

/// Whether something was taken back, and something is left.
fn is_part(payment: &LivePayment) -> bool {
    !payment.reversed && payment.refunded > wire::Rupiah::ZERO
}

/// For the console: every merchant's.
pub(crate) fn for_staff(payment: &LivePayment, words: &Words) -> Markup {
    html! {
        li id=(element(payment)) {
            a.row href={ "/console/payments/" (payment.id) } {
                time.at datetime=(payment.accepted_at.to_rfc3339()) { (clock(payment.accepted_at)) }
                strong.money { (rupiah(payment.amount)) }
                span.who { (payment.merchant) small { (payment.outlet) " · " (payment.terminal) } }
                @if is_part(payment) { small { (words.refunded) " " (rupiah(payment.refunded)) } }
                (marks(payment, words))
            }
        }
    }
}

/// For the portal: the shop's own, with what a phone that is the box says.
pub(crate) fn for_merchant(payment: &LivePayment, words: &Words) -> Markup {
    let says = sentence(wire::Language::default(), Kind::Paid(payment.amount), None)
        .map(|said| said.text())
        .ok();
    html! {
        li id=(element(payment)) data-say=[says.filter(|_| !payment.reversed)]
            data-at=(payment.accepted_at.timestamp_millis()) {
            div.row {
                time.at datetime=(payment.paid_at.to_rfc3339()) { (clock(payment.paid_at)) }
                strong.money { (rupiah(payment.amount)) }
                span.who {
                    (payment.terminal)
                    @if let Some(issuer) = &payment.issuer { small { (issuer) } }
                    @if is_part(payment) { small { (words.refunded) " " (rupiah(payment.refunded)) } }
                }
                span.marks { (last_mark(payment, words)) }
            }
        }
    }
}
