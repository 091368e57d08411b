//! The verdicts on paper.

use serde::Serialize;

use super::item::{Item, Verdict};
use crate::control::columns::{Colour, clean, cut, labelled};

/// Columns of the verdict.
const MARK: usize = 6;

/// Columns of the name, with the gap behind it.
const NAME: usize = 22;

/// Everything that was tried.
pub(super) struct Report(pub(super) Vec<Item>);

impl Report {
    /// Whether all is well.
    pub(super) fn is_well(&self) -> bool {
        self.bad().next().is_none()
    }

    fn bad(&self) -> impl Iterator<Item = &Item> {
        self.0.iter().filter(|item| item.verdict != Verdict::Well)
    }

    /// For a terminal of 80 columns.
    pub(super) fn text(&self, colour: bool) -> String {
        let mut text = String::new();
        for item in &self.0 {
            let (shade, mark) = match item.verdict {
                Verdict::Well => (Colour::Green, "ok"),
                Verdict::Failed => (Colour::Red, "FAIL"),
                Verdict::Unknown => (Colour::Yellow, "?"),
            };
            let mark = format!("{mark:<MARK$}");
            let name = cut(&item.item, NAME - 1);
            let mut label = format!("{mark}{name}");
            for (number, line) in item.said.lines().enumerate() {
                let block = labelled(&label, MARK + NAME, line);
                text.push_str(&match block.strip_prefix(&mark) {
                    Some(rest) if number == 0 => format!("{}{rest}", shade.paint(&mark, colour)),
                    Some(_) | None => block,
                });
                label.clear();
            }
        }
        text.push('\n');
        text.push_str(&labelled("", 0, &self.sum()));
        text
    }

    fn sum(&self) -> String {
        let all = self.0.len();
        let bad: Vec<String> = self.bad().map(|item| clean(&item.item)).collect();
        match bad.len() {
            0 => format!("all is well: {all} of {all}"),
            count => format!(
                "{count} of {all} not well: {}; what to do stands beside each",
                bad.join(", ")
            ),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Json<'a> {
            well: bool,
            items: &'a [Item],
        }
        let json = Json {
            well: self.is_well(),
            items: &self.0,
        };
        // Nothing in it can fail.
        let mut text = serde_json::to_string_pretty(&json).unwrap_or_default();
        text.push('\n');
        text
    }
}
