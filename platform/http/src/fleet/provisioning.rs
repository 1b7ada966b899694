//! `/device/provision`: the first credentials of a device, and their renewal.

use axum::Extension;
use axum::extract::State;
use service::Context;
use service::fleet::provisioning::{self, Activated, Activation, Renewal};

use crate::auth::RenewingDevice;
use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit_without};
use crate::json::Json;
use crate::rate::Origin;
use crate::request;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    use ErrorCode::{DeviceUnauthorized, InvalidState};

    Routes::of("Provisioning")
        .post(
            "/device/provision/activate",
            activate,
            "A box shows its activation code and a CSR, and gets its credentials",
            &[DeviceUnauthorized, InvalidState],
        )
        .post(
            "/device/provision/refresh-credential",
            refresh,
            "A box renews its certificate and token",
            &[InvalidState],
        )
}

async fn activate(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Json(activation): Json<Activation>,
) -> Result<Data<Activated>, ApiError> {
    let address = address.map(|address| address.to_string());
    let id = Some(request::id());
    envelope::ok(&provisioning::activate(&context, activation, address, id).await?)
}

/// The token is in the first answer and null in every repetition.
async fn refresh(
    RenewingDevice(device): RenewingDevice,
    State(context): State<Context>,
    request: Keyed<Json<Renewal>>,
) -> Answer<Data<Activated>> {
    let mut unit = begin(&context, device.actor(), request.key).await?;
    let renewed = provisioning::refresh(&mut unit, device.id, request.body.0).await?;
    commit_without(unit, envelope::ok(&renewed)?, &["device_token"]).await
}
