//! From the text of a policy file to a policy in force, or to what is wrong with it and in which line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use cedar_policy::{Effect, Policy as CedarPolicy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use tocsin_record::id;

use crate::decision::{Action, RuleId};
use crate::guardrails::Guardrail;
use crate::reads::{Reads, actions_of};

/// The schema that every policy is checked against, with a comment for each attribute.
pub const SCHEMA: &str = include_str!("policy.cedarschema");

/// The longest policy text, in bytes: a thousand rules of a screen each.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most rules of a policy: Cedar asks each of them at every question that the cache does not know.
pub const MAX_RULES: usize = 1_000;
/// The longest `@id`, in bytes: it stands in lines of `status` and `why`.
const MAX_ID_BYTES: usize = 64;

const DEFAULT_DENY: &str = "default-deny";

/// What is wrong with one place of a policy text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; 0 where the fault has no place.
    pub line: usize,
    /// The `@id` of the rule, where it is known.
    pub rule: Option<String>,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if let Some(rule) = &self.rule {
            write!(f, "rule `{rule}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why a policy was refused. The one that was in force stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// Each fault, in the order of lines; never empty.
    pub faults: Vec<Fault>,
}

impl LoadError {
    fn one(line: usize, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault { line, rule: None, message: message.into() }] }
    }

    fn sorted(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.message.cmp(&b.message)));
        faults.dedup();
        Self { faults }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy was refused")?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Whether a rule permits or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleEffect {
    /// It permits.
    Permit,
    /// It forbids, which beats every permit.
    Forbid,
}

/// One rule of a loaded policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its `@id`.
    pub id: String,
    /// The line it begins in, from 1.
    pub line: usize,
    /// Whether it permits or forbids.
    pub effect: RuleEffect,
    /// The actions it speaks about.
    pub actions: Vec<Action>,
    /// The comment right above it, without its slashes, in one line; empty if there is none.
    pub comment: String,
    /// As it is written.
    pub text: String,
}

/// A policy that was parsed, checked and can be asked. Immutable: share it behind an `Arc`.
#[derive(Debug)]
pub struct Policy {
    pub(crate) set: PolicySet,
    /// Guardrails, then default-deny, then each rule, then each rule's error: indexed by [`RuleId`].
    names: Vec<String>,
    rules: Vec<Rule>,
    by_id: BTreeMap<String, usize>,
    warnings: Vec<Fault>,
    reads: [Reads; Action::ALL.len()],
    digest: [u8; 32],
}

impl Policy {
    /// Parses and checks a policy.
    ///
    /// # Errors
    /// All faults that were found, with their lines: what does not parse, rules without an `@id` of their own,
    /// what the schema does not allow.
    pub fn load(text: &str) -> Result<Self, LoadError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(LoadError::one(0, format!("it is longer than {MAX_TEXT_BYTES} bytes")));
        }
        let lines = Lines::new(text);
        let parsed: PolicySet = text.parse().map_err(|errors| parse_faults(&errors, &lines))?;
        let rules = named_rules(&parsed, text, &lines)?;
        let by_id = rules.iter().enumerate().map(|(at, (rule, _))| (rule.id.clone(), at)).collect();
        let named = rules.iter().map(|(_, cedar)| cedar.clone());
        let set = PolicySet::from_policies(named).map_err(|error| LoadError::one(0, error.to_string()))?;
        let warnings = validate(&set, &rules, &lines)?;

        let mut reads = [Reads::default(); Action::ALL.len()];
        for (rule, cedar) in &rules {
            let json = cedar.to_json().map_err(|error| LoadError::one(rule.line, error.to_string()))?;
            let of_rule = Reads::of_rule(&json);
            for action in &rule.actions {
                let of_action = &mut reads[*action as usize];
                *of_action = of_action.and(of_rule);
            }
        }
        let rules: Vec<Rule> = rules.into_iter().map(|(rule, _)| rule).collect();
        let names = Guardrail::ALL
            .iter()
            .map(|guardrail| guardrail.name().to_owned())
            .chain([DEFAULT_DENY.to_owned()])
            .chain(rules.iter().map(|rule| rule.id.clone()))
            .chain(rules.iter().map(|rule| format!("error:{}", rule.id)))
            .collect();
        Ok(Self {
            set,
            names,
            rules,
            by_id,
            warnings,
            reads,
            digest: id::hash(id::DOCUMENT, &[b"policy", text.as_bytes()]),
        })
    }

    /// Tells this text from any other: judgements that were made under another digest may be out of date.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The rules, in the order of the text.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the validator finds strange and does not refuse, such as a rule that can never apply.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The name of what determined a decision: `guardrail:NAME`, `default-deny`, the `@id` of a rule, or
    /// `error:ID` where the evaluation of a rule failed. `unknown-rule` for a number of another policy.
    #[must_use]
    pub fn rule_name(&self, rule: RuleId) -> &str {
        self.names.get(usize::from(rule.0)).map_or("unknown-rule", String::as_str)
    }

    /// What the rule of a name says: in words, and as it is written, which a guardrail is not. `None` for a rule of another
    /// policy.
    #[must_use]
    pub fn says(&self, name: &str) -> Option<(&str, &str)> {
        if let Some(guardrail) = Guardrail::ALL.iter().find(|guardrail| guardrail.name() == name) {
            return Some((guardrail.says(), ""));
        }
        if name == DEFAULT_DENY {
            return Some(("No rule of the policy permits it.", ""));
        }
        let id = name.strip_prefix("error:").unwrap_or(name);
        let rule = &self.rules[*self.by_id.get(id)?];
        Some((&rule.comment, &rule.text))
    }

    pub(crate) fn default_deny() -> RuleId {
        rule_number(Guardrail::ALL.len())
    }

    pub(crate) fn guardrail(guardrail: Guardrail) -> RuleId {
        rule_number(guardrail as usize)
    }

    /// The place of a rule in the text, by its Cedar id, which is its `@id`.
    pub(crate) fn place(&self, id: &PolicyId) -> usize {
        let id: &str = id.as_ref();
        // Every id that Cedar answers with is one that was loaded here.
        self.by_id.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn rule_at(place: usize) -> RuleId {
        rule_number(Guardrail::ALL.len() + 1 + place)
    }

    pub(crate) fn error_at(&self, place: usize) -> RuleId {
        rule_number(Guardrail::ALL.len() + 1 + self.rules.len() + place)
    }

    pub(crate) fn is_error(&self, rule: RuleId) -> bool {
        usize::from(rule.0) > Guardrail::ALL.len() + self.rules.len()
    }

    pub(crate) fn reads(&self, action: Action) -> Reads {
        self.reads[action as usize]
    }
}

/// Numbers stay small: [`MAX_RULES`] bounds them far below 65,536.
fn rule_number(at: usize) -> RuleId {
    RuleId(u16::try_from(at).unwrap_or(u16::MAX))
}

/// The parsed schema. It is part of the program, and a test loads it.
pub(crate) fn schema() -> Result<&'static Schema, LoadError> {
    static PARSED: OnceLock<Result<Schema, String>> = OnceLock::new();
    let parse = || Schema::from_cedarschema_str(SCHEMA).map(|(schema, _)| schema).map_err(|e| e.to_string());
    let parsed = PARSED.get_or_init(parse).as_ref();
    parsed.map_err(|error| LoadError::one(0, format!("the schema of this program is broken: {error}")))
}

/// Finds line numbers.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect() }
    }

    /// The line that holds a byte, from 1.
    fn of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The line a diagnostic points at, if it points anywhere.
    fn of_diagnostic(&self, diagnostic: &dyn Diagnostic) -> Option<usize> {
        let label = diagnostic.labels()?.next()?;
        Some(self.of(label.offset()))
    }
}

fn parse_faults(errors: &cedar_policy::ParseErrors, lines: &Lines) -> LoadError {
    let fault = |error: &cedar_policy::ParseError| {
        let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
        let line = lines.of_diagnostic(error).unwrap_or(0);
        Fault { line, rule: None, message: format!("{error}{help}") }
    };
    LoadError::sorted(errors.iter().map(fault).collect())
}

/// The rules in the order of the text, each under its `@id`.
fn named_rules(
    parsed: &PolicySet,
    source: &str,
    lines: &Lines,
) -> Result<Vec<(Rule, CedarPolicy)>, LoadError> {
    let mut faults = Vec::new();
    for template in parsed.templates() {
        let line = template.as_ref().loc().map_or(0, |loc| lines.of(loc.start()));
        let message = "a rule has a slot such as `?principal`: write the principal out".to_owned();
        faults.push(Fault { line, rule: None, message });
    }
    if parsed.num_of_policies() > MAX_RULES {
        return Err(LoadError::one(0, format!("it has more than {MAX_RULES} rules")));
    }
    let start = |rule: &CedarPolicy| rule.as_ref().loc().map_or(0, |loc| loc.start());
    let mut ordered: Vec<&CedarPolicy> = parsed.policies().collect();
    ordered.sort_by_key(|rule| start(rule));

    let mut rules: Vec<(Rule, CedarPolicy)> = Vec::new();
    let mut seen = BTreeMap::new();
    for cedar in ordered {
        let line = lines.of(start(cedar));
        let id = match checked_id(cedar.annotation("id")) {
            Ok(id) => id.to_owned(),
            Err(message) => {
                faults.push(Fault { line, rule: None, message });
                continue;
            }
        };
        if let Some(first) = seen.insert(id.clone(), line) {
            let message = format!("line {first} has a rule of the same @id: give each rule its own");
            faults.push(Fault { line, rule: Some(id), message });
            continue;
        }
        let effect = match cedar.effect() {
            Effect::Permit => RuleEffect::Permit,
            Effect::Forbid => RuleEffect::Forbid,
        };
        let named = cedar.new_id(PolicyId::new(&id));
        let text =
            cedar.as_ref().loc().and_then(|loc| source.get(loc.start()..loc.end())).unwrap_or_default();
        let rule = Rule {
            id,
            line,
            effect,
            actions: actions_of(cedar),
            comment: comment_above(start(cedar), source),
            text: text.to_owned(),
        };
        rules.push((rule, named));
    }
    if faults.is_empty() { Ok(rules) } else { Err(LoadError::sorted(faults)) }
}

/// The lines of comment that end right above a place of the text.
fn comment_above(start: usize, source: &str) -> String {
    let above = source.get(..start).unwrap_or_default();
    // What stands before the rule in its own line is nothing, or another rule.
    let above = above.rfind('\n').map_or("", |end| &above[..end]);
    let comment = |line: &&str| line.trim_start().starts_with("//");
    let mut lines: Vec<&str> = above.lines().rev().take_while(comment).collect();
    lines.reverse();
    let words = lines.iter().map(|line| line.trim_start().trim_start_matches('/').trim());
    words.collect::<Vec<_>>().join(" ")
}

fn checked_id(id: Option<&str>) -> Result<&str, String> {
    let id = id.ok_or("a rule has no name: put @id(\"NAME\") before it")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(allowed) {
        return Err(format!("an @id is 1 to {MAX_ID_BYTES} letters, digits, `-`, `_` and `.` long"));
    }
    // Names of guardrails and errors have a colon and cannot collide.
    if id == DEFAULT_DENY {
        return Err(format!("the @id `{DEFAULT_DENY}` is taken by what happens when no rule applies"));
    }
    // By these names stands what is not to be judged anew.
    if id == "by-hand" || id.starts_with("by-default-after-") {
        return Err(format!("the @id `{id}` is taken by what was decided about held records"));
    }
    Ok(id)
}

/// What to write where a text is compared with a word of an enumeration of the schema.
fn enumerated(message: &str) -> Option<String> {
    const ENUMS: &[(&str, &str)] =
        &[("OrgKind", "private"), ("CircleKind", "mesh"), ("RecordKind", "report"), ("Origin", "derived")];
    let is_named = |name: &str| message.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
    let (name, word) = ENUMS.iter().find(|(name, _)| is_named("String") && is_named(name))?;
    Some(format!(": it is no text but a word of `{name}`: write {name}::\"{word}\", not \"{word}\""))
}

/// Checks the rules against the schema; the warnings are returned.
fn validate(set: &PolicySet, rules: &[(Rule, CedarPolicy)], lines: &Lines) -> Result<Vec<Fault>, LoadError> {
    let result = Validator::new(schema()?.clone()).validate(set, ValidationMode::Strict);
    let fault = |id: &PolicyId, diagnostic: &dyn Diagnostic| {
        let id: &str = id.as_ref();
        let rule = rules.iter().map(|(rule, _)| rule).find(|rule| rule.id == id);
        let line = lines.of_diagnostic(diagnostic).or(rule.map(|rule| rule.line)).unwrap_or(0);
        let text = diagnostic.to_string();
        // Cedar names the rule in each message; the fault names it already.
        let naming = format!("for policy `{id}`, ");
        let message = text.strip_prefix(&naming).unwrap_or(&text);
        let help = diagnostic.help().map(|help| help.to_string());
        let help = help.map(|help| format!(" ({})", help.strip_prefix(&naming).unwrap_or(&help)));
        let help = enumerated(message).or(help).unwrap_or_default();
        Fault { line, rule: Some(id.to_owned()), message: format!("{message}{help}") }
    };
    let errors: Vec<Fault> =
        result.validation_errors().map(|error| fault(error.policy_id(), error)).collect();
    if !errors.is_empty() {
        return Err(LoadError::sorted(errors));
    }
    let warnings: Vec<Fault> =
        result.validation_warnings().map(|warning| fault(warning.policy_id(), warning)).collect();
    Ok(LoadError::sorted(warnings).faults)
}
