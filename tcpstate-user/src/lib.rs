//! `tcpstate`: TCP state transitions, live counts and dwell times of a Linux host.
//!
//! Data takes one way: source → decode → tracker → sinks and views; `docs/architecture.md` draws it.
pub mod app;
pub mod cli;
pub mod netns;
pub mod sockdiag;
pub mod tcp;
pub mod view;
