//! `tcpstate`: TCP state transitions, live counts and dwell times of a Linux host.
//!
//! Data takes one way: source → decode → tracker → sinks and views; `docs/architecture.md` draws it.
pub mod about;
pub mod app;
pub mod cli;
pub mod clock;
pub mod decode;
pub mod doctor;
pub mod dwell;
pub mod fact;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod life;
pub mod netns;
pub mod netstat;
pub mod places;
pub mod privilege;
pub mod proc;
pub mod recording;
pub mod session;
pub mod shown;
pub mod sink;
pub mod sockdiag;
pub mod source;
pub mod summary;
pub mod tcp;
pub mod tracker;
pub mod version;
pub mod view;
