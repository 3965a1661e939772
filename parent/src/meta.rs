//! Reads the events that vouch for the build and the machine.

use std::path::{Path, PathBuf};

use nostr::event::Event;
use protocol::event::{CheckedEvent, EventError};
use protocol::parent::Meta;
use thiserror::Error;

use crate::config::Config;

/// Maintainers who sign one release; more do not fit into an announcement.
const RELEASES_MAX: usize = 16;

/// A file cannot be handed to the enclave.
#[derive(Debug, Error)]
pub(crate) enum MetaError {
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{}: {}", .0.display(), .1)]
    Event(PathBuf, EventError),
    #[error("more than {RELEASES_MAX} files in {}", .0.display())]
    TooMany(PathBuf),
}

/// Reads `build.json`, `instance.json`, `genesis.json` and `release/*.json`, afresh each time, so that a new release,
/// or the permission of a fresh start, can be put in place while the enclave runs.
pub(crate) fn read(config: &Config) -> Result<Meta, MetaError> {
    let dir = &config.instance_dir;
    Ok(Meta {
        build: read_event(&dir.join("build.json"))?,
        instance: read_event(&dir.join("instance.json"))?,
        genesis: read_event(&dir.join("genesis.json"))?,
        releases: read_releases(&dir.join("release"))?,
        relays: config.relays.clone(),
        prod: config.prod,
    })
}

fn read_event(path: &Path) -> Result<Option<Event>, MetaError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|e| MetaError::Read(path.to_owned(), e))?;
    let event = CheckedEvent::parse(text.trim()).map_err(|e| MetaError::Event(path.to_owned(), e))?;
    Ok(Some(event.into_event()))
}

fn read_releases(dir: &Path) -> Result<Vec<Event>, MetaError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let read_error = |e| MetaError::Read(dir.to_owned(), e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.len() > RELEASES_MAX {
        return Err(MetaError::TooMany(dir.to_owned()));
    }
    files.sort();
    files.iter().filter_map(|path| read_event(path).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use protocol::nec::{Env, launcher};
    use units::UnixSecs;

    use super::*;

    fn meta_genesis(config: &Config) -> Option<nostr::event::EventId> {
        read(config).unwrap().genesis.map(|event| event.id)
    }

    #[test]
    fn events_are_read_and_a_forged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"listen":"unix:/x","instance_dir":{:?},"ip":"198.18.0.1"}}"#,
            dir.path().display().to_string()
        );
        let config: Config = serde_json::from_str(&text).unwrap();
        assert!(read(&config).unwrap().instance.is_none());
        let event = launcher::build(&Keys::generate(), "i-1", Env::Dev, UnixSecs(1)).unwrap();
        std::fs::create_dir(dir.path().join("release")).unwrap();
        std::fs::write(dir.path().join("instance.json"), event.as_json()).unwrap();
        std::fs::write(dir.path().join("release/a.json"), event.as_json()).unwrap();
        std::fs::write(dir.path().join("release/b.txt"), "no").unwrap();
        assert!(meta_genesis(&config).is_none());
        std::fs::write(dir.path().join("genesis.json"), event.as_json()).unwrap();
        assert_eq!(meta_genesis(&config), Some(event.id));
        let meta = read(&config).unwrap();
        assert_eq!((meta.instance.map(|e| e.id), meta.releases.len()), (Some(event.id), 1));
        let forged = event.as_json().replace("\"created_at\":1", "\"created_at\":2");
        std::fs::write(dir.path().join("instance.json"), forged).unwrap();
        assert!(matches!(read(&config), Err(MetaError::Event(_, EventError::Id))));
    }
}
