//! Rendering of `count`.
