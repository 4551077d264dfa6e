//! Circles with rosters of their own: of each the chain of its versions, who is in and was in, and who may know of it.
//!
//! Nobody is put into a circle, nor made to carry for it, by others: a version that names an org which the one before did not
//! counts only with the signature of one of that org's stewards. And nobody hears of a circle who is not in it and does not
//! carry for it: a version is told to those whom it names and to those whom it takes out, with all versions before it.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::document::{Charter, DocumentError, Form, Roster, Signed};
use tocsin_record::{CircleId, DocHash, MeshId, OrgId, planted};

use super::{
    CIRCLES_MAX, CIRCLES_PER_ORG, InForce, ROSTERS_OF_ORG_MAX, TakeError, Taken, known_or_rival, signed_len,
};

/// Steward keys with the org that certifies each, and whether it does so still.
pub(super) type Stewards = BTreeMap<[u8; 32], Steward>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Steward {
    pub org: OrgId,
    pub is_certified: bool,
}

/// All versions of one circle's roster, from the first. Never empty.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    versions: Vec<InForce<Roster>>,
    /// Whose signature began it, and whose was the last: whom it is charged to. `None` where no org certifies it any more.
    founder: Option<OrgId>,
    last_signer: Option<OrgId>,
}

impl Chain {
    fn last(&self) -> &InForce<Roster> {
        // A chain begins with its first version, and none is ever taken out.
        &self.versions[self.versions.len() - 1]
    }

    pub fn newest(&self) -> &Roster {
        &self.last().document
    }

    pub fn newest_hash(&self) -> DocHash {
        self.last().hash
    }

    pub fn first(&self) -> &Signed {
        &self.versions[0].signed
    }

    /// A version, counted from 1.
    pub fn version(&self, version: u32) -> Option<&Roster> {
        self.versions.get((version as usize).checked_sub(1)?).map(|known| &known.document)
    }

    pub fn founder(&self) -> Option<OrgId> {
        self.founder
    }

    /// The signed versions from the first up to one, counted from 1.
    pub fn signed_up_to(&self, version: u32) -> Vec<Signed> {
        self.versions.iter().take(version as usize).map(|version| version.signed.clone()).collect()
    }

    fn bytes(&self) -> usize {
        self.versions.iter().map(|version| signed_len(&version.signed)).sum()
    }

    /// So many versions from the first.
    fn told(&self, count: usize) -> impl Iterator<Item = (&Signed, DocHash)> {
        self.versions.iter().take(count).map(|version| (&version.signed, version.hash))
    }

    /// How many versions, from the first, an org may know of: up to the last that names it or takes it out.
    fn told_to(&self, org: OrgId) -> usize {
        if planted::is(planted::Bug::TellRosters) {
            return self.versions.len();
        }
        let last = self.versions.iter().rposition(|version| version.document.carries(org));
        last.map_or(0, |last| (last + 2).min(self.versions.len()))
    }
}

/// Whom a document may be told to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Audience<'a> {
    /// All of the mesh.
    All,
    /// Those that a version of a roster, counted from 0, concerns.
    Circle { chain: &'a Chain, version: usize },
    /// It is not in force.
    Nobody,
}

impl<'a> Audience<'a> {
    /// The versions before it, for an org that comes to know of the circle by this one.
    pub fn history(&self, org: OrgId) -> impl Iterator<Item = &'a Signed> + use<'a> {
        let before = match self {
            Self::Circle { chain, version } => {
                let carries = |at: usize| chain.versions[at].document.carries(org);
                let comes_in = *version > 0 && carries(*version) && !carries(*version - 1);
                if comes_in { &chain.versions[..*version] } else { &[] }
            }
            Self::All | Self::Nobody => &[],
        };
        before.iter().map(|version| &version.signed)
    }

    pub fn has(&self, org: OrgId) -> bool {
        match self {
            Self::All => true,
            Self::Circle { chain, version } => chain.told_to(org) > *version,
            Self::Nobody => false,
        }
    }
}

/// The circles of one mesh that have rosters.
#[derive(Clone, Debug, Default)]
pub(super) struct Circles {
    chains: BTreeMap<CircleId, Chain>,
    /// Bytes of the rosters that each org signed.
    signed_by: BTreeMap<OrgId, usize>,
}

impl Circles {
    /// Takes a roster: the first of a circle, or the next of one that is known.
    ///
    /// # Errors
    /// [`TakeError`]; nothing changed.
    pub fn take(&mut self, signed: &Signed, check: &Check<'_>) -> Result<Taken, TakeError> {
        let roster: Roster = signed.read()?;
        if roster.version == 1 {
            self.begin(signed, &roster, check)
        } else {
            self.go_on(signed, &roster, check)
        }
    }

    fn begin(&mut self, signed: &Signed, roster: &Roster, check: &Check<'_>) -> Result<Taken, TakeError> {
        let is_certified = |key| check.stewards.get(key).is_some_and(|steward| steward.is_certified);
        if check.is_new && !roster.stewards.iter().all(is_certified) {
            return Err(TakeError::Stranger);
        }
        let (circle, roster) = Roster::open(check.charter.0, signed)?;
        if self.chains.contains_key(&circle) {
            return Ok(Taken::Known);
        }
        let founder = signer(&roster, signed, check.stewards);
        if check.is_new && founder.is_none() {
            return Err(TakeError::Stranger);
        }
        // Those whose founders are not known any more are not one org's.
        let begun = self.chains.values().filter(|chain| founder.is_some() && chain.founder == founder);
        let (circles, bytes) = begun.fold((0, 0), |(count, bytes), chain| (count + 1, bytes + chain.bytes()));
        if self.chains.len() >= CIRCLES_MAX || circles >= CIRCLES_PER_ORG {
            return Err(TakeError::TooMany("circles"));
        }
        if bytes + signed_len(signed) > ROSTERS_OF_ORG_MAX {
            return Err(TakeError::TooMany("bytes of rosters of one org"));
        }
        check.consent(None, &roster, signed)?;
        self.spend(founder, signed)?;
        let chain = Chain { versions: vec![InForce::new(roster, signed)], founder, last_signer: founder };
        self.chains.insert(circle, chain);
        Ok(Taken::New)
    }

    fn go_on(&mut self, signed: &Signed, roster: &Roster, check: &Check<'_>) -> Result<Taken, TakeError> {
        let known = self.followed_by(roster).and_then(|circle| Some((circle, self.chains.get(&circle)?)));
        let Some((circle, chain)) = known else {
            let (known, found) = (0, roster.version);
            return Err(DocumentError::Follows { form: Form::Roster, known, found }.into());
        };
        if let Some(known) = chain.versions.get(roster.version as usize - 1) {
            return known_or_rival(&known.signed, signed, roster.version);
        }
        if chain.bytes() + signed_len(signed) > ROSTERS_OF_ORG_MAX {
            return Err(TakeError::TooMany("bytes of rosters of one org"));
        }
        let last = chain.last();
        let next = last.document.follow(&last.signed, signed)?;
        check.consent(Some(&last.document), &next, signed)?;
        let payer = signer(&next, signed, check.stewards).or(chain.last_signer);
        self.spend(payer, signed)?;
        if let Some(chain) = self.chains.get_mut(&circle) {
            chain.versions.push(InForce::new(next, signed));
            chain.last_signer = payer;
        }
        Ok(Taken::New)
    }

    /// Counts a roster for the org that signed it, which may sign so many bytes of them, in however many circles.
    fn spend(&mut self, org: Option<OrgId>, signed: &Signed) -> Result<(), TakeError> {
        let Some(org) = org else { return Ok(()) };
        let spent = self.signed_by.entry(org).or_default();
        if *spent + signed_len(signed) > ROSTERS_OF_ORG_MAX {
            return Err(TakeError::TooMany("bytes of rosters of one org"));
        }
        *spent += signed_len(signed);
        Ok(())
    }

    /// The circle that a roster of version 2 or later goes on with, by the version that it names: anybody can write what
    /// stands in a first roster.
    fn followed_by(&self, roster: &Roster) -> Option<CircleId> {
        let before = (roster.version as usize).checked_sub(2)?;
        let follows = |chain: &Chain| {
            chain.newest().nonce == roster.nonce
                && chain.versions.get(before).is_some_and(|known| known.hash == roster.prev)
        };
        self.chains.iter().find(|(_, chain)| follows(chain)).map(|(circle, _)| *circle)
    }

    /// The org that a roster is charged to once it is taken. One whose signers no org certifies is charged to the org that
    /// last signed for its circle.
    pub fn charged_to(&self, signed: &Signed, stewards: &Stewards) -> Option<OrgId> {
        let roster = signed.read::<Roster>().ok()?;
        signer(&roster, signed, stewards)
            .or_else(|| self.chains.get(&self.followed_by(&roster)?).and_then(|chain| chain.last_signer))
    }

    pub fn chain(&self, circle: CircleId) -> Option<&Chain> {
        self.chains.get(&circle)
    }

    /// The circle of a name that an org began.
    pub fn begun_by(&self, org: OrgId, name: &str) -> Option<CircleId> {
        let is_it = |chain: &Chain| chain.founder == Some(org) && chain.newest().name == name;
        self.chains.iter().find(|(_, chain)| is_it(chain)).map(|(circle, _)| *circle)
    }

    /// The newest roster of each, in order of circle.
    pub fn newest(&self) -> impl Iterator<Item = (CircleId, &Roster)> {
        self.chains.iter().map(|(circle, chain)| (*circle, chain.newest()))
    }

    /// All versions of all rosters with their hashes, in an order in which they can be taken.
    pub fn all(&self) -> impl Iterator<Item = (&Signed, DocHash)> {
        self.chains.values().flat_map(|chain| chain.told(chain.versions.len()))
    }

    /// Those that two orgs both may know of.
    pub fn told_to_both(&self, one: OrgId, other: OrgId) -> impl Iterator<Item = (&Signed, DocHash)> {
        self.chains.values().flat_map(move |chain| chain.told(chain.told_to(one).min(chain.told_to(other))))
    }

    /// Whom a version may be told to.
    pub fn audience(&self, hash: DocHash) -> Audience<'_> {
        let place = |chain: &Chain| chain.versions.iter().position(|version| version.hash == hash);
        let found = self.chains.values().find_map(|chain| Some((chain, place(chain)?)));
        found.map_or(Audience::Nobody, |(chain, version)| Audience::Circle { chain, version })
    }

    /// Bytes of all versions of all rosters.
    pub fn bytes(&self) -> usize {
        self.chains.values().map(Chain::bytes).sum()
    }
}

/// The org whose steward signed a roster: of several, that of the least key. Who is only named in it did nothing.
pub(super) fn signer(roster: &Roster, signed: &Signed, stewards: &Stewards) -> Option<OrgId> {
    let signs = |key: &&[u8; 32]| signed.require(&BTreeSet::from([**key]), 1).is_ok();
    roster.stewards.iter().filter(signs).find_map(|key| stewards.get(key)).map(|steward| steward.org)
}

/// What a roster is held against.
pub(super) struct Check<'a> {
    pub charter: (MeshId, &'a Charter),
    pub stewards: &'a Stewards,
    /// What was in force here before was checked by the certificates of its time, of which some are gone.
    pub is_new: bool,
}

impl Check<'_> {
    /// Requires that each org of the charter which a version names, and the one before did not, has signed it.
    fn consent(&self, before: Option<&Roster>, next: &Roster, signed: &Signed) -> Result<(), TakeError> {
        let named = next.orgs.iter().chain(&next.carriers).filter(|_| self.is_new);
        let added = named.filter(|org| before.is_none_or(|before| !before.carries(**org)));
        for org in added.filter(|org| self.charter.1.org(**org).is_some()) {
            let of_org = |(key, steward): (&[u8; 32], &Steward)| (steward.org == *org).then_some(*key);
            let keys: BTreeSet<[u8; 32]> = self.stewards.iter().filter_map(of_org).collect();
            signed.require(&keys, 1).map_err(|_| TakeError::Unasked)?;
        }
        Ok(())
    }
}
