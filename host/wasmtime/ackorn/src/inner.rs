//! What a stack's handles and its loop share: the engine, the links, who waits for which
//! connection or listener, and why the stack has ended. One lock around all of it; wakers are
//! called outside of the lock, for what they wake may drop a stream of this stack.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::abi::{self, handle_kind};
use crate::engine::Engine;
use crate::error::{Error, Fault, checked};
use crate::link::Link;
use crate::ring::Ring;

/// Frames of one link between two polls; the default profile's receive ring.
const BATCH: u32 = 64;
/// Frames and sends a poll: a batch and what it answers.
pub(crate) const BUDGET: u32 = 128;

const READ_EVENTS: u32 = abi::EVENT_READABLE
    | abi::EVENT_PEER_FIN
    | abi::EVENT_ERROR
    | abi::EVENT_CLOSED
    | abi::EVENT_ACCEPTABLE
    | abi::EVENT_URGENT;
const WRITE_EVENTS: u32 =
    abi::EVENT_WRITABLE | abi::EVENT_CONNECTED | abi::EVENT_ERROR | abi::EVENT_CLOSED;

/// A handle of the engine: index and generation. A stale one is refused with EBADF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub index: u32,
    pub generation: u32,
}

/// Who waits for one connection or listener.
#[derive(Default)]
pub(crate) struct Slot {
    generation: u32,
    /// Events told since the handle was attached.
    pub seen: u32,
    /// Waits for bytes, or for somebody to be accepted.
    pub reader: Option<Waker>,
    /// Waits for room, or for the connection.
    pub writer: Option<Waker>,
}

/// Slots by index; one of another generation is nobody's.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
}

impl Table {
    pub fn attach(&mut self, id: Id) {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots[index] = Slot {
            generation: id.generation,
            ..Slot::default()
        };
    }

    pub fn get(&mut self, id: Id) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.generation == id.generation).then_some(slot)
    }

    fn take_all(&mut self, into: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            into.extend(slot.reader.take());
            into.extend(slot.writer.take());
        }
    }
}

/// Why nothing moves any more.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The last handle was dropped, or `close` called.
    Closed,
    /// The engine trapped.
    Fault(Fault),
    /// A device is gone.
    Link(String),
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Error {
        match ended {
            Ended::Closed => Error::Setup("the stack is closed".to_owned()),
            Ended::Fault(fault) => Error::Fault(fault),
            Ended::Link(what) => Error::Setup(what),
        }
    }
}

pub(crate) struct Attached {
    pub link: Box<dyn Link>,
    pub ring: u32,
}

pub(crate) struct Inner {
    pub engine: Engine,
    pub links: Vec<Attached>,
    pub connections: Table,
    pub listeners: Table,
    pub ended: Option<Ended>,
    /// Who wants to be told of the end.
    pub mourners: Vec<Waker>,
    /// The loop, while it waits.
    pub driver: Option<Waker>,
    /// A call of the user wants a poll.
    pub requested: bool,
    pub started: Instant,
}

/// What the loop does next.
pub(crate) enum Next {
    /// There is more to do, after others have had their turn.
    Again,
    /// µs until the engine wants to be called, unless something arrives.
    Wait(u32),
}

impl Inner {
    /// µs since the stack began.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn alive(&self) -> Result<(), Error> {
        match &self.ended {
            Some(ended) => Err(ended.clone().into()),
            None => Ok(()),
        }
    }

    /// Wants a poll soon: something was queued that must go out.
    pub fn request(&mut self) {
        if self.requested {
            return;
        }
        self.requested = true;
        // The loop's own waker is tokio's: it only queues the task.
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Notes the end, the first one, and lets the loop tell everybody.
    pub fn end(&mut self, why: Ended) {
        if self.ended.is_none() {
            self.ended = Some(why);
        }
        self.requested = false;
        self.request();
    }

    /// A call of the engine, by its name on Linux; its number, negative for an errno.
    pub fn number(
        &mut self,
        call: impl FnOnce(&mut Engine) -> Result<i32, Fault>,
    ) -> Result<i32, Error> {
        self.alive()?;
        call(&mut self.engine).map_err(|fault| {
            self.end(Ended::Fault(fault));
            Error::Fault(fault)
        })
    }

    /// The same, where negative is an error.
    pub fn call(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Engine) -> Result<i32, Fault>,
    ) -> Result<u32, Error> {
        let result = self.number(call)?;
        checked(name, result)
    }

    /// Everybody who waits for anything.
    pub fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.connections.take_all(into);
        self.listeners.take_all(into);
        into.append(&mut self.mourners);
    }

    /// The steps of every host: read a batch in, poll, drain events, write the batch out. Who is to
    /// be woken is put into `woken`.
    pub fn turn(&mut self, woken: &mut Vec<Waker>) -> Result<Next, Ended> {
        self.requested = false;
        let mut moved = 0;
        for Attached { link, ring } in &mut self.links {
            let mut ring = Ring::new(self.engine.memory_mut(), *ring);
            moved += link
                .read_batch(&mut ring, BATCH)
                .map_err(|error| broken(&**link, &error))?;
        }
        let now = self.now_us();
        let wait = self.engine.poll(now, BUDGET).map_err(Ended::Fault)?;
        self.drain(woken).map_err(Ended::Fault)?;
        if self.write()? || moved > 0 || wait == 0 {
            return Ok(Next::Again);
        }
        Ok(Next::Wait(wait))
    }

    /// Tells all pending events.
    fn drain(&mut self, woken: &mut Vec<Waker>) -> Result<(), Fault> {
        loop {
            let count = self.engine.events_collect()?;
            if count <= 0 {
                return Ok(());
            }
            for at in 0..count.cast_unsigned() {
                let [kind, index, generation, mask] = self.engine.event(at);
                let table = match kind {
                    handle_kind::Listener => &mut self.listeners,
                    _ => &mut self.connections,
                };
                let Some(slot) = table.get(Id { index, generation }) else {
                    continue;
                };
                slot.seen |= mask;
                if mask & READ_EVENTS != 0 {
                    woken.extend(slot.reader.take());
                }
                if mask & WRITE_EVENTS != 0 {
                    woken.extend(slot.writer.take());
                }
            }
        }
    }

    /// Writes the batch out. True when an engine that had no entry left has some again.
    fn write(&mut self) -> Result<bool, Ended> {
        let mut again = false;
        for Attached { link, ring } in &mut self.links {
            let mut ring = Ring::new(self.engine.memory_mut(), *ring);
            let full = ring
                .tx_full()
                .map_err(|error| broken(&**link, &error.into()))?;
            let moved = link
                .write_batch(&mut ring)
                .map_err(|error| broken(&**link, &error))?;
            again |= full && moved > 0;
        }
        Ok(again)
    }

    /// Frames that a link has not taken yet.
    pub fn unsent(&mut self, at: usize) -> bool {
        let ring = Ring::new(self.engine.memory_mut(), self.links[at].ring);
        ring.tx_ready().is_ok_and(|ready| ready > 0)
    }
}

fn broken(link: &dyn Link, error: &std::io::Error) -> Ended {
    Ended::Link(format!("link {}: {error}", link.name()))
}

/// The lock around a stack.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
}

impl Shared {
    pub fn new(inner: Inner) -> Arc<Shared> {
        Arc::new(Shared {
            inner: Mutex::new(inner),
        })
    }

    /// A thread that panicked in here left no call half done: the engine's are whole.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
