//! The matrix: faults are its rows, the stages of a gateway's work its columns, and each cell says what must hold.

use std::time::Duration;

/// Where the gateway is when the fault comes: before, during and behind each part of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The agent runs and no tunnel is there. One is told of behind the fault.
    Waiting,
    /// The handshake of a tunnel has begun.
    Dialling,
    /// A tunnel is up and nobody is in it.
    Idle,
    /// The source has started a stream, and the agent tries to reach the controller.
    Starting,
    /// A LOAD is under way.
    Load,
    /// A SAVE is under way.
    Save,
    /// The source has closed, and a slow controller has not taken everything yet.
    Draining,
    /// A LOAD is done and its connection closed; the tunnel is up.
    After,
}

impl Stage {
    pub(crate) const ALL: [Stage; 8] = [
        Stage::Waiting,
        Stage::Dialling,
        Stage::Idle,
        Stage::Starting,
        Stage::Load,
        Stage::Save,
        Stage::Draining,
        Stage::After,
    ];

    /// The head of its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Dialling => "dialling",
            Stage::Idle => "idle",
            Stage::Starting => "starting",
            Stage::Load => "LOAD",
            Stage::Save => "SAVE",
            Stage::Draining => "draining",
            Stage::After => "after",
        }
    }

    /// Whether the tunnel is up.
    pub(crate) fn is_up(self) -> bool {
        self.is_busy() || self == Stage::Idle
    }

    /// Whether connections are open, and so a neighbour's too.
    pub(crate) fn is_busy(self) -> bool {
        match self {
            Stage::Starting | Stage::Load | Stage::Save | Stage::Draining | Stage::After => true,
            Stage::Waiting | Stage::Dialling | Stage::Idle => false,
        }
    }
}

/// What becomes of the work that the fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All of it goes on, byte for byte.
    GoesOn,
    /// The stage's own connection ends; the neighbour's, to another controller, goes on.
    ThisEnds,
    /// All connections of the tunnel end; what arrived is the beginning of what was sent.
    AllEnd,
    /// As [`Fate::AllEnd`], but every byte that the agent had is written out first, to the last one.
    Delivered,
    /// All of it goes on, or the agent ends as the cell says and is started again.
    Either,
}

impl Fate {
    /// Whether the tunnel is lost for sure.
    pub(crate) fn ends_all(self) -> bool {
        match self {
            Fate::GoesOn | Fate::ThisEnds | Fate::Either => false,
            Fate::AllEnd | Fate::Delivered => true,
        }
    }
}

/// How the agent ends where it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What must hold in one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holds {
    pub(crate) fate: Fate,
    /// Words of one line of the log, which the agent writes behind the fault. None: it says nothing of it.
    pub(crate) says: &'static [&'static str],
    /// From the fault until that line is there and the work has met its fate.
    pub(crate) within: Duration,
    /// From the end of the fault until a fresh program has been loaded, byte for byte.
    pub(crate) back: Duration,
    pub(crate) exit: Option<Exit>,
    /// Whether a controller may see an RST. Else its connection ends by FIN.
    pub(crate) abrupt: bool,
}

impl Holds {
    /// What an agent must hold that did not end.
    pub(crate) fn goes_on(self) -> Holds {
        Holds {
            fate: Fate::GoesOn,
            says: &[],
            exit: None,
            abrupt: false,
            ..self
        }
    }
}

/// What is prompt, on a machine that has much to do.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);

/// A dial, a LOAD, and the greatest wait that the backoff has reached in a short fault.
pub(crate) const BACK: Duration = Duration::from_secs(15);

/// A cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell {
    Holds(Holds),
    /// There is nothing to test, and why.
    No(&'static str),
}

const fn holds(fate: Fate) -> Cell {
    Cell::Holds(Holds {
        fate,
        says: &[],
        within: PROMPT,
        back: BACK,
        exit: None,
        abrupt: false,
    })
}

pub(crate) const GOES_ON: Cell = holds(Fate::GoesOn);
pub(crate) const THIS_ENDS: Cell = holds(Fate::ThisEnds);
pub(crate) const ALL_END: Cell = holds(Fate::AllEnd);
pub(crate) const DELIVERED: Cell = holds(Fate::Delivered);
pub(crate) const EITHER: Cell = holds(Fate::Either);

impl Cell {
    const fn with(self, change: Holds) -> Cell {
        match self {
            Cell::Holds(_) => Cell::Holds(change),
            Cell::No(_) => self,
        }
    }

    const fn held(self) -> Holds {
        match self {
            Cell::Holds(holds) => holds,
            Cell::No(_) => panic!("nothing holds there"),
        }
    }

    pub(crate) const fn says(self, says: &'static [&'static str]) -> Cell {
        self.with(Holds {
            says,
            ..self.held()
        })
    }

    /// In seconds.
    pub(crate) const fn within(self, seconds: u64) -> Cell {
        let within = Duration::from_secs(seconds);
        self.with(Holds {
            within,
            ..self.held()
        })
    }

    /// In seconds.
    pub(crate) const fn back(self, seconds: u64) -> Cell {
        let back = Duration::from_secs(seconds);
        self.with(Holds {
            back,
            ..self.held()
        })
    }

    pub(crate) const fn exit(self, exit: Exit) -> Cell {
        self.with(Holds {
            exit: Some(exit),
            ..self.held()
        })
    }

    pub(crate) const fn abrupt(self) -> Cell {
        self.with(Holds {
            abrupt: true,
            ..self.held()
        })
    }
}

/// A fault and its cells, in the order of [`Stage::ALL`].
pub(crate) struct Row<F> {
    pub(crate) fault: F,
    /// What happens, as the table of the docs calls it.
    pub(crate) name: &'static str,
    pub(crate) cells: [Cell; Stage::ALL.len()],
}

/// A row without its fault, for the table.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) cells: [Cell; Stage::ALL.len()],
}
