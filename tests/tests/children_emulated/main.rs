//! Whole trainings and a search on the CUDA backend, whose kernels run on the emulator.

#[path = "../child/graphs.rs"]
mod graphs;
#[path = "../child/images.rs"]
mod images;
mod search;
mod tiny_search;
mod training;
