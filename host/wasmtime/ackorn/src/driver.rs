//! The loop as a task of tokio: a turn, then wait for links, for calls of the user and for the
//! engine's next deadline. After each turn that moved something others run first, so that who was
//! woken reads before the next batch comes. Spawned by stack.rs, once a stack.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::inner::{Ended, Inner, Next, Shared};

const NEVER: u32 = u32::MAX;
/// A timer that is not armed.
const FAR: Duration = Duration::from_secs(86_400 * 365);

pub(crate) struct Driver {
    shared: Arc<Shared>,
    timer: Pin<Box<Sleep>>,
    /// Kept between turns for its room.
    woken: Vec<Waker>,
}

impl Driver {
    pub fn new(shared: Arc<Shared>) -> Driver {
        Driver {
            shared,
            timer: Box::pin(sleep_until(Instant::now() + FAR)),
            woken: Vec::new(),
        }
    }

    /// What the last handles asked for goes out, if the engine still can.
    fn finish(inner: &mut Inner, woken: &mut Vec<Waker>) {
        if matches!(inner.ended, Some(Ended::Closed)) {
            // The stack is gone either way: a link that fails now harms nobody.
            let _ = inner.turn(woken);
        }
        inner.links.clear();
        inner.take_all(woken);
    }

    /// One timer, moved only when it would fire too late: one that fires early costs one poll.
    fn arm(&mut self, wait_us: u32, context: &mut Context<'_>) -> bool {
        if wait_us != NEVER {
            let due = Instant::now() + Duration::from_micros(u64::from(wait_us));
            if self.timer.deadline() > due || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
        } else if self.timer.is_elapsed() {
            self.timer.as_mut().reset(Instant::now() + FAR);
        }
        self.timer.as_mut().poll(context).is_ready()
    }
}

/// One turn, and what follows. None: the stack has ended.
fn step(inner: &mut Inner, woken: &mut Vec<Waker>, context: &mut Context<'_>) -> Option<Next> {
    if inner.ended.is_none() {
        match inner.turn(woken) {
            Ok(Next::Again) => return Some(Next::Again),
            Ok(wait) => return Some(settle(inner, wait, context)),
            Err(why) => inner.end(why),
        }
    }
    Driver::finish(inner, woken);
    None
}

/// Asks to be woken by links and users; again at once when one of them is ready already.
fn settle(inner: &mut Inner, wait: Next, context: &mut Context<'_>) -> Next {
    let known = inner.driver.as_ref();
    if !known.is_some_and(|waker| waker.will_wake(context.waker())) {
        inner.driver = Some(context.waker().clone());
    }
    let mut ready = false;
    for at in 0..inner.links.len() {
        let unsent = inner.unsent(at);
        ready |= inner.links[at].link.poll_ready(context, unsent).is_ready();
    }
    if ready { Next::Again } else { wait }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let next = {
            let mut inner = this.shared.lock();
            step(&mut inner, &mut this.woken, context)
        };
        for waker in this.woken.drain(..) {
            waker.wake();
        }
        match next {
            None => return Poll::Ready(()),
            Some(Next::Again) => context.waker().wake_by_ref(),
            Some(Next::Wait(wait_us)) => {
                if this.arm(wait_us, context) {
                    context.waker().wake_by_ref();
                }
            }
        }
        Poll::Pending
    }
}
