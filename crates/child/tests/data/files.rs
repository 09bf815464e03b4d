//! Writes small datasets in the formats that users have.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};
use nasrl_child::data::ImageShape;

/// Writes `content` to `root/path`, folders included.
pub(crate) fn write(root: &Path, path: &str, content: &[u8]) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// `len` bytes that look arbitrary and depend on `key`.
pub(crate) fn pixels(len: usize, key: usize) -> Vec<u8> {
    (0..len).map(|i| (((i + 1) * (2 * key + 3) * 40_503) >> 8) as u8).collect()
}

pub(crate) fn idx_images(shape: ImageShape, pixels: &[u8]) -> Vec<u8> {
    let count = pixels.len() / shape.bytes();
    let header = [0x0803, count as u32, shape.height as u32, shape.width as u32];
    header.iter().flat_map(|number| number.to_be_bytes()).chain(pixels.iter().copied()).collect()
}

pub(crate) fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let header = [0x0801, labels.len() as u32];
    header.iter().flat_map(|number| number.to_be_bytes()).chain(labels.iter().copied()).collect()
}

pub(crate) fn png(shape: ImageShape, pixels: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    encode(PngEncoder::new(&mut content), shape, pixels);
    content
}

pub(crate) fn jpeg(shape: ImageShape, pixels: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    encode(JpegEncoder::new_with_quality(&mut content, 95), shape, pixels);
    content
}

/// CIFAR records of the given label bytes; record `i` has `pixels(3072, first + i)`.
pub(crate) fn cifar(labels: &[&[u8]], first: usize) -> Vec<u8> {
    let record = |(i, label): (usize, &&[u8])| [label, pixels(3072, first + i).as_slice()].concat();
    labels.iter().enumerate().flat_map(record).collect()
}

fn encode(encoder: impl ImageEncoder, shape: ImageShape, pixels: &[u8]) {
    let color = if shape.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    encoder.write_image(pixels, shape.width as u32, shape.height as u32, color).unwrap();
}
