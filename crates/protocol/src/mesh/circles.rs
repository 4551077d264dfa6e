//! Circles and their changes: what this node's people ask for, proposals of others, and how a proposal comes into force.
//!
//! ```text
//! who proposes:   propose -> told to who is in and who is to come in      who agrees:  heard -> sign -> told back
//!                 all others signed -> sign -> in force -> a document, as any other
//! ```
//!
//! Who proposes signs last, and so never two versions of one number: where two orgs agree at the same time, the first makes the
//! next version, and the second is asked anew for the one after it, to which its node agrees by itself. Somebody who leaves
//! needs nobody's agreement: stewards' nodes sign that by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_record::document::{Carry, Cut, Roster, Signed, is_name};
use tocsin_record::{CircleId, DocHash, OrgId, codec};
use tocsin_store::{Kv, Slots, StoreError};

use crate::admission::By;
use crate::directory::{
    ChangeError, Directory, Given, Heard, OpenProposal, PROPOSALS_PER_ORG, ProposalKey, STANDS_MS,
};
use crate::io::{CircleRequest, Done, LinkId, Output, RequestError, Ticket};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::proposals::PROPOSALS_MAX;
use crate::message::{Change, Message, Proposal};

/// Most bytes of proposals in one message.
const MESSAGE_MAX: usize = 256 << 10;
/// Each link is told all proposals again after so long, in ms: what was dropped of a peer that could not pay is found then.
const AGAIN_MS: u64 = 600_000;
/// How often what follows from proposals is looked at in one commit: each version makes others stale.
const ROUNDS_MAX: usize = 2 * PROPOSALS_PER_ORG;

/// What is to be done about proposals with the next commit.
#[derive(Debug, Default)]
pub(crate) struct Proposing {
    /// Something is new: a proposal, a signature, a version.
    pub is_due: bool,
    /// Whom to tell of what: all but the link that it came by.
    told: BTreeMap<ProposalKey, Option<LinkId>>,
    /// When all is told again, by the monotonic clock.
    next: u64,
}

impl Proposing {
    /// At a start: what was kept is looked at with the first commit.
    pub fn begin() -> Self {
        Self { is_due: true, ..Self::default() }
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// What this node's people ask about circles. `None` where it is answered when it is written.
    pub(crate) fn change_circles(
        &mut self,
        ticket: Ticket,
        request: CircleRequest,
        out: &mut Output,
    ) -> Result<Option<Result<Done, RequestError>>, StoreError> {
        let reading = self.admission.clock.reading();
        if !reading.is_trusted() {
            return Ok(Some(Err(RequestError::Clock(reading))));
        }
        let result = match request {
            CircleRequest::Create { nonce, name, carry, changes } => {
                self.create_circle(nonce, name, carry, &changes, out)?
            }
            CircleRequest::Change { circle, changes } => {
                for change in changes {
                    if let Err(refused) = self.propose(circle, change, None, out)? {
                        return Ok(Some(Err(refused)));
                    }
                }
                Ok(Done::default())
            }
            CircleRequest::Rename { circle, name } => match check_name(&name) {
                Err(refused) => Err(refused),
                Ok(()) => self.propose(circle, Change::Rename, Some(name), out)?.map(|()| Done::default()),
            },
            CircleRequest::Accept { key, roster } => self.accept(key, roster, out)?,
            CircleRequest::OpenHistory { circle, org, since } => {
                let by = By { directory: &self.directory, now: self.now };
                return Ok(self.admission.open_history(&by, ticket, circle, org, since)?.err().map(Err));
            }
            CircleRequest::Decline { circle } => {
                let own = self.org();
                if Arc::make_mut(&mut self.directory).decline(circle, own) {
                    // What was said is kept with the commit.
                    self.proposing.is_due = true;
                    Ok(Done::default())
                } else {
                    Err(RequestError::Circle("nothing there invites this org".into()))
                }
            }
        };
        Ok(Some(result))
    }

    fn create_circle(
        &mut self,
        nonce: [u8; 32],
        name: String,
        carry: Carry,
        changes: &[Change],
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let own = self.org();
        if let Err(refused) = check_name(&name) {
            return Ok(Err(refused));
        }
        if self.directory.begun_by(own, &name).is_some() {
            return Ok(Err(RequestError::Circle(format!(
                "this org began a circle `{name}` before: choose another name, by which people can tell them apart"
            ))));
        }
        if changes.len() > PROPOSALS_PER_ORG {
            return Ok(Err(too_many()));
        }
        let roster = Roster {
            mesh: self.mesh(),
            version: 1,
            prev: DocHash::ZERO,
            nonce,
            name,
            time: self.now.wall,
            expires: 0,
            carry,
            orgs: vec![own],
            carriers: Vec::new(),
            stewards: vec![self.node().0],
            cuts: Vec::new(),
            extension: Vec::new(),
        };
        let signed = Signed::sign(&roster, &[&self.admission.identity.secret]);
        let circle = CircleId(signed.hash().0);
        // What is invited is looked at before anything is there.
        for change in changes {
            if let Some(org) = change.adds()
                && let Err(error) = self.directory.can_come_in(org, carry, *change)
            {
                return Ok(Err(refused(&error)));
            }
        }
        let (new, error) = self.take_documents(&[signed], None, true, out)?;
        if new == 0 {
            let why = error.unwrap_or_else(|| "the roster is here already".into());
            return Ok(Err(RequestError::Document(why)));
        }
        for change in changes {
            if let Err(refused) = self.propose(circle, *change, None, out)? {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(Done { documents: new, ..Done::default() }))
    }

    /// Proposes a change of a circle, which takes force at once where nobody else has to sign.
    fn propose(
        &mut self,
        circle: CircleId,
        change: Change,
        name: Option<String>,
        out: &mut Output,
    ) -> Result<Result<(), RequestError>, StoreError> {
        let own = self.org();
        let key = ProposalKey { circle, by: own, change };
        if let Change::Remove(org) = change
            && self.withdraw(circle, org)
            && !self.directory.membership(circle).carries(org)
        {
            return Ok(Ok(()));
        }
        if let Change::Leave(_) = change {
            Arc::make_mut(&mut self.directory).disagree(circle);
        }
        let standing = self.directory.proposal(&key);
        let newest = self.directory.membership(circle).newest_hash();
        let is_known = standing.is_some_and(|open| {
            Some(open.roster.prev) == newest && name.as_ref().is_none_or(|name| open.roster.name == *name)
        });
        if is_known {
            self.tell_proposal(key, None);
            return Ok(Ok(()));
        }
        let before = self.directory.membership(circle).version();
        if let Err(error) = self.put_own(circle, change, name)? {
            return Ok(Err(error));
        }
        self.follow_proposals(out)?;
        let Some(open) = self.directory.proposal(&key) else { return Ok(Ok(())) };
        if change == Change::Leave(own) {
            self.membership_changed(out);
            return Ok(Ok(()));
        }
        if self.directory.awaited(&key, open).is_empty()
            && self.directory.membership(circle).version() == before
        {
            Arc::make_mut(&mut self.directory).drop_proposal(&key);
            return Ok(Err(RequestError::Circle(
                "the change was not made: this node signed another one of the same version, which waits for others".into(),
            )));
        }
        Ok(Ok(()))
    }

    /// Takes back what this node proposed to bring an org in. True if there was something.
    fn withdraw(&mut self, circle: CircleId, org: OrgId) -> bool {
        let own = self.org();
        let all = [Change::Member(org), Change::Steward(org), Change::Carrier(org)];
        let mut any = false;
        for change in all {
            let key = ProposalKey { circle, by: own, change };
            if self.directory.proposal(&key).is_some() {
                Arc::make_mut(&mut self.directory).drop_proposal(&key);
                any = true;
            }
        }
        any
    }

    /// Puts a proposal of this node in the place of the one before it.
    fn put_own(
        &mut self,
        circle: CircleId,
        change: Change,
        name: Option<String>,
    ) -> Result<Result<(), RequestError>, StoreError> {
        let own = self.org();
        let secret = &self.admission.identity.secret;
        let members = self.directory.membership(circle);
        let leaves = change == Change::Leave(own);
        let Some((roster, first)) = members.roster().zip(members.first()) else {
            return Ok(Err(refused(&ChangeError::Unknown)));
        };
        if !leaves && roster.stewards.binary_search(&secret.public()).is_err() {
            return Ok(Err(self.no_steward(roster)));
        }
        let time = self.admission.clock.time(self.now);
        let given = Given { name, cuts: self.cuts_after(circle, roster, change), time };
        let next = match self.directory.next_roster(circle, change, given) {
            Ok(next) => next,
            Err(error) => return Ok(Err(refused(&error))),
        };
        let signers: &[_] = if leaves { &[secret] } else { &[] };
        let signed = Signed::sign(&next, signers);
        let proposal = Proposal::sign(self.mesh(), change, first.clone(), signed, time, secret);
        match self.directory.hear_proposal(&proposal, own, time.saturating_add(STANDS_MS)) {
            Ok(Heard::Old) => return Ok(Ok(())),
            Ok(heard) => {
                let put = Arc::make_mut(&mut self.directory).put_proposal(heard);
                if let Some(key) = put {
                    self.tell_proposal(key, None);
                }
            }
            Err(crate::directory::Unkept::TooMany) => return Ok(Err(too_many())),
            Err(error) => return Ok(Err(RequestError::Circle(error.to_string()))),
        }
        Ok(Ok(()))
    }

    fn no_steward(&self, roster: &Roster) -> RequestError {
        let signs = |org: &OrgId| {
            self.directory.steward_key(*org).is_some_and(|key| roster.stewards.binary_search(&key).is_ok())
        };
        let names = roster.orgs.iter().filter(|org| signs(org)).filter_map(|org| self.directory.org(*org));
        let names: Vec<&str> = names.map(|org| org.name.as_str()).collect();
        RequestError::Circle(format!(
            "this node is no steward of the circle, who alone change it: ask {}",
            if names.is_empty() { "those who began it".to_owned() } else { names.join(", ") }
        ))
    }

    /// Where logs are cut once a change is made: those of who is taken out at their newest record that is here, those of who
    /// comes in nowhere.
    fn cuts_after(&self, circle: CircleId, base: &Roster, change: Change) -> Vec<Cut> {
        let Some(org) = change.about() else { return base.cuts.clone() };
        let logs = self.admission.reader.logs();
        let of_org: Vec<_> =
            logs.iter().filter(|info| info.key.circle == circle && info.org == org).collect();
        let is_of_org = |cut: &&Cut| of_org.iter().any(|info| info.key.id() == cut.log);
        let mut cuts: Vec<Cut> = base.cuts.iter().filter(|cut| !is_of_org(cut)).copied().collect();
        if matches!(change, Change::Remove(_) | Change::Leave(_)) {
            let written = of_org.iter().filter(|info| info.tip.seq > 0);
            cuts.extend(written.map(|info| Cut { log: info.key.id(), seq: info.tip.seq, id: info.tip.id }));
        }
        cuts
    }

    /// This node's people agree to a proposal that they were shown.
    fn accept(
        &mut self,
        key: ProposalKey,
        roster: DocHash,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let Some(open) = self.directory.proposal(&key).filter(|open| open.proposal.roster.hash() == roster)
        else {
            let gone =
                "what was to be accepted changed meanwhile: look at it again, `tocsin circle show NAME`";
            return Ok(Err(RequestError::Circle(gone.into())));
        };
        if !self.may_agree(&key, open) {
            let other =
                "the proposal changes more than it says, or the circle changed since: it was not accepted";
            return Ok(Err(RequestError::Circle(other.into())));
        }
        let secret = &self.admission.identity.secret;
        let directory = Arc::make_mut(&mut self.directory);
        if !directory.sign_proposal(&key, secret) {
            let given = "this node signed another change of the same version, which waits for others: accept this one after it";
            return Ok(Err(RequestError::Circle(given.into())));
        }
        // Another name is another thing to agree to; who comes in or is taken out is the same whatever came between.
        if key.change != Change::Rename {
            let until = self.admission.clock.time(self.now).saturating_add(STANDS_MS);
            directory.agree(key, until);
        }
        self.tell_proposal(key, None);
        self.follow_proposals(out)?;
        Ok(Ok(Done::default()))
    }

    /// Whether a proposal is one to which this org can agree: to come in, or as a steward to what it says.
    fn may_agree(&self, key: &ProposalKey, open: &OpenProposal) -> bool {
        let own = self.org();
        if self.directory.membership(key.circle).lists(own) {
            self.directory.is_as_said(key, open)
        } else {
            key.change.adds() == Some(own)
        }
    }

    /// Proposals of a peer, or that it passes on.
    pub(crate) fn heard_proposals(&mut self, id: LinkId, proposals: &[Proposal], out: &mut Output) {
        if proposals.len() > PROPOSALS_MAX {
            self.close(id, "it sent too many proposals at once", out);
            return;
        }
        self.take_proposals(Some(id), proposals, out);
    }

    /// Proposals that a link or a bundle brought.
    pub(crate) fn take_proposals(&mut self, from: Option<LinkId>, proposals: &[Proposal], out: &mut Output) {
        let own = self.org();
        let until = self.admission.clock.time(self.now).saturating_add(STANDS_MS);
        for proposal in proposals {
            let signatures = proposal.roster.signatures.len() + proposal.first.signatures.len() + 1;
            // What is over the budget is told again.
            if !self.pays(cost::document(codec::size(proposal), signatures)) {
                return;
            }
            let circle = CircleId(proposal.first.hash().0);
            let key = ProposalKey { circle, by: own, change: proposal.change };
            // What this node does not stand by any more is nobody's to bring back.
            if proposal.by == self.node().0 && self.directory.proposal(&key).is_none() {
                continue;
            }
            let until = until.min(proposal.time.saturating_add(STANDS_MS));
            let Ok(heard) = self.directory.hear_proposal(proposal, own, until) else { continue };
            let by = match &heard {
                Heard::Old => continue,
                Heard::New(key, _) | Heard::Signatures(key, _) => key.by,
            };
            if by != own && !self.may_change(by) {
                continue;
            }
            let Some(key) = Arc::make_mut(&mut self.directory).put_proposal(heard) else { continue };
            self.changed_once(by);
            self.tell_proposal(key, from);
            if let Change::Leave(_) = key.change {
                self.membership_changed(out);
            }
        }
    }

    /// What follows from what is new of proposals and rosters, before a commit.
    pub(crate) fn follow_proposals(&mut self, out: &mut Output) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            if !std::mem::take(&mut self.proposing.is_due) {
                break;
            }
            self.settle_proposals();
            let keys: Vec<ProposalKey> = self.directory.proposals().map(|(key, _)| *key).collect();
            for key in keys {
                self.follow_proposal(&key, out)?;
            }
        }
        if self.directory.proposals_changed() {
            let kept = Arc::make_mut(&mut self.directory).changed_proposals();
            if let Some(bytes) = kept {
                self.admission.keep_proposals(bytes)?;
            }
        }
        self.tell_due();
        Ok(())
    }

    fn settle_proposals(&mut self) {
        let passed = self.admission.clock.passed(self.now);
        if self.directory.has_settled(passed) {
            Arc::make_mut(&mut self.directory).settle_proposals(passed);
        }
    }

    fn follow_proposal(&mut self, key: &ProposalKey, out: &mut Output) -> Result<(), StoreError> {
        let directory = Arc::clone(&self.directory);
        let Some(open) = directory.proposal(key) else { return Ok(()) };
        let own = self.org();
        let signer = self.admission.identity.secret.public();
        let is_mine = open.proposal.by == signer;
        let members = directory.membership(key.circle);
        let is_next = members.newest_hash() == Some(open.roster.prev);
        let steward = members.roster().is_some_and(|newest| newest.stewards.binary_search(&signer).is_ok());
        if is_mine && !is_next {
            // Another change came first. Who agreed to this one is asked for the next.
            if key.change.adds().is_none_or(|org| directory.has_signed(open, org)) {
                let name = (key.change == Change::Rename).then(|| open.roster.name.clone());
                drop(directory);
                if self.put_own(key.circle, key.change, name)?.is_err() {
                    Arc::make_mut(&mut self.directory).drop_proposal(key);
                }
            }
            return Ok(());
        }
        let has_signed = open.proposal.roster.signatures.iter().any(|(known, _)| *known == signer);
        let leaves = matches!(key.change, Change::Leave(org) if org != own);
        let agrees =
            directory.has_agreed(key) || (leaves && steward && is_next && directory.is_as_said(key, open));
        if !is_mine && !has_signed && agrees && self.may_agree(key, open) {
            drop(directory);
            let secret = &self.admission.identity.secret;
            if Arc::make_mut(&mut self.directory).sign_proposal(key, secret) {
                self.tell_proposal(*key, None);
            }
            return Ok(());
        }
        if is_next && (is_mine || (leaves && has_signed)) && directory.awaited(key, open).is_empty() {
            let mut signed = open.proposal.roster.clone();
            if directory.gave_another(key.circle, open.roster.version, signed.hash()) {
                return Ok(());
            }
            if is_mine {
                signed.add_signature(&self.admission.identity.secret);
            }
            drop(directory);
            self.take_documents(&[signed], None, true, out)?;
        }
        Ok(())
    }

    /// A proposal, or a signature of it, is new: it is looked at, and told with the commit.
    fn tell_proposal(&mut self, key: ProposalKey, from: Option<LinkId>) {
        self.proposing.is_due = true;
        let told = self.proposing.told.entry(key).or_insert(from);
        if *told != from {
            *told = None;
        }
    }

    fn tell_due(&mut self) {
        let told = std::mem::take(&mut self.proposing.told);
        if told.is_empty() {
            return;
        }
        let links: Vec<(LinkId, OrgId)> = self.links.peers().map(|(id, peer)| (id, peer.org)).collect();
        for (id, org) in links {
            let keys = told.iter().filter(|(_, from)| **from != Some(id)).map(|(key, _)| *key);
            let keys: Vec<ProposalKey> = keys.collect();
            self.say_proposals(id, org, |key| keys.contains(key));
        }
    }

    /// A link that is in hears all proposals that are its business.
    pub(crate) fn tell_all_proposals(&mut self, id: LinkId) {
        if let Some(peer) = self.links.peer(id) {
            self.say_proposals(id, peer.org, |_| true);
        }
    }

    fn say_proposals(&mut self, id: LinkId, org: OrgId, wanted: impl Fn(&ProposalKey) -> bool) {
        let directory: Arc<Directory> = Arc::clone(&self.directory);
        let mut some: Vec<Proposal> = Vec::new();
        let mut bytes = 0;
        for (key, open) in directory.proposals() {
            if !wanted(key) || !directory.concerns(key, open, org) {
                continue;
            }
            let len = codec::size(&open.proposal);
            if some.len() == PROPOSALS_MAX || (!some.is_empty() && bytes + len > MESSAGE_MAX) {
                self.tell(id, Message::Proposals(std::mem::take(&mut some)));
                bytes = 0;
            }
            bytes += len;
            some.push(open.proposal.clone());
        }
        if !some.is_empty() {
            self.tell(id, Message::Proposals(some));
        }
    }

    /// Each minute: what lapsed is over, and now and then all is told again.
    pub(crate) fn look_at_proposals(&mut self) {
        if self.directory.proposals().next().is_none() {
            return;
        }
        self.proposing.is_due = true;
        if self.now.mono >= self.proposing.next {
            self.proposing.next = self.now.mono + AGAIN_MS;
            let links: Vec<LinkId> = self.links.peers().map(|(id, _)| id).collect();
            for id in links {
                self.tell_all_proposals(id);
            }
        }
    }
}

fn refused(error: &ChangeError) -> RequestError {
    RequestError::Circle(error.to_string())
}

fn too_many() -> RequestError {
    RequestError::Circle(format!(
        "over {PROPOSALS_PER_ORG} changes of this org wait for others to agree: take some back, `tocsin circle remove \
         NAME ORG`, or wait"
    ))
}

/// Whether a circle can have a name: by it people tell it apart from all others, also from those without a roster.
fn check_name(name: &str) -> Result<(), RequestError> {
    let is_id = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_name(name) && !matches!(name, "own" | "mesh") && !is_id {
        return Ok(());
    }
    Err(RequestError::Circle(
        "a circle is named by 1 to 64 of a-z 0-9 . - beginning with a letter or digit, and not own or mesh"
            .into(),
    ))
}
