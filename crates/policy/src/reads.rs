//! Which facts the rules of a policy can read, so that a decision is cached by those and no others.
//!
//! It errs on the side of more: any text in a rule that equals the name of an attribute counts as reading it.

use cedar_policy::{ActionConstraint, Policy as CedarPolicy};
use serde_json::Value;

use crate::attributes::Attr;
use crate::decision::Action;

/// What the rules of one action can read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The attributes of principal, resource and context: one bit each, see [`Attr::bit`].
    pub(crate) attrs: u64,
    /// The attributes of `resource.author`.
    pub(crate) author: u64,
    /// Whether any rule may compare entities themselves, and so reads their ids.
    pub(crate) ids: bool,
}

impl Reads {
    pub(crate) fn has(self, attr: Attr) -> bool {
        self.attrs & attr.bit() != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            attrs: self.attrs | other.attrs,
            author: self.author | other.author,
            ids: self.ids || other.ids,
        }
    }

    /// What one rule can read, given as Cedar's JSON form of it.
    pub(crate) fn of_rule(rule: &Value) -> Self {
        let mut reads = Self::default();
        for scope in ["principal", "resource"] {
            let op = rule.get(scope).and_then(|scope| scope.get("op")).and_then(Value::as_str);
            // `is` asks for the type only; all else that is not "All" compares ids.
            let type_only = op == Some("is") && rule[scope].get("in").is_none();
            reads.ids |= op != Some("All") && !type_only;
        }
        let conditions = rule.get("conditions").and_then(Value::as_array);
        for body in conditions.into_iter().flatten().filter_map(|condition| condition.get("body")) {
            reads.walk(body);
        }
        reads
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.attrs |= bits_of(text),
            Value::Array(list) => list.iter().for_each(|item| self.walk(item)),
            Value::Object(map) => map.iter().for_each(|(key, item)| self.walk_member(key, item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn walk_member(&mut self, key: &str, item: &Value) {
        self.attrs |= bits_of(key);
        match key {
            "." | "has" => self.walk_access(item),
            // A variable that is not the base of an access stands for the entity itself.
            "Var" => self.ids |= item != "context",
            _ => self.walk(item),
        }
    }

    /// `left.attr` or `left has attr`: reading an attribute of an entity does not read its id.
    fn walk_access(&mut self, access: &Value) {
        let (left, attr) = (&access["left"], &access["attr"]);
        if is_author(left) {
            self.attrs |= Attr::Author.bit();
            self.author |= attr.as_str().map_or(u64::MAX, bits_of);
            return;
        }
        if bits_of_any(attr) & Attr::Author.bit() != 0 {
            // The author goes on as a value: what is done with it is not followed.
            (self.ids, self.author) = (true, u64::MAX);
        }
        self.attrs |= bits_of_any(attr);
        if left.get("Var").is_none() {
            self.walk(left);
        }
    }
}

/// Whether an expression is `resource.author`.
fn is_author(expression: &Value) -> bool {
    let access = &expression["."];
    access["left"]["Var"] == "resource" && access["attr"] == Attr::Author.name()
}

fn bits_of(text: &str) -> u64 {
    Attr::ALL.iter().filter(|attr| attr.name() == text).map(|attr| attr.bit()).sum()
}

/// The attributes named by a text or a path of texts.
fn bits_of_any(names: &Value) -> u64 {
    match names {
        Value::Array(path) => path.iter().map(bits_of_any).fold(0, |all, one| all | one),
        name => name.as_str().map_or(0, bits_of),
    }
}

/// The actions that a rule speaks about.
pub(crate) fn actions_of(rule: &CedarPolicy) -> Vec<Action> {
    let named = |uid: &cedar_policy::EntityUid, action: &Action| uid.id().unescaped() == action.name();
    let constraint = rule.action_constraint();
    let speaks_about = |action: &Action| match &constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => named(uid, action),
        ActionConstraint::In(uids) => uids.iter().any(|uid| named(uid, action)),
    };
    Action::ALL.into_iter().filter(speaks_about).collect()
}
