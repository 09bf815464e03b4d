//! Whole networks: compiled programs against the interpreter, and trained ones.

mod gradients;
mod graphs;
mod interpreter;
mod oracle;
mod paper;
mod problem;
mod repeatability;
mod resume;
mod training;
