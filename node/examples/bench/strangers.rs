//! How long a partner's link takes while strangers hold silent sockets: 64 from the partner's own address and three from each
//! of 199 others, those that the node closes opened anew at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use socket2::{Domain, Socket, Type};

use crate::Bench;
use crate::fixture::{Mesh, Transport};
use crate::live::Local;
use crate::table::Table;

/// Silent sockets from the partner's own address.
const OF_ONE: usize = 64;
/// Other addresses, and silent sockets from each.
const OTHERS: (u8, usize) = (199, 3);
/// Links of which the slowest counts.
const LINKS: usize = 10;
/// How long one may take until it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the row.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    if !table.wants("link_under_silent_sockets_s") {
        return Ok(());
    }
    let mut mesh = Mesh::make(&bench.folder.join("strangers"), 0)?;
    mesh.only(Transport::Tcp)?;
    let listener = Local::start(&mesh.sender)?;
    let strangers = Strangers::start(port(&listener)?);
    // Until all are there, and the first have been closed.
    thread::sleep(Duration::from_secs(4));
    let mut slowest = Duration::ZERO;
    for _ in 0..bench.count(LINKS, 2) {
        let partner = Local::start(&mesh.receiver)?;
        let begin = Instant::now();
        while partner.node.engine.links.links().iter().all(|(_, link)| link.node.is_none()) {
            if begin.elapsed() > PATIENCE {
                bail!("the partner does not link: {:?}", listener.node.engine.net.pressure().of_late());
            }
            thread::sleep(Duration::from_millis(1));
        }
        slowest = slowest.max(begin.elapsed());
        partner.stop()?;
        thread::sleep(Duration::from_millis(300));
    }
    let made = strangers.stop();
    println!("strangers: {made} silent sockets, {:?}", listener.node.engine.net.pressure().tcp);
    table.put("link_under_silent_sockets_s", slowest.as_secs_f64());
    listener.stop()
}

/// The TCP port of a node that has just started.
fn port(listener: &Local) -> Result<u16> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let listens = listener.node.engine.links.listens();
        if let Some((_, port)) = listens.iter().find_map(|address| address.split_once("/tcp/")) {
            return Ok(port.parse()?);
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("the node does not listen")
}

/// A thread that keeps silent sockets open.
struct Strangers {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Strangers {
    fn start(port: u16) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let others = (1..=OTHERS.0).flat_map(|last| [Ipv4Addr::new(127, 0, 1, last); OTHERS.1]);
        let from: Vec<Ipv4Addr> = others.chain([Ipv4Addr::LOCALHOST; OF_ONE]).collect();
        let (stopping, count) = (Arc::clone(&stop), Arc::clone(&made));
        let thread = thread::spawn(move || {
            let mut sockets: Vec<Option<Socket>> = from.iter().map(|_| None).collect();
            while !stopping.load(Ordering::Relaxed) {
                for (socket, from) in sockets.iter_mut().zip(&from) {
                    if !socket.as_ref().is_some_and(is_open) {
                        *socket = connect(*from, port);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, made, thread }
    }

    /// Closes them all. Returns how many there were.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that panicked made no more of them; how many there were is printed.
        let _ = self.thread.join();
        self.made.load(Ordering::Relaxed)
    }
}

fn is_open(socket: &Socket) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    socket.peek(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn connect(from: Ipv4Addr, port: u16) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}
