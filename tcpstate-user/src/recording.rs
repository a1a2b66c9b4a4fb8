//! Recordings: a measurement in the Arrow IPC *stream* format, which other people's tools read as it is.
//!
//! A file is a schema, whose metadata says what the measurement is about, then batches of rows, then an end mark. Every
//! message carries a checksum in the padding of its metadata (see `frame`), because LZ4 as Arrow uses it has none: a
//! byte changed on disk must not pass for a measurement. Invariant: whatever bytes a reader meets, it gives the whole
//! batches before the damage and then one error; it never panics and never allocates more than 64 MiB at once.
mod decode;
mod encode;
mod files;
mod frame;
mod reader;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod text;
mod writer;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::frame::seal;
pub use self::{
    files::{Rotation, Target},
    frame::Damage,
    reader::Recording,
    row::Row,
    writer::Writer,
};
