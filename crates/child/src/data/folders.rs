//! Class folders: `train/<class>/*`, `val/` or `validation/` and `test/` where present.
//!
//! Classes are the folders of the training set, files are taken in the order of their names (bytes,
//! so "10" before "2"), whatever the file system says. Files and folders whose name begins with a
//! dot are ignored; anything else that is not a PNG or JPEG file is refused.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::checks::check_same_shape;
use super::encoded::EncodedImage;
use super::error::DataError;
use super::found::{Format, Found, SplitSource};
use super::shape::ImageShape;
use super::split::Split;

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// What belongs in a class folder.
const ONLY_IMAGES: &str = "only PNG or JPEG files (.png, .jpg, .jpeg)";

/// Images decoded between two looks at errors and memory.
const CHUNK: usize = 1024;

/// The files of one split, listed and not decoded.
#[derive(Debug)]
struct ClassFolders {
    folder: PathBuf,
    files: Vec<PathBuf>,
    labels: Vec<u32>,
    reference: Arc<Reference>,
}

/// The first training image, which sets the shape of all.
#[derive(Debug)]
struct Reference {
    file: PathBuf,
    shape: ImageShape,
}

/// One entry of a folder.
struct Entry {
    name: String,
    path: PathBuf,
    kind: EntryKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Folder,
    File,
}

/// `root` itself if it holds a training set in class folders.
pub(super) fn locate(root: &Path) -> Vec<PathBuf> {
    if root.join("train").is_dir() { vec![root.into()] } else { Vec::new() }
}

/// Lists the folders of all splits and decodes one image.
pub(super) fn open(root: &Path) -> Result<Found, DataError> {
    let train = root.join("train");
    let class_folders = list_class_folders(&train)?;
    let classes: Vec<String> = class_folders.iter().map(|entry| entry.name.clone()).collect();
    if let [class] = classes.as_slice() {
        return Err(DataError::OneClass { path: train, class: class.clone() });
    }
    let numbers: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let (files, labels) = list_images(&class_folders, &numbers)?;
    let reference = Arc::new(Reference::read(&files[0])?);

    let other = |folder: PathBuf| -> Result<Box<dyn SplitSource>, DataError> {
        let (files, labels) = list_images(&list_class_folders(&folder)?, &numbers)?;
        Ok(Box::new(ClassFolders { folder, files, labels, reference: reference.clone() }))
    };
    let given = |name: &str| Some(root.join(name)).filter(|folder| folder.is_dir());
    let validation = match (given("val"), given("validation")) {
        (Some(_), Some(path)) => {
            let expected = "one of val/ and validation/, not both,";
            return Err(DataError::UnexpectedEntry { path, expected });
        }
        (short, long) => short.or(long).map(other).transpose()?,
    };
    let test = given("test").map(other).transpose()?;
    let train = ClassFolders { folder: train, files, labels, reference: reference.clone() };
    Ok(Found {
        format: Format::ClassFolders,
        path: root.into(),
        train: Box::new(train),
        validation,
        test,
        classes,
    })
}

/// The class folders in `folder`, by name.
fn list_class_folders(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let entries = list(folder, "class folders")?;
    match entries.iter().find(|entry| entry.kind != EntryKind::Folder) {
        Some(entry) => Err(DataError::UnexpectedEntry {
            path: entry.path.clone(),
            expected: "only class folders",
        }),
        None => Ok(entries),
    }
}

/// The images in `class_folders` and their labels, class by class and name by name.
fn list_images(
    class_folders: &[Entry],
    numbers: &HashMap<&str, u32>,
) -> Result<(Vec<PathBuf>, Vec<u32>), DataError> {
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    for class in class_folders {
        let label = numbers
            .get(class.name.as_str())
            .ok_or_else(|| DataError::UnknownClass { path: class.path.clone() })?;
        for entry in list(&class.path, "PNG or JPEG files")? {
            let extension = entry.path.extension().and_then(|extension| extension.to_str());
            let is_image = extension.is_some_and(|extension| {
                EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
            });
            if entry.kind != EntryKind::File || !is_image {
                let path = entry.path;
                return Err(DataError::UnexpectedEntry { path, expected: ONLY_IMAGES });
            }
            files.push(entry.path);
            labels.push(*label);
        }
    }
    Ok((files, labels))
}

/// What `folder` holds, hidden entries aside, by name. `expected` says what belongs in it.
fn list(folder: &Path, expected: &'static str) -> Result<Vec<Entry>, DataError> {
    let io_error = |source| DataError::Io { path: folder.into(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        let name = path.file_name().unwrap_or_default().to_str().map(str::to_owned);
        let Some(name) = name else {
            return Err(DataError::UnexpectedEntry { path, expected: "only names in UTF-8" });
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = if path.is_dir() { EntryKind::Folder } else { EntryKind::File };
        entries.push(Entry { name, path, kind });
    }
    if entries.is_empty() {
        return Err(DataError::Empty { path: folder.into(), expected });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The content of a regular file: a pipe would be waited for, a device read without end.
fn read_file(file: &Path) -> Result<Vec<u8>, DataError> {
    let io_error = |source| DataError::Io { path: file.into(), source };
    if !fs::metadata(file).map_err(io_error)?.is_file() {
        return Err(DataError::UnexpectedEntry { path: file.into(), expected: ONLY_IMAGES });
    }
    fs::read(file).map_err(io_error)
}

impl Reference {
    fn read(file: &Path) -> Result<Self, DataError> {
        let content = read_file(file)?;
        let image = EncodedImage::parse(file, &content)?;
        let shape = image.shape();
        image.decode_into(&mut vec![0; shape.bytes()])?;
        Ok(Self { file: file.into(), shape })
    }

    /// Decodes `file`, which must be of this shape, to `pixels`.
    fn decode_like(&self, file: &Path, pixels: &mut [u8]) -> Result<(), DataError> {
        let content = read_file(file)?;
        let image = EncodedImage::parse(file, &content)?;
        check_same_shape((&self.file, self.shape), (file, image.shape()))?;
        image.decode_into(pixels)
    }
}

impl SplitSource for ClassFolders {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn shape(&self) -> ImageShape {
        self.reference.shape
    }

    /// Decodes on all threads of rayon's pool. The error is that of the first bad file, by order.
    fn read(&self) -> Result<Split, DataError> {
        let shape = self.reference.shape;
        let bytes = self.files.len().saturating_mul(shape.bytes());
        let mut images = Vec::new();
        images.try_reserve_exact(bytes).map_err(|_| DataError::OutOfMemory {
            path: self.folder.clone(),
            bytes: bytes as u64,
        })?;
        for files in self.files.chunks(CHUNK) {
            let start = images.len();
            images.resize(start + files.len() * shape.bytes(), 0);
            let slots = images[start..].par_chunks_exact_mut(shape.bytes());
            let decode =
                |(pixels, file): (&mut [u8], &PathBuf)| self.reference.decode_like(file, pixels);
            if let Some(error) = slots.zip(files).find_map_first(|slot| decode(slot).err()) {
                return Err(error);
            }
        }
        Split::new(shape, images, self.labels.clone())
    }
}
