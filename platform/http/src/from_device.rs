//! A message of a device over HTTP: the one that it would publish by MQTT, in which it may also name itself.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use wire::ids::DeviceId;

use super::auth::DeviceCaller;
use super::error::ApiError;

/// A message, and the device that it names as its sender.
#[derive(Debug, Deserialize)]
pub(super) struct FromDevice<T> {
    device_id: Option<DeviceId>,
    #[serde(flatten)]
    message: T,
}

impl<T: ToSchema> PartialSchema for FromDevice<T> {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new()
            .item(Ref::from_schema_name(T::name()))
            .item(
                ObjectBuilder::new().property("device_id", Ref::from_schema_name(DeviceId::name())),
            )
            .into()
    }
}

impl<T: ToSchema> ToSchema for FromDevice<T> {
    fn name() -> Cow<'static, str> {
        format!("Own{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
        schemas.push((DeviceId::name().into_owned(), DeviceId::schema()));
    }
}

impl<T> FromDevice<T> {
    /// The message, if it names no other device than `device`.
    ///
    /// # Errors
    /// FORBIDDEN for another device's.
    pub(super) fn of(self, device: &DeviceCaller) -> Result<T, ApiError> {
        if let Some(named) = self.device_id {
            device.must_be(named)?;
        }
        Ok(self.message)
    }
}
