//! Modules, functions and their attributes.

use super::context::max_shared;
use super::ffi::{Out, Text};
use super::{api, device};
use crate::emulator::emulator;
use crate::module::image::Image;
use crate::module::{Function, Module};
use crate::status::{Res, Status};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const MAX_THREADS_PER_BLOCK: c_int = 0;
const SHARED_SIZE: c_int = 1;
const REGISTERS: c_int = 4;
const PTX_VERSION: c_int = 5;
const BINARY_VERSION: c_int = 6;
const MAX_DYNAMIC_SHARED_SIZE: c_int = 8;
const PREFERRED_SHARED_CARVEOUT: c_int = 9;

api! {
    fn cuModuleLoadData(module: Out<usize>, data: Text) {
        module.set(load(data.get()?)?)
    }

    fn cuModuleLoadDataEx(
        module: Out<usize>, data: Text, _count: c_uint, _options: *mut c_int,
        _values: *mut *mut c_void,
    ) {
        module.set(load(data.get()?)?)
    }

    fn cuModuleLoad(module: Out<usize>, path: Text) {
        let path = path.get()?.to_string_lossy();
        let text = std::fs::read(path.as_ref()).map_err(|_| Status::FILE_NOT_FOUND)?;
        let text: Vec<u8> = text.into_iter().take_while(|byte| *byte != 0).collect();
        let text = CString::new(text).map_err(|_| Status::INVALID_IMAGE)?;
        module.set(load(&text)?)
    }

    fn cuModuleUnload(module: usize) {
        let device = device()?;
        emulator().engine.lock().not_while_capturing()?;
        emulator().engine.synchronize_device(device)?;
        let mut state = emulator().engine.lock();
        let removed = state.modules.remove(&module).ok_or(Status::INVALID_HANDLE)?;
        state.functions.retain(|_, function| !Arc::ptr_eq(&function.module, &removed));
        Ok(())
    }

    fn cuModuleGetFunction(function: Out<usize>, module: usize, name: Text) {
        device()?;
        let name = name.get()?;
        let mut state = emulator().engine.lock();
        let module = state.modules.get(&module).ok_or(Status::INVALID_HANDLE)?.clone();
        let known = state.functions.iter().find(|(_, known)| {
            Arc::ptr_eq(&known.module, &module) && known.name.as_bytes() == name.to_bytes()
        });
        if let Some((handle, _)) = known {
            return function.set(*handle);
        }
        let found = module.function(name).ok_or(Status::NOT_FOUND)?;
        let handle = state.handle();
        state.functions.insert(handle, Arc::new(found));
        function.set(handle)
    }

    fn cuModuleGetGlobal_v2(pointer: Out<u64>, size: Out<usize>, module: usize, name: Text) {
        device()?;
        let module = emulator().engine.lock().modules.get(&module).cloned();
        let module = module.ok_or(Status::INVALID_HANDLE)?;
        let (address, bytes) = module.variable(name.get()?).ok_or(Status::NOT_FOUND)?;
        emulator().memory.add_variable(address, bytes);
        pointer.set_if_wanted(address as u64);
        size.set_if_wanted(bytes);
        Ok(())
    }

    fn cuFuncGetAttribute(value: Out<c_int>, attribute: c_int, function: usize) {
        let function = found(function)?;
        let (major, minor) = emulator().options.compute_capability;
        value.set(match attribute {
            MAX_THREADS_PER_BLOCK => function.max_threads as c_int,
            SHARED_SIZE => function.module.shared_size() as c_int,
            REGISTERS => 32,
            PTX_VERSION | BINARY_VERSION => major * 10 + minor,
            MAX_DYNAMIC_SHARED_SIZE => function.max_dynamic.load(Ordering::Relaxed) as c_int,
            PREFERRED_SHARED_CARVEOUT => -1,
            _ => 0,
        })
    }

    fn cuFuncSetAttribute(function: usize, attribute: c_int, value: c_int) {
        device()?;
        let function = found(function)?;
        match attribute {
            MAX_DYNAMIC_SHARED_SIZE => {
                let bytes = u32::try_from(value).map_err(|_| Status::INVALID_VALUE)?;
                if bytes as usize + function.module.shared_size() > max_shared() {
                    let text = format!(
                        "kernel {}: {bytes} bytes of dynamic shared memory are more than the \
                         device has",
                        function.name
                    );
                    return Err(emulator().refuse(Status::INVALID_VALUE, text));
                }
                function.max_dynamic.store(bytes, Ordering::Relaxed);
                Ok(())
            }
            PREFERRED_SHARED_CARVEOUT if (-1..=100).contains(&value) => Ok(()),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    fn cuFuncSetCacheConfig(function: usize, _config: c_int) {
        device()?;
        found(function).map(drop)
    }

    fn cuFuncGetName(name: Out<*const c_char>, function: usize) {
        let function = found(function)?;
        let text = CString::new(function.name.as_str()).map_err(|_| Status::INVALID_VALUE)?;
        // Handed out for good, as the driver's own names are.
        name.set(text.into_raw())
    }

    fn cuFuncGetModule(module: Out<usize>, function: usize) {
        let function = found(function)?;
        let state = emulator().engine.lock();
        let mut modules = state.modules.iter();
        let handle = modules.find(|(_, module)| Arc::ptr_eq(module, &function.module));
        module.set(*handle.ok_or(Status::INVALID_HANDLE)?.0)
    }

    fn cuFuncGetParamInfo(function: usize, index: usize, offset: Out<usize>, size: Out<usize>) {
        let function = found(function)?;
        let bytes = *function.sizes.get(index).ok_or(Status::INVALID_VALUE)?;
        offset.set(function.offsets[index] as usize)?;
        size.set_if_wanted(bytes as usize);
        Ok(())
    }
}

/// The function of that handle.
pub(super) fn found(function: usize) -> Res<Arc<Function>> {
    emulator().engine.lock().functions.get(&function).cloned().ok_or(Status::INVALID_HANDLE)
}

fn load(data: &CStr) -> Res<usize> {
    device()?;
    let image = data.to_str().ok().and_then(Image::parse).ok_or_else(|| {
        let text = "a module image that the emulator's NVRTC did not make".into();
        emulator().refuse(Status::INVALID_IMAGE, text)
    })?;
    let loaded = image.compile(emulator()).and_then(|path| Module::load(&image.name, &path));
    let module = loaded.map_err(|log| {
        emulator().refuse(Status::INVALID_IMAGE, format!("module {}: {log}", image.name))
    })?;
    emulator().declare(&module.name, module.kernels());
    let mut state = emulator().engine.lock();
    let handle = state.handle();
    state.modules.insert(handle, Arc::new(module));
    Ok(handle)
}
