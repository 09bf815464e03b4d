//! `nasrl`: neural architecture search with reinforcement learning, on the command line.

mod commands;
mod exit;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use nasrl_search::panics;

use commands::Command;
use exit::{CommandError, FAILED};
use output::{lost, remark};

/// Neural architecture search with reinforcement learning, without a deep-learning framework below.
///
/// `nasrl search` on its own searches the images that come with the program: a first result in
/// minutes.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done (also when --max-time was reached), 1 failed, \
    2 refused before anything was written, 3 stopped by Ctrl-C or SIGTERM and can be resumed, \
    130 ended by a second Ctrl-C.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    panics::silence();
    let code = match panics::catch(|| arguments.command.run()) {
        Ok(Ok(exit)) => match lost() {
            Some(reason) => {
                remark!("error: the results could not be written to standard output: {reason}");
                FAILED
            }
            None => exit.code(),
        },
        Ok(Err(CommandError { code, reason })) => {
            remark!("error: {reason}");
            code
        }
        Err(panic) => {
            remark!("error: a mistake in nasrl itself: {panic}; please report it");
            FAILED
        }
    };
    ExitCode::from(code)
}
