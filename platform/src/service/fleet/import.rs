//! Registering many boxes from a file, all or none: a file with a mistake can be corrected and sent again as it is.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::validation::FieldError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::service::fleet::config;
use crate::service::fleet::device::{self, Checked, NewDevice};
use crate::service::{Checks, Error, Result, Unit};
use crate::store;

/// The columns, of which the last two may be missing.
const COLUMNS: [&str; 5] = [
    "serial_number",
    "model",
    "capabilities",
    "communication_mode",
    "tags",
];
/// How many boxes one request registers at most.
pub const ROWS_MAX: usize = 1_000;
/// How many mistakes are told.
const MISTAKES_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    serial_number: String,
    model: String,
    capabilities: String,
    #[serde(default)]
    communication_mode: String,
    #[serde(default)]
    tags: String,
}

impl From<Row> for NewDevice {
    fn from(row: Row) -> Self {
        Self {
            serial_number: row.serial_number,
            model: row.model,
            capabilities: words(&row.capabilities),
            communication_mode: Some(row.communication_mode).filter(|mode| !mode.is_empty()),
            tags: words(&row.tags),
        }
    }
}

/// Words in one cell: `speaker;display`, or with spaces between.
fn words(cell: &str) -> Vec<String> {
    cell.split([';', ' '])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// One box of the file, with the code that activates it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the API contract")]
pub struct ImportedDevice {
    /// Its row in the file, where the header is row 1.
    pub row: usize,
    pub id: DeviceId,
    pub serial_number: String,
    /// The one-time code that activates it; null in a repeated answer.
    #[schema(value_type = Option<String>)]
    pub activation_code: String,
    pub activation_code_expires_at: DateTime<Utc>,
}

/// What was registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Import {
    /// How many.
    pub imported: usize,
    /// Each, in the order of the file.
    pub devices: Vec<ImportedDevice>,
}

/// Registers every box of a CSV file with the header `serial_number,model,capabilities,communication_mode,tags`, at most
/// `rows_max`.
///
/// # Errors
/// Each row that breaks a rule, as `row 7.capabilities`, the first hundred of them; then nothing is registered.
pub async fn import(unit: &mut Unit, file: &str, rows_max: usize) -> Result<Import> {
    let rows = read(file, rows_max)?;
    let serials: Vec<String> = rows
        .iter()
        .map(|(_, new)| new.serial_number.clone())
        .collect();
    let known = store::fleet::device::known_serials(unit.conn(), &serials).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let mistakes: Vec<FieldError> = rows
        .iter()
        .filter(|(_, new)| known.contains(&new.serial_number))
        .map(|(row, _)| mistake(*row, "serial_number", "is registered already"))
        .take(MISTAKES_MAX)
        .collect();
    if !mistakes.is_empty() {
        return Err(Error::Validation(mistakes));
    }
    store::fleet::config_layer::hold_fleet(unit.conn()).await?;
    // In the order of their serial numbers, so that two files with the same boxes never wait for each other crosswise.
    let mut rows = rows;
    rows.sort_by(|(_, a), (_, b)| a.serial_number.cmp(&b.serial_number));
    let mut devices = Vec::with_capacity(rows.len());
    for (row, new) in rows {
        let registered = device::register(unit, new).await?;
        devices.push(ImportedDevice {
            row,
            id: registered.device.id,
            serial_number: registered.device.serial_number,
            activation_code: registered.activation_code,
            activation_code_expires_at: registered.activation_code_expires_at,
        });
    }
    devices.sort_by_key(|device| device.row);
    let ids: Vec<DeviceId> = devices.iter().map(|device| device.id).collect();
    config::refresh(unit, &ids).await?;
    Ok(Import {
        imported: devices.len(),
        devices,
    })
}

fn mistake(row: usize, field: &str, message: impl Into<String>) -> FieldError {
    FieldError::new(format!("row {row}.{field}"), message)
}

/// The rows of a file, checked one by one and against each other.
fn read(file: &str, rows_max: usize) -> Result<Vec<(usize, Checked)>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(file.trim_start_matches('\u{feff}').as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| unreadable(1, &error))?
        .clone();
    if let Some(unknown) = headers.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(Error::Validation(vec![mistake(
            1,
            unknown,
            format!("is no column; there are {}", COLUMNS.join(", ")),
        )]));
    }
    let mut rows = Vec::new();
    let mut mistakes = Vec::new();
    let mut serials = HashSet::new();
    for (index, record) in reader.deserialize::<Row>().enumerate() {
        let row = index + 2;
        if rows.len() >= rows_max {
            return Err(Error::field(
                "",
                format!("at most {rows_max} devices in one file"),
            ));
        }
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                mistakes.push(mistake(row, "", error.to_string()));
                continue;
            }
        };
        let mut checks = Checks::default();
        let new = device::check_new(&mut checks, record.into());
        if !serials.insert(new.serial_number.clone()) {
            checks.refuse("serial_number", "is in this file twice");
        }
        if let Err(Error::Validation(wrong)) = checks.finish() {
            mistakes.extend(
                wrong
                    .iter()
                    .map(|one| mistake(row, &one.field, &one.message)),
            );
        }
        if mistakes.len() >= MISTAKES_MAX {
            break;
        }
        rows.push((row, new));
    }
    if !mistakes.is_empty() {
        mistakes.truncate(MISTAKES_MAX);
        return Err(Error::Validation(mistakes));
    }
    if rows.is_empty() {
        return Err(Error::field("", "the file has no devices"));
    }
    Ok(rows)
}

fn unreadable(row: usize, error: &csv::Error) -> Error {
    Error::Validation(vec![mistake(row, "", error.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(file: &str) -> Vec<String> {
        match read(file, 3) {
            Err(Error::Validation(wrong)) => wrong.into_iter().map(|one| one.field).collect(),
            Err(error) => panic!("{error}"),
            Ok(rows) => panic!("{} rows", rows.len()),
        }
    }

    #[test]
    fn columns_may_stand_in_any_order_and_the_optional_ones_may_be_missing() {
        let whole = "\u{feff}serial_number,model,capabilities,communication_mode,tags\r\n\
                     A-1, SB-1 ,speaker;display,http,pilot\r\nA-2,\"SB-1, black\",speaker,,\r\n";
        let rows = read(whole, 3).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].0, rows[0].1.serial_number.as_str()), (2, "A-1"));
        let short = "capabilities,model,serial_number\nspeaker display,SB-1,A-1\n";
        assert_eq!(read(short, 3).unwrap().len(), 1);
    }

    #[test]
    fn every_mistake_is_named_by_its_row() {
        let head = "serial_number,model,capabilities,communication_mode,tags\n";
        let file =
            format!("{head}A-1,SB-1,telepathy,,\nA 2,,speaker,,\nA-1,SB-1,speaker,pigeon,Big\n");
        assert_eq!(
            mistakes(&file),
            [
                "row 2.capabilities",
                "row 3.serial_number",
                "row 3.model",
                "row 4.communication_mode",
                "row 4.tags",
                "row 4.serial_number"
            ]
        );
        assert_eq!(mistakes(&format!("{head}A-1,SB-1\n")), ["row 2."]);
        assert_eq!(mistakes("serial,model\n"), ["row 1.serial"]);
        assert_eq!(mistakes("serial_number,model\nA-1,SB-1\n"), ["row 2."]);
        assert_eq!(mistakes(head), [""]);
        assert_eq!(mistakes(""), [""]);
        let row = |number| format!("A-{number},SB-1,speaker,,\n");
        let many: String = (0..4).map(row).collect();
        assert_eq!(mistakes(&format!("{head}{many}")), [""]);
    }
}
