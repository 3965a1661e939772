use std::sync::Mutex;

use super::*;
use crate::nsm::NsmErrorCode;

/// Answers from a list, and keeps what it was asked.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<Vec<NsmResponse>>,
    asked: Mutex<Vec<NsmRequest>>,
}

impl NsmProvider for Scripted {
    fn process(&self, request: &NsmRequest) -> Result<NsmResponse, NsmError> {
        self.asked.lock().unwrap().push(request.clone());
        Ok(self.answers.lock().unwrap().remove(0))
    }
}

fn scripted(answers: impl Into<Vec<NsmResponse>>) -> (Nsm, Arc<Scripted>) {
    let provider = Arc::new(Scripted { answers: Mutex::new(answers.into()), asked: Mutex::default() });
    (Nsm::new(Arc::<Scripted>::clone(&provider)), provider)
}

#[test]
fn arguments_reach_their_fields() {
    let (nsm, provider) = scripted([NsmResponse::Attestation { document: vec![1] }]);
    assert_eq!(nsm.attest(Some(b"key"), Some(b"data"), Some(b"nonce")).unwrap(), [1]);
    let asked = provider.asked.lock().unwrap();
    let expected = NsmRequest::Attestation {
        user_data: Some(b"data".to_vec()),
        nonce: Some(b"nonce".to_vec()),
        public_key: Some(b"key".to_vec()),
    };
    assert_eq!(asked[..], [expected]);
}

#[test]
fn random_asks_until_it_has_enough() {
    let random = |bytes: &[u8]| NsmResponse::GetRandom { random: bytes.to_vec() };
    let (nsm, provider) = scripted([random(&[1, 2]), random(&[3]), random(&[4, 5, 6])]);
    assert_eq!(nsm.random(4).unwrap()[..], [1, 2, 3, 4]);
    assert_eq!(provider.asked.lock().unwrap().len(), 3);
    assert!(nsm.random(0).unwrap().is_empty());
    let (nsm, _) = scripted([random(&[])]);
    assert!(matches!(nsm.random(1), Err(NsmError::Malformed(_))));
}

#[test]
fn refusals_and_wrong_answers_are_errors() {
    let (nsm, _) = scripted([
        NsmResponse::Error(NsmErrorCode::ReadOnlyIndex),
        NsmResponse::LockPcrs,
        NsmResponse::DescribePcr { lock: true, data: vec![0; 32] },
        NsmResponse::LockPcrs,
    ]);
    let refused = nsm.extend_pcr(3, b"data").unwrap_err();
    assert_eq!(refused.to_string(), "the NSM refused ExtendPCR: ReadOnlyIndex");
    let wrong = nsm.lock_pcr(16).unwrap_err();
    assert_eq!(wrong.to_string(), "the NSM answered LockPCRs to LockPCR");
    assert!(matches!(nsm.describe_pcr(0), Err(NsmError::Malformed(_))));
    assert!(nsm.lock_pcrs(17).is_ok());
}

#[test]
fn what_stands_at_the_path_decides() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nsm.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(format!("{:?}", Nsm::open(&socket).unwrap()).contains("SocketNsm"));
    assert!(format!("{:?}", Nsm::open(Path::new("/dev/null")).unwrap()).contains("DeviceNsm"));
    assert!(matches!(Nsm::open(directory.path()), Err(NsmError::NotAnNsm { .. })));
    assert!(matches!(Nsm::open(&directory.path().join("none")), Err(NsmError::Open { .. })));
    drop(listener);
}
