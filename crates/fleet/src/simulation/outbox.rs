//! Applications that enqueue by SQL: in transactions that commit at once, late, or not at all.

use super::database::{Database, Rows};
use super::events::{Fate, Origin, fragment};
use super::server::{Failed, query};
use super::world::world;
use meditopia::internals::store::Run;

/// One transaction with one event, or a few.
pub async fn transaction() {
    let world = world();
    let mut connection = world.server.connect(&world);
    let user = world.draw(0..u64::from(world.plan.users)) as u32;
    let mut run = Run::default();
    let mut numbers = Vec::new();
    for _ in 0..world.draw(1..4) {
        let number = world
            .events
            .borrow_mut()
            .add(user, Origin::Outbox, Fate::Open);
        run.push(fragment(user, number).as_bytes(), world.tasks.now() as i64);
        numbers.push(number);
    }
    let set = |fate: Fate| {
        let mut events = world.events.borrow_mut();
        for number in &numbers {
            let event = events.get(*number);
            // What was committed and delivered meanwhile is what it is.
            event.fate = fate;
        }
    };
    // The id is drawn now, and nobody sees the row before the commit.
    let draw = |database: &mut Database, _| {
        let world = super::world::world();
        Ok((
            database.draw_parcel(),
            world.next_place(),
            world.server.number(),
        ))
    };
    let Ok((id, drawn, server)) = query(&mut connection, draw).await else {
        set(Fate::RolledBack);
        return;
    };
    let is_long = world.draw(0..4) == 0;
    world
        .tasks
        .sleep(world.draw(0..if is_long { 20_000 } else { 50 }))
        .await;
    if world.draw(0..5) == 0 {
        set(Fate::RolledBack);
        world.tell(|| format!("events {numbers:?} of the outbox are rolled back"));
        return;
    }
    let rows = Rows::of(run);
    let known = numbers.clone();
    let committed = query(&mut connection, move |database, _| {
        let world = super::world::world();
        if world.server.number() != server {
            return Err(super::database::Refused("the transaction is gone"));
        }
        database.enqueue(id, rows);
        let (place, now) = (world.next_place(), world.tasks.now());
        let mut events = world.events.borrow_mut();
        for number in known {
            let event = events.get(number);
            event.handed_in = Some((drawn, place));
            event.handed_in_ms = now;
            event.fate = Fate::Unknown;
        }
        Ok(())
    })
    .await;
    match committed {
        // It may have been lost since it was committed, with a server that was behind.
        Ok(()) => {
            let is_held = {
                let held: Vec<u32> = world.server.database().held().collect();
                numbers.iter().all(|number| held.contains(number))
            };
            if is_held {
                set(Fate::Acknowledged);
            }
        }
        Err(Failed::Refused(_)) => set(Fate::RolledBack),
        Err(Failed::Unknown) => {
            // Until it is committed there is no such event, and late it may be.
            world.tell(|| format!("events {numbers:?} of the outbox: the commit is not answered"));
        }
    }
}
