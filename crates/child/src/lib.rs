//! Compiles an architecture to a program, trains it and measures its accuracy.

pub mod data;
