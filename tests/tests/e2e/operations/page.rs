//! The guide, taken apart.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// What an operator saves and runs.
pub(super) struct Page {
    /// Name and text of the programs to save.
    pub(super) programs: Vec<(String, String)>,
    pub(super) steps: Vec<Step>,
}

/// Commands of one block.
pub(super) struct Step {
    /// The number in its section's heading.
    pub(super) section: u32,
    pub(super) commands: String,
    /// True if it ends the enclave without warning.
    pub(super) kills: bool,
}

impl Page {
    pub(super) fn read() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
        Self::parse(&std::fs::read_to_string(path).context("docs/operations.md")?)
    }

    /// Blocks of `sh` are run, blocks of `python` saved under the name that was told before; `console` (what
    /// is different on each host) and `toml` are for readers alone.
    fn parse(text: &str) -> Result<Self> {
        let mut page = Self { programs: Vec::new(), steps: Vec::new() };
        let (mut section, mut name) = (None, None);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(heading) = line.strip_prefix("## ") {
                section = heading.split('.').next().and_then(|number| number.parse().ok());
            }
            if let Some((_, rest)) = line.split_once("ave as `") {
                name = rest.split('`').next().map(ToOwned::to_owned);
            }
            let Some(language) = line.strip_prefix("```") else { continue };
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let commands = block.join("\n") + "\n";
            match language {
                "sh" => {
                    let section = section.context("commands in a section without a number")?;
                    let kills = commands.contains("host kill enclave");
                    page.steps.push(Step { section, commands, kills });
                }
                "python" => page.programs.push((name.take().context("a program without a name")?, commands)),
                "console" | "toml" => {}
                other => bail!("a block of {other:?}: nobody would run it"),
            }
        }
        let sections: std::collections::BTreeSet<_> = page.steps.iter().map(|step| step.section).collect();
        ensure!(page.programs.len() == 2 && sections == (1..=7).collect(), "the page was not understood");
        Ok(page)
    }
}
