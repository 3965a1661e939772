//! The page, taken apart.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// What a reader saves and runs.
pub(crate) struct Page {
    /// Name and text of the files to save.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) steps: Vec<Step>,
}

/// Commands of one block.
pub(crate) struct Step {
    /// The number in its section's heading.
    pub(crate) section: u32,
    pub(crate) commands: String,
}

impl Page {
    pub(crate) fn read() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../VERIFICATION.md");
        Self::parse(&std::fs::read_to_string(path).context("VERIFICATION.md")?)
    }

    /// Blocks of `sh` are run, blocks of `python` saved under the last name that was told before;
    /// `console` (what needs AWS's site) and `text` are for readers alone.
    fn parse(text: &str) -> Result<Self> {
        let mut page = Self { files: Vec::new(), steps: Vec::new() };
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
            let block = block.join("\n") + "\n";
            match language {
                "sh" => {
                    let section = section.context("commands in a section without a number")?;
                    page.steps.push(Step { section, commands: block });
                }
                "python" => page.files.push((name.take().context("a program without a name")?, block)),
                "console" | "text" => {}
                other => bail!("a block of {other:?}: nobody would run it"),
            }
        }
        ensure!(page.files.len() == 2 && page.steps.len() > 10, "the page was not understood");
        Ok(page)
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = u32> {
        self.steps.iter().map(|step| step.section)
    }
}
