//! What this node's policy lets its people see, how much of an answer it kept from them, and what would show that.

use std::sync::Arc;

use tocsin_api::types::Hidden;
use tocsin_policy::{BodyView, Decisions, Person, Policy};
use tocsin_protocol::Directory;
use tocsin_record::RecordId;
use tocsin_record::marking::Code;
use tocsin_store::Stored;
use tracing::info;

use super::{Node, NodeError};

/// Where purposes are logged: whatever else is left out of the log, these are not.
pub const PURPOSES: &str = "tocsin::purposes";

/// One question's view of the records.
pub(super) struct Visibility<'a> {
    node: &'a Node,
    directory: &'a Directory,
    /// Made when the first record is looked at: most questions hit none.
    decisions: Option<Decisions>,
    policy: Arc<Policy>,
    purpose: Option<&'a str>,
    /// What was kept from it so far.
    pub hidden: Hidden,
}

impl<'a> Visibility<'a> {
    pub fn new(node: &'a Node, directory: &'a Directory, purpose: Option<&'a str>) -> Self {
        let policy = node.policy.get();
        Self { node, directory, decisions: None, policy, purpose, hidden: Hidden::default() }
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
        self.rule(stored, body, &Person { purpose: self.purpose, ..self.node.person() })
    }

    fn rule(&mut self, stored: &Stored, body: &BodyView<'_>, person: &Person<'_>) -> Option<String> {
        let (node, directory) = (self.node, self.directory);
        let decisions = self
            .decisions
            .get_or_insert_with(|| Decisions::new(Arc::clone(&self.policy), node.home_facts(directory)));
        node.query_rule(decisions, directory, stored, body, person)
    }

    /// Which purpose, if it were stated, would show a record; empty if none would.
    pub fn help(&mut self, stored: &Stored, body: &BodyView<'_>) -> String {
        let own = &self.node.engine.config.person;
        let known: Vec<String> = Code::purpose_names().map(str::to_owned).collect();
        let shows = |visibility: &mut Self, may: &[String], purpose: &str| {
            let person = Person { purposes: may, purpose: Some(purpose), ..visibility.node.person() };
            visibility.rule(stored, body, &person).is_none()
        };
        let stated = own.purposes.iter().find(|purpose| shows(self, &own.purposes, purpose));
        if let Some(purpose) = stated {
            return format!("state --purpose {purpose}");
        }
        let Some(purpose) = known.iter().find(|purpose| shows(self, &known, purpose)) else {
            return String::new();
        };
        let list = if own.purposes.is_empty() { "none".to_owned() } else { own.purposes.join(", ") };
        // One that was stated and would do, if it were this person's.
        let begin = match self.purpose.filter(|stated| shows(self, &known, stated)) {
            Some(stated) => format!("`{stated}` is not among the `purposes` of [person] in config.toml"),
            None => {
                format!(
                    "state a --purpose that `purposes` of [person] in config.toml lists, such as {purpose}"
                )
            }
        };
        format!("{begin}; it lists {list}: add it there and start the node again")
    }
}

impl Node {
    /// The policy's decisions for a reader's thread.
    pub fn decisions(&self, directory: &Directory) -> Decisions {
        Decisions::new(self.policy.get(), self.home_facts(directory))
    }

    fn home_facts(&self, directory: &Directory) -> tocsin_policy::Home {
        let country = directory.org(self.engine.org()).map_or(*b"??", |org| org.country);
        tocsin_policy::Home { org: self.engine.org(), country }
    }

    /// Who asks, without a purpose.
    fn person(&self) -> Person<'_> {
        let person = &self.engine.config.person;
        Person { name: &person.name, roles: &person.roles, purposes: &person.purposes, purpose: None }
    }

    /// The rule that keeps a record from this node's people, if one does.
    pub fn may_see_body(
        &self,
        decisions: &mut Decisions,
        directory: &Directory,
        stored: &Stored,
        body: &BodyView<'_>,
        purpose: Option<&str>,
    ) -> Option<String> {
        self.query_rule(decisions, directory, stored, body, &Person { purpose, ..self.person() })
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

    /// Refuses a purpose that nobody knows: a slip of the pen would hide records, and stand in the log.
    pub(super) fn check_purpose(&self, purpose: Option<&str>) -> Result<(), NodeError> {
        let Some(purpose) = purpose else { return Ok(()) };
        let own = &self.engine.config.person.purposes;
        if own.iter().any(|known| known == purpose) || Code::purpose_names().any(|known| known == purpose) {
            return Ok(());
        }
        let mut known: Vec<&str> = Code::purpose_names().collect();
        known.extend(
            own.iter().map(String::as_str).filter(|name| Code::purpose_names().all(|known| known != *name)),
        );
        Err(NodeError::Request(format!(
            "`{}` is no purpose that this node knows: use one of {}, or add yours to `purposes` of [person] in \
             config.toml",
            tocsin_text::cut(purpose, 80),
            known.join(", ")
        )))
    }

    /// Notes in the log who asked, what for, and which records were shown; never what was asked.
    pub(super) fn note_purpose(
        &self,
        verb: &str,
        purpose: Option<&str>,
        reference: Option<&str>,
        shown: &[RecordId],
    ) {
        if purpose.is_none() && reference.is_none() {
            return;
        }
        let (purpose, reference) = (purpose.unwrap_or("-"), reference.unwrap_or("-"));
        let records: Vec<String> = shown.iter().map(ToString::to_string).collect();
        info!(target: PURPOSES, verb, person = self.engine.config.person.name, purpose, reference, ?records, "asked");
    }
}
