//! Datasets in every format, read from files as users have them.

mod corpus;
mod embedded;
mod files;
mod formats;
mod refusals;
