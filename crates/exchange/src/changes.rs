//! What changed between two versions of a report's indicators.

use std::collections::BTreeMap;

use tocsin_record::body::report::{Extent, Indicator, Origin, Report};
use tocsin_record::id::RecordId;
use tocsin_record::marking::Marking;
use tocsin_record::observable::Observable;

use crate::Imported;

/// What a new version carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// New indicators, and those whose context changed: they replace the earlier of the same observable.
    pub added: Vec<Indicator>,
    /// What no longer counts.
    pub withdrawn: Vec<Observable>,
}

/// The difference from all indicators of the versions before to the next; `None` if there is none.
///
/// Both sides are keyed by observable; of several of one, the last counts. Both lists come sorted.
#[must_use]
pub fn changes(previous: &[Indicator], next: &[Indicator]) -> Option<Changes> {
    let by_observable = |list: &[Indicator]| -> BTreeMap<Observable, usize> {
        list.iter().enumerate().map(|(at, indicator)| (indicator.what.clone(), at)).collect()
    };
    let (before, after) = (by_observable(previous), by_observable(next));
    let is_new =
        |what: &Observable, at: usize| before.get(what).is_none_or(|earlier| previous[*earlier] != next[at]);
    let changes = Changes {
        added: after
            .iter()
            .filter(|(what, at)| is_new(what, **at))
            .map(|(_, at)| next[*at].clone())
            .collect(),
        withdrawn: before.into_keys().filter(|what| !after.contains_key(what)).collect(),
    };
    let nothing = changes.added.is_empty() && changes.withdrawn.is_empty();
    (!nothing).then_some(changes)
}

impl Imported {
    /// The report's first version, with all its indicators.
    #[must_use]
    pub fn whole(&self, salt: [u8; 16], marking: Option<Marking>) -> Report {
        Report {
            salt,
            subject: self.subject,
            supersedes: None,
            extent: Extent::Whole,
            origin: Origin { source: Some(self.origin.clone()) },
            marking,
            title: self.title.clone(),
            description: self.description.clone(),
            created: self.created,
            modified: self.modified,
            labels: self.labels.clone(),
            indicators: self.indicators.clone(),
            withdrawn: Vec::new(),
            originals: self.originals.clone(),
            extension: Vec::new(),
        }
    }

    /// The version after `supersedes`, in which these indicators counted: it carries only what changed. Ask only
    /// when the content hash is another; where nothing but title, labels or marking changed, its lists are empty.
    #[must_use]
    pub fn version(
        &self,
        salt: [u8; 16],
        marking: Option<Marking>,
        supersedes: RecordId,
        previous: &[Indicator],
    ) -> Report {
        let changes = changes(previous, &self.indicators)
            .unwrap_or(Changes { added: Vec::new(), withdrawn: Vec::new() });
        Report {
            supersedes: Some(supersedes),
            extent: Extent::Changes,
            indicators: changes.added,
            withdrawn: changes.withdrawn,
            ..self.whole(salt, marking)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::plain_indicator;

    fn indicator(domain: &str, comment: &str) -> Indicator {
        Indicator {
            comment: comment.to_owned(),
            ..plain_indicator(Observable::parse("domain", domain).unwrap())
        }
    }

    #[test]
    fn only_what_changed_is_carried() {
        let before = [indicator("a.example", ""), indicator("b.example", ""), indicator("c.example", "")];
        let after =
            [indicator("d.example", ""), indicator("c.example", ""), indicator("b.example", "now a note")];
        let changed = changes(&before, &after).unwrap();
        assert_eq!(changed.added, [indicator("b.example", "now a note"), indicator("d.example", "")]);
        assert_eq!(changed.withdrawn, [indicator("a.example", "").what]);
        let turned: Vec<_> = before.iter().rev().cloned().collect();
        assert_eq!(changes(&before, &turned), None);
        assert_eq!(changes(&[], &[]), None);
    }
}
