//! Rows for people, in columns as wide as they need to be.

/// Each row as a line, its cells under those of the others.
pub(crate) fn lines<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_each_other() {
        let rows = [["A", "BB", "C"], ["größe", "1", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows), ["A      BB  C", "größe  1"]);
        assert!(lines::<2>(&[]).is_empty());
    }
}
