//! Where a box connects by MQTT: one address, or several that it tries one after the other.

use std::str::FromStr;

use anyhow::Context as _;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttAddress {
    /// A name, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for MqttAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (host, port) = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .with_context(|| format!("{text:?} is not HOST:PORT"))?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port
                .parse()
                .with_context(|| format!("{port:?} is not a port"))?,
        })
    }
}

/// The addresses in the order in which the box of this number tries them: boxes begin at different ones.
pub fn in_turn(addresses: &[MqttAddress], number: usize) -> Vec<MqttAddress> {
    let mut addresses = addresses.to_vec();
    if !addresses.is_empty() {
        let first = number % addresses.len();
        addresses.rotate_left(first);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_boxes_begin_at_different_ones() {
        let all: Vec<MqttAddress> = ["a:1", "[::1]:2", "c.example:3"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(all[1].host, "::1");
        let ports = |number| {
            in_turn(&all, number)
                .iter()
                .map(|one| one.port)
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(0), [1, 2, 3]);
        assert_eq!(ports(4), [2, 3, 1]);
        assert_eq!(in_turn(&[], 4), []);
        for wrong in ["a", ":1", "a:b", "a:70000"] {
            assert!(wrong.parse::<MqttAddress>().is_err(), "{wrong}");
        }
    }
}
