//! Layers of configuration above a box's own: the fleet's, merchants', outlets'.

use chrono::{DateTime, Utc};
use domain::config::LayerKind;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;
use wire::ids::DeviceId;

/// A layer.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Layer {
    pub version: i64,
    pub config: Value,
    pub updated_by: Option<String>,
    pub updated_at: Option<DateTime<Utc>>,
    pub spread_after: Option<Uuid>,
}

/// A layer, if it was ever set.
pub async fn find(
    conn: &mut PgConnection,
    kind: LayerKind,
    owner_id: Uuid,
) -> sqlx::Result<Option<Layer>> {
    sqlx::query_as!(
        Layer,
        "SELECT version, config, updated_by, updated_at, spread_after FROM config_layers WHERE kind = $1 AND owner_id = $2",
        kind as _,
        owner_id
    )
    .fetch_optional(conn)
    .await
}

/// A layer, its row locked until the transaction ends, if it was ever set.
pub async fn lock(
    conn: &mut PgConnection,
    kind: LayerKind,
    owner_id: Uuid,
) -> sqlx::Result<Option<Layer>> {
    sqlx::query_as!(
        Layer,
        "SELECT version, config, updated_by, updated_at, spread_after FROM config_layers
         WHERE kind = $1 AND owner_id = $2 FOR UPDATE",
        kind as _,
        owner_id
    )
    .fetch_optional(conn)
    .await
}

/// Holds the fleet's layer as it is until the transaction ends: what is made from it meanwhile has its last state.
pub async fn hold_fleet(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT version FROM config_layers WHERE kind = 'fleet' FOR SHARE")
        .fetch_all(conn)
        .await?;
    Ok(())
}

/// Whether there is a merchant or outlet that could own a layer.
pub async fn has_owner(
    conn: &mut PgConnection,
    kind: LayerKind,
    owner_id: Uuid,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT ($1 = 'fleet' OR ($1 = 'merchant' AND EXISTS (SELECT FROM merchants WHERE id = $2))
                   OR ($1 = 'outlet' AND EXISTS (SELECT FROM outlets WHERE id = $2))) AS "there!""#,
        kind as _,
        owner_id
    )
    .fetch_one(conn)
    .await
}

/// Locks the row of a layer's owner, so that no box is bound to it until the transaction ends; `false`: there is none.
pub async fn lock_owner(
    conn: &mut PgConnection,
    kind: LayerKind,
    owner_id: Uuid,
) -> sqlx::Result<bool> {
    let found = match kind {
        LayerKind::Fleet => return Ok(true),
        LayerKind::Merchant => {
            sqlx::query_scalar!(
                r#"SELECT 1 AS "one!" FROM merchants WHERE id = $1 FOR UPDATE"#,
                owner_id
            )
            .fetch_optional(conn)
            .await?
        }
        LayerKind::Outlet => {
            sqlx::query_scalar!(
                r#"SELECT 1 AS "one!" FROM outlets WHERE id = $1 FOR UPDATE"#,
                owner_id
            )
            .fetch_optional(conn)
            .await?
        }
    };
    Ok(found.is_some())
}

/// Writes a new version of a layer, which is then to be carried to its boxes.
pub async fn save(
    conn: &mut PgConnection,
    kind: LayerKind,
    owner_id: Uuid,
    config: &Value,
    updated_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Layer> {
    sqlx::query_as!(
        Layer,
        "INSERT INTO config_layers (kind, owner_id, version, config, updated_by, updated_at, spread_after)
         VALUES ($1, $2, 1, $3, $4, $5, '00000000-0000-0000-0000-000000000000')
         ON CONFLICT (kind, owner_id) DO UPDATE SET version = config_layers.version + 1, config = excluded.config,
             updated_by = excluded.updated_by, updated_at = excluded.updated_at, spread_after = excluded.spread_after
         RETURNING version, config, updated_by, updated_at, spread_after",
        kind as _,
        owner_id,
        config,
        updated_by,
        now
    )
    .fetch_one(conn)
    .await
}

/// A layer whose change has not reached all of its boxes, its row locked.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of the same names")]
pub struct Spreading {
    pub kind: LayerKind,
    pub owner_id: Uuid,
    pub spread_after: Uuid,
}

/// The next layer whose change has not reached all of its boxes: its kind and its owner.
pub async fn next_spreading(
    conn: &mut PgConnection,
    after: Option<(LayerKind, Uuid)>,
) -> sqlx::Result<Option<(LayerKind, Uuid)>> {
    let (kind, owner_id) = after.unzip();
    let row = sqlx::query!(
        "SELECT kind, owner_id FROM config_layers
         WHERE spread_after IS NOT NULL AND ($1::text IS NULL OR (kind, owner_id) > ($1, $2::uuid))
         ORDER BY kind, owner_id LIMIT 1",
        kind as _,
        owner_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.kind, row.owner_id)))
}

/// Locks a layer whose change is being spread; `None` when nothing is left to do, or another process holds it.
pub async fn lock_spreading(
    conn: &mut PgConnection,
    kind: LayerKind,
    owner_id: Uuid,
) -> sqlx::Result<Option<Spreading>> {
    sqlx::query_as!(
        Spreading,
        r#"SELECT kind, owner_id, spread_after AS "spread_after!" FROM config_layers
           WHERE kind = $1 AND owner_id = $2 AND spread_after IS NOT NULL FOR UPDATE SKIP LOCKED"#,
        kind as _,
        owner_id
    )
    .fetch_optional(conn)
    .await
}

/// The next `limit` boxes that a layer is for, by id.
pub async fn devices(
    conn: &mut PgConnection,
    spreading: &Spreading,
    limit: i64,
) -> sqlx::Result<Vec<DeviceId>> {
    sqlx::query_scalar!(
        "SELECT c.device_id FROM device_configs c LEFT JOIN bindings b ON b.device_id = c.device_id AND b.unbound_at IS NULL
         WHERE c.device_id > $3
           AND ($1 = 'fleet' OR ($1 = 'merchant' AND b.merchant_id = $2) OR ($1 = 'outlet' AND b.outlet_id = $2))
         ORDER BY c.device_id LIMIT $4",
        spreading.kind as _,
        spreading.owner_id,
        spreading.spread_after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Notes how far a layer's change has come; `None`: to all.
pub async fn set_spread(
    conn: &mut PgConnection,
    spreading: &Spreading,
    after: Option<DeviceId>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE config_layers SET spread_after = $3 WHERE kind = $1 AND owner_id = $2",
        spreading.kind as _,
        spreading.owner_id,
        after as _
    )
    .execute(conn)
    .await?;
    crate::exactly_one(&result)
}
