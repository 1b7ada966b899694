//! Pictures of codes, read by another library.

use domain::qris::QrisCode;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use tests::prelude::*;

/// Pixels of one SVG unit.
const SCALE: f32 = 8.0;

/// Rasterises an SVG: width, height, and how bright each pixel is.
fn raster_svg(svg: &[u8]) -> (usize, usize, Vec<u8>) {
    let tree = Tree::from_data(svg, &Options::default()).unwrap();
    let size = tree.size().to_int_size().scale_by(SCALE).unwrap();
    let mut pixels = Pixmap::new(size.width(), size.height()).unwrap();
    pixels.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    let bright = pixels.pixels().iter().map(|pixel| pixel.green()).collect();
    (size.width() as usize, size.height() as usize, bright)
}

/// The same of a PNG, which is black and white, one bit a pixel.
fn raster_png(png: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (info.width as usize, info.height as usize, pixels)
}

/// The text that a scanner reads.
fn scan((width, height, bright): (usize, usize, Vec<u8>)) -> String {
    let mut image =
        rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| bright[y * width + x]);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code in the picture");
    grids[0].decode().unwrap().1
}

#[tokio::test]
async fn a_printed_code_is_read_from_its_pictures() {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 3).await;
    for terminal in &shop.terminals {
        let picture = async |kind: &str| {
            let path = format!("/admin/terminals/{}/qr.{kind}", terminal.id);
            world.admin().get(&path).await.expect(200).body
        };
        let (svg, png) = (picture("svg").await, picture("png").await);
        assert_eq!(scan(raster_svg(&svg)), terminal.static_qr_payload);
        assert_eq!(scan(raster_png(&png)), terminal.static_qr_payload);
        let code: QrisCode = terminal.static_qr_payload.parse().unwrap();
        assert_eq!(code.nmid().unwrap().as_str(), shop.nmid);
    }
}
