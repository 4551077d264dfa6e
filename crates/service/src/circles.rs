//! Circles: their names here, who is in them, and what this node's people ask about them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tocsin_api::types::{Circle, CircleMember, CircleRequest, Proposed, Time};
use tocsin_protocol::directory::{OpenProposal, ProposalKey};
use tocsin_protocol::message::Change;
use tocsin_protocol::{CircleRequest as CoreRequest, Directory, Input, Membership};
use tocsin_record::document::{Carry, Roster, is_name};
use tocsin_record::{CircleId, OrgId};
use tocsin_text as text;

use super::{Caller, Node, NodeError};

/// The names of circles under the directory that they were made of.
#[derive(Default)]
pub(super) struct Names(Mutex<Option<(Arc<Directory>, Arc<Labels>)>>);

/// What each circle with a roster is called here.
#[derive(Debug, Default)]
struct Labels {
    labels: BTreeMap<CircleId, String>,
    /// Names that several circles have.
    several: BTreeMap<String, Vec<String>>,
}

/// How near a circle is to this org: where two have one name, the nearer keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Near {
    In,
    Invited,
    Out,
}

/// A circle with a roster, or one that this org is invited to.
struct Known {
    id: CircleId,
    name: String,
    founder: Option<String>,
    near: Near,
}

impl Labels {
    fn of(known: &[Known]) -> Self {
        let mut all = Self::default();
        for one in known {
            let others: Vec<&Known> = known
                .iter()
                .filter(|other| other.id != one.id && other.name == one.name && other.near <= one.near)
                .collect();
            // A name that people of another org gave may be any text.
            let is_word = is_name(&one.name)
                && !matches!(one.name.as_str(), "own" | "mesh")
                && one.name.parse::<CircleId>().is_err();
            let label = match &one.founder {
                _ if !is_word => one.id.to_string(),
                _ if others.is_empty() => one.name.clone(),
                Some(founder) if others.iter().all(|other| other.founder.as_ref() != Some(founder)) => {
                    format!("{}@{founder}", one.name)
                }
                _ => one.id.to_string(),
            };
            all.labels.insert(one.id, label.clone());
            all.several.entry(one.name.clone()).or_default().push(label);
        }
        all
    }

    fn find(&self, word: &str) -> Option<CircleId> {
        if let Ok(id) = word.parse::<CircleId>() {
            return self.labels.contains_key(&id).then_some(id);
        }
        self.labels.iter().find(|(_, label)| *label == word).map(|(id, _)| *id)
    }
}

impl Node {
    /// The circle of a name: `own`, `mesh`, that of a roster, or an id.
    ///
    /// # Errors
    /// When there is no such circle, or several have the name.
    pub fn circle(&self, name: &str) -> Result<CircleId, NodeError> {
        match name {
            "own" => return Ok(self.engine.own_circle()),
            "mesh" => return Ok(CircleId::mesh(self.engine.mesh_id)),
            _ => {}
        }
        let directory = self.engine.directory();
        let labels = self.labels(&directory);
        if let Some(circle) = labels.find(name) {
            return Ok(circle);
        }
        // With the founder where the name alone would do.
        let by_founder = name.split_once('@').and_then(|(name, founder)| {
            let mut known = self.known_circles(&directory).into_iter();
            known.find(|one| one.name == name && one.founder.as_deref() == Some(founder))
        });
        if let Some(known) = by_founder {
            return Ok(known.id);
        }
        let shown = text::cut(name, 80);
        Err(NodeError::Request(match labels.several.get(name) {
            Some(several) => {
                format!("there are several circles `{shown}`: say {}", several.join(" or "))
            }
            None => format!(
                "there is no circle `{shown}` that this org is in: use own or mesh, or one that `tocsin circle list` names"
            ),
        }))
    }

    /// The name of a circle.
    #[must_use]
    pub fn circle_name(&self, circle: CircleId) -> String {
        if circle == CircleId::mesh(self.engine.mesh_id) {
            "mesh".to_owned()
        } else if circle == self.engine.own_circle() {
            "own".to_owned()
        } else {
            let labels = self.labels(&self.engine.directory());
            labels.labels.get(&circle).cloned().unwrap_or_else(|| circle.to_string())
        }
    }

    fn labels(&self, directory: &Arc<Directory>) -> Arc<Labels> {
        let mut names = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, labels)) = &*names
            && Arc::ptr_eq(of, directory)
        {
            return Arc::clone(labels);
        }
        let labels = Arc::new(Labels::of(&self.known_circles(directory)));
        *names = Some((Arc::clone(directory), Arc::clone(&labels)));
        labels
    }

    fn known_circles(&self, directory: &Directory) -> Vec<Known> {
        let own = self.engine.org();
        let founder = |org: Option<OrgId>| {
            org.filter(|org| directory.org(*org).is_some()).map(|org| self.org_name(directory, org))
        };
        let mut known: BTreeMap<CircleId, Known> = BTreeMap::new();
        for (id, roster) in directory.circles() {
            let members = directory.membership(id);
            let near = if members.carries(own) { Near::In } else { Near::Out };
            let founder = founder(members.founder());
            known.insert(id, Known { id, name: roster.name.clone(), founder, near });
        }
        for (key, open) in directory.proposals().filter(|(key, _)| key.change.adds() == Some(own)) {
            if known.get(&key.circle).is_none_or(|one| one.near == Near::Out) {
                let founder = founder(directory.founder_of(open));
                let name = open.roster.name.clone();
                known.insert(key.circle, Known { id: key.circle, name, founder, near: Near::Invited });
            }
        }
        known.into_values().collect()
    }

    /// The circles that this org is in or was, and those that it is invited to and did not decline; of a name, that one alone.
    ///
    /// # Errors
    /// When there is no circle of the name.
    pub fn circles(&self, name: Option<&str>) -> Result<Vec<Circle>, NodeError> {
        let directory = self.engine.directory();
        if let Some(name) = name {
            return Ok(vec![self.shown_circle(&directory, self.circle(name)?)]);
        }
        let mut all = vec![self.engine.own_circle(), CircleId::mesh(self.engine.mesh_id)];
        all.extend(self.known_circles(&directory).into_iter().map(|known| known.id));
        let all = all.into_iter().map(|circle| self.shown_circle(&directory, circle));
        Ok(all.filter(|circle| circle.part != "declined").collect())
    }

    fn shown_circle(&self, directory: &Directory, circle: CircleId) -> Circle {
        let own = self.engine.org();
        let members = directory.membership(circle);
        let proposals: Vec<(&ProposalKey, &OpenProposal)> =
            directory.proposals().filter(|(key, _)| key.circle == circle).collect();
        let invited = proposals.iter().find(|(key, _)| key.change.adds() == Some(own));
        let declines = |(key, _): &(&ProposalKey, &OpenProposal)| {
            key.change.adds() != Some(own) || directory.has_declined(key)
        };
        let part = if members.has(own) {
            "member"
        } else if members.carries(own) {
            "carrier"
        } else if proposals.iter().any(|(key, _)| key.change == Change::Leave(own)) {
            "left"
        } else if invited.is_some() && proposals.iter().all(declines) {
            "declined"
        } else if invited.is_some() {
            "invited"
        } else {
            "out"
        };
        // Who is invited sees the version that it would come in by.
        let offered = invited.filter(|_| matches!(part, "invited" | "declined")).map(|(_, open)| *open);
        let roster = offered.map(|open| &open.roster).or(members.roster());
        let founder = offered.map_or(members.founder(), |open| directory.founder_of(open));
        let named = |org: OrgId| self.org_name(directory, org);
        let orgs: Vec<OrgId> = match offered {
            Some(open) => open.roster.orgs.iter().copied().filter(|org| *org != own).collect(),
            None => members.members().collect(),
        };
        Circle {
            circle: self.circle_name(circle),
            id: circle.to_string(),
            founder: founder.map(named),
            part: part.to_owned(),
            version: roster.map_or(members.version(), |roster| roster.version),
            carry: carry_name(roster.map_or(Carry::Members, |roster| roster.carry)).to_owned(),
            members: orgs.iter().map(|org| self.shown_member(directory, members, *org)).collect(),
            carriers: match offered {
                Some(open) => open.roster.carriers.iter().copied().map(named).collect(),
                None => members.carriers().map(named).collect(),
            },
            stewards: roster.map(|roster| self.stewards_of(directory, roster)).unwrap_or_default(),
            proposals: proposals.iter().map(|(key, open)| self.proposed(directory, key, open)).collect(),
        }
    }

    fn shown_member(&self, directory: &Directory, members: Membership<'_>, org: OrgId) -> CircleMember {
        let entry = directory.org(org);
        CircleMember {
            org: self.org_name(directory, org),
            kind: entry.map(|entry| entry.kind_name().to_owned()).unwrap_or_default(),
            country: entry.map(|entry| entry.country_code().to_owned()).unwrap_or_default(),
            since: members.since(org),
        }
    }

    fn stewards_of(&self, directory: &Directory, roster: &Roster) -> Vec<String> {
        let mut orgs: Vec<OrgId> =
            roster.stewards.iter().filter_map(|key| directory.org_of_steward(key)).collect();
        orgs.sort_unstable();
        orgs.dedup();
        orgs.into_iter().map(|org| self.org_name(directory, org)).collect()
    }

    fn proposed(&self, directory: &Directory, key: &ProposalKey, open: &OpenProposal) -> Proposed {
        let change = match key.change {
            Change::Member(_) => "member",
            Change::Steward(_) => "steward",
            Change::Carrier(_) => "carrier",
            Change::Remove(_) => "remove",
            Change::Leave(_) => "leave",
            Change::Rename => "rename",
        };
        let mut awaits: Vec<String> =
            directory.awaited(key, open).into_iter().map(|org| self.org_name(directory, org)).collect();
        if awaits.is_empty() {
            // All others did: its turn comes as soon as its node hears of it.
            awaits.push(self.org_name(directory, key.by));
        }
        Proposed {
            change: change.to_owned(),
            org: key.change.about().map(|org| self.org_name(directory, org)),
            name: (key.change == Change::Rename).then(|| open.roster.name.clone()),
            by: self.org_name(directory, key.by),
            version: open.roster.version,
            since: Time(open.proposal.time),
            until: Time(open.until),
            awaits,
        }
    }

    /// Does what people ask about a circle, and tells how it is then.
    ///
    /// # Errors
    /// What was wrong; of several orgs those before the first that cannot be are done.
    pub async fn change_circle(
        self: &Arc<Self>,
        caller: &Caller,
        request: CircleRequest,
    ) -> Result<Circle, NodeError> {
        let verb = verb(&request);
        let (asked, circle) = self.to_change(&request)?;
        self.engine.core.ask(move |ticket| Input::Circle { ticket, request: asked }).await?;
        let directory = self.engine.directory();
        let circle = match (circle, &request) {
            (Some(circle), _) => circle,
            (None, CircleRequest::Create { name, .. }) => {
                directory.begun_by(self.engine.org(), name).map_or_else(|| self.circle(name), Ok)?
            }
            (None, _) => self.engine.own_circle(),
        };
        caller.note_circle(verb, &circle);
        Ok(self.shown_circle(&directory, circle))
    }

    fn to_change(&self, request: &CircleRequest) -> Result<(CoreRequest, Option<CircleId>), NodeError> {
        let directory = self.engine.directory();
        let orgs = |names: &[String], change: fn(OrgId) -> Change| -> Result<Vec<Change>, NodeError> {
            names.iter().map(|name| Ok(change(org_named(&directory, name)?))).collect()
        };
        let removed = |names: &[String]| -> Result<Vec<Change>, NodeError> {
            let org = |name| former_named(&directory, name).map_or_else(|| org_named(&directory, name), Ok);
            names.iter().map(|name| Ok(Change::Remove(org(name)?))).collect()
        };
        Ok(match request {
            CircleRequest::Create { name, members, stewards, carriers, carry } => {
                let carry = match carry.as_deref() {
                    None if carriers.is_empty() => Carry::Members,
                    None | Some("named") => Carry::Named,
                    Some("members") => Carry::Members,
                    Some("author") => Carry::Author,
                    Some(other) => return Err(unknown(other, "way to carry", "author, members or named")),
                };
                let mut changes = orgs(stewards, Change::Steward)?;
                let stewards: Vec<OrgId> = changes.iter().filter_map(|change| change.about()).collect();
                let plain = orgs(members, Change::Member)?.into_iter();
                changes.extend(plain.filter(|one| one.about().is_none_or(|org| !stewards.contains(&org))));
                changes.extend(orgs(carriers, Change::Carrier)?);
                // The own org is in already, and its steward.
                changes.retain(|change| change.about() != Some(self.engine.org()));
                let nonce = *tocsin_home::keys::fresh_seed().map_err(tocsin_home::HomeError::from)?;
                (CoreRequest::Create { nonce, name: name.clone(), carry, changes }, None)
            }
            CircleRequest::Invite { circle, orgs: names, part } => {
                let change = match part.as_deref() {
                    None | Some("member") => Change::Member,
                    Some("steward") => Change::Steward,
                    Some("carrier") => Change::Carrier,
                    Some(other) => {
                        return Err(unknown(other, "part in a circle", "member, steward or carrier"));
                    }
                };
                let circle = self.circle(circle)?;
                (CoreRequest::Change { circle, changes: orgs(names, change)? }, Some(circle))
            }
            CircleRequest::Accept { circle, about } => {
                let circle = self.circle(circle)?;
                let about = about.as_deref().map(|name| org_named(&directory, name)).transpose()?;
                (self.to_accept(&directory, circle, about)?, Some(circle))
            }
            CircleRequest::Decline { circle: name } => {
                let circle = self.circle(name)?;
                let asks = |(key, _): (&ProposalKey, _)| {
                    key.circle == circle && key.change.adds() == Some(self.engine.org())
                };
                if !directory.proposals().any(asks) {
                    let why = format!(
                        "nothing invites this org to circle `{name}`: who is in leaves it, `tocsin circle leave {name}`",
                        name = self.circle_name(circle)
                    );
                    return Err(NodeError::Request(why));
                }
                (CoreRequest::Decline { circle }, Some(circle))
            }
            CircleRequest::Leave { circle } => {
                let circle = self.circle(circle)?;
                let changes = vec![Change::Leave(self.engine.org())];
                (CoreRequest::Change { circle, changes }, Some(circle))
            }
            CircleRequest::Remove { circle, orgs: names } => {
                let circle = self.circle(circle)?;
                let changes = removed(names)?;
                if changes.contains(&Change::Remove(self.engine.org())) {
                    let why = "an org does not take itself out so: `tocsin circle leave NAME`";
                    return Err(NodeError::Request(why.to_owned()));
                }
                (CoreRequest::Change { circle, changes }, Some(circle))
            }
            CircleRequest::Rename { circle, name } => {
                let circle = self.circle(circle)?;
                (CoreRequest::Rename { circle, name: name.clone() }, Some(circle))
            }
            CircleRequest::OpenHistory { circle, org, since } => {
                let (circle, org) = (self.circle(circle)?, org_named(&directory, org)?);
                (CoreRequest::OpenHistory { circle, org, since: *since }, Some(circle))
            }
        })
    }

    /// The one change that waits for this org.
    fn to_accept(
        &self,
        directory: &Directory,
        circle: CircleId,
        about: Option<OrgId>,
    ) -> Result<CoreRequest, NodeError> {
        let own = self.engine.org();
        let waits: Vec<(&ProposalKey, &OpenProposal)> = directory
            .proposals()
            .filter(|(key, _)| key.circle == circle)
            .filter(|(key, _)| about.is_none() || key.change.about() == about)
            .filter(|(key, open)| key.by != own && directory.awaited(key, open).contains(&own))
            .collect();
        match &waits[..] {
            [(key, open)] => Ok(CoreRequest::Accept { key: **key, roster: open.proposal.roster.hash() }),
            [] => {
                let name = self.circle_name(circle);
                let why = format!(
                    "nothing of circle `{name}` waits for this org: `tocsin circle show {name}` tells whose signature is awaited"
                );
                Err(NodeError::Request(why))
            }
            _ => {
                let all: Vec<String> = waits
                    .iter()
                    .map(|(key, open)| self.proposed(directory, key, open))
                    .map(|one| one.org.map_or(one.change.clone(), |org| format!("{} {org}", one.change)))
                    .collect();
                let why = format!(
                    "{} changes wait for this org ({}): say the org that the one you mean is about",
                    all.len(),
                    all.join(", ")
                );
                Err(NodeError::Request(why))
            }
        }
    }
}

fn unknown(word: &str, what: &str, words: &str) -> NodeError {
    NodeError::Request(format!("`{}` is no {what}: use {words}", text::cut(word, 80)))
}

/// The org of a name that no org of the mesh has and one that was taken out had.
fn former_named(directory: &Directory, name: &str) -> Option<OrgId> {
    let name = name.strip_suffix(" (removed)").unwrap_or(name);
    let mut named = directory.former().filter(|(_, former)| former.name == name).map(|(org, _)| org);
    let found = named.next().filter(|_| directory.charter().org_named(name).is_none())?;
    named.next().is_none().then_some(found)
}

pub(super) fn org_named(directory: &Directory, name: &str) -> Result<OrgId, NodeError> {
    directory.charter().org_named(name).map(|entry| entry.root).ok_or_else(|| {
        let name = text::cut(name, 80);
        NodeError::Request(format!("there is no org `{name}` in the mesh: `tocsin mesh show` lists them"))
    })
}

fn carry_name(carry: Carry) -> &'static str {
    match carry {
        Carry::Author => "author",
        Carry::Members => "members",
        Carry::Named => "named",
    }
}

/// As the log of deeds names it.
fn verb(request: &CircleRequest) -> &'static str {
    match request {
        CircleRequest::Create { .. } => "circle create",
        CircleRequest::Invite { .. } => "circle invite",
        CircleRequest::Accept { .. } => "circle accept",
        CircleRequest::Decline { .. } => "circle decline",
        CircleRequest::Leave { .. } => "circle leave",
        CircleRequest::Remove { .. } => "circle remove",
        CircleRequest::Rename { .. } => "circle rename",
        CircleRequest::OpenHistory { .. } => "circle open-history",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_circles_of_one_name_are_told_apart() {
        let known = |n: u8, name: &str, founder: Option<&str>, near| Known {
            id: CircleId([n; 32]),
            name: name.to_owned(),
            founder: founder.map(str::to_owned),
            near,
        };
        let labels = Labels::of(&[
            known(1, "ops", Some("aa"), Near::In),
            known(2, "ops", Some("bb"), Near::Invited),
            known(3, "raid", Some("aa"), Near::In),
            known(4, "raid", Some("bb"), Near::In),
            known(5, "raid", Some("bb"), Near::Out),
            known(6, "mesh", Some("bb"), Near::In),
            known(7, "A name with blanks", Some("bb"), Near::In),
            known(8, "left", None, Near::Out),
        ]);
        let label = |n: u8| labels.labels[&CircleId([n; 32])].as_str();
        assert_eq!([1, 2, 3, 4, 8].map(label), ["ops", "ops@bb", "raid@aa", "raid@bb", "left"]);
        for n in [5, 6, 7] {
            assert_eq!(label(n), CircleId([n; 32]).to_string(), "no word is another circle's, or no word");
        }
        let find = |word: &str| labels.find(word).map(|id| id.0[0]);
        assert_eq!(["ops", "ops@bb", "raid@aa", "raid"].map(find), [Some(1), Some(2), Some(3), None]);
        assert_eq!(find(&CircleId([5; 32]).to_string()), Some(5));
        assert_eq!(labels.several["raid"].len(), 3);
    }
}
