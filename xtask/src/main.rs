//! One door: `cargo xtask COMMAND`.
fn main() {}
