//! `tcpstate::fuzzing::kernel_text`
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpstate::fuzzing::kernel_text(data));
