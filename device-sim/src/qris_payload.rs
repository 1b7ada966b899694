//! QRIS payloads as an acquirer builds them: EMVCo's TLV and CRC, written from the standard.

/// CRC-16/CCITT-FALSE, the checksum of a code.
pub fn crc(bytes: &[u8]) -> u16 {
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

fn object(tag: u8, value: &str) -> String {
    format!("{tag:02}{:02}{value}", value.len())
}

/// The payload for one payment of `amount` rupiah to the merchant with this NMID; without one it names the merchant by the
/// acquirer's numbers alone.
pub(crate) fn dynamic(nmid: Option<&str>, amount: &str, reference: &str) -> String {
    let acquirer = [
        object(0, "ID.CO.SIMULATOR.WWW"),
        object(1, "936009990000000001"),
        object(2, "000000000000001"),
        object(3, "UMI"),
    ];
    let national = nmid.map_or_else(String::new, |nmid| {
        let account = [
            object(0, "ID.CO.QRIS.WWW"),
            object(2, nmid),
            object(3, "UMI"),
        ];
        object(51, &account.concat())
    });
    let body = [
        object(0, "01"),
        object(1, "12"),
        object(26, &acquirer.concat()),
        national,
        object(52, "5812"),
        object(53, "360"),
        object(54, amount),
        object(58, "ID"),
        object(59, "SIMULATED MERCHANT"),
        object(60, "JAKARTA"),
        object(62, &object(5, reference)),
        "6304".to_owned(),
    ]
    .concat();
    let crc = crc(body.as_bytes());
    format!("{body}{crc:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_crc_holds() {
        assert_eq!(crc(b"123456789"), 0x29b1);
    }

    #[test]
    fn a_payload_has_the_amount_and_a_valid_crc() {
        let code = dynamic(Some("ID1020021181745"), "50000", "SIM1");
        assert!(code.starts_with("000201010212") && code.contains("540550000"));
        let (body, end) = code.split_at(code.len() - 4);
        assert_eq!(end, format!("{:04X}", crc(body.as_bytes())));
    }
}
