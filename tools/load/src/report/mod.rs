//! What a run found, and how it is told: text, JSON lines, one HTML page, Markdown tables.

pub(crate) mod chart;
pub(crate) mod html;
pub(crate) mod machine;
pub(crate) mod markdown;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod text;
