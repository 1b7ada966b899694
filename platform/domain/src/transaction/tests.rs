use proptest::prelude::*;

use crate::callback::{CallbackTarget, PaidAmount, PrintedCode};

use super::TransactionStatus::{AwaitingPayment, Expired, Failed, Initiated, Paid, Reversed};
use super::*;

const AMOUNT: i64 = 50_000;

fn nmid(text: &str) -> Nmid {
    text.parse().unwrap()
}

fn callback(status: CallbackStatus, reference: &str) -> Callback {
    Callback {
        event_id: "e".to_owned(),
        target: CallbackTarget::Transaction {
            id: "tx_01890a5d3f2c7b3e8f00112233445566".parse().unwrap(),
            nmid: None,
        },
        partner_reference: reference.to_owned(),
        amount: Rupiah::from_i64(AMOUNT).into(),
        refund_no: None,
        status,
        paid_at: None,
        rrn: None,
        issuer: None,
        adjustments: Vec::new(),
    }
}

/// A transaction as it would stand: paid and reversed ones have the reference `first`.
fn view(status: TransactionStatus) -> TransactionView<'static> {
    TransactionView {
        status,
        amount: Rupiah::from_i64(AMOUNT),
        due: AmountDue::exactly(Rupiah::from_i64(AMOUNT)),
        nmid: None,
        partner_reference: matches!(status, Paid | Reversed).then_some("first"),
        reference: ReferenceView::default(),
        refunds: RefundView::default(),
    }
}

#[test]
fn every_step_of_a_life_is_allowed_or_refused() {
    let reached = |step: fn(TransactionStatus) -> Option<TransactionStatus>| -> Vec<Option<TransactionStatus>> {
        TransactionStatus::ALL.iter().map(|status| step(*status)).collect()
    };
    // In order: initiated, awaiting payment, paid, failed, expired, reversed.
    assert_eq!(
        reached(|s| s.await_payment().ok()),
        [Some(AwaitingPayment), None, None, None, None, None]
    );
    assert_eq!(
        reached(|s| s.pay().ok().map(|paid| paid.status)),
        [Some(Paid), Some(Paid), None, Some(Paid), Some(Paid), None]
    );
    assert_eq!(
        reached(|s| s.fail().ok()),
        [Some(Failed), Some(Failed), None, None, None, None]
    );
    assert_eq!(
        reached(|s| s.expire().ok()),
        [Some(Expired), Some(Expired), None, None, None, None]
    );
    assert_eq!(
        reached(|s| s.reverse().ok()),
        [None, None, Some(Reversed), None, None, None]
    );
    assert_eq!(
        Paid.expire(),
        Err(InvalidTransition {
            current: Paid,
            wanted: Expired
        })
    );
}

#[test]
fn every_pair_of_status_and_callback_has_its_answer() {
    use CallbackStatus as C;
    use Decision as D;
    let ignored = |contradictory| D::Ignored { contradictory };
    let (against, belated) = (ignored(true), ignored(false));
    let (paid, late) = (D::Paid { late: false }, D::Paid { late: true });
    for (status, success, same_success, failed, expired, reversed) in [
        (Initiated, paid, paid, D::Failed, D::Expired, D::Held),
        (AwaitingPayment, paid, paid, D::Failed, D::Expired, D::Held),
        (
            Paid,
            D::OtherReference,
            D::Duplicate,
            against,
            against,
            D::Reversed,
        ),
        (Failed, late, late, D::Duplicate, belated, D::Held),
        (Expired, late, late, belated, D::Duplicate, D::Held),
        (
            Reversed,
            D::HeldMoney,
            D::Duplicate,
            against,
            against,
            D::Duplicate,
        ),
    ] {
        for (message, reference, expected) in [
            (C::Success, "other", success),
            (C::Success, "first", same_success),
            (C::Failed, "first", failed),
            (C::Expired, "first", expired),
            (C::Reversed, "first", reversed),
            // A reference that is not known reverses nothing.
            (C::Reversed, "other", D::Held),
        ] {
            let answer = decide(&view(status), &callback(message, reference));
            assert_eq!(answer, expected, "{status} {message} {reference}");
        }
    }
}

#[test]
fn every_message_about_a_printed_code_has_its_answer() {
    use CallbackStatus as C;
    use Decision as D;
    let view = |is_unmatched, reversal_is_held| ReferenceView {
        is_unmatched,
        reversal_is_held,
    };
    let (unseen, kept, held) = (view(false, false), view(true, false), view(false, true));
    let paid = D::Paid { late: false };
    let ignored = |contradictory| D::Ignored { contradictory };
    for (view, success, given_up, reversed) in [
        (unseen, paid, ignored(false), D::Held),
        (kept, D::Duplicate, ignored(true), D::OtherReference),
        (held, D::Held, ignored(false), D::Duplicate),
    ] {
        assert_eq!(decide_printed(view, C::Success), success, "{view:?}");
        assert_eq!(decide_printed(view, C::Failed), given_up, "{view:?}");
        assert_eq!(decide_printed(view, C::Expired), given_up, "{view:?}");
        assert_eq!(decide_printed(view, C::Reversed), reversed, "{view:?}");
    }
}

#[test]
fn another_amount_or_merchant_changes_nothing_in_any_status() {
    let (ours, theirs) = (nmid("ID9900000000001"), nmid("ID9900000000002"));
    for status in TransactionStatus::ALL {
        for kind in CallbackStatus::ALL {
            let view = TransactionView {
                nmid: Some(&ours),
                ..view(*status)
            };
            let mut message = callback(*kind, "first");
            for amount in [
                Rupiah::from_i64(AMOUNT + 1).into(),
                PaidAmount::OutOfRange("9".repeat(20)),
            ] {
                message.amount = amount;
                assert_eq!(
                    decide(&view, &message),
                    Decision::Mismatch(Mismatch::Amount)
                );
            }
            let mut message = callback(*kind, "first");
            let CallbackTarget::Transaction { id, .. } = message.target else {
                panic!()
            };
            message.target = CallbackTarget::Transaction {
                id,
                nmid: Some(theirs.clone()),
            };
            assert_eq!(
                decide(&view, &message),
                Decision::Mismatch(Mismatch::Merchant)
            );
            message.target = CallbackTarget::Transaction {
                id,
                nmid: Some(ours.clone()),
            };
            assert!(!matches!(decide(&view, &message), Decision::Mismatch(_)));
            message.target = CallbackTarget::Static(PrintedCode {
                nmid: Some(theirs.to_string()),
                ..PrintedCode::default()
            });
            assert_eq!(
                decide(&view, &message),
                Decision::Mismatch(Mismatch::Merchant)
            );
        }
    }
}

#[test]
fn what_is_due_with_a_tip_is_what_may_be_paid() {
    let due = |least: i64, most: i64| TransactionView {
        due: AmountDue {
            least: Rupiah::from_i64(least),
            most: Rupiah::from_i64(most),
        },
        ..view(AwaitingPayment)
    };
    let judged = |view: &TransactionView<'_>, status, amount: i64| {
        let mut message = callback(status, "first");
        message.amount = Rupiah::from_i64(amount).into();
        decide(view, &message)
    };
    let paid = Decision::Paid { late: false };
    let mismatch = Decision::Mismatch(Mismatch::Amount);
    for (view, right, wrong) in [
        (
            due(AMOUNT + 500, AMOUNT + 500),
            &[500][..],
            &[-1, 0, 499, 501][..],
        ),
        (due(AMOUNT, 10_000_000), &[0, 1, 500], &[-1, 9_950_001]),
    ] {
        for tip in right {
            assert_eq!(judged(&view, CallbackStatus::Success, AMOUNT + tip), paid);
        }
        for tip in wrong {
            assert_eq!(
                judged(&view, CallbackStatus::Success, AMOUNT + tip),
                mismatch
            );
        }
        // A failure may say what was asked, or what was due.
        for amount in [AMOUNT, AMOUNT + 500] {
            let judged = judged(&view, CallbackStatus::Failed, amount);
            assert_eq!(judged, Decision::Failed);
        }
        assert_eq!(judged(&view, CallbackStatus::Failed, AMOUNT - 1), mismatch);
    }
}

#[test]
fn the_reversal_of_unmatched_money_leaves_the_payment() {
    let view = TransactionView {
        reference: ReferenceView {
            is_unmatched: true,
            reversal_is_held: false,
        },
        ..view(Paid)
    };
    assert_eq!(
        decide(&view, &callback(CallbackStatus::Reversed, "second")),
        Decision::OtherReference
    );
    assert_eq!(
        decide(&view, &callback(CallbackStatus::Success, "second")),
        Decision::Duplicate
    );
}

#[test]
fn a_success_after_its_own_reversal_is_held() {
    for status in TransactionStatus::ALL {
        let view = TransactionView {
            reference: ReferenceView {
                is_unmatched: false,
                reversal_is_held: true,
            },
            ..view(*status)
        };
        assert_eq!(
            decide(&view, &callback(CallbackStatus::Success, "second")),
            Decision::Held,
            "{status}"
        );
        assert_eq!(
            decide(&view, &callback(CallbackStatus::Reversed, "second")),
            Decision::Duplicate,
            "{status}"
        );
    }
}

/// Carries decisions out as the service does, in memory.
#[derive(Default)]
struct Ledgerless {
    status: Option<TransactionStatus>,
    reference: Option<String>,
    unmatched: Vec<String>,
    held: Vec<String>,
    paid: u32,
}

impl Ledgerless {
    fn hear(&mut self, callback: &Callback) -> Decision {
        let status = self.status.unwrap_or(AwaitingPayment);
        let decision = decide(
            &TransactionView {
                status,
                amount: Rupiah::from_i64(AMOUNT),
                due: AmountDue::exactly(Rupiah::from_i64(AMOUNT)),
                nmid: None,
                partner_reference: self.reference.as_deref(),
                reference: ReferenceView {
                    is_unmatched: self.unmatched.contains(&callback.partner_reference),
                    reversal_is_held: self.held.contains(&callback.partner_reference),
                },
                refunds: RefundView::default(),
            },
            callback,
        );
        let next = match decision {
            Decision::Paid { .. } => {
                self.paid += 1;
                self.reference = Some(callback.partner_reference.clone());
                status.pay().map(|paid| paid.status)
            }
            Decision::Failed => status.fail(),
            Decision::Expired => status.expire(),
            Decision::Reversed => status.reverse(),
            Decision::OtherReference | Decision::HeldMoney => {
                self.unmatched.push(callback.partner_reference.clone());
                Ok(status)
            }
            Decision::Held => {
                if callback.status == CallbackStatus::Reversed {
                    self.held.push(callback.partner_reference.clone());
                }
                Ok(status)
            }
            Decision::Duplicate | Decision::Mismatch(_) | Decision::Ignored { .. } => Ok(status),
        };
        self.status = Some(next.expect("a decision is a step that the status has"));
        decision
    }
}

proptest! {
    #[test]
    fn in_any_order_a_payment_is_paid_at_most_once_and_stays_so(
        messages in proptest::collection::vec(
            (
                proptest::sample::select(CallbackStatus::ALL),
                proptest::sample::select(&["first", "second", "third"][..]),
                proptest::bool::weighted(0.9),
            ),
            0..24,
        ),
    ) {
        let mut transaction = Ledgerless::default();
        let mut heard_success = false;
        for (status, reference, right_amount) in messages {
            let mut message = callback(status, reference);
            if !right_amount {
                message.amount = Rupiah::from_i64(1).into();
            }
            let before = transaction.status;
            let decision = transaction.hear(&message);
            heard_success |= status == CallbackStatus::Success && right_amount;
            let after = transaction.status.unwrap();
            if before == Some(Paid) {
                prop_assert!(matches!(after, Paid | Reversed));
            }
            if before == Some(Reversed) {
                prop_assert_eq!(after, Reversed);
            }
            if !right_amount {
                prop_assert_eq!(decision, Decision::Mismatch(Mismatch::Amount));
                prop_assert_eq!(before.unwrap_or(AwaitingPayment), after);
            }
            // Only a success makes it paid, and every message told twice changes nothing the second time.
            prop_assert!(heard_success || !matches!(after, Paid | Reversed));
            let again = transaction.hear(&message);
            let repeated = matches!(again, Decision::Paid { .. } | Decision::Reversed);
            prop_assert!(!repeated);
            prop_assert_eq!(transaction.status, Some(after));
        }
        prop_assert!(transaction.paid <= 1);
    }
}

/// A paid transaction of 50,000 of whose payment parts may be taken back, and so much was.
fn taken_back_before(
    refunded: i64,
    known: Option<(i64, RefundStatus)>,
) -> TransactionView<'static> {
    let status = if refunded == AMOUNT { Reversed } else { Paid };
    TransactionView {
        refunds: RefundView {
            allows_parts: true,
            refunded: Rupiah::from_i64(refunded),
            known: known.map(|(amount, status)| (Rupiah::from_i64(amount), status)),
        },
        ..view(status)
    }
}

#[test]
fn a_part_is_taken_back_once_for_each_number_and_never_more_than_is_left() {
    use Decision as D;
    use RefundStatus::{Done, Refused, Requested};
    let mismatch = D::Mismatch(Mismatch::Amount);
    for (refunded, known, amount, number, expected) in [
        (0, None, 20_000, Some("R-1"), D::Reversed),
        (
            20_000,
            Some((20_000, Done)),
            20_000,
            Some("R-1"),
            D::Duplicate,
        ),
        // The number of one refund with the amount of another.
        (20_000, Some((20_000, Done)), 30_000, Some("R-1"), mismatch),
        (20_000, None, 30_000, Some("R-2"), D::Reversed),
        (20_000, None, 30_001, Some("R-2"), mismatch),
        (
            20_000,
            Some((20_000, Requested)),
            20_000,
            Some("R-2"),
            D::Reversed,
        ),
        (
            20_000,
            Some((20_000, Refused)),
            20_000,
            Some("R-2"),
            D::Reversed,
        ),
        (
            40_000,
            Some((20_000, Refused)),
            20_000,
            Some("R-2"),
            mismatch,
        ),
        // Without a number: all or nothing.
        (0, None, 50_000, None, D::Reversed),
        (0, None, 20_000, None, mismatch),
        (20_000, None, 50_000, None, mismatch),
        (20_000, None, 30_000, None, mismatch),
        (50_000, None, 50_000, None, D::Duplicate),
        (50_000, None, 1, Some("R-9"), mismatch),
        (0, Some((20_000, Requested)), 20_000, None, D::Reversed),
    ] {
        let message = Callback {
            amount: Rupiah::from_i64(amount).into(),
            refund_no: number.map(str::to_owned),
            ..callback(CallbackStatus::Reversed, "first")
        };
        let decision = decide(&taken_back_before(refunded, known), &message);
        assert_eq!(
            decision, expected,
            "{refunded} {known:?} {amount} {number:?}"
        );
    }
    // Of another reference, and where no parts are taken back, the amount is that of the payment.
    let part = |reference| Callback {
        amount: Rupiah::from_i64(20_000).into(),
        refund_no: Some("R-1".to_owned()),
        ..callback(CallbackStatus::Reversed, reference)
    };
    assert_eq!(
        decide(&taken_back_before(0, None), &part("other")),
        mismatch
    );
    assert_eq!(decide(&view(Paid), &part("first")), mismatch);
}
