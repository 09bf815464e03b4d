//! Spaces as TOML.

mod read;
mod section;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;
