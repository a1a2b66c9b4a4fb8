//! `tcpstate::fuzzing::sock_diag`
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpstate::fuzzing::sock_diag(data));
