//! A secret that a partner shares with us.

/// The secret of a header or a digest. Shown nowhere.
#[derive(Clone)]
pub struct SharedSecret(Vec<u8>);

impl SharedSecret {
    /// The secret's bytes as both sides have them.
    pub fn new(secret: &[u8]) -> Self {
        Self(secret.to_vec())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}
