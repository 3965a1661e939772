use std::os::unix::net::UnixListener;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::*;

/// Runs a server that answers each connection by `serve`, and a client beside it.
fn with_server(
    serve: impl Fn(usize, UnixStream) + Send + 'static,
    connections: usize,
    client: impl FnOnce(&SocketNsm),
) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nsm.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        for number in 0..connections {
            serve(number, listener.accept().unwrap().0);
        }
    });
    client(&SocketNsm::new(&path));
    server.join().unwrap();
}

/// Reads one request and answers it.
fn answer(stream: &mut UnixStream, response: &NsmResponse) -> NsmRequest {
    let request = frame::read(stream, REQUEST_BYTES_MAX).unwrap().unwrap();
    frame::write(stream, &response.encode()).unwrap();
    NsmRequest::decode(&request).unwrap()
}

#[test]
fn one_connection_carries_many_calls() {
    let serve = |_, mut stream: UnixStream| {
        assert_eq!(answer(&mut stream, &NsmResponse::LockPcr), NsmRequest::LockPcr { index: 16 });
        assert_eq!(answer(&mut stream, &NsmResponse::LockPcrs), NsmRequest::LockPcrs { range: 17 });
    };
    with_server(serve, 1, |nsm| {
        assert_eq!(nsm.process(&NsmRequest::LockPcr { index: 16 }).unwrap(), NsmResponse::LockPcr);
        assert_eq!(nsm.process(&NsmRequest::LockPcrs { range: 17 }).unwrap(), NsmResponse::LockPcrs);
    });
}

#[test]
fn a_restarted_server_is_asked_again_but_nothing_is_measured_twice() {
    let (closed, wait_closed) = sync_channel(1);
    let serve = move |number: usize, mut stream: UnixStream| {
        answer(&mut stream, &NsmResponse::GetRandom { random: vec![u8::try_from(number).unwrap()] });
        drop(stream);
        closed.send(()).unwrap();
    };
    with_server(serve, 3, |nsm| {
        for number in [0, 1] {
            let response = nsm.process(&NsmRequest::GetRandom).unwrap();
            assert!(response == NsmResponse::GetRandom { random: vec![number] });
            wait_closed.recv().unwrap();
        }
        // The kept connection is gone. Whether the old server carried this out cannot be known.
        let extend = NsmRequest::ExtendPcr { index: 16, data: vec![1] };
        assert!(matches!(nsm.process(&extend), Err(NsmError::Io(_))));
        // The failed connection was not kept: the next call makes a new one.
        assert!(nsm.process(&NsmRequest::GetRandom).is_ok());
    });
}

#[test]
fn broken_answers_are_errors_and_end_the_connection() {
    let serve = |number: usize, mut stream: UnixStream| {
        frame::read(&mut stream, REQUEST_BYTES_MAX).unwrap();
        match number {
            0 => stream.write_all(&u32::MAX.to_be_bytes()).unwrap(),
            1 => stream.write_all(b"\0\0\0\x09short").unwrap(),
            _ => frame::write(&mut stream, b"\xff").unwrap(),
        }
    };
    with_server(serve, 3, |nsm| {
        for expected in [ErrorKind::InvalidData, ErrorKind::UnexpectedEof] {
            match nsm.process(&NsmRequest::DescribeNsm) {
                Err(NsmError::Io(error)) => assert_eq!(error.kind(), expected),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(nsm.process(&NsmRequest::DescribeNsm), Err(NsmError::Malformed(_))));
    });
}

#[test]
fn only_a_lost_connection_is_made_again() {
    let serve = |number: usize, mut stream: UnixStream| {
        answer(&mut stream, &NsmResponse::LockPcr);
        if number == 0 {
            frame::read(&mut stream, REQUEST_BYTES_MAX).unwrap();
            stream.write_all(&u32::MAX.to_be_bytes()).unwrap();
        }
    };
    with_server(serve, 2, |nsm| {
        assert!(nsm.process(&NsmRequest::DescribeNsm).is_ok());
        match nsm.process(&NsmRequest::DescribeNsm) {
            Err(NsmError::Io(error)) => assert_eq!(error.kind(), ErrorKind::InvalidData),
            other => panic!("{other:?}"),
        }
        assert!(nsm.process(&NsmRequest::DescribeNsm).is_ok());
    });
}

#[test]
fn an_answer_that_does_not_come_ends_the_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nsm.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // One side stays silent, the other sends a byte now and then: neither may hold the caller.
    let server = thread::spawn(move || {
        let silent = listener.accept().unwrap().0;
        let mut slow = listener.accept().unwrap().0;
        let since = Stopwatch::start();
        slow.write_all(&12_000_u32.to_be_bytes()).unwrap();
        while slow.write_all(&[0]).is_ok() {
            assert!(since.elapsed() < Duration::from_secs(20), "the caller waits on");
            thread::sleep(Duration::from_millis(10));
        }
        drop(silent);
    });
    let timeout = Duration::from_millis(200);
    let nsm = SocketNsm { timeout, ..SocketNsm::new(&path) };
    for _ in 0..2 {
        let since = Stopwatch::start();
        assert!(matches!(nsm.process(&NsmRequest::GetRandom), Err(NsmError::Timeout { .. })));
        assert!(since.elapsed() >= timeout);
    }
    server.join().unwrap();
}

#[test]
fn the_largest_request_is_sent() {
    let serve = |_, mut stream: UnixStream| {
        let request = frame::read(&mut stream, REQUEST_BYTES_MAX).unwrap().unwrap();
        assert_eq!(request.len(), REQUEST_BYTES_MAX);
        frame::write(&mut stream, &NsmResponse::LockPcr.encode()).unwrap();
    };
    let around = NsmRequest::ExtendPcr { index: 16, data: vec![0; 1_000] }.encode().len() - 1_000;
    let data = vec![0; REQUEST_BYTES_MAX - around];
    with_server(serve, 1, |nsm| {
        assert!(nsm.process(&NsmRequest::ExtendPcr { index: 16, data }).is_ok());
    });
}

#[test]
fn a_missing_server_and_an_oversized_request_are_named() {
    let nsm = SocketNsm::new(Path::new("/nonexistent/nsm.sock"));
    assert!(matches!(nsm.process(&NsmRequest::GetRandom), Err(NsmError::Open { .. })));
    let request = NsmRequest::ExtendPcr { index: 16, data: vec![0; REQUEST_BYTES_MAX] };
    assert!(matches!(nsm.process(&request), Err(NsmError::RequestTooLarge { .. })));
}
