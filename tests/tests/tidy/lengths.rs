//! Files are short, and lie where one looks for them.

use anyhow::Result;

use crate::tracked::File;
use crate::{none, one};

/// Lines of a file: what a reader keeps in mind.
const LINES_MAX: usize = 400;

/// Longer files: path, lines, why it is not split yet. The numbers may only fall.
const LONGER: &[(&str, usize, &str)] = &[];

#[test]
fn files_are_short() -> Result<()> {
    none(&length_faults(&File::all()?, LONGER));
    Ok(())
}

#[test]
fn modules_are_files_beside_their_folders() -> Result<()> {
    none(&place_faults(&File::all()?));
    Ok(())
}

fn length_faults(files: &[File], longer: &[(&str, usize, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() || file.is_script()) {
        let (path, lines) = (&file.path, file.text().lines().count());
        let exception = longer.iter().find(|(longer, ..)| longer == path).map(|(_, lines, _)| *lines);
        match exception {
            None if lines > LINES_MAX => faults.push(format!(
                "{path} has {lines} lines: split it by noun, so that none has more than {LINES_MAX}"
            )),
            Some(allowed) if lines > allowed => {
                faults.push(format!("{path} grew from {allowed} to {lines} lines: split it"));
            }
            Some(_) if lines <= LINES_MAX => {
                faults.push(format!("{path} is short now: remove it from LONGER in {}", file!()));
            }
            Some(allowed) if lines < allowed => {
                faults.push(format!("{path} shrank to {lines} lines: say so in LONGER in {}", file!()));
            }
            None | Some(_) => {}
        }
    }
    let is_there = |path: &str| files.iter().any(|file| file.path == path);
    for (path, ..) in longer.iter().filter(|(path, ..)| !is_there(path)) {
        faults.push(format!("{path} is gone: remove it from LONGER in {}", file!()));
    }
    faults
}

fn place_faults(files: &[File]) -> Vec<String> {
    let misplaced = files.iter().filter_map(|file| file.path.strip_suffix("/mod.rs"));
    misplaced.map(|folder| format!("{folder}/mod.rs: move it to {folder}.rs")).collect()
}

#[test]
fn long_file_is_found_and_exceptions_only_shrink() {
    let lines = |n: usize| File::new("a.rs", &"x\n".repeat(n));
    let exception = [("a.rs", 450, "a table")];
    assert_eq!(length_faults(&[lines(400)], &[]), [""; 0]);
    one(&length_faults(&[lines(401)], &[]), &["a.rs has 401 lines"]);
    assert_eq!(length_faults(&[lines(450)], &exception), [""; 0]);
    one(&length_faults(&[lines(451)], &exception), &["grew from 450 to 451"]);
    one(&length_faults(&[lines(449)], &exception), &["shrank to 449"]);
    one(&length_faults(&[lines(400)], &exception), &["remove it from LONGER"]);
    one(&length_faults(&[], &exception), &["a.rs is gone"]);
    one(&length_faults(&[File::new("scripts/x", &"#!/bin/sh\n".repeat(401))], &[]), &["scripts/x"]);
    assert_eq!(length_faults(&[File::new("Cargo.lock", &"x\n".repeat(9_999))], &[]), [""; 0]);
}

#[test]
fn module_file_within_its_folder_is_found() {
    one(&place_faults(&[File::new("a/src/b/mod.rs", "")]), &["a/src/b/mod.rs: move it to a/src/b.rs"]);
    assert_eq!(place_faults(&[File::new("a/src/b/amod.rs", "")]), [""; 0]);
}
