//! Terminals, and the code that is printed for one.

use domain::qris::{QrisCode, TerminalLabel};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::ids::{OutletId, TerminalId};

use super::{Checks, Context, Error, Noun, Result, Unit, merchant};
use crate::store::{self, Page, Scope, terminal::Terminal};

/// What a terminal is created from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewTerminal {
    pub name: String,
    #[serde(default)]
    pub terminal_label: Option<String>,
    #[serde(default)]
    pub qr_mode: Option<String>,
}

/// A terminal with the payload of its printed code, where it has one.
#[derive(Debug, Clone, Serialize)]
pub struct TerminalView {
    /// The terminal.
    #[serde(flatten)]
    pub terminal: Terminal,
    /// The static QRIS payload; null for a dynamic-only terminal or a merchant that takes no payments.
    pub static_qr_payload: Option<String>,
}

const QR_MODES: [&str; 3] = ["static", "dynamic", "both"];

/// Creates a terminal of an outlet. Without a label it gets the merchant's next number.
///
/// # Errors
/// Wrong fields; no such outlet; a label the merchant uses already.
pub async fn create(
    unit: &mut Unit,
    outlet_id: OutletId,
    new: NewTerminal,
) -> Result<TerminalView> {
    let mut checks = Checks::default();
    checks.text("name", &new.name, 100);
    let qr_mode = new.qr_mode.unwrap_or_else(|| "both".to_owned());
    if !QR_MODES.contains(&qr_mode.as_str()) {
        checks.refuse("qr_mode", format!("one of {}", QR_MODES.join(", ")));
    }
    if let Some(label) = &new.terminal_label {
        let _: Option<TerminalLabel> = checks.parse("terminal_label", label);
    }
    checks.finish()?;
    let outlet = store::outlet::find(unit.conn(), Scope::All, outlet_id)
        .await?
        .ok_or(Error::NotFound(Noun::Outlet))?;
    // The merchant's lock keeps two terminals from taking the same next number.
    let merchant = store::merchant::lock(unit.conn(), outlet.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let terminal_label = match new.terminal_label {
        Some(label) => label,
        None => format!(
            "T{:03}",
            store::terminal::count(unit.conn(), outlet.merchant_id).await? + 1
        ),
    };
    let now = unit.now();
    let terminal = Terminal {
        id: TerminalId::from_uuid(unit.uuid()),
        merchant_id: outlet.merchant_id,
        outlet_id,
        name: new.name,
        terminal_label,
        qr_mode,
        created_at: now,
        updated_at: now,
    };
    store::terminal::insert(unit.conn(), &terminal)
        .await
        .map_err(|error| {
            if Error::breaks(&error, "terminals_label_unique") {
                Error::Duplicate {
                    message: "the merchant has a terminal with this label already".into(),
                    retry_after_s: None,
                }
            } else {
                error.into()
            }
        })?;
    unit.audit("terminal.create", terminal.id, None, Some(json!(terminal)))
        .await?;
    view(unit.context(), terminal, &merchant)
}

/// One terminal.
///
/// # Errors
/// [`Noun::Terminal`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: TerminalId) -> Result<TerminalView> {
    let mut conn = context.pool().acquire().await?;
    let terminal = store::terminal::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    let merchant = store::merchant::find(&mut conn, scope, terminal.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    view(context, terminal, &merchant)
}

/// Terminals, newest first, optionally of one outlet.
///
/// # Errors
/// The database's.
pub async fn list(
    context: &Context,
    scope: Scope,
    outlet: Option<OutletId>,
    page: Page,
) -> Result<Vec<Terminal>> {
    let mut conn = context.pool().acquire().await?;
    Ok(store::terminal::list(&mut conn, scope, outlet, page).await?)
}

fn view(
    context: &Context,
    terminal: Terminal,
    owner: &store::merchant::Merchant,
) -> Result<TerminalView> {
    let static_qr_payload = match merchant::registration(context, owner) {
        Ok(registration) if terminal.qr_mode != "dynamic" => {
            let label: TerminalLabel = terminal
                .terminal_label
                .parse()
                .map_err(anyhow::Error::from)?;
            Some(QrisCode::static_(&registration, Some(&label)).to_string())
        }
        Ok(_) | Err(Error::InvalidState { .. }) => None,
        Err(other) => return Err(other),
    };
    Ok(TerminalView {
        terminal,
        static_qr_payload,
    })
}
