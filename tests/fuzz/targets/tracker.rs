//! `tcpstate::fuzzing::tracker`
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpstate::fuzzing::tracker(data));
