//! Where records rest.

pub mod disk;
pub mod faulty;
mod journal;
pub mod keyfile;
pub mod kv;
pub mod slots;
mod values;
