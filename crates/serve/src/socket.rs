//! The node's side of the socket: HTTP with JSON, for the user who runs the node and nobody else.
//!
//! The socket is 0600 in a 0700 folder, and each connection's user id is checked as well. Requests and answers are
//! bounded; what reads the disk runs on a thread that may block.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use futures::stream;
use serde::Serialize;
use tocsin_api::route;
use tocsin_api::types::{
    Asked, BundleMade, BundleRequest, CircleRequest, ClockStatus, ConfirmClock, Fault, HoldListRequest,
    HoldRequest, ImportBatch, Lookup, LookupRequest, NoteRequest, PolicyDiffRequest, PublishRequest,
    Published, QueryRequest, RecipientsRequest, RetractRequest, ShareRequest, SightRequest, WaitRequest,
};
use tocsin_home::identity::Papers;
use tocsin_protocol::Input;
use tocsin_record::codec;
use tocsin_service::{Caller, Node, NodeError};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{Instrument as _, debug_span, warn};

use crate::bodies::Bodies;

/// Longest JSON request, in bytes.
const REQUEST_MAX: usize = 16 << 20;
/// What JSON requests may take together until they are answered, in bytes.
const REQUESTS_MAX: usize = 64 << 20;
/// Longest import batch or set of documents, in bytes.
const BATCH_MAX: usize = 64 << 20;
/// What batches may take together until they are answered, in bytes: two of the longest.
const BATCHES_MAX: usize = 128 << 20;
/// What decoding a batch may take in memory, in bytes.
const BATCH_LIMIT: usize = 1 << 30;

/// Pieces of a backup that wait for who reads them.
const PIECES: usize = 4;
/// Bytes of the length before each.
const LENGTH: usize = 4;

/// How often it is logged that nothing can be accepted.
const TELL_EVERY: Duration = Duration::from_secs(60);

type App = Arc<Node>;
type Answer<T> = Result<Json<T>, Refusal>;

/// A socket that takes connections and does not answer yet.
pub struct Bound(OwnUser);

/// Makes the socket.
///
/// # Errors
/// When it cannot be made.
pub fn bind(socket: &Path) -> io::Result<Bound> {
    // Left by a node that did not stop gracefully; the home's lock says that none runs.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let uid = std::fs::metadata(socket)?.uid();
    Ok(Bound(OwnUser { listener, uid }))
}

impl Bound {
    /// Answers for a node, until the task ends.
    pub fn serve(self, node: App) -> JoinHandle<()> {
        tokio::spawn(async move {
            if let Err(error) = axum::serve(self.0, router(node)).await {
                warn!(%error, "the socket's task ended");
            }
        })
    }
}

fn router(node: App) -> Router {
    // Batches and all else have room of their own: no import keeps a lookup waiting.
    let batches = Router::new()
        .route(route::IMPORT.pattern(), post(import))
        .route(route::DOCUMENTS.pattern(), post(documents))
        .route(route::BUNDLE.pattern(), post(make_bundle))
        .route(route::BUNDLE_FRONTIER.pattern(), post(make_frontier))
        .route(route::BUNDLE_APPLY.pattern(), post(apply_bundle))
        .layer(DefaultBodyLimit::max(BATCH_MAX))
        .layer(middleware::from_fn_with_state(Bodies::new(BATCH_MAX, BATCHES_MAX), Bodies::take));
    Router::new()
        .route(route::STATUS.pattern(), get(status))
        .route(route::LOOKUP.pattern(), post(lookup))
        .route(route::QUERY.pattern(), post(query))
        .route(route::RECORD.pattern(), get(show))
        .route(route::EVIDENCE.pattern(), get(evidence))
        .route(route::WHY.pattern(), get(why))
        .route(route::WATCH.pattern(), get(watch))
        .route(route::PUBLISH.pattern(), post(publish))
        .route(route::SHARE.pattern(), post(share))
        .route(route::WHO_WOULD_GET.pattern(), post(who_would_get))
        .route(route::SIGHT.pattern(), post(sight))
        .route(route::NOTE.pattern(), post(note))
        .route(route::RETRACT.pattern(), post(retract))
        .route(route::WAIT.pattern(), post(wait))
        .route(route::HOLD.pattern(), post(hold))
        .route(route::HOLD_LIST.pattern(), post(hold_list))
        .route(route::CIRCLES.pattern(), get(circles).post(change_circle))
        .route(route::POLICY_RELOAD.pattern(), post(reload).get(would_reload))
        .route(route::POLICY_DIFF.pattern(), post(policy_diff))
        .route(route::CLOCK.pattern(), get(clock).post(confirm_clock))
        .route(route::BACKUP.pattern(), get(backup))
        .route(route::STOP.pattern(), post(stop))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .layer(middleware::from_fn_with_state(Bodies::new(REQUEST_MAX, REQUESTS_MAX), Bodies::take))
        .merge(batches)
        .layer(middleware::from_fn(spanned))
        .with_state(node)
}

/// What is logged on behalf of a request stands in its span. The path names records, never values.
async fn spanned(request: Request, next: Next) -> Response {
    let span = debug_span!("request", verb = %request.uri().path());
    next.run(request).instrument(span).await
}

/// Takes connections of one user only.
struct OwnUser {
    listener: UnixListener,
    uid: u32,
}

impl Listener for OwnUser {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        let mut told: Option<Instant> = None;
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    // Root may read everything anyway, and operators do use sudo.
                    Ok(peer) if peer.uid() == self.uid || peer.uid() == 0 => return (stream, address),
                    Ok(peer) => warn!(uid = peer.uid(), "another user's connection was refused"),
                    Err(error) => warn!(%error, "a connection without credentials was refused"),
                },
                Err(error) => {
                    if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                        told = Some(Instant::now());
                        warn!(%error, "cannot accept a connection on the node's socket; it is tried again");
                    }
                    // Out of descriptors, most likely, although links leave some free: not in a tight loop.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What of the status is asked for beside the rest.
#[derive(Debug, serde::Deserialize)]
struct StatusQuery {
    /// What each partner did so far, which takes a look at every record.
    #[serde(default)]
    partners: bool,
}

/// An error as an answer.
struct Refusal(NodeError);

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            NodeError::Request(_) | NodeError::Policy(_) => StatusCode::BAD_REQUEST,
            NodeError::NotFound(_) => StatusCode::NOT_FOUND,
            NodeError::Denied { .. } => StatusCode::FORBIDDEN,
            NodeError::Ask(tocsin_engine::core::AskError::Refused(_)) => StatusCode::CONFLICT,
            NodeError::Ask(_) => StatusCode::SERVICE_UNAVAILABLE,
            NodeError::NoRoom(_) => StatusCode::INSUFFICIENT_STORAGE,
            NodeError::Store(_) | NodeError::Home(_) | NodeError::Panicked => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(Fault { error: self.0.to_string() })).into_response()
    }
}

/// Runs what reads the disk where it may block.
async fn blocking<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Answer<T> {
    Ok(Json(tocsin_service::blocking(work).await?))
}

async fn status(
    State(node): State<App>,
    Query(asked): Query<StatusQuery>,
) -> Answer<tocsin_api::types::Status> {
    Ok(Json(node.status(asked.partners).await))
}

/// Who is at the other end: the socket is the node's own user's, whom the configuration describes.
fn caller(node: &Node, [purpose, reference, include]: [&Option<String>; 3]) -> Caller {
    Caller::new(&node.person())
        .stating(purpose.as_deref(), reference.as_deref())
        .including(include.as_deref())
}

/// Who writes: nothing is shown for it.
fn writer(node: &Node) -> Caller {
    Caller::new(&node.person())
}

async fn lookup(State(node): State<App>, Json(request): Json<LookupRequest>) -> Answer<Vec<Lookup>> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    blocking(move || node.lookup(&caller, &request)).await
}

async fn query(
    State(node): State<App>,
    Json(request): Json<QueryRequest>,
) -> Answer<tocsin_api::types::Records> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    blocking(move || node.query(&caller, &request)).await
}

async fn show(
    State(node): State<App>,
    UrlPath(id): UrlPath<String>,
    Query(asked): Query<Asked>,
) -> Answer<tocsin_api::types::Shown> {
    let caller = caller(&node, [&asked.purpose, &asked.reference, &asked.include]);
    let acknowledged_by = node.acknowledged_by(&id).await?;
    blocking(move || {
        let shown = node.show(&caller, &id, asked.original)?;
        Ok(tocsin_api::types::Shown { acknowledged_by, ..shown })
    })
    .await
}

async fn evidence(
    State(node): State<App>,
    UrlPath(id): UrlPath<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let caller = caller(&node, [&asked.purpose, &asked.reference, &asked.include]);
    let file = tocsin_service::blocking(move || node.evidence(&caller, &id, asked.with_key)).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], file).into_response())
}

async fn why(
    State(node): State<App>,
    UrlPath(id): UrlPath<String>,
    Query(asked): Query<Asked>,
) -> Answer<tocsin_api::types::Why> {
    let caller = caller(&node, [&asked.purpose, &asked.reference, &asked.include]);
    Ok(Json(node.why(caller, &id).await?))
}

async fn publish(State(node): State<App>, Json(request): Json<PublishRequest>) -> Answer<Published> {
    Ok(Json(node.publish(&writer(&node), request).await?))
}

async fn share(State(node): State<App>, Json(request): Json<ShareRequest>) -> Answer<Published> {
    Ok(Json(node.share(&writer(&node), request).await?))
}

/// Which circle is asked for; all of them if none.
#[derive(Debug, serde::Deserialize)]
struct CircleAsked {
    #[serde(default)]
    circle: Option<String>,
}

async fn circles(
    State(node): State<App>,
    Query(asked): Query<CircleAsked>,
) -> Answer<Vec<tocsin_api::types::Circle>> {
    Ok(Json(node.circles(asked.circle.as_deref())?))
}

async fn change_circle(
    State(node): State<App>,
    Json(request): Json<CircleRequest>,
) -> Answer<tocsin_api::types::Circle> {
    Ok(Json(node.change_circle(&writer(&node), request).await?))
}

async fn wait(
    State(node): State<App>,
    Json(request): Json<WaitRequest>,
) -> Answer<tocsin_api::types::Waited> {
    Ok(Json(node.wait_for_receipts(request).await?))
}

async fn hold(
    State(node): State<App>,
    Json(request): Json<HoldRequest>,
) -> Answer<Vec<tocsin_api::types::Record>> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    Ok(Json(node.decide_held(caller, request).await?))
}

async fn hold_list(
    State(node): State<App>,
    Json(request): Json<HoldListRequest>,
) -> Answer<tocsin_api::types::HeldRecords> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    blocking(move || node.held(&caller, &request)).await
}

async fn who_would_get(
    State(node): State<App>,
    Json(request): Json<RecipientsRequest>,
) -> Answer<tocsin_api::types::Recipients> {
    blocking(move || node.who_would_get(&request)).await
}

async fn sight(State(node): State<App>, Json(request): Json<SightRequest>) -> Answer<Published> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    Ok(Json(node.sight(caller, request).await?))
}

async fn note(State(node): State<App>, Json(request): Json<NoteRequest>) -> Answer<Published> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    Ok(Json(node.add_note(caller, request).await?))
}

async fn retract(State(node): State<App>, Json(request): Json<RetractRequest>) -> Answer<Published> {
    Ok(Json(node.retract(&writer(&node), request).await?))
}

async fn import(State(node): State<App>, body: Bytes) -> Answer<tocsin_api::types::Imported> {
    let batch = codec::decode::<ImportBatch, BATCH_LIMIT>(&body)
        .map_err(|error| NodeError::Request(format!("the batch {error}")))?;
    Ok(Json(node.import(&writer(&node), batch).await?))
}

async fn documents(State(node): State<App>, body: Bytes) -> Answer<serde_json::Value> {
    let papers = codec::decode::<Papers, BATCH_LIMIT>(&body)
        .map_err(|error| NodeError::Request(format!("the documents {error}")))?;
    let documents: Vec<_> =
        papers.charters.into_iter().chain(papers.certificates).chain(papers.revocations).collect();
    let done = node
        .engine
        .core
        .ask(move |ticket| Input::Documents { ticket, documents })
        .await
        .map_err(NodeError::from)?;
    Ok(Json(serde_json::json!({ "new": done.documents })))
}

async fn make_bundle(State(node): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let request = bundle_request(&body)?;
    let (made, file) = node.make_bundle(&writer(&node), request).await?;
    bundle_answer(&made, file)
}

async fn make_frontier(State(node): State<App>, body: Bytes) -> Result<Response, Refusal> {
    let request = bundle_request(&body)?;
    let (made, file) = node.make_frontier(&writer(&node), &request.to).await?;
    bundle_answer(&made, file)
}

fn bundle_request(body: &[u8]) -> Result<BundleRequest, NodeError> {
    codec::decode::<BundleRequest, { 2 * BATCH_MAX }>(body)
        .map_err(|error| NodeError::Request(format!("the request {error}")))
}

/// What is in a file, behind its length, and the file.
fn bundle_answer(made: &BundleMade, mut file: Vec<u8>) -> Result<Response, Refusal> {
    let mut answer = serde_json::to_vec(made).map_err(|error| NodeError::Request(error.to_string()))?;
    // A summary of some KiB: names of orgs and rules.
    let length = u32::try_from(answer.len()).unwrap_or(u32::MAX);
    answer.splice(0..0, length.to_be_bytes());
    answer.append(&mut file);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], answer).into_response())
}

async fn apply_bundle(State(node): State<App>, body: Bytes) -> Answer<tocsin_api::types::BundleApplied> {
    Ok(Json(node.apply_bundle(&writer(&node), body).await?))
}

async fn reload(State(node): State<App>) -> Answer<tocsin_api::types::PolicyAnswer> {
    Ok(Json(node.reload_policy_and_tell(false).await?))
}

async fn would_reload(State(node): State<App>) -> Answer<tocsin_api::types::PolicyAnswer> {
    Ok(Json(node.reload_policy_and_tell(true).await?))
}

async fn policy_diff(
    State(node): State<App>,
    Json(request): Json<PolicyDiffRequest>,
) -> Answer<tocsin_api::types::PolicyDiff> {
    let caller = caller(&node, [&request.purpose, &request.reference, &request.include]);
    blocking(move || node.policy_diff(&caller, &request.text, Path::new(&request.file))).await
}

async fn clock(State(node): State<App>) -> Answer<ClockStatus> {
    Ok(Json(node.clock().await?))
}

async fn confirm_clock(State(node): State<App>, Json(request): Json<ConfirmClock>) -> Answer<ClockStatus> {
    Ok(Json(node.confirm_clock(request.against_partners).await?))
}

async fn stop(State(node): State<App>) -> Json<serde_json::Value> {
    node.stop.notify_one();
    Json(serde_json::json!({ "pid": std::process::id() }))
}

/// Pieces of the store, each behind its length, 4 bytes big-endian, and a length of 0 behind the last. One that cannot be read breaks
/// the answer off.
async fn backup(State(node): State<App>) -> Result<Response, Refusal> {
    let mut snapshot = node.snapshot(&writer(&node)).await?;
    // Few at a time: who reads slowly is waited for.
    let (pieces, received) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    tokio::task::spawn_blocking(move || {
        loop {
            let piece = match snapshot.next_piece() {
                Ok(Some(piece)) => Ok(framed(&piece)),
                Ok(None) => Ok(framed(&[])),
                Err(error) => {
                    warn!(%error, "a backup was broken off");
                    Err(io::Error::other(error))
                }
            };
            let is_last = !matches!(&piece, Ok(bytes) if bytes.len() > LENGTH);
            if pieces.blocking_send(piece).is_err() || is_last {
                break;
            }
        }
    });
    let pieces =
        stream::unfold(received, |mut received| async move { Some((received.recv().await?, received)) });
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(pieces)).into_response())
}

fn framed(piece: &[u8]) -> Bytes {
    // A piece holds one value of the store, far below 4 GiB.
    let length = u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], piece].concat().into()
}

/// A line of JSON for each event, after an empty one, which says that it is watched.
async fn watch(State(node): State<App>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let watching = node.watch(caller(&node, [&asked.purpose, &asked.reference, &asked.include]))?;
    let lines = stream::unfold(watching, |watching| async move {
        let (event, watching) = watching.next().await?;
        let line =
            serde_json::to_string(&event).map(|line| Bytes::from(line + "\n")).map_err(io::Error::from);
        Some((line, watching))
    });
    let first = stream::once(async { Ok::<_, io::Error>(Bytes::from_static(b"\n")) });
    let body = Body::from_stream(stream::StreamExt::chain(first, lines));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
