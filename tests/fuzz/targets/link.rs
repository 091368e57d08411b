#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| cellgate_fuzz::link::run(input));
