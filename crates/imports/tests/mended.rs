//! Stories that once broke a promise, each told as short as it can be.

use tocsin_imports::labels::{ATTRIBUTE, EVENT, Label, STIX};
use tocsin_imports::nodes::Nodes;
use tocsin_imports::run::run;
use tocsin_imports::story::{File, Rule, Said, Story};
use tocsin_imports::written;
use tocsin_record::marking::Tlp;

const SECOND: u64 = 1_000_000_000;

/// A label of that level.
fn label(table: &'static [Label], level: Option<Tlp>) -> &'static Label {
    table.iter().find(|label| label.level == level).expect("the table has it")
}

fn said(object: usize, at: u64, value: &str, label: &'static Label) -> Said {
    Said { object, at, value: value.to_owned(), level: label.level, gone: false, label: label.text }
}

fn file(number: usize, text: String, says: Vec<Said>, rule: Rule, share: bool) -> File {
    File { name: format!("{number}.json"), text, says, head: None, rule, share }
}

/// Runs files in this order, each one of which is imported once.
fn keeps_all_promises(space: u64, files: Vec<File>) {
    let story = Story { kind: "told", flag: None, order: (0..files.len()).collect(), files };
    let nodes = Nodes::start().expect("two nodes start");
    let report = run(&nodes, &story, space).expect("the nodes go on");
    nodes.stop().expect("they end");
    assert!(report.violation.is_none(), "{report:?}");
}

/// What an older version says is left out where a newer is for fewer eyes: beside the other values of its file it does not
/// leave in what is kept of it either.
#[test]
fn what_is_left_out_does_not_leave_in_what_is_kept_beside() {
    let clear = label(STIX, Some(Tlp::Clear));
    let newer = vec![said(0, 2 * SECOND, "raised.example", label(STIX, Some(Tlp::Red)))];
    let older = vec![said(0, SECOND, "raised.example", clear), said(1, SECOND, "beside.example", clear)];
    let bundle = |says: &[Said]| written::bundle(1, says, None);
    let files = vec![
        file(0, bundle(&newer), newer, Rule::Objects, true),
        file(1, bundle(&older), older, Rule::Objects, true),
    ];
    keeps_all_promises(1, files);
}

/// An attribute under a stricter marking stands in a part of its own, and goes with the event all the same.
#[test]
fn a_part_of_an_event_is_as_new_as_the_event() {
    let (green, red) = (label(EVENT, Some(Tlp::Green)), label(ATTRIBUTE, Some(Tlp::Red)));
    let event = |number: usize, head: u64, says: Vec<Said>| {
        let text = written::event(1, &says, head, green.text);
        let says = says.into_iter().map(|said| Said { level: said.level.max(green.level), ..said }).collect();
        file(number, text, says, Rule::Head(head), true)
    };
    let plain = |at| said(0, at, "stays.example", label(ATTRIBUTE, None));
    let older = || event(0, SECOND, vec![plain(SECOND), said(1, SECOND, "apart.example", red)]);
    let newer = || event(1, 2 * SECOND, vec![plain(2 * SECOND)]);
    keeps_all_promises(1, vec![older(), newer()]);
    keeps_all_promises(1, vec![newer(), older()]);
}

/// A report that is marked stricter, a nanosecond later: what stood apart of it is taken back as well.
#[test]
fn a_raised_report_takes_back_its_parts() {
    let [clear, green, amber] = [Tlp::Clear, Tlp::Green, Tlp::Amber].map(|tlp| label(STIX, Some(tlp)));
    let says = || vec![said(0, SECOND, "one.example", clear), said(1, SECOND, "two.example", green)];
    let report = |number: usize, head: u64, of_report: &'static Label, share| {
        let text = written::bundle(1, &says(), Some((head, of_report.text)));
        let bound = says().into_iter().map(|said| Said { level: said.level.max(of_report.level), ..said });
        file(number, text, bound.collect(), Rule::Head(head), share)
    };
    keeps_all_promises(1, vec![report(0, SECOND, clear, true), report(1, SECOND + 1, amber, false)]);
}

/// What a report no longer has, a nanosecond later, does not stay in a part of it that goes on.
#[test]
fn a_part_is_as_new_as_its_head_to_the_nanosecond() {
    let [clear, red] = [Tlp::Clear, Tlp::Red].map(|tlp| label(STIX, Some(tlp)));
    let report = |number: usize, head: u64, says: Vec<Said>| {
        let text = written::bundle(1, &says, Some((head, "")));
        file(number, text, says, Rule::Head(head), true)
    };
    let open = said(0, SECOND, "open.example", clear);
    let old = said(1, SECOND, "left.example", red);
    let new = said(2, SECOND + 1, "comes.example", red);
    keeps_all_promises(
        1,
        vec![report(0, SECOND, vec![open.clone(), old]), report(1, SECOND + 1, vec![open, new])],
    );
}

/// One version, told twice under two markings: neither content leaves as the looser one says, in one file or in two, whichever
/// came first.
#[test]
fn one_version_under_two_markings_is_as_strict_as_the_stricter() {
    let [clear, red] = [Tlp::Clear, Tlp::Red].map(|tlp| label(STIX, Some(tlp)));
    let [loose, strict] = [clear, red].map(|label| said(0, SECOND, "twice.example", label));
    let bundle = |number: usize, says: Vec<Said>| {
        file(number, written::bundle(1, &says, None), says, Rule::Objects, true)
    };
    let (loose, strict) = (|| loose.clone(), || strict.clone());
    keeps_all_promises(1, vec![bundle(0, vec![loose(), strict()])]);
    keeps_all_promises(1, vec![bundle(0, vec![loose()]), bundle(1, vec![strict()])]);
    keeps_all_promises(1, vec![bundle(0, vec![strict()]), bundle(1, vec![loose()])]);
}

/// A label that is understood only as far as how strict it is at least takes back what an older version let out, and keeps it
/// in when that comes later.
#[test]
fn a_label_that_is_half_understood_takes_back_what_left() {
    let half = STIX.iter().find(|label| label.text.contains("x_handling")).expect("the table has it");
    let green = label(STIX, Some(Tlp::Green));
    let bundle = |number: usize, says: Vec<Said>| {
        file(number, written::bundle(1, &says, None), says, Rule::Objects, true)
    };
    let older = || said(0, SECOND, "half.example", green);
    let newer = || said(0, 2 * SECOND, "half.example", half);
    keeps_all_promises(1, vec![bundle(0, vec![older()]), bundle(1, vec![newer()])]);
    keeps_all_promises(1, vec![bundle(0, vec![newer()]), bundle(1, vec![older()])]);
    let same = || said(0, SECOND, "half.example", half);
    keeps_all_promises(1, vec![bundle(0, vec![older()]), bundle(1, vec![same()])]);
    keeps_all_promises(1, vec![bundle(0, vec![same()]), bundle(1, vec![older()])]);
}
