//! What is said: records, logs, bodies, observables, documents; how they are signed and verified.

pub mod marking;
