//! The hashes that chain the audit log.
//!
//! A row's hash covers all its columns, each behind its length, so that no two rows have the same bytes. A head covers
//! the head before it, so one head proves everything up to it: a row that is changed, taken out, put in
//! or moved gives another head. What the chain cannot tell by itself is that its end was cut off; for that, a head
//! is kept elsewhere and asked for again.

use aws_lc_rs::digest;

/// Length of all hashes here, bytes.
pub const HASH_LEN: usize = 32;

/// The head of a chain that has no link yet.
pub const GENESIS: [u8; HASH_LEN] = [0; HASH_LEN];

/// SHA-256.
pub type Hash = [u8; HASH_LEN];

/// A row of the audit log.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct Row<'a> {
    pub id: i64,
    /// Microseconds since 1970.
    pub at_us: i64,
    pub actor: &'a str,
    pub action: &'a str,
    pub entity: &'a str,
    pub request_id: Option<&'a str>,
    /// As Postgres writes `jsonb`, which is the same for equal values.
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
}

/// The hash of a row.
pub fn row_hash(row: Row<'_>) -> Hash {
    let mut bytes = b"soundbox-audit-row/1\n".to_vec();
    bytes.extend(row.id.to_be_bytes());
    bytes.extend(row.at_us.to_be_bytes());
    let columns = [
        Some(row.actor),
        Some(row.action),
        Some(row.entity),
        row.request_id,
        row.before,
        row.after,
    ];
    for column in columns {
        match column {
            None => bytes.push(0),
            Some(text) => {
                bytes.push(1);
                bytes.extend((text.len() as u64).to_be_bytes());
                bytes.extend(text.as_bytes());
            }
        }
    }
    sha256(&bytes)
}

/// The head after a link: the head before, the link's number, its row and when it was made, in microseconds since 1970.
pub fn head(previous: &Hash, seq: i64, audit_id: i64, row_hash: &Hash, sealed_at_us: i64) -> Hash {
    let mut bytes = b"soundbox-audit-head/1\n".to_vec();
    bytes.extend(previous);
    bytes.extend(seq.to_be_bytes());
    bytes.extend(audit_id.to_be_bytes());
    bytes.extend(row_hash);
    bytes.extend(sealed_at_us.to_be_bytes());
    sha256(&bytes)
}

fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = GENESIS;
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'_> = Row {
        id: 7,
        at_us: 1_800_000_000_000_000,
        actor: "usr_1",
        action: "device.bind",
        entity: "sbx_1",
        request_id: None,
        before: None,
        after: Some("{}"),
    };

    #[test]
    fn every_column_counts() {
        let others = [
            Row { id: 8, ..ROW },
            Row { at_us: 1, ..ROW },
            Row {
                actor: "usr_2",
                ..ROW
            },
            Row {
                action: "device.unbind",
                ..ROW
            },
            Row {
                entity: "sbx_2",
                ..ROW
            },
            Row {
                request_id: Some(""),
                ..ROW
            },
            Row {
                before: Some("{}"),
                after: None,
                ..ROW
            },
            Row {
                after: Some("{ }"),
                ..ROW
            },
            // The same letters, with the border between two columns elsewhere.
            Row {
                actor: "usr_1d",
                action: "evice.bind",
                ..ROW
            },
        ];
        for other in others {
            assert_ne!(row_hash(other), row_hash(ROW), "{other:?}");
        }
        assert_eq!(row_hash(ROW), row_hash(ROW));
    }

    #[test]
    fn a_head_covers_everything_before_it() {
        let row = row_hash(ROW);
        let first = head(&GENESIS, 1, 7, &row, 5);
        for other in [
            head(&first, 1, 7, &row, 5),
            head(&GENESIS, 2, 7, &row, 5),
            head(&GENESIS, 1, 8, &row, 5),
            head(&GENESIS, 1, 7, &first, 5),
            head(&GENESIS, 1, 7, &row, 6),
        ] {
            assert_ne!(other, first);
        }
    }

    /// Computed by another program from the description above: a change of the form would orphan every chain there is.
    #[test]
    fn the_form_is_what_it_was() {
        assert_eq!(
            hex::encode(row_hash(ROW)),
            "0ab9d8c1b530520ae30169293c36e07ff2e15ee246ab2c67e9444127cf5d1746"
        );
        assert_eq!(
            hex::encode(head(&GENESIS, 1, 7, &row_hash(ROW), 5)),
            "f3542b48210c4d9c4c53d7853923ed2ddb5ee7c2142e82747ccf14629f55d77c"
        );
    }
}
