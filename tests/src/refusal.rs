//! Errors of the API: status and code.

/// Status and code of an error.
pub type Refusal<'a> = (u16, &'a str);

macro_rules! refusals {
    ($($status:literal $($code:ident)*;)*) => {
        $($(
            #[doc = concat!("An error ", stringify!($status), " with this code.")]
            pub const $code: Refusal<'static> = ($status, stringify!($code));
        )*)*
    };
}

refusals! {
    400 IDEMPOTENCY_KEY_REQUIRED MALFORMED_REQUEST;
    401 DEVICE_UNAUTHORIZED INVALID_SIGNATURE STALE_TIMESTAMP UNAUTHENTICATED;
    403 FORBIDDEN;
    404 ALERT_NOT_FOUND BULK_COMMAND_NOT_FOUND CALLBACK_NOT_FOUND COMMAND_NOT_FOUND CREDENTIAL_NOT_FOUND;
    404 DEVICE_NOT_FOUND FEE_PROFILE_NOT_FOUND FIRMWARE_NOT_FOUND MERCHANT_NOT_FOUND NOTIFICATION_NOT_FOUND;
    404 WEBHOOK_DELIVERY_NOT_FOUND WEBHOOK_ENDPOINT_NOT_FOUND;
    404 OUTLET_NOT_FOUND ROUTE_NOT_FOUND SETTLEMENT_NOT_FOUND TERMINAL_NOT_FOUND TOKEN_NOT_FOUND TRANSACTION_NOT_FOUND;
    405 METHOD_NOT_ALLOWED;
    409 DEVICE_NOT_BOUND DUPLICATE_REQUEST INVALID_STATE MERCHANT_PAYOUT_NOT_CONFIGURED SETTLEMENT_NOT_ELIGIBLE;
    413 PAYLOAD_TOO_LARGE;
    415 UNSUPPORTED_MEDIA_TYPE;
    422 DEVICE_CAPABILITY_NOT_SUPPORTED INVALID_AMOUNT VALIDATION_FAILED;
    429 RATE_LIMITED;
    503 UNAVAILABLE;
    504 PARTNER_TIMEOUT;
}

/// Sends a request that must be refused: `assert_refused!(api.post(path, &body), FORBIDDEN)`.
#[macro_export]
macro_rules! assert_refused {
    ($request:expr, $refusal:expr) => {
        $request.await.refused($refusal)
    };
}
