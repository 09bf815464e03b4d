//! What the ledger of a run says about its configuration.

use toml::{Table, Value};

use nasrl_space::Image;

use crate::Images;
use crate::config::Config;

pub(super) const SPACE: &str = "space";
pub(super) const DEFINITION: &str = "space_definition";
/// The height, width and channels of images, and the number of classes, with spaces between.
pub(super) const IMAGES: &str = "images";
pub(super) const CONFIG: &str = "configuration";
pub(super) const VERSION: &str = "version";
pub(super) const CREATED: &str = "created_at";
pub(super) const FINISHED: &str = "finished_at";

/// A hash of what the result of the search depends on.
pub(super) fn config_digest(config: &Config) -> String {
    blake3::hash(config.relevant().to_toml().as_bytes()).to_hex().to_string()
}

/// What networks are built for, as text.
pub(super) fn write_images(images: &Images) -> String {
    let Images { shape: Image { height, width, channels }, classes } = *images;
    format!("{height} {width} {channels} {classes}")
}

/// What networks are built for, from such a text; `None` where it is something else.
pub(super) fn read_images(text: &str) -> Option<Images> {
    let numbers: Option<Vec<usize>> = text.split(' ').map(|number| number.parse().ok()).collect();
    let [height, width, channels, classes] = numbers?.try_into().ok()?;
    Some(Images { shape: Image { height, width, channels }, classes })
}

/// The first key that two configurations have different values for, and the values.
pub(super) fn first_difference(a: &Config, b: &Config) -> Option<(String, String, String)> {
    let table = |config: &Config| Table::try_from(config.relevant()).unwrap_or_default();
    difference("", &Value::Table(table(a)), &Value::Table(table(b)))
}

fn difference(key: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    let (Value::Table(a), Value::Table(b)) = (a, b) else {
        return (a != b).then(|| (key.to_owned(), a.to_string(), b.to_string()));
    };
    let absent = Value::String("nothing".to_owned());
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    keys.filter_map(|inner| {
        let dotted = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
        difference(&dotted, a.get(inner).unwrap_or(&absent), b.get(inner).unwrap_or(&absent))
    })
    .next()
}
