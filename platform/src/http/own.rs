//! What a box says of itself: the message that it would publish by MQTT, where it may also name itself.

use serde::Deserialize;
use wire::ids::DeviceId;
use wire::message::FieldError;

use super::auth::DeviceCaller;
use super::error::ApiError;
use crate::service::Error;

/// A message, and the box that it says it is from.
#[derive(Debug, Deserialize)]
pub(super) struct Own<T> {
    device_id: Option<DeviceId>,
    #[serde(flatten)]
    message: T,
}

impl<T> Own<T> {
    /// The message, if it is `device`'s and keeps its limits.
    ///
    /// # Errors
    /// FORBIDDEN for another box's; a field that breaks its limit.
    pub(super) fn of(
        self,
        device: &DeviceCaller,
        validate: impl Fn(&T) -> Result<(), FieldError>,
    ) -> Result<T, ApiError> {
        if let Some(named) = self.device_id {
            device.must_be(named)?;
        }
        validate(&self.message).map_err(|error| Error::field(error.field, error.problem))?;
        Ok(self.message)
    }
}
