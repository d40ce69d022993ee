#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oneks_fuzz::run("stdin", data));
