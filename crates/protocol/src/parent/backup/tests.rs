use proptest::prelude::*;

use super::*;

const HEAD: Head = Head { generation: 7, manifest: ObjectId([0xcd; 32]) };

#[test]
fn requests_are_pinned() {
    #[track_caller]
    fn check(request: Request, text: &str, payload: Result<u32, RefusalCode>) {
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        assert_eq!(request.payload_bytes(), payload);
    }
    let cd = "cd".repeat(32);
    let open = Request::Open { version: 1, instance: InstanceId([0xab; 16]) };
    check(open, r#"{"op":"open","version":1,"instance":"abababababababababababababababab"}"#, Ok(0));
    check(Request::Lacking { objects: 2 }, r#"{"op":"lacking","objects":2}"#, Ok(64));
    let put = Request::Put { object: HEAD.manifest, bytes: 9 };
    check(put, &format!(r#"{{"op":"put","object":"{cd}","bytes":9}}"#), Ok(9));
    let commit = Request::Commit { head: HEAD, objects: 65_538 };
    let head = format!(r#"{{"generation":7,"manifest":"{cd}"}}"#);
    let text = format!(r#"{{"op":"commit","head":{head},"objects":65538}}"#);
    check(commit, &text, Err(RefusalCode::TooLarge));
    check(Request::Confirm { head: HEAD }, &format!(r#"{{"op":"confirm","head":{head}}}"#), Ok(0));
    check(Request::Get { object: HEAD.manifest }, &format!(r#"{{"op":"get","object":"{cd}"}}"#), Ok(0));
    check(Request::List {}, r#"{"op":"list"}"#, Ok(0));
}

#[test]
fn replies_are_pinned() {
    #[track_caller]
    fn check(reply: Reply, text: &str) {
        assert_eq!(serde_json::to_string(&reply).unwrap(), text);
        assert_eq!(serde_json::from_str::<Reply>(text).unwrap(), reply);
    }
    check(Reply::Opened {}, r#"{"re":"opened"}"#);
    check(Reply::Lacking { objects: 1 }, r#"{"re":"lacking","objects":1}"#);
    check(Reply::Stored {}, r#"{"re":"stored"}"#);
    check(Reply::Committed {}, r#"{"re":"committed"}"#);
    check(Reply::Confirmed { removed: 3 }, r#"{"re":"confirmed","removed":3}"#);
    check(Reply::Object { bytes: 5 }, r#"{"re":"object","bytes":5}"#);
    let refused = Reply::Refused { code: RefusalCode::NoSpace, message: "full".into() };
    check(refused, r#"{"re":"refused","code":"no_space","message":"full"}"#);
    let generations = vec![Generation { head: HEAD, committed_at: 5, confirmed: true }];
    let head = format!(r#"{{"generation":7,"manifest":"{}"}}"#, "cd".repeat(32));
    let one = format!(r#"{{"head":{head},"committed_at":5,"confirmed":true}}"#);
    check(Reply::Generations { generations }, &format!(r#"{{"re":"generations","generations":[{one}]}}"#));
}

#[test]
fn longest_list_fits_a_frame() {
    let head = Head { generation: u64::MAX, ..HEAD };
    let one = Generation { head, committed_at: u64::MAX, confirmed: false };
    let reply = Reply::Generations { generations: vec![one; LIST_MAX] };
    assert!(serde_json::to_vec(&reply).unwrap().len() <= FRAME_BYTES_MAX);
}

#[test]
fn ids_have_one_spelling() {
    let good = "0a".repeat(32);
    assert_eq!(good.parse::<ObjectId>().unwrap().to_string(), good);
    for bad in ["", "0a", &"0A".repeat(32), &"zz".repeat(32), &"0a".repeat(33), "../../../etc/passwd"] {
        assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
    }
    assert!("/".repeat(32).parse::<InstanceId>().is_err());
}

#[test]
fn codes_are_what_is_sent() {
    for code in [
        RefusalCode::BadRequest,
        RefusalCode::TooLarge,
        RefusalCode::DigestMismatch,
        RefusalCode::NoSpace,
        RefusalCode::TooMany,
        RefusalCode::ObjectMissing,
        RefusalCode::NoSuchObject,
        RefusalCode::NoSuchGeneration,
        RefusalCode::StoreFailed,
    ] {
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("{:?}", code.as_str()));
    }
}

proptest! {
    #[test]
    fn strange_text_is_refused_without_a_panic(text in ".{0,200}") {
        drop(serde_json::from_str::<Request>(&text));
        drop(serde_json::from_str::<Reply>(&text));
    }

    #[test]
    fn no_request_announces_more_than_its_bound(objects: u32, bytes: u32) {
        let object = HEAD.manifest;
        for request in
            [Request::Lacking { objects }, Request::Commit { head: HEAD, objects }, Request::Put { object, bytes }]
        {
            if let Ok(payload) = request.payload_bytes() {
                prop_assert!(payload <= OBJECT_BYTES_MAX);
            }
        }
    }
}
