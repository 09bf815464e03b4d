//! The program as its users run it.

#![cfg(unix)]

mod bench;
mod children;
mod configuration;
mod cuda;
mod depth;
mod doctor;
mod failure;
mod kill;
mod limits;
mod repeatable;
mod retrain;
mod run_directory;
mod space;
mod stop;
mod support;
mod tune;
