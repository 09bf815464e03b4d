//! Shared objects that bear the names of NVIDIA's libraries.
//!
//! The loader of `cudarc` asks for `libcuda.so` by name. glibc answers with a library that is
//! already loaded under that SONAME, wherever it came from, so it is enough to load an object of
//! ours first. Every function in it is one jump through a table, which is then filled with the
//! addresses of this crate's functions: the driver's state stays plain Rust in this process.

use crate::Error;
use crate::cache::{self, Cache};
use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// A C function that the library exports.
#[derive(Clone, Copy)]
pub(crate) struct Symbol {
    pub(crate) name: &'static str,
    pub(crate) address: *const (),
}

const TABLE: &CStr = c"nasrl_emulator_table";

/// Makes later `dlopen(soname)` calls in this process find `symbols`.
pub(crate) fn install(
    cache: &Cache,
    soname: &'static CStr,
    symbols: &[Symbol],
) -> Result<(), Error> {
    let library = soname.to_str().unwrap_or_default();
    // SAFETY: the name is a C string; RTLD_NOLOAD loads nothing and runs no constructor.
    let loaded = unsafe { libc::dlopen(soname.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
    if !loaded.is_null() {
        return Err(Error::AlreadyLoaded { library });
    }
    let source = assembly(symbols);
    let name = format!("{}-{library}", cache::key([library, &source]));
    let path = cache.path(&name);
    if !path.exists() {
        let scratch = cache.scratch()?;
        let input = scratch.path().join("stubs.s");
        let fail = |source| Error::Cache { path: input.clone(), source };
        std::fs::write(&input, &source).map_err(fail)?;
        let soname_option = format!("-Wl,-soname,{library}");
        let options = ["-shared", "-nostdlib", &soname_option, "stubs.s", "-o", "stubs.so"];
        let output =
            cache::gxx(scratch.path(), options).map_err(|source| Error::NoCompiler { source })?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Compiler { path: input, log });
        }
        std::fs::rename(scratch.path().join("stubs.so"), &path).map_err(fail)?;
    }
    let fail = |message: String| Error::Loader { path: path.clone(), message };
    let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|e| fail(e.to_string()))?;
    // SAFETY: the object is ours, made from the text above; it has no constructors. It is never
    // closed, as its table must outlive every caller.
    let table = unsafe {
        let handle = libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() {
            return Err(fail(loader_message()));
        }
        libc::dlsym(handle, TABLE.as_ptr()).cast::<*const ()>()
    };
    if table.is_null() {
        return Err(fail(loader_message()));
    }
    for (i, symbol) in symbols.iter().enumerate() {
        // SAFETY: the table has one writable entry a symbol, and nobody calls through it before
        // this function returns.
        unsafe { table.add(i).write(symbol.address) };
    }
    Ok(())
}

/// The text of the last error of `dlopen` or `dlsym` on this thread.
pub(crate) fn loader_message() -> String {
    // SAFETY: dlerror gives a C string that stays valid until this thread's next call, or null.
    unsafe {
        let message = libc::dlerror();
        if message.is_null() {
            return "a symbol is missing".into();
        }
        CStr::from_ptr(message).to_string_lossy().into_owned()
    }
}

fn assembly(symbols: &[Symbol]) -> String {
    let mut text = String::from("\t.text\n");
    for (i, Symbol { name, .. }) in symbols.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\t.globl {name}\n\t.type {name}, @function\n{name}:\n\tjmp *table+{}(%rip)",
            8 * i
        );
    }
    let table = TABLE.to_str().unwrap_or_default();
    let _ = writeln!(
        text,
        "\t.bss\n\t.balign 8\n\t.globl {table}\n\t.type {table}, @object\n{table}:\ntable:\n\t\
         .zero {}\n\t.section .note.GNU-stack,\"\",@progbits",
        8 * symbols.len()
    );
    text
}
