//! The bodies of requests: how much of them is in memory at once, and how long one may take to come.
//!
//! A body waits in memory until it is whole. So each asks for room first, by the length that it states (or by the longest
//! that there may be, where it states none), and keeps it until it is answered: what is made of a body takes memory too.
//! What finds no room waits, and is told so after a while. A request without a body asks for none, so that `status`
//! is always answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use tocsin_api::types::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body waits for room.
const ROOM_WITHIN: Duration = Duration::from_secs(20);
/// How long a body may take to come once it has room: the longest, over a local socket, takes a tenth of a second.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// Room is counted in so many bytes.
const UNIT: usize = 1 << 10;

/// Room for the bodies of some requests.
#[derive(Clone)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    longest: usize,
}

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    TooLong { longest: usize },
    NoRoom,
    Slow,
    Cut,
}

impl Bodies {
    /// Bodies of at most `longest` bytes, and at most `sum` together, which is no less.
    pub fn new(longest: usize, sum: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(sum / UNIT)), longest }
    }

    /// Hands on a request once its body is whole.
    pub async fn take(State(bodies): State<Self>, request: Request, next: Next) -> Response {
        match bodies.whole(request).await {
            Ok((request, _room)) => next.run(request).await,
            Err(refused) => refused.into_response(),
        }
    }

    async fn whole(&self, request: Request) -> Result<(Request, Option<OwnedSemaphorePermit>), Refused> {
        let too_long = Refused::TooLong { longest: self.longest };
        let Some(most) = stated(request.headers(), self.longest) else { return Err(too_long) };
        if most == 0 {
            return Ok((request, None));
        }
        let units = u32::try_from(most.div_ceil(UNIT)).map_err(|_| too_long)?;
        let room = timeout(ROOM_WITHIN, Arc::clone(&self.room).acquire_many_owned(units)).await;
        let room = room.ok().and_then(Result::ok).ok_or(Refused::NoRoom)?;
        let (head, body) = request.into_parts();
        let whole = timeout(WHOLE_WITHIN, read(body, most)).await.map_err(|_| Refused::Slow)??;
        Ok((Request::from_parts(head, Body::from(whole)), Some(room)))
    }
}

/// The length of a body: as it is stated, or the longest that there may be. `None` if it is longer than that.
fn stated(headers: &HeaderMap, longest: usize) -> Option<usize> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Some(longest);
    }
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return Some(0) };
    length.to_str().ok()?.parse().ok().filter(|length| *length <= longest)
}

async fn read(body: Body, most: usize) -> Result<Bytes, Refused> {
    let (mut whole, mut chunks) = (Vec::new(), body.into_data_stream());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refused::Cut)?;
        if whole.len() + chunk.len() > most {
            return Err(Refused::TooLong { longest: most });
        }
        // All at once, so that it is never copied, and with the first bytes, so that who sends nothing takes nothing.
        if whole.capacity() == 0 {
            whole.reserve_exact(most);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::TooLong { longest } => {
                let error = format!("a request of more than {longest} bytes: send it in several");
                (StatusCode::PAYLOAD_TOO_LARGE, error)
            }
            Self::NoRoom => {
                let within = ROOM_WITHIN.as_secs();
                let error = format!(
                    "other requests take all the memory that there is for them, for {within} s now: try it again"
                );
                (StatusCode::SERVICE_UNAVAILABLE, error)
            }
            Self::Slow => {
                let error = format!("the request did not come within {} s", WHOLE_WITHIN.as_secs());
                (StatusCode::REQUEST_TIMEOUT, error)
            }
            Self::Cut => (StatusCode::BAD_REQUEST, "the request broke off".to_owned()),
        };
        (status, Json(Fault { error })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;
    use tocsin_api::route;
    use tokio::time::sleep;

    use super::*;

    /// The bounds of batches, a thousandth of them.
    const LONGEST: usize = 64 << 10;
    const SUM: usize = 128 << 10;
    const CHUNK: usize = 1 << 10;

    /// How much of unfinished bodies was taken, and the most that it ever was.
    #[derive(Default)]
    struct Taken {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    /// A request that sends a chunk of 1 KiB every 10 ms and states its length, or none.
    fn slow(chunks: usize, states: bool, taken: &Arc<Taken>) -> Request {
        let taken = Arc::clone(taken);
        let body = stream::unfold(0, move |sent| {
            let taken = Arc::clone(&taken);
            async move {
                if sent == chunks {
                    return None;
                }
                sleep(Duration::from_millis(10)).await;
                let now = taken.now.fetch_add(CHUNK, Ordering::Relaxed) + CHUNK;
                taken.most.fetch_max(now, Ordering::Relaxed);
                Some((Ok::<_, Infallible>(Bytes::from_static(&[7; CHUNK])), sent + 1))
            }
        });
        let request = Request::post(route::IMPORT.pattern());
        let request = match states {
            true => request.header(header::CONTENT_LENGTH, chunks * CHUNK),
            false => request.header(header::TRANSFER_ENCODING, "chunked"),
        };
        request.body(Body::from_stream(body)).expect("a request")
    }

    /// A request that states a length and sends nothing.
    fn silent(length: usize) -> Request {
        let nothing = stream::pending::<Result<Bytes, Infallible>>();
        let request = Request::post(route::IMPORT.pattern()).header(header::CONTENT_LENGTH, length);
        request.body(Body::from_stream(nothing)).expect("a request")
    }

    fn without_body() -> Request {
        Request::get(route::STATUS.pattern()).body(Body::empty()).expect("a request")
    }

    #[tokio::test(start_paused = true)]
    async fn sixteen_slow_uploads_take_no_more_together_than_there_is_room() {
        let (bodies, taken) = (Bodies::new(LONGEST, SUM), Arc::new(Taken::default()));
        let uploads = (0..16).map(|at| {
            let (bodies, taken) = (bodies.clone(), Arc::clone(&taken));
            tokio::spawn(async move {
                let (request, room) =
                    bodies.whole(slow(59, at % 2 == 0, &taken)).await.expect("its turn comes");
                let body = axum::body::to_bytes(request.into_body(), LONGEST).await.expect("a body");
                assert_eq!(body.len(), 59 * CHUNK);
                // As long as it is worked on it takes memory.
                sleep(Duration::from_millis(200)).await;
                taken.now.fetch_sub(body.len(), Ordering::Relaxed);
                drop((body, room));
            })
        });
        for upload in uploads.collect::<Vec<_>>() {
            upload.await.expect("no panic");
        }
        let most = taken.most.load(Ordering::Relaxed);
        assert!(most <= SUM, "{most} bytes of unfinished requests at once");
        assert!(most > LONGEST, "one waits for the other: {most}");
        assert_eq!(bodies.room.available_permits(), SUM / UNIT, "all of it is given back");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_is_told_and_who_finds_no_room_too() {
        let bodies = Bodies::new(LONGEST, SUM);
        let stalled: Vec<_> = (0..2)
            .map(|_| {
                let bodies = bodies.clone();
                tokio::spawn(async move { bodies.whole(silent(LONGEST)).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        let taken = Arc::new(Taken::default());
        assert_eq!(bodies.whole(slow(1, true, &taken)).await.map(drop), Err(Refused::NoRoom));
        assert!(bodies.whole(without_body()).await.is_ok(), "what has no body needs no room");
        for stalled in stalled {
            assert_eq!(stalled.await.expect("no panic"), Err(Refused::Slow));
        }
        assert!(bodies.whole(slow(64, true, &taken)).await.is_ok(), "their room is back");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_is_not_read() {
        let (bodies, taken) = (Bodies::new(LONGEST, SUM), Arc::new(Taken::default()));
        let too_long = Err(Refused::TooLong { longest: LONGEST });
        assert_eq!(bodies.whole(slow(65, true, &taken)).await.map(drop), too_long);
        assert_eq!(taken.most.load(Ordering::Relaxed), 0);
        assert_eq!(bodies.whole(slow(1_000, false, &taken)).await.map(drop), too_long);
        assert!(taken.most.load(Ordering::Relaxed) <= LONGEST + CHUNK);
        assert_eq!(bodies.room.available_permits(), SUM / UNIT);
    }
}
