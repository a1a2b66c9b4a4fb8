//! What single parts of the user side cost, without a kernel: `cargo bench -p tcpstate`. What a whole command costs is
//! measured by `cargo xtask bench`.
mod decode;
mod lives;
mod recording;
mod sinks;
mod tracker;

fn main() {
    divan::main();
}
