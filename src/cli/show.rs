//! What is written to stdout: for people, or as JSON.

use std::io::{self, Write};

use super::Trouble;

pub fn line(text: &str) -> Result<(), Trouble> {
    self::text(&format!("{text}\n"))
}

/// Writes to stdout. A reader that has gone away, as `head` does, is no failure: the command just ends.
pub fn text(text: &str) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Trouble::unheard()),
        Err(error) => Err(Trouble::failed(format!("writing to stdout: {error}"))),
    }
}

pub fn json(value: &impl serde::Serialize) -> Result<(), Trouble> {
    line(&serde_json::to_string(value).expect("what the commands print has texts for keys"))
}

/// Columns under their heads, each as wide as its widest cell.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> Result<(), Trouble> {
    text(&columns(heads, rows))
}

fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize, head: &str| {
        rows.iter().map(|row| row[column].chars().count()).chain([head.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = heads.iter().enumerate().map(|(column, head)| width(column, head)).collect();
    let render = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let body = rows.iter().map(|row| render(row.iter().map(String::as_str).collect()));
    std::iter::once(render(heads.to_vec())).chain(body).collect()
}

/// Makes what somebody else wrote fit for a terminal: no control character reaches it.
pub fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "x".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(columns(&["N", "STATE"], &rows), "N       STATE\na       x\nlonger\n");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\r\n\u{9b}é"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}é");
    }
}
