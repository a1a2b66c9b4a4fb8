//! Connections on loopback, one after the other, as fast as they come: so many, or until they are told to stop.
use std::{
    net::TcpListener,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ScopedJoinHandle},
};

use crate::{
    Namespace,
    traffic::{self, V4},
};

/// Transitions that one of these connections makes at both ends together: opened, accepted, thrown away by the client.
pub const TRANSITIONS: u64 = 6;
/// Threads of [`during`].
const THREADS: usize = 2;

/// Makes `count` connections in the calling thread's network namespace.
///
/// # Panics
/// One fails.
pub fn resets(listener: &TcpListener, count: u64) {
    for _ in 0..count {
        traffic::connect(listener).reset_by_client();
    }
}

/// Runs `work` while connections are made in `ns`; returns how many as well. Each thread has a listener of its own.
///
/// # Panics
/// A connection fails, or `work` panics.
pub fn during<T>(ns: &Namespace, work: impl FnOnce() -> T) -> (T, u64) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<ScopedJoinHandle<'_, u64>> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    ns.run(|| {
                        let listener = traffic::listen(V4);
                        let mut made = 0;
                        while !stop.load(Ordering::Relaxed) {
                            resets(&listener, 16);
                            made += 16;
                        }
                        made
                    })
                })
            })
            .collect();
        let done = {
            let _stop = Stop(&stop);
            work()
        };
        let made = threads.into_iter().map(|thread| {
            let made = thread.join();
            made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        (done, made.sum())
    })
}

/// Ends the threads also where `work` panics: the scope waits for them.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
