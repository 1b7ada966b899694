//! Whether money adds up: what the acquirer was answered, the database, the payout partner.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;

use crate::world::World;

/// What must not be: a question that counts rows, and what they are.
const NEVER: [(&str, &str); 8] = [
    (
        "postings that do not balance",
        "SELECT count(*) FROM (SELECT posting_id FROM ledger_entries GROUP BY posting_id
                               HAVING sum(debit) <> sum(credit)) p",
    ),
    (
        "payments that were not booked with their amount",
        "SELECT count(*) FROM payments p WHERE amount IS DISTINCT FROM
           (SELECT sum(debit) FROM ledger_entries l WHERE l.transaction_id = p.transaction_id AND l.kind = 'sale')",
    ),
    (
        "payments whose fee and net are not their amount",
        "SELECT count(*) FROM payments WHERE amount <> fee + net",
    ),
    (
        "notifications with another amount than the payment",
        "SELECT count(*) FROM notifications n JOIN payments p USING (transaction_id) WHERE n.amount <> p.amount",
    ),
    (
        "notifications of what is not paid",
        "SELECT count(*) FROM notifications n WHERE NOT EXISTS
           (SELECT FROM payments p WHERE p.transaction_id = n.transaction_id)",
    ),
    (
        "paid transactions that became something else than reversed",
        "SELECT count(*) FROM transaction_events WHERE from_status = 'paid' AND to_status <> 'reversed'",
    ),
    (
        "payments in two settlements",
        "SELECT count(*) FROM (SELECT transaction_id FROM settlement_items WHERE kind = 'sale'
                               GROUP BY transaction_id HAVING count(*) > 1) s",
    ),
    (
        "settlements with two payouts in force",
        "SELECT count(*) FROM (SELECT settlement_id FROM payouts WHERE status IN ('pending', 'processing', 'paid')
                               GROUP BY settlement_id HAVING count(*) > 1) s",
    ),
];

/// A payment as the database has it.
type Row = (String, i64, bool, String);

/// Everything that is wrong.
pub(super) async fn check(world: &World) -> anyhow::Result<Vec<String>> {
    let mut database = world.postgres.connect().await?;
    let mut wrong = payments(world, &mut database).await?;
    for (what, question) in NEVER {
        let count: i64 = sqlx::query_scalar(question)
            .fetch_one(&mut database)
            .await?;
        if count > 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    wrong.extend(payouts(world, &mut database).await?);
    Ok(wrong)
}

/// The payments are those that were answered, no more and no fewer.
async fn payments(world: &World, database: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT partner_reference, p.amount, reversed_at IS NOT NULL, status
         FROM payments p JOIN transactions t ON t.id = p.transaction_id",
    )
    .fetch_all(database)
    .await?;
    let mut kept: HashMap<String, (i64, bool, String)> = rows
        .into_iter()
        .map(|(reference, amount, reversed, status)| (reference, (amount, reversed, status)))
        .collect();
    let mut wrong = Vec::new();
    let evidence = world.participants.shared.evidence();
    for (sale, is_reversed) in evidence.sales() {
        for reference in &sale.references {
            let status = if is_reversed { "reversed" } else { "paid" };
            let expected = (sale.amount, is_reversed, status.to_owned());
            let found = kept.remove(reference);
            if found.as_ref() != Some(&expected) && sale.is_answered() {
                wrong.push(format!("{reference} is {found:?}, not {expected:?}"));
            }
        }
    }
    wrong.extend(
        kept.into_iter()
            .map(|(reference, found)| format!("nobody paid {reference}: {found:?}")),
    );
    Ok(wrong)
}

/// Every settlement that is paid was paid by the partner, once and with its net.
async fn payouts(world: &World, database: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let settlements: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT 'set_' || replace(id::text, '-', ''), net, status FROM settlements")
            .fetch_all(database)
            .await?;
    let mut paid: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for transfer in world.payouts.transfers().into_values() {
        let instruction = &transfer.instruction;
        if let (Some(id), Some(amount)) = (
            instruction["settlement_id"].as_str(),
            instruction["amount"].as_i64(),
        ) && transfer.status == "paid"
        {
            paid.entry(id.to_owned()).or_default().push(amount);
        }
    }
    let mut wrong = Vec::new();
    for (id, net, status) in settlements {
        let sums = paid.remove(&id).unwrap_or_default();
        let expected: &[i64] = if status == "paid" { &[net] } else { &[] };
        if sums != expected && status != "processing" && status != "pending" {
            wrong.push(format!("{id} ({status}, {net}) was paid out as {sums:?}"));
        }
        if sums.len() > 1 {
            wrong.push(format!("{id} was paid out {} times", sums.len()));
        }
    }
    wrong.extend(
        paid.keys()
            .map(|id| format!("{id} was paid out and is not there")),
    );
    Ok(wrong)
}
