use std::future::pending;

use tokio::task::{LocalSet, spawn_local, yield_now};

use super::*;

const EVERY: Duration = Duration::from_secs(5);

/// Lets `loops` live beside a heart for `rounds` rounds, on a processor that is busy or not.
async fn found(rounds: usize, busy: bool, loops: impl FnOnce(&Heartbeat)) -> Vec<Round> {
    let heart = Heartbeat::new();
    LocalSet::new()
        .run_until(async {
            loops(&heart);
            let mut found = Vec::new();
            for _ in 0..rounds {
                found.push(heart.round(busy).await);
                sleep(EVERY).await;
            }
            found
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn loops_that_wait_for_the_network_are_alive() {
    let rounds = found(5, true, |heart| {
        for name in ["tunnel 1", "tunnel 2"] {
            spawn_local(heart.watch(name).attend(pending::<()>()));
        }
    })
    .await;
    assert_eq!(rounds, vec![Round::Alive; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_not_woken_any_more_hangs() {
    let rounds = found(2, false, |heart| {
        spawn_local(heart.watch("tunnel 1").attend(pending::<()>()));
        let pulse = heart.watch("gateway");
        spawn_local(async move {
            pulse.asked().await;
            pulse.turned();
            // It is stuck in here, without a limit.
            pending::<()>().await;
            drop(pulse);
        });
    })
    .await;
    assert_eq!(rounds[0], Round::Alive);
    let Round::Hung(which) = &rounds[1] else {
        panic!("{rounds:?}");
    };
    assert_eq!(which, "gateway did not turn for 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_ended_is_not_asked() {
    let rounds = found(3, false, |heart| {
        let pulse = heart.watch("tunnel 1");
        spawn_local(pulse.attend(sleep(EVERY / 2)));
    })
    .await;
    assert_eq!(rounds, vec![Round::Alive; 3]);
}

/// A loop that wakes itself; `useful`: something comes of it.
async fn spin(pulse: Pulse, useful: bool) {
    let own = pulse.clone();
    pulse
        .attend(async move {
            loop {
                if useful {
                    own.progress();
                }
                // Virtual time goes on only when nothing is ready: a spin of real time would never end.
                for _ in 0..SPIN_TURNS {
                    yield_now().await;
                }
                sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_spins_for_nothing_is_a_live_lock() {
    let rounds = found(4, true, |heart| {
        spawn_local(spin(heart.watch("tunnel 1"), false));
    })
    .await;
    // It counts from the first whole round on.
    assert_eq!(rounds[0], Round::Alive);
    assert_eq!(
        rounds[1..3],
        vec![Round::Doubtful("tunnel 1".to_owned()); 2]
    );
    assert_eq!(
        rounds[3],
        Round::Hung("tunnel 1 turns without end, and nothing comes of it".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_moves_bytes_may_turn_as_often_as_it_likes() {
    let rounds = found(6, true, |heart| {
        spawn_local(spin(heart.watch("tunnel 1"), true));
    })
    .await;
    assert_eq!(rounds, vec![Round::Alive; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_turns_often_beside_an_idle_processor_is_no_live_lock() {
    let rounds = found(6, false, |heart| {
        spawn_local(spin(heart.watch("tunnel 1"), false));
    })
    .await;
    assert_eq!(rounds, vec![Round::Alive; 6]);
}

#[tokio::test(start_paused = true)]
async fn it_runs_until_a_loop_hangs_and_says_which() {
    let heart = Heartbeat::new();
    let began = Instant::now();
    let mut rounds = Vec::new();
    let which = LocalSet::new()
        .run_until(async {
            let pulse = heart.watch("gateway");
            spawn_local(async move {
                for _ in 0..3 {
                    pulse.asked().await;
                    pulse.turned();
                }
                pending::<()>().await;
                drop(pulse);
            });
            heart.run(EVERY, |round| rounds.push(round.clone())).await
        })
        .await;
    assert_eq!(which, "gateway did not turn for 10 s");
    assert_eq!(rounds.len(), 4);
    assert_eq!(rounds[..3], vec![Round::Alive; 3]);
    assert_eq!(began.elapsed(), 3 * EVERY + HEARTBEAT_PATIENCE);
}

#[test]
fn more_than_half_of_the_processor_is_busy() {
    let then = Load::now();
    let later = |used: u64| Load {
        wall: then.wall + Duration::from_millis(1000),
        used: then.used + Duration::from_millis(used),
    };
    assert!(!then.was_high(&later(0)));
    assert!(!then.was_high(&later(500)));
    assert!(then.was_high(&later(501)));
}

#[test]
fn the_time_of_the_process_goes_on_while_it_works() {
    let then = Load::now();
    let began = std::time::Instant::now();
    while Load::now().used < then.used + Duration::from_millis(20) {
        assert!(began.elapsed() < Duration::from_secs(60), "it stands");
    }
}
