//! CSV files as people and spreadsheets write them, read row by row.
//!
//! | found in files | what is done |
//! |---|---|
//! | a byte order mark; blanks around names and cells; LF or CRLF; cells in quotes | taken |
//! | `sep=;` in the first line | sets the separator |
//! | `,` `;` or tab as the separator | what the header has, unless one is expected and the header has it |
//! | rows of blanks and separators only | skipped |
//! | blank cells behind the last column | left out |
//! | names of columns in another case, with blanks or hyphens in them | `Serial Number` is `serial_number` |
//! | bytes that are not UTF-8 | read as Windows-1252, in which spreadsheets of Windows save |
//! | UTF-16; lines that end in CR alone; a cell without a column; a quote that is not closed | refused, with the line |

use std::io::{self, BufRead as _, BufReader, Cursor, Read};

/// The separators that are recognised without `sep=`.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// The longest first line, bytes.
const HEADER_LEN_MAX: u64 = 64 * 1024;
/// How many rows may be blank before the header.
const BLANK_ROWS_MAX: u64 = 1_000;
/// What is read behind the file: a row of its own, or a part of the last cell when its quote is not closed, which would
/// otherwise take in all rows behind it.
const END: &[u8] = b"\n\0\n";
/// Windows-1252 from 0x80 to 0x9f; U+0000 where it has no character.
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘',
    '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Wrong {
    /// The line in the file, from 1.
    pub line: u64,
    /// What it is.
    pub message: String,
}

impl Wrong {
    /// Something wrong in a line.
    pub fn new(line: u64, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

/// One row that is not blank.
#[derive(Debug)]
pub struct Row {
    /// The line in the file on which it begins, from 1.
    pub line: u64,
    /// Its cells without blanks around them, at most as many as there are columns.
    cells: Vec<String>,
}

impl Row {
    /// A cell; `None` when the row ends before it.
    pub fn cell(&self, at: usize) -> Option<&str> {
        self.cells.get(at).map(String::as_str)
    }

    /// Whether the row has a cell for each of so many columns.
    pub fn has(&self, columns: usize) -> bool {
        self.cells.len() >= columns
    }
}

/// A file whose header was read.
pub struct CsvFile<R> {
    reader: csv::Reader<R>,
    record: csv::ByteRecord,
    columns: Vec<String>,
    /// The line of the header.
    header_line: u64,
    /// Lines before the reader's first.
    lines_before: u64,
}

/// What a file is read from, header first.
type Source<R> = io::Chain<io::Chain<Cursor<Vec<u8>>, BufReader<R>>, &'static [u8]>;

impl<R: Read> CsvFile<Source<R>> {
    /// Reads the header. `expected` is the separator, if the file is to have a certain one.
    ///
    /// # Errors
    /// What is wrong with the beginning of the file.
    pub fn open(source: R, expected: Option<u8>) -> Result<Self, Wrong> {
        let mut source = BufReader::new(source);
        let mut named = None;
        let mut lines_before = 0;
        let header = loop {
            let line = lines_before + 1;
            let mut bytes = Vec::new();
            (&mut source)
                .take(HEADER_LEN_MAX)
                .read_until(b'\n', &mut bytes)
                .map_err(|error| Wrong::new(line, format!("cannot be read: {error}")))?;
            if bytes.len() as u64 == HEADER_LEN_MAX {
                return Err(Wrong::new(
                    line,
                    format!("is longer than {HEADER_LEN_MAX} bytes"),
                ));
            }
            if lines_before == 0 {
                if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                    let message = "the file is UTF-16; save it as CSV in UTF-8";
                    return Err(Wrong::new(1, message));
                }
                if bytes.starts_with(b"\xef\xbb\xbf") {
                    bytes.drain(..3);
                }
                named = separator_line(&bytes);
            }
            let is_separator = lines_before == 0 && named.is_some();
            let is_header = !is_separator && !is_blank(&bytes);
            if is_header || bytes.is_empty() || lines_before == BLANK_ROWS_MAX {
                break bytes;
            }
            lines_before += 1;
        };
        let header_line = lines_before + 1;
        if header.trim_ascii_end().contains(&b'\r') {
            let message = "lines end in CR alone; save the file with CRLF or LF";
            return Err(Wrong::new(header_line, message));
        }
        let separator = named.unwrap_or_else(|| separator_of(&header, expected));
        let source = Cursor::new(header).chain(source).chain(END);
        let reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .has_headers(false)
            // A carriage return before it is trimmed. With CRLF as one terminator the reader counts lines one behind.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(source);
        let mut file = Self {
            reader,
            record: csv::ByteRecord::new(),
            columns: Vec::new(),
            header_line,
            lines_before,
        };
        let header = file.read()?;
        file.columns = header
            .map(|row| row.cells.iter().map(|cell| column_name(cell)).collect())
            .unwrap_or_default();
        Ok(file)
    }
}

impl<R: Read> CsvFile<R> {
    /// The names of the columns, in the form `serial_number`.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The line of the header.
    pub fn header_line(&self) -> u64 {
        self.header_line
    }

    /// The number of the row in this line, where the header is row 1, as a spreadsheet shows it.
    pub fn number_of(&self, line: u64) -> usize {
        let number = line.saturating_sub(self.header_line).saturating_add(1);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// The position of the column with this name.
    ///
    /// # Errors
    /// A name that occurs twice.
    pub fn column(&self, name: &str) -> Result<Option<usize>, Wrong> {
        let name = column_name(name);
        let mut places = (0..self.columns.len()).filter(|at| self.columns[*at] == name);
        let first = places.next();
        match places.next() {
            None => Ok(first),
            Some(_) => Err(Wrong::new(
                self.header_line,
                format!("there are two columns {name}"),
            )),
        }
    }

    /// The next row that is not blank.
    ///
    /// # Errors
    /// A row that cannot be read, or that has a cell without a column.
    pub fn next_row(&mut self) -> Result<Option<Row>, Wrong> {
        let Some(mut row) = self.read()? else {
            return Ok(None);
        };
        let is_named = |at: usize| self.columns.get(at).is_some_and(|name| !name.is_empty());
        if let Some(at) =
            (0..row.cells.len()).find(|at| !is_named(*at) && !row.cells[*at].is_empty())
        {
            let message = format!("cell {} has no column in the header", at + 1);
            return Err(Wrong::new(row.line, message));
        }
        row.cells.truncate(self.columns.len());
        Ok(Some(row))
    }

    /// Whether nothing follows.
    fn is_over(&mut self) -> bool {
        let mut next = csv::ByteRecord::new();
        matches!(self.reader.read_byte_record(&mut next), Ok(false))
    }

    /// The next row that is not blank, without blank cells behind the last column that there is.
    fn read(&mut self) -> Result<Option<Row>, Wrong> {
        loop {
            let read = self.reader.read_byte_record(&mut self.record);
            // The reader is behind the end of the line; empty lines were skipped before the row.
            let inside = self
                .record
                .as_slice()
                .iter()
                .filter(|byte| **byte == b'\n')
                .count() as u64;
            let line = (self.reader.position().line() + self.lines_before)
                .saturating_sub(1 + inside)
                .max(1);
            match read {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => {
                    let message = match error.into_kind() {
                        csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
                        _ => "is not CSV".to_owned(),
                    };
                    return Err(Wrong::new(line, message));
                }
            }
            if self
                .record
                .iter()
                .next_back()
                .is_some_and(|cell| cell.ends_with(END))
            {
                // This one does not end with its line.
                return Err(Wrong::new(line + 1, "a quote is not closed"));
            }
            if self.record.as_slice() == b"\0" {
                return if self.is_over() {
                    Ok(None)
                } else {
                    Err(Wrong::new(line, "is not CSV"))
                };
            }
            let mut cells = Vec::with_capacity(self.record.len());
            for cell in &self.record {
                let text = decoded(cell)
                    .ok_or_else(|| Wrong::new(line, "is neither UTF-8 nor Windows-1252"))?;
                cells.push(text.trim().to_owned());
            }
            if cells.iter().all(String::is_empty) {
                continue;
            }
            // As many as there are columns stay, blank or not: a spreadsheet writes them all.
            let columns = self.columns.len();
            while cells.len() > columns && cells.last().is_some_and(String::is_empty) {
                cells.pop();
            }
            return Ok(Some(Row { line, cells }));
        }
    }
}

/// The separator that a first line `sep=;` names.
fn separator_line(line: &[u8]) -> Option<u8> {
    let line = line.trim_ascii_end();
    let line = line
        .strip_prefix(b"\"")
        .and_then(|line| line.strip_suffix(b"\""))
        .unwrap_or(line);
    match (line.get(..4), line.get(4..)) {
        (Some(word), Some([separator])) if word.eq_ignore_ascii_case(b"sep=") => Some(*separator),
        // A tab at the end of the line looks like a blank.
        (Some(word), Some([])) if word.eq_ignore_ascii_case(b"sep=") => Some(b'\t'),
        _ => None,
    }
}

/// The separator that a header has most of, outside of quotes; the expected one if it has that at all.
fn separator_of(header: &[u8], expected: Option<u8>) -> u8 {
    let mut quoted = false;
    let mut counts = [0_usize; 256];
    for byte in header {
        match byte {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            other => counts[usize::from(*other)] += 1,
        }
    }
    if let Some(expected) = expected.filter(|expected| counts[usize::from(*expected)] > 0) {
        return expected;
    }
    let mut best = expected.unwrap_or(SEPARATORS[0]);
    for separator in SEPARATORS {
        if counts[usize::from(separator)] > counts[usize::from(best)] {
            best = separator;
        }
    }
    best
}

fn is_blank(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| byte.is_ascii_whitespace() || *byte == b'"' || SEPARATORS.contains(byte))
}

/// A column's name in one form: lower case, with `_` for blanks and hyphens.
fn column_name(text: &str) -> String {
    text.split(|letter: char| letter.is_whitespace() || letter == '-' || letter == '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join("_")
}

fn decoded(cell: &[u8]) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(cell) {
        return Some(text.to_owned());
    }
    cell.iter()
        .map(|byte| match byte {
            0x80..=0x9f => {
                Some(WINDOWS_1252[usize::from(byte - 0x80)]).filter(|letter| *letter != '\0')
            }
            other => Some(char::from(*other)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The columns, and each row with the number of its line.
    type Table = (Vec<String>, Vec<(u64, Vec<String>)>);

    fn read(file: &[u8]) -> Result<Table, Wrong> {
        let mut open = CsvFile::open(file, None)?;
        let columns = open.columns().to_vec();
        let mut rows = Vec::new();
        while let Some(row) = open.next_row()? {
            rows.push((row.line, row.cells));
        }
        Ok((columns, rows))
    }

    #[test]
    fn every_spreadsheets_file_says_the_same() {
        for (name, file) in [
            (
                "plain",
                &b"serial_number,model\nA-1,SB 1\nA-2,\"SB, 2\"\n"[..],
            ),
            (
                "semicolons",
                b"serial_number;model\r\nA-1;SB 1\r\nA-2;SB, 2\r\n",
            ),
            ("tabs", b"serial_number\tmodel\nA-1\tSB 1\nA-2\tSB, 2"),
            (
                "sep",
                b"sep=;\r\nserial_number;model\r\nA-1;SB 1\r\nA-2;\"SB, 2\"\r\n",
            ),
            (
                "quoted sep",
                b"\"SEP=;\"\nserial_number;model\nA-1;SB 1\nA-2;SB, 2\n",
            ),
            (
                "sep tab",
                b"sep=\t\nserial_number\tmodel\nA-1\tSB 1\nA-2\tSB, 2\n",
            ),
            (
                "mark",
                b"\xef\xbb\xbfserial_number;model\nA-1;SB 1\nA-2;SB, 2\n",
            ),
            (
                "mark and sep",
                b"\xef\xbb\xbfsep=;\nserial_number;model\nA-1;SB 1\nA-2;SB, 2\n",
            ),
            ("names", b" Serial Number ;MODEL\nA-1;SB 1\nA-2;SB, 2\n"),
            (
                "hyphens",
                b"\"serial-number\";\"Model\"\nA-1;SB 1\nA-2;SB, 2\n",
            ),
            (
                "blanks",
                b"serial_number;model\n A-1 ; SB 1\t\n A-2;\"SB, 2 \"\n",
            ),
            (
                "blank rows",
                b"\n;;\n\r\nserial_number;model;;\n;;;\nA-1;SB 1;;\n\n \n;\nA-2;SB, 2;\n;;;;;;\n",
            ),
        ] {
            let (columns, rows) = read(file).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
            let cells: Vec<String> = rows.iter().map(|(_, cells)| cells[..2].join("|")).collect();
            assert_eq!(columns[..2], ["serial_number", "model"], "{name}");
            assert_eq!(cells, ["A-1|SB 1", "A-2|SB, 2"], "{name}");
        }
    }

    #[test]
    fn a_row_knows_its_line() {
        let file = b"sep=;\r\n;;\r\na;b\r\n1;x\r\n\r\n;\r\n2;\"y\r\ny\"\r\n3;z";
        let (_, rows) = read(file).unwrap();
        let lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 7, 9]);
        let file = b"a,b\n\n\n1,x\n";
        assert_eq!(read(file).unwrap().1[0].0, 4);
    }

    #[test]
    fn letters_of_windows_are_taken() {
        let (_, rows) = read(b"a;b\nCaf\xe9 \x80;x\nCaf\xc3\xa9;x\n").unwrap();
        assert_eq!(
            (rows[0].1[0].as_str(), rows[1].1[0].as_str()),
            ("Café €", "Café")
        );
        assert_eq!(read(b"a;b\n1;x\n\x81\xff;x\n").unwrap_err().line, 3);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (file, line) in [
            (&b"\xff\xfea\x00,\x00"[..], 1),
            (b"a,b\r1,2\r3,4\r", 1),
            (b"a,b\n1,2\n1,2,3\n", 3),
            (b"a,,b\n1,2,3\n", 2),
            (b"a,b\n1,2\n3,\"4\n5,6\n7,8\n", 3),
            (b"a,b\n1,\"2", 2),
            (b"a,b\n1,2\n\0\n3,4\n", 3),
            (b"\n\"a,b\n1,2\n", 2),
        ] {
            assert_eq!(read(file).unwrap_err().line, line, "{file:?}");
        }
        assert!(read(&[b'a'; 70_000]).is_err());
        assert_eq!(read(b"").unwrap(), (Vec::new(), Vec::new()));
        // A last cell may end with a line of its own.
        assert_eq!(
            read(b"a,b\n1,\"2\n\"").unwrap().1,
            [(2, vec!["1".to_owned(), "2".to_owned()])]
        );
        let twice = CsvFile::open(&b"A b,a_b\n"[..], None).unwrap();
        assert!(twice.column("a_b").is_err());
        assert_eq!(twice.column("c"), Ok(None));
    }

    #[test]
    fn the_expected_separator_is_taken_where_the_header_has_it() {
        let columns =
            |file: &[u8], expected| CsvFile::open(file, Some(expected)).unwrap().columns().len();
        assert_eq!(columns(b"a;b;c,d\n", b','), 2);
        assert_eq!(columns(b"a;b;c\n", b','), 3);
        assert_eq!(columns(b"a|b\n", b'|'), 2);
        assert_eq!(columns(b"sep=;\na;b;c,d\n", b','), 3);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(file in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&file);
        }

        #[test]
        fn what_is_written_is_read(
            rows in proptest::collection::vec(proptest::collection::vec("[!-~é;,\\t\" ]{1,8}x", 3), 0..6),
            separator in proptest::sample::select(&SEPARATORS[..]),
        ) {
            let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
            writer.write_record(["one", "two", "three"]).unwrap();
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let (_, read) = read(&writer.into_inner().unwrap()).unwrap();
            let read: Vec<Vec<String>> = read.into_iter().map(|(_, cells)| cells).collect();
            let trimmed: Vec<Vec<String>> = rows
                .iter()
                .map(|row| row.iter().map(|cell| cell.trim().to_owned()).collect())
                .collect();
            prop_assert_eq!(read, trimmed);
        }
    }
}
