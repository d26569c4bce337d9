//! The fuzz target `differential`: see `barnacle_fuzz::differential`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| barnacle_fuzz::differential::run(input));
