//! Reads a QRIS code without the platform's own reader: that it parses, that its checksum holds, that it says the amount.

use anyhow::{Context as _, ensure};
use device_sim::qris_payload::crc;

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
