//! The store's answers cut off, call by call: whatever is lost, and whether it had taken effect or
//! not, AWSCURRENT signs in, and the next run goes on from there.

use std::collections::BTreeSet;

use twinkey::store::stage;

use crate::support::aws::faults::Cut;
use crate::support::shop::mariadb::MariadbShop;
use crate::support::shop::{Database, Plan, Shop};

/// More than any run makes.
const MOST_CALLS: usize = 40;

/// What must hold at every instant.
async fn promises_hold<D: Database>(shop: &Shop<D>, seen: &mut BTreeSet<String>) {
    let mut current = shop.signed_in(stage::CURRENT).await;
    assert!(
        D::may_work(&mut current).await,
        "AWSCURRENT has its privileges"
    );
    for label in [stage::CURRENT, stage::PENDING] {
        if shop
            .labels()
            .await
            .iter()
            .any(|(_, labels)| labels.iter().any(|l| l == label))
        {
            let (document, _) = shop.read(label).await;
            seen.insert(document["password"].as_str().unwrap().to_owned());
        }
    }
}

/// One run with these cuts ordered, then, if it failed, one without. Says whether the run came as far
/// as the first cut, and whether it failed.
async fn one_run<D: Database>(shop: &Shop<D>, cuts: &[(usize, Cut)]) -> (bool, bool) {
    let faults = shop.stand_in().faults();
    let (_, before) = shop.read(stage::CURRENT).await;
    let already = faults.calls().len();
    for (k, when) in cuts {
        faults.cut(*k, *when);
    }
    let output = shop.twinkey(&["rotate", "shop"]).await;
    let reached = faults.calls().len() >= already + cuts[0].0;
    faults.forget_cuts();
    let mut seen = BTreeSet::new();
    promises_hold(shop, &mut seen).await;
    let (_, after) = shop.read(stage::CURRENT).await;
    let failed = !output.status.success();
    if failed {
        shop.good(&["rotate", "shop"]).await;
        promises_hold(shop, &mut seen).await;
        shop.signed_in(stage::PREVIOUS).await;
    } else {
        assert_ne!(after, before, "a success has moved AWSCURRENT");
    }
    (reached, failed)
}

async fn is_cut_at_every_call<D: Database>(shop: Shop<D>) {
    shop.good(&["rotate", "shop"]).await;
    let mut cuts = 0;
    for when in [Cut::Before, Cut::After] {
        for k in 1..=MOST_CALLS {
            let (reached, failed) = one_run(&shop, &[(k, when)]).await;
            assert!(
                !failed,
                "one lost answer is asked for again (call {k}, {when:?})"
            );
            if !reached {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts >= 8, "every run makes at least four calls: {cuts}");
    println!("{cuts} single cuts at calls to the store: 0 violations, 0 failed runs");
}

async fn loses_the_store_at_every_call<D: Database>(shop: Shop<D>) {
    shop.good(&["rotate", "shop"]).await;
    let (mut outages, mut failures) = (0, 0);
    for when in [Cut::Before, Cut::After] {
        // Reading AWSCURRENT and the master secret, the labels, PutSecretValue, the labels, the move of
        // AWSCURRENT.
        for k in 1..=6 {
            let mut cuts = vec![(k, when)];
            cuts.extend((k + 1..k + MOST_CALLS).map(|later| (later, Cut::Before)));
            let (reached, failed) = one_run(&shop, &cuts).await;
            assert!(reached, "a run makes at least six calls");
            outages += 1;
            failures += usize::from(failed);
        }
    }
    assert_eq!(
        failures, outages,
        "nothing is promised while the store is away"
    );
    println!(
        "{outages} outages, each from another call on: 0 violations, {failures} failed runs made good"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_call_to_the_store_harms_nobody_and_is_got_over() {
    is_cut_at_every_call(Shop::open(Plan::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_call_to_the_store_harms_nobody_on_mariadb() {
    is_cut_at_every_call(MariadbShop::on_mariadb(Plan::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_in_the_middle_of_a_run_harms_nobody_and_the_next_run_succeeds() {
    loses_the_store_at_every_call(Shop::open(Plan::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_in_the_middle_of_a_run_harms_nobody_on_mariadb() {
    loses_the_store_at_every_call(MariadbShop::on_mariadb(Plan::default()).await).await;
}
