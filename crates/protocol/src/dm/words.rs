//! A message's words.

use super::ParseError;

/// Most words of a message: as many as a launch can use.
const WORDS_MAX: usize = 1_200;

/// Words, read from the front.
#[derive(Debug)]
pub(super) struct Words(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Words {
    /// Splits a message. Quotes may begin within a word, as in `env NAME="two words"`; within quotes
    /// everything stands for itself, the other kind of quotes too.
    pub(super) fn split(text: &str) -> Result<Self, ParseError> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        for c in text.chars() {
            match quote {
                Some(end) if c == end => quote = None,
                Some(_) => word.get_or_insert_default().push(c),
                None if c.is_whitespace() => words.extend(word.take()),
                None => match closing(c) {
                    Some(end) => {
                        quote = Some(end);
                        word.get_or_insert_default();
                    }
                    None => word.get_or_insert_default().push(c),
                },
            }
            if words.len() > WORDS_MAX {
                return Err(ParseError::wrong(format!("the message has more than {WORDS_MAX} words")));
            }
        }
        if quote.is_some() {
            return Err(ParseError::wrong("a quote is opened and never closed"));
        }
        words.extend(word);
        Ok(Self(words.into_iter().peekable()))
    }

    pub(super) fn next(&mut self) -> Option<String> {
        self.0.next()
    }

    pub(super) fn peek(&mut self) -> Option<&str> {
        self.0.peek().map(String::as_str)
    }

    pub(super) fn skip_if(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.next_if(|word| wanted(&word.to_lowercase()));
    }

    pub(super) fn rest(self) -> Vec<String> {
        self.0.collect()
    }
}

/// What ends a quote that begins so. Phones write the slanted ones.
pub(super) const fn closing(opening: char) -> Option<char> {
    match opening {
        '"' => Some('"'),
        '\'' => Some('\''),
        '“' => Some('”'),
        _ => None,
    }
}
