use super::*;

fn send(events: &Events, rotation: &str) {
    let at = "2026-11-24T07:00:00Z".parse().unwrap();
    let rotation = rotation.to_owned();
    events.send(at, Event::CurrentAccepted { rotation });
}

fn received(subscription: &mut Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.try_recv())
        .map(|received| match received {
            Received::Event(happened) => happened.event.rotation().to_owned(),
            Received::Gap(lost) => format!("{lost:?} lost"),
        })
        .collect()
}

#[tokio::test]
async fn a_subscriber_receives_later_events_and_wakes_for_them() {
    let events = Events::default();
    send(&events, "before");
    let mut subscription = events.subscribe();
    let waiting = tokio::spawn(async move { subscription.recv().await });
    tokio::task::yield_now().await;
    send(&events, "after");
    let Received::Event(happened) = waiting.await.unwrap() else {
        panic!("nothing was lost");
    };
    assert_eq!(happened.event.rotation(), "after");
}

#[test]
fn a_reconnected_reader_continues_after_its_last_event() {
    let events = Events::default();
    let mut first = events.subscribe();
    for name in ["a", "b", "c"] {
        send(&events, name);
    }
    let Some(Received::Event(seen)) = first.try_recv() else {
        panic!("an event is there");
    };
    let id: EventId = seen.id.to_string().parse().unwrap();
    assert_eq!(id, seen.id, "an id reads back as itself");
    assert_eq!(received(&mut events.subscribe_after(id)), ["b", "c"]);
}

#[test]
fn an_unknown_id_is_a_gap_and_then_the_whole_log() {
    let (events, others) = (Events::default(), Events::default());
    let mut other = others.subscribe();
    send(&others, "x");
    send(&events, "a");
    let Some(Received::Event(seen)) = other.try_recv() else {
        panic!("an event is there");
    };
    assert_eq!(
        received(&mut events.subscribe_after(seen.id)),
        ["None lost", "a"]
    );
    let ahead = EventId {
        process: events.0.process,
        number: 7,
    };
    assert_eq!(
        received(&mut events.subscribe_after(ahead)),
        ["None lost", "a"]
    );
    for text in ["", "1", "x-1", "-", "0123-x"] {
        assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text:?}");
    }
}

#[test]
fn a_slow_subscriber_receives_the_number_of_lost_events() {
    let events = Events::default();
    let mut slow = events.subscribe();
    for n in 0..EVENT_CAPACITY + 3 {
        send(&events, &n.to_string());
    }
    assert_eq!(slow.try_recv(), Some(Received::Gap(Some(3))));
    let rest = received(&mut slow);
    assert_eq!((rest.len(), rest[0].as_str()), (EVENT_CAPACITY, "3"));
}
