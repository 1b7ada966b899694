//! What acquirers that issue codes want to be asked: paths, signatures, names, and what their answers look like. Written
//! from what they publish, independently of the server's files.

/// How one acquirer is called.
#[derive(Debug)]
pub struct IssuerApi {
    name: &'static str,
    /// Where it gives tokens.
    pub token_path: &'static str,
    /// Where it issues codes.
    pub generate_path: &'static str,
    /// Where it says what became of one.
    pub query_path: &'static str,
    /// Where it takes payments back and withdraws codes; none: it does neither.
    pub refund_and_cancel: Option<[&'static str; 2]>,
    /// It takes back parts of a payment, else only the whole.
    pub takes_back_parts: bool,
    /// Signatures are in hex, else in base64.
    pub is_hex: bool,
    /// Signatures cover the body as it is sent, else without white space.
    pub hashes_raw: bool,
    /// Signatures cover its token.
    pub covers_token: bool,
    /// The longest name of an order, characters.
    pub order_name_len_max: usize,
    /// `serviceCode` of a question.
    pub asked_service: &'static str,
    /// What else a request for a code must have, as JSON pointers.
    pub generate_needs: &'static [&'static str],
    /// What else a question must have.
    pub query_needs: &'static [&'static str],
    /// A header that every request must have.
    pub header: Option<&'static str>,
    /// Validity is in seconds, else a time.
    pub validity_in_seconds: bool,
    /// Its codes in answers: open, paid, taken back, withdrawn.
    pub codes: [&'static str; 4],
    /// Its token answer has a response code.
    pub states_token_code: bool,
}

const STANDARD: IssuerApi = IssuerApi {
    name: "snap",
    token_path: "/v1.0/access-token/b2b",
    generate_path: "/v1.0/qr/qr-mpm-generate",
    query_path: "/v1.0/qr/qr-mpm-query",
    refund_and_cancel: Some(["/v1.0/qr/qr-mpm-refund", "/v1.0/qr/qr-mpm-cancel"]),
    takes_back_parts: false,
    is_hex: false,
    hashes_raw: false,
    covers_token: true,
    order_name_len_max: 64,
    asked_service: "47",
    generate_needs: &["/merchantId"],
    query_needs: &[],
    header: None,
    validity_in_seconds: false,
    codes: ["03", "00", "04", "05"],
    states_token_code: true,
};

const fn named(name: &'static str) -> IssuerApi {
    IssuerApi { name, ..STANDARD }
}

static APIS: [IssuerApi; 12] = [
    STANDARD,
    IssuerApi {
        token_path: "/snap/v1.0/access-token/b2b",
        generate_path: "/v1.0/qr-dynamic-mpm/qr-mpm-generate-qr",
        query_path: "/v1.0/qr-dynamic-mpm/qr-mpm-query",
        refund_and_cancel: None,
        is_hex: true,
        asked_service: "17",
        generate_needs: &["/merchantId", "/terminalId", "/additionalInfo/terminalId"],
        states_token_code: false,
        ..named("bri")
    },
    IssuerApi {
        order_name_len_max: 25,
        asked_service: "99",
        generate_needs: &[
            "/merchantId",
            "/additionalInfo/paymentId",
            "/additionalInfo/dynamicAmount",
            "/additionalInfo/prodDesc",
        ],
        header: Some("x-ip-address"),
        validity_in_seconds: true,
        takes_back_parts: true,
        // Nobody confirms 03 and 04 in its answers.
        codes: ["01", "00", "06", "05"],
        ..named("manjo")
    },
    named("speedcash"),
    IssuerApi {
        is_hex: true,
        hashes_raw: true,
        ..named("bjb")
    },
    IssuerApi {
        token_path: "/qr/v2.0/access-token/b2b",
        generate_path: "/qr/v2.0/qr-mpm-generate",
        query_path: "/v3.0/qr/qr-mpm-query",
        refund_and_cancel: None,
        covers_token: false,
        order_name_len_max: 20,
        query_needs: &["/originalExternalId"],
        ..named("ocbc")
    },
    named("yokke"),
    IssuerApi {
        codes: ["02", "00", "04", "06"],
        ..named("dana")
    },
    named("shopeepay"),
    IssuerApi {
        generate_needs: &["/merchantId", "/additionalInfo/acquirer"],
        ..named("midtrans_snap")
    },
    IssuerApi {
        order_name_len_max: 32,
        generate_needs: &["/merchantId", "/additionalInfo/isStatic"],
        ..named("faspay")
    },
    IssuerApi {
        order_name_len_max: 32,
        generate_needs: &["/merchantId", "/additionalInfo/isStatic"],
        ..named("winpay")
    },
];

impl IssuerApi {
    /// The API of the acquirer of this name.
    ///
    /// # Errors
    /// An acquirer that issues no codes, or is none.
    pub fn of(name: &str) -> anyhow::Result<&'static Self> {
        let found = APIS.iter().find(|api| api.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = Self::names().collect();
            anyhow::anyhow!(
                "no acquirer {name:?} issues codes; known: {}",
                known.join(", ")
            )
        })
    }

    /// The names of the acquirers that issue codes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        APIS.iter().map(|api| api.name)
    }
}
