//! Who asks, and what for: what the policy's `query` is told, and what stands in the log of purposes.

use tocsin_api::types::Published;
use tocsin_home::config::Person;
use tocsin_record::marking::Code;
use tocsin_record::{CircleId, RecordId};
use tracing::{debug, info};

use super::NodeError;

/// Where purposes are logged: whatever else is left out of the log, these are not.
pub const PURPOSES: &str = "tocsin::purposes";

/// The word for what is RED, where it is asked for.
const RED: &str = "red";

/// Who asks one thing of a node. Each listener makes it of what it knows of the other end.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person or program: name, roles, and the purposes that it may state.
    pub principal: Person,
    /// What the answer is for.
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    pub reference: Option<String>,
    /// What is left out of answers and asked for all the same: `red`.
    pub include: Option<String>,
}

impl Caller {
    /// Somebody who states no purpose.
    #[must_use]
    pub fn new(principal: &Person) -> Self {
        Self { principal: principal.clone(), purpose: None, reference: None, include: None }
    }

    /// With a purpose and a reference, as a request has them.
    #[must_use]
    pub fn stating(self, purpose: Option<&str>, reference: Option<&str>) -> Self {
        Self { purpose: purpose.map(str::to_owned), reference: reference.map(str::to_owned), ..self }
    }

    /// Who asks for what is left out of answers, too: what is `red`.
    #[must_use]
    pub fn including(self, include: Option<&str>) -> Self {
        Self { include: include.map(str::to_owned), ..self }
    }

    /// As the policy sees it.
    pub(crate) fn person(&self) -> tocsin_policy::Person<'_> {
        let Person { name, roles, purposes } = &self.principal;
        let includes_red = self.include.as_deref() == Some(RED);
        tocsin_policy::Person { name, roles, purposes, purpose: self.purpose.as_deref(), includes_red }
    }

    /// Refuses a purpose that nobody knows: a slip of the pen would hide records, and stand in the log.
    pub(crate) fn check(&self) -> Result<(), NodeError> {
        if let Some(include) = self.include.as_deref().filter(|include| *include != RED) {
            return Err(NodeError::Request(format!(
                "`{}` is nothing that is left out of answers: use --include red",
                tocsin_text::cut(include, 80)
            )));
        }
        let Some(purpose) = self.purpose.as_deref() else { return Ok(()) };
        let own = &self.principal.purposes;
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
    pub(crate) fn note(&self, verb: &str, shown: &[RecordId]) {
        if self.purpose.is_none() && self.reference.is_none() {
            return;
        }
        self.note_deed(verb, shown);
    }

    /// Notes in the log who wrote which records. Of those that programs write by the hundred nothing is kept at the usual level.
    pub(crate) fn note_written(&self, verb: &str, published: &Published) {
        let records = published.records.iter().map(|new| &new.record);
        debug!(verb, person = self.principal.name, records = ?records.collect::<Vec<_>>(), "written");
    }

    /// Notes in the log who changed which circle.
    pub(crate) fn note_circle(&self, verb: &str, circle: &CircleId) {
        info!(target: PURPOSES, verb, person = self.principal.name, %circle, "asked");
    }

    /// Notes in the log who did something to which records, and what for.
    pub(crate) fn note_deed(&self, verb: &str, records: &[RecordId]) {
        let (purpose, reference) =
            (self.purpose.as_deref().unwrap_or("-"), self.reference.as_deref().unwrap_or("-"));
        let records: Vec<String> = records.iter().map(ToString::to_string).collect();
        info!(target: PURPOSES, verb, person = self.principal.name, purpose, reference, ?records, "asked");
    }
}
