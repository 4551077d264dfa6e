//! Bodies that peers announced before their headers came. An announcement is made once: where the header then comes from a
//! peer that may not give the body, whoever announced it is remembered here until then.

use std::collections::BTreeMap;

use tocsin_record::OrgId;
use tocsin_store::{LogNo, RecordRef};

use crate::io::LinkId;

/// Most bodies that are remembered of one link, and of all links of one org; the others are found by `Holes` later.
const OF_LINK_MAX: usize = 1024;
const OF_ORG_MAX: usize = 2048;
/// Most announcers of one body.
const ANNOUNCERS_MAX: usize = 8;

/// Who announced what, by place.
#[derive(Debug, Default)]
pub(crate) struct Early {
    places: BTreeMap<RecordRef, Vec<(LinkId, OrgId)>>,
    by_link: BTreeMap<LinkId, usize>,
    by_org: BTreeMap<OrgId, usize>,
}

impl Early {
    pub fn note(&mut self, place: RecordRef, link: LinkId, org: OrgId) {
        let count = |counts: Option<&usize>| counts.copied().unwrap_or_default();
        if count(self.by_link.get(&link)) >= OF_LINK_MAX || count(self.by_org.get(&org)) >= OF_ORG_MAX {
            return;
        }
        let announcers = self.places.entry(place).or_default();
        if announcers.len() < ANNOUNCERS_MAX && !announcers.iter().any(|(known, _)| *known == link) {
            announcers.push((link, org));
            *self.by_link.entry(link).or_default() += 1;
            *self.by_org.entry(org).or_default() += 1;
        }
    }

    fn less(&mut self, (link, org): (LinkId, OrgId)) {
        super::bodies::less(&mut self.by_link, link);
        super::bodies::less(&mut self.by_org, org);
    }

    /// Takes out what was announced of a log up to a height.
    pub fn take(&mut self, log: LogNo, to: u64) -> Vec<(RecordRef, Vec<(LinkId, OrgId)>)> {
        let range = RecordRef { log, seq: 0 }..=RecordRef { log, seq: to };
        let places: Vec<RecordRef> = self.places.range(range).map(|(place, _)| *place).collect();
        let taken: Vec<_> =
            places.into_iter().filter_map(|place| Some((place, self.places.remove(&place)?))).collect();
        for announcer in taken.iter().flat_map(|(_, announcers)| announcers) {
            self.less(*announcer);
        }
        taken
    }

    pub fn forget(&mut self, link: LinkId) {
        if !self.by_link.contains_key(&link) {
            return;
        }
        let mut fewer = Vec::new();
        self.places.retain(|_, announcers| {
            fewer.extend(announcers.extract_if(.., |(announcer, _)| *announcer == link));
            !announcers.is_empty()
        });
        for announcer in fewer {
            self.less(announcer);
        }
    }

    /// The log's number is another's from now on.
    pub fn forget_log(&mut self, log: LogNo) {
        self.take(log, u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_given_back() {
        let mut early = Early::default();
        let org = OrgId([1; 32]);
        let place = |seq| RecordRef { log: LogNo(3), seq };
        for link in 0..5 {
            for seq in 1..=OF_LINK_MAX as u64 + 1 {
                early.note(place(seq), link, org);
            }
        }
        assert_eq!(early.by_link.get(&0), Some(&OF_LINK_MAX));
        assert_eq!(early.by_org.get(&org), Some(&OF_ORG_MAX));
        early.note(place(1), 9, OrgId([2; 32]));
        assert_eq!(early.take(LogNo(3), 1).len(), 1);
        assert_eq!((early.by_link.get(&0), early.by_link.get(&9)), (Some(&(OF_LINK_MAX - 1)), None));
        early.forget(0);
        early.forget_log(LogNo(3));
        assert!(early.places.is_empty() && early.by_link.is_empty() && early.by_org.is_empty());
    }
}
