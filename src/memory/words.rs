//! Text to the words it is found by.
//!
//! Words are those of Unicode's segmentation (UAX 29), cut further where programmers cut (`example.com`, `snake_case`),
//! in lower case, English plurals in the singular, what follows an apostrophe left out when it is an ending (`'s`, `n't`). Text in ASCII, which most is, takes a path of its
//! own with the same result. Scripts without spaces give one word a character, which suffices for ranking.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation as _;

/// Longer words (keys, hashes, encoded data) are found by their beginning.
const WORD_CHARS_MAX: usize = 48;
const APOSTROPHES: [char; 2] = ['\'', '\u{2019}'];

/// Words that say nothing of what is looked for: of Lucene's English list and of what questions are made of, those that
/// are no name or term as well (`will`, `it`, `can` and `not` are).
const STOP_WORDS: &str = "a an and are as at be but by for if in into is of on or such that the their then there these \
     they this to was were with \
     could did do does had has have her his how i its me my our she he should we what when where which who whom whose why \
     would you your";

/// [`STOP_WORDS`], as the index knows them.
static STOPPED: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let mut words = HashSet::new();
    for_each_word(STOP_WORDS, &mut |word| {
        words.insert(word.to_owned());
    });
    words
});

/// The words of a query that a memory is found by, each once, `max` at most: stop words only if there are no others.
pub(super) fn query_words(query: &str, max: usize) -> Vec<String> {
    let (mut words, mut stopped): (Vec<String>, Vec<String>) = Default::default();
    for_each_word(query, &mut |word| {
        let kept = if STOPPED.contains(word) { &mut stopped } else { &mut words };
        if kept.len() < max && kept.iter().all(|known| known != word) {
            kept.push(word.to_owned());
        }
    });
    if words.is_empty() { stopped } else { words }
}

/// Calls `each` with every word of `text`, in order, as the index knows it.
pub(super) fn for_each_word(text: &str, each: &mut dyn FnMut(&str)) {
    let mut word = String::new();
    if text.is_ascii() {
        for run in text.as_bytes().split(|byte| !is_ascii_word(*byte)) {
            // Of ASCII, so it is text.
            each_part(std::str::from_utf8(run).unwrap_or_default(), &mut word, each);
        }
    } else {
        for segment in text.unicode_words() {
            for run in
                segment.split(|c: char| u8::try_from(c).is_ok_and(|c| c.is_ascii() && !is_ascii_word(c)))
            {
                each_part(run, &mut word, each);
            }
        }
    }
}

fn is_ascii_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'\''
}

/// Cuts at apostrophes and leaves out endings.
fn each_part(run: &str, word: &mut String, each: &mut dyn FnMut(&str)) {
    if run.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return normalize(run, word, each);
    }
    let mut before = "";
    for part in run.trim_matches(APOSTROPHES).split(APOSTROPHES) {
        if !is_ending(before, part) {
            normalize(part, word, each);
        }
        before = part;
    }
}

/// Whether `part`, after `before` and an apostrophe, is no word of its own.
fn is_ending(before: &str, part: &str) -> bool {
    part.len() <= 2
        && part.bytes().all(|byte| byte.is_ascii_alphabetic())
        && before.chars().next_back().is_some_and(char::is_alphabetic)
}

fn normalize(raw: &str, word: &mut String, each: &mut dyn FnMut(&str)) {
    word.clear();
    if raw.is_ascii() {
        word.push_str(raw.get(..WORD_CHARS_MAX).unwrap_or(raw));
        word.make_ascii_lowercase();
    } else {
        let chars = raw.chars().filter(|c| !c.is_whitespace()).take(WORD_CHARS_MAX);
        word.extend(chars.flat_map(char::to_lowercase));
    }
    singular(word);
    if !word.is_empty() {
        each(word);
    }
}

/// The words of some texts, each once, with its weighted count. One buffer for all: restoring an index makes very many.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct WordCounts {
    buffer: String,
    /// Start and end in the buffer, and the count.
    words: Vec<(u32, u32, u16)>,
}

impl WordCounts {
    /// Adds each word of `text`, counting `weight` times.
    pub(super) fn add(&mut self, text: &str, weight: u16) {
        for_each_word(text, &mut |word| {
            let start = self.buffer.len();
            self.buffer.push_str(word);
            // A memory is far below 4 GiB; past that its words are not found.
            if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.buffer.len())) {
                self.words.push((start, end, weight));
            }
        });
    }

    /// Counts together what was added more than once.
    pub(super) fn merge(&mut self) {
        let Self { buffer, words } = self;
        words.sort_unstable_by_key(|span| slice(buffer, *span));
        words.dedup_by(|later, first| {
            let same = slice(buffer, *later) == slice(buffer, *first);
            if same {
                first.2 = first.2.saturating_add(later.2);
            }
            same
        });
    }

    /// Each word with its count, in order once merged.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u16)> {
        self.words.iter().map(|span| (slice(&self.buffer, *span), span.2))
    }
}

fn slice(buffer: &str, (start, end, _): (u32, u32, u16)) -> &str {
    buffer.get(start as usize..end as usize).unwrap_or_default()
}

/// Harman's S-stemmer: the plural and nothing else, so that no two different words become one.
fn singular(word: &mut String) {
    let len = word.len();
    if len <= 3 || !word.ends_with('s') || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return;
    }
    if word.ends_with("ies") {
        if !word.ends_with("eies") && !word.ends_with("aies") {
            word.truncate(len - 3);
            word.push('y');
        }
    } else if ["us", "ss", "aes", "ees", "oes"].iter().all(|ending| !word.ends_with(ending)) {
        word.truncate(len - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, &mut |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_as_people_and_programmers_cut_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ...  ", &[]),
            ("Hello, World!", &["hello", "world"]),
            ("Don't panic: Alice's 3 cats", &["don", "panic", "alice", "3", "cat"]),
            (
                "see https://example.com/snake_case?x=1",
                &["see", "http", "example", "com", "snake", "case", "x", "1"],
            ),
            ("cities boxes glass bus is gas", &["city", "boxe", "glass", "bus", "is", "gas"]),
            ("Straße Ünïcode café’s", &["straße", "ünïcode", "café"]),
            ("don’t – naïve example.com", &["don", "naïve", "example", "com"]),
            ("l’été o'clock 'a'", &["l", "été", "o", "clock", "a"]),
            ("日本語 text", &["日", "本", "語", "text"]),
            ("Привет, Мир", &["привет", "мир"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn queries_are_cut_to_what_is_looked_for() {
        for (query, expected) in [
            ("when is a release", &["release"][..]),
            ("Where's this cat's bed, and whose is that?", &["cat", "bed"]),
            ("What does Will like?", &["will", "like"]),
            ("cats and a cat", &["cat"]),
            ("to be or to do", &["to", "be", "or", "do"]),
            ("the who", &["the", "who"]),
            ("", &[]),
        ] {
            assert_eq!(query_words(query, 9), expected, "{query}");
        }
        assert_eq!(query_words("one two three", 2), ["one", "two"]);
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(words(&"a".repeat(1_000)), ["a".repeat(WORD_CHARS_MAX)]);
        assert_eq!(words(&"é".repeat(1_000)), ["é".repeat(WORD_CHARS_MAX)]);
    }

    proptest! {
        #[test]
        fn any_text_gives_words_that_stand(text in "\\PC{0,200}") {
            for word in words(&text) {
                prop_assert!(!word.is_empty() && !word.contains(char::is_whitespace));
            }
        }

        /// Breaks if ASCII text is cut differently when one other character stands beside it.
        #[test]
        fn both_paths_agree(text in "[a-zA-Z0-9' ,.!?_/-]{0,80}") {
            let mut expected = words(&text);
            expected.push("é".to_owned());
            prop_assert_eq!(words(&format!("{text} é")), expected);
        }
    }
}
