//! Where policy is asked: facts are built from header, body and charter, one place for each question.

use tocsin_policy::{
    BodyView, Circle, CircleKind, Decision, HeaderFacts, Judgement, Org, RecordFacts, RuleId,
};
use tocsin_record::body::{Body, BodyRef};
use tocsin_record::document::Carry;
use tocsin_record::header::Header;
use tocsin_record::marking::{Flags, Tlp};
use tocsin_record::{CircleId, Entry, NodeKey, OrgId};
use tocsin_store::{Kv, LogNo, Slots};

use crate::admission::{Admission, By};
use crate::directory::Directory;

/// What all records of a log have in common as policy sees it: looked up once for many.
#[derive(Debug, Clone, Copy)]
pub struct LogFacts<'a> {
    author: Org<'a>,
    circle: Circle<'a>,
}

impl<'a> LogFacts<'a> {
    /// What a node writes to a circle. Of an author that is no longer in the mesh nothing is known.
    #[must_use]
    pub fn of(directory: &'a Directory, author: NodeKey, circle: CircleId) -> Self {
        let org = directory.org_of(author).unwrap_or(OrgId::ZERO);
        Self { author: org_facts(directory, org), circle: circle_facts(directory, circle, org) }
    }

    /// A header of it. Flags or a TLP byte off their scales are those of a newer node: nothing is known of them.
    #[must_use]
    pub fn header(&self, header: &Header, now_ms: u64) -> HeaderFacts<'_> {
        let Self { author, circle } = self;
        HeaderFacts::of(header, author, *circle, now_ms).unwrap_or_else(|_| HeaderFacts {
            author,
            circle: *circle,
            class: header.class,
            kind: header.kind,
            tlp: Tlp::from_code(header.tlp),
            flags: Flags::default(),
            cover: tocsin_policy::Cover::Unsealed,
            time_ms: header.time,
            expires_ms: header.expires,
            now_ms,
        })
    }

    /// The header of a record of it, with the kind that it hides where the body was sealed and is read.
    #[must_use]
    pub fn entry(&self, entry: &'a Entry, now_ms: u64) -> HeaderFacts<'_> {
        self.of_kind(&entry.header, entry.readable().map(|(kind, _)| kind), now_ms)
    }

    /// As [`Self::header`], where the kind of the body is known, if it is read.
    pub(crate) fn of_kind(&self, header: &Header, kind: Option<u16>, now_ms: u64) -> HeaderFacts<'_> {
        let facts = self.header(header, now_ms);
        match kind {
            Some(kind) if header.suite != 0 => HeaderFacts { kind, ..facts },
            _ => facts,
        }
    }
}

/// A log and an org that something of it may go to.
pub(crate) struct Way<'a> {
    log: LogFacts<'a>,
    to: Org<'a>,
    /// What stands behind is disputed.
    takes_up_to: u64,
}

/// A circle as policy sees it.
fn circle_facts(directory: &Directory, circle: CircleId, author: OrgId) -> Circle<'_> {
    if circle == CircleId::mesh(directory.mesh()) {
        Circle { name: "mesh", kind: CircleKind::Mesh, carry: Carry::Members }
    } else if circle == CircleId::own(directory.mesh(), author) {
        Circle { name: "own", kind: CircleKind::Own, carry: Carry::Members }
    } else {
        let name = directory.roster(circle).map_or("", |roster| &roster.name);
        Circle { name, kind: CircleKind::Other, carry: directory.membership(circle).carry() }
    }
}

/// The suite in which content is written to a circle: sealed where the circle has a roster, else 0.
#[must_use]
pub fn suite_of(directory: &Directory, circle: CircleId) -> u8 {
    if directory.roster(circle).is_some() { tocsin_seal::SUITE } else { 0 }
}

/// An org as policy sees it.
#[must_use]
pub fn org_facts(directory: &Directory, org: OrgId) -> Org<'_> {
    directory.org(org).map_or(
        Org { id: org, name: "", kind: "other", country: *b"??", regimes: &[], roles: &[], trust: None },
        |entry| Org::of(entry, directory.trust(&entry.name)),
    )
}

/// A body as policy sees it when it judges it: with the strictest TLP of the originals that it keeps, which are
/// decompressed for that.
#[must_use]
pub fn new_body_view(body: &Body) -> BodyView<'_> {
    let inside = if let Body::Report(report) = body { report.borrowed().strictest_original() } else { None };
    BodyView::of(body, inside)
}

/// As [`new_body_view`], of a body that was read in place.
#[must_use]
pub fn new_body_ref_view<'a>(body: &'a BodyRef<'a>) -> BodyView<'a> {
    let inside = if let BodyRef::Report(report) = body { report.strictest_original() } else { None };
    BodyView::of_ref(body, inside)
}

/// A body as policy sees it later. Its originals are no stricter than its marking, or it would not have been kept.
#[must_use]
pub fn body_view(body: &Body) -> BodyView<'_> {
    BodyView::of(body, None)
}

/// As [`body_view`], of a body that was read in place.
#[must_use]
pub fn body_ref_view<'a>(body: &'a BodyRef<'a>) -> BodyView<'a> {
    BodyView::of_ref(body, None)
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// `fetch`: before a body is asked for and before a pushed one is read.
    pub(crate) fn fetch_allowed(&mut self, by: &By<'_>, log: &LogFacts<'_>, header: &Header) -> Decision {
        self.decisions.fetch(&log.header(header, self.clock.passed(by.now)))
    }

    /// `accept` and `hold`.
    pub(crate) fn judge(
        &mut self,
        by: &By<'_>,
        log: &LogFacts<'_>,
        header: &Header,
        body: &BodyRef<'_>,
    ) -> Judgement {
        let view = new_body_ref_view(body);
        let header = log.of_kind(header, body.kind(), self.clock.passed(by.now));
        self.decisions.judge(&RecordFacts { header, body: Some(view.facts()), disputed: false })
    }

    /// Both for a content body that is here: the rule that would not have asked for it, or the judgement.
    pub(crate) fn fetch_and_judge(
        &mut self,
        by: &By<'_>,
        log: &LogFacts<'_>,
        entry: &Entry,
        body: &BodyRef<'_>,
    ) -> Result<Judgement, RuleId> {
        if entry.is_content() {
            let fetch = self.fetch_allowed(by, log, &entry.header);
            if !fetch.allow {
                return Err(fetch.rule);
            }
        }
        // Only now: what is not wanted is not decompressed.
        Ok(self.judge(by, log, &entry.header, body))
    }

    /// The way of a log to an org.
    pub(crate) fn way<'d>(&self, by: &By<'d>, log: LogNo, to: OrgId) -> Option<Way<'d>> {
        let key = self.store.key(log)?;
        Some(Way {
            log: LogFacts::of(by.directory, key.author, key.circle),
            to: org_facts(by.directory, to),
            takes_up_to: self.takes_up_to(log),
        })
    }

    /// `forward`, of what is carried: own records too. Only a body that reads was kept, so one that does not is not here.
    pub(crate) fn forward_allowed(&mut self, by: &By<'_>, way: &Way<'_>, entry: &Entry) -> Decision {
        let body = BodyRef::again(entry);
        let read = body.as_ref().map(|body| (body, body_ref_view(body)));
        self.forward_with(by, way, &entry.header, read.as_ref())
    }

    /// As [`Self::forward_allowed`], with a body that was read before.
    pub(crate) fn forward_with(
        &mut self,
        by: &By<'_>,
        way: &Way<'_>,
        header: &Header,
        read: Option<&(&BodyRef<'_>, BodyView<'_>)>,
    ) -> Decision {
        let facts = RecordFacts {
            header: way.log.of_kind(
                header,
                read.and_then(|(body, _)| body.kind()),
                self.clock.passed(by.now),
            ),
            body: read.map(|(_, view)| view.facts()),
            disputed: header.seq > way.takes_up_to,
        };
        self.decisions.forward(&facts, &way.to)
    }
}
