//! Pictures of QR codes, for printing.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use fast_qr::convert::Builder;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder, QRCode};

use super::error::ApiError;

/// The light border that ISO/IEC 18004 asks for, in modules.
const QUIET_ZONE: usize = 4;
/// Pixels along one module of a PNG: about 4 cm at 300 dpi for the codes of QRIS.
const MODULE_PIXELS: usize = 8;

/// A picture.
pub(super) struct QrImage {
    content_type: &'static str,
    bytes: Vec<u8>,
}

impl QrImage {
    /// As lines, for any size.
    ///
    /// # Errors
    /// A payload that no QR code can hold, which is a bug.
    pub(super) fn svg(payload: &str) -> Result<Self, ApiError> {
        let code = encode(payload)?;
        let svg = SvgBuilder::default().margin(QUIET_ZONE).to_str(&code);
        Ok(Self {
            content_type: "image/svg+xml",
            bytes: svg.into_bytes(),
        })
    }

    /// As pixels, black and white.
    ///
    /// # Errors
    /// As [`QrImage::svg`].
    pub(super) fn png(payload: &str) -> Result<Self, ApiError> {
        let code = encode(payload)?;
        Ok(Self {
            content_type: "image/png",
            bytes: draw(&code).map_err(ApiError::internal)?,
        })
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

impl IntoResponse for QrImage {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.bytes));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = "00020101021126570011ID.DANA.WWW";

    #[test]
    fn a_png_has_the_modules_of_the_code() {
        let code = encode(PAYLOAD).unwrap();
        let bytes = QrImage::png(PAYLOAD).unwrap().bytes;
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
        let svg = String::from_utf8(QrImage::svg(PAYLOAD).unwrap().bytes).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    }
}
