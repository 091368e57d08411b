//! Text for a terminal of 80 columns, whatever is in it.

/// Columns of the terminal.
pub(super) const WIDTH: usize = 80;

/// Text in which every character is one column wide and none moves the cursor. What a font or a terminal could
/// show otherwise is escaped.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{24f}' | '–' | '…' => {
                clean.push(character)
            }
            other => clean.extend(other.escape_default()),
        }
    }
    clean
}

/// Clean text of at most `width` columns; what is longer ends in `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= width {
        return clean;
    }
    let mut start: String = clean.chars().take(width.saturating_sub(1)).collect();
    start.push('…');
    start
}

/// Clean text in lines of at most `width` columns, broken between words, and within those that are longer. Never
/// empty.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in clean(text).split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length <= width {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
            used += 1;
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for character in word.chars() {
            if used == width {
                lines.push(String::new());
                used = 0;
            }
            lines
                .last_mut()
                .into_iter()
                .for_each(|line| line.push(character));
            used += 1;
        }
    }
    lines
}

/// A label, and text that is wrapped beside it.
pub(super) fn labelled(label: &str, room: usize, text: &str) -> String {
    let mut label = format!("{label:<room$}");
    let mut block = String::new();
    for line in wrap(text, WIDTH.saturating_sub(room)) {
        block.push_str(format!("{label}{line}").trim_end());
        block.push('\n');
        label = " ".repeat(room);
    }
    block
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// All is well.
    Green,
    /// Look here.
    Yellow,
    /// Something is wrong.
    Red,
}

impl Colour {
    /// The text in this colour, if colours are wanted; its width stays.
    pub(super) fn paint(self, text: &str, wanted: bool) -> String {
        let code = match self {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        if wanted {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_text_is_escaped_and_cut() {
        assert_eq!(clean("Röbot – \u{1b}[2J\n"), "Röbot – \\u{1b}[2J\\n");
        assert_eq!(
            clean("机\u{202e}\u{301}\u{ad}"),
            "\\u{673a}\\u{202e}\\u{301}\\u{ad}"
        );
        assert_eq!(cut("robot1", 6), "robot1");
        assert_eq!(cut("robot12", 6), "robot…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("123456789", 4), ["1234", "5678", "9"]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_it_may_be(text in "\\PC{0,300}|.{0,300}", width in 1_usize..90) {
            for line in wrap(&text, width) {
                prop_assert!(line.chars().count() <= width);
            }
            prop_assert!(cut(&text, width).chars().count() <= width);
        }
    }
}
