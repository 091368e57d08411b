//! The stations of a cell: where a part is picked and where it is placed.

use super::Dice;

/// A station with its two programs and its poses.
pub(super) struct Station {
    number: usize,
    part: &'static str,
    place: &'static str,
    /// How far above the part the arm stops first, in mm.
    approach: f64,
    /// How long the gripper takes, in s.
    delay: f64,
    /// The speed next to the part, in mm/s.
    speed: usize,
    pick: [f64; 6],
    put: [f64; 6],
}

const PARTS: [&str; 6] = [
    "Deckel Ø 80",
    "Gehäuse groß",
    "Gehäuse klein",
    "Flansch 45°",
    "Träger, geschweißt",
    "Blech 0,8 mm",
];

const PLACES: [&str; 5] = [
    "Rollenbahn",
    "Prüfplatz",
    "Palette, 3 Lagen à 8",
    "Drehtisch (Teilung 60°)",
    "Ausschusskiste",
];

impl Station {
    pub(super) fn new(number: usize, dice: &mut Dice) -> Self {
        Self {
            number,
            part: dice.one_of(&PARTS),
            place: dice.one_of(&PLACES),
            approach: dice.measure(40, 160),
            delay: dice.measure(0, 1),
            speed: 10 * dice.between(5, 40),
            pick: pose(dice),
            put: pose(dice),
        }
    }

    /// `pick_NNN` and `place_NNN`.
    pub(super) fn programs(&self) -> String {
        let Self {
            number,
            part,
            place,
            approach,
            delay,
            speed,
            ..
        } = self;
        lines(&[
            &format!(".PROGRAM pick_{number:03}() ; {part}"),
            "  CALL gripper_open",
            &format!("  JAPPRO pick[{number}],{approach:.2}"),
            &format!("  SPEED {speed} MM/S"),
            "  ACCURACY 0.5",
            &format!("  LMOVE pick[{number}]"),
            "  BREAK",
            "  CALL gripper_close",
            &format!("  TWAIT {delay:.2} ; Greifer schließt"),
            "  IF SIG(-sig.part) THEN",
            "    CALL gripper_lost",
            "    GOTO 90",
            "  END",
            &format!("  LDEPART {approach:.2}"),
            "  90",
            ".END",
            &format!(".PROGRAM place_{number:03}() ; nach: {place}"),
            &format!("  LAPPRO put[{number}],{approach:.2}"),
            "  SWAIT sig.place_free",
            &format!("  SPEED {speed} MM/S"),
            &format!("  LMOVE put[{number}]"),
            "  BREAK",
            "  CALL gripper_open",
            &format!("  TWAIT {delay:.2}"),
            &format!("  LDEPART {approach:.2}"),
            &format!("  PRINT \"Station {number} fertig\""),
            ".END",
        ])
    }

    /// The lines of its poses.
    pub(super) fn data(&self) -> String {
        let mut text = String::new();
        for (name, pose) in [("pick", self.pick), ("put", self.put)] {
            text.push_str(&format!("{name}[{}]", self.number));
            for measure in pose {
                text.push_str(&format!(" {measure:.6}"));
            }
            text.push_str("\r\n");
        }
        text
    }
}

/// The poses and counters of all stations, and the numbers the gripper starts with.
pub(super) fn data(stations: &[Station]) -> String {
    let mut text = lines(&[
        ".REALS",
        "gripper.delay = 0.35",
        "sig.part = 1003",
        "sig.place_free = 1004",
        ".END",
        ".TRANS",
        "tool.gripper 0.000000 0.000000 152.500000 0.000000 0.000000 90.000000",
    ]);
    for station in stations {
        text.push_str(&station.data());
    }
    text.push_str(".END\r\n");
    text
}

/// X, Y, Z in mm, then O, A, T in degrees, within the reach of a small arm.
fn pose(dice: &mut Dice) -> [f64; 6] {
    [
        dice.measure(250, 620),
        dice.measure(-580, 580),
        dice.measure(-40, 420),
        dice.measure(-180, 180),
        dice.measure(150, 180),
        dice.measure(-180, 180),
    ]
}

/// Lines with the line ends of the PC.
pub(super) fn lines(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}
