//! What is under way when the fault comes, and what has become of it afterwards.

use std::time::Duration;

use cell::engineer::{Engineer, EngineerError, chunk};
use cell::journal::Mark;
use cell::pattern::{pattern, sha256};
use cell::program::Program;
use cell::service::{Event, Switches};
use cell::wire::Mode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::connect;
use crate::neighbour::Neighbour;
use crate::scene::Scene;
use crate::stage::LIMIT;
use crate::table::{Fate, Stage};
use crate::transfer::{
    SIZE, Transferred, cut, finished, fresh, kept, login, patient, record, whole,
};

/// Blocks of 512 bytes, behind which the fault comes.
const BLOCKS: usize = 10;

/// Bytes for the slow controller. It takes them in 1.5 s: a stop has 2.5 s for them.
const QUEUED: usize = 240_000;

/// Between two looks at a file.
const LOOK: Duration = Duration::from_millis(50);

/// Slows the tunnel down, so that the fault comes in the middle of a transfer: a block takes 20 ms.
fn slow(switches: &mut Switches) {
    switches.delay = Duration::from_millis(10);
}

/// Each byte takes its time: 2 s for a program.
fn narrow(switches: &mut Switches) {
    switches.bandwidth = Some(15_000);
}

/// The work under way.
pub(crate) struct Work {
    stage: Stage,
    seed: u64,
    task: Task,
    pub(crate) neighbour: Option<Neighbour>,
}

enum Task {
    None,
    Login(JoinHandle<Result<Engineer, EngineerError>>),
    Transfer(JoinHandle<Transferred>),
}

impl Work {
    pub(crate) fn new(stage: Stage, seed: u64) -> Work {
        Work {
            stage,
            seed,
            task: Task::None,
            neighbour: None,
        }
    }

    /// Brings the scene to the stage.
    pub(crate) async fn reach(&mut self, scene: &mut Scene) {
        if self.stage == Stage::Waiting {
            return;
        }
        let mark = scene.tunnel.mark();
        if self.stage == Stage::Dialling {
            // The answer to the handshake is held back for 2 s.
            let held = |switches: &mut Switches| switches.delay = Duration::from_secs(1);
            scene.tunnel.destination.switch(held);
            scene.announce();
            let began = |event: &Event| {
                matches!(
                    event,
                    Event::Admitted {
                        mode: Mode::Destination,
                        ..
                    }
                )
            };
            let began = scene.tunnel.wait_event_after(mark, began, LIMIT).await;
            began.expect("the agent dials");
            return;
        }
        scene.announce();
        scene.up_after(mark, LIMIT).await;
        // The service's word for it may still be on its way.
        scene.says(Mark::START, &["WebSocket up"], LIMIT).await;
        if self.stage.is_busy() {
            let socket = connect(scene.source().await, "robot2").await;
            let neighbour = Neighbour::new(socket, self.seed + 1);
            neighbour.progress(LIMIT).await;
            self.neighbour = Some(neighbour);
        }
        match self.stage {
            Stage::Waiting | Stage::Dialling | Stage::Idle => {}
            Stage::Starting => self.start(scene).await,
            Stage::Load => self.load(scene).await,
            Stage::Save => self.save(scene).await,
            Stage::Draining => self.queue(scene).await,
            Stage::After => {
                fresh(scene, self.seed + 2).await.expect("LOAD");
                let written = async {
                    while kept(scene, self.seed + 2).is_err() {
                        sleep(LOOK).await;
                    }
                };
                timeout(LIMIT, written).await.expect("an audit line");
            }
        }
    }

    async fn start(&mut self, scene: &mut Scene) {
        scene.robot.refuse(true).await.expect("its port");
        let address = scene.source().await.address("robot1");
        self.task = Task::Login(tokio::spawn(Engineer::connect_with(address, patient())));
        let started = ["service robot1 ", "started by the source"];
        scene.says(Mark::START, &started, LIMIT).await;
    }

    async fn load(&mut self, scene: &mut Scene) {
        let program = Program::generate(self.seed, SIZE);
        let (blocks, mut reached) = watch::channel(0);
        let mut engineer = login(scene).await;
        scene.tunnel.destination.switch(slow);
        self.task = Task::Transfer(tokio::spawn(async move {
            let tell = |progress: &cell::engineer::Progress| {
                blocks.send_replace(progress.blocks);
            };
            let loaded = engineer.load("fault", &program.text, chunk::KRTERM, tell);
            let outcome = loaded.await.map(|_| program.text.clone());
            finished(engineer, outcome).await
        }));
        let reached = timeout(LIMIT, reached.wait_for(|blocks| *blocks >= BLOCKS)).await;
        reached.expect("in time").expect("it loads");
    }

    async fn save(&mut self, scene: &mut Scene) {
        let program = Program::generate(self.seed, SIZE);
        scene.robot.put("fault", &program.text);
        let (bytes, mut reached) = watch::channel(0);
        let mut engineer = login(scene).await;
        scene.tunnel.destination.switch(narrow);
        self.task = Task::Transfer(tokio::spawn(async move {
            let tell = |progress: &cell::engineer::Progress| {
                bytes.send_replace(progress.bytes);
            };
            let outcome = engineer.save_with("SAVE", "fault", tell).await;
            finished(engineer, outcome).await
        }));
        let enough = BLOCKS * chunk::KRTERM;
        let reached = timeout(LIMIT, reached.wait_for(|bytes| *bytes >= enough)).await;
        reached.expect("in time").expect("it saves");
    }

    async fn queue(&mut self, scene: &mut Scene) {
        let mut socket: TcpStream = connect(scene.source().await, "robot3").await;
        let bytes = pattern(self.seed, QUEUED);
        socket.write_all(&bytes).await.expect("connected");
        socket.shutdown().await.expect("connected");
        let ended = ["service robot3 ", "ended: the source closed it"];
        scene.says(Mark::START, &ended, LIMIT).await;
    }

    /// Lets what was slowed down for the fault's sake go on.
    pub(crate) async fn ease(&self, scene: &Scene, keeps_refusing: bool) {
        scene.tunnel.destination.switch(|switches| {
            switches.delay = Duration::ZERO;
            switches.bandwidth = None;
        });
        if self.stage == Stage::Starting && !keeps_refusing {
            scene.robot.refuse(false).await.expect("its port");
        }
    }

    /// Waits until the work is over, well or not, or the agent is.
    pub(crate) async fn settles(&self, scene: &mut Scene, limit: Duration) {
        let settled = async {
            while scene.agent.is_running().expect("the system knows") && !self.is_over(scene) {
                sleep(LOOK).await;
            }
        };
        let settled = timeout(limit, settled).await;
        assert!(settled.is_ok(), "neither does it go on nor end");
    }

    fn is_over(&self, scene: &Scene) -> bool {
        match &self.task {
            Task::Login(task) => task.is_finished(),
            Task::Transfer(task) => task.is_finished(),
            Task::None if self.stage == Stage::Draining => {
                let records = scene.slow.connections();
                records.first().is_some_and(|record| record.ended.is_some())
            }
            Task::None => scene.tunnel.destination.is_connected(),
        }
    }

    /// Waits until the controllers have heard that all of it is over.
    pub(crate) async fn controllers_hear(&self, scene: &Scene, limit: Duration) {
        if self.neighbour.is_some() {
            let ended = scene.other.wait_ended(0, limit).await;
            ended.expect("the neighbour's controller hears of the end");
        }
        match self.task {
            Task::Transfer(_) => {
                record(&scene.robot, limit).await;
            }
            Task::None if self.stage == Stage::Draining => {
                let ended = scene.slow.wait_ended(0, limit).await;
                ended.expect("the slow controller hears of the end");
            }
            Task::None | Task::Login(_) => {}
        }
    }

    /// Waits until the work has met its fate, and looks at every byte. The neighbour's is judged apart.
    pub(crate) async fn judge(
        &mut self,
        scene: &mut Scene,
        fate: Fate,
        by_fin: bool,
        limit: Duration,
    ) {
        let goes_on = fate == Fate::GoesOn;
        let ends = !goes_on && fate != Fate::Either;
        match std::mem::replace(&mut self.task, Task::None) {
            Task::Login(task) => {
                let login = timeout(limit, task).await;
                let login = login.expect("the engineer hears of it in time");
                match login.expect("no panic") {
                    Ok(engineer) => {
                        assert!(!ends, "the connection that was to end goes on");
                        engineer.close().await.expect("an orderly end");
                    }
                    Err(why) => assert!(!goes_on, "the engineer is not let in: {why}"),
                }
            }
            Task::Transfer(task) => {
                let done = timeout(limit, task).await;
                let done = done.expect("the engineer hears of it in time");
                let done = done.expect("no panic");
                let record = record(&scene.robot, limit).await;
                if ends || (!goes_on && done.outcome.is_err()) {
                    cut(&done, &record, by_fin);
                } else {
                    whole(&done, &record, &Program::generate(self.seed, SIZE));
                }
            }
            Task::None if self.stage == Stage::Draining => {
                self.drained(scene, fate, by_fin, limit).await;
            }
            Task::None if goes_on => scene.up_after(Mark::START, limit).await,
            Task::None => {}
        }
        if self.stage == Stage::After {
            kept(scene, self.seed + 2).expect("all of it is kept");
        }
    }

    /// The slow controller has every byte, or the first of them.
    async fn drained(&self, scene: &Scene, fate: Fate, by_fin: bool, limit: Duration) {
        let record = scene.slow.wait_ended(0, limit).await.expect("it ends");
        if by_fin {
            assert!(record.ended_by_fin(), "{:?}", record.ended);
        }
        let received = usize::try_from(record.received).expect("a size");
        match fate {
            Fate::GoesOn | Fate::Delivered => assert_eq!(received, QUEUED, "bytes were lost"),
            Fate::ThisEnds | Fate::AllEnd | Fate::Either => assert!(received <= QUEUED),
        }
        assert_eq!(record.sha256, sha256(&pattern(self.seed, received)));
    }
}
