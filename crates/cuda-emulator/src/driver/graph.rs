//! Graphs that were captured.

use super::ffi::Out;
use super::{api, device, stream};
use crate::emulator::emulator;
use crate::engine::Work;
use crate::status::{Res, Status};
use std::ffi::{c_int, c_uint};

const AUTO_FREE_ON_LAUNCH: u64 = 1;
const DEVICE_LAUNCH: u64 = 4;
const KERNEL: c_int = 0;
const COPY: c_int = 1;
const FILL: c_int = 2;
const HOST: c_int = 3;
const EMPTY: c_int = 5;
/// Nodes have no handles of their own: a graph's handle plus the node's position, far above it.
const NODE_SHIFT: u32 = 40;

api! {
    fn cuGraphInstantiateWithFlags(executable: Out<usize>, graph: usize, flags: u64) {
        instantiate(executable, graph, flags)
    }

    fn cuGraphInstantiate_v2(
        executable: Out<usize>, graph: usize, _node: Out<usize>, _log: Out<u8>, _length: usize,
    ) {
        instantiate(executable, graph, 0)
    }

    fn cuGraphLaunch(executable: usize, handle: usize) {
        let (_, key) = stream(handle)?;
        let mut state = emulator().engine.lock();
        let graph = state.graphs.get(&executable).ok_or(Status::INVALID_HANDLE)?.clone();
        state.push(key, Work::Graph(graph))
    }

    fn cuGraphUpload(_executable: usize, handle: usize) {
        stream(handle).map(drop)
    }

    fn cuGraphExecDestroy(executable: usize) {
        destroy(executable)
    }

    fn cuGraphDestroy(graph: usize) {
        destroy(graph)
    }

    fn cuGraphGetNodes(graph: usize, nodes: Out<usize>, count: Out<usize>) {
        let state = emulator().engine.lock();
        let found = state.graphs.get(&graph).ok_or(Status::INVALID_HANDLE)?.nodes.len();
        if nodes.is_null() {
            return count.set(found);
        }
        let wanted = count.get()?.min(found);
        let handles: Vec<usize> = (0..wanted).map(|i| ((i + 1) << NODE_SHIFT) | graph).collect();
        nodes.set_all(&handles);
        count.set(wanted)
    }

    fn cuGraphNodeGetType(node: usize, kind: Out<c_int>) {
        let state = emulator().engine.lock();
        let graph = state.graphs.get(&(node & ((1 << NODE_SHIFT) - 1)));
        let position = (node >> NODE_SHIFT).checked_sub(1);
        let found = graph.zip(position).and_then(|(graph, position)| graph.nodes.get(position));
        kind.set(match found.ok_or(Status::INVALID_HANDLE)?.work {
            Work::Launch(_) => KERNEL,
            Work::Copy { .. } | Work::Write { .. } => COPY,
            Work::Fill { .. } => FILL,
            Work::Call(..) => HOST,
            _ => EMPTY,
        })
    }

    fn cuGraphDebugDotPrint(_graph: usize, _path: super::ffi::Text, _flags: c_uint) {
        Err(Status::NOT_SUPPORTED)
    }
}

fn instantiate(executable: Out<usize>, graph: usize, flags: u64) -> Res {
    device()?;
    if flags & DEVICE_LAUNCH != 0 && flags & AUTO_FREE_ON_LAUNCH != 0 {
        return Err(Status::INVALID_VALUE);
    }
    let mut state = emulator().engine.lock();
    let found = state.graphs.get(&graph).ok_or(Status::INVALID_HANDLE)?.clone();
    let handle = state.handle();
    state.graphs.insert(handle, found);
    executable.set(handle)
}

fn destroy(handle: usize) -> Res {
    emulator().engine.lock().graphs.remove(&handle).map(drop).ok_or(Status::INVALID_HANDLE)
}
