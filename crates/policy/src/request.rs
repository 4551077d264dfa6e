//! One question as Cedar's request, as a cache key, and as words for `why`.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};

use crate::attributes::{self, Attr, Sink};
use crate::decision::Action;
use crate::facts::{Consumer, HeaderFacts, Home, Org, Person, RecordFacts};
use crate::reads::Reads;

/// Who asks what about which record.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// Ask for the body of this header?
    Fetch(&'a HeaderFacts<'a>),
    /// Accept, hold or refuse this record?
    Judge(&'a RecordFacts<'a>),
    /// Pass it on to this partner?
    Forward(&'a RecordFacts<'a>, &'a Org<'a>),
    /// Show it to this person?
    Query(&'a RecordFacts<'a>, &'a Person<'a>),
    /// Give it to this system?
    Export(&'a RecordFacts<'a>, &'a Consumer<'a>),
}

impl<'a> Question<'a> {
    fn header(&self) -> &'a HeaderFacts<'a> {
        match self {
            Self::Fetch(header) => header,
            Self::Judge(record) | Self::Forward(record, _) | Self::Query(record, _) => &record.header,
            Self::Export(record, _) => &record.header,
        }
    }

    fn number(&self) -> u8 {
        match self {
            Self::Fetch(_) => 0,
            Self::Judge(_) => 1,
            Self::Forward(..) => 2,
            Self::Query(..) => 3,
            Self::Export(..) => 4,
        }
    }

    /// The partner whose attributes the principal has, where the principal is one.
    fn principal_org(&self) -> Option<&'a Org<'a>> {
        match self {
            Self::Fetch(header) => Some(header.author),
            Self::Judge(record) => Some(record.header.author),
            Self::Forward(_, peer) => Some(peer),
            Self::Query(..) | Self::Export(..) => None,
        }
    }

    /// The author, where the rules can tell it from the principal.
    fn other_author(&self) -> Option<&'a Org<'a>> {
        match self {
            Self::Fetch(_) | Self::Judge(_) => None,
            Self::Forward(..) | Self::Query(..) | Self::Export(..) => Some(self.header().author),
        }
    }

    /// What is read of the principal: of an author that is the principal, both ways of reading it.
    fn reads_of_principal(&self, reads: Reads) -> Reads {
        let author = &self.header().author.id;
        let is_author = self.principal_org().is_some_and(|org| org.id == *author);
        if is_author { Reads { attrs: reads.attrs | reads.author, ..reads } } else { reads }
    }

    fn visit_principal(&self, home: &Home, sink: &mut impl Sink) {
        match self {
            Self::Query(_, person) => attributes::visit_person(person, sink),
            Self::Export(_, consumer) => attributes::visit_consumer(consumer, sink),
            Self::Fetch(_) | Self::Judge(_) | Self::Forward(..) => {
                if let Some(org) = self.principal_org() {
                    attributes::visit_org(org, home, sink);
                }
            }
        }
    }

    fn visit_resource(&self, sink: &mut impl Sink) {
        match self {
            Self::Fetch(header) => attributes::visit_header(header, sink),
            Self::Judge(record) | Self::Forward(record, _) | Self::Query(record, _) => {
                attributes::visit_record(record, sink);
            }
            Self::Export(record, _) => attributes::visit_record(record, sink),
        }
    }

    fn visit_context(&self, sink: &mut impl Sink) {
        if let Self::Query(_, person) = self {
            attributes::visit_question(person, sink);
        }
    }

    /// Writes all that the rules can read of this question, so that two questions of one key have one answer.
    pub(crate) fn write_key(&self, reads: Reads, home: &Home, key: &mut Vec<u8>) {
        key.clear();
        key.push(self.number());
        let mut sink = KeySink { reads, key };
        if reads.ids {
            match self {
                Self::Query(_, person) => sink.bytes(person.name.as_bytes()),
                Self::Export(_, consumer) => sink.bytes(consumer.name.as_bytes()),
                Self::Fetch(_) | Self::Judge(_) | Self::Forward(..) => {
                    sink.key.extend(self.principal_org().map_or([0; 32], |org| org.id.0));
                }
            }
            sink.key.extend(self.header().author.id.0);
        }
        sink.reads = self.reads_of_principal(reads);
        self.visit_principal(home, &mut sink);
        sink.reads = reads;
        sink.key.push(NEXT_ENTITY);
        self.visit_resource(&mut sink);
        sink.key.push(NEXT_ENTITY);
        self.visit_context(&mut sink);
        if let Some(author) = self.other_author().filter(|_| reads.has(Attr::Author)) {
            sink.key.push(NEXT_ENTITY);
            sink.reads = reads_of_author(reads);
            attributes::visit_org(author, home, &mut sink);
        }
    }

    /// The facts that the rules can read, as `principal.country` and its value in words.
    pub(crate) fn saw(&self, reads: Reads, home: &Home) -> Vec<(String, String)> {
        let mut saw = Vec::new();
        let mut visit = |prefix, with: &mut dyn FnMut(&mut WordSink)| {
            with(&mut WordSink { reads, prefix, words: &mut saw });
        };
        visit("principal", &mut |sink| self.visit_principal(home, sink));
        visit("resource", &mut |sink| self.visit_resource(sink));
        visit("context", &mut |sink| self.visit_context(sink));
        if let Some(author) = self.other_author().filter(|_| reads.has(Attr::Author)) {
            visit("resource.author", &mut |sink| attributes::visit_org(author, home, sink));
        }
        saw
    }
}

fn reads_of_author(reads: Reads) -> Reads {
    Reads { attrs: reads.author, ..reads }
}

/// No attribute has this number in a key.
const NEXT_ENTITY: u8 = 255;

struct KeySink<'k> {
    reads: Reads,
    key: &'k mut Vec<u8>,
}

impl KeySink<'_> {
    /// Lengths stand before contents, so that no two lists of texts make one key.
    fn bytes(&mut self, bytes: &[u8]) {
        self.key.extend((bytes.len() as u64).to_le_bytes());
        self.key.extend(bytes);
    }
}

impl Sink for KeySink<'_> {
    fn wants(&self, attr: Attr) -> bool {
        self.reads.has(attr)
    }

    fn long(&mut self, attr: Attr, value: i64) {
        if self.wants(attr) {
            self.key.push(attr as u8);
            self.key.extend(value.to_le_bytes());
        }
    }

    fn boolean(&mut self, attr: Attr, value: bool) {
        self.long(attr, i64::from(value));
    }

    fn text(&mut self, attr: Attr, value: &str) {
        if self.wants(attr) {
            self.key.push(attr as u8);
            self.bytes(value.as_bytes());
        }
    }

    fn member(&mut self, attr: Attr, _set: &'static str, value: &str) {
        self.text(attr, value);
    }

    fn texts<'t>(&mut self, attr: Attr, values: impl Iterator<Item = &'t str>) {
        if self.wants(attr) {
            self.key.push(attr as u8);
            let count_at = self.key.len();
            self.key.extend([0; 8]);
            let mut count = 0_u64;
            for value in values {
                self.bytes(value.as_bytes());
                count += 1;
            }
            self.key[count_at..count_at + 8].copy_from_slice(&count.to_le_bytes());
        }
    }
}

struct WordSink<'w> {
    reads: Reads,
    prefix: &'static str,
    words: &'w mut Vec<(String, String)>,
}

impl Sink for WordSink<'_> {
    fn wants(&self, attr: Attr) -> bool {
        self.reads.has(attr)
    }

    fn long(&mut self, attr: Attr, value: i64) {
        self.text(attr, &value.to_string());
    }

    fn boolean(&mut self, attr: Attr, value: bool) {
        self.text(attr, if value { "true" } else { "false" });
    }

    fn text(&mut self, attr: Attr, value: &str) {
        if self.wants(attr) {
            self.words.push((format!("{}.{}", self.prefix, attr.name()), value.to_owned()));
        }
    }

    fn member(&mut self, attr: Attr, _set: &'static str, value: &str) {
        self.text(attr, value);
    }

    fn texts<'t>(&mut self, attr: Attr, values: impl Iterator<Item = &'t str>) {
        if self.wants(attr) {
            let list = values.collect::<Vec<_>>().join(", ");
            self.text(attr, &format!("[{list}]"));
        }
    }
}

/// The type names of the schema, parsed once.
#[derive(Debug)]
pub(crate) struct Types {
    names: HashMap<&'static str, EntityTypeName>,
    actions: [EntityUid; Action::ALL.len()],
    record: EntityUid,
    header: EntityUid,
}

/// The entity types of the schema that requests name.
const TYPE_NAMES: [&str; 10] = [
    "Org",
    "OrgKind",
    "Header",
    "CircleKind",
    "RecordKind",
    "Record",
    "Origin",
    "Person",
    "Consumer",
    "Action",
];

/// Why a question could not be put to Cedar at all: then the answer is hold or deny.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the request could not be built: {0}")]
pub(crate) struct RequestError(String);

fn broken(error: impl std::fmt::Display) -> RequestError {
    RequestError(error.to_string())
}

impl Types {
    pub(crate) fn new() -> Result<Self, RequestError> {
        let mut names = HashMap::new();
        for name in TYPE_NAMES {
            names.insert(name, name.parse::<EntityTypeName>().map_err(broken)?);
        }
        let uid = |name: &str, id: &str| uid_of(&names, name, id);
        let actions = Action::ALL.map(|action| uid("Action", action.name()));
        let (record, header) = (uid("Record", "this"), uid("Header", "this"));
        Ok(Self { names, actions, record, header })
    }

    fn uid(&self, type_name: &str, id: &str) -> EntityUid {
        uid_of(&self.names, type_name, id)
    }

    /// The request and its entities, with only the attributes that rules can read.
    pub(crate) fn request(
        &self,
        question: &Question,
        action: Action,
        reads: Reads,
        home: &Home,
    ) -> Result<(Request, Entities), RequestError> {
        let sink = |reads| EntitySink { reads, types: self, attrs: HashMap::new() };
        let author = question.header().author;
        let author_uid = self.uid("Org", &author.id.to_string());

        let principal_uid = match question {
            Question::Query(_, person) => self.uid("Person", person.name),
            Question::Export(_, consumer) => self.uid("Consumer", consumer.name),
            Question::Forward(_, peer) => self.uid("Org", &peer.id.to_string()),
            Question::Fetch(_) | Question::Judge(_) => author_uid.clone(),
        };
        let mut principal = sink(question.reads_of_principal(reads));
        question.visit_principal(home, &mut principal);
        let mut entities = vec![principal.entity(principal_uid.clone())?];

        if principal_uid != author_uid && reads.has(Attr::Author) {
            let mut org = sink(reads_of_author(reads));
            attributes::visit_org(author, home, &mut org);
            entities.push(org.entity(author_uid.clone())?);
        }
        let mut resource = sink(reads);
        question.visit_resource(&mut resource);
        resource.put(Attr::Author, || RestrictedExpression::new_entity_uid(author_uid));
        let resource_uid = match question {
            Question::Fetch(_) => self.header.clone(),
            _ => self.record.clone(),
        };
        entities.push(resource.entity(resource_uid.clone())?);

        let mut context = sink(reads);
        question.visit_context(&mut context);
        let context = Context::from_pairs(context.attrs).map_err(broken)?;
        let action_uid = self.actions[action as usize].clone();
        let request = Request::new(principal_uid, action_uid, resource_uid, context, None).map_err(broken)?;
        let entities = Entities::from_entities(entities, None).map_err(broken)?;
        Ok((request, entities))
    }
}

fn uid_of(names: &HashMap<&'static str, EntityTypeName>, type_name: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(names[type_name].clone(), EntityId::new(id))
}

struct EntitySink<'t> {
    reads: Reads,
    types: &'t Types,
    attrs: HashMap<String, RestrictedExpression>,
}

impl EntitySink<'_> {
    fn put(&mut self, attr: Attr, value: impl FnOnce() -> RestrictedExpression) {
        if self.wants(attr) {
            self.attrs.insert(attr.name().to_owned(), value());
        }
    }

    fn entity(self, uid: EntityUid) -> Result<Entity, RequestError> {
        Entity::new(uid, self.attrs, HashSet::new()).map_err(broken)
    }
}

impl Sink for EntitySink<'_> {
    fn wants(&self, attr: Attr) -> bool {
        self.reads.has(attr)
    }

    fn long(&mut self, attr: Attr, value: i64) {
        self.put(attr, || RestrictedExpression::new_long(value));
    }

    fn boolean(&mut self, attr: Attr, value: bool) {
        self.put(attr, || RestrictedExpression::new_bool(value));
    }

    fn text(&mut self, attr: Attr, value: &str) {
        self.put(attr, || RestrictedExpression::new_string(value.to_owned()));
    }

    fn member(&mut self, attr: Attr, set: &'static str, value: &str) {
        let types = self.types;
        self.put(attr, || RestrictedExpression::new_entity_uid(types.uid(set, value)));
    }

    fn texts<'t>(&mut self, attr: Attr, values: impl Iterator<Item = &'t str>) {
        self.put(attr, || {
            RestrictedExpression::new_set(
                values.map(|value| RestrictedExpression::new_string(value.to_owned())),
            )
        });
    }
}
