//! One mesh running: the thread that owns it, what comes to it from the network, its links and who is dialled.

pub mod core;
pub mod dial;
pub mod intake;
pub mod peers;
pub mod supervise;

use tocsin_home::identity;
use {tocsin_clock as clock, tocsin_net as net};
