//! What nodes say to each other: bincode frames of one or more messages, at most [`FRAME_MAX`] bytes.
//!
//! One file a subject, one variant a message, appended and never reordered. A node ends a link on a message that it
//! does not know, so a new one raises [`lobby::PROTOCOL`] and says so in [`Message::since`]: it is not sent to older
//! peers.
//! On the ordered live lane a sender names
//! logs and nodes by numbers of its own, given at first use by [`Message::Name`]; on the bulk lane, which has an order
//! of its own, pages name their log in full and bodies echo the asker's numbers.
//!
//! `crates/protocol/WIRE.md` has the whole of it for a stranger: streams, frames, the lobby, and each message with its bounds,
//! what it costs and what answers it.

pub mod body;
pub mod documents;
pub mod frontier;
pub mod head;
pub mod lobby;
pub mod proposals;
pub mod tree;
pub mod want;

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use bytes::Bytes;
use tocsin_record::codec::{self, CodecError};
use tocsin_record::keys::VerifyError;
use tocsin_record::page::PageError;
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, Verified};

use crate::session::{Room, Session};

pub use body::{AtAnswer, BodyData, BodyStatus, RecordAt};
pub use documents::{DocumentList, Documents};
pub use frontier::{Buckets, Entries, EntryOf, Hello, LogState};
pub use head::{Fates, Head, Receipt};
pub use lobby::{Behind, Lobby};
pub use proposals::{Change, Proposal};
pub use tocsin_store::Fate;
pub use tree::{Have, Push};
pub use want::{Page, Range, Want};

/// Longest frame, in bytes, on either lane: the longest page, which compression may make a little longer, and what
/// stands around it.
pub const FRAME_MAX: usize = (8 << 20) + (64 << 10);
/// Longest frame of a link that is still in the lobby: its first, in bytes.
pub const LOBBY_FRAME_MAX: usize = 8 << 10;
/// Longest further frame of a link in the lobby, in bytes: one document of 1 MiB with 1,024 signatures of 96 bytes.
pub const LOBBY_DOCUMENT_MAX: usize = (1 << 20) + (128 << 10);
/// Most messages in one frame.
pub const MESSAGES_MAX: usize = 4096;
/// What decoding a frame may take in memory, in bytes.
const LIMIT: usize = 32 << 20;

/// A number that the sender of a frame gave to a log or node on this link.
pub type LinkNo = u32;

/// One of the two streams of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Ordered, never delayed by bulk.
    Live,
    /// Catch-up and large bodies.
    Bulk,
}

/// One thing said. Appended to, never reordered: the position is the number on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// First frame each way.
    Lobby(Lobby),
    /// Documents that the other lacks, in order.
    Documents(Documents),
    /// From now on this number means this log.
    Name(LinkNo, LogName),
    /// Which documents I have.
    DocumentList(DocumentList),
    /// Root of all that I hold and you may see.
    Hello(Hello),
    /// Its 256 parts.
    Buckets(Buckets),
    /// Heights of logs in parts that differ.
    Entries(Entries),
    /// A run of new records.
    Push(Push),
    /// Records that I hold.
    Have(Vec<Have>),
    /// Push this log to me from this record on.
    Graft(LinkNo, u64),
    /// Do not push this log to me.
    Prune(LinkNo),
    /// Ranges that I want as pages.
    Want(Want),
    /// I took so many bytes of pages: send as many more.
    Credit(u32),
    /// Part of what was wanted; on the bulk lane.
    Page(Page),
    /// Bodies that I want.
    WantBodies(Vec<RecordAt>),
    /// Bodies that were wanted, or why not.
    Bodies(Vec<BodyData>),
    /// Bodies that I may give you and you may lack.
    HaveBodies(Vec<RecordAt>),
    /// Bodies that I lack: tell me which you may give me.
    Holes(Vec<RecordAt>),
    /// Which record stands there?
    At(LinkNo, u64),
    /// It is this one.
    AtAnswer(AtAnswer),
    /// Two branches of one log, each up to a signature.
    Fork(Box<[Push; 2]>),
    /// How far authors are.
    Heads(Vec<Head>),
    /// Who holds what of an author's logs.
    Receipts(Vec<Receipt>),
    /// I was never told what this number means.
    Unnamed(LinkNo),
    /// Changes of circles that lack signatures; at most 16.
    Proposals(Vec<Proposal>),
}

/// Whether a message is a sign that something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// From time to time, also where nothing happens.
    Routinely,
    /// Because something happened, or as an answer.
    ForCause,
}

/// What becomes of a message of a peer whose budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpaid {
    /// It is read.
    Read,
    /// It is dropped.
    Dropped,
}

/// When the bytes of a message are paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Always.
    Paid,
    /// Where they turn out to be nothing new.
    PaidIfOld,
}

/// What is fixed of a message, see the methods of [`Message`] that read it.
struct Row {
    name: &'static str,
    since: u16,
    said: Said,
    unpaid: Unpaid,
    length: Length,
}

/// The runs in a message.
pub(crate) enum Runs<'a> {
    None,
    Packed(&'a Page),
    Pushed(&'a [Push]),
}

/// The numbers of its sender in a message.
#[derive(Default)]
pub(crate) struct Numbers {
    /// Those that it gives, each with what it means from now on.
    pub given: Vec<(LinkNo, LogName)>,
    /// Those that it uses.
    pub used: Vec<LinkNo>,
}

impl Message {
    fn row(&self) -> Row {
        use Length::{Paid, PaidIfOld};
        use Said::{ForCause, Routinely};
        use Unpaid::{Dropped, Read};
        let row = |name, since, said, unpaid, length| Row { name, since, said, unpaid, length };
        match self {
            Self::Lobby(_) => row("Lobby", 1, ForCause, Read, Paid),
            Self::Documents(_) => row("Documents", 1, ForCause, Read, PaidIfOld),
            Self::Name(..) => row("Name", 1, Routinely, Read, Paid),
            Self::DocumentList(_) => row("DocumentList", 1, ForCause, Dropped, Paid),
            Self::Hello(_) => row("Hello", 1, Routinely, Dropped, Paid),
            Self::Buckets(_) => row("Buckets", 1, ForCause, Dropped, Paid),
            Self::Entries(_) => row("Entries", 1, ForCause, Dropped, Paid),
            Self::Push(_) => row("Push", 1, ForCause, Read, PaidIfOld),
            Self::Have(_) => row("Have", 1, ForCause, Dropped, Paid),
            Self::Graft(..) => row("Graft", 1, ForCause, Dropped, Paid),
            Self::Prune(_) => row("Prune", 1, ForCause, Dropped, Paid),
            Self::Want(_) => row("Want", 1, ForCause, Read, Paid),
            Self::Credit(_) => row("Credit", 1, ForCause, Read, Paid),
            Self::Page(_) => row("Page", 1, ForCause, Read, PaidIfOld),
            Self::WantBodies(_) => row("WantBodies", 1, ForCause, Dropped, Paid),
            Self::Bodies(_) => row("Bodies", 1, ForCause, Read, PaidIfOld),
            Self::HaveBodies(_) => row("HaveBodies", 1, ForCause, Dropped, Paid),
            Self::Holes(_) => row("Holes", 1, Routinely, Dropped, Paid),
            Self::At(..) => row("At", 1, ForCause, Dropped, Paid),
            Self::AtAnswer(_) => row("AtAnswer", 1, ForCause, Dropped, Paid),
            Self::Fork(_) => row("Fork", 1, ForCause, Dropped, Paid),
            Self::Heads(_) => row("Heads", 1, Routinely, Dropped, Paid),
            Self::Receipts(_) => row("Receipts", 1, ForCause, Dropped, Paid),
            Self::Unnamed(_) => row("Unnamed", 1, ForCause, Dropped, Paid),
            Self::Proposals(_) => row("Proposals", 2, ForCause, Dropped, Paid),
        }
    }

    /// Its name, for figures and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row().name
    }

    /// The protocol version that brought it: peers that speak an older one are not sent it.
    #[must_use]
    pub fn since(&self) -> u16 {
        self.row().since
    }

    /// Whether it is said from time to time even where nothing happens, so that a link that carries no other is quiet.
    /// What a quiet link agrees on is believed: a message that answers or waits behind others is none of these. `Holes` are
    /// asked after every Hello for as long as a body is kept back, which may be for ever.
    #[must_use]
    pub fn is_routine(&self) -> bool {
        self.row().said == Said::Routinely
    }

    /// Whether most of it is records, bodies or documents, whose bytes are paid for only where they are not new.
    #[must_use]
    pub fn brings_news(&self) -> bool {
        self.row().length == Length::PaidIfOld
    }

    /// Whether it is read even where nothing is left in the budget of who says it: records, documents and bodies may be new,
    /// and then they are free; a name says what later messages mean; a want waits until it can be paid for. All others
    /// are dropped then, and found again by the next comparison.
    #[must_use]
    pub fn is_read_unpaid(&self) -> bool {
        self.row().unpaid == Unpaid::Read
    }

    /// How many runs it has in [`Incoming::runs`].
    #[must_use]
    pub fn runs(&self) -> usize {
        match self.runs_sent() {
            Runs::None => 0,
            Runs::Packed(_) => 1,
            Runs::Pushed(pushes) => pushes.len(),
        }
    }

    /// The runs in it, as they were sent.
    pub(crate) fn runs_sent(&self) -> Runs<'_> {
        match self {
            Self::Page(page) => Runs::Packed(page),
            Self::Push(push) => Runs::Pushed(std::slice::from_ref(push)),
            Self::Fork(branches) => Runs::Pushed(&branches[..]),
            Self::Lobby(_)
            | Self::Documents(_)
            | Self::Name(..)
            | Self::DocumentList(_)
            | Self::Hello(_)
            | Self::Buckets(_)
            | Self::Entries(_)
            | Self::Have(_)
            | Self::Graft(..)
            | Self::Prune(_)
            | Self::Want(_)
            | Self::Credit(_)
            | Self::WantBodies(_)
            | Self::Bodies(_)
            | Self::HaveBodies(_)
            | Self::Holes(_)
            | Self::At(..)
            | Self::AtAnswer(_)
            | Self::Heads(_)
            | Self::Receipts(_)
            | Self::Unnamed(_)
            | Self::Proposals(_) => Runs::None,
        }
    }

    /// The numbers in it that its sender gave to logs.
    pub(crate) fn numbers(&self) -> Numbers {
        let given = |given| Numbers { given, used: Vec::new() };
        let used = |used| Numbers { given: Vec::new(), used };
        match self {
            Self::Name(no, log) => given(vec![(*no, *log)]),
            Self::Entries(entries) => given(entries.0.iter().map(|entry| (entry.no, entry.log)).collect()),
            Self::Push(push) => used(vec![push.log]),
            Self::Have(haves) => used(haves.iter().map(|have| have.log).collect()),
            Self::Graft(no, _) | Self::Prune(no) | Self::At(no, _) => used(vec![*no]),
            Self::Want(want) => used(want.ranges.iter().map(|range| range.log).collect()),
            Self::WantBodies(refs) | Self::HaveBodies(refs) | Self::Holes(refs) => {
                used(refs.iter().map(|what| what.log).collect())
            }
            Self::Fork(proof) => used(proof.iter().map(|push| push.log).collect()),
            Self::Heads(heads) => used(heads.iter().map(|head| head.log).collect()),
            Self::Receipts(receipts) => {
                used(receipts.iter().flat_map(|receipt| [receipt.log, receipt.holder]).collect())
            }
            // Those that name a log in full, and those that echo a number of this side.
            Self::Lobby(_)
            | Self::Documents(_)
            | Self::DocumentList(_)
            | Self::Hello(_)
            | Self::Buckets(_)
            | Self::Credit(_)
            | Self::Page(_)
            | Self::Bodies(_)
            | Self::AtAnswer(_)
            | Self::Unnamed(_)
            | Self::Proposals(_) => Numbers::default(),
        }
    }
}

/// A log without its mesh, which the link has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LogName {
    /// The node that writes it.
    pub author: NodeKey,
    /// The circle it is addressed to.
    pub circle: CircleId,
    /// When it was opened, in ms.
    pub epoch: u64,
}

/// Messages as one frame.
#[must_use]
pub fn encode(messages: &Vec<Message>) -> Bytes {
    codec::encode(messages).into()
}

/// A frame that was read and, as far as that needs no state, checked: bounds, forms, chains and signatures of pages.
/// A session does it before a frame reaches the core thread.
#[derive(Debug)]
pub struct Incoming {
    /// Its messages.
    pub messages: Vec<Message>,
    /// The runs of its pages, pushes and fork proofs, [`Message::runs`] of each in order, with their signatures checked.
    /// `None` for an empty page, where the log's number means nothing, and of a peer in the lobby.
    pub runs: Vec<Option<Verified>>,
    /// What the numbers in it mean, as far as they were named.
    pub meant: BTreeMap<LinkNo, LogName>,
    /// How long the frame was.
    pub bytes: usize,
}

/// Reads a frame that stands alone, as [`Session::hear`] does one of a link: only what it names itself is known.
///
/// # Errors
/// [`FrameError`]: the peer's fault.
pub fn decode(mesh: MeshId, frame: &[u8]) -> Result<Incoming, FrameError> {
    Session::new(mesh, Room::of_member()).hear(frame)
}

/// The messages of a frame, within bounds.
pub(crate) fn read(frame: &[u8]) -> Result<Vec<Message>, FrameError> {
    if frame.len() > FRAME_MAX {
        return Err(FrameError::Long(frame.len()));
    }
    let messages: Vec<Message> = codec::decode::<_, LIMIT>(frame)?;
    if messages.len() > MESSAGES_MAX {
        return Err(FrameError::Many(messages.len()));
    }
    // A page may be many times as long as its frame.
    let pages = messages.iter().filter(|message| matches!(message.runs_sent(), Runs::Packed(_))).count();
    if pages > 1 {
        return Err(FrameError::Pages(pages));
    }
    Ok(messages)
}

impl LogName {
    /// The log's full name in a mesh.
    #[must_use]
    pub fn key(&self, mesh: MeshId) -> LogKey {
        LogKey { mesh, author: self.author, circle: self.circle, epoch: self.epoch }
    }
}

impl From<LogKey> for LogName {
    fn from(key: LogKey) -> Self {
        Self { author: key.author, circle: key.circle, epoch: key.epoch }
    }
}

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Over the bound.
    #[error("a frame of {0} bytes, at most {FRAME_MAX} are taken")]
    Long(usize),
    /// Too many messages.
    #[error("a frame of {0} messages, at most {MESSAGES_MAX} are taken")]
    Many(usize),
    /// More than one page.
    #[error("a frame of {0} pages, at most one is taken")]
    Pages(usize),
    /// One number for two logs.
    #[error("a frame in which number {0} means another log than before")]
    Renamed(LinkNo),
    /// It does not parse.
    #[error("a frame {0}")]
    Codec(#[from] CodecError),
    /// A page in it is none.
    #[error("a frame with a {0}")]
    Page(#[from] PageError),
    /// A page in it does not end in its author's signature.
    #[error("a frame with a page that is not its author's: {0}")]
    Verify(#[from] VerifyError),
}
