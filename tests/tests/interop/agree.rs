//! Our verifier and the reference's validator, over a family of faulty events: where they differ, it is
//! known why.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use protocol::nec::Policy;

use crate::disagreements::{Disagreement, known};
use crate::faults::{self, ACCEPTED, Case, Form, REFUSED};
use crate::npm::{self, Answer, Expected, ExpectedRelease, Question};
use crate::stage::Stage;

/// What issue 3 asks for.
const FAULTS_MIN: usize = 200;

#[test]
fn verifier_and_reference_agree_but_where_it_is_explained() -> Result<()> {
    let stage = Stage::new();
    let cases: Vec<Case> = faults::all().iter().map(|fault| fault.case(&stage)).collect();
    let faulty = cases.iter().filter(|case| case.code != ACCEPTED).count();
    assert!(faulty >= FAULTS_MIN, "{faulty} faults");
    let questions: Vec<_> = cases.iter().map(question).collect();
    let answers = npm::judge(stage.root.der(), &questions)?;
    let known = known()?;
    let verdicts: Vec<_> = cases.iter().map(Case::verdict).collect();
    let mut problems = wrong_verdicts(&cases, &verdicts);
    let judged: Vec<_> = cases
        .iter()
        .zip(&verdicts)
        .zip(&answers)
        .map(|((case, (ours, _)), answer)| Judged::new(case, ours, answer))
        .collect();
    problems.extend(unexplained(&judged, &known));
    problems.extend(no_longer(&judged, &known));
    print_table(&judged, &known);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn policies_that_only_we_know_are_kept() {
    let stage = Stage::new();
    let cases: Vec<_> = faults::of_our_own().iter().map(|fault| fault.case(&stage)).collect();
    let verdicts: Vec<_> = cases.iter().map(Case::verdict).collect();
    let problems = wrong_verdicts(&cases, &verdicts);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The same event under another root is refused, whatever else is right or wrong with it.
#[test]
fn nothing_passes_under_the_root_of_aws() {
    let stage = Stage::new();
    for fault in faults::all().iter().filter(|fault| fault.code == ACCEPTED) {
        let mut case = fault.case(&stage);
        case.policy = Policy { root: attestation::TrustRoot::aws(), ..case.policy };
        assert_eq!(case.verdict().0, "chain_untrusted", "{}", case.name);
    }
}

/// An event that both have judged.
struct Judged<'a> {
    name: &'a str,
    ours: &'static str,
    theirs: &'a str,
    differ: bool,
}

impl<'a> Judged<'a> {
    fn new(case: &'a Case, ours: &'static str, answer: &'a Answer) -> Self {
        Self {
            name: &case.name,
            ours,
            theirs: &answer.verdict,
            differ: (ours == ACCEPTED) != answer.accepts(),
        }
    }
}

fn question(case: &Case) -> Question {
    let policy = &case.policy;
    let pcrs = || policy.pcrs.iter().map(|(index, pcr)| (*index, pcr.to_string())).collect();
    let release = policy.repo.clone().filter(|_| !policy.maintainers.is_empty()).map(|repo| {
        let signer_pubkeys = policy.maintainers.iter().map(nostr::key::PublicKey::to_hex).collect();
        ExpectedRelease { repo, signer_pubkeys }
    });
    Question {
        name: case.name.clone(),
        method: match case.form {
            Form::Announcement | Form::Old => "validateInstance",
            Form::Container => "validateEnclavedEvent",
        },
        event: case.text.clone(),
        now_secs: policy.at.0,
        expected: Some(Expected { pcrs: (!policy.pcrs.is_empty()).then(pcrs), release }),
    }
}

/// Where we did not answer as we must.
fn wrong_verdicts(cases: &[Case], verdicts: &[(&'static str, String)]) -> Vec<String> {
    let wrong = cases.iter().zip(verdicts).filter_map(|(case, (code, why))| {
        let is_right = if case.code == REFUSED { *code != ACCEPTED } else { *code == case.code };
        (!is_right).then(|| format!("{}: we say {code}, and must say {}: {why}", case.name, case.code))
    });
    wrong.collect()
}

fn unexplained(judged: &[Judged<'_>], known: &[Disagreement]) -> Vec<String> {
    let mut problems = Vec::new();
    for it in judged.iter().filter(|it| it.differ) {
        match known.iter().filter(|one| one.covers(it.name)).count() {
            0 => problems.push(format!(
                "{}: we say {}, they say {}, and nothing explains it",
                it.name, it.ours, it.theirs
            )),
            1 => {}
            _ => problems.push(format!("{}: explained twice", it.name)),
        }
    }
    problems
}

fn no_longer(judged: &[Judged<'_>], known: &[Disagreement]) -> Vec<String> {
    let differing: BTreeSet<_> = judged.iter().filter(|it| it.differ).map(|it| it.name).collect();
    let named = known.iter().flat_map(|one| &one.faults);
    let gone = named.filter(|name| !differing.contains(name.as_str()));
    gone.map(|name| format!("{name}: said to divide us, and does not")).collect()
}

fn print_table(judged: &[Judged<'_>], known: &[Disagreement]) {
    let by_name: BTreeMap<_, _> = judged.iter().map(|it| (it.name, it)).collect();
    let agreed = judged.iter().filter(|it| !it.differ).count();
    println!("{} events; both say the same of {agreed}. Of the others:\n", judged.len());
    for one in known {
        println!("## {}", one.why);
        for it in one.faults.iter().filter_map(|name| by_name.get(name.as_str())) {
            println!("{:<62} ours: {:<20} theirs: {}", it.name, it.ours, it.theirs);
        }
        println!();
    }
}

#[test]
fn disagreement_without_explanation_is_found() {
    let judged = [
        Judged { name: "a", ours: "expired", theirs: "accept", differ: true },
        Judged { name: "b", ours: ACCEPTED, theirs: "accept", differ: false },
    ];
    let known = |faults: &[&str]| {
        let faults = faults.iter().map(ToString::to_string).collect();
        [Disagreement { faults, why: "for a reason".to_owned() }]
    };
    assert_eq!(unexplained(&judged, &known(&["a"])).len() + no_longer(&judged, &known(&["a"])).len(), 0);
    assert!(unexplained(&judged, &[])[0].starts_with("a: we say expired"));
    assert!(no_longer(&judged, &known(&["a", "b"]))[0].starts_with("b: said to divide us"));
    let twice = [known(&["a"]), known(&["a"])].concat();
    assert_eq!(unexplained(&judged, &twice), ["a: explained twice"]);
}
