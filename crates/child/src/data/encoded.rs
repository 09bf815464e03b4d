//! One PNG or JPEG file, decoded to grey or RGB bytes.

use std::io::Cursor;
use std::path::Path;

use image::{ColorType, ImageDecoder, ImageReader};

use super::error::DataError;
use super::shape::ImageShape;

/// The largest image accepted, in decoded bytes (64 MiB: 4,700 x 4,700 RGB pixels). A header that
/// claims more is refused before memory is taken.
pub const MAX_IMAGE_BYTES: u64 = 1 << 26;

/// An image whose header is read and whose pixels are not.
pub(super) struct EncodedImage<'a> {
    file: &'a Path,
    decoder: Box<dyn ImageDecoder + 'a>,
    shape: ImageShape,
    alpha: Alpha,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    Absent,
    LastChannel,
}

impl<'a> EncodedImage<'a> {
    /// Reads the header of the image in `content`, the bytes of `file`.
    pub(super) fn parse(file: &'a Path, content: &'a [u8]) -> Result<Self, DataError> {
        if is_jpeg(content) && !has_jpeg_end(content) {
            return Err(corrupt(file, "it ends before the end-of-image marker"));
        }
        let reader = ImageReader::new(Cursor::new(content))
            .with_guessed_format()
            .map_err(|source| DataError::Io { path: file.into(), source })?;
        let decoder = reader.into_decoder().map_err(|error| corrupt(file, error))?;
        let (width, height) = decoder.dimensions();
        let (channels, alpha) = match decoder.color_type() {
            ColorType::L8 => (1, Alpha::Absent),
            ColorType::La8 => (1, Alpha::LastChannel),
            ColorType::Rgb8 => (3, Alpha::Absent),
            ColorType::Rgba8 => (3, Alpha::LastChannel),
            other => {
                let found = format!("{} bits a pixel ({other:?})", other.bits_per_pixel());
                return Err(DataError::UnsupportedPixels { file: file.into(), found });
            }
        };
        if decoder.total_bytes() > MAX_IMAGE_BYTES {
            return Err(DataError::ImageTooLarge { file: file.into(), width, height });
        }
        let shape = ImageShape { height: height as usize, width: width as usize, channels };
        Ok(Self { file, decoder: Box::new(decoder), shape, alpha })
    }

    pub(super) fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Decodes to height x width x channels bytes; `pixels` holds exactly as many. An alpha channel
    /// is dropped where it is opaque everywhere and refused otherwise.
    pub(super) fn decode_into(self, pixels: &mut [u8]) -> Result<(), DataError> {
        let Self { file, decoder, shape, alpha } = self;
        if alpha == Alpha::Absent {
            return decoder.read_image_boxed(pixels).map_err(|error| corrupt(file, error));
        }
        let channels = shape.channels;
        let mut with_alpha = vec![0; shape.bytes() / channels * (channels + 1)];
        decoder.read_image_boxed(&mut with_alpha).map_err(|error| corrupt(file, error))?;
        let sources = with_alpha.chunks_exact(channels + 1);
        for (pixel, source) in pixels.chunks_exact_mut(channels).zip(sources) {
            if source[channels] != u8::MAX {
                let found = "transparent pixels".to_owned();
                return Err(DataError::UnsupportedPixels { file: file.into(), found });
            }
            pixel.copy_from_slice(&source[..channels]);
        }
        Ok(())
    }
}

/// Decoders' messages may end in a line break.
fn corrupt(file: &Path, reason: impl ToString) -> DataError {
    DataError::CorruptImage { file: file.into(), reason: reason.to_string().trim().to_owned() }
}

fn is_jpeg(content: &[u8]) -> bool {
    content.starts_with(&[0xff, 0xd8])
}

/// Whether an end-of-image marker follows the last start of scan. The decoder is lenient: it fills
/// what is missing from a torn file with grey. Compressed data never contains either marker.
fn has_jpeg_end(content: &[u8]) -> bool {
    let last = |marker: [u8; 2]| content.windows(2).rposition(|window| window == marker);
    let (start_of_scan, end_of_image) = (last([0xff, 0xda]), last([0xff, 0xd9]));
    start_of_scan.is_some() && end_of_image > start_of_scan
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ExtendedColorType::{self, L8, L16, La8, Rgb8, Rgba8};
    use image::ImageEncoder;
    use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
    use proptest::prelude::*;

    const WIDTH: usize = 3;
    const HEIGHT: usize = 2;

    fn png(pixels: &[u8], color: ExtendedColorType) -> Vec<u8> {
        let mut content = Vec::new();
        let encoder = PngEncoder::new(&mut content);
        encoder.write_image(pixels, WIDTH as u32, HEIGHT as u32, color).unwrap();
        content
    }

    fn jpeg(pixels: &[u8], color: ExtendedColorType) -> Vec<u8> {
        let mut content = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut content, 100);
        encoder.write_image(pixels, WIDTH as u32, HEIGHT as u32, color).unwrap();
        content
    }

    fn decode(content: &[u8]) -> Result<(ImageShape, Vec<u8>), DataError> {
        let image = EncodedImage::parse(Path::new("image"), content)?;
        let shape = image.shape();
        let mut pixels = vec![0; shape.bytes()];
        image.decode_into(&mut pixels)?;
        Ok((shape, pixels))
    }

    fn ramp(channels: usize) -> Vec<u8> {
        (0..HEIGHT * WIDTH * channels).map(|i| (i * 37 + 5) as u8).collect()
    }

    fn shape(channels: usize) -> ImageShape {
        ImageShape { height: HEIGHT, width: WIDTH, channels }
    }

    #[test]
    fn png_gives_its_pixels_back_and_drops_opaque_alpha() {
        for (channels, plain, with_alpha) in [(1, L8, La8), (3, Rgb8, Rgba8)] {
            let pixels = ramp(channels);
            let expected = (shape(channels), pixels.clone());
            assert_eq!(decode(&png(&pixels, plain)).unwrap(), expected);
            let opaque: Vec<u8> =
                pixels.chunks(channels).flat_map(|pixel| [pixel, &[255]].concat()).collect();
            assert_eq!(decode(&png(&opaque, with_alpha)).unwrap(), expected);
        }
    }

    #[test]
    fn transparent_and_deep_pixels_are_refused() {
        for (bytes, color) in [(2, La8), (4, Rgba8), (2, L16)] {
            let result = decode(&png(&ramp(bytes), color));
            assert!(matches!(result, Err(DataError::UnsupportedPixels { .. })), "{result:?}");
        }
    }

    #[test]
    fn jpeg_of_one_colour_keeps_it() {
        for (channels, color) in [(1, L8), (3, Rgb8)] {
            let (found, pixels) =
                decode(&jpeg(&vec![128; HEIGHT * WIDTH * channels], color)).unwrap();
            assert_eq!(found, shape(channels));
            assert!(pixels.iter().all(|&pixel| pixel.abs_diff(128) <= 1), "{pixels:?}");
        }
    }

    #[test]
    fn every_torn_file_is_refused() {
        for content in [png(&ramp(3), Rgb8), jpeg(&ramp(3), Rgb8)] {
            // The last twelve bytes of a PNG, its end chunk, carry no pixels.
            let needed = if is_jpeg(&content) { content.len() } else { content.len() - 12 };
            for end in 0..needed {
                let result = decode(&content[..end]);
                assert!(matches!(result, Err(DataError::CorruptImage { .. })), "{end}: {result:?}");
            }
        }
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_decoding() {
        let mut content = png(&ramp(1), L8);
        content[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let mut checksum = flate2::Crc::new();
        checksum.update(&content[12..29]);
        content[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
        let result = decode(&content);
        assert!(
            matches!(result, Err(DataError::ImageTooLarge { width: 60_000, height: 60_000, .. })),
            "{result:?}"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&content).is_err());
        }

        /// PNG has checksums: damage is found or harmless. JPEG has none: damage must not panic.
        #[test]
        fn damage_never_passes_as_another_png(at: prop::sample::Index, flip in 1u8..) {
            let intact = png(&ramp(3), Rgb8);
            let mut damaged = intact.clone();
            damaged[at.index(intact.len())] ^= flip;
            if let Ok(decoded) = decode(&damaged) {
                prop_assert_eq!(decoded, decode(&intact).unwrap());
            }
            let mut damaged = jpeg(&ramp(3), Rgb8);
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            if let Ok((shape, pixels)) = decode(&damaged) {
                prop_assert_eq!(pixels.len(), shape.bytes());
            }
        }
    }
}
