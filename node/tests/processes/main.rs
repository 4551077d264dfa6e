//! The program as its users have it: real processes, real homes, real signals.

mod acknowledged;
mod asking;
mod backup;
mod by_hand;
mod circles;
mod clock;
mod damage;
mod death;
mod demo;
mod evidence;
mod harness;
mod importing;
mod listing;
mod machine;
mod memory;
mod orgs;
mod pipes;
mod programs;
mod reload;
mod room;
mod screen;
mod several;
mod status;
mod strangers;
mod truth;
mod versions;
