//! Certificates and payloads: any bytes as the certificate below the root, as the leaf, as the root, and
//! as the whole payload.
#![no_main]

use attestation::TrustRoot;
use attestation::cbor::Writer;
use fuzz::{NOW, ROOT, enveloped, verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for document in
        [with_certificates(&[ROOT, input], ROOT), with_certificates(&[ROOT], input), enveloped(input)]
    {
        // Nobody signed it, whatever the chain says.
        assert!(verdict(&document).is_err());
    }
    if let Ok(root) = TrustRoot::from_der(input) {
        assert_eq!(root.der(), input);
    }
});

fn with_certificates(cabundle: &[&[u8]], leaf: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(4_096);
    writer.map(6).text("module_id").text("i-1-enc1").text("digest").text("SHA384");
    writer.text("timestamp").uint(NOW.0 * 1_000).text("pcrs").map(3);
    for index in 0..3 {
        writer.uint(index).bytes(&[1; 48]);
    }
    writer.text("certificate").bytes(leaf).text("cabundle").array(cabundle.len());
    for authority in cabundle {
        writer.bytes(authority);
    }
    enveloped(&writer.into_bytes())
}
