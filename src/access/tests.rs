//! The watch, with real files and a virtual clock.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::agent::Folder;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::{KeySwitch, Window};
use crate::limits::SWITCH_LOOK;

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn folder() -> Folder {
    Folder::new("access").expect("a folder")
}

fn key(path: &Path, fail_closed: bool) -> Access {
    Access {
        key_switch: Some(KeySwitch::File(path.to_owned())),
        fail_closed,
        windows: Vec::new(),
    }
}

/// `mon-fri 07:00-19:00`
fn weekdays(fail_closed: bool) -> Access {
    Access {
        key_switch: None,
        fail_closed,
        windows: vec![Window {
            days: 0b1_1111,
            from: 7 * 60,
            until: 19 * 60,
        }],
    }
}

fn at(rfc3339: &str) -> SystemTime {
    humantime::parse_rfc3339(rfc3339).expect("a time")
}

/// A wall clock that goes with tokio's virtual one and can be stepped.
#[derive(Clone)]
struct Wall(Rc<Cell<(SystemTime, Instant)>>);

impl Wall {
    /// Take a year that no build reaches: a clock older than the program counts as not set, and Yocto builds it, tests and
    /// all, with the date of the commit. 2082 and 2083 have the calendars of 2026 and 2027.
    fn new(rfc3339: &str) -> Wall {
        Wall(Rc::new(Cell::new((at(rfc3339), Instant::now()))))
    }

    fn set(&self, rfc3339: &str) {
        self.0.set((at(rfc3339), Instant::now()));
    }

    fn now(&self) -> SystemTime {
        let (time, set) = self.0.get();
        time + set.elapsed()
    }

    fn watch(&self, config: Access) -> Watch {
        let wall = self.clone();
        Watch::with(
            config,
            Zone::new(Some(BERLIN.into())),
            Box::new(move || wall.now()),
        )
    }
}

/// What comes within some seconds of real time, which is sooner than the slow look.
async fn at_once(watch: &mut Watch) -> String {
    let began = std::time::Instant::now();
    let verdict = timeout(SWITCH_LOOK * 5, watch.changed()).await;
    let took = began.elapsed();
    assert!(took < SWITCH_LOOK - Duration::from_millis(300), "{took:?}");
    verdict.expect("a change").to_string()
}

#[tokio::test(start_paused = true)]
async fn without_rules_it_is_on_for_ever_and_nothing_wakes() {
    let mut watch = Watch::new(Access::default());
    assert_eq!(
        watch.verdict().to_string(),
        "no key switch and no windows are configured"
    );
    assert!(watch.verdict().is_on());
    assert!(watch.again.is_none());
    let year = Duration::from_secs(365 * 24 * 3600);
    assert!(timeout(year, watch.changed()).await.is_err());
}

#[tokio::test]
async fn a_key_switch_is_seen_at_once() {
    let folder = folder();
    let path = folder.path().join("remote-enabled");
    let (on, off) = (
        format!("the key switch {} is on", path.display()),
        format!("the key switch {} is off", path.display()),
    );
    let mut watch = Watch::new(key(&path, true));
    assert_eq!(watch.verdict().to_string(), off);

    fs::write(&path, "").expect("a file");
    assert_eq!(at_once(&mut watch).await, on);
    fs::remove_file(&path).expect("a removal");
    assert_eq!(at_once(&mut watch).await, off);
    // As a program that writes atomically does it.
    let other = folder.write("other", "").expect("a file");
    fs::rename(&other, &path).expect("a move");
    assert_eq!(at_once(&mut watch).await, on);
    fs::rename(&path, &other).expect("a move");
    assert_eq!(at_once(&mut watch).await, off);
    fs::create_dir(&path).expect("a folder");
    assert_eq!(at_once(&mut watch).await, on);
}

#[tokio::test]
async fn who_drops_the_wait_misses_nothing() {
    let folder = folder();
    let path = folder.path().join("remote-enabled");
    let mut watch = Watch::new(key(&path, true));
    for _ in 0..3 {
        assert!(watch.changed().now_or_never().is_none());
        fs::write(&path, "").expect("a file");
        assert!(at_once(&mut watch).await.ends_with("is on"));
        assert!(watch.changed().now_or_never().is_none());
        fs::remove_file(&path).expect("a removal");
        assert!(at_once(&mut watch).await.ends_with("is off"));
    }
}

#[tokio::test]
async fn other_files_of_its_folder_change_nothing() {
    let folder = folder();
    let path = folder.path().join("remote-enabled");
    let mut watch = Watch::new(key(&path, true));
    for number in 0..500 {
        folder.write(&format!("file{number}"), "").expect("a file");
        assert!(watch.changed().now_or_never().is_none());
    }
    fs::write(&path, "").expect("a file");
    assert!(at_once(&mut watch).await.ends_with("is on"));
    // More events than the kernel keeps for one who does not read them: it says so, and that is looked at.
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a number");
    let kept: usize = kept.trim().parse().expect("a number");
    let others = [folder.path().join("file0"), folder.path().join("file1")];
    let mode = fs::metadata(&others[0]).expect("a file").permissions();
    // Two in turn, since the kernel makes one of two equal events.
    for other in others.iter().cycle().take(kept + 1) {
        fs::set_permissions(other, mode.clone()).expect("our own file");
    }
    fs::remove_file(&path).expect("a removal");
    assert!(at_once(&mut watch).await.ends_with("is off"));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_comes_goes_and_comes_is_found() {
    let folder = folder();
    let below = folder.path().join("cell");
    let path = below.join("remote-enabled");
    let mut watch = Watch::new(key(&path, true));
    for _ in 0..3 {
        let began = Instant::now();
        fs::create_dir(&below).expect("a folder");
        fs::write(&path, "").expect("a file");
        assert!(watch.changed().await.is_on());
        assert!(began.elapsed() <= SWITCH_LOOK);
        let began = Instant::now();
        fs::remove_dir_all(&below).expect("a removal");
        assert!(!watch.changed().await.is_on());
        assert!(began.elapsed() <= SWITCH_LOOK);
    }
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_watched() {
    let folder = folder();
    let below = folder.path().join("cell");
    let path = below.join("remote-enabled");
    fs::create_dir(&below).expect("a folder");
    fs::write(&path, "").expect("a file");
    let mut watch = Watch::new(key(&path, true));
    assert!(watch.verdict().is_on());
    fs::rename(&below, folder.path().join("old")).expect("a move");
    assert!(at_once(&mut watch).await.ends_with("is off"));
    // Back before the slow look: from here on the kernel tells of the new one once it was looked at.
    fs::create_dir(&below).expect("a folder");
    fs::write(&path, "").expect("a file");
    assert!(watch.changed().await.is_on());
    fs::remove_file(&path).expect("a removal");
    assert!(at_once(&mut watch).await.ends_with("is off"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_as_the_owner_says() {
    let folder = folder();
    let loops = folder.path().join("loop");
    symlink(&loops, &loops).expect("a link");
    let file = folder.write("file", "").expect("a file");
    for (path, words) in [
        (loops.clone(), "Too many levels of symbolic links"),
        (file.join("switch"), "Not a directory"),
    ] {
        let closed = Watch::new(key(&path, true));
        let said = closed.verdict().to_string();
        assert!(!closed.verdict().is_on(), "{said}");
        assert!(
            said.contains("cannot be read: ") && said.contains(words),
            "{said}"
        );
        assert!(said.ends_with("; fail-closed"), "{said}");
        let open = Watch::new(key(&path, false));
        let said = open.verdict().to_string();
        assert!(open.verdict().is_on(), "{said}");
        assert!(
            said.contains(words) && said.ends_with("; not fail-closed"),
            "{said}"
        );
    }
    // A switch that can be read is read, whatever the owner says of others.
    let mut watch = Watch::new(key(&loops, false));
    fs::remove_file(&loops).expect("a removal");
    assert!(matches!(
        watch.changed().await,
        Verdict::Off(Why::Switch { .. })
    ));
    let mut watch = Watch::new(key(&loops, true));
    symlink(&loops, &loops).expect("a link");
    assert!(matches!(
        watch.changed().await,
        Verdict::Off(Why::Unreadable { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn windows_open_and_close_to_the_second() {
    // A Friday, 18:59:29 on the wall, and not at the beginning of a second.
    let wall = Wall::new("2082-11-27T17:59:29.250Z");
    let mut watch = wall.watch(weekdays(true));
    assert_eq!(
        watch.verdict().to_string(),
        "inside the windows: mon-fri 07:00-19:00"
    );
    assert_eq!(
        watch.changed().await.to_string(),
        "outside the windows: mon-fri 07:00-19:00 (it is Fri 19:00 CET)"
    );
    let late = |rfc3339| {
        wall.now()
            .duration_since(at(rfc3339))
            .expect("not too early")
    };
    assert!(late("2082-11-27T18:00:00Z") <= Duration::from_millis(2));
    assert!(watch.changed().await.is_on());
    assert!(late("2082-11-30T06:00:00Z") <= Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn windows_go_with_summer_time() {
    // The last weekend of winter time: opens at 06:00 UTC on Friday, at 05:00 UTC on Monday.
    let wall = Wall::new("2083-03-26T05:00:00Z");
    let mut watch = wall.watch(weekdays(true));
    let mut changes = Vec::new();
    for _ in 0..4 {
        let on = watch.changed().await.is_on();
        let time = humantime::format_rfc3339_seconds(wall.now()).to_string();
        changes.push((on, time));
    }
    let expected = [
        (true, "2083-03-26T06:00:00Z"),
        (false, "2083-03-26T18:00:00Z"),
        (true, "2083-03-29T05:00:00Z"),
        (false, "2083-03-29T17:00:00Z"),
    ];
    assert_eq!(changes, expected.map(|(on, time)| (on, time.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn an_hour_that_the_wall_shows_twice_is_open_twice() {
    let wall = Wall::new("2083-10-30T22:00:00Z");
    let mut config = weekdays(true);
    config.windows = vec![Window {
        days: 1 << 6,
        from: 2 * 60,
        until: 2 * 60 + 30,
    }];
    let mut watch = wall.watch(config);
    for (on, time) in [
        (true, "2083-10-31T00:00:00Z"),
        (false, "2083-10-31T00:30:00Z"),
        (true, "2083-10-31T01:00:00Z"),
        (false, "2083-10-31T01:30:00Z"),
    ] {
        assert_eq!(watch.changed().await.is_on(), on, "{time}");
        assert_eq!(
            humantime::format_rfc3339_seconds(wall.now()).to_string(),
            time
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_stepped_is_seen_within_a_minute() {
    let wall = Wall::new("2082-11-23T11:00:30Z");
    let mut watch = wall.watch(weekdays(true));
    assert!(watch.changed().now_or_never().is_none());
    for (time, on) in [
        ("2082-11-28T11:00:00Z", false),
        ("2082-11-24T11:00:00Z", true),
    ] {
        let began = Instant::now();
        wall.set(time);
        assert_eq!(watch.changed().await.is_on(), on);
        assert!(began.elapsed() <= Duration::from_secs(60));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_clock_nobody_knows_the_window() {
    let wall = Wall(Rc::new(Cell::new((UNIX_EPOCH, Instant::now()))));
    let open = wall.watch(weekdays(false));
    assert!(open.verdict().is_on());
    assert!(open.verdict().to_string().ends_with("; not fail-closed"));

    let mut watch = wall.watch(weekdays(true));
    let said = watch.verdict().to_string();
    assert!(!watch.verdict().is_on());
    assert!(said.contains("the clock says 1970-01-01 00:00"), "{said}");
    assert!(said.ends_with("; fail-closed"), "{said}");
    assert!(
        timeout(Duration::from_secs(600), watch.changed())
            .await
            .is_err()
    );
    let began = Instant::now();
    // Far enough in the future for any build.
    wall.set("2099-11-23T11:00:00Z");
    assert!(watch.changed().await.is_on());
    assert!(began.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_switch_and_windows_must_both_be_on() {
    let folder = folder();
    let path = folder.write("switch", "").expect("a file");
    let wall = Wall::new("2082-11-23T11:00:00Z");
    let mut config = key(&path, true);
    config.windows = weekdays(true).windows;
    let mut watch = wall.watch(config);
    assert_eq!(
        watch.verdict().to_string(),
        format!(
            "the key switch {} is on; inside the windows: mon-fri 07:00-19:00",
            path.display()
        )
    );
    wall.set("2082-11-28T11:00:00Z");
    assert!(matches!(
        watch.changed().await,
        Verdict::Off(Why::Windows { .. })
    ));
    // Off for another reason is told; another minute of the same is not.
    fs::remove_file(&path).expect("a removal");
    assert!(matches!(
        watch.changed().await,
        Verdict::Off(Why::Switch { .. })
    ));
    fs::write(&path, "").expect("a file");
    assert!(matches!(
        watch.changed().await,
        Verdict::Off(Why::Windows { .. })
    ));
    assert!(
        timeout(Duration::from_secs(3600), watch.changed())
            .await
            .is_err()
    );
    assert!(
        watch.verdict().to_string().contains("(it is Sat 1"),
        "{}",
        watch.verdict()
    );
}
