//! What this node's policy lets its people see, how much of an answer it kept from them, and what would show that.

use std::sync::{Arc, Mutex, PoisonError};

use tocsin_api::types::Hidden;
use tocsin_policy::{BodyView, Decisions, Home, Person, Policy};
use tocsin_protocol::Directory;
use tocsin_record::marking::Code;
use tocsin_store::Stored;

use super::{Caller, Node};

/// Decisions that no question uses just now, with what they decided: what is known costs a microsecond, and a first decision
/// as much as the rest of a lookup. Questions at one time each have their own, and the last to end leaves its own here.
#[derive(Default)]
pub(super) struct Rested(Mutex<Option<Decisions>>);

impl Rested {
    /// The rested ones if they are of this policy and home, else new ones.
    fn take(&self, policy: &Arc<Policy>, home: Home) -> Decisions {
        let rested = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        rested
            .filter(|rested| Arc::ptr_eq(rested.policy(), policy) && rested.home() == home)
            .unwrap_or_else(|| Decisions::new(Arc::clone(policy), home))
    }

    fn put(&self, used: Decisions) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(used);
    }
}

/// One question's view of the records.
pub(super) struct Visibility<'a> {
    node: &'a Node,
    directory: &'a Directory,
    /// Taken when the first record is looked at: most questions hit none.
    decisions: Option<Decisions>,
    policy: Arc<Policy>,
    caller: &'a Caller,
    /// What was kept from it so far.
    pub hidden: Hidden,
}

impl<'a> Visibility<'a> {
    pub fn new(node: &'a Node, directory: &'a Directory, caller: &'a Caller) -> Self {
        let policy = node.policy.get();
        Self { node, directory, decisions: None, policy, caller, hidden: Hidden::default() }
    }

    /// The same question's view for another thread: under the same policy, whatever is put in force meanwhile.
    pub fn another(&self) -> Self {
        Self { decisions: None, policy: Arc::clone(&self.policy), hidden: Hidden::default(), ..*self }
    }

    /// Whether a record may be shown; it counts as hidden if not.
    pub fn sees(&mut self, stored: &Stored, body: &BodyView<'_>) -> bool {
        let Some(rule) = self.keeps(stored, body) else { return true };
        self.hidden.records += 1;
        if !self.hidden.rules.contains(&rule) {
            self.hidden.rules.push(rule);
            if self.hidden.help.is_empty() {
                self.hidden.help = self.help(stored, body);
            }
        }
        false
    }

    /// The rule that keeps a record from who asks, if one does.
    pub fn keeps(&mut self, stored: &Stored, body: &BodyView<'_>) -> Option<String> {
        self.rule(stored, body, &self.caller.person())
    }

    fn rule(&mut self, stored: &Stored, body: &BodyView<'_>, person: &Person<'_>) -> Option<String> {
        let (node, directory) = (self.node, self.directory);
        let decisions =
            self.decisions.get_or_insert_with(|| node.rested.take(&self.policy, node.home_facts(directory)));
        node.query_rule(decisions, directory, stored, body, person)
    }

    /// Which purpose, if it were stated, would show a record, and whether RED is to be asked for; empty if nothing would.
    pub fn help(&mut self, stored: &Stored, body: &BodyView<'_>) -> String {
        let includes_red = self.caller.person().includes_red;
        let help = self.help_of(stored, body, includes_red);
        if help.is_empty() && !includes_red { self.help_of(stored, body, true) } else { help }
    }

    fn help_of(&mut self, stored: &Stored, body: &BodyView<'_>, includes_red: bool) -> String {
        let own = &self.caller.principal;
        let known: Vec<String> = Code::purpose_names().map(str::to_owned).collect();
        let shows = |visibility: &mut Self, may: &[String], purpose: &str| {
            let person =
                Person { purposes: may, purpose: Some(purpose), includes_red, ..visibility.caller.person() };
            visibility.rule(stored, body, &person).is_none()
        };
        let also = if includes_red && !self.caller.person().includes_red { "--include red and " } else { "" };
        let is_own = |purpose: &&str| own.purposes.iter().any(|own| own == purpose);
        let stated = self.caller.purpose.as_deref();
        // One that was stated and does with RED, or would do if it were this person's.
        if let Some(purpose) = stated.filter(|stated| is_own(stated) && shows(self, &own.purposes, stated)) {
            return format!("state {also}--purpose {purpose}");
        }
        let stated = stated.filter(|stated| !is_own(stated) && shows(self, &known, stated));
        let begin = if let Some(stated) = stated {
            format!("`{stated}` is not among the `purposes` of [person] in config.toml")
        } else if let Some(purpose) = own.purposes.iter().find(|purpose| shows(self, &own.purposes, purpose))
        {
            return format!("state {also}--purpose {purpose}");
        } else if let Some(purpose) = known.iter().find(|purpose| shows(self, &known, purpose)) {
            format!(
                "state {also}a --purpose that `purposes` of [person] in config.toml lists, such as {purpose}"
            )
        } else {
            return String::new();
        };
        let list = if own.purposes.is_empty() { "none".to_owned() } else { own.purposes.join(", ") };
        format!("{begin}; in force is {list}: add it there, and `tocsin policy reload` puts it in force")
    }
}

impl Drop for Visibility<'_> {
    fn drop(&mut self) {
        if let Some(used) = self.decisions.take() {
            self.node.rested.put(used);
        }
    }
}

impl Node {
    /// The policy's decisions for a reader's thread.
    pub fn decisions(&self, directory: &Directory) -> Decisions {
        Decisions::new(self.policy.get(), self.home_facts(directory))
    }

    pub(crate) fn home_facts(&self, directory: &Directory) -> Home {
        let country = directory.org(self.engine.org()).map_or(*b"??", |org| org.country);
        Home { org: self.engine.org(), country }
    }

    fn query_rule(
        &self,
        decisions: &mut Decisions,
        directory: &Directory,
        stored: &Stored,
        body: &BodyView<'_>,
        person: &Person<'_>,
    ) -> Option<String> {
        let now = self.passed_ms();
        let decision = super::show::with_facts(directory, stored, Some(body), now, |facts| {
            decisions.query(facts, person)
        });
        (!decision.allow).then(|| decisions.rule_name(decision.rule).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use tocsin_policy::{Circle, CircleKind, Class, Cover, HeaderFacts, Org};
    use tocsin_record::OrgId;
    use tocsin_record::document::Carry;
    use tocsin_record::marking::{Flags, Tlp};

    use super::*;

    /// Has something decided.
    fn decide(decisions: &mut Decisions) {
        let author = Org {
            id: OrgId([2; 32]),
            name: "cert-bb",
            kind: "csirt",
            country: *b"FR",
            regimes: &[],
            roles: &[],
            trust: None,
        };
        let header = HeaderFacts {
            author: &author,
            circle: Circle { name: "mesh", kind: CircleKind::Mesh, carry: Carry::Members },
            class: Class::Content,
            kind: 1,
            tlp: Some(Tlp::Green),
            flags: Flags::default(),
            cover: Cover::Unsealed,
            time_ms: 0,
            expires_ms: 0,
            now_ms: 1,
        };
        assert!(decisions.fetch(&header).allow);
    }

    #[test]
    fn what_was_decided_rests_for_the_same_policy_and_home_alone() {
        let policy = || {
            Arc::new(Policy::load("@id(\"all\") permit (principal, action, resource);").expect("a policy"))
        };
        let (one, other) = (policy(), policy());
        let home = |country: &[u8; 2]| Home { org: OrgId([1; 32]), country: *country };
        let rested = Rested::default();
        for (policy, home, known) in [
            (&one, home(b"DE"), 0),
            (&one, home(b"DE"), 1),
            (&other, home(b"DE"), 0),
            (&one, home(b"DE"), 0),
            (&one, home(b"FR"), 0),
        ] {
            let mut decisions = rested.take(policy, home);
            assert_eq!(decisions.cached(), known);
            assert!(Arc::ptr_eq(decisions.policy(), policy) && decisions.home() == home);
            assert_eq!(rested.take(policy, home).cached(), 0, "a question beside has its own");
            decide(&mut decisions);
            rested.put(decisions);
        }
    }
}
