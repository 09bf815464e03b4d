//! NVRTC: a CUDA C++ program is preprocessed by g++ with the shim's headers, rewritten to host C++
//! token by token, and compiled once to find its errors. What is handed out as PTX or CUBIN is the
//! rewritten text, see [`crate::module::image`].

mod lexer;
mod options;
mod program;
mod rewrite;

pub(crate) use program::symbols;

use crate::Error;
use crate::cache::{self, Cache};
use std::path::PathBuf;

/// The headers that kernels see, by name.
const SHIM: [(&str, &str); 12] = [
    ("emu.h", include_str!("../../shim/emu.h")),
    ("emu_core.h", include_str!("../../shim/emu_core.h")),
    ("emu_hooks.h", include_str!("../../shim/emu_hooks.h")),
    ("emu_warp.h", include_str!("../../shim/emu_warp.h")),
    ("emu_half.h", include_str!("../../shim/emu_half.h")),
    ("emu_math.h", include_str!("../../shim/emu_math.h")),
    ("emu_atomic.h", include_str!("../../shim/emu_atomic.h")),
    ("emu_async.h", include_str!("../../shim/emu_async.h")),
    ("emu_mma.h", include_str!("../../shim/emu_mma.h")),
    ("emu_hopper.h", include_str!("../../shim/emu_hopper.h")),
    ("cuda_bf16.h", "#pragma once\n// What it declares is part of the shim.\n"),
    ("cuda_fp16.h", "#pragma once\n// What it declares is part of the shim.\n"),
];

/// Puts the headers into the cache; gives their directory.
pub(crate) fn write_shim(cache: &Cache) -> Result<PathBuf, Error> {
    let directory = format!("shim-{}", cache::key(SHIM.iter().flat_map(|(n, t)| [*n, *t])));
    for (name, text) in SHIM {
        cache.write(&format!("{directory}/{name}"), text.as_bytes())?;
    }
    Ok(cache.path(&directory))
}
