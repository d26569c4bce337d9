//! The fuzz target `round_trip`: see `barnacle_fuzz::round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| barnacle_fuzz::round_trip::run(input));
