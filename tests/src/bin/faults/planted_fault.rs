//! Guards that are taken away on purpose, so that it is seen that a run notices.

use std::path::Path;
use std::time::Duration;

use sqlx::Executor as _;
use tokio::time::sleep;

use crate::world::World;

/// A guard that is taken away, or what would follow if it were.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlantedFault {
    /// Its name in the table, which also chooses it on the command line.
    pub(crate) name: &'static str,
    /// The invariants of the specification that it breaks.
    pub(crate) invariants: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    /// The faults under which it shows, by parts of their names; all without any.
    pub(crate) faults: &'static [&'static str],
    /// Executed before the first round.
    once: &'static str,
    /// Executed before the judgement of each round.
    each: &'static str,
    /// The boxes' journals are removed all the time.
    forgets: bool,
}

const NONE: PlantedFault = PlantedFault {
    name: "",
    invariants: "",
    what: "",
    faults: &[],
    once: "",
    each: "",
    forgets: false,
};

/// All of them.
pub(crate) const ALL: [PlantedFault; 11] = [
    PlantedFault {
        name: "commits that are not durable",
        invariants: "4, 18",
        what: "`synchronous_commit = off`, and the WAL is written every 10 s",
        faults: &["postmaster killed", "backend killed"],
        once: "ALTER SYSTEM SET synchronous_commit = off;
               ALTER SYSTEM SET wal_writer_delay = '10s';
               SELECT pg_reload_conf()",
        ..NONE
    },
    PlantedFault {
        name: "a payment without its notification",
        invariants: "4",
        what: "a trigger drops one of ten notifications",
        once: "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RETURN CASE WHEN NEW.sequence % 10 = 9 THEN NULL ELSE NEW END; END $$;
               CREATE TRIGGER planted BEFORE INSERT ON notifications FOR EACH ROW EXECUTE FUNCTION planted()",
        ..NONE
    },
    PlantedFault {
        name: "two notifications of one payment",
        invariants: "1",
        what: "`notifications_once` is dropped and a trigger adds a second one",
        once: "DROP INDEX notifications_once;
               CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 NEW.event_id := gen_random_uuid();
                 UPDATE notification_sequences SET last_sequence = last_sequence + 1
                 WHERE device_id = NEW.device_id RETURNING last_sequence INTO NEW.sequence;
                 INSERT INTO notifications (event_id, device_id, sequence, binding_id, transaction_id, merchant_name, amount,
                   paid_at, replay, status, created_at, next_attempt_at, delayed_after, announce_until)
                 VALUES (NEW.event_id, NEW.device_id, NEW.sequence, NEW.binding_id, NEW.transaction_id, NEW.merchant_name,
                   NEW.amount, NEW.paid_at, false, 'pending', NEW.created_at, NEW.created_at, NEW.delayed_after,
                   NEW.announce_until);
                 RETURN NULL; END $$;
               CREATE TRIGGER planted AFTER INSERT ON notifications FOR EACH ROW
               WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION planted()",
        ..NONE
    },
    PlantedFault {
        name: "another amount is announced",
        invariants: "3, 8",
        what: "a trigger adds a rupiah to what is announced",
        once: "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN NEW.amount := NEW.amount + 1; RETURN NEW; END $$;
               CREATE TRIGGER planted BEFORE INSERT ON notifications FOR EACH ROW EXECUTE FUNCTION planted()",
        ..NONE
    },
    PlantedFault {
        name: "boxes that forget",
        invariants: "5",
        what: "the journals of boxes are removed",
        faults: &["boxes lose power", "boxes mute", "boxes deaf", "database mute"],
        forgets: true,
        ..NONE
    },
    PlantedFault {
        name: "paid becomes expired",
        invariants: "7",
        what: "one paid transaction a round is set to expired",
        each: "UPDATE transactions SET status = 'expired' WHERE id IN
                 (SELECT id FROM transactions WHERE status = 'paid' ORDER BY created_at DESC LIMIT 1)",
        ..NONE
    },
    PlantedFault {
        name: "books that do not balance",
        invariants: "9",
        what: "`postings_balanced` and `postings_append_only` are dropped, and one posting a round is changed",
        once: "ALTER TABLE postings DROP CONSTRAINT postings_balanced;
               DROP TRIGGER postings_append_only ON postings",
        each: "UPDATE postings SET mdr = mdr - 1 WHERE id = (SELECT max(id) FROM postings)",
        ..NONE
    },
    PlantedFault {
        name: "settled twice",
        invariants: "10",
        what: "`settlement_items_once` is dropped, and one item a round is repeated",
        once: "ALTER TABLE settlement_items DROP CONSTRAINT settlement_items_once",
        each: "INSERT INTO settlement_items SELECT * FROM settlement_items WHERE kind = 'sale' LIMIT 1",
        ..NONE
    },
    PlantedFault {
        name: "paid out twice",
        invariants: "11",
        what: "`payouts_one_in_force` is dropped, and a paid payout a round is made again",
        once: "DROP INDEX payouts_one_in_force",
        each: "INSERT INTO payouts (id, settlement_id, merchant_id, attempt, partner_id, destination, amount, status, due_at,
                 created_by, created_at, updated_at)
               SELECT gen_random_uuid(), settlement_id, merchant_id, attempt + 1, partner_id, destination, amount, 'pending',
                 now(), created_by, now(), now() FROM payouts WHERE status = 'paid' AND attempt = 1 LIMIT 1
               ON CONFLICT DO NOTHING",
        ..NONE
    },
    PlantedFault {
        name: "money that nobody sent",
        invariants: "3, 14",
        what: "the reference of one payment a round is changed, as if a forged callback had been taken",
        each: "UPDATE payments SET partner_reference = 'forged' WHERE partner_reference <> 'forged' AND transaction_id =
                 (SELECT transaction_id FROM payments ORDER BY accepted_at DESC LIMIT 1)
                 AND NOT EXISTS (SELECT FROM payments WHERE partner_reference = 'forged')",
        ..NONE
    },
    PlantedFault {
        name: "an audit row is changed",
        invariants: "16",
        what: "`audit_logs_append_only` is dropped, and the actor of one row a round is changed",
        once: "DROP TRIGGER audit_logs_append_only ON audit_logs",
        each: "UPDATE audit_logs SET actor = 'nobody' WHERE id = (SELECT min(id) FROM audit_logs)",
        ..NONE
    },
];

impl PlantedFault {
    /// Takes the guard away.
    pub(crate) async fn begin(&self, world: &World) -> anyhow::Result<()> {
        execute(world, self.once).await?;
        if self.forgets {
            let boxes = world.boxes_dir();
            tokio::spawn(async move {
                while boxes.exists() {
                    remove_journals(&boxes);
                    sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Ok(())
    }

    /// What is done before each judgement.
    pub(crate) async fn act(&self, world: &World) -> anyhow::Result<()> {
        execute(world, self.each).await
    }
}

/// Statements of a file of this program, one after the other.
async fn execute(world: &World, statements: &'static str) -> anyhow::Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let mut database = world.postgres.connect().await?;
    if statements.starts_with("ALTER SYSTEM") {
        // Not within the transaction that several statements in one message are.
        for one in statements.split(';') {
            database.execute(one).await?;
        }
    } else {
        sqlx::raw_sql(statements).execute(&mut database).await?;
    }
    Ok(())
}

/// Of all boxes below a directory.
fn remove_journals(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_journals(&path);
        } else if path.file_name().is_some_and(|name| name == "journal.jsonl") {
            // A box may be about to make another one.
            let _ = std::fs::remove_file(path);
        }
    }
}
