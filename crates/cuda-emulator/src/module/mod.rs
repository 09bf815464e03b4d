//! A module: a shared object of host code made from kernels, and what is found in it.

pub(crate) mod image;

use crate::emulator::emulator;
use crate::exec::{API, Api, Block, Thread};
use crate::trampoline::loader_message;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs one CUDA thread to its end: the thread, the kernel's thunk, pointers to its arguments.
type Entry = unsafe extern "C" fn(*mut Thread, *const c_void, *const *mut c_void);

/// What the rewriter puts behind every kernel; `__emu::Desc` in the shim.
#[repr(C, align(64))]
#[derive(Debug)]
struct Descriptor {
    function: *const c_void,
    thunk: *const c_void,
    parameters: u32,
    max_threads: u32,
    sizes: *const u32,
    alignments: *const u32,
    name: *const c_char,
}

/// A loaded module.
#[derive(Debug)]
pub(crate) struct Module {
    /// The program's name.
    pub(crate) name: String,
    pub(crate) entry: Entry,
    /// Frees what the shim keeps for a block.
    pub(crate) block_end: unsafe extern "C" fn(*mut Block),
    handle: *mut c_void,
    /// The file with the lines, for reports.
    path: PathBuf,
    base: usize,
    end: usize,
    /// Gives the calling thread's address of a variable of the shim's beside the `__shared__` ones.
    touch: unsafe extern "C" fn() -> usize,
    /// Where that variable lies among them.
    touched: usize,
    /// Bytes of them all, padding and the shim's variable included.
    thread_bytes: usize,
    descriptors: &'static [Descriptor],
    /// Source lines that were looked up.
    lines: Mutex<HashMap<usize, String>>,
}

// SAFETY: the handle and the descriptors are never written after loading, and `dlsym` may be called
// from any thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// A kernel of a module.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) module: Arc<Module>,
    pub(crate) name: String,
    /// Calls the kernel with arguments from memory.
    pub(crate) thunk: *const c_void,
    /// Sizes of the parameters in bytes.
    pub(crate) sizes: Vec<u32>,
    /// Where the parameters lie in a parameter buffer.
    pub(crate) offsets: Vec<u32>,
    /// Most threads of a block.
    pub(crate) max_threads: u32,
    /// Most dynamic shared memory, raised by `cuFuncSetAttribute`.
    pub(crate) max_dynamic: AtomicU32,
}

// SAFETY: the thunk is code of the module, which the function keeps loaded.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// Dynamic shared memory that a kernel may have without asking.
const DEFAULT_DYNAMIC: u32 = 48 << 10;

impl Module {
    /// Loads a copy of a shared object, so that each load has variables of its own.
    pub(crate) fn load(name: &str, path: &Path) -> Result<Self, String> {
        let error = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let scratch = emulator().cache.scratch().map_err(|e| error(&e))?;
        let copy = scratch.path().join("module.so");
        std::fs::copy(path, &copy).map_err(|e| error(&e))?;
        let opened = CString::new(copy.as_os_str().as_bytes()).map_err(|e| error(&e))?;
        // SAFETY: the object was made from a rewritten source; its only constructors are the C
        // library's usual ones.
        let handle = unsafe { libc::dlopen(opened.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(loader_message());
        }
        // SAFETY: the symbols are the shim's, of these types; `bind` gives the bounds of the
        // section of descriptors, which lives as long as the object is loaded.
        unsafe {
            type Bind =
                unsafe extern "C" fn(*const Api, *mut *const Descriptor) -> *const Descriptor;
            let bind: Bind = std::mem::transmute(symbol(handle, c"__emu_bind")?);
            let mut end = std::ptr::null();
            let first = bind(&API, &mut end);
            let descriptors = match first.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(first, end.offset_from(first) as usize),
            };
            let mut map: *const LinkMap = std::ptr::null();
            dlinfo(handle, RTLD_DI_LINKMAP, (&raw mut map).cast());
            let mut module = Self {
                name: name.into(),
                entry: std::mem::transmute::<*mut c_void, Entry>(symbol(handle, c"__emu_entry")?),
                block_end: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut Block)>(
                    symbol(handle, c"__emu_block_end")?,
                ),
                touch: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> usize>(symbol(
                    handle,
                    c"__emu_touch_tls",
                )?),
                handle,
                path: path.into(),
                base: (*map).address,
                end: 0,
                touched: 0,
                thread_bytes: 0,
                descriptors,
                lines: Mutex::default(),
            };
            let mut end = module.base;
            module.segments(|info, segment| {
                if segment.p_type == libc::PT_LOAD {
                    let address = info.dlpi_addr as usize + segment.p_vaddr as usize;
                    end = end.max(address + segment.p_memsz as usize);
                }
            });
            module.end = end;
            module.locate_shared()?;
            Ok(module)
        }
    }

    /// Names of the kernels.
    pub(crate) fn kernels(&self) -> Vec<String> {
        let name = |d: &Descriptor| {
            // SAFETY: a string literal of the module.
            unsafe { CStr::from_ptr(d.name) }.to_string_lossy().into_owned()
        };
        self.descriptors.iter().map(name).collect()
    }

    /// The kernel of that symbol.
    pub(crate) fn function(self: &Arc<Self>, name: &CStr) -> Option<Function> {
        let address = symbol(self.handle, name).ok()?;
        let found = self.descriptors.iter().find(|d| std::ptr::eq(d.function, address))?;
        let count = found.parameters as usize;
        // SAFETY: the arrays have one entry a parameter and another behind the last.
        let (sizes, alignments) = unsafe {
            (
                std::slice::from_raw_parts(found.sizes, count),
                std::slice::from_raw_parts(found.alignments, count),
            )
        };
        let mut end = 0;
        let offsets = sizes.iter().zip(alignments).map(|(size, alignment)| {
            let offset = u32::next_multiple_of(end, *alignment);
            end = offset + size;
            offset
        });
        Some(Function {
            module: self.clone(),
            name: name.to_string_lossy().into_owned(),
            thunk: found.thunk,
            offsets: offsets.collect(),
            sizes: sizes.to_vec(),
            max_threads: found.max_threads,
            max_dynamic: AtomicU32::new(DEFAULT_DYNAMIC),
        })
    }

    /// Address and size of a `__device__` or `__constant__` variable.
    pub(crate) fn variable(&self, name: &CStr) -> Option<(usize, usize)> {
        let address = symbol(self.handle, name).ok()?;
        // SAFETY: both structures are written by the loader, which also keeps the symbol.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            let mut entry: *mut c_void = std::ptr::null_mut();
            let found = dladdr1(address, &mut info, &mut entry, RTLD_DL_SYMENT);
            (found != 0 && !entry.is_null()).then(|| {
                let entry = &*entry.cast::<libc::Elf64_Sym>();
                (address as usize, entry.st_size as usize)
            })
        }
    }

    /// The symbol of the address that a function of the module returns.
    pub(crate) fn symbol_named_by(&self, getter: &CStr) -> Option<CString> {
        let getter = symbol(self.handle, getter).ok()?;
        // SAFETY: the rewriter made the function, of this type; the loader keeps the name, which is
        // copied while the object is loaded.
        unsafe {
            let getter: extern "C" fn() -> *const c_void = std::mem::transmute(getter);
            let mut info: libc::Dl_info = std::mem::zeroed();
            let found = libc::dladdr(getter(), &mut info) != 0 && !info.dli_sname.is_null();
            found.then(|| CStr::from_ptr(info.dli_sname).to_owned())
        }
    }

    /// Address and size of this CPU thread's copy of the `__shared__` variables of all kernels.
    pub(crate) fn shared_variables(&self) -> (usize, usize) {
        // SAFETY: the shim's function; it writes a variable of its own.
        (unsafe { (self.touch)() } - self.touched, self.thread_bytes)
    }

    /// Bytes of `__shared__` variables of all kernels together.
    pub(crate) fn shared_size(&self) -> usize {
        /// The shim's variable.
        const OWN: usize = 16;
        self.thread_bytes - OWN
    }

    /// Finds out where thread-local variables lie.
    fn locate_shared(&mut self) -> Result<(), String> {
        // Another thread that loads an object at this moment makes the loader forget where this
        // thread's variables are, until they are touched again.
        for _ in 0..1000 {
            // SAFETY: as in `shared_variables`.
            let touched = unsafe { (self.touch)() };
            let (mut start, mut length) = (0, 0);
            self.segments(|info, segment| {
                if segment.p_type == libc::PT_TLS {
                    (start, length) = (info.dlpi_tls_data as usize, segment.p_memsz as usize);
                }
            });
            if start != 0 {
                (self.touched, self.thread_bytes) = (touched - start, length);
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err("the loader does not say where thread-local variables are".into())
    }

    /// The notes that the compiler wrote beside the object for gcov, if it counts lines, and the
    /// counters so far in gcov's format.
    pub(crate) fn line_counters(&self) -> Option<(PathBuf, Vec<u8>)> {
        type Write = extern "C" fn(*const u8, u32, *mut Vec<u8>);
        extern "C" fn write(bytes: *const u8, count: u32, to: *mut Vec<u8>) {
            // SAFETY: libgcov gives that many bytes, and passes on the vector that it was given.
            unsafe { (*to).extend(std::slice::from_raw_parts(bytes, count as usize)) };
        }
        let mut data = Vec::new();
        let dump = symbol(self.handle, c"__emu_coverage").ok()?;
        // SAFETY: the shim's function, of this type; it calls back with the vector only.
        unsafe {
            let dump: extern "C" fn(Write, *mut Vec<u8>) = std::mem::transmute(dump);
            dump(write, &mut data);
        }
        (!data.is_empty()).then(|| (self.path.with_extension("gcno"), data))
    }

    /// Whether an address lies in the loaded object: code, variables, literals.
    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.base..self.end).contains(&address)
    }

    /// The source line of a return address, with the lines it was inlined into.
    pub(crate) fn line(&self, address: usize) -> String {
        if !self.contains(address) {
            return format!("{address:#x}");
        }
        let known = || self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = known().get(&address) {
            return line.clone();
        }
        let line = self.look_up_line(address);
        known().insert(address, line.clone());
        line
    }

    fn look_up_line(&self, address: usize) -> String {
        let offset = format!("{:#x}", address - 1 - self.base);
        let object = self.path.to_string_lossy();
        let output = Command::new("addr2line").args(["-i", "-e", &object, &offset]).output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        let lines = text.unwrap_or_default();
        let lines: Vec<&str> = lines
            .lines()
            .map(|line| line.split(" (disc").next().unwrap_or(line))
            .map(|line| line.rsplit_once("/./").map_or(line, |(_, file)| file))
            .filter(|line| !line.starts_with("??") && !line.contains("/shim-"))
            .map(|line| line.rsplit('/').next().unwrap_or(line))
            .collect();
        match lines.is_empty() {
            true => format!("{} + {offset}", self.name),
            false => lines.join(", inlined into "),
        }
    }

    fn segments(&self, mut visit: impl FnMut(&libc::dl_phdr_info, &libc::Elf64_Phdr)) {
        type Visit<'a> = (usize, &'a mut dyn FnMut(&libc::dl_phdr_info, &libc::Elf64_Phdr));
        /// # Safety
        /// Called by `dl_iterate_phdr` with a pointer to a `Visit`.
        unsafe extern "C" fn each(
            info: *mut libc::dl_phdr_info,
            _: usize,
            data: *mut c_void,
        ) -> c_int {
            // SAFETY: by contract, and the loader gives the count of the headers.
            unsafe {
                let (base, visit) = &mut *data.cast::<Visit<'_>>();
                if (*info).dlpi_addr as usize != *base {
                    return 0;
                }
                for i in 0..(*info).dlpi_phnum as usize {
                    visit(&*info, &*(*info).dlpi_phdr.add(i));
                }
                1
            }
        }
        let mut data: Visit<'_> = (self.base, &mut visit);
        // SAFETY: the callback gets back the pointer that it expects.
        unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut data).cast()) };
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Some((notes, data)) = self.line_counters() {
            emulator().unloaded.add(notes, data);
        }
        emulator().memory.forget_variables(self.base..self.end);
        // SAFETY: opened by `load`; every function keeps its module, so that none is in use.
        unsafe { libc::dlclose(self.handle) };
    }
}

/// The start of glibc's description of a loaded object.
#[repr(C)]
struct LinkMap {
    address: usize,
}

const RTLD_DI_LINKMAP: c_int = 2;
const RTLD_DL_SYMENT: c_int = 1;

unsafe extern "C" {
    fn dlinfo(handle: *mut c_void, request: c_int, info: *mut c_void) -> c_int;
    fn dladdr1(
        address: *const c_void,
        info: *mut libc::Dl_info,
        extra: *mut *mut c_void,
        flags: c_int,
    ) -> c_int;
}

fn symbol(handle: *mut c_void, name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the handle is of an open object.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("the module has no symbol {}", name.to_string_lossy()));
    }
    Ok(address)
}
