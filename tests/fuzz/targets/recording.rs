//! `tcpstate::fuzzing::recording`
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpstate::fuzzing::recording(data));
