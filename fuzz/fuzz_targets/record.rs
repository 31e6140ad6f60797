//! A record that decodes encodes to the same block and survives the way through JSON; the direct way from block
//! to JSON says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zap::data_model::{cbor_to_json, decode_record, encode_record, from_json, to_json};

fuzz_target!(|block: &[u8]| {
    let mut direct = Vec::new();
    let transcoded = cbor_to_json(block, &mut direct);
    let Ok(record) = decode_record(block) else { return };
    assert_eq!(encode_record(&record).unwrap(), block);
    transcoded.unwrap();
    assert_eq!(direct, to_json(&record).unwrap());
    // A map may look like a link, bytes or a blob in JSON; such text reads as that or not at all.
    if let Ok(read) = from_json(&direct)
        && !direct.contains(&b'$')
    {
        assert_eq!(read, record);
    }
});
