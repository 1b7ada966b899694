//! QR codes as text: each character shows two modules, one above the other.

use anyhow::Context;

/// Empty modules around a code. The standard requires four; telephones read two, and small terminals have room for them.
const QUIET_ZONE: usize = 2;

/// A QR code as lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    lines: Vec<String>,
}

impl Code {
    /// The code of a payload.
    ///
    /// # Errors
    /// A payload that is too long for a QR code.
    pub fn of(payload: &str) -> anyhow::Result<Self> {
        let code = fast_qr::QRBuilder::new(payload)
            .ecl(fast_qr::ECL::L)
            .build()
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("no QR code for this payload")?;
        let side = code.size + 2 * QUIET_ZONE;
        let is_dark = |row: usize, column: usize| {
            let inside = |index: usize| {
                index
                    .checked_sub(QUIET_ZONE)
                    .filter(|index| *index < code.size)
            };
            match (inside(row), inside(column)) {
                (Some(row), Some(column)) => code[row][column].value(),
                _ => false,
            }
        };
        let lines = (0..side).step_by(2).map(|row| {
            (0..side)
                .map(
                    |column| match (is_dark(row, column), is_dark(row + 1, column)) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    },
                )
                .collect()
        });
        Ok(Self {
            lines: lines.collect(),
        })
    }

    /// The lines, to be drawn in black on white whatever the terminal's colours are.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        let columns = self.lines.first().map_or(0, |line| line.chars().count());
        (columns, self.lines.len())
    }

    /// The code with its colours, for a terminal (ECMA-48).
    pub fn painted(&self) -> String {
        self.lines
            .iter()
            .map(|line| format!("\u{1b}[30;107m{line}\u{1b}[0m"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_becomes_a_square() {
        let code = Code::of("00020101021226610014ID.CO.EXAMPLE.WWW").unwrap();
        let (columns, rows) = code.size();
        // Version 2, which 37 capitals and digits fit into, has 25 modules.
        assert_eq!((columns, rows), (29, 15));
        assert!(
            code.lines()
                .iter()
                .all(|line| line.chars().count() == columns)
        );
        assert!(code.lines()[0].trim().is_empty(), "the quiet zone");
        // The upper left finder pattern: seven dark modules in the first row, six rows of its sides.
        assert!(code.lines()[1].starts_with("  █▀▀▀▀▀█ "));
        assert!(Code::of(&"x".repeat(5_000)).is_err());
    }
}
