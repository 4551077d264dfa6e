//! What goes into the core and what comes out of it: plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tocsin_policy::Policy;
use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::document::{Carry, Signed};
use tocsin_record::{CircleId, DocHash, LogKey, NodeKey, OrgId, RecordId, Verified};
use tocsin_store::{LogNo, RecordRef, Verdict};

use crate::clock::Reading;
use crate::directory::ProposalKey;
use crate::message::{Change, Incoming, Lane, Proposal, Receipt};
use crate::session::Room;

/// A link of the network layer: one connection to one peer.
pub type LinkId = u64;
/// Names a request of this node's people, to be answered with it.
pub type Ticket = u64;

/// By which way something of a peer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// By a link.
    Link(LinkId),
    /// Out of a bundle that a node made: there is nobody to be asked, told, or charged.
    Bundle(NodeKey),
}

impl Hand {
    /// The link, if it was one.
    pub fn link(self) -> Option<LinkId> {
        match self {
            Self::Link(link) => Some(link),
            Self::Bundle(_) => None,
        }
    }
}

/// The time of an input. The two clocks part when someone sets the machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970, by the machine's clock.
    pub wall: u64,
    /// Milliseconds since any fixed moment, never falling.
    pub mono: u64,
}

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// A connection was made; both ends proved their transport keys.
    LinkUp {
        /// The number that the network side gives it: no two links of a process have the same, an ended one's
        /// neither.
        link: LinkId,
        /// The other's transport key.
        peer: [u8; 32],
        /// What its session may keep.
        room: Room,
    },
    /// A connection ended.
    LinkDown {
        /// The number that it had since `LinkUp`.
        link: LinkId,
    },
    /// A frame came, read by the link's [`crate::Session`].
    Received {
        /// The link that it came over.
        link: LinkId,
        /// The frame.
        frame: Incoming,
    },
    /// A frame came that the link's [`crate::Session`] could not read. It is the peer's fault: the link ends, and its node
    /// pays for the reading.
    Unreadable {
        /// The link that it came over.
        link: LinkId,
        /// How long it was, in bytes.
        bytes: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A frame could not be queued and was dropped: its peer is slow.
    Dropped {
        /// To whom it would have gone.
        link: LinkId,
    },
    /// An outbox that had been full is at most half full.
    Drained {
        /// The link whose outbox it is.
        link: LinkId,
    },
    /// How long a round trip takes.
    Rtt {
        /// On which link.
        link: LinkId,
        /// In ms, at least 1.
        ms: u64,
    },
    /// The people of this node publish bodies, all to one circle.
    Publish {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// The circle in whose log of this node they are written.
        circle: CircleId,
        /// One record is made of each, in this order.
        bodies: Vec<Body>,
    },
    /// The people of this node take a report back, in every circle that it was shared to and that the org is still in.
    Retract {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// Which of the org's reports.
        subject: Subject,
        /// A code of [`tocsin_record::body::retraction::REASONS`].
        reason: u16,
    },
    /// The people of this node write to circles and take back there as one: all of it or nothing.
    Write {
        /// Answered with [`Effect::Done`], whose records stand in the order of their circles' ids, in each as they were given.
        ticket: Ticket,
        /// What.
        writes: Vec<Write>,
    },
    /// The people of this node decide about a record that their policy holds.
    DecideHeld {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// Where it lies.
        place: RecordRef,
        /// Whether it is accepted; refused if not, and its body erased here.
        accept: bool,
        /// Who decides, by name.
        name: String,
        /// Why, in words.
        reason: String,
    },
    /// The people of this node take back what was decided here about a record that the policy held: it decides again.
    UndoHeld {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// Where it lies.
        place: RecordRef,
    },
    /// Documents from a file or command.
    Documents {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// In any order.
        documents: Vec<Signed>,
    },
    /// The people of this node say that its clock is right.
    ConfirmClock {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// Also where the clocks of other orgs say otherwise.
        against_peers: bool,
    },
    /// The people of this node begin a circle, change one, or agree to what others propose.
    Circle {
        /// Answered with [`Effect::Done`]. What waits for others stands in the directory.
        ticket: Ticket,
        /// What they ask for.
        request: CircleRequest,
    },
    /// What is carried by hand between nodes: given to a bundle, or taken from one.
    Bundle {
        /// Answered with [`Effect::Done`].
        ticket: Ticket,
        /// What.
        request: BundleRequest,
    },
    /// A policy that was loaded and checked takes force.
    Policy {
        /// What answers every question from now on.
        policy: Arc<Policy>,
    },
    /// Time passed: at least every 50 ms while anything happens.
    Tick,
}

/// A part of what is written as one.
#[derive(Debug)]
pub enum Write {
    /// Bodies in one circle.
    Bodies {
        /// The circle in whose log of this node they are written.
        circle: CircleId,
        /// One record is made of each, in this order.
        bodies: Vec<Body>,
    },
    /// A report is taken back in one circle; it stays where else it is.
    TakeBack {
        /// Where.
        circle: CircleId,
        /// Which of the org's reports.
        subject: Subject,
        /// A code of [`tocsin_record::body::retraction::REASONS`].
        reason: u16,
    },
    /// A report is taken back in every circle that it was shared to and that the org is still in.
    Retract {
        /// Which of the org's reports.
        subject: Subject,
        /// A code of [`tocsin_record::body::retraction::REASONS`].
        reason: u16,
    },
}

/// What this node's people ask about circles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CircleRequest {
    /// A circle begins, with this org alone in it; the others are invited.
    Create {
        /// 32 bytes from the machine's random source, which make the circle's id.
        nonce: [u8; 32],
        /// Its name, for people.
        name: String,
        /// Who hands its records on.
        carry: Carry,
        /// Who is to come in.
        changes: Vec<Change>,
    },
    /// Changes of a circle, one after the other, up to the first that cannot be made.
    Change {
        /// Which circle.
        circle: CircleId,
        /// What is to change.
        changes: Vec<Change>,
    },
    /// A circle gets another name.
    Rename {
        /// Which circle.
        circle: CircleId,
        /// The name.
        name: String,
    },
    /// This org says no to what would bring it into a circle. Nobody is told.
    Decline {
        /// Which circle.
        circle: CircleId,
    },
    /// This org agrees to what is proposed.
    Accept {
        /// Whose proposal it is.
        key: ProposalKey,
        /// The hash of the version that was shown: no other is signed.
        roster: DocHash,
    },
    /// What was sealed before an org came in is opened to it, as far as it opens here: written for all members to see.
    OpenHistory {
        /// Which circle.
        circle: CircleId,
        /// To whom.
        org: OrgId,
        /// Since when, in ms: keys of periods that ended before are not given.
        since: u64,
    },
}

/// What is given to a bundle, or taken from one.
#[derive(Debug)]
pub enum BundleRequest {
    /// Records of a log from one on, with the bodies that each of some orgs may have; nothing where one of them does not share the
    /// log's circle.
    Give {
        /// The orgs.
        to: Vec<OrgId>,
        /// Which log.
        log: LogNo,
        /// From this record on.
        from: u64,
        /// About so many bytes, but one run at least.
        most: usize,
    },
    /// Bodies of records whose headers they have, as far as each of them may have it.
    GiveBodies {
        /// The orgs.
        to: Vec<OrgId>,
        /// Which.
        places: Vec<RecordRef>,
    },
    /// Something out of a bundle. It is refused where the node that made that is not one of the mesh.
    Take {
        /// The node that made it.
        from: NodeKey,
        /// What.
        part: BundlePart,
    },
}

/// Something out of a bundle. Its authors are other nodes than its maker, mostly.
#[derive(Debug)]
pub enum BundlePart {
    /// Documents, among them what certifies the maker, and what is proposed for circles.
    Documents {
        /// In any order.
        documents: Vec<Signed>,
        /// As a link tells them.
        proposals: Vec<Proposal>,
    },
    /// Two continuations of one log.
    Fork(Box<[Verified; 2]>),
    /// Runs, each with its packed page.
    Runs(Vec<(Verified, Bytes)>),
    /// Bodies that stand in no run.
    Bodies(Vec<(LogKey, u64, Bytes)>),
    /// What the maker says to have of logs.
    Receipts(Vec<(LogKey, Receipt)>),
}

/// What a node does, released by a commit and not before.
#[derive(Debug)]
pub enum Effect {
    /// Send a frame; drop it if the outbox is full and say so with [`Input::Dropped`].
    Send {
        /// Where to.
        link: LinkId,
        /// On which stream.
        lane: Lane,
        /// The frame.
        frame: Bytes,
    },
    /// The link left the lobby: it may send longer frames.
    Admitted {
        /// The link, by its number of `LinkUp`.
        link: LinkId,
        /// The node that its certificate names.
        node: NodeKey,
    },
    /// End a link.
    Close {
        /// The link, by its number of `LinkUp`.
        link: LinkId,
        /// Why, for people.
        reason: String,
    },
    /// A request is done, and durable.
    Done {
        /// The ticket that the request came with.
        ticket: Ticket,
        /// What came of it.
        result: Result<Done, RequestError>,
    },
    /// Something that watchers want to know.
    Event(Event),
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The records written, in order.
    pub written: Vec<Written>,
    /// Documents that are in force now and were not.
    pub documents: usize,
    /// What was given to a bundle.
    pub given: Given,
    /// What a part of a bundle brought.
    pub brought: Brought,
}

/// What was given to a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Runs, one behind the other.
    pub runs: Vec<GivenRun>,
    /// Bodies that were asked for singly.
    pub bodies: Vec<(RecordRef, Bytes)>,
    /// How many bodies are here and are kept from one of the orgs, by the rule that does.
    pub withheld: BTreeMap<String, u64>,
}

/// A run that was given to a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenRun {
    /// Its last record.
    pub last: u64,
    /// Its packed page.
    pub page: Bytes,
    /// How many bodies are in that.
    pub in_page: u64,
    /// Bodies of it that are not.
    pub bodies: Vec<(RecordRef, Bytes)>,
}

/// What a part of a bundle brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Records whose headers are new.
    pub records: u64,
    /// Bodies that are new.
    pub bodies: u64,
    /// Records that were not taken since what stands before them is not here.
    pub behind: u64,
    /// Records that were not taken for another reason: their author may not write there, or said two things.
    pub refused: u64,
}

/// A record that this node wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub id: RecordId,
    /// Where it lies.
    pub place: RecordRef,
    /// The circle it is addressed to.
    pub circle: CircleId,
}

/// Why a request was refused. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The org is not a member of the circle.
    #[error(
        "this org is not a member of circle {0}, so it cannot write to it; `tocsin mesh show` lists the circles"
    )]
    NotMember(CircleId),
    /// The node does not sign while its clock is wrong.
    #[error(
        "{0}: nothing was signed. Set the clock right; if it is right, and the others are not or cannot be heard, say so with \
         `tocsin clock confirm`"
    )]
    Clock(Reading),
    /// The clock was not confirmed: those of other orgs say otherwise.
    #[error(
        "{0}: it was not confirmed. Set the clock right; if it is they who are wrong, `tocsin clock confirm --against-partners`"
    )]
    Contradicted(Reading),
    /// Logs were opened too often.
    #[error("this node opened too many logs of late; the next one can be opened in {0} s")]
    Epochs(u64),
    /// A body cannot be a record.
    #[error("{0}")]
    Draft(String),
    /// A guardrail of this node's own policy keeps it from being written.
    #[error("not written: rule `{0}` refuses it")]
    Guardrail(String),
    /// The org has no such report.
    #[error("this org shared no report {0}; `tocsin query --mine` lists its reports")]
    NoReport(Subject),
    /// The record is not held, or its body is not here.
    #[error(
        "it is not held here: `tocsin hold list` lists what is, and `tocsin hold undo` takes back what was decided"
    )]
    NotHeld,
    /// Nobody decided about the record.
    #[error(
        "nobody here decided about it, so that there is nothing to take back: `tocsin why` tells by which rule it stands"
    )]
    NotDecided,
    /// The body of a record that was decided about is gone for everybody.
    #[error("its author took it back, or it ended: there is nothing left to decide about")]
    DecidedAndGone,
    /// It waits for something that no person can give.
    #[error(
        "`{0}` holds it, which nobody can decide: it waits for its time, or for a newer version of tocsin"
    )]
    HeldByGuardrail(String),
    /// A document does not count.
    #[error("{0}")]
    Document(String),
    /// A circle is not changed so.
    #[error("{0}")]
    Circle(String),
    /// A bundle is not taken.
    #[error("{0}: nothing of the bundle was taken")]
    Bundle(String),
    /// Too many requests wait.
    #[error("too many records wait to be written; try again")]
    Busy,
}

/// Something that happened to a record, a peer or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A record was judged, first or anew.
    Judged {
        /// Where it lies.
        place: RecordRef,
        /// The hash of its header, by which other records and people name it.
        id: RecordId,
        /// Who wrote it.
        author: NodeKey,
        /// Where it is addressed to.
        circle: CircleId,
        /// Body kind.
        kind: u16,
        /// What was decided.
        verdict: Verdict,
        /// Whether it was judged before.
        anew: bool,
        /// The rule that decided, as [`tocsin_store::Reader::rule`] names it.
        rule: u16,
    },
    /// Nobody decided about a held record for so many days: the configuration did.
    DecidedByDefault {
        /// The record.
        id: RecordId,
        /// Who wrote it.
        author: NodeKey,
        /// Whether it was accepted; refused if not.
        accept: bool,
        /// How many days it waited.
        days: u32,
    },
    /// Bodies were erased.
    Erased {
        /// Where they lay.
        places: Vec<RecordRef>,
    },
    /// A log's author said two different things.
    Forked {
        /// The node that signed both.
        author: NodeKey,
        /// The circle of the log in which it did.
        circle: CircleId,
        /// The lowest number said twice.
        seq: u64,
    },
    /// A peer is in.
    PeerIn {
        /// The node at the other end.
        node: NodeKey,
        /// Of which org.
        org: OrgId,
    },
    /// A peer is gone.
    PeerOut {
        /// The node that was at the other end.
        node: NodeKey,
    },
    /// A node claimed records of its own and did not give them on a live link, in ten minutes.
    NotGiven {
        /// The node that claimed them.
        node: NodeKey,
        /// How many.
        records: u64,
    },
    /// The verdict on this machine's clock is another.
    Clock {
        /// What is to be thought of it now.
        reading: Reading,
    },
    /// Documents took force.
    Documents {
        /// How many were new here, of all forms together.
        count: usize,
    },
}

/// Effects for which room is kept between commits.
const EFFECTS_KEPT: usize = 8_192;

/// Effects that wait for the commit. Only [`crate::Mesh::commit`] takes them out.
#[derive(Debug, Default)]
pub struct Output {
    pub(crate) staged: Vec<Effect>,
}

impl Output {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.staged.push(effect);
    }

    /// Takes the room of effects that were released for those to come.
    pub fn reuse(&mut self, mut released: Vec<Effect>) {
        released.clear();
        if self.staged.is_empty() {
            released.shrink_to(EFFECTS_KEPT);
            self.staged = released;
        }
    }
}
