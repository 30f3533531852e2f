//! What a mistyped word was probably meant to be.

/// The word of `known` nearest to `word`, if one is near enough to be worth naming.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, best) =
        known.map(|candidate| (distance(word, candidate), candidate)).min_by_key(|(d, _)| *d)?;
    (distance <= best.len().max(word.len()) / 3 + 1).then_some(best)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to turn
/// `from` into `to` (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_edits() {
        for (from, to, edits) in [
            ("listen", "listen", 0),
            ("lisen", "listen", 1),
            ("litsen", "listen", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }

    #[test]
    fn names_a_near_word_and_no_far_one() {
        let known = ["listen", "operator", "shards"];
        assert_eq!(nearest("lisen", known.into_iter()), Some("listen"));
        assert_eq!(nearest("shard", known.into_iter()), Some("shards"));
        assert_eq!(nearest("banana", known.into_iter()), None);
        assert_eq!(nearest("x", [].into_iter()), None);
    }
}
