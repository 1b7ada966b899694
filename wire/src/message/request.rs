//! What a person at a box asks for by its button.

use serde::{Deserialize, Serialize};

use crate::ids::DeviceId;
use crate::lenient;
use crate::limits::{self, FieldError};
use crate::time;

/// The longest `request_id`, in bytes.
pub(super) const REQUEST_ID_LEN_MAX: usize = 64;

/// Declares a request without parameters.
macro_rules! request {
    ($(#[doc = $doc:literal])* $name:ident = $message_type:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(tag = "message_type", rename = $message_type)]
        pub struct $name {
            /// The box's own id of this press. The same id is answered once.
            #[serde(deserialize_with = "lenient::name")]
            #[cfg_attr(feature = "openapi", schema(max_length = 64))]
            pub request_id: String,
            /// The box that asks; it must be the one of the topic.
            pub device_id: DeviceId,
            /// The box's own time, as it stated it.
            #[serde(
                default,
                deserialize_with = "time::lenient::deserialize",
                skip_serializing_if = "Option::is_none"
            )]
            pub created_at: Option<String>,
        }

        impl $name {
            /// Checks the limits of the fields.
            ///
            /// # Errors
            /// The first field that breaks one.
            pub fn validate(&self) -> Result<(), FieldError> {
                limits::name("request_id", &self.request_id, REQUEST_ID_LEN_MAX)
            }
        }
    };
}

request! {
    /// The last payment of the box's terminal is to be announced to this box once more.
    ReplayRequest = "replay_request"
}

request! {
    /// The total of the day of the box's terminal is to be announced to this box.
    TotalRequest = "total_request"
}
