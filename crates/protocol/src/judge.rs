//! Where policy is asked: facts are built from header, body and charter, one place for each question.

use tocsin_policy::{
    BodyView, Circle, CircleKind, Decision, HeaderFacts, Judgement, Org, RecordFacts, RuleId,
};
use tocsin_record::body::{Body, BodyRef};
use tocsin_record::header::Header;
use tocsin_record::marking::{Flags, Tlp};
use tocsin_record::{CircleId, Entry, OrgId};
use tocsin_store::{Kv, Slots};

use crate::directory::Directory;
use crate::mesh::Mesh;

/// A circle as policy sees it.
#[must_use]
pub fn circle_facts(directory: &Directory, circle: CircleId, author: OrgId) -> Circle<'_> {
    if circle == CircleId::mesh(directory.mesh()) {
        Circle { name: "mesh", kind: CircleKind::Mesh }
    } else if circle == CircleId::own(directory.mesh(), author) {
        Circle { name: "own", kind: CircleKind::Own }
    } else {
        Circle { name: directory.roster(circle).map_or("", |roster| &roster.name), kind: CircleKind::Other }
    }
}

/// A header as policy sees it. Flags or a TLP byte off their scales are those of a newer node: nothing is known of them.
#[must_use]
pub fn header_facts<'a>(
    directory: &'a Directory,
    author: &'a Org<'a>,
    header: &Header,
    now_ms: u64,
) -> HeaderFacts<'a> {
    let circle = circle_facts(directory, header.circle, author.id);
    HeaderFacts::of(header, author, circle, now_ms).unwrap_or_else(|_| HeaderFacts {
        author,
        circle,
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

/// The author's org as policy sees it; of an author that is no longer in the mesh nothing is known.
#[must_use]
pub fn author_facts<'a>(directory: &'a Directory, header: &Header) -> Org<'a> {
    org_facts(directory, directory.org_of(header.author).unwrap_or(OrgId::ZERO))
}

/// An org as policy sees it.
#[must_use]
pub fn org_facts(directory: &Directory, org: OrgId) -> Org<'_> {
    directory.org(org).map_or(
        Org { id: org, name: "", kind: "other", country: *b"??", regimes: &[], roles: &[], trust: None },
        |entry| Org::of(entry, directory.trust(&entry.name)),
    )
}

/// A body as policy sees it, with the strictest TLP of the objects that it keeps.
#[must_use]
pub fn body_view(body: &Body) -> BodyView<'_> {
    let inside = if let Body::Report(report) = body { report.borrowed().strictest_original() } else { None };
    BodyView::of(body, inside)
}

/// As [`body_view`], of a body that was read in place.
#[must_use]
pub fn body_ref_view<'a>(body: &'a BodyRef<'a>) -> BodyView<'a> {
    let inside = if let BodyRef::Report(report) = body { report.strictest_original() } else { None };
    BodyView::of_ref(body, inside)
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// `fetch`: before a body is asked for and before a pushed one is read.
    pub(crate) fn fetch_allowed(&mut self, entry: &Entry) -> Decision {
        let Self { directory, decisions, now, .. } = self;
        let author = author_facts(directory, &entry.header);
        decisions.fetch(&header_facts(directory, &author, &entry.header, now.wall))
    }

    /// `accept` and `hold`.
    pub(crate) fn judge(&mut self, entry: &Entry, view: &BodyView<'_>) -> Judgement {
        let Self { directory, decisions, now, .. } = self;
        let author = author_facts(directory, &entry.header);
        decisions.judge(&RecordFacts {
            header: header_facts(directory, &author, &entry.header, now.wall),
            body: Some(view.facts()),
            disputed: false,
        })
    }

    /// Both for a content body that is here: the rule that would not have asked for it, or the judgement.
    pub(crate) fn fetch_and_judge(
        &mut self,
        entry: &Entry,
        view: &BodyView<'_>,
    ) -> Result<Judgement, RuleId> {
        let Self { directory, decisions, now, .. } = self;
        let author = author_facts(directory, &entry.header);
        let header = header_facts(directory, &author, &entry.header, now.wall);
        if entry.is_content() {
            let fetch = decisions.fetch(&header);
            if !fetch.allow {
                return Err(fetch.rule);
            }
        }
        Ok(decisions.judge(&RecordFacts { header, body: Some(view.facts()), disputed: false }))
    }

    /// `forward`: own records too. Only a body that reads was kept, so one that does not is not here.
    pub(crate) fn forward_allowed(&mut self, entry: &Entry, org: OrgId) -> Decision {
        let body = entry.body().and_then(|body| BodyRef::read_again(&entry.header, body).ok());
        let view = body.as_ref().map(body_ref_view);
        self.forward_with(&entry.header, view.as_ref(), org)
    }

    /// As [`Self::forward_allowed`], with a body that was read before.
    pub(crate) fn forward_with(
        &mut self,
        header: &Header,
        view: Option<&BodyView<'_>>,
        org: OrgId,
    ) -> Decision {
        let disputed = self.store.log_no(&header.log()).is_some_and(|log| header.seq > self.takes_up_to(log));
        let Self { directory, decisions, now, .. } = self;
        let author = author_facts(directory, header);
        let peer = org_facts(directory, org);
        let facts = RecordFacts {
            header: header_facts(directory, &author, header, now.wall),
            body: view.map(BodyView::facts),
            disputed,
        };
        decisions.forward(&facts, &peer)
    }
}
