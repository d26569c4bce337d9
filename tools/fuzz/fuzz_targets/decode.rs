//! The fuzz target `decode`: see `barnacle_fuzz::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| barnacle_fuzz::decode::run(input));
