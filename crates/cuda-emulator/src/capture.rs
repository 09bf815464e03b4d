//! Stream capture: work becomes the nodes of a graph, with the rules of the driver.

use crate::engine::{Event, EventState, Shuffle, State, Work};
use crate::status::{Res, Status};
use std::collections::{HashMap, HashSet};
use std::thread::{self, ThreadId};

/// A captured graph. Nodes stand in the order of capture, which respects all dependencies.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

/// A piece of work and the nodes that it waits for.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) work: Work,
    pub(crate) dependencies: Vec<usize>,
}

/// A capture in progress.
#[derive(Debug)]
pub(crate) struct Capture {
    graph: Graph,
    /// The stream in which it was begun.
    origin: usize,
    /// Whose calls it forbids.
    mode: Mode,
    /// The thread that began it.
    thread: ThreadId,
    /// By stream: the nodes that its next node waits for.
    tails: HashMap<usize, Vec<usize>>,
    invalid: bool,
}

/// Which threads may not make calls that are unsafe in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Global,
    ThreadLocal,
    Relaxed,
}

/// What `cuStreamIsCapturing` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureStatus {
    None = 0,
    Active = 1,
    Invalidated = 2,
}

impl Graph {
    /// The nodes in an order that respects the dependencies: that of capture, or any.
    pub(crate) fn order(&self, random: &mut Option<Shuffle>) -> Vec<&Work> {
        let Some(random) = random else {
            return self.nodes.iter().map(|node| &node.work).collect();
        };
        let mut done = vec![false; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        while order.len() < self.nodes.len() {
            let ready = |&i: &usize| {
                !done[i] && self.nodes[i].dependencies.iter().all(|earlier| done[*earlier])
            };
            let ready: Vec<usize> = (0..self.nodes.len()).filter(ready).collect();
            let next = ready[random.below(ready.len())];
            done[next] = true;
            order.push(&self.nodes[next].work);
        }
        order
    }

    /// The nodes without dependents that `ends` does not contain.
    fn loose(&self, ends: &[usize]) -> bool {
        let mut awaited: HashSet<usize> = ends.iter().copied().collect();
        awaited.extend(self.nodes.iter().flat_map(|node| node.dependencies.iter().copied()));
        (0..self.nodes.len()).any(|node| !awaited.contains(&node))
    }
}

impl Capture {
    /// Adds a node behind those of the stream.
    pub(crate) fn add(&mut self, stream: usize, work: Work) -> Res {
        if self.invalid {
            return Err(Status::STREAM_CAPTURE_INVALIDATED);
        }
        let tail = self.tails.entry(stream).or_default();
        match work {
            // A graph launched into a capture becomes part of it, node by node.
            Work::Graph(graph) => {
                for node in &graph.nodes {
                    let dependencies = std::mem::replace(tail, vec![self.graph.nodes.len()]);
                    self.graph.nodes.push(Node { work: node.work.clone(), dependencies });
                }
            }
            work => {
                let dependencies = std::mem::replace(tail, vec![self.graph.nodes.len()]);
                self.graph.nodes.push(Node { work, dependencies });
            }
        }
        Ok(())
    }

    /// Makes the capture fail when it is ended.
    pub(crate) fn invalidate(&mut self) {
        self.invalid = true;
    }
}

impl State {
    /// The capture that a stream takes part in.
    pub(crate) fn capture_of(&mut self, key: usize) -> Res<Option<&mut Capture>> {
        Ok(match self.stream(key)?.capture {
            None => None,
            Some(capture) => self.captures.get_mut(&capture),
        })
    }

    /// Begins to capture a stream.
    pub(crate) fn begin_capture(&mut self, key: usize, mode: Mode) -> Res {
        if self.stream(key)?.capture.is_some() {
            return Err(Status::INVALID_VALUE);
        }
        let id = self.handle() as u64;
        let tails = HashMap::from([(key, Vec::new())]);
        let capture = Capture {
            graph: Graph::default(),
            origin: key,
            mode,
            thread: thread::current().id(),
            tails,
            invalid: false,
        };
        self.captures.insert(id, capture);
        self.stream(key)?.capture = Some(id);
        Ok(())
    }

    /// Ends the capture that was begun in a stream.
    pub(crate) fn end_capture(&mut self, key: usize) -> Res<Graph> {
        let id = self.stream(key)?.capture.ok_or(Status::INVALID_VALUE)?;
        let capture = self.captures.get(&id).ok_or(Status::INVALID_VALUE)?;
        if capture.origin != key {
            return Err(Status::STREAM_CAPTURE_UNMATCHED);
        }
        for stream in self.streams.values_mut().filter(|stream| stream.capture == Some(id)) {
            stream.capture = None;
        }
        let capture = self.captures.remove(&id).ok_or(Status::INVALID_VALUE)?;
        if capture.invalid {
            return Err(Status::STREAM_CAPTURE_INVALIDATED);
        }
        if capture.graph.loose(&capture.tails[&key]) {
            return Err(Status::STREAM_CAPTURE_UNJOINED);
        }
        Ok(capture.graph)
    }

    /// Whether a stream is being captured.
    pub(crate) fn capture_status(&mut self, key: usize) -> Res<CaptureStatus> {
        Ok(match self.capture_of(key)? {
            None => CaptureStatus::None,
            Some(capture) if capture.invalid => CaptureStatus::Invalidated,
            Some(_) => CaptureStatus::Active,
        })
    }

    /// Refuses a call that may wait for the device while a capture forbids that to this thread.
    pub(crate) fn not_while_capturing(&mut self) -> Res {
        let thread = thread::current().id();
        self.refuse_in(|capture| match capture.mode {
            Mode::Global => true,
            Mode::ThreadLocal => capture.thread == thread,
            Mode::Relaxed => false,
        })
    }

    /// Refuses a call that waits for everything, captured streams among it.
    pub(crate) fn nothing_is_captured(&mut self) -> Res {
        self.refuse_in(|_| true)
    }

    fn refuse_in(&mut self, forbids: impl Fn(&Capture) -> bool) -> Res {
        let mut outcome = Ok(());
        for capture in self.captures.values_mut().filter(|capture| forbids(capture)) {
            capture.invalidate();
            outcome = Err(Status::STREAM_CAPTURE_UNSUPPORTED);
        }
        outcome
    }

    /// Records an event at the end of a stream.
    pub(crate) fn record(&mut self, event: usize, key: usize) -> Res {
        if !self.events.contains_key(&event) {
            return Err(Status::INVALID_HANDLE);
        }
        let state = match self.stream(key)?.capture {
            None => EventState::Recorded(self.mark(key)?),
            Some(capture) => {
                let tails = self.captures.get(&capture).map(|capture| &capture.tails);
                let nodes = tails.and_then(|tails| tails.get(&key)).cloned().unwrap_or_default();
                EventState::Captured { capture, nodes }
            }
        };
        if let Some(event) = self.events.get_mut(&event) {
            event.state = state;
        }
        Ok(())
    }

    /// Makes a stream wait for an event. An event of a capture draws the stream into it.
    pub(crate) fn wait_for(&mut self, key: usize, event: usize) -> Res {
        let Event { state, .. } = self.events.get(&event).ok_or(Status::INVALID_HANDLE)?.clone();
        let capturing = self.stream(key)?.capture;
        match (state, capturing) {
            (EventState::Empty, _) => Ok(()),
            (EventState::Recorded(marker), None) => self.push(key, Work::Wait(marker)),
            (EventState::Recorded(_), Some(id)) => {
                self.captures.entry(id).and_modify(Capture::invalidate);
                Err(Status::STREAM_CAPTURE_ISOLATION)
            }
            (EventState::Captured { capture, nodes }, own) => {
                if own.is_some_and(|own| own != capture) {
                    return Err(Status::STREAM_CAPTURE_MERGE);
                }
                let Some(joined) = self.captures.get_mut(&capture) else {
                    return Err(Status::CAPTURED_EVENT);
                };
                let tail = joined.tails.entry(key).or_default();
                tail.extend(nodes);
                tail.sort_unstable();
                tail.dedup();
                self.stream(key)?.capture = Some(capture);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, Node};
    use crate::engine::Work;

    fn graph(dependencies: &[&[usize]]) -> Graph {
        let node = |d: &&[usize]| Node { work: Work::Free(0), dependencies: d.to_vec() };
        Graph { nodes: dependencies.iter().map(node).collect() }
    }

    #[test]
    fn a_fork_that_is_not_joined_is_loose() {
        let forked = graph(&[&[], &[0], &[0]]);
        assert!(forked.loose(&[1]));
        assert!(!forked.loose(&[1, 2]));
        assert!(!graph(&[&[], &[0], &[0], &[1, 2]]).loose(&[3]));
    }
}
