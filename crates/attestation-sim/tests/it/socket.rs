//! The module behind its socket, asked through the client that programs use.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestation::nsm::{Nsm, NsmErrorCode, NsmRequest, NsmResponse, frame};
use attestation::{Expectations, TrustRoot, VerifyAt, verify};
use attestation_sim::{ServeError, Server, ServerHandle, SimConfig, SimNsm, SimRoot};
use units::{Stopwatch, SystemClock};

fn serve(path: &Path, root: &Arc<SimRoot>) -> ServerHandle {
    let nsm = SimNsm::new(Arc::clone(root), SimConfig::default(), Arc::new(SystemClock)).unwrap();
    Server::bind(path).unwrap().serve(Arc::new(nsm)).unwrap()
}

fn root() -> Arc<SimRoot> {
    Arc::new(SimRoot::generate().unwrap())
}

#[test]
fn a_round_trip_ends_in_a_verified_document() {
    let directory = tempfile::tempdir().unwrap();
    let (path, root) = (directory.path().join("nsm.sock"), root());
    let server = serve(&path, &root);
    let nsm = Nsm::open(&path).unwrap();
    let document = nsm.attest(Some(b"key"), None, Some(b"nonce")).unwrap();
    let expectations = Expectations::none().public_key(b"key").unwrap().nonce(b"nonce").unwrap();
    let at = VerifyAt::now(&SystemClock);
    let verified = verify(&document, &expectations, root.trust_root(), at).unwrap();
    assert_eq!(verified.module_id(), nsm.describe().unwrap().module_id);
    let under_aws = verify(&document, &Expectations::none(), &TrustRoot::aws(), at);
    assert_eq!(under_aws.map(drop).unwrap_err().code(), "chain_untrusted");
    assert_eq!(nsm.random(1_000).unwrap().len(), 1_000);
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_restarted_module_is_reached_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, root) = (directory.path().join("nsm.sock"), root());
    let server = serve(&path, &root);
    let nsm = Nsm::open(&path).unwrap();
    let before = nsm.describe().unwrap().module_id;
    drop(server);
    assert!(nsm.describe().is_err());
    let _server = serve(&path, &root);
    assert_ne!(nsm.describe().unwrap().module_id, before);
}

#[test]
fn many_clients_are_served_at_once_and_one_too_many_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, root) = (directory.path().join("nsm.sock"), root());
    let _server = serve(&path, &root);
    let mut clients: Vec<UnixStream> = (0..64).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for client in &mut clients {
        frame::write(client, &NsmRequest::DescribeNsm.encode()).unwrap();
    }
    for client in &mut clients {
        let answer = frame::read(client, 12_288).unwrap().unwrap();
        assert!(matches!(NsmResponse::decode(&answer), Ok(NsmResponse::DescribeNsm { .. })));
    }
    let mut one_more = UnixStream::connect(&path).unwrap();
    assert_eq!(one_more.read(&mut [0; 1]).unwrap(), 0);
    // Registers are one module's, whoever asks.
    let (one, other) = (Nsm::open(&path).unwrap(), Nsm::open(&path).unwrap());
    clients.truncate(8);
    // The places of the closed ones are free as soon as their threads have seen the end.
    let since = Stopwatch::start();
    let extended = loop {
        if let Ok(value) = one.extend_pcr(20, b"data") {
            break value;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "no place became free");
    };
    assert_eq!(other.describe_pcr(20).unwrap().value, extended);
}

#[test]
fn hostile_clients_harm_only_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let (path, root) = (directory.path().join("nsm.sock"), root());
    let _server = serve(&path, &root);
    // Left open in the middle of a message.
    let mut stalled = UnixStream::connect(&path).unwrap();
    stalled.write_all(b"\0\0\x01").unwrap();
    // A length that nobody means: closed.
    let mut huge = UnixStream::connect(&path).unwrap();
    huge.write_all(&u32::MAX.to_be_bytes()).unwrap();
    assert_eq!(huge.read(&mut [0; 1]).unwrap(), 0);
    // Too large for the device, and then nonsense: told so, and served on.
    let mut odd = UnixStream::connect(&path).unwrap();
    let mut ask = |request: &[u8]| {
        frame::write(&mut odd, request).unwrap();
        NsmResponse::decode(&frame::read(&mut odd, 12_288).unwrap().unwrap()).unwrap()
    };
    assert_eq!(ask(&[0; 5_000]), NsmResponse::Error(NsmErrorCode::InputTooLarge));
    assert_eq!(ask(b""), NsmResponse::Error(NsmErrorCode::InvalidOperation));
    assert_eq!(ask(&NsmRequest::LockPcrs { range: 0 }.encode()), NsmResponse::LockPcrs);
    assert!(Nsm::open(&path).unwrap().describe().is_ok());
}

#[test]
fn the_path_is_taken_over_only_from_the_dead() {
    let directory = tempfile::tempdir().unwrap();
    let (path, root) = (directory.path().join("nsm.sock"), root());
    // A socket whose listener is gone.
    drop(UnixListener::bind(&path).unwrap());
    let server = serve(&path, &root);
    assert!(matches!(Server::bind(&path), Err(ServeError::InUse { .. })));
    assert!(Nsm::open(&path).unwrap().describe().is_ok(), "the refused one took nothing away");
    drop(server);
    fs::write(&path, b"a file of somebody").unwrap();
    assert!(matches!(Server::bind(&path), Err(ServeError::NotASocket { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"a file of somebody");
    let nowhere = directory.path().join("none/nsm.sock");
    assert!(matches!(Server::bind(&nowhere), Err(ServeError::Listen { .. })));
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["nsm.sock"]);
}
