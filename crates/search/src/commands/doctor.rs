//! `nasrl doctor`

use nasrl_tensor::Error;
use nasrl_tensor::cpu::Isa;
use nasrl_tensor::cuda::{Gpu, Survey};

use super::cores;
use crate::exit::{CommandResult, Exit};
use crate::output::say;

/// Show what nasrl finds on this machine, what is missing for a GPU, and what to do about it.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> CommandResult {
    let sets: Vec<String> = Isa::available().iter().map(ToString::to_string).collect();
    line("processor", &format!("{} cores, instruction sets {}", cores(), sets.join(", ")));
    line("", &format!("{} is used", Isa::best()));
    let Survey { driver, gpus, nvrtc, cache } = Survey::take();
    line("CUDA driver", &found(&driver, |version| format!("for CUDA {version}")));
    if gpus.is_empty() {
        line("GPU", "none");
    }
    for gpu in &gpus {
        line("GPU", &found(gpu, describe));
    }
    line("NVRTC", &found(&nvrtc, |it| format!("of CUDA {}, {}", it.version, it.library)));
    let kernels = cache.map(|it| format!("{}: {it}", it.folder.display()));
    line("kernels in", &kernels.unwrap_or("no place is known: set XDG_CACHE_HOME".to_owned()));
    let can_use_gpu = nvrtc.is_ok() && gpus.iter().any(Result::is_ok);
    say!(
        "\n{}",
        if can_use_gpu {
            "Children can be trained by --device cuda and by --device cpu."
        } else {
            "Children can be trained by --device cpu; --device cuda needs a driver, a GPU and NVRTC."
        }
    );
    Ok(Exit::Done)
}

fn line(what: &str, words: &str) {
    say!("{what:<12}{words}");
}

fn found<T>(it: &Result<T, Error>, words: impl Fn(&T) -> String) -> String {
    match it {
        Ok(it) => words(it),
        Err(missing) => missing.to_string(),
    }
}

fn describe(gpu: &Gpu) -> String {
    let Gpu { name, compute_capability: (major, minor), memory } = gpu;
    let [free, total] = [memory.free, memory.total].map(|bytes| bytes >> 20);
    format!("{name}, compute capability {major}.{minor}, {free} of {total} MiB free")
}
