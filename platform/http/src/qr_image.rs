//! Pictures of QR codes, for printing.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use fast_qr::convert::Builder;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder, QRCode};
use utoipa::openapi::{ContentBuilder, ResponseBuilder};

use crate::error::ApiError;
use crate::operation::{Describe, Operation};

/// The light border that ISO/IEC 18004 asks for, in modules.
const QUIET_ZONE: usize = 4;
/// Pixels along one module of a PNG: about 4 cm at 300 dpi for the codes of QRIS.
const MODULE_PIXELS: usize = 8;

/// A code as SVG, for any size: the light border included.
///
/// # Errors
/// A payload that no QR code can hold, which is a bug.
pub fn svg(payload: &str) -> Result<String, ApiError> {
    Svg::of(payload).map(|picture| picture.0)
}

/// The same as PNG, eight pixels along a module.
///
/// # Errors
/// As [`svg`].
pub fn png(payload: &str) -> Result<Vec<u8>, ApiError> {
    Png::of(payload).map(|picture| picture.0)
}

/// Lines, for any size.
pub(super) struct Svg(String);

/// Pixels, black and white.
pub(super) struct Png(Vec<u8>);

impl Svg {
    const CONTENT_TYPE: &'static str = "image/svg+xml";

    /// The code with this payload.
    ///
    /// # Errors
    /// A payload that no QR code can hold, which is a bug.
    pub(super) fn of(payload: &str) -> Result<Self, ApiError> {
        let code = encode(payload)?;
        Ok(Self(SvgBuilder::default().margin(QUIET_ZONE).to_str(&code)))
    }
}

impl Png {
    const CONTENT_TYPE: &'static str = "image/png";

    /// The code with this payload.
    ///
    /// # Errors
    /// As [`Svg::of`].
    pub(super) fn of(payload: &str) -> Result<Self, ApiError> {
        let code = encode(payload)?;
        draw(&code).map(Self).map_err(ApiError::internal)
    }
}

/// Level M, as printed codes of QRIS have it.
fn encode(payload: &str) -> Result<QRCode, ApiError> {
    QRBuilder::new(payload)
        .ecl(ECL::M)
        .build()
        .map_err(|error| ApiError::internal(anyhow::anyhow!("no QR code of a payload: {error}")))
}

/// One bit a pixel, 1 is white.
fn draw(code: &QRCode) -> Result<Vec<u8>, png::EncodingError> {
    let modules = code.size + 2 * QUIET_ZONE;
    let width = modules * MODULE_PIXELS;
    let dark = |row: usize, column: usize| {
        let inside = QUIET_ZONE..QUIET_ZONE + code.size;
        inside.contains(&row)
            && inside.contains(&column)
            && code[row - QUIET_ZONE][column - QUIET_ZONE].value()
    };
    let mut pixels = Vec::with_capacity(width * width.div_ceil(8));
    for row in 0..modules {
        let mut line = vec![0xff_u8; width.div_ceil(8)];
        for column in (0..modules).filter(|column| dark(row, *column)) {
            for x in column * MODULE_PIXELS..(column + 1) * MODULE_PIXELS {
                line[x / 8] &= !(0x80 >> (x % 8));
            }
        }
        for _ in 0..MODULE_PIXELS {
            pixels.extend_from_slice(&line);
        }
    }
    let mut bytes = Vec::new();
    // A QR code has at most 177 modules.
    let side = u32::try_from(width).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}

impl IntoResponse for Svg {
    fn into_response(self) -> Response {
        image(Self::CONTENT_TYPE, self.0)
    }
}

impl IntoResponse for Png {
    fn into_response(self) -> Response {
        image(Self::CONTENT_TYPE, self.0)
    }
}

fn image(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Describe for Svg {
    fn describe(operation: &mut Operation) {
        describe(operation, Self::CONTENT_TYPE);
    }
}

impl Describe for Png {
    fn describe(operation: &mut Operation) {
        describe(operation, Self::CONTENT_TYPE);
    }
}

fn describe(operation: &mut Operation, content_type: &str) {
    // A body that is no JSON has no schema in OpenAPI 3.1.
    let answer = ResponseBuilder::new()
        .description("The image")
        .content(content_type, ContentBuilder::new().build())
        .build();
    operation.answer = Some((200, answer));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = "00020101021126570011ID.DANA.WWW";

    #[test]
    fn a_png_has_the_modules_of_the_code() {
        let code = encode(PAYLOAD).unwrap();
        let bytes = Png::of(PAYLOAD).unwrap().0;
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = (code.size + 2 * QUIET_ZONE) * MODULE_PIXELS;
        assert_eq!((info.width as usize, info.height as usize), (side, side));
        let black = |module_row: usize, module_column: usize| {
            let (y, x) = (
                module_row * MODULE_PIXELS + 3,
                module_column * MODULE_PIXELS + 3,
            );
            pixels[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0
        };
        for row in 0..code.size {
            for column in 0..code.size {
                assert_eq!(
                    black(row + QUIET_ZONE, column + QUIET_ZONE),
                    code[row][column].value(),
                    "{row} {column}"
                );
            }
        }
        assert!((0..QUIET_ZONE).all(|edge| !black(edge, 20) && !black(20, edge)));
    }

    #[test]
    fn an_svg_is_one() {
        let svg = Svg::of(PAYLOAD).unwrap().0;
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    }
}
