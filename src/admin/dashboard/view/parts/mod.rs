//! Parts that several pages share.

mod chart_layout;
pub(in crate::admin::dashboard) mod day_chart;
pub(super) mod notice;
pub(super) mod pair;
pub(super) mod status;
pub(super) mod steps;
pub(super) mod time;
