//! Page of all rotations.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Frame;
use super::parts::day_chart::{self, DayChart};
use super::parts::notice::{Tone, count, notice};
use super::parts::status::{badge, notices};
use super::parts::time::when;
use super::parts::{pair, steps};
use crate::admin::dashboard::action::BulkAction;
use crate::admin::dashboard::filter::{CHART_LIMIT, Page, RotationFilter, needs_action};
use crate::admin::dashboard::session_context::SessionContext;
use crate::worker::views::{RotationState, RotationView};
use twinkey_core::code::{Code, Problem};

/// The largest number of notices about secrets that are not rotated.
const REFUSED: usize = 5;

/// The content of the page.
pub(in crate::admin::dashboard) struct OverviewPage<'a> {
    pub context: &'a SessionContext,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    /// The number of rotations in each state, without the filter.
    pub tally: Vec<(RotationState, usize)>,
    pub filter: RotationFilter,
    /// The engines, the stores and the codes that the filter offers.
    pub engines: BTreeSet<&'a str>,
    pub stores: BTreeSet<&'a str>,
    pub codes: BTreeSet<Code>,
    pub page: Page<RotationView>,
    /// The number of matching rotations that each action changes.
    pub actions: [(BulkAction, usize); 2],
    /// The problems of secrets that `[[discover]]` finds and that have no rotation.
    pub refused: Vec<Problem>,
    /// Whether the config has a `[[discover]]`.
    pub discovers: bool,
    /// The windows of the matching rotations. `None`: too many match.
    pub chart: Option<DayChart<'a>>,
}

/// The page.
pub(in crate::admin::dashboard) fn page(overview: &OverviewPage) -> Markup {
    let total: usize = overview.tally.iter().map(|(_, n)| n).sum();
    let main = html! {
        h1.unseen { "Rotations" }
        @if let Some((action, rotations)) = overview.filter.done {
            div #done { (notice(Tone::Good, &done(action, rotations), None, None)) }
        }
        (summary(overview, total))
        div #refused data-live { (refused(&overview.refused)) }
        section aria-labelledby="strip-heading" {
            h2 #strip-heading { "The next 24 hours" }
            div #strip data-live {
                @match &overview.chart {
                    Some(chart) => (day_chart::picture(chart, overview.now)),
                    None => p.empty {
                        "The chart shows the windows of at most "
                        (count(CHART_LIMIT, "rotation", "rotations")) ". Filter the rotations below."
                    },
                }
            }
        }
        section aria-labelledby="rotations-heading" {
            div.section-head {
                h2 #rotations-heading { "Rotations" }
                (filter_form(overview))
            }
            div #rotations data-live {
                @if total == 0 {
                    @if overview.discovers {
                        p.empty { "No [[discover]] has found a secret yet." }
                    } @else {
                        p.empty { "The config has no [[rotation]] yet." }
                    }
                } @else if overview.page.rows.is_empty() {
                    p.empty { "No rotation matches. " a href="/" { "Show all" } }
                } @else {
                    (table(overview))
                    (pages(overview))
                    @if overview.context.session.principal().is_operator() { (bulk_actions(overview)) }
                }
            }
        }
    };
    let frame = Frame {
        title: "Rotations",
        context: Some(overview.context),
        events: Some("/v1/events"),
        worker: Some(overview.worker),
        path: "/",
    };
    frame.wrap(&main)
}

fn summary(overview: &OverviewPage, total: usize) -> Markup {
    html! {
        nav #summary .summary data-live aria-label="Rotations by state" {
            @let is_current = |state: Option<RotationState>| {
                (overview.filter.state() == state).then_some("true")
            };
            a #sum-all href="/" aria-current=[is_current(None)] {
                (count(total, "rotation", "rotations"))
            }
            @for (state, n) in overview.tally.iter().filter(|(_, n)| *n > 0) {
                a id={ "sum-" (state.as_str()) } href={ "/?state=" (state.as_str()) }
                    data-state=(state.as_str()) aria-current=[is_current(Some(*state))] {
                    span.mark aria-hidden="true" {} (n) " " (state.as_str())
                }
            }
        }
    }
}

/// Secrets that are found and not rotated.
fn refused(problems: &[Problem]) -> Markup {
    html! {
        @for problem in problems.iter().take(REFUSED) {
            (notice(Tone::Bad, &problem.message, Some(problem.code.as_str()), Some(&problem.hint)))
        }
        @if problems.len() > REFUSED {
            p.faint {
                (count(problems.len() - REFUSED, "more secret is", "more secrets are")) " not rotated: "
                code { "twinkey discover --dry-run" } " lists them."
            }
        }
    }
}

fn filter_form(overview: &OverviewPage) -> Markup {
    let filter = &overview.filter;
    html! {
        form.filter method="get" action="/" role="search" aria-label="Filter the rotations" {
            label.unseen for="q" { "Name, secret or host" }
            input #q type="search" name="q" value=(filter.view.text) placeholder="name, secret or host";
            label.unseen for="state" { "State" }
            select #state name="state" {
                option value="" { "any state" }
                @for state in RotationState::ALL {
                    option value=(state.as_str()) selected[filter.state() == Some(state)] {
                        (state.as_str())
                    }
                }
            }
            label.unseen for="engine" { "Engine" }
            select #engine name="engine" {
                option value="" { "any engine" }
                @for engine in offered(&overview.engines, filter.view.engine.as_deref()) {
                    option value=(engine) selected[filter.view.engine.as_deref() == Some(engine)] { (engine) }
                }
            }
            // Without a `[[store]]`, there is one.
            @if overview.stores.len() > 1 || filter.view.store.is_some() {
                label.unseen for="store" { "Store" }
                select #store name="store" {
                    option value="" { "any store" }
                    @for store in offered(&overview.stores, filter.view.store.as_deref()) {
                        option value=(store) selected[filter.view.store.as_deref() == Some(store)] { (store) }
                    }
                }
            }
            label.unseen for="code" { "Code" }
            select #code name="code" {
                option value="" { "any code" }
                @for &code in &overview.codes {
                    option value=(code.as_str()) selected[filter.view.code == Some(code)] { (code.as_str()) }
                }
            }
            button type="submit" { "Filter" }
        }
    }
}

/// The values that a field offers, and the selected one, which no rotation may have.
fn offered<'a>(all: &BTreeSet<&'a str>, selected: Option<&'a str>) -> BTreeSet<&'a str> {
    all.iter().copied().chain(selected).collect()
}

fn table(overview: &OverviewPage) -> Markup {
    // Explicit roles, because the card layout of narrow screens drops the implicit ones.
    html! {
        table.rotations role="table" aria-labelledby="rotations-heading" {
            thead role="rowgroup" {
                tr role="row" {
                    @for head in ["Rotation", "State", "Pair", "Last success", "Next window"] {
                        th role="columnheader" scope="col" { (head) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for view in &overview.page.rows { (line(view, overview.now)) }
            }
        }
    }
}

fn line(view: &RotationView, now: DateTime<Utc>) -> Markup {
    let server = [view.engine.as_deref(), view.host.as_deref()];
    let server: Vec<&str> = server.into_iter().flatten().collect();
    let notices = notices(view);
    html! {
        tr role="row" data-rotation=(view.name) data-needs[needs_action(view.state)] {
            th.name role="rowheader" scope="row" {
                a id={ "to-" (view.name) } href={ "/rotations/" (view.name) } { (view.name) }
                span.faint { (server.join(" · ")) }
            }
            td.state role="cell" {
                (badge(view.state.as_str()))
                (steps::line(view.last_run.as_ref()))
            }
            td role="cell" { (pair::picture(view)) }
            td role="cell" {
                span.label { "Last success " }
                @match view.last_success {
                    Some(at) => (when(at, now)),
                    None => span.faint { "never" },
                }
            }
            td role="cell" {
                @if let Some(next) = view.next_try {
                    span.label { "Next try " } "tried again " (when(next, now)) br;
                }
                span.label { "Next window " }
                @match view.next_window {
                    Some(window) => (when(window.opens, now)),
                    None if view.paused.is_some() => span.faint { "none while paused" },
                    None => span.faint { "on demand only" },
                }
            }
        }
        @for notice in &notices {
            tr.notice-row role="row" data-tone=(notice.tone.as_str()) {
                td role="cell" colspan="5" { (notice.render()) }
            }
        }
    }
}

fn pages(overview: &OverviewPage) -> Markup {
    let (page, filter) = (&overview.page, &overview.filter);
    let address = |to: usize| filter.address("/", Some(to));
    html! {
        @if page.pages > 1 {
            nav.pages aria-label="Pages of rotations" {
                @if page.page > 1 { a.button #page-before rel="prev" href=(address(page.page - 1)) { "Previous" } }
                span {
                    "Page " (page.page) " of " (page.pages) ", "
                    (count(page.matching, "rotation", "rotations"))
                }
                @if page.page < page.pages { a.button #page-after rel="next" href=(address(page.page + 1)) { "Next" } }
            }
        }
    }
}

/// Links to the actions on all matching rotations that they change.
fn bulk_actions(overview: &OverviewPage) -> Markup {
    html! {
        div.actions {
            @for (action, changed) in overview.actions.into_iter().filter(|(_, changed)| *changed > 0) {
                a.button href=(overview.filter.address(action.path(), None)) {
                    (action.action().title()) " these: " (count(changed, "rotation", "rotations"))
                }
            }
        }
    }
}

fn done(action: BulkAction, rotations: usize) -> String {
    let what = count(rotations, "rotation", "rotations");
    format!("{what} {}", action.success_message())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::admin::auth::TokenAuth;
    use crate::admin::auth::session::Session;
    use crate::admin::dashboard::filter::{codes, engines, stores, tally};
    use crate::worker::upcoming::WindowGroup;
    use crate::worker::view_filter::ViewFilter;

    fn shown(views: &[RotationView], filter: RotationFilter) -> String {
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        let auth = TokenAuth::new(None, Vec::new()).unwrap();
        let session = Session::start(auth.anonymous().unwrap(), now);
        let context = SessionContext {
            csrf_token: session.csrf_token(),
            session,
            signed_in: true,
        };
        let group = WindowGroup {
            opens: now,
            closes: now,
            starts: now,
            windows: 1,
        };
        let groups = views.iter().map(|view| (view.name.as_str(), group));
        let overview = OverviewPage {
            context: &context,
            worker: "w-1",
            now,
            tally: tally(views),
            engines: engines(views),
            stores: stores(views),
            codes: codes(views, &filter),
            page: filter.page(views.to_vec()),
            actions: [(BulkAction::Pause, views.len()), (BulkAction::Resume, 0)],
            refused: Vec::new(),
            discovers: false,
            chart: (views.len() <= CHART_LIMIT).then(|| DayChart::new(groups.collect(), now)),
            filter,
        };
        page(&overview).into_string()
    }

    #[test]
    fn a_page_of_ten_thousand_rotations_has_a_bounded_size() {
        let views: Vec<RotationView> = (0..10_000).map(|n| example(&format!("r{n}"))).collect();
        let filter = RotationFilter {
            view: ViewFilter {
                text: "r".into(),
                ..ViewFilter::default()
            },
            page: 3,
            ..RotationFilter::default()
        };
        let page = shown(&views, filter);
        println!("10,000 rotations: {} KiB", page.len() / 1024);
        assert!(page.len() < 200 * 1024, "{} bytes", page.len());
        assert_eq!(page.matches("data-rotation=").count(), 50);
        assert!(page.contains("Page 3 of 200, 10,000 rotations"));
        assert!(page.contains("href=\"/?q=r&amp;page=4\""));
        assert!(page.contains("the windows of at most 5,000 rotations"));
        assert!(page.contains("Pause these: 10,000 rotations"));
        assert!(!page.contains("Resume these"), "it would change none");
    }

    #[test]
    fn an_unknown_engine_or_store_stays_selected() {
        let view = ViewFilter {
            engine: Some("Postgres".into()),
            store: Some("<nope>".into()),
            ..ViewFilter::default()
        };
        let page = shown(
            &[],
            RotationFilter {
                view,
                page: 1,
                ..RotationFilter::default()
            },
        );
        for selected in ["Postgres", "&lt;nope&gt;"] {
            let option = format!("<option value=\"{selected}\" selected>");
            assert!(page.contains(&option), "{option}: {page}");
        }
    }

    #[test]
    fn a_failure_is_shown_with_its_code_beside_the_rotation() {
        let mut views = vec![example("orders"), example("<b>")];
        views[0].store = Some("<b>".into());
        views[0].state = RotationState::Paused;
        views[0].paused = Some(crate::journal::Pause::default());
        views[1].state = RotationState::LockedOut;
        views[1].problem = Some(Problem {
            code: Code::CurrentSigninFailed,
            message: "<b> is refused".into(),
            hint: "store the password".into(),
        });
        let page = shown(
            &views,
            RotationFilter {
                page: 1,
                ..RotationFilter::default()
            },
        );
        assert!(page.contains("No scheduled run starts: paused."));
        assert!(page.contains("none while paused"));
        assert!(page.contains("current_signin_failed"));
        assert!(page.contains("<option value=\"secrets\">"), "two stores");
        assert!(!page.contains("<b>"), "names are escaped");
    }
}
