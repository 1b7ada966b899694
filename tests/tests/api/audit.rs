//! The audit log records who did what, and shows when it was changed.

use std::collections::BTreeSet;
use tests::prelude::*;

use service::people::audit::{self, Report};
use sqlx::{AssertSqlSafe, Connection};

/// Waits until everything so far is sealed.
async fn sealed(world: &World) -> Value {
    eventually("the seal of every row", || async {
        let head = world.admin().read("/admin/audit-logs/head").await;
        (head["waiting"] == 0 && head["seq"].as_i64() > Some(0)).then_some(head)
    })
    .await
}

async fn verify(world: &World, known_head: Option<&str>) -> Report {
    audit::verify(world.app().context(), known_head)
        .await
        .unwrap()
}

/// Changes rows as the owner of the database could.
async fn tamper(world: &World, statements: &[&str]) {
    let mut conn = world.pool.acquire().await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    for table in ["audit_logs", "audit_seals"] {
        let disarm = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
        sqlx::query(AssertSqlSafe(disarm))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    for statement in statements {
        let touched = sqlx::query(AssertSqlSafe((*statement).to_owned()))
            .execute(&mut *tx)
            .await
            .unwrap();
        assert!(touched.rows_affected() > 0, "{statement} did nothing");
    }
    tx.commit().await.unwrap();
}

/// Expects one finding.
async fn finds(world: &World, what: &str) {
    let report = verify(world, None).await;
    let [finding] = &report.findings[..] else {
        panic!("expected one finding, {what}: {:?}", report.findings)
    };
    assert!(finding.contains(what), "{finding}");
}

/// A platform with some history, all of it sealed.
async fn with_history() -> (World, Value) {
    let world = World::new().await;
    Shop::open(&world, "Warung Sari", 3).await;
    let head = sealed(&world).await;
    assert!(head["seq"].as_i64() >= Some(6), "{head}");
    assert_eq!(verify(&world, None).await.findings, [""; 0]);
    (world, head)
}

#[tokio::test]
async fn a_changed_row_is_found() {
    let (world, _) = with_history().await;
    for (column, value) in [
        ("at", "at + interval '1 microsecond'"),
        ("actor", "'system'"),
        ("action", "'terminal.patch'"),
        ("entity", "entity || '0'"),
        ("request_id", "NULL"),
        ("before", "'{}'"),
        ("after", "jsonb_set(after, '{name}', '\"Kasir 9\"')"),
    ] {
        let (world, row) = (
            &world,
            "id = (SELECT min(id) FROM audit_logs WHERE action LIKE 'terminal.%')",
        );
        tamper(
            world,
            &[
                "CREATE TABLE kept AS SELECT * FROM audit_logs WHERE id = (SELECT min(id) FROM audit_logs WHERE action LIKE 'terminal.%')",
                &format!("UPDATE audit_logs SET {column} = {value} WHERE {row}"),
            ],
        )
        .await;
        finds(world, "was changed after").await;
        let restore =
            format!("UPDATE audit_logs l SET {column} = k.{column} FROM kept k WHERE k.id = l.id");
        tamper(world, &[&restore]).await;
        world.execute("DROP TABLE kept").await;
        assert_eq!(verify(world, None).await.findings, [""; 0], "{column}");
    }
}

#[tokio::test]
async fn a_deleted_row_is_found() {
    let (world, _) = with_history().await;
    tamper(
        &world,
        &["DELETE FROM audit_logs WHERE id = (SELECT min(id) + 1 FROM audit_logs)"],
    )
    .await;
    finds(&world, "was deleted").await;
    // So is one whose seal was deleted as well.
    let link = "DELETE FROM audit_seals WHERE audit_id NOT IN (SELECT id FROM audit_logs)";
    tamper(&world, &[link]).await;
    finds(&world, "the chain has no link").await;
}

#[tokio::test]
async fn an_inserted_row_is_found() {
    let (world, _) = with_history().await;
    let forged = "INSERT INTO audit_logs (at, actor, action, entity) VALUES (now(), 'system', 'merchant.approve', 'm_1')";
    tamper(&world, &[forged]).await;
    finds(&world, "was inserted past the chain").await;
}

#[tokio::test]
async fn a_link_that_was_made_anew_is_found() {
    let (world, _) = with_history().await;
    // Row and hash agree again; the head does not, and with another head the next link would not.
    let link = "UPDATE audit_seals SET row_hash = sha256('x') WHERE seq = 3";
    tamper(&world, &[link]).await;
    let report = verify(&world, None).await;
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding == "link 3 was changed"),
        "{:?}",
        report.findings
    );
    let head = "UPDATE audit_seals SET head = sha256('y') WHERE seq = 3";
    tamper(&world, &[head]).await;
    let report = verify(&world, None).await;
    let findings: BTreeSet<&str> = report.findings.iter().map(String::as_str).collect();
    assert!(
        findings.contains("link 4 does not continue link 3"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_by_a_head_that_was_noted() {
    let (world, head) = with_history().await;
    let noted = text(&head, "head");
    assert_eq!(verify(&world, Some(&noted)).await.findings, [""; 0]);
    // More rows come after it: an old head stays valid.
    let _ = world.token(Role::Ops).await;
    sealed(&world).await;
    assert_eq!(verify(&world, Some(&noted)).await.findings, [""; 0]);
    tamper(
        &world,
        &[
            "DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM audit_seals WHERE seq >= 5)",
            "DELETE FROM audit_seals WHERE seq >= 5",
        ],
    )
    .await;
    assert_eq!(
        verify(&world, None).await.findings,
        [""; 0],
        "nothing in the chain tells"
    );
    let report = verify(&world, Some(&noted)).await;
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
}

#[tokio::test]
async fn the_log_cannot_be_changed_by_accident() {
    let (world, _) = with_history().await;
    for statement in [
        "UPDATE audit_logs SET actor = 'system'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "UPDATE audit_seals SET seq = seq",
        "DELETE FROM audit_seals",
    ] {
        let error = sqlx::query(statement)
            .execute(&world.pool)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("append-only"),
            "{statement}: {error}"
        );
    }
}

#[tokio::test]
async fn every_committed_row_is_sealed_once_whatever_the_order_of_commits() {
    let (world, before) = with_history().await;
    let insert = "WITH written AS (INSERT INTO audit_logs (at, actor, action, entity) VALUES (now(), 'a', 'x.y', 'z') RETURNING id)
                  INSERT INTO audit_waiting SELECT id FROM written";
    // The lower id is committed after the higher one was sealed; a third is rolled back.
    let mut early = world.pool.acquire().await.unwrap();
    let mut early = early.begin().await.unwrap();
    sqlx::query(insert).execute(&mut *early).await.unwrap();
    let mut never = world.pool.acquire().await.unwrap();
    let mut never = never.begin().await.unwrap();
    sqlx::query(insert).execute(&mut *never).await.unwrap();
    world.execute(insert).await;
    let between = sealed(&world).await;
    early.commit().await.unwrap();
    never.rollback().await.unwrap();
    let after = eventually("the seal of the late row", || async {
        let head = sealed(&world).await;
        (head["seq"] != between["seq"]).then_some(head)
    })
    .await;
    let seq = |head: &Value| head["seq"].as_i64().unwrap();
    assert_eq!(
        (seq(&between), seq(&after)),
        (seq(&before) + 1, seq(&before) + 2)
    );
    assert_eq!(verify(&world, None).await.findings, [""; 0]);
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_by_entity() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 3).await;
    sealed(&world).await;
    let support = world.staff(Role::Support).await;
    let all = support.list("/admin/audit-logs?limit=200").await;
    let paged = support.pages("/admin/audit-logs?limit=2").await;
    assert_eq!(paged, all);
    let path = format!("/admin/audit-logs?entity={}", shop.merchant_id);
    let about: Vec<Value> = support.list(&path).await;
    assert_eq!(
        texts(&about, "action"),
        ["merchant.approve", "merchant.create"]
    );
    assert_eq!(about[0]["before"]["status"], "pending_review");
    assert_eq!(about[0]["after"]["status"], "approved");
    assert!(about[0]["actor"].as_str().unwrap().starts_with("tok_"));
    assert!(about[0]["request_id"].as_str().unwrap().starts_with("req_"));
    assert!(about[0]["seal"].as_i64() > Some(0));
    assert_eq!(about[1]["before"], json!(null));
    let ops = world.staff(Role::Ops).await;
    assert_refused!(ops.get("/admin/audit-logs"), FORBIDDEN);
}
