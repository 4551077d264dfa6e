//! What the parts of this crate have to do together.

mod facts;
mod guardrails;
mod load;
mod presets;
mod readme;
mod rules;
mod view;
