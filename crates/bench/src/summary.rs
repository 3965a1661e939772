//! The file and the table of results.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One figure: ours, the peer's, and their ratio or whatever the key promises.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    /// What the key promises; a ratio is ours ÷ the peer's.
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) ours: f64,
    pub(crate) peer: f64,
    pub(crate) peer_name: String,
    pub(crate) runs: usize,
}

impl Figure {
    /// A ratio of two figures of the same unit.
    pub(crate) fn ratio(unit: &str, ours: f64, peer: f64, peer_name: &str, runs: usize) -> Self {
        let unit = format!("ratio of {unit}");
        Self { value: ours / peer, unit, ours, peer, peer_name: peer_name.to_owned(), runs }
    }
}

/// Results by key.
#[derive(Debug, Default)]
pub(crate) struct Summary(BTreeMap<String, Figure>);

impl Summary {
    /// Results of earlier runs, which stay until they are measured again.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
    }

    pub(crate) fn add(&mut self, figures: Vec<(&'static str, Figure)>) {
        self.0.extend(figures.into_iter().map(|(key, figure)| (key.to_owned(), figure)));
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(&self.0)?)
            .with_context(|| path.display().to_string())
    }

    #[expect(clippy::print_stdout, reason = "the table is what the program is for")]
    pub(crate) fn print(&self) {
        println!(
            "{:<24} {:>9} {:<20} {:>12} {:>12}  {:<34} {:>5}",
            "key", "value", "unit", "ours", "peer", "peer is", "runs"
        );
        for (key, f) in &self.0 {
            println!(
                "{key:<24} {:>9.3} {:<20} {:>12.3} {:>12.3}  {:<34} {:>5}",
                f.value, f.unit, f.ours, f.peer, f.peer_name, f.runs
            );
        }
    }
}
