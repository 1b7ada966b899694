//! Reads a QRIS code from the standard alone: that it parses, that its checksum holds, that it says the amount.

use anyhow::{Context as _, ensure};

/// The checksum's tag and length, which it covers itself.
const CHECKSUM_HEAD: &str = "6304";

/// Checks a code that is to be paid with this amount.
pub(crate) fn check(payload: &str, amount: i64) -> anyhow::Result<()> {
    let end = payload.len().checked_sub(4).context("it is too short")?;
    let (body, checksum) = payload.split_at_checked(end).context("it is not ASCII")?;
    ensure!(body.ends_with(CHECKSUM_HEAD), "it does not end with 6304");
    ensure!(
        checksum == format!("{:04X}", crc(body.as_bytes())),
        "the checksum does not hold"
    );
    let mut rest = payload;
    let mut said = None;
    while !rest.is_empty() {
        let (tag, after) = rest.split_at_checked(2).context("a tag is cut")?;
        let (length, after) = after.split_at_checked(2).context("a length is cut")?;
        let (value, after) = after
            .split_at_checked(length.parse()?)
            .context("a value is cut")?;
        if tag == "54" {
            said = Some(value);
        }
        rest = after;
    }
    ensure!(
        said == Some(amount.to_string().as_str()),
        "it says the amount {said:?}"
    );
    Ok(())
}

/// CRC-16/CCITT-FALSE.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}
