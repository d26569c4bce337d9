//! The fuzz target `connection`: see `barnacle_fuzz::connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| barnacle_fuzz::connection::run(input));
