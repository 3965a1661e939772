//! A page of the documentation whose commands a test runs as they are printed.

use anyhow::{Context, Result, bail};

/// What a reader saves and runs.
#[derive(Debug)]
pub struct Page {
    /// Name and text of the programs to save.
    pub programs: Vec<(String, String)>,
    /// What to run, in order.
    pub steps: Vec<Step>,
}

/// Commands of one block.
#[derive(Debug)]
pub struct Step {
    /// The number in its section's heading.
    pub section: u32,
    /// Its lines.
    pub commands: String,
}

impl Page {
    /// Takes a page apart: blocks of `sh` are run, blocks of `python` saved under the last name that was told
    /// before ("Save as `name`"), and those of `readers` are for readers alone.
    ///
    /// # Errors
    /// Anything that nobody would run: another kind of block, commands in a section without a number, a
    /// program without a name.
    pub fn parse(text: &str, readers: &[&str]) -> Result<Self> {
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
                    page.steps.push(Step { section, commands });
                }
                "python" => page.programs.push((name.take().context("a program without a name")?, commands)),
                other if readers.contains(&other) => {}
                other => bail!("a block of {other:?}: nobody would run it"),
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_run_is_refused() {
        let text = "## 1. One\nSave as `a`:\n```python\nx\n```\n```sh\nrun a\n```\n```text\nseen\n```\n";
        let page = Page::parse(text, &["text"]).unwrap();
        assert_eq!(page.programs, [("a".to_owned(), "x\n".to_owned())]);
        assert_eq!((page.steps.len(), page.steps[0].section), (1, 1));
        assert_eq!(page.steps[0].commands, "run a\n");
        let says = |text: &str, readers: &[&str]| Page::parse(text, readers).unwrap_err().to_string();
        assert!(says(text, &[]).contains("text"));
        assert!(says("## One\n```sh\nx\n```\n", &[]).contains("without a number"));
        assert!(says("## 1. One\n```python\nx\n```\n", &[]).contains("without a name"));
    }
}
