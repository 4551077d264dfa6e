//! What a source says over time, drawn from a seed, and the files that it says it in: in any order, and some again.

use std::fmt;

use tocsin_record::marking::Tlp;
use tocsin_sim::dice::Dice;

use crate::labels::{self, Label};
use crate::written;

/// Steps between two versions, in nanoseconds: some within one millisecond, some within one second.
const STEPS: &[u64] = &[1, 999, 1_000_000, 250_000_000, 1_000_000_000, 60_000_000_000];
const SECOND: u64 = 1_000_000_000;

/// What a file says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which object.
    pub object: usize,
    /// Its version, in nanoseconds; 0 where there are none.
    pub at: u64,
    /// The value.
    pub value: String,
    /// How strict it is, with what binds it of what it stands in; `None` where nothing is said.
    pub level: Option<Tlp>,
    /// Its source takes it back.
    pub gone: bool,
    /// As it is written.
    pub label: &'static str,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, at, value, level, gone, .. } = self;
        let gone = if *gone { ", gone" } else { "" };
        write!(f, "object {object} at {at} ns: {value}, {level:?}{gone}")
    }
}

/// Which files count of those that say something of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All: each object has versions of its own.
    Objects,
    /// Those of the newest version of a report or event, which is this one of it.
    Head(u64),
    /// The last that was imported: a list, which has no versions.
    Last,
}

impl Rule {
    /// The version of the whole.
    #[must_use]
    pub fn head(self) -> Option<u64> {
        if let Self::Head(at) = self { Some(at) } else { None }
    }
}

/// A file.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// What it says.
    pub says: Vec<Said>,
    /// What it says of all that is in it.
    pub head: Option<Tlp>,
    /// When it counts.
    pub rule: Rule,
    /// Whether it is shared in the mesh at once.
    pub share: bool,
}

/// A source's files, and the order in which they come.
#[derive(Debug)]
pub struct Story {
    /// What it is about.
    pub kind: &'static str,
    /// What the operator says of what carries no marking.
    pub flag: Option<Tlp>,
    /// All files.
    pub files: Vec<File>,
    /// Which come when: each at least once.
    pub order: Vec<usize>,
}

impl Story {
    /// The story of a seed. `space` keeps its ids and values apart from those of other stories.
    #[must_use]
    pub fn draw(seed: u64, space: u64) -> Self {
        let mut dice = Dice::new(seed, "story");
        let mut tale = Tale { space, values: 0, dice: &mut dice };
        let (kind, files) = match seed % 4 {
            0 => ("objects", tale.objects()),
            1 => ("report", tale.report()),
            2 => ("event", tale.event()),
            _ => ("list", tale.list()),
        };
        let mut order: Vec<usize> = (0..files.len()).collect();
        for _ in 0..dice.range(1, 3) {
            order.push(dice.index(files.len()));
        }
        dice.shuffle(&mut order);
        let flag = dice.percent(60).then_some(Tlp::Clear);
        Self { kind, flag, files, order }
    }

    /// Every value that is ever said, with its object.
    #[must_use]
    pub fn values(&self) -> Vec<(usize, &str)> {
        let said = self.files.iter().flat_map(|file| &file.says);
        let mut values: Vec<(usize, &str)> = said.map(|said| (said.object, said.value.as_str())).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

/// A story while it is drawn.
struct Tale<'d> {
    space: u64,
    values: usize,
    dice: &'d mut Dice,
}

impl Tale<'_> {
    fn value(&mut self) -> String {
        self.values += 1;
        format!("v{}-{}.example", self.space, self.values)
    }

    fn said(&mut self, object: usize, at: u64, table: &'static [Label]) -> Said {
        let label = labels::draw(table, self.dice);
        Said { object, at, value: self.value(), level: label.level, gone: false, label: label.text }
    }

    /// The next version of an object: often of the same value, sometimes under the same marking.
    fn next(&mut self, before: &Said, at: u64, table: &'static [Label]) -> Said {
        let mut said = Said { at, ..self.said(before.object, at, table) };
        if self.dice.percent(40) {
            said.value.clone_from(&before.value);
        } else if self.dice.percent(40) {
            (said.label, said.level) = (before.label, before.level);
        }
        said
    }

    fn shares(&mut self) -> bool {
        self.dice.percent(80)
    }

    /// Indicators that are in no report, each with versions of its own, in files that have some of them.
    fn objects(&mut self) -> Vec<File> {
        let mut versions: Vec<Vec<Said>> = Vec::new();
        for object in 0..self.dice.index(3) + 2 {
            let mut all = vec![self.said(object, SECOND, labels::STIX)];
            for _ in 0..self.dice.range(1, 4) {
                let before = all[all.len() - 1].clone();
                let twin = self.dice.percent(20);
                let at = if twin { before.at } else { before.at + *self.dice.pick(STEPS) };
                let mut next = self.next(&before, at, labels::STIX);
                next.gone = self.dice.percent(8);
                all.push(next);
            }
            versions.push(all);
        }
        let count = self.dice.range(3, 6);
        let mut files = Vec::new();
        for number in 0..count {
            let mut says = Vec::new();
            for all in &versions {
                for _ in 0..[0, 1, 1, 1, 2][self.dice.index(5)] {
                    let said = self.dice.pick(all).clone();
                    if !says.contains(&said) {
                        says.push(said);
                    }
                }
            }
            if says.is_empty() {
                says.push(self.dice.pick(&versions[0]).clone());
            }
            let text = written::bundle(self.space, &says, None);
            let name = format!("objects-{number}.json");
            files.push(File { name, text, says, head: None, rule: Rule::Objects, share: self.shares() });
        }
        files
    }

    /// A report that changes, with what is in it.
    fn report(&mut self) -> Vec<File> {
        let mut says: Vec<Said> = (0..3).map(|object| self.said(object, SECOND, labels::STIX)).collect();
        let mut head = labels::draw(labels::STIX, self.dice);
        let mut at = SECOND;
        let mut files = Vec::new();
        for number in 0..self.dice.range(3, 5) {
            let bound = bound_by(&says, head);
            let text = written::bundle(self.space, &says, Some((at, head.text)));
            let name = format!("report-{number}.json");
            let (head_level, rule) = (head.level, Rule::Head(at));
            files.push(File { name, text, says: bound, head: head_level, rule, share: self.shares() });
            at += *self.dice.pick(STEPS);
            if self.dice.percent(25) {
                head = labels::draw(labels::STIX, self.dice);
            }
            self.go_on(&mut says, at, labels::STIX);
        }
        files
    }

    /// An event that changes, with its attributes.
    fn event(&mut self) -> Vec<File> {
        let mut says: Vec<Said> = (0..3).map(|object| self.said(object, SECOND, labels::ATTRIBUTE)).collect();
        let mut head = labels::draw(labels::EVENT, self.dice);
        let mut at = SECOND;
        let mut files = Vec::new();
        for number in 0..self.dice.range(3, 5) {
            let bound = bound_by(&says, head);
            let text = written::event(self.space, &says, at, head.text);
            let name = format!("event-{number}.json");
            let (head_level, rule) = (head.level, Rule::Head(at));
            files.push(File { name, text, says: bound, head: head_level, rule, share: self.shares() });
            // MISP knows seconds.
            at += SECOND * self.dice.range(1, 90);
            if self.dice.percent(25) {
                head = labels::draw(labels::EVENT, self.dice);
            }
            self.go_on(&mut says, at, labels::ATTRIBUTE);
        }
        files
    }

    /// One step of what stands in a report: some of it changes, comes, goes, or is taken back.
    fn go_on(&mut self, says: &mut Vec<Said>, at: u64, table: &'static [Label]) {
        for said in says.iter_mut() {
            if !said.gone && self.dice.percent(45) {
                *said = self.next(&said.clone(), at, table);
                said.gone = self.dice.percent(10);
            }
        }
        if self.dice.percent(25) && says.len() > 1 {
            says.remove(self.dice.index(says.len()));
        }
        if self.dice.percent(25) {
            let object = says.iter().map(|said| said.object).max().unwrap_or(0) + 10;
            let new = self.said(object, at, table);
            says.push(new);
        }
    }

    /// A list of one name that changes, line by line.
    fn list(&mut self) -> Vec<File> {
        let csv = self.dice.percent(50);
        let mut says: Vec<Said> = (0..4).map(|object| self.said(object, 0, labels::CELL)).collect();
        let mut files = Vec::new();
        for _ in 0..self.dice.range(2, 4) {
            let head = labels::draw(labels::HEAD, self.dice);
            let bound = bound_by(&says, head);
            let (name, text) = if csv {
                ("list.csv", written::table(&says, head.text))
            } else {
                ("list.txt", written::lines(&says, head.text))
            };
            let name = name.to_owned();
            let (head, rule) = (head.level, Rule::Last);
            files.push(File { name, text, says: bound, head, rule, share: self.shares() });
            for said in &mut says {
                if self.dice.percent(40) {
                    let label = labels::draw(labels::CELL, self.dice);
                    (said.label, said.level) = (label.text, label.level);
                }
            }
            if self.dice.percent(50) {
                says.remove(self.dice.index(says.len()));
            }
            let object = says.iter().map(|said| said.object).max().unwrap_or(0) + 10;
            says.push(self.said(object, 0, labels::CELL));
        }
        files
    }
}

/// What is said within something that is marked as well.
fn bound_by(says: &[Said], head: &Label) -> Vec<Said> {
    says.iter().map(|said| Said { level: said.level.max(head.level), ..said.clone() }).collect()
}
