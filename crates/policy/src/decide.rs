//! The six questions: guardrails first, then the rules, with answers cached by what the rules can read.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{AuthorizationError, Authorizer, Decision as CedarDecision, Response};
use hashbrown::HashMap;

use crate::decision::{Action, Decision, Judgement, RuleId, Ruling};
use crate::facts::{Consumer, HeaderFacts, Home, Org, Person, RecordFacts};
use crate::guardrails::{self, Guardrail};
use crate::load::Policy;
use crate::reads::Reads;
use crate::request::{Question, Types};

/// How many answers are kept; all are dropped when there are more.
const CACHE_ENTRIES: usize = 65_536;

/// A policy in force at one node, with its cache. Each thread that asks has its own.
pub struct Decisions {
    policy: Arc<Policy>,
    home: Home,
    authorizer: Authorizer,
    types: Types,
    cache: HashMap<Box<[u8]>, Answer>,
    key: Vec<u8>,
    errors: BTreeMap<RuleId, u64>,
}

/// What the rules say: a ruling for a judgement, accept or refuse for all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    ruling: Ruling,
    rule: RuleId,
}

impl Answer {
    fn decision(self) -> Decision {
        Decision { allow: self.ruling == Ruling::Accept, rule: self.rule }
    }
}

/// Why something was decided: for `why` and `policy check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The outcome: `Accept` and `Refuse` stand for allow and deny where the question is not a judgement.
    pub ruling: Ruling,
    /// The name of the rule that determined it.
    pub rule: String,
    /// Every rule that spoke for this outcome, in the order of the text; empty for a guardrail or default-deny.
    pub determining: Vec<String>,
    /// The rules whose evaluation failed, and why.
    pub errors: Vec<(String, String)>,
    /// The facts that the rules can read, as `principal.country` and the value.
    pub saw: Vec<(String, String)>,
}

impl Decisions {
    /// Puts a policy in force for the node of this org.
    ///
    /// # Panics
    /// If the names in the schema of this program do not parse, which a test excludes.
    #[must_use]
    pub fn new(policy: Arc<Policy>, home: Home) -> Self {
        #[expect(clippy::expect_used, reason = "constant names, loaded by every test of this crate")]
        let types = Types::new().expect("the type names of the schema parse");
        Self {
            policy,
            home,
            authorizer: Authorizer::new(),
            types,
            cache: HashMap::new(),
            key: Vec::new(),
            errors: BTreeMap::new(),
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The node's org, as it was given.
    #[must_use]
    pub fn home(&self) -> Home {
        self.home
    }

    /// Puts another policy in force. Error counts begin anew.
    pub fn replace(&mut self, policy: Arc<Policy>) {
        self.policy = policy;
        self.cache.clear();
        self.errors.clear();
    }

    /// The name of what determined a decision of the policy in force.
    #[must_use]
    pub fn rule_name(&self, rule: RuleId) -> &str {
        self.policy.rule_name(rule)
    }

    /// How many decisions each failing rule forced, under the name `error:ID`.
    pub fn errors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.errors.iter().map(|(rule, count)| (self.policy.rule_name(*rule), *count))
    }

    /// Whether to ask for a body, or to read one that was pushed.
    pub fn fetch(&mut self, header: &HeaderFacts) -> Decision {
        match guardrails::fetch(header, &self.home) {
            Some((allow, guardrail)) => guarded(allow, guardrail),
            None => self.ask(&Question::Fetch(header)).decision(),
        }
    }

    /// Whether to accept, hold or refuse a record.
    pub fn judge(&mut self, record: &RecordFacts) -> Judgement {
        let Answer { ruling, rule } = match guardrails::judge(record, &self.home) {
            Some((ruling, guardrail)) => Answer { ruling, rule: Policy::guardrail(guardrail) },
            None => held_if_newer(record, self.ask(&Question::Judge(record))),
        };
        Judgement { ruling, rule }
    }

    /// Whether to pass a record on to a partner. The caller asks for accepted records, and for those that are
    /// held only because they are newer than this node.
    pub fn forward(&mut self, record: &RecordFacts, peer: &Org) -> Decision {
        match guardrails::forward(record, peer, &self.home) {
            Some((allow, guardrail)) => guarded(allow, guardrail),
            None => self.ask(&Question::Forward(record, peer)).decision(),
        }
    }

    /// Whether to show a record to a person.
    pub fn query(&mut self, record: &RecordFacts, person: &Person) -> Decision {
        match guardrails::query(record, person) {
            Some((allow, guardrail)) => guarded(allow, guardrail),
            None => self.ask(&Question::Query(record, person)).decision(),
        }
    }

    /// Whether to give a record to a system.
    pub fn export(&mut self, record: &RecordFacts, consumer: &Consumer) -> Decision {
        match guardrails::export(record, consumer) {
            Some((allow, guardrail)) => guarded(allow, guardrail),
            None => self.ask(&Question::Export(record, consumer)).decision(),
        }
    }

    /// Whether this rule is the one that holds what is newer than this node: such records are carried all the
    /// same.
    #[must_use]
    pub fn is_newer_hold(rule: RuleId) -> bool {
        rule == Policy::guardrail(Guardrail::Newer)
    }

    /// The name of that rule, as it is kept with what was judged.
    #[must_use]
    pub fn newer_hold() -> &'static str {
        Guardrail::Newer.name()
    }

    /// Decides anew and tells all reasons. Costs tens of microseconds; nothing is counted or cached.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let home = &self.home;
        let allowed = |allow| if allow { Ruling::Accept } else { Ruling::Refuse };
        let said = match question {
            Question::Fetch(header) => guardrails::fetch(header, home).map(|(a, by)| (allowed(a), by)),
            Question::Judge(record) => guardrails::judge(record, home),
            Question::Forward(record, peer) => {
                guardrails::forward(record, peer, home).map(|(a, by)| (allowed(a), by))
            }
            Question::Query(record, person) => {
                guardrails::query(record, person).map(|(a, by)| (allowed(a), by))
            }
            Question::Export(record, consumer) => {
                guardrails::export(record, consumer).map(|(a, by)| (allowed(a), by))
            }
        };
        let saw = question.saw(self.reads(question), home);
        if let Some((ruling, guardrail)) = said {
            let rule = guardrail.name().to_owned();
            return Explanation { ruling, rule, determining: Vec::new(), errors: Vec::new(), saw };
        }
        let mut reasons = Reasons::default();
        let mut answer = self.evaluate(question, &mut reasons);
        if let Question::Judge(record) = question {
            answer = held_if_newer(record, answer);
        }
        let rule = self.policy.rule_name(answer.rule).to_owned();
        let name = |place: usize| self.policy.rules()[place].id.clone();
        let determining = reasons.determining.into_iter().map(name).collect();
        let errors = reasons.errors.into_iter().map(|(place, why)| (name(place), why)).collect();
        Explanation { ruling: answer.ruling, rule, determining, errors, saw }
    }

    /// How many answers are cached.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    fn ask(&mut self, question: &Question) -> Answer {
        let reads = self.reads(question);
        question.write_key(reads, &self.home, &mut self.key);
        let answer = if let Some(known) = self.cache.get(self.key.as_slice()) {
            *known
        } else {
            let answer = self.evaluate(question, &mut Reasons::default());
            if self.cache.len() >= CACHE_ENTRIES {
                self.cache.clear();
            }
            self.cache.insert(self.key.as_slice().into(), answer);
            answer
        };
        if self.policy.is_error(answer.rule) {
            *self.errors.entry(answer.rule).or_default() += 1;
        }
        answer
    }

    fn reads(&self, question: &Question) -> Reads {
        let of = |action| self.policy.reads(action);
        match question {
            Question::Fetch(_) => of(Action::Fetch),
            Question::Judge(_) => of(Action::Accept).and(of(Action::Hold)),
            Question::Forward(..) => of(Action::Forward),
            Question::Query(..) => of(Action::Query),
            Question::Export(..) => of(Action::Export),
        }
    }

    fn evaluate(&self, question: &Question, reasons: &mut Reasons) -> Answer {
        let action = match question {
            Question::Fetch(_) => Action::Fetch,
            Question::Judge(_) => return self.evaluate_judgement(question, reasons),
            Question::Forward(..) => Action::Forward,
            Question::Query(..) => Action::Query,
            Question::Export(..) => Action::Export,
        };
        match self.authorize(question, action, reasons) {
            Authorized::Allow(rule) => Answer { ruling: Ruling::Accept, rule },
            Authorized::Deny(rule) | Authorized::Failed(rule) => Answer { ruling: Ruling::Refuse, rule },
        }
    }

    /// Hold wins over accept, neither is refusal, and a rule that fails holds.
    fn evaluate_judgement(&self, question: &Question, reasons: &mut Reasons) -> Answer {
        if let Authorized::Allow(rule) | Authorized::Failed(rule) =
            self.authorize(question, Action::Hold, reasons)
        {
            return Answer { ruling: Ruling::Hold, rule };
        }
        // What forbade holding says nothing about the outcome from here on.
        reasons.determining.clear();
        match self.authorize(question, Action::Accept, reasons) {
            Authorized::Allow(rule) => Answer { ruling: Ruling::Accept, rule },
            Authorized::Deny(rule) => Answer { ruling: Ruling::Refuse, rule },
            Authorized::Failed(rule) => Answer { ruling: Ruling::Hold, rule },
        }
    }

    fn authorize(&self, question: &Question, action: Action, reasons: &mut Reasons) -> Authorized {
        // Both actions of a judgement share what they read, so that the key covers them together.
        let request = self.types.request(question, action, self.reads(question), &self.home);
        let Ok((request, entities)) = request else {
            return Authorized::Failed(Policy::default_deny());
        };
        let response = self.authorizer.is_authorized(&request, &self.policy.set, &entities);
        reasons.take(&response, &self.policy);
        if let Some((place, _)) = reasons.errors.first() {
            return Authorized::Failed(self.policy.error_at(*place));
        }
        let first = reasons.determining.first();
        let rule = first.map_or(Policy::default_deny(), |place| Policy::rule_at(*place));
        match response.decision() {
            CedarDecision::Allow => Authorized::Allow(rule),
            CedarDecision::Deny => Authorized::Deny(rule),
        }
    }
}

/// What Cedar said, when an evaluation error is not skipped over.
enum Authorized {
    Allow(RuleId),
    Deny(RuleId),
    Failed(RuleId),
}

/// The rules behind an answer, by their places in the text, in order.
#[derive(Debug, Default)]
struct Reasons {
    determining: Vec<usize>,
    errors: Vec<(usize, String)>,
}

impl Reasons {
    fn take(&mut self, response: &Response, policy: &Policy) {
        let diagnostics = response.diagnostics();
        self.determining.extend(diagnostics.reason().map(|id| policy.place(id)));
        self.determining.sort_unstable();
        for AuthorizationError::PolicyEvaluationError(error) in diagnostics.errors() {
            self.errors.push((policy.place(error.policy_id()), error.inner().to_string()));
        }
        self.errors.sort_unstable();
    }
}

fn guarded(allow: bool, guardrail: Guardrail) -> Decision {
    Decision { allow, rule: Policy::guardrail(guardrail) }
}

/// What the rules accept is still held while this node does not understand all of it.
fn held_if_newer(record: &RecordFacts, answer: Answer) -> Answer {
    if answer.ruling == Ruling::Accept && guardrails::is_newer(record) {
        return Answer { ruling: Ruling::Hold, rule: Policy::guardrail(Guardrail::Newer) };
    }
    answer
}
