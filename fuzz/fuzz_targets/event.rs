//! Any message leaves the event decoder and the strict verifier standing, and what decodes says the same twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zap::event::Event;
use zap::event::verify::Verifier;

fuzz_target!(|message: &[u8]| {
    if let Ok(Event::Commit { body, seq, rebase: false, too_big: false, blobs: 0 }) = Event::decode(message) {
        // Our encoder writes the nine-byte form of seq only, and no field that it does not know.
        let again = body.encode().with_seq((seq & 0xffff_ffff) | 1 << 32);
        let Ok(Event::Commit { body: second, .. }) = Event::decode(&again) else {
            panic!("does not decode again")
        };
        assert_eq!(body, second);
    }
    Verifier::new().check(message, 1_790_000_000_000_000, Err("no key"));
});
