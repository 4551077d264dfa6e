//! What is decided, and by which rule.

use std::fmt;

/// The six questions that a policy answers, each asked in one place of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ask for a body, knowing its header only.
    Fetch,
    /// Believe a record.
    Accept,
    /// Keep a record for a person to look at; wins over accept.
    Hold,
    /// Pass a record on to a partner.
    Forward,
    /// Show a record to a person.
    Query,
    /// Give a record to a system.
    Export,
}

impl Action {
    /// Every action, in the order of the schema.
    pub const ALL: [Self; 6] =
        [Self::Fetch, Self::Accept, Self::Hold, Self::Forward, Self::Query, Self::Export];

    /// The name in a policy.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Accept => "accept",
            Self::Hold => "hold",
            Self::Forward => "forward",
            Self::Query => "query",
            Self::Export => "export",
        }
    }
}

/// A rule by its number in the name table of one loaded policy; [`crate::Policy::rule_name`] gives its name.
///
/// Numbers of guardrails stay the same for ever, numbers of rules only while the policy is loaded: keep the name
/// where a judgement outlives a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);

/// Whether something may be done, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Whether it may be done.
    pub allow: bool,
    /// The rule that determined it.
    pub rule: RuleId,
}

/// What this node does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ruling {
    /// It is believed: it answers and may be passed on.
    Accept,
    /// It is kept, does not answer, and is not passed on until accepted.
    Hold,
    /// It is not kept.
    Refuse,
}

impl Ruling {
    /// `accept`, `hold` or `refuse`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was decided about a record, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// What this node does with it.
    pub ruling: Ruling,
    /// The rule that determined it.
    pub rule: RuleId,
}
