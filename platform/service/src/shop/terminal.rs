//! Terminals, and the code that is printed for one.

use domain::attribution::PartnerName;
use domain::qris::{QrisCode, TerminalLabel};
use domain::transaction::{QrMode, QrType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::shop::terminal::Terminal;
use store::{Page, Scope};
use utoipa::ToSchema;
use wire::ids::{OutletId, TerminalId};

use crate::merge::Field;
use crate::shop::merchant;
use crate::{Checks, Context, Error, Noun, Result, UnitOfWork};

/// What a terminal is created from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct NewTerminal {
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 25)]
    pub terminal_label: Option<String>,
    #[serde(default)]
    #[schema(pattern = "^(static|dynamic|both)$")]
    pub qr_mode: Option<String>,
    /// The QR partner's own name for the terminal. It may send it as the label or as the terminal's id.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub partner_terminal_id: Option<String>,
}

/// A terminal with the payload of its printed code, where it has one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TerminalView {
    /// The terminal.
    #[serde(flatten)]
    pub terminal: Terminal,
    /// The static QRIS payload; null for a dynamic-only terminal or a merchant that takes no payments.
    pub static_qr_payload: Option<String>,
}

/// Creates a terminal of an outlet. Without a label it gets the merchant's next number.
///
/// # Errors
/// Wrong fields; no such outlet; a label the merchant uses already; a partner's name that the outlet uses already.
pub async fn create(
    unit: &mut UnitOfWork,
    outlet_id: OutletId,
    mut new: NewTerminal,
) -> Result<TerminalView> {
    let mut checks = Checks::default();
    checks.name("name", &mut new.name);
    if let Some(label) = &new.terminal_label {
        check_label(&mut checks, label);
    }
    check_partner_name(&mut checks, new.partner_terminal_id.as_deref());
    let qr_mode = new.qr_mode.as_deref();
    let qr_mode = qr_mode.and_then(|text| checks.parse("qr_mode", text));
    checks.finish()?;
    let qr_mode = qr_mode.unwrap_or(QrMode::Both);
    let outlet = store::shop::outlet::find(unit.conn(), Scope::All, outlet_id)
        .await?
        .ok_or(Error::NotFound(Noun::Outlet))?;
    // The merchant's lock keeps two terminals from taking the same next number.
    let merchant = store::shop::merchant::lock(unit.conn(), outlet.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    let terminal_label = match new.terminal_label {
        Some(label) => label,
        None => format!(
            "T{:03}",
            store::shop::terminal::count(unit.conn(), outlet.merchant_id).await? + 1
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
        partner_terminal_id: new.partner_terminal_id,
        created_at: now,
        updated_at: now,
    };
    store::shop::terminal::insert(unit.conn(), &terminal)
        .await
        .map_err(known)?;
    unit.audit("terminal.create", terminal.id, None, Some(json!(terminal)))
        .await?;
    view(unit.context(), terminal, &merchant)
}

fn check_label(checks: &mut Checks, label: &str) {
    let _: Option<TerminalLabel> = checks.parse("terminal_label", label);
}

fn check_partner_name(checks: &mut Checks, name: Option<&str>) {
    if let Some(name) = name {
        let _: Option<PartnerName> = checks.parse("partner_terminal_id", name);
    }
}

fn known(error: sqlx::Error) -> Error {
    if Error::breaks(&error, "terminals_label_unique") {
        Error::duplicate("the merchant has a terminal with this label already")
    } else if Error::breaks(&error, "terminals_partner_terminal_id_unique") {
        Error::duplicate("the outlet has a terminal with this partner_terminal_id already")
    } else {
        error.into()
    }
}

/// What an operator changes of a terminal: a merge patch. Payments of codes that were printed with an earlier label
/// are not attributed any more, and wait in the unmatched list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct TerminalPatch {
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 25)]
    pub terminal_label: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(static|dynamic|both)$")]
    pub qr_mode: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    pub partner_terminal_id: Field<String>,
}

/// Changes a terminal.
///
/// # Errors
/// Wrong fields; no such terminal; a label the merchant uses already; a partner's name that the outlet uses already.
pub async fn patch(
    unit: &mut UnitOfWork,
    id: TerminalId,
    patch: TerminalPatch,
) -> Result<TerminalView> {
    let mut terminal = store::shop::terminal::lock(unit.conn(), id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    unit.refresh_now();
    let before = json!(terminal);
    let mut checks = Checks::default();
    let renamed = !patch.name.is_keep();
    let mut qr_mode = terminal.qr_mode.to_string();
    for (field, change, value) in [
        ("name", patch.name, &mut terminal.name),
        (
            "terminal_label",
            patch.terminal_label,
            &mut terminal.terminal_label,
        ),
        ("qr_mode", patch.qr_mode, &mut qr_mode),
    ] {
        change.apply_required(&mut checks, field, value);
    }
    if renamed {
        checks.name("name", &mut terminal.name);
    }
    patch
        .partner_terminal_id
        .apply(&mut terminal.partner_terminal_id);
    check_label(&mut checks, &terminal.terminal_label);
    check_partner_name(&mut checks, terminal.partner_terminal_id.as_deref());
    if let Some(qr_mode) = checks.parse("qr_mode", &qr_mode) {
        terminal.qr_mode = qr_mode;
    }
    checks.finish()?;
    terminal.updated_at = unit.now();
    write(unit, &terminal, before).await?;
    let merchant = store::shop::merchant::find(unit.conn(), Scope::All, terminal.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    view(unit.context(), terminal, &merchant)
}

/// Writes a change of a terminal, and audits it.
///
/// # Errors
/// A label that the merchant uses already; a partner's name that the outlet uses already.
pub(crate) async fn write(unit: &mut UnitOfWork, terminal: &Terminal, before: Value) -> Result<()> {
    store::shop::terminal::update(unit.conn(), terminal)
        .await
        .map_err(known)?;
    unit.audit(
        "terminal.patch",
        terminal.id,
        Some(before),
        Some(json!(terminal)),
    )
    .await
}

/// The payload of the code that is printed for a terminal.
///
/// # Errors
/// [`Noun::Terminal`] not found, or not for this scope; [`Error::InvalidState`] for a terminal that has none.
pub async fn static_qr_payload(context: &Context, scope: Scope, id: TerminalId) -> Result<String> {
    let view = get(context, scope, id).await?;
    view.static_qr_payload
        .ok_or_else(|| match view.terminal.qr_mode {
            mode @ QrMode::Dynamic => Error::InvalidState {
                current: mode.to_string(),
                message: "a terminal with dynamic codes alone has none to print".into(),
            },
            QrMode::Static | QrMode::Both => Error::InvalidState {
                current: "not_approved".into(),
                message: "only an approved merchant takes payments".into(),
            },
        })
}

/// One terminal.
///
/// # Errors
/// [`Noun::Terminal`] not found, or not for this scope.
pub async fn get(context: &Context, scope: Scope, id: TerminalId) -> Result<TerminalView> {
    let mut conn = context.pool().acquire().await?;
    let terminal = store::shop::terminal::find(&mut conn, scope, id)
        .await?
        .ok_or(Error::NotFound(Noun::Terminal))?;
    let merchant = store::shop::merchant::find(&mut conn, scope, terminal.merchant_id)
        .await?
        .ok_or(Error::NotFound(Noun::Merchant))?;
    view(context, terminal, &merchant)
}

/// Terminals, newest first, optionally of one outlet.
pub async fn list(
    context: &Context,
    scope: Scope,
    outlet: Option<OutletId>,
    page: Page,
) -> Result<Vec<Terminal>> {
    let mut conn = context.lists().acquire().await?;
    Ok(store::shop::terminal::list(&mut conn, scope, outlet, page).await?)
}

fn view(
    context: &Context,
    terminal: Terminal,
    owner: &store::shop::merchant::Merchant,
) -> Result<TerminalView> {
    let static_qr_payload = match merchant::registration(context, owner) {
        Ok(registration) if terminal.qr_mode.takes(QrType::Static) => {
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
