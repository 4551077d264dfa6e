//! The command line's side of the socket: HTTP/1.1 over a std `UnixStream`, one request a connection.
//!
//! Small on purpose: `tocsin lookup` is a whole process of about a millisecond, and a runtime would double it. Nothing is
//! said before the listener is known to be of the user whose node it is, or root: a path outside the home may have been
//! taken by somebody else since the node wrote it down.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::route::{Route, Target};
use super::types::Fault;

/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// What of an answer is read at once, in bytes: its head, and all of a short one. Longer bodies go past this.
const BUFFER: usize = 16 << 10;
/// Longest answer that is read whole, in bytes.
const ANSWER_MAX: u64 = 256 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The node did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no node to run.
    #[error(
        "there is no node in {0}: check --home, or make one with `tocsin --home {0} init --name NAME --country CC`"
    )]
    NoHome(String),
    /// Nobody listens.
    #[error("no node runs on {home}: start it with `tocsin --home {home} run`")]
    NotRunning {
        /// Which home.
        home: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket may not be used.
    #[error("the node of {home} may not be spoken to ({source}): only the user who runs it may, and root")]
    Denied {
        /// Which home.
        home: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket is there and is not to be reached.
    #[error("the node of {home} is not reached: {source}")]
    Unreachable {
        /// Which home.
        home: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else listens.
    #[error(
        "another user (uid {uid}) listens at {socket} in place of the node of {home}: nothing was said there. Start the \
         node anew, `tocsin --home {home} run`: it chooses another place"
    )]
    Foreign {
        /// Which home.
        home: String,
        /// Path of the socket.
        socket: String,
        /// The user of the process that listens there.
        uid: u32,
    },
    /// The node ended in the middle.
    #[error(
        "the node ended while it worked (its answer is cut short); what it acknowledged is kept: start it and do this again"
    )]
    Ended,
    /// It does not answer.
    #[error("the node did not answer within {} s: `tocsin status` tells whether it is well", PATIENCE.as_secs())]
    Slow,
    /// The connection broke.
    #[error("the connection to the node broke: {0}")]
    Broken(std::io::Error),
    /// The answer is not HTTP as this program speaks it.
    #[error("the node's answer is not understood ({0}): are command and node of one version?")]
    Answer(&'static str),
    /// The answer is longer than is read into memory.
    #[error("the node's answer is longer than {} MiB: ask for less at once", ANSWER_MAX >> 20)]
    Long,
    /// The answer is not the JSON that was expected.
    #[error("the node's answer is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// The node refused, and says why.
    #[error("{error}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The node's words.
        error: String,
    },
}

/// Speaks to one node.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    home: String,
    /// What is there if a node was made in the home.
    card: Option<PathBuf>,
}

/// A body that is read as it comes.
pub struct Stream {
    body: Body,
}

enum Body {
    Sized(std::io::Take<BufReader<UnixStream>>),
    Chunked(Chunks),
}

struct Chunks {
    from: BufReader<UnixStream>,
    left: usize,
    ended: bool,
}

impl Client {
    /// For the node of the home at `home`, which listens at `socket`. `card` is a file that is there where a node was
    /// made: its owner is the user whose node it is.
    #[must_use]
    pub fn of_home(home: &Path, socket: PathBuf, card: PathBuf) -> Self {
        Self { socket, home: home.display().to_string(), card: Some(card) }
    }

    /// For a socket.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), home: socket.display().to_string(), card: None }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, target: impl Into<Target>) -> Result<T, ClientError> {
        read_json(self.send("GET", &target.into(), "", b"")?)
    }

    /// Sends JSON and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn post<T: DeserializeOwned>(&self, route: Route, what: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(what)?;
        read_json(self.send("POST", &route.into(), "application/json", &body)?)
    }

    /// Sends bytes and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn post_bytes<T: DeserializeOwned>(&self, route: Route, body: &[u8]) -> Result<T, ClientError> {
        read_json(self.send("POST", &route.into(), "application/octet-stream", body)?)
    }

    /// Asks for bytes, at most so many.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get_bytes(&self, target: impl Into<Target>, most: usize) -> Result<Vec<u8>, ClientError> {
        Self::read_bytes(self.send("GET", &target.into(), "", b"")?, most)
    }

    /// Sends bytes, and reads what comes back, at most so many.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn post_for_bytes(&self, route: Route, body: &[u8], most: usize) -> Result<Vec<u8>, ClientError> {
        Self::read_bytes(self.send("POST", &route.into(), "application/octet-stream", body)?, most)
    }

    fn read_bytes(mut stream: Stream, most: usize) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        (&mut stream).take(most as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            return Err(ClientError::Long);
        }
        // An answer that states its length and ends before it: the node is gone.
        if let Body::Sized(body) = &stream.body
            && body.limit() > 0
        {
            return Err(ClientError::Ended);
        }
        Ok(bytes)
    }

    /// Asks for something that does not end by itself, such as what arrives.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stream(&self, target: impl Into<Target>) -> Result<Stream, ClientError> {
        self.send("GET", &target.into(), "", b"")
    }

    /// Connects, to the user's own node only.
    fn connect(&self) -> Result<UnixStream, ClientError> {
        let stream = UnixStream::connect(&self.socket).map_err(|source| self.no_connection(source))?;
        // Whose node it is: of a home, whoever made it.
        let made = self.card.as_deref().unwrap_or(&self.socket);
        let owner = std::fs::metadata(made).map_err(|source| self.no_connection(source))?.uid();
        let uid = peer_uid(&stream)?;
        if is_trusted(uid, owner) {
            return Ok(stream);
        }
        Err(ClientError::Foreign { home: self.home.clone(), socket: self.socket.display().to_string(), uid })
    }

    /// What it means that nobody took the connection.
    fn no_connection(&self, source: std::io::Error) -> ClientError {
        use std::io::ErrorKind as Kind;
        let home = self.home.clone();
        match source.kind() {
            // The home's own path is too long for a socket, and no note says where a node listens instead.
            Kind::NotFound | Kind::InvalidInput if self.card.as_ref().is_some_and(|card| !card.exists()) => {
                ClientError::NoHome(home)
            }
            Kind::NotFound | Kind::InvalidInput | Kind::ConnectionRefused => {
                ClientError::NotRunning { home, source }
            }
            Kind::PermissionDenied => ClientError::Denied { home, source },
            _ => ClientError::Unreachable { home, source },
        }
    }

    fn send(&self, method: &str, target: &Target, kind: &str, body: &[u8]) -> Result<Stream, ClientError> {
        let mut stream = self.connect()?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head =
            format!("{method} {} HTTP/1.1\r\nhost: tocsin\r\nconnection: close\r\n", target.as_str());
        if !kind.is_empty() {
            head.push_str(&format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        // One write for a small request: the node reads it in one go.
        let sent = if body.len() <= 64 << 10 {
            request.extend_from_slice(body);
            stream.write_all(&request)
        } else {
            stream.write_all(&request).and_then(|()| stream.write_all(body))
        };
        let mut from = BufReader::with_capacity(BUFFER, stream);
        match sent {
            // A node that does not take all of a request may have said why before it closed.
            Err(error) if ended(&error) && !from.fill_buf().is_ok_and(|said| !said.is_empty()) => {
                Err(error.into())
            }
            Err(error) if !ended(&error) => Err(error.into()),
            _ => answer(from),
        }
    }
}

/// Root may read everything anyway.
fn is_trusted(uid: u32, owner: u32) -> bool {
    uid == owner || uid == 0
}

/// The user who listens at the other end.
fn peer_uid(stream: &UnixStream) -> std::io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            _ if ended(&error) => Self::Ended,
            Kind::WouldBlock | Kind::TimedOut => Self::Slow,
            _ => Self::Broken(error),
        }
    }
}

/// Whether the other end is gone.
fn ended(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(error.kind(), Kind::UnexpectedEof | Kind::ConnectionReset | Kind::BrokenPipe)
}

fn answer(mut from: BufReader<UnixStream>) -> Result<Stream, ClientError> {
    let mut left = HEAD_MAX;
    let mut line = || -> Result<String, ClientError> {
        let mut text = Vec::new();
        let read = (&mut from).take(left as u64).read_until(b'\n', &mut text)?;
        left -= read;
        if !text.ends_with(b"\n") {
            // All that there was: the node is gone. Else the line is longer than any of ours.
            return Err(if left > 0 {
                ClientError::Ended
            } else {
                ClientError::Answer("its head is too long")
            });
        }
        let text = String::from_utf8(text).map_err(|_| ClientError::Answer("its head is no text"))?;
        Ok(text.trim_end().to_owned())
    };
    let status: u16 = line()?
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or(ClientError::Answer("no status"))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let field = line()?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':').ok_or(ClientError::Answer("a field without a name"))?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<u64>().map_err(|_| ClientError::Answer("its length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    if length.is_some_and(|length| length > ANSWER_MAX) {
        return Err(ClientError::Long);
    }
    let body = if chunked {
        Body::Chunked(Chunks { from, left: 0, ended: false })
    } else {
        Body::Sized(from.take(length.unwrap_or(ANSWER_MAX)))
    };
    let stream = Stream { body };
    if (200..300).contains(&status) {
        return Ok(stream);
    }
    let mut text = String::new();
    stream.take(64 << 10).read_to_string(&mut text)?;
    let error = serde_json::from_str::<Fault>(&text).map_or(text, |fault| fault.error);
    Err(ClientError::Refused { status, error })
}

fn read_json<T: DeserializeOwned>(mut stream: Stream) -> Result<T, ClientError> {
    let mut bytes = Vec::new();
    (&mut stream).take(ANSWER_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ANSWER_MAX {
        return Err(ClientError::Long);
    }
    if let Body::Sized(body) = &stream.body
        && body.limit() > 0
        && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err()
    {
        return Err(ClientError::Ended);
    }
    Ok(serde_json::from_slice(&bytes)?)
}

impl Stream {
    /// Waits for ever for what comes next: for what does not end by itself.
    ///
    /// # Errors
    /// The system's.
    pub fn wait_for_ever(&mut self) -> Result<(), ClientError> {
        self.patience(None)
    }

    /// Waits at most so long for what comes next.
    ///
    /// # Errors
    /// The system's.
    pub fn patience(&mut self, time: Option<Duration>) -> Result<(), ClientError> {
        let stream = match &mut self.body {
            Body::Sized(body) => body.get_ref().get_ref(),
            Body::Chunked(body) => body.from.get_ref(),
        };
        Ok(stream.set_read_timeout(time)?)
    }

    /// The lines of the body, each a JSON value.
    pub fn lines(self) -> impl Iterator<Item = std::io::Result<String>> {
        BufReader::new(self).lines()
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.body {
            Body::Sized(body) => body.read(into),
            Body::Chunked(body) => body.read(into),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = self.next_length()?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let most = into.len().min(self.left);
        let read = self.from.read(&mut into[..most])?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        if self.left == 0 {
            self.line()?;
        }
        Ok(read)
    }
}

impl Chunks {
    fn line(&mut self) -> std::io::Result<String> {
        let mut text = Vec::new();
        (&mut self.from).take(64).read_until(b'\n', &mut text)?;
        if text.ends_with(b"\n") {
            Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn next_length(&mut self) -> std::io::Result<usize> {
        let line = self.line()?;
        usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "a chunk without a length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;
    use std::os::unix::net::UnixListener;

    fn answers(text: &'static str) -> Result<serde_json::Value, ClientError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        });
        let answer = Client::at(&path).get(route::STATUS);
        server.join().unwrap();
        answer
    }

    #[test]
    fn reads_what_servers_answer() {
        assert_eq!(answers("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}extra").unwrap()["a"], 1);
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(answers(chunked).unwrap()["a"], 1);
        let refused = answers("HTTP/1.1 404 Not Found\r\ncontent-length: 14\r\n\r\n{\"error\":\"no\"}");
        assert!(matches!(refused, Err(ClientError::Refused { status: 404, error }) if error == "no"));
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-le",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\"",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"a",
        ] {
            let error = answers(cut).unwrap_err();
            assert!(matches!(error, ClientError::Ended), "{cut:?}: {error}");
        }
        assert!(answers("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").is_err());
        assert!(answers("nonsense").is_err());
    }

    #[test]
    fn why_a_long_request_was_not_taken_is_read() {
        let refused = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 16\r\n\r\n{\"error\":\"full\"}";
        for (text, says) in [(refused, true), ("", false)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s");
            let listener = UnixListener::bind(&path).unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 64]).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
            });
            let answer = Client::at(&path).post_bytes::<serde_json::Value>(route::STATUS, &[7; 4 << 20]);
            server.join().unwrap();
            match answer {
                Err(ClientError::Refused { status: 503, error }) if says => assert_eq!(error, "full"),
                Err(ClientError::Ended) if !says => {}
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn only_the_users_own_node_is_spoken_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let own = std::fs::metadata(&path).unwrap().uid();
        let stream = UnixStream::connect(&path).unwrap();
        assert_eq!(peer_uid(&stream).unwrap(), own);
        // It blocks as before.
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let begun = std::time::Instant::now();
        assert!((&stream).read(&mut [0]).is_err());
        assert!(begun.elapsed() >= Duration::from_millis(15));
        assert!(is_trusted(1000, 1000) && is_trusted(0, 1000));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
        // A home of somebody else, in whose place this user listens. Root is never refused.
        let owner = std::fs::metadata("/").unwrap().uid();
        if !is_trusted(own, owner) {
            let client = Client { card: Some("/".into()), ..Client::at(&path) };
            let error = client.get::<()>(route::STATUS).unwrap_err();
            assert!(matches!(error, ClientError::Foreign { uid, .. } if uid == own), "{error}");
        }
        drop(listener);
    }

    #[test]
    fn says_when_nobody_listens() {
        let error = Client::at(Path::new("/nonexistent/s")).get::<()>(route::STATUS).unwrap_err();
        assert!(error.to_string().contains("start it with"), "{error}");
        for name in ["home".to_owned(), "x".repeat(150)] {
            let home = Path::new("/nonexistent").join(name);
            let client = Client::of_home(&home, home.join("run.sock"), home.join("own.card"));
            let error = client.get::<()>(route::STATUS).unwrap_err();
            assert!(error.to_string().contains("check --home"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = Client::at(folder.path()).get::<()>(route::STATUS).unwrap_err();
        assert!(!error.to_string().contains("was not found"), "{error}");
    }
}
