//! The page of all rotations.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::standing::{badge, told};
use super::strip::Strip;
use super::time::when;
use super::{Frame, count, pair, steps, strip};
use crate::admin::dashboard::door::Visitor;
use crate::admin::dashboard::select::{Page, Row, Wanted};
use crate::worker::views::RotationState;

/// What the page shows.
pub(in crate::admin::dashboard) struct Overview<'a> {
    pub visitor: &'a Visitor,
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    /// How many rotations are in each state, whether they are wanted or not.
    pub tally: Vec<(RotationState, usize)>,
    pub wanted: Wanted,
    pub page: Page<'a>,
    /// Of all that are wanted.
    pub strip: Strip<'a>,
}

/// The page.
pub(in crate::admin::dashboard) fn page(overview: &Overview) -> Markup {
    let total: usize = overview.tally.iter().map(|(_, n)| n).sum();
    let main = html! {
        h1.unseen { "Rotations" }
        (summary(overview, total))
        section aria-labelledby="strip-heading" {
            h2 #strip-heading { "The next 24 hours" }
            div #strip data-live { (strip::picture(&overview.strip, overview.now)) }
        }
        section aria-labelledby="rotations-heading" {
            div.section-head {
                h2 #rotations-heading { "Rotations" }
                (filter(overview))
            }
            div #rotations data-live {
                @if total == 0 {
                    p.empty { "The config has no [[rotation]] yet." }
                } @else if overview.page.rows.is_empty() {
                    p.empty { "No rotation matches. " a href="/" { "Show all" } }
                } @else {
                    (table(overview))
                    (pages(overview))
                }
            }
        }
    };
    let frame = Frame {
        title: "Rotations",
        visitor: Some(overview.visitor),
        follows: Some("/v1/events"),
        worker: Some(overview.worker),
    };
    frame.around(&main)
}

fn summary(overview: &Overview, total: usize) -> Markup {
    html! {
        nav #summary .summary data-live aria-label="Rotations by state" {
            @let here = |state: Option<RotationState>| {
                (overview.wanted.state == state).then_some("true")
            };
            a #sum-all href="/" aria-current=[here(None)] {
                (count(total, "rotation", "rotations"))
            }
            @for (state, n) in overview.tally.iter().filter(|(_, n)| *n > 0) {
                a id={ "sum-" (state.as_str()) } href={ "/?state=" (state.as_str()) }
                    data-state=(state.as_str()) aria-current=[here(Some(*state))] {
                    span.mark aria-hidden="true" {} (n) " " (state.as_str())
                }
            }
        }
    }
}

fn filter(overview: &Overview) -> Markup {
    html! {
        form.filter method="get" action="/" role="search" aria-label="Filter the rotations" {
            label.unseen for="q" { "Name, secret or host" }
            input #q type="search" name="q" value=(overview.wanted.text) placeholder="name, secret or host";
            label.unseen for="state" { "State" }
            select #state name="state" {
                option value="" { "any state" }
                @for state in RotationState::ALL {
                    option value=(state.as_str()) selected[overview.wanted.state == Some(state)] {
                        (state.as_str())
                    }
                }
            }
            button type="submit" { "Filter" }
        }
    }
}

fn table(overview: &Overview) -> Markup {
    // The roles are said because narrow screens lay the table out as cards, and lose them otherwise.
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
                @for row in &overview.page.rows { (line(row, overview.now)) }
            }
        }
    }
}

fn line(row: &Row, now: DateTime<Utc>) -> Markup {
    let view = row.view;
    let place = [view.engine.as_deref(), view.host.as_deref()];
    let place: Vec<&str> = place.into_iter().flatten().collect();
    let told = told(view, row.refused);
    html! {
        tr role="row" data-rotation=(view.name) data-needs[row.needs_somebody()] {
            th.name role="rowheader" scope="row" {
                a id={ "to-" (view.name) } href={ "/rotations/" (view.name) } { (view.name) }
                span.faint { (place.join(" · ")) }
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
                span.label { "Next window " }
                @match view.next_window {
                    Some(window) => (when(window.opens, now)),
                    None if view.state == RotationState::Paused => span.faint { "none while paused" },
                    None => span.faint { "on demand only" },
                }
            }
        }
        @for told in &told {
            tr.told role="row" data-tone=(told.tone.as_str()) {
                td role="cell" colspan="5" { (told.notice()) }
            }
        }
    }
}

fn pages(overview: &Overview) -> Markup {
    let (page, wanted) = (&overview.page, &overview.wanted);
    let address = |to: usize| {
        let query = [
            ("q", wanted.text.as_str()),
            ("state", wanted.state.map_or("", RotationState::as_str)),
            ("page", &to.to_string()),
        ];
        let query = query.iter().filter(|(_, value)| !value.is_empty());
        let base = reqwest::Url::parse_with_params("http://x/", query);
        base.map_or_else(
            |_| "/".into(),
            |url| format!("/?{}", url.query().unwrap_or_default()),
        )
    };
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

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use crate::admin::auth::Gate;
    use crate::admin::dashboard::select::tally;
    use crate::admin::session::Session;
    use crate::worker::outlook::Block;
    use crate::worker::views::RotationView;

    fn shown(views: &[RotationView], refused: &str, wanted: Wanted) -> String {
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        let gate = Gate::new(None).unwrap();
        let session = Session::begin(&gate, now);
        let visitor = Visitor {
            mark: session.form_mark(&gate),
            session,
            signed_in: true,
        };
        let rows = views.iter().map(|view| Row {
            view,
            refused: view.name == refused,
        });
        let block = Block {
            opens: now,
            closes: now,
            starts: now,
            windows: 1,
        };
        let blocks = views.iter().map(|view| (view.name.as_str(), block));
        let overview = Overview {
            visitor: &visitor,
            worker: "w-1",
            now,
            tally: tally(views),
            page: wanted.page(rows),
            strip: Strip::new(blocks.collect(), now),
            wanted,
        };
        page(&overview).into_string()
    }

    #[test]
    fn ten_thousand_rotations_are_a_page_of_bounded_weight_that_leads_to_the_others() {
        let views: Vec<RotationView> = (0..10_000).map(|n| example(&format!("r{n}"))).collect();
        let wanted = Wanted {
            text: "r".into(),
            page: 3,
            ..Wanted::default()
        };
        let page = shown(&views, "", wanted);
        println!("10,000 rotations: {} KiB", page.len() / 1024);
        assert!(page.len() < 200 * 1024, "{} bytes", page.len());
        assert_eq!(page.matches("data-rotation=").count(), 50);
        assert!(page.contains("Page 3 of 200, 10,000 rotations"));
        assert!(page.contains("href=\"/?q=r&amp;page=4\""));
    }

    #[test]
    fn a_failure_is_told_with_its_code_and_its_hint_beside_the_rotation() {
        let mut views = vec![example("orders"), example("<b>")];
        views[0].state = RotationState::Paused;
        let page = shown(
            &views,
            "<b>",
            Wanted {
                page: 1,
                ..Wanted::default()
            },
        );
        assert!(page.contains("No scheduled run begins while this is paused."));
        assert!(page.contains("none while paused"));
        assert!(page.contains("current_signin_failed"));
        assert!(!page.contains("<b>"), "names are escaped");
    }
}
