//! `bundle`: what partners have for each other, carried by hand. Files are opened, read and verified beside the core, which judges,
//! piece by piece, what goes into one and what comes out of one, as it does on a link.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_api::types::{BundleApplied, BundleMade, BundleRequest, FRONTIERS_MAX, KeptBack, Time};
use tocsin_bundle::{
    Bundle, BundleError, Content, Cover, FILE_MAX, Fork, Frontier, Late, MISSING_MAX, Packed, Reached,
    Records, Said, open, seal,
};
use tocsin_clock as clock;
use tocsin_home::HomeError;
use tocsin_home::keys::fresh_seed;
use tocsin_home::room::Room;
use tocsin_protocol::message::{LogState, Proposal, Receipt};
use tocsin_protocol::{BundlePart, BundleRequest as CoreRequest, Directory, Done, Given, Input};
use tocsin_record::document::Signed;
use tocsin_record::{Bytes, DocHash, LogKey, NodeKey, OrgId, Verified, codec, page};
use tocsin_seal::SealingKey;
use tocsin_store::{LogNo, RecordRef};

use super::circles::org_named;
use super::{Caller, Node, NodeError, blocking};

/// Bytes that the core reads for a bundle, or takes of one, at once: a few milliseconds.
const PIECE: usize = 1 << 20;
/// Bodies of at most 1 MiB that it reads at once.
const BODIES_AT_ONCE: usize = 8;
/// Receipts that it takes at once.
const RECEIPTS_AT_ONCE: usize = 256;
/// What the form adds to each run and each body, in bytes, and more.
const AROUND: usize = 160;
/// Least that a bundle may have, in bytes: what is one run may be more.
const LEAST: usize = 1 << 20;
/// What a decoded proposal or receipt may take in memory, in bytes.
const LIMIT: usize = 4 << 20;

/// For whom a file is made.
struct Recipients {
    orgs: Vec<OrgId>,
    nodes: BTreeMap<NodeKey, tocsin_seal::SealingPublic>,
}

/// A log of which something is to go into a bundle.
struct Due {
    no: LogNo,
    log: LogKey,
    height: u64,
    /// From this record on.
    from: u64,
    /// Records before that whose bodies are missing there.
    missing: Vec<u64>,
    /// Whether they do not know that it forked, and may learn it.
    fork: bool,
}

impl Node {
    /// The file with what this node has for an org or a circle's members, and what is in it.
    ///
    /// # Errors
    /// When there is no such org or circle, or what they are said to have cannot be read or is not theirs.
    pub async fn make_bundle(
        self: &Arc<Self>,
        caller: &Caller,
        request: BundleRequest,
    ) -> Result<(BundleMade, Vec<u8>), NodeError> {
        if request.have.len() > FRONTIERS_MAX {
            return Err(NodeError::Request(format!("give at most {FRONTIERS_MAX} frontiers at once")));
        }
        let most = if request.most == 0 { FILE_MAX } else { request.most as usize };
        if !(LEAST..=FILE_MAX).contains(&most) {
            return Err(NodeError::Request(format!(
                "a bundle has at least {} and at most {} MiB",
                LEAST >> 20,
                FILE_MAX >> 20
            )));
        }
        let directory = self.engine.directory();
        let to = self.recipients(&directory, &request.to)?;
        let orgs = to.orgs.clone();
        let frontiers = self.apart(move |node| node.read_frontiers(&orgs, &request.have)).await?;
        let mut made = self.made(&directory, &to);
        if !frontiers.is_empty() {
            let known: BTreeSet<OrgId> = frontiers.iter().map(|(org, _)| *org).collect();
            let unknown = to.orgs.iter().filter(|org| !known.contains(org));
            made.unknown = unknown.map(|org| self.org_name(&directory, *org)).collect();
        }
        // Of whom nothing is known, nothing is there.
        let all_known = made.unknown.is_empty();
        let frontiers: Vec<Frontier> = frontiers.into_iter().map(|(_, frontier)| frontier).collect();
        let frontiers = if all_known { frontiers } else { Vec::new() };

        let mut records =
            Records { documents: self.documents_for(&directory, &to.orgs, &frontiers), ..Records::default() };
        let due = self.due(&to.orgs, frontiers).await?;
        let most = most.saturating_sub(tocsin_bundle::around(to.nodes.len()));
        self.fill(&to.orgs, due, most, &mut records, &mut made).await?;
        made.documents = records.documents.len() as u64;
        made.left = records.left;
        let bundle = Bundle { cover: self.cover(&directory, to.orgs)?, content: Content::Records(records) };
        let file = self.sealed(bundle, to.nodes).await?;
        caller.note_deed("bundle create", &[]);
        Ok((made, file))
    }

    /// The file that says how far this node has what it shares with an org or a circle's members.
    ///
    /// # Errors
    /// When there is no such org or circle.
    pub async fn make_frontier(
        self: &Arc<Self>,
        caller: &Caller,
        to: &str,
    ) -> Result<(BundleMade, Vec<u8>), NodeError> {
        let directory = self.engine.directory();
        let to = self.recipients(&directory, to)?;
        let orgs = to.orgs.clone();
        let reached = self.engine.core.look(move |mesh| mesh.frontier_with(&orgs, MISSING_MAX)).await?;
        let documents = directory.told_to_all(self.engine.org(), &to.orgs);
        let documents: BTreeSet<_> = documents.into_iter().map(|(_, hash)| hash).collect();
        let mut made = self.made(&directory, &to);
        made.documents = documents.len() as u64;
        made.logs = reached.len() as u64;
        made.records = reached.iter().map(|one| one.height).sum();
        let logs = reached.into_iter().map(|one| Reached {
            log: one.log,
            height: one.height,
            id: one.id,
            state: one.state as u8,
            missing: one.missing,
        });
        let frontier = Frontier {
            charter: directory.charter_behind().version,
            revocations: directory.revocations_behind().version,
            documents: documents.into_iter().collect(),
            logs: logs.collect(),
        };
        let bundle = Bundle { cover: self.cover(&directory, to.orgs)?, content: Content::Frontier(frontier) };
        let file = self.sealed(bundle, to.nodes).await?;
        caller.note_deed("bundle frontier", &[]);
        Ok((made, file))
    }

    /// Takes a bundle: all of it is read and verified before the core hears of any, which then takes it as it would by a link.
    ///
    /// # Errors
    /// When it is no bundle for this node, something in it does not hold, or who made it is not one of the mesh: nothing is
    /// changed then.
    pub async fn apply_bundle(
        self: &Arc<Self>,
        caller: &Caller,
        file: Bytes,
    ) -> Result<BundleApplied, NodeError> {
        // Where the system tells no room, the store finds out.
        Room::of(self.engine.home.path()).map_or(Ok(()), Room::for_new)?;
        let bundle = self.apart(move |node| node.open_file(&file)).await?;
        let (maker, org) = bundle.cover.maker().map_err(refused)?;
        let directory = self.engine.directory();
        if maker == self.engine.identity.node() {
            return Err(NodeError::Request("this node made the bundle itself: it is for others".to_owned()));
        }
        let Bundle { cover, content } = bundle;
        let Content::Records(records) = content else {
            let word = directory.org(org).map_or("ORG", |entry| entry.name.as_str());
            return Err(NodeError::Request(format!(
                "it says what {word} has, and brings nothing: give it to `tocsin bundle create FILE --for {word} --have`"
            )));
        };
        let records = blocking(move || verify(&records).map(|()| records)).await?;
        let mut applied = BundleApplied { time: Time(cover.time), left: records.left, ..Default::default() };
        self.take(maker, cover.certificate, records, &mut applied).await?;
        let directory = self.engine.directory();
        applied.org = self.org_name(&directory, org);
        applied.node = self.node_name(&directory, maker);
        caller.note_deed("bundle apply", &[]);
        Ok(applied)
    }

    fn made(&self, directory: &Directory, to: &Recipients) -> BundleMade {
        BundleMade {
            to: to.orgs.iter().map(|org| self.org_name(directory, *org)).collect(),
            nodes: to.nodes.len() as u64,
            ..BundleMade::default()
        }
    }

    fn cover(&self, directory: &Directory, to: Vec<OrgId>) -> Result<Cover, NodeError> {
        let certificate = directory.signed_certificate(self.engine.identity.node()).cloned();
        let certificate = certificate.ok_or_else(|| {
            NodeError::Request(
                "this node is not certified in the mesh any more: nobody would take it".to_owned(),
            )
        })?;
        Ok(Cover { mesh: self.engine.mesh_id, certificate, time: clock::now_ms(), to })
    }

    async fn sealed(
        self: &Arc<Self>,
        bundle: Bundle,
        nodes: BTreeMap<NodeKey, tocsin_seal::SealingPublic>,
    ) -> Result<Vec<u8>, NodeError> {
        self.apart(move |node| {
            let mut random = ChaCha20Rng::from_seed(*fresh_seed().map_err(HomeError::from)?);
            seal(&bundle, &node.engine.identity.record, &nodes, &mut random).map_err(refused)
        })
        .await
    }

    /// The orgs that a word means, but this one's other nodes where it does not name this org alone.
    fn recipients(&self, directory: &Directory, word: &str) -> Result<Recipients, NodeError> {
        let own = self.engine.org();
        let org = org_named(directory, word).ok();
        let circle = self.circle(word);
        let mut orgs: Vec<OrgId> = match (org, circle) {
            (Some(_), Ok(_)) => {
                return Err(NodeError::Request(format!(
                    "`{}` is an org and a circle: say the circle with its founder, NAME@ORG, or by its id, or the org by \
                     its key",
                    tocsin_text::cut(word, 80)
                )));
            }
            (Some(org), Err(_)) => vec![org],
            (None, Ok(circle)) => {
                let members = directory.membership(circle);
                if !members.carries(own) {
                    return Err(NodeError::Request(format!(
                        "this org is not in {}, so it has nothing for its members",
                        self.circle_name(circle)
                    )));
                }
                let only = members.size() == 1;
                members.members().filter(|org| *org != own || only).collect()
            }
            (None, Err(_)) => {
                return Err(NodeError::Request(format!(
                    "there is no org or circle `{}`: `tocsin mesh show` and `tocsin circle list` have them",
                    tocsin_text::cut(word, 80)
                )));
            }
        };
        orgs.sort_unstable();
        orgs.dedup();
        if orgs.is_empty() {
            return Err(NodeError::Request("there is no other org in it".to_owned()));
        }
        let mut nodes = directory.sealed_to_orgs(&orgs);
        nodes.remove(&self.engine.identity.node());
        if nodes.is_empty() {
            return Err(NodeError::Request(
                "no other node that it would be for is known here: its org has to join the mesh first"
                    .to_owned(),
            ));
        }
        Ok(Recipients { orgs, nodes })
    }

    /// Opens a file that is for this node.
    fn open_file(&self, file: &[u8]) -> Result<Bundle, NodeError> {
        let key = SealingKey::from_seed(&self.engine.identity.sealing);
        let bundle = open(file, self.engine.mesh_id, &self.engine.identity.node(), &key).map_err(refused)?;
        if !bundle.cover.to.contains(&self.engine.org()) {
            return Err(NodeError::Request("it is for another org, by the word of who made it".to_owned()));
        }
        Ok(bundle)
    }

    /// What orgs say to have, by their own nodes.
    fn read_frontiers(&self, to: &[OrgId], have: &[Vec<u8>]) -> Result<Vec<(OrgId, Frontier)>, NodeError> {
        let directory = self.engine.directory();
        let mut frontiers = Vec::new();
        for (at, file) in (1..).zip(have) {
            let of_file = |error: &dyn std::fmt::Display| {
                NodeError::Request(format!("what they have (--have, file {at}): {error}"))
            };
            let bundle = self.open_file(file).map_err(|error| of_file(&error))?;
            let (maker, org) = bundle.cover.maker().map_err(|error| of_file(&error))?;
            // A certificate that is not here yet is as good; one that was revoked is not.
            let is_out = directory.org(org).is_none() || directory.is_revoked(org, maker);
            if is_out {
                return Err(of_file(&"the node that made it is not one of the mesh"));
            }
            if !to.contains(&org) {
                let name = self.org_name(&directory, org);
                return Err(of_file(&format!("it is of {name}, for whom the bundle is not")));
            }
            match bundle.content {
                Content::Frontier(frontier) => frontiers.push((org, frontier)),
                Content::Records(_) => {
                    return Err(of_file(&"it is a bundle: `tocsin bundle frontier` writes what a node has"));
                }
            }
        }
        Ok(frontiers)
    }

    /// Documents that some of them lack, in an order in which they can be taken.
    fn documents_for(&self, directory: &Directory, to: &[OrgId], frontiers: &[Frontier]) -> Vec<Signed> {
        let least = |version: fn(&Frontier) -> u32| frontiers.iter().map(version).min().unwrap_or(0);
        let mut documents = directory.after(least(|one| one.charter), least(|one| one.revocations));
        let has = |frontier: &Frontier, hash: &DocHash| frontier.documents.binary_search(hash).is_ok();
        let lacking = directory.told_to_all(self.engine.org(), to).into_iter().filter(|(_, hash)| {
            frontiers.is_empty() || frontiers.iter().any(|frontier| !has(frontier, hash))
        });
        documents.extend(lacking.map(|(signed, _)| signed.clone()));
        documents
    }

    /// What of each log that they share they lack.
    async fn due(self: &Arc<Self>, to: &[OrgId], frontiers: Vec<Frontier>) -> Result<Vec<Due>, NodeError> {
        let orgs = to.to_vec();
        let mine = self.engine.core.look(move |mesh| mesh.frontier_with(&orgs, 0)).await?;
        self.apart(move |node| {
            let mut due = Vec::new();
            for one in mine {
                due.extend(node.due_of(one, &frontiers)?);
            }
            // What this org says itself comes first, should there not be room for all.
            let own: BTreeSet<NodeKey> =
                node.engine.directory().nodes_of(node.engine.org()).map(|(node, _)| node).collect();
            due.sort_by_key(|one: &Due| (!own.contains(&one.log.author), one.log));
            Ok(due)
        })
        .await
    }

    fn due_of(
        &self,
        mine: tocsin_protocol::Reached,
        frontiers: &[Frontier],
    ) -> Result<Option<Due>, NodeError> {
        let mut due = Due {
            no: mine.no,
            log: mine.log,
            height: mine.height,
            from: mine.base + 1,
            missing: Vec::new(),
            fork: mine.state == LogState::Forked,
        };
        if frontiers.is_empty() {
            return Ok(Some(due));
        }
        let (mut from, mut missing, mut knows) = (mine.height + 1, BTreeSet::new(), true);
        for frontier in frontiers {
            let theirs = frontier.logs.binary_search_by_key(&mine.log, |theirs| theirs.log);
            let Some(theirs) = theirs.ok().and_then(|at| frontier.logs.get(at)) else {
                (from, knows) = (due.from, false);
                continue;
            };
            let is_forked = theirs.state == LogState::Forked as u8 && theirs.height <= mine.height;
            knows &= is_forked;
            let other = theirs.state == LogState::Open as u8
                && mine.state == LogState::Open
                && self.says_other(&mine, theirs)?;
            // Where the two hold other things of one log, that is in the run in which they part.
            from = from.min(if other { due.from } else { theirs.height + 1 });
            missing.extend(theirs.missing.iter().copied().filter(|seq| *seq <= mine.height));
        }
        due.from = from;
        due.fork &= !knows;
        due.missing = missing.into_iter().filter(|seq| *seq < from).collect();
        let any = due.from <= due.height || !due.missing.is_empty() || due.fork;
        Ok(any.then_some(due))
    }

    /// Whether they hold another record than this node where both hold one.
    fn says_other(&self, mine: &tocsin_protocol::Reached, theirs: &Reached) -> Result<bool, NodeError> {
        if theirs.height > mine.height || theirs.height <= mine.base {
            return Ok(false);
        }
        if theirs.height == mine.height {
            return Ok(theirs.id != mine.id);
        }
        let place = RecordRef { log: mine.no, seq: theirs.height };
        let ids = self.engine.reader.ids(vec![place])?;
        Ok(ids.first().is_some_and(|(_, id)| *id != theirs.id))
    }

    /// Fills a bundle, up to so many bytes. What does not fit is counted.
    async fn fill(
        self: &Arc<Self>,
        to: &[OrgId],
        due: Vec<Due>,
        most: usize,
        records: &mut Records,
        made: &mut BundleMade,
    ) -> Result<(), NodeError> {
        let orgs = to.to_vec();
        let (proposals, receipts) = {
            let look = move |mesh: &tocsin_engine::core::Mesh| {
                (mesh.proposals_with(&orgs), mesh.receipts_with(&orgs))
            };
            self.engine.core.look(look).await?
        };
        records.proposals = proposals.iter().map(codec::encode).collect();
        let said = |(log, receipt)| Said { log, receipt: codec::encode(&receipt) };
        records.receipts = receipts.into_iter().map(said).collect();

        let room = most.saturating_sub(codec::size(&*records));
        let mut filled = Filled { room, is_full: room == 0, withheld: BTreeMap::new() };
        for log in due {
            let was = (records.runs.len(), records.bodies.len(), records.forks.len());
            if log.fork {
                let no = log.no;
                let proof = self.engine.core.look(move |mesh| mesh.fork_proof(no)).await??;
                if let Some(pages) = proof.filter(|pages| filled.takes(pages.iter().map(Vec::len).sum())) {
                    records.forks.push(Fork { log: log.log, pages });
                }
            }
            for some in log.missing.chunks(BODIES_AT_ONCE) {
                if filled.is_full {
                    records.left += some.len() as u64;
                    continue;
                }
                let places = some.iter().map(|seq| RecordRef { log: log.no, seq: *seq }).collect();
                let given = self.give(CoreRequest::GiveBodies { to: to.to_vec(), places }).await?;
                filled.put_bodies(log.log, given.bodies, records, made);
                filled.kept_back(given.withheld);
            }
            let mut next = log.from;
            while next <= log.height && !filled.is_full {
                let most = PIECE.min(filled.room);
                let request = CoreRequest::Give { to: to.to_vec(), log: log.no, from: next, most };
                let given = self.give(request).await?;
                if given.runs.is_empty() {
                    break;
                }
                for run in given.runs {
                    // What stands behind one that is left out would only be a gap.
                    if !filled.takes(run.page.len()) {
                        break;
                    }
                    records.runs.push(Packed { log: log.log, page: run.page.to_vec() });
                    made.records += (run.last + 1).saturating_sub(next);
                    made.bodies += run.in_page;
                    next = run.last + 1;
                    filled.put_bodies(log.log, run.bodies, records, made);
                }
                filled.kept_back(given.withheld);
            }
            records.left += (log.height + 1).saturating_sub(next);
            let now = (records.runs.len(), records.bodies.len(), records.forks.len());
            made.logs += u64::from(was != now);
        }
        let kept = |(rule, bodies)| KeptBack { rule, bodies };
        made.withheld = filled.withheld.into_iter().map(kept).collect();
        Ok(())
    }

    async fn give(&self, request: CoreRequest) -> Result<Given, NodeError> {
        Ok(self.engine.core.ask(move |ticket| Input::Bundle { ticket, request }).await?.given)
    }

    async fn take_part(&self, from: NodeKey, part: BundlePart) -> Result<Done, NodeError> {
        let request = CoreRequest::Take { from, part };
        Ok(self.engine.core.ask(move |ticket| Input::Bundle { ticket, request }).await?)
    }

    /// Hands the core what was verified, piece by piece.
    async fn take(
        self: &Arc<Self>,
        maker: NodeKey,
        certificate: Signed,
        records: Records,
        applied: &mut BundleApplied,
    ) -> Result<(), NodeError> {
        let Records { mut documents, proposals, forks, runs, bodies, receipts, left: _ } = records;
        documents.push(certificate);
        let proposals = proposals.iter().map(|bytes| proposal(bytes)).collect::<Result<_, _>>()?;
        let done = self.take_part(maker, BundlePart::Documents { documents, proposals }).await?;
        applied.documents = done.documents as u64;
        for fork in forks {
            let branches = blocking(move || branches(&fork)).await?;
            self.take_part(maker, BundlePart::Fork(Box::new(branches))).await?;
        }
        for some in pieces(runs, |run| run.page.len()) {
            let some =
                blocking(move || some.into_iter().map(verified).collect::<Result<Vec<_>, _>>()).await?;
            applied.count(&self.take_part(maker, BundlePart::Runs(some)).await?);
        }
        for some in pieces(bodies, |late| late.body.len()) {
            let some = some.into_iter().map(|late| (late.log, late.seq, Bytes::from(late.body))).collect();
            applied.count(&self.take_part(maker, BundlePart::Bodies(some)).await?);
        }
        for some in receipts.chunks(RECEIPTS_AT_ONCE) {
            let some = some.iter().map(receipt).collect::<Result<_, _>>()?;
            self.take_part(maker, BundlePart::Receipts(some)).await?;
        }
        Ok(())
    }
}

/// Counts what a part brought.
trait Count {
    fn count(&mut self, done: &Done);
}

impl Count for BundleApplied {
    fn count(&mut self, done: &Done) {
        self.records += done.brought.records;
        self.bodies += done.brought.bodies;
        self.behind += done.brought.behind;
        self.refused += done.brought.refused;
    }
}

/// What is left of the room in a bundle, and what was kept back.
struct Filled {
    room: usize,
    /// Something did not fit: what comes after it is left out as well.
    is_full: bool,
    withheld: BTreeMap<String, u64>,
}

impl Filled {
    /// Whether so many bytes fit, which are counted then.
    fn takes(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes + AROUND) {
            Some(left) if !self.is_full => self.room = left,
            _ => self.is_full = true,
        }
        !self.is_full
    }

    /// Bodies that are in no run. One that does not fit is missing there, and so given with the next bundle.
    fn put_bodies(
        &mut self,
        log: LogKey,
        bodies: Vec<(RecordRef, Bytes)>,
        records: &mut Records,
        made: &mut BundleMade,
    ) {
        for (place, body) in bodies {
            if self.takes(body.len()) {
                made.bodies += 1;
                records.bodies.push(Late { log, seq: place.seq, body: body.to_vec() });
            } else {
                records.left += 1;
            }
        }
    }

    fn kept_back(&mut self, withheld: BTreeMap<String, u64>) {
        for (rule, bodies) in withheld {
            *self.withheld.entry(rule).or_default() += bodies;
        }
    }
}

fn refused(error: BundleError) -> NodeError {
    NodeError::Request(error.to_string())
}

/// Some of them at a time, of together about [`PIECE`] bytes.
fn pieces<T>(all: Vec<T>, bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<T>> {
    let mut all = all.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut some, mut sum) = (Vec::new(), 0);
        while let Some(next) = all.next_if(|next| some.is_empty() || sum + bytes(next) <= PIECE) {
            sum += bytes(&next) + AROUND;
            some.push(next);
        }
        (!some.is_empty()).then_some(some)
    })
}

/// Whether all in a bundle is what its authors signed. Nothing of it is kept: one run at a time is in memory.
fn verify(records: &Records) -> Result<(), NodeError> {
    for bytes in &records.proposals {
        proposal(bytes)?;
    }
    for said in &records.receipts {
        receipt(said)?;
    }
    for fork in &records.forks {
        branches(fork)?;
    }
    for run in &records.runs {
        read_run(run.log, &run.page)?;
    }
    Ok(())
}

fn proposal(bytes: &[u8]) -> Result<Proposal, NodeError> {
    codec::decode::<_, LIMIT>(bytes).map_err(|error| no_message("a proposal", &error))
}

fn receipt(said: &Said) -> Result<(LogKey, Receipt), NodeError> {
    let receipt =
        codec::decode::<_, LIMIT>(&said.receipt).map_err(|error| no_message("a receipt", &error))?;
    Ok((said.log, receipt))
}

fn no_message(what: &str, error: &dyn std::fmt::Display) -> NodeError {
    NodeError::Request(format!("{what} in the bundle {error}: nothing of it was taken"))
}

fn verified(run: Packed) -> Result<(Verified, Bytes), NodeError> {
    Ok((read_run(run.log, &run.page)?, Bytes::from(run.page)))
}

fn read_run(log: LogKey, packed: &[u8]) -> Result<Verified, NodeError> {
    let wrong = |error: &dyn std::fmt::Display| {
        NodeError::Request(format!(
            "a run of node {} in the bundle is not what that node signed: {error}. Nothing of it was taken",
            log.author
        ))
    };
    let page = page::unpack(packed).map_err(|error| wrong(&error))?;
    let run = page::decode(log, &page).map_err(|error| wrong(&error))?;
    run.verify().map_err(|error| wrong(&error))
}

fn branches(fork: &Fork) -> Result<[Verified; 2], NodeError> {
    let read = |page: &Vec<u8>| {
        let run = page::decode(fork.log, &Bytes::from(page.clone())).map_err(|error| error.to_string());
        run.and_then(|run| run.verify().map_err(|error| error.to_string()))
    };
    let [one, other] = &fork.pages;
    read(one).and_then(|one| Ok([one, read(other)?])).map_err(|error| {
        NodeError::Request(format!(
            "a proof of a fork in the bundle proves nothing: {error}. Nothing of it was taken"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_sends_is_as_long_as_a_bundle_may_be() {
        assert_eq!(tocsin_api::types::BUNDLE_MAX, FILE_MAX);
    }

    #[test]
    fn pieces_are_of_bounded_length_and_leave_nothing_out() {
        let lengths = vec![PIECE / 2, PIECE / 3, PIECE / 2, 3 * PIECE, 1, 2];
        let some: Vec<Vec<usize>> = pieces(lengths.clone(), |length| *length).collect();
        assert_eq!(some.concat(), lengths);
        assert!(some.iter().all(|piece| piece.len() == 1 || piece.iter().sum::<usize>() <= PIECE));
        assert_eq!(pieces(Vec::<usize>::new(), |length| *length).count(), 0);
    }
}
