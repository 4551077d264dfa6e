//! What this node does about a record: guardrails that no configuration changes, then the node's own rules.
//!
//! ```text
//! facts -> guardrails -> cache -> Cedar rules -> Decision (allow or deny) or Judgement (accept, hold, refuse)
//! ```
//!
//! A policy is text in Cedar's language, checked strictly against [`SCHEMA`] when it is loaded. Every decision
//! names the rule that determined it. `forbid` beats `permit`, what no rule permits is denied, and a rule whose
//! evaluation fails never lets anything through: Cedar skips it, so the answer here is hold or deny, under the
//! name `error:ID`. This crate has no clock and no files: text and facts in, decisions out.

mod attributes;
mod decide;
mod decision;
mod facts;
mod guardrails;
mod load;
mod reads;
mod request;
mod view;

pub use decide::{Decisions, Explanation};
pub use decision::{Action, Decision, Judgement, RuleId, Ruling};
pub use facts::{
    BodyFacts, Circle, CircleKind, Consumer, Cover, HeaderFacts, Home, Org, Origin, Person, RecordFacts,
};
pub use guardrails::Guardrail;
pub use load::{Fault, LoadError, MAX_RULES, MAX_TEXT_BYTES, Policy, Rule, RuleEffect, SCHEMA};
pub use request::Question;
pub use tocsin_record::header::Class;
pub use view::BodyView;

#[cfg(test)]
mod tests;
