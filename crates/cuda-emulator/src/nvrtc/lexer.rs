//! Splits preprocessed C++ into tokens. Nothing is dropped: the texts of all tokens, one behind
//! another, are the source.

/// What a token is, as far as the rewriter cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Word,
    /// One character of punctuation.
    Mark,
    /// A number, string or character.
    Literal,
    /// White space and line markers.
    Space,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

/// The tokens of a source.
pub(super) fn lex(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line_start = true;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = measure(rest, first, line_start);
        let (text, behind) = rest.split_at(length);
        line_start = kind == Kind::Space && (text.ends_with('\n') || line_start);
        tokens.push(Token { kind, text });
        rest = behind;
    }
    tokens
}

/// Kind and length of the token at the start of a text.
fn measure(text: &str, first: char, line_start: bool) -> (Kind, usize) {
    let run = |belongs: fn(char) -> bool| text.find(|c| !belongs(c)).unwrap_or(text.len());
    match first {
        '#' if line_start => (Kind::Space, text.find('\n').unwrap_or(text.len())),
        _ if is_word(first) && !first.is_ascii_digit() => {
            let length = run(is_word);
            match text[..length].ends_with('R') && text[length..].starts_with('"') {
                true => (Kind::Literal, raw_string(text, length)),
                false => (Kind::Word, length),
            }
        }
        _ if first.is_ascii_digit() => {
            (Kind::Literal, run(|c| is_word(c) || c == '.' || c == '\''))
        }
        '"' | '\'' => (Kind::Literal, quoted(text, first)),
        _ if first.is_whitespace() => (Kind::Space, whitespace(text)),
        _ => (Kind::Mark, first.len_utf8()),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// White space up to the end of its line, so that a line marker is seen where it starts.
fn whitespace(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
    text[..end].find('\n').map_or(end, |newline| newline + 1)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `R"delimiter( ... )delimiter"`, of which the first `start` characters are the prefix.
fn raw_string(text: &str, start: usize) -> usize {
    let Some(open) = text[start..].find('(').map(|at| start + at) else { return text.len() };
    let close = format!("){}\"", &text[start + 1..open]);
    text[open..].find(&close).map_or(text.len(), |at| open + at + close.len())
}

#[cfg(test)]
mod tests {
    use super::{Kind, lex};

    #[test]
    fn nothing_is_lost_and_literals_are_whole() {
        let source =
            "# 1 \"a.cu\"\nint f = 1'000.5f; /**/\"a\\\"}\" R\"x({)\")x\" '\\'' u8R\"(})\"é;";
        let tokens = lex(source);
        assert_eq!(tokens.iter().map(|t| t.text).collect::<String>(), source);
        let literals = tokens.iter().filter(|t| t.kind == Kind::Literal).map(|t| t.text);
        let expected = ["1'000.5f", "\"a\\\"}\"", "R\"x({)\")x\"", "'\\''", "u8R\"(})\""];
        assert_eq!(literals.collect::<Vec<_>>(), expected);
    }
}
