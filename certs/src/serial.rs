//! Certificate serial numbers.
//!
//! RFC 5280 §4.1.2.2: positive, at most 20 octets, unique per CA. They are 20 random octets here, so that two issuing
//! processes stay unique without coordination.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Octets of a serial number.
pub const SERIAL_LEN: usize = 20;

/// A certificate's serial number: 20 octets that encode as a positive integer of full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial([u8; SERIAL_LEN]);

/// The operating system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random number generator failed")]
pub struct NoRandomness;

impl Serial {
    /// Draws a serial number from the system's random number generator.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut octets = [0; SERIAL_LEN];
        SystemRandom::new()
            .fill(&mut octets)
            .map_err(|_| NoRandomness)?;
        Ok(Self::from_octets(octets))
    }

    /// Makes a serial number of given octets.
    ///
    /// The top bit is cleared (otherwise the DER integer would be negative or one octet too long) and the next one is
    /// set (so that the number is never zero and always of the same length).
    pub fn from_octets(mut octets: [u8; SERIAL_LEN]) -> Self {
        octets[0] = (octets[0] & 0x7f) | 0x40;
        Self(octets)
    }

    /// The octets, most significant first.
    pub fn as_octets(&self) -> &[u8; SERIAL_LEN] {
        &self.0
    }

    /// 40 lower-case hex digits: the form used in the database and in logs.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_serial_is_positive_and_of_full_length() {
        for first in 0..=u8::MAX {
            let mut octets = [0; SERIAL_LEN];
            octets[0] = first;
            let serial = Serial::from_octets(octets);
            assert!((0x40..0x80).contains(&serial.as_octets()[0]), "{first:#x}");
        }
    }

    #[test]
    fn two_random_serials_differ() {
        assert_ne!(Serial::random().unwrap(), Serial::random().unwrap());
    }
}
