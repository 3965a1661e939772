//! `VERIFICATION.md`: its commands, run exactly as they are printed, and what they refuse.

mod spoilt;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use tests::page::Page;
use units::{Clock, SystemClock};

use crate::recipe::Recipe;
use crate::stage::Stage;
use spoilt::Spoilt;

/// Sceptics at work at once: each waits for small programs most of the time.
const AT_ONCE: usize = 4;

/// How far a sceptic got.
#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    /// To the end.
    Believed,
    /// To the section with this number; and what it said last.
    Refused(u32, String),
}

#[test]
fn sceptic_believes_a_good_instance_and_stops_where_it_is_spoilt() {
    let page = page().unwrap();
    let cases = spoilt::all();
    let next = AtomicUsize::new(0);
    let work = || {
        // What holds random keys is not shared between threads: each has people of its own.
        let stage = Stage::at(SystemClock.now());
        let mut problems = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            problems.extend(problem(&page, &stage, case).unwrap());
        }
        problems
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let tested: Vec<_> = page.steps.iter().map(|step| step.section).filter(|number| *number > 0).collect();
    let spoilt_in = |number: &u32| cases.iter().any(|case| case.stops_at == Some(*number));
    assert!(tested.iter().all(spoilt_in), "no fault is made for one of the sections {tested:?}");
}

/// The page. Blocks of `console`, what needs AWS's site, and of `text` are for readers alone.
fn page() -> Result<Page> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../VERIFICATION.md");
    let text = std::fs::read_to_string(path).context("VERIFICATION.md")?;
    let page = Page::parse(&text, &["console", "text"])?;
    ensure!(page.programs.len() == 2 && page.steps.len() > 10, "the page was not understood");
    Ok(page)
}

fn problem(page: &Page, stage: &Stage, case: &Spoilt) -> Result<Option<String>> {
    let verdict = verify(page, stage, case)?;
    let is_right = match (&verdict, case.stops_at) {
        (Verdict::Believed, None) => true,
        (Verdict::Refused(section, _), Some(wanted)) => *section == wanted,
        (Verdict::Believed, Some(_)) | (Verdict::Refused(..), None) => false,
    };
    Ok((!is_right).then(|| format!("{}: {verdict:?}, and should stop at {:?}", case.name, case.stops_at)))
}

/// Does what the page says, with a spoilt announcement or a spoilt container.
fn verify(page: &Page, stage: &Stage, case: &Spoilt) -> Result<Verdict> {
    let dir = tempfile::tempdir()?;
    let write =
        |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).context(name.to_owned());
    let (mut announcement, mut container) = (Recipe::announcement(stage), Recipe::container(stage));
    (case.announcement)(&mut announcement, stage);
    (case.container)(&mut container, stage);
    write("announcement.json", announcement.finish(stage).as_bytes())?;
    write("container.json", container.finish(stage).as_bytes())?;
    let maintainers = stage.maintainers.each_ref().map(|keys| keys.public_key().to_hex() + "\n");
    write("maintainers", maintainers.concat().as_bytes())?;
    write("root.der", stage.root.der())?;
    for (name, text) in &page.programs {
        write(name, text.as_bytes())?;
    }
    for step in &page.steps {
        let (passed, said) = run(dir.path(), &step.commands)?;
        if !passed {
            return Ok(Verdict::Refused(step.section, said));
        }
    }
    Ok(Verdict::Believed)
}

fn run(dir: &Path, commands: &str) -> Result<(bool, String)> {
    let output = Command::new("sh").args(["-eu", "-c", commands]).current_dir(dir).output().context("sh")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).lines().last().unwrap_or_default().to_owned();
    // 127: a program of the page is not installed, which proves nothing.
    ensure!(output.status.code() != Some(127), "{said}");
    Ok((output.status.success(), said))
}
