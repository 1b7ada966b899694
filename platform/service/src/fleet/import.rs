//! Registering many devices from a file, all or none, so that a corrected file can be sent again whole.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::config::Settings;
use domain::csv_file::{CsvFile, Wrong};
use domain::validation::FieldError;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::ids::DeviceId;

use crate::fleet::config;
use crate::fleet::device::{self, Checked, NewDevice};
use crate::fleet::password::MqttLogin;
use crate::settings::MqttSettings;
use crate::{Checks, Error, Result, UnitOfWork};

/// The columns, of which the last six may be missing.
const COLUMNS: [&str; 9] = [
    "serial_number",
    "model",
    "capabilities",
    "communication_mode",
    "tags",
    "profile",
    "imei",
    "product_key",
    "language",
];
/// How many boxes one request registers at most.
pub const ROWS_MAX: usize = 1_000;
/// How many mistakes are reported.
const MISTAKES_MAX: usize = 100;

/// Columns without which no box is registered.
const REQUIRED: [&str; 3] = ["serial_number", "model", "capabilities"];

/// Words in one cell: `speaker;display`, or with commas, bars or blanks between.
fn words(cell: &str) -> Vec<String> {
    cell.split(|letter: char| matches!(letter, ';' | ',' | '|') || letter.is_whitespace())
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
    /// The one-time code that activates it; null in a repeated answer, and for a box of another maker.
    pub activation_code: Option<String>,
    pub activation_code_expires_at: Option<DateTime<Utc>>,
    /// With what a box of another maker joins by MQTT; null for one of ours.
    pub mqtt: Option<MqttLogin>,
}

/// What was registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Import {
    /// How many.
    pub imported: usize,
    /// Each, in the order of the file.
    pub devices: Vec<ImportedDevice>,
}

/// Registers every box of a CSV file with the header `serial_number,model,capabilities,communication_mode,tags,profile,imei,
/// product_key,language`, at most `rows_max`, as [`CsvFile`] reads it. A language goes into the box's own layer of configuration.
///
/// # Errors
/// Each row that breaks a rule, as `row 7.capabilities`, the first hundred of them; then nothing is registered.
pub async fn import(unit: &mut UnitOfWork, file: &[u8], rows_max: usize) -> Result<Import> {
    let rows = read(file, &unit.context().settings().mqtt, rows_max)?;
    let serials: Vec<String> = rows
        .iter()
        .map(|(_, new, _)| new.serial_number.clone())
        .collect();
    let known = store::fleet::device::known_serials(unit.conn(), &serials).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let mistakes: Vec<FieldError> = rows
        .iter()
        .filter(|(_, new, _)| known.contains(&new.serial_number))
        .map(|(row, ..)| mistake(*row, "serial_number", "is registered already"))
        .take(MISTAKES_MAX)
        .collect();
    if !mistakes.is_empty() {
        return Err(Error::Validation(mistakes));
    }
    store::fleet::config_layer::hold_fleet(unit.conn()).await?;
    // In the order of their serial numbers, so that two files with the same devices cannot deadlock.
    let mut rows = rows;
    rows.sort_by(|(_, a, _), (_, b, _)| a.serial_number.cmp(&b.serial_number));
    let mut devices = Vec::with_capacity(rows.len());
    for (row, new, layer) in rows {
        let registered = device::register(unit, new).await?;
        if !layer.is_empty() {
            let (id, layer) = (registered.device.id, Value::Object(layer));
            store::fleet::config::set_layer(unit.conn(), id, &layer).await?;
        }
        devices.push(ImportedDevice {
            row,
            id: registered.device.id,
            serial_number: registered.device.serial_number,
            activation_code: registered.activation_code,
            activation_code_expires_at: registered.activation_code_expires_at,
            mqtt: registered.mqtt,
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

/// A row of the file: its number, the box, and the box's own layer of configuration.
type Row = (usize, Checked, Settings);

/// The rows of a file, checked one by one and against each other.
fn read(file: &[u8], mqtt: &MqttSettings, rows_max: usize) -> Result<Vec<Row>> {
    let mut file = CsvFile::open(file, None).map_err(|wrong| unreadable(1, &wrong))?;
    let named = file.columns().iter().filter(|name| !name.is_empty());
    if let Some(unknown) = named
        .into_iter()
        .find(|name| !COLUMNS.contains(&name.as_str()))
    {
        return Err(Error::Validation(vec![mistake(
            1,
            unknown,
            format!("is no column; there are {}", COLUMNS.join(", ")),
        )]));
    }
    let mut places = [None; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        *place = file.column(name).map_err(|wrong| unreadable(1, &wrong))?;
    }
    let mut rows = Vec::new();
    let mut mistakes = Vec::new();
    let mut serials = HashSet::new();
    loop {
        if mistakes.len() >= MISTAKES_MAX {
            break;
        }
        let cells = match file.next_row() {
            Ok(Some(cells)) => cells,
            Ok(None) => break,
            Err(wrong) => {
                mistakes.push(mistake(file.number_of(wrong.line), "", wrong.message));
                continue;
            }
        };
        let row = file.number_of(cells.line);
        if rows.len() >= rows_max {
            return Err(Error::field(
                "",
                format!("at most {rows_max} devices in one file"),
            ));
        }
        let cell = |at: usize| places[at].and_then(|at| cells.cell(at));
        if let Some(missing) = (0..REQUIRED.len()).find(|at| cell(*at).is_none()) {
            mistakes.push(mistake(row, "", format!("has no {}", REQUIRED[missing])));
            continue;
        }
        let [
            serial_number,
            model,
            capabilities,
            communication_mode,
            tags,
            profile,
            imei,
            product_key,
            language,
        ] = std::array::from_fn(|at| cell(at).unwrap_or_default());
        let optional = |cell: &str| Some(cell.to_owned()).filter(|cell| !cell.is_empty());
        let new = NewDevice {
            serial_number: serial_number.to_owned(),
            model: model.to_owned(),
            capabilities: words(&capabilities.to_lowercase()),
            communication_mode: Some(communication_mode.to_lowercase())
                .filter(|mode| !mode.is_empty()),
            tags: words(tags),
            profile: optional(&profile.to_lowercase()),
            imei: optional(imei),
            product_key: optional(product_key),
        };
        let mut checks = Checks::default();
        let new = device::check_new(&mut checks, mqtt, new);
        let mut layer = Settings::new();
        if let Some(language) = optional(language) {
            let wanted = Settings::from_iter([("language".to_owned(), language.into())]);
            checks.extend(domain::config::patch(&mut layer, &wanted));
        }
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
        rows.push((row, new, layer));
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

fn unreadable(row: usize, wrong: &Wrong) -> Error {
    Error::Validation(vec![mistake(row, "", wrong.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(file: &str) -> Vec<String> {
        match read(file.as_bytes(), &MqttSettings::default(), 3) {
            Err(Error::Validation(wrong)) => wrong.into_iter().map(|one| one.field).collect(),
            Err(error) => panic!("{error}"),
            Ok(rows) => panic!("{} rows", rows.len()),
        }
    }

    #[test]
    fn columns_may_stand_in_any_order_and_the_optional_ones_may_be_missing() {
        let whole = "\u{feff}serial_number,model,capabilities,communication_mode,tags\r\n\
                     A-1, SB-1 ,speaker;display,http,pilot\r\nA-2,\"SB-1, black\",speaker,,\r\n";
        let rows = read(whole.as_bytes(), &MqttSettings::default(), 3).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].0, rows[0].1.serial_number.as_str()), (2, "A-1"));
        let short = "capabilities,model,serial_number\nspeaker display,SB-1,A-1\n";
        assert_eq!(
            read(short.as_bytes(), &MqttSettings::default(), 3)
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_file_of_a_spreadsheet_is_taken() {
        for file in [
            &b"sep=;\r\nserial_number;model;capabilities\r\nA-1;SB-1;\"speaker;display\"\r\n;;\r\n"[..],
            b"Serial Number;Model;Capabilities;;\r\nA-1;SB-1;speaker, display;;\r\n;;;;\r\n",
            b"\xef\xbb\xbfserial_number\tmodel\tcapabilities\tcommunication_mode\tTags\nA-1\tSB-1\tSpeaker Display\tMQTT\n",
            b"serial_number,model,capabilities,,\nA-1,SB-1,speaker|display,,\n,,,,\n,,,,\n",
        ] {
            let rows = read(file, &MqttSettings::default(), 1).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((rows[0].0, rows[0].1.serial_number.as_str()), (2, "A-1"));
        }
        for cell in [
            "speaker;display",
            "speaker, display",
            "speaker|display",
            " speaker\tdisplay ",
        ] {
            assert_eq!(words(cell), ["speaker", "display"], "{cell}");
        }
        let blank_between =
            "serial_number;model;capabilities\n;;\nA-1;SB-1;speaker\n\nA 2;SB-1;speaker\n";
        assert_eq!(mistakes(blank_between), ["row 5.serial_number"]);
    }

    #[test]
    fn a_language_is_one_of_ours() {
        let head = "serial_number,model,capabilities,language\n";
        let file = format!("{head}A-1,SB-1,speaker,jv\nA-2,SB-1,speaker,\n");
        let rows = read(file.as_bytes(), &MqttSettings::default(), 3).unwrap();
        assert_eq!(rows[0].2.get("language"), Some(&Value::from("jv")));
        assert!(rows[1].2.is_empty());
        let wrong = format!("{head}A-1,SB-1,speaker,fr\n");
        assert_eq!(mistakes(&wrong), ["row 2.language"]);
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
