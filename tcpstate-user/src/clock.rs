//! Clocks of the running system, read at the edge of the program; everything within takes time as an argument.
use std::time::Duration;

use nix::time::{ClockId, clock_getres, clock_gettime};

/// `CLOCK_MONOTONIC` now, ns: the clock of the programs' time stamps.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// What to add to a monotonic time to get wall-clock time in ns since 1970, as of now.
#[must_use]
pub fn wall_offset_ns() -> i128 {
    i128::from(read(ClockId::CLOCK_REALTIME)) - i128::from(monotonic_ns())
}

/// Length of a jiffy in ns: the resolution of the coarse clock, which steps once a jiffy.
///
/// # Errors
/// The clock does not exist.
pub fn tick_ns() -> nix::Result<u32> {
    let tick = Duration::from(clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)?);
    Ok(tick.subsec_nanos())
}

fn read(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux, so the call cannot fail.
    let now = clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
