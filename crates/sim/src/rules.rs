//! The policies of a run, as small tables. The Cedar text that a node loads is generated from the table; the oracles
//! read the table itself, and never ask the policy crate.

use std::fmt::Write as _;

use tocsin_record::document::OrgEntry;
use tocsin_record::marking::{Countries, CountryCode};

use crate::cast::CircleKind;
use crate::dice::Dice;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a body.
    Fetch,
    /// Believe it.
    Accept,
    /// Keep it for a person.
    Hold,
    /// Pass it on.
    Forward,
}

/// A condition of a rule: all must be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// TLP of at least so much.
    Tlp(u8),
    /// Personal data of at least so much.
    Personal(u8),
    /// Of this kind.
    Kind(&'static str),
    /// Addressed to the mesh circle.
    ToMesh,
    /// The greatest confidence is below this.
    Doubtful(u8),
    /// At least so many indicators.
    Indicators(u32),
    /// The author is of this kind.
    AuthorKind(&'static str),
    /// The author is another org.
    Foreign,
    /// The partner is of this kind; for `Forward` only.
    PartnerKind(&'static str),
    /// The partner is not of this country; for `Forward` only.
    PartnerNotIn([u8; 2]),
    /// The partner names no legal regime; for `Forward` only.
    PartnerLawless,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Forbids, rather than permits.
    pub forbid: bool,
    /// What it is about.
    pub action: Action,
    /// When it applies.
    pub when: Vec<Test>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(pub Vec<Rule>);

/// What a rule can know of a record.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Org of the author, as a place in the cast.
    pub author: usize,
    /// Kind of the author's org.
    pub author_kind: &'static str,
    /// Name of the body's kind.
    pub kind: &'static str,
    /// Where it is addressed to.
    pub circle: CircleKind,
    /// TLP, 0 if it has no marking.
    pub tlp: u8,
    /// Personal data, 0 to 2.
    pub personal: u8,
    /// The greatest confidence that is stated.
    pub confidence: Option<u8>,
    /// Indicators.
    pub indicators: u32,
    /// Where it may go.
    pub countries: Countries,
    /// It holds what no node knows.
    pub newer: bool,
    /// It is decided by policy at all: reports, sightings, notes.
    pub content: bool,
    /// Its header shows neither kind nor marking.
    pub sealed: bool,
}

/// What an honest node with this table does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Believed and passed on.
    Accept,
    /// Kept, not passed on.
    Hold,
    /// Not kept, or not even asked for.
    Refuse,
}

impl Table {
    /// A table that lets everything through.
    #[must_use]
    pub fn open() -> Self {
        let permit = |action| Rule { forbid: false, action, when: Vec::new() };
        Self(vec![permit(Action::Fetch), permit(Action::Accept), permit(Action::Forward)])
    }

    /// Draws a table: open, with up to four rules against something.
    #[must_use]
    pub fn draw(dice: &mut Dice) -> Self {
        let mut table = Self::open();
        for _ in 0..dice.below(5) {
            table.0.push(draw_rule(dice));
        }
        table
    }

    /// The same as Cedar text.
    #[must_use]
    pub fn cedar(&self) -> String {
        let mut text = String::new();
        for (at, rule) in self.0.iter().enumerate() {
            let effect = if rule.forbid { "forbid" } else { "permit" };
            let action = match rule.action {
                Action::Fetch => "fetch",
                Action::Accept => "accept",
                Action::Hold => "hold",
                Action::Forward => "forward",
            };
            let _ = write!(
                text,
                "@id(\"r{at}\")\n{effect} (principal, action == Action::\"{action}\", resource)"
            );
            let tests: Vec<String> = rule.when.iter().map(|test| test.cedar(rule.action)).collect();
            if !tests.is_empty() {
                let _ = write!(text, "\nwhen {{ {} }}", tests.join(" && "));
            }
            text.push_str(";\n");
        }
        text
    }

    fn allows(&self, action: Action, facts: &Facts, partner: Option<&OrgEntry>, mine: usize) -> bool {
        let speaks = |rule: &&Rule| {
            rule.action == action && rule.when.iter().all(|test| test.holds(action, facts, partner, mine))
        };
        let (forbids, permits): (Vec<_>, Vec<_>) = self.0.iter().filter(speaks).partition(|rule| rule.forbid);
        forbids.is_empty() && !permits.is_empty()
    }

    /// What a node of org `mine`, in `country`, does with a record that came to it.
    #[must_use]
    pub fn fate(&self, facts: &Facts, mine: usize, country: [u8; 2]) -> Fate {
        if !facts.content {
            return Fate::Accept;
        }
        if facts.author == mine {
            return if facts.newer { Fate::Hold } else { Fate::Accept };
        }
        if !in_country(&facts.countries, country) || !self.allows(Action::Fetch, facts, None, mine) {
            return Fate::Refuse;
        }
        if self.allows(Action::Hold, facts, None, mine) {
            return Fate::Hold;
        }
        match self.allows(Action::Accept, facts, None, mine) {
            true if facts.newer => Fate::Hold,
            true => Fate::Accept,
            false => Fate::Refuse,
        }
    }

    /// Whether a node of org `mine` that believes a record may give it to a partner.
    #[must_use]
    pub fn forwards(&self, facts: &Facts, partner: &OrgEntry, partner_org: usize, mine: usize) -> bool {
        if !facts.content || partner_org == mine {
            return true;
        }
        in_country(&facts.countries, partner.country)
            && !facts.newer
            && self.allows(Action::Forward, facts, Some(partner), mine)
    }
}

fn in_country(countries: &Countries, country: [u8; 2]) -> bool {
    let is = |code: &CountryCode| code.letters() == country;
    match countries {
        Countries::Any => true,
        Countries::Only(list) => list.iter().any(is),
        Countries::Except(list) => !list.iter().any(is),
    }
}

impl Test {
    fn holds(self, action: Action, facts: &Facts, partner: Option<&OrgEntry>, mine: usize) -> bool {
        // A header shows neither confidence nor indicators.
        let body = action != Action::Fetch;
        let shown = body || !facts.sealed;
        match self {
            Self::Tlp(least) => shown && facts.tlp >= least,
            Self::Personal(least) => shown && facts.personal >= least,
            Self::Kind(kind) => shown && facts.kind == kind,
            Self::ToMesh => facts.circle == CircleKind::Mesh,
            Self::Doubtful(below) => body && facts.confidence.is_some_and(|confidence| confidence < below),
            Self::Indicators(least) => body && facts.indicators >= least,
            Self::AuthorKind(kind) => facts.author_kind == kind,
            Self::Foreign => facts.author != mine,
            Self::PartnerKind(kind) => partner.is_some_and(|partner| partner.kind_name() == kind),
            Self::PartnerNotIn(country) => partner.is_some_and(|partner| partner.country != country),
            Self::PartnerLawless => partner.is_some_and(|partner| partner.regimes.is_empty()),
        }
    }

    fn cedar(self, action: Action) -> String {
        let code = |country: [u8; 2]| String::from_utf8_lossy(&country).into_owned();
        match self {
            Self::Tlp(least) => format!("resource has tlp && resource.tlp >= {least}"),
            Self::Personal(least) => format!("resource has personal && resource.personal >= {least}"),
            Self::Kind(kind) => format!("resource has kind && resource.kind == RecordKind::\"{kind}\""),
            Self::ToMesh => "resource.circle_kind == CircleKind::\"mesh\"".into(),
            // A header has neither attribute, and the strict schema does not let a rule name it: never true.
            Self::Doubtful(_) | Self::Indicators(_) if action == Action::Fetch => "false".into(),
            Self::Doubtful(below) => {
                format!("resource has confidence_max && resource.confidence_max < {below}")
            }
            Self::Indicators(least) => format!("resource has indicators && resource.indicators >= {least}"),
            Self::AuthorKind(kind) => format!("resource.author.kind == OrgKind::\"{kind}\""),
            Self::Foreign => "!resource.author.own".into(),
            Self::PartnerKind(kind) => format!("principal.kind == OrgKind::\"{kind}\""),
            Self::PartnerNotIn(country) => format!("principal.country != \"{}\"", code(country)),
            Self::PartnerLawless => "!principal.regimes.contains(\"gdpr\")".into(),
        }
    }
}

fn one_of(dice: &mut Dice, names: &[&'static str]) -> &'static str {
    names[dice.index(names.len())]
}

fn draw_rule(dice: &mut Dice) -> Rule {
    let action = *dice.pick(&[Action::Fetch, Action::Accept, Action::Hold, Action::Forward, Action::Forward]);
    let kinds = ["csirt", "police", "border", "private"];
    let mut when = Vec::new();
    for _ in 0..dice.range(1, 2) {
        let choices = match action {
            Action::Fetch => 6,
            Action::Accept | Action::Hold => 8,
            Action::Forward => 11,
        };
        when.push(match dice.below(choices) {
            0 => Test::Tlp(2),
            1 => Test::Personal(dice.range(1, 2) as u8),
            2 => Test::Kind(one_of(dice, &["report", "sighting", "note"])),
            3 => Test::ToMesh,
            4 => Test::AuthorKind(one_of(dice, &kinds)),
            5 => Test::Foreign,
            6 => Test::Doubtful(dice.range(10, 60) as u8),
            7 => Test::Indicators(dice.range(2, 6) as u32),
            8 => Test::PartnerKind(one_of(dice, &kinds)),
            9 => Test::PartnerNotIn(*dice.pick(&[*b"FR", *b"DE", *b"PL"])),
            _ => Test::PartnerLawless,
        });
    }
    Rule { forbid: action != Action::Hold, action, when }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_policy::Policy;

    #[test]
    fn every_table_is_a_policy() {
        for seed in 0..200 {
            let table = Table::draw(&mut Dice::new(seed, "rules"));
            Policy::load(&table.cedar())
                .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", table.cedar()));
        }
    }
}
