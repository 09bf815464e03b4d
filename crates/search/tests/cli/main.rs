//! The program as its users run it.

#![cfg(unix)]

mod bench;
mod children;
mod configuration;
mod kill;
mod repeatable;
mod run_directory;
mod space;
mod stop;
mod support;
