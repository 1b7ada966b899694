//! A verified message, as its partner's dialect reads it.

use domain::callback::Callback;
use domain::dialect::Message;

/// A message that was read.
pub(super) struct Read {
    pub(super) message: Message,
    /// None when nothing happened yet, or it is not known what.
    pub(super) callback: Option<Callback>,
    pub(super) external_id: Option<String>,
}

impl Read {
    /// The name of the message.
    pub(super) fn event_id(&self) -> Option<&str> {
        self.external_id
            .as_deref()
            .or(self.message.event_id.as_deref())
    }
}
