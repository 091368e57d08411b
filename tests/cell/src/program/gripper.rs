//! The programs every gripper file has: the main loop, the gripper itself, and the change log in comments.

use super::Dice;
use super::station::lines;

/// The main program: asks the line what to do and calls the station that is meant.
pub(super) fn main_program(stations: usize) -> String {
    lines(&[
        ".PROGRAM gripper_main() ; Zelle 42: Teile entladen",
        "  ; Toleranz ±0,5 mm, geprüft bei 23 °C",
        "  BASE NULL",
        "  TOOL tool.gripper",
        "  SPEED 80 ALWAYS",
        "  ACCURACY 1 ALWAYS",
        "  CALL gripper_open",
        "  HOME",
        "  WHILE SIG(sig.run) DO",
        "    station = BITS(1033,8)",
        &format!("    IF (station<1) OR (station>{stations}) THEN"),
        "      PRINT \"keine Station \", station",
        "      TWAIT 0.1",
        "    ELSE",
        "      CALL .$ENCODE(\"pick_\",/I,station)",
        "      CALL .$ENCODE(\"place_\",/I,station)",
        "    END",
        "  END",
        "  HOME",
        ".END",
    ])
}

/// What the stations call.
pub(super) fn subprograms() -> String {
    lines(&[
        ".PROGRAM gripper_open()",
        "  SIGNAL -sig.close,sig.open",
        "  TWAIT gripper.delay",
        "  SWAIT sig.is_open",
        ".END",
        ".PROGRAM gripper_close()",
        "  SIGNAL -sig.open,sig.close",
        "  TWAIT gripper.delay",
        ".END",
        ".PROGRAM gripper_lost() ; Teil verloren: anhalten, Ampel gelb",
        "  SIGNAL sig.lamp_yellow",
        "  PRINT \"Teil verloren, Station \", station",
        "  PAUSE",
        ".END",
    ])
}

const LOG_HEAD: &str = ".PROGRAM change_log() ; nur Kommentar\r\n";
const LOG_END: &str = ".END\r\n";

/// The log without an entry, and the shortest line that can fill it up.
pub(super) const SMALLEST_LOG: usize = LOG_HEAD.len() + LOG_END.len() + FILLER;

/// The shortest comment line with its line end.
const FILLER: usize = 4;

/// A program of comments with `size` characters: who changed what and when.
///
/// # Panics
/// `size` is below [`SMALLEST_LOG`].
pub(super) fn change_log(dice: &mut Dice, size: usize) -> String {
    let mut left = size - LOG_HEAD.len() - LOG_END.len();
    let mut text = String::from(LOG_HEAD);
    while left > 0 {
        let entry = entry(dice);
        let length = entry.chars().count();
        if left >= length + FILLER {
            text.push_str(&entry);
            left -= length;
        } else {
            // The last line or two are cut to what is left, each still a comment line.
            let take = if left > length { left / 2 } else { left };
            text.extend(entry.chars().take(take - 2));
            text.push_str("\r\n");
            left -= take;
        }
    }
    text.push_str(LOG_END);
    text
}

fn entry(dice: &mut Dice) -> String {
    let people = ["Müller", "Jäger", "Søndergaard", "Núñez", "Weiß"];
    let changes = [
        "Wartezeit verkürzt",
        "Punkt nachgeteacht, Abweichung unter 0,3 mm",
        "Vakuum: Schwelle 620 µbar",
        "Geschwindigkeit zurück auf 80 %",
        "Anfahrhöhe größer, Kante berührt",
    ];
    let change = dice.one_of(&changes);
    format!(
        "  ; 20{:02}-{:02}-{:02} {}: Station {}: {change}\r\n",
        dice.between(21, 26),
        dice.between(1, 12),
        dice.between(1, 28),
        dice.one_of(&people),
        dice.between(1, 99),
    )
}
