//! CRC-32 as in zip files and Ethernet (reflected, polynomial 04C11DB7), which one maker uses as a signature. It keeps
//! nobody out; it only makes the box listen.

/// The checksum.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const REFLECTED: u32 = 0xEDB8_8320;
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ REFLECTED
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn it_is_the_checksum_of_the_catalogue() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
