//! Views: what people and programs read. They read the tracker's snapshots and transitions; they never reach back.
pub mod count;
