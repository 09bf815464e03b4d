use nasrl_tensor::Error;
use nasrl_tensor::cuda::{Gpu, Survey};
use serde::Serialize;

use super::{Block, CheckError, Report};

/// What of CUDA this machine has, or why not, as a line.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub what: &'static str,
    /// Whether it can be used.
    pub usable: bool,
    /// What was found, or what is missing and the remedy.
    pub words: String,
}

/// Looks for a driver, GPUs, NVRTC and the cache of kernels.
///
/// # Errors
/// [`CheckError::Report`].
pub fn doctor(report: &mut Report) -> Result<Vec<Finding>, CheckError> {
    let Survey { driver, gpus, nvrtc, cache } = Survey::take();
    let version = |version: &_| format!("for CUDA {version}");
    let mut findings = vec![finding("driver", &driver, version)];
    findings.extend(gpus.iter().map(|gpu| finding("GPU", gpu, describe)));
    findings.push(match &nvrtc {
        // What was tried are paths of this machine, which have no place among results.
        Err(Error::NoNvrtc { .. }) => Finding {
            what: "NVRTC",
            usable: false,
            words: "none; `nasrl doctor` says where it was looked for and what to do".to_owned(),
        },
        other => finding("NVRTC", other, |it| format!("of CUDA {}", it.version)),
    });
    findings.push(Finding {
        what: "cache",
        usable: cache.is_some(),
        words: cache.map_or("no place is known: set XDG_CACHE_HOME".to_owned(), |kernels| {
            kernels.to_string()
        }),
    });
    for finding in &findings {
        report.line(Block::Doctor, finding)?;
    }
    Ok(findings)
}

fn finding<T>(
    what: &'static str,
    found: &nasrl_tensor::Result<T>,
    words: impl Fn(&T) -> String,
) -> Finding {
    match found {
        Ok(found) => Finding { what, usable: true, words: words(found) },
        Err(missing) => Finding { what, usable: false, words: missing.to_string() },
    }
}

fn describe(gpu: &Gpu) -> String {
    let Gpu { name, compute_capability: (major, minor), memory } = gpu;
    let [free, total] = [memory.free, memory.total].map(|bytes| bytes >> 20);
    format!("{name}, compute capability {major}.{minor}, {free} of {total} MiB free")
}
