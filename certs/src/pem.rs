//! PEM (RFC 7468).
//!
//! Reading is lenient, as section 2 recommends, because tools write it in many ways. Text before and after a block is
//! ignored (`openssl req -text`), and so is all white space inside it: CRLF, blanks at the ends of lines, lines of any
//! length, a whole block on one line because a shell joined them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The contents of the only block of `text` with one of these labels. `None` when there is no such block or more than
/// one, when it has no end, and when its contents are not Base64. Blocks with other labels are ignored.
pub(crate) fn single(text: &str, labels: &[&str]) -> Option<Vec<u8>> {
    let mut found = None;
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (label, after) = rest[at + BEGIN.len()..].split_once(DASHES)?;
        let label = label.trim();
        let (body, after) = after.split_once(END)?;
        let (closing, after) = after.split_once(DASHES)?;
        if closing.trim() != label {
            return None;
        }
        if labels.contains(&label) {
            let body: String = body.split_whitespace().collect();
            let octets = STANDARD.decode(body).ok()?;
            if found.replace(octets).is_some() {
                return None;
            }
        }
        rest = after;
    }
    found
}

/// DER as a PEM block with this label.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut pem = format!("{BEGIN}{label}{DASHES}\n");
    // Section 2: lines of 64 characters.
    for line in encoded.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str(&format!("{END}{label}{DASHES}\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_text_around_a_block_do_not_matter() {
        for text in [
            "-----BEGIN A-----\naGVsbG8=\n-----END A-----\n",
            "-----BEGIN A-----\r\naGVs\r\nbG8=\r\n-----END A-----\r\n",
            "Subject: CN = box\n  -----BEGIN A-----  \n\naGVsbG8=\t \n-----END A-----   \nmore\0",
            "-----BEGIN A----- aGVs bG8= -----END A-----",
            "\u{feff}-----BEGIN A-----\raGVsbG8=\r-----END A-----",
            "-----BEGIN B-----\nQUJD\n-----END B-----\n-----BEGIN A-----\naGVsbG8=\n-----END A-----",
        ] {
            assert_eq!(single(text, &["A", "C"]).unwrap(), b"hello", "{text:?}");
        }
    }

    #[test]
    fn what_is_not_one_complete_block_is_none() {
        for text in [
            "",
            "aGVsbG8=",
            "-----BEGIN A-----\naGVsbG8=\n",
            "-----BEGIN A-----\naGVsbG8=\n-----END B-----",
            "-----BEGIN A-----\naGVsbG8\n-----END A-----",
            "-----BEGIN A-----\nh\u{e4}\n-----END A-----",
            "-----BEGIN B-----\naGVsbG8=\n-----END B-----",
            "-----BEGIN A-----\naGVsbG8=\n-----END A-----\n-----BEGIN A-----\naGVsbG8=\n-----END A-----",
        ] {
            assert_eq!(single(text, &["A"]), None, "{text:?}");
        }
    }
}
