//! The partner's names of merchants, outlets and terminals from a file, as an acquirer sends its list: all or none, so that
//! a corrected file can be sent again whole.

use std::collections::{BTreeMap, HashMap};

use domain::attribution::PartnerName;
use domain::csv_file::{CsvFile, Row, Wrong};
use domain::validation::FieldError;
use serde::Serialize;
use serde_json::json;
use store::Scope;
use store::shop::terminal::Terminal;
use utoipa::ToSchema;
use wire::ids::{MerchantId, OutletId, TerminalId};

use crate::shop::{merchant, outlet, terminal};
use crate::{Error, Noun, Result, UnitOfWork};

/// The columns. A row names a terminal of ours, by its id or by NMID and label, and then what the partner calls it, its
/// outlet and its merchant. A blank cell changes nothing.
const COLUMNS: [&str; 6] = [
    "terminal_id",
    "nmid",
    "terminal_label",
    MERCHANT,
    STORE,
    TERMINAL,
];
const MERCHANT: &str = "partner_merchant_id";
const STORE: &str = "partner_store_id";
const TERMINAL: &str = "partner_terminal_id";
/// How many terminals one request names at most.
pub const ROWS_MAX: usize = 1_000;
/// How many mistakes are reported.
const MISTAKES_MAX: usize = 100;

/// What a file changed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct NamesTaken {
    /// Rows that were read.
    pub rows: usize,
    /// Merchants that got another name.
    pub merchants: usize,
    /// Outlets that got another name.
    pub outlets: usize,
    /// Terminals that got another name.
    pub terminals: usize,
}

/// Who may say with such a file which money is a merchant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// A client of the API: where two people are needed for it, such a name is refused.
    Client,
    /// Whoever has the machine.
    Machine,
}

/// Takes the names of a CSV file as [`CsvFile`] reads it, with any of the columns `terminal_id`, `nmid`, `terminal_label`,
/// `partner_merchant_id`, `partner_store_id` and `partner_terminal_id`, at most `rows_max` rows.
///
/// # Errors
/// Each row that breaks a rule, as `row 7.partner_store_id`, the first hundred of them; then nothing changes.
pub async fn import(
    unit: &mut UnitOfWork,
    file: &[u8],
    rows_max: usize,
    authority: Authority,
) -> Result<NamesTaken> {
    let rows = read(file, rows_max)?;
    let mut plan = Plan::default();
    for row in &rows {
        match find(unit, row).await? {
            Ok(found) => plan.add(row, &found),
            Err(wrong) => plan.mistakes.push(wrong),
        }
    }
    if authority == Authority::Client && unit.context().settings().maker_checker {
        for (row, _) in plan.merchants.values() {
            let message = "another person must confirm it: change the merchant by PATCH /admin/merchants/{id}";
            plan.mistakes.push(mistake(*row, MERCHANT, message));
        }
    }
    plan.check()?;
    let taken = NamesTaken {
        rows: rows.len(),
        merchants: name_merchants(unit, &plan.merchants, &mut plan.mistakes).await?,
        outlets: name_outlets(unit, &plan.outlets, &mut plan.mistakes).await?,
        terminals: name_terminals(unit, &plan.terminals, &mut plan.mistakes).await?,
    };
    plan.check()?;
    Ok(taken)
}

/// One row: which terminal of ours, and what the partner calls what.
struct NamesRow {
    row: usize,
    terminal_id: Option<String>,
    nmid: Option<String>,
    label: Option<String>,
    /// Of merchant, store and terminal.
    names: [Option<String>; 3],
}

/// What a file says, with the rows that say it. In the order of ids, in which rows are locked.
#[derive(Default)]
struct Plan {
    merchants: BTreeMap<MerchantId, (usize, String)>,
    outlets: BTreeMap<OutletId, (usize, String)>,
    terminals: BTreeMap<TerminalId, (usize, String)>,
    /// Which of ours has a name within its merchant or outlet, by this file.
    owners: HashMap<(&'static str, String, String), String>,
    mistakes: Vec<FieldError>,
}

impl Plan {
    fn add(&mut self, row: &NamesRow, found: &Terminal) {
        let [merchant, store, terminal] = &row.names;
        let merchant_id = found.merchant_id.to_string();
        let outlet_id = found.outlet_id.to_string();
        let number = row.row;
        if let Some(name) = merchant {
            self.own(number, MERCHANT, String::new(), name, &merchant_id);
            let before = self
                .merchants
                .insert(found.merchant_id, (number, name.clone()));
            self.agree(number, MERCHANT, name, before);
        }
        if let Some(name) = store {
            self.own(number, STORE, merchant_id, name, &outlet_id);
            let before = self.outlets.insert(found.outlet_id, (number, name.clone()));
            self.agree(number, STORE, name, before);
        }
        if let Some(name) = terminal {
            self.own(number, TERMINAL, outlet_id, name, &found.id.to_string());
            let before = self.terminals.insert(found.id, (number, name.clone()));
            self.agree(number, TERMINAL, name, before);
        }
    }

    /// A name is given once within `scope`.
    fn own(&mut self, row: usize, field: &'static str, scope: String, name: &str, id: &str) {
        let owner = self
            .owners
            .entry((field, scope, name.to_owned()))
            .or_insert_with(|| id.to_owned());
        if owner != id {
            let message = format!("{owner} has this name in the file");
            self.mistakes.push(mistake(row, field, message));
        }
    }

    /// The rows of one of ours give it one name.
    fn agree(&mut self, row: usize, field: &str, name: &str, before: Option<(usize, String)>) {
        if let Some((other, before)) = before
            && before != name
        {
            let message = format!("row {other} says {before}");
            self.mistakes.push(mistake(row, field, message));
        }
    }

    fn check(&mut self) -> Result<()> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        self.mistakes.truncate(MISTAKES_MAX);
        Err(Error::Validation(std::mem::take(&mut self.mistakes)))
    }
}

/// The terminal of a row, or what is wrong with how it is named.
async fn find(
    unit: &mut UnitOfWork,
    row: &NamesRow,
) -> Result<std::result::Result<Terminal, FieldError>> {
    let wrong = |field: &str, message: &str| Ok(Err(mistake(row.row, field, message)));
    if let Some(id) = &row.terminal_id {
        let Ok(id) = id.parse() else {
            return wrong("terminal_id", "is not a terminal's id");
        };
        let found = store::shop::terminal::find(unit.conn(), Scope::All, id).await?;
        return match found {
            Some(found) => Ok(Ok(found)),
            None => wrong("terminal_id", "there is no such terminal"),
        };
    }
    let (Some(nmid), Some(label)) = (&row.nmid, &row.label) else {
        return wrong(
            "terminal_id",
            "a row names a terminal by terminal_id, or by nmid and terminal_label",
        );
    };
    let owners = store::shop::merchant::owners(unit.conn(), Some(nmid), None).await?;
    let Some(owner) = owners.first() else {
        return wrong("nmid", "there is no such merchant");
    };
    match store::shop::terminal::find_by_label(unit.conn(), owner.merchant_id, label).await? {
        Some(found) => Ok(Ok(found)),
        None => wrong("terminal_label", "the merchant has no such terminal"),
    }
}

async fn name_merchants(
    unit: &mut UnitOfWork,
    plan: &BTreeMap<MerchantId, (usize, String)>,
    mistakes: &mut Vec<FieldError>,
) -> Result<usize> {
    let mut changed = 0;
    for (id, (row, name)) in plan {
        let mut merchant = store::shop::merchant::lock(unit.conn(), *id)
            .await?
            .ok_or(Error::NotFound(Noun::Merchant))?;
        if merchant.partner_merchant_id.as_ref() == Some(name) {
            continue;
        }
        let now = unit.now();
        let owner = match &merchant.qris_partner_id {
            Some(partner_id) => {
                let conn = unit.conn();
                store::payment::payee::of_partner_merchant_id(conn, partner_id, name, now).await?
            }
            None => None,
        };
        if let Some(owner) = owner {
            let message = format!("{} has this name", owner.merchant_id);
            mistakes.push(mistake(*row, MERCHANT, message));
            continue;
        }
        let before = json!(merchant);
        merchant.partner_merchant_id = Some(name.clone());
        merchant.updated_at = now;
        merchant::write(unit, &merchant, before).await?;
        changed += 1;
    }
    Ok(changed)
}

async fn name_outlets(
    unit: &mut UnitOfWork,
    plan: &BTreeMap<OutletId, (usize, String)>,
    mistakes: &mut Vec<FieldError>,
) -> Result<usize> {
    let mut changed = 0;
    for (id, (row, name)) in plan {
        let mut outlet = store::shop::outlet::lock(unit.conn(), *id)
            .await?
            .ok_or(Error::NotFound(Noun::Outlet))?;
        if outlet.partner_store_id.as_ref() == Some(name) {
            continue;
        }
        let conn = unit.conn();
        let owner =
            store::shop::outlet::find_by_partner_store_id(conn, outlet.merchant_id, name).await?;
        if let Some(owner) = owner {
            mistakes.push(mistake(*row, STORE, format!("{owner} has this name")));
            continue;
        }
        let before = json!(outlet);
        outlet.partner_store_id = Some(name.clone());
        outlet.updated_at = unit.now();
        outlet::write(unit, &outlet, before).await?;
        changed += 1;
    }
    Ok(changed)
}

async fn name_terminals(
    unit: &mut UnitOfWork,
    plan: &BTreeMap<TerminalId, (usize, String)>,
    mistakes: &mut Vec<FieldError>,
) -> Result<usize> {
    let mut changed = 0;
    for (id, (row, name)) in plan {
        let mut terminal = store::shop::terminal::lock(unit.conn(), *id)
            .await?
            .ok_or(Error::NotFound(Noun::Terminal))?;
        if terminal.partner_terminal_id.as_ref() == Some(name) {
            continue;
        }
        let conn = unit.conn();
        let owner =
            store::shop::terminal::find_by_partner_terminal_id(conn, &terminal, name).await?;
        if let Some(owner) = owner {
            mistakes.push(mistake(*row, TERMINAL, format!("{owner} has this name")));
            continue;
        }
        let before = json!(terminal);
        terminal.partner_terminal_id = Some(name.clone());
        terminal.updated_at = unit.now();
        terminal::write(unit, &terminal, before).await?;
        changed += 1;
    }
    Ok(changed)
}

/// The rows of a file, each checked by itself.
fn read(file: &[u8], rows_max: usize) -> Result<Vec<NamesRow>> {
    let mut file = CsvFile::open(file, None).map_err(|wrong| unreadable(1, &wrong))?;
    let mut named = file.columns().iter().filter(|name| !name.is_empty());
    if let Some(unknown) = named.find(|name| !COLUMNS.contains(&name.as_str())) {
        let message = format!("is no column; there are {}", COLUMNS.join(", "));
        return Err(Error::Validation(vec![mistake(1, unknown, message)]));
    }
    let mut places = [None; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        *place = file.column(name).map_err(|wrong| unreadable(1, &wrong))?;
    }
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    while mistakes.len() < MISTAKES_MAX {
        match file.next_row() {
            Ok(None) => break,
            Ok(Some(_)) if rows.len() >= rows_max => {
                let message = format!("at most {rows_max} rows in one file");
                return Err(Error::field("", message));
            }
            Ok(Some(cells)) => {
                let number = file.number_of(cells.line);
                match names_row(number, &cells, &places) {
                    Ok(row) => rows.push(row),
                    Err(wrong) => mistakes.extend(wrong),
                }
            }
            Err(wrong) => mistakes.push(mistake(file.number_of(wrong.line), "", wrong.message)),
        }
    }
    if mistakes.is_empty() && rows.is_empty() {
        return Err(Error::field("", "the file has no rows"));
    }
    if mistakes.is_empty() {
        return Ok(rows);
    }
    mistakes.truncate(MISTAKES_MAX);
    Err(Error::Validation(mistakes))
}

fn names_row(
    number: usize,
    cells: &Row,
    places: &[Option<usize>; COLUMNS.len()],
) -> std::result::Result<NamesRow, Vec<FieldError>> {
    let cell = |at: usize| {
        let text = places[at].and_then(|at| cells.cell(at));
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let names = [cell(3), cell(4), cell(5)];
    let mut mistakes = Vec::new();
    for (name, field) in names.iter().zip([MERCHANT, STORE, TERMINAL]) {
        if let Some(Err(error)) = name.as_ref().map(|name| name.parse::<PartnerName>()) {
            mistakes.push(mistake(number, field, error.to_string()));
        }
    }
    if names.iter().all(Option::is_none) {
        mistakes.push(mistake(number, "", "has none of the partner's names"));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(NamesRow {
        row: number,
        terminal_id: cell(0),
        nmid: cell(1).map(|nmid| nmid.to_ascii_uppercase()),
        label: cell(2),
        names,
    })
}

fn mistake(row: usize, field: &str, message: impl Into<String>) -> FieldError {
    FieldError::new(format!("row {row}.{field}"), message)
}

fn unreadable(row: usize, wrong: &Wrong) -> Error {
    Error::Validation(vec![mistake(row, "", wrong.to_string())])
}
