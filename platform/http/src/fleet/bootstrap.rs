//! `/speaker/dev-config`, by which boxes of some makers ask for their settings, and the call that lets one ask. The answers to
//! boxes have their maker's form, without our envelope.

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use service::fleet::bootstrap::{self, Opening};
use service::fleet::password::MqttLogin;
use service::{Context, Error};
use store::fleet::bootstrap::Bootstrap;
use utoipa::ToSchema;
use utoipa::openapi::Required;
use wire::ids::DeviceId;

use crate::auth::Staff;
use crate::auth::grants::DeviceWrite;
use crate::envelope::{self, Data};
use crate::error::{ApiError, ErrorCode};
use crate::idempotency::{Answer, Keyed, begin, commit};
use crate::json::{Action, read_whole};
use crate::operation::{Callers, Describe, Operation};
use crate::path::Id;
use crate::rate::Origin;
use crate::request;
use crate::routes::Routes;

/// What a box is told when it gets no settings, whatever the reason.
const REFUSED: u32 = 1;

pub(super) fn routes() -> Routes {
    Routes::of("Provisioning")
        .post(
            "/admin/devices/{device_id}/bootstrap",
            open,
            "Lets another maker's box ask for its settings, for a time and a number of calls",
            &[ErrorCode::InvalidState],
        )
        .post(
            "/speaker/dev-config",
            ask,
            "Another maker's box asks for its settings, with a new password",
            &[],
        )
}

async fn open(
    staff: Staff<DeviceWrite>,
    State(context): State<Context>,
    Id(id): Id<DeviceId>,
    request: Keyed<Action<Opening>>,
) -> Answer<Data<Bootstrap>> {
    let mut unit = begin(&context, staff.actor(), request.key).await?;
    let opened = bootstrap::open(&mut unit, id, request.body.0).await?;
    commit(unit, envelope::ok(&opened)?).await
}

async fn ask(
    State(context): State<Context>,
    Extension(Origin(address)): Extension<Origin>,
    Asking(asked): Asking,
) -> Result<Told, ApiError> {
    let address = address.map(|address| address.to_string());
    let Some(asked) = asked else {
        return Ok(Told::refused(StatusCode::BAD_REQUEST));
    };
    match bootstrap::ask(&context, asked, address, Some(request::id())).await {
        Ok(login) => Ok(Told(StatusCode::OK, login.into())),
        Err(Error::DeviceUnauthorized(_)) => Ok(Told::refused(StatusCode::UNAUTHORIZED)),
        Err(Error::RateLimited { .. }) => Ok(Told::refused(StatusCode::TOO_MANY_REQUESTS)),
        Err(error) => Err(error.into()),
    }
}

/// What the box says; none if it cannot be read. Boxes name no content type that can be relied on.
struct Asking(Option<bootstrap::Request>);

impl<S: Send + Sync> FromRequest<S> for Asking {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = read_whole(request, state).await?;
        Ok(Self(serde_json::from_slice(&body).ok()))
    }
}

impl Describe for Asking {
    fn describe(operation: &mut Operation) {
        operation.callers = Callers::Anyone;
        operation.takes_body::<bootstrap::Request>(Required::True);
        operation.fails(&[ErrorCode::PayloadTooLarge]);
    }
}

/// The settings, or that there are none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct DevConfig {
    /// 0: here they are.
    error_code: u32,
    mqtt: Option<DevConfigMqtt>,
}

/// With what the box joins by MQTT.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct DevConfigMqtt {
    broker_ip: String,
    broker_port: u16,
    client_id: String,
    user_name: String,
    password: String,
    subscribe_topic: String,
    keep_alive: u16,
}

impl From<MqttLogin> for DevConfig {
    fn from(login: MqttLogin) -> Self {
        Self {
            error_code: 0,
            mqtt: Some(DevConfigMqtt {
                broker_ip: login.host,
                // Where that is on, it is for boxes like this one.
                broker_port: login.plain_port.unwrap_or(login.port),
                client_id: login.client_id,
                user_name: login.username,
                password: login.password,
                subscribe_topic: login.subscribe_topic,
                keep_alive: login.keep_alive_s,
            }),
        }
    }
}

/// The answer to a box.
struct Told(StatusCode, DevConfig);

impl Told {
    fn refused(status: StatusCode) -> Self {
        let none = DevConfig {
            error_code: REFUSED,
            mqtt: None,
        };
        Self(status, none)
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl Describe for Told {
    fn describe(operation: &mut Operation) {
        operation.answers_plainly::<DevConfig>(&[200, 400, 401, 429]);
    }
}
