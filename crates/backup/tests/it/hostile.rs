//! What a parent may try with the objects it holds. Each is refused with its own reason, nothing is
//! overwritten, and the state before is still there.

use std::path::Path;

use backup::{DiskSecret, Engine, Source};
use protocol::parent::backup::{Head, ObjectId};
use zeroize::Zeroizing;

use crate::store::{Lie, MemoryStore};
use crate::{MIB, ROOM, back_up, contents, engine, noise};

/// Two generations of one instance: the first file changes, the second does not.
struct World {
    store: MemoryStore,
    heads: [Head; 2],
}

async fn world() -> World {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let mut heads = Vec::new();
    for seed in [1, 2] {
        let sources = vec![
            Source::bytes("changes", noise(seed, 2 * MIB)).unwrap(),
            Source::bytes("stays", noise(3, MIB + 5)).unwrap(),
        ];
        heads.push(back_up(&mut engine, &mut store, sources).await);
    }
    World { store, heads: [heads[0], heads[1]] }
}

impl World {
    /// The objects of a generation that are not its manifest.
    fn chunks(&self, generation: usize) -> Vec<ObjectId> {
        let (head, objects) = &self.store.committed[generation];
        objects.iter().filter(|object| **object != head.manifest).copied().collect()
    }

    /// A restore of the second generation meets `lie` and fails with `code`; afterwards all is as it was.
    #[track_caller]
    fn check<'a>(&'a mut self, what: &'a str, lie: Lie, code: &'a str) -> impl Future<Output = ()> + 'a {
        let head = self.heads[1];
        self.check_head(what, head, Some(lie), code)
    }

    async fn check_head(&mut self, what: &str, head: Head, lie: Option<Lie>, code: &str) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("previous")).unwrap();
        std::fs::write(dir.path().join("previous/state"), "good").unwrap();
        let before = contents(dir.path());
        let mut engine = engine(1);
        self.store.lie = lie;
        let done = engine.restore(&mut self.store, head, &dir.path().join("r"), ROOM, |_| {}).await;
        assert_eq!(done.unwrap_err().code(), code, "{what}");
        assert_eq!((contents(dir.path()), engine.head()), (before, None), "{what}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{what}: something is left");
        self.store.be_honest();
        self.restores(&mut engine, &dir.path().join("r")).await;
    }

    async fn restores(&mut self, engine: &mut Engine, into: &Path) {
        engine.restore(&mut self.store, self.heads[1], into, ROOM, |_| {}).await.unwrap();
        let expected =
            vec![("changes".to_owned(), noise(2, 2 * MIB)), ("stays".to_owned(), noise(3, MIB + 5))];
        assert!(contents(into) == expected);
    }
}

/// Of the size that the manifest says, so that only the digest tells.
fn fitted(mut given: Vec<u8>, bytes: usize) -> Vec<u8> {
    given.resize(bytes, 0);
    given
}

fn instead(wanted: ObjectId, given: Vec<u8>) -> Lie {
    Box::new(move |object, bytes| if object == wanted { given.clone() } else { bytes })
}

#[tokio::test]
async fn older_generation_is_refused() {
    let mut world = world().await;
    let [old, new] = world.heads;
    let given = world.store.objects[&old.manifest].clone();
    world.check("old manifest", instead(new.manifest, given), "backup_manifest_mismatch").await;
    let mixed = Head { generation: 2, manifest: old.manifest };
    world.check_head("old manifest, new number", mixed, None, "backup_generation_mismatch").await;
}

#[tokio::test]
async fn mixed_generations_are_refused() {
    let mut world = world().await;
    let (old, new) = (world.chunks(0), world.chunks(1));
    let changed: Vec<_> = new.iter().filter(|object| !old.contains(object)).copied().collect();
    assert_eq!(changed.len(), 2);
    for object in changed {
        let other = *old.iter().find(|o| !new.contains(o)).unwrap();
        let given = fitted(world.store.objects[&other].clone(), world.store.objects[&object].len());
        world.check("a chunk of generation 1", instead(object, given), "backup_object_mismatch").await;
    }
    let twins: Vec<_> = new.iter().filter(|o| world.store.objects[*o].len() > MIB).copied().collect();
    let given = fitted(world.store.objects[&twins[1]].clone(), world.store.objects[&twins[0]].len());
    world.check("a neighbour's chunk", instead(twins[0], given), "backup_object_mismatch").await;
}

#[tokio::test]
async fn truncated_and_flipped_objects_are_refused() {
    let mut world = world().await;
    let manifest = world.heads[1].manifest;
    let mut objects = world.chunks(1);
    objects.truncate(2);
    for (object, cut, flipped) in objects
        .into_iter()
        .map(|object| (object, "backup_object_size", "backup_object_mismatch"))
        .chain([(manifest, "backup_manifest_mismatch", "backup_manifest_mismatch")])
        .collect::<Vec<_>>()
    {
        let whole = world.store.objects[&object].clone();
        for len in [0, 1, whole.len() / 2, whole.len() - 1] {
            world.check("cut", instead(object, whole[..len].to_vec()), cut).await;
        }
        for at in [0, 100, whole.len() / 2, whole.len() - 1] {
            let mut given = whole.clone();
            given[at] ^= 0x80;
            world.check("flipped", instead(object, given), flipped).await;
        }
    }
    let object = world.chunks(1)[0];
    let mut longer = world.store.objects[&object].clone();
    longer.push(0);
    world.check("longer", instead(object, longer), "backup_too_long").await;
}

#[tokio::test]
async fn another_instances_backup_is_refused() {
    let mut world = world().await;
    let mut other = engine(2);
    let foreign =
        back_up(&mut other, &mut world.store, vec![Source::bytes("a", noise(9, MIB)).unwrap()]).await;
    let given = world.store.objects[&foreign.manifest].clone();
    let own = world.heads[1].manifest;
    world.check("another's manifest", instead(own, given), "backup_manifest_mismatch").await;
    // Even if the key stores named it.
    world.check_head("another's head", foreign, None, "backup_manifest_sealed_for_another").await;
    let theirs = world.store.committed[2].1.iter().find(|object| **object != foreign.manifest);
    let own = world.chunks(1)[0];
    let given = fitted(world.store.objects[theirs.unwrap()].clone(), world.store.objects[&own].len());
    world.check("another's chunk", instead(own, given), "backup_object_mismatch").await;
}

/// The parent has every object ever sealed, and a container of its own whose volume it fills as it
/// likes: it can have *any* content sealed for the instance. It cannot have it authenticated.
#[tokio::test]
async fn forged_backup_is_refused() {
    let mut world = world().await;
    let fake = [[0; 32].as_slice(), br#"{"chunk_bytes":1048576,"created":1,"format":1}"#].concat();
    let mut engine = engine(1);
    engine.adopt(&mut world.store, world.heads[1]).await.unwrap();
    let planted = vec![Source::bytes("volume", fake).unwrap()];
    let head = back_up(&mut engine, &mut world.store, planted).await;
    let (_, objects) = world.store.committed.last().unwrap();
    let chunk = *objects.iter().find(|object| **object != head.manifest).unwrap();
    let forged = Head { generation: 4, manifest: chunk };
    world.check_head("a chunk as manifest", forged, None, "backup_manifest_invalid").await;
    for object in world.chunks(0) {
        let forged = Head { generation: 4, manifest: object };
        world.check_head("an old chunk as manifest", forged, None, "backup_manifest_invalid").await;
    }
    // Sealed by somebody who guesses, with a key of his own.
    let guess = Engine::new(&DiskSecret::new(Zeroizing::new([0; 32]))).unwrap();
    let snapshot =
        guess.snapshot(&mut world.store, vec![Source::bytes("a", vec![1]).unwrap()], crate::NOW).await;
    let forged = snapshot.unwrap().head();
    world.check_head("a stranger's", forged, None, "backup_manifest_sealed_for_another").await;
}

#[tokio::test]
async fn no_backup_is_no_fresh_start() {
    let mut world = world().await;
    let manifest = world.heads[1].manifest;
    let nowhere = Head { generation: 2, manifest: ObjectId([0; 32]) };
    world.check_head("no such manifest", nowhere, None, "no_such_object").await;
    let kept = world.store.objects.clone();
    for gone in world.chunks(1).into_iter().chain([manifest]).collect::<Vec<_>>() {
        world.store.objects.remove(&gone);
        let dir = tempfile::tempdir().unwrap();
        let done =
            engine(1).restore(&mut world.store, world.heads[1], &dir.path().join("r"), ROOM, |_| {}).await;
        assert_eq!(done.unwrap_err().code(), "no_such_object");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        world.store.objects.clone_from(&kept);
        world.store.be_honest();
    }
}

/// The store never sees a secret, a recipient, or anything that tells what is stored.
#[tokio::test]
async fn objects_tell_nothing_of_their_content() {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let known = b"a content that the parent knows, too".repeat(1000);
    let sources = vec![Source::bytes("known-name", known.clone()).unwrap()];
    back_up(&mut engine, &mut store, sources.clone()).await;
    let again = engine.snapshot(&mut store, sources.clone(), crate::NOW).await.unwrap();
    drop(again);
    let anew = crate::engine(1).snapshot(&mut store, sources, crate::NOW).await.unwrap();
    assert_eq!(anew.stats().sent_objects, 2);
    // Sealed twice, it is two objects: nobody sees that they are the same.
    assert_eq!(store.objects.len(), 5);
    for (object, bytes) in &store.objects {
        assert_ne!(*object, ObjectId::of(&known));
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains("known") && !text.contains("age1") && text.starts_with("age-encryption.org/v1")
        );
    }
}
