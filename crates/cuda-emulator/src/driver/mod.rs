//! The driver API, as far as cudarc and programs that use it call it.

mod context;
pub(crate) mod ffi;
mod graph;
mod launch;
mod memory;
mod module;
mod stream;
mod tensor_map;

use crate::engine::stream_key;
use crate::status::{Res, Status};
use crate::trampoline::Symbol;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Defines driver functions, whose bodies give a [`Res`], and a list of them.
macro_rules! api {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[allow(non_snake_case, clippy::too_many_arguments)]
            extern "C" fn $name($($argument: $type),*) -> u32 {
                $crate::driver::count(stringify!($name));
                let body = move || -> $crate::status::Res { $body };
                body().err().map_or(0, |status| status.0)
            }
        )*
        /// The functions of this file.
        pub(crate) fn symbols() -> Vec<$crate::trampoline::Symbol> {
            vec![$($crate::trampoline::Symbol {
                name: stringify!($name),
                address: $name as *const (),
            }),*]
        }
    };
}
pub(crate) use api;

/// How often each driver function was called.
static CALLS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

pub(crate) fn calls() -> BTreeMap<&'static str, u64> {
    CALLS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn count(function: &'static str) {
    *CALLS.lock().unwrap_or_else(PoisonError::into_inner).entry(function).or_default() += 1;
}

/// All driver functions.
pub(crate) fn symbols() -> Vec<Symbol> {
    [
        context::symbols(),
        graph::symbols(),
        launch::symbols(),
        memory::symbols(),
        module::symbols(),
        stream::symbols(),
        tensor_map::symbols(),
    ]
    .concat()
}

static INITIALIZED: AtomicBool = AtomicBool::new(false);
thread_local!(static CURRENT: Cell<usize> = const { Cell::new(0) });

/// The handle of a device's primary context; a handle that no host guesses.
fn context_handle(device: usize) -> usize {
    0x00c0_0000 + 16 * device
}

/// The device of a context handle.
fn context_device(handle: usize) -> Res<usize> {
    let device = handle.wrapping_sub(context_handle(0)) / 16;
    let known = device < crate::emulator::emulator().options.devices;
    if known && context_handle(device) == handle {
        Ok(device)
    } else {
        Err(Status::INVALID_CONTEXT)
    }
}

fn initialized() -> Res {
    if INITIALIZED.load(Ordering::Relaxed) { Ok(()) } else { Err(Status::NOT_INITIALIZED) }
}

/// The device whose context is current, if it has not failed.
fn device() -> Res<usize> {
    initialized()?;
    let device = context_device(CURRENT.get())?;
    match crate::emulator::emulator().engine.lock().errors[device] {
        Some(status) => Err(status),
        None => Ok(device),
    }
}

/// The device whose context is current and the key of one of its streams.
fn stream(handle: usize) -> Res<(usize, usize)> {
    let device = device()?;
    Ok((device, stream_key(handle, device)))
}
