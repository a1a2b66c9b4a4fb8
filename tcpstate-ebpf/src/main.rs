//! Placeholder while the workspace grows.
fn main() {}
